//! A publisher whose session outlives every connection: what is not acknowledged it sends again,
//! and it knows what was acknowledged, and when.

#![expect(clippy::wildcard_enum_match_arm, reason = "few packets are right, all others are faults")]

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    PROGRESS,
    connection::{Connection, Ended},
    dice::Dice,
    message::{Message, Number, Style, TOPICS},
    round::{Ledger, Round},
};
use crate::{Connect, Kind, Properties, Publish, Version, packet};

const PATIENCE: Duration = Duration::from_millis(10);

/// What happened to a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record {
    pub sent_in: u32,
    pub acknowledged_in: Option<u32>,
    /// Given up with a session that had never promised anything.
    pub is_lost: bool,
}

#[derive(Debug)]
struct InFlight {
    number: Number,
    qos: u8,
    id: u16,
    /// PUBREC has come.
    is_released: bool,
}

/// A publisher.
#[derive(Debug)]
pub struct Publisher {
    pub index: usize,
    pub style: Style,
    version: Version,
    window: usize,
    dice: Dice,
    last_id: u16,
    in_flight: VecDeque<InFlight>,
    /// Something was acknowledged, so the session has to be there.
    is_known: bool,
    /// From the first message on that is not settled.
    pub records: Vec<Record>,
    pub base: u64,
    pub acknowledged: u64,
    /// Of each topic the last message that was sent, and that was acknowledged.
    pub last_sent: [Option<u64>; TOPICS as usize],
    pub last_acknowledged: [Option<u64>; TOPICS as usize],
}

impl Publisher {
    /// A publisher without a session yet, who has at most `window` messages in flight.
    pub fn new(index: usize, style: Style, version: Version, window: usize, seed: u64) -> Self {
        Self {
            index,
            style,
            version,
            window,
            dice: Dice::new(seed, 100 + index as u64),
            last_id: 0,
            in_flight: VecDeque::new(),
            is_known: false,
            records: Vec::new(),
            base: 0,
            acknowledged: 0,
            last_sent: [None; TOPICS as usize],
            last_acknowledged: [None; TOPICS as usize],
        }
    }

    pub fn name(&self) -> String {
        format!("p{} ({}, {:?}, window {})", self.index, self.version, self.style, self.window)
    }

    /// The number of the next message.
    pub fn next(&self) -> u64 {
        self.base + self.records.len() as u64
    }

    /// What happened to a message that is not settled.
    pub fn record(&self, sequence: u64) -> Record {
        self.records[usize::try_from(sequence - self.base).expect("few")]
    }

    /// Everything that was sent has arrived.
    pub fn settle(&mut self) {
        self.base = self.next();
        self.records.clear();
    }

    /// Publishes until the round is over, on one connection after the other.
    ///
    /// # Errors
    ///
    /// The broker breaks a promise.
    pub fn run(&mut self, round: &Round<'_>) -> Result<(), Ended> {
        let mut budget = match self.style {
            _ if round.drains => 0,
            Style::Will(_) => 0,
            Style::Delayed => self.dice.below(8),
            Style::Retained => self.dice.below(40),
            Style::Plain(_) | Style::Mixed | Style::Expiring => self.dice.below(120),
        };
        loop {
            let pause = if self.dice.percent(50) { 0 } else { self.dice.below(60) };
            if !round.drains && round.pause(Duration::from_millis(pause)) {
                return Ok(());
            }
            match self.connect(round, &mut budget) {
                Ok(()) if round.drains => return Ok(()),
                Ok(()) => {}
                Err(Ended::Over) => return Ok(()),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// One connection, until it is left or the round is over.
    fn connect(&mut self, round: &Round<'_>, budget: &mut u64) -> Result<(), Ended> {
        let connect = Connect::resume(self.version, format!("crash-p{}", self.index));
        let (mut connection, connack) = Connection::open(round, &connect)?;
        self.resume(connack.session_present, &mut connection)?;
        let leaves = !round.drains && self.dice.percent(40);
        let mut packets_left = if leaves { self.dice.below(100) } else { u64::MAX };
        let mut progress = Instant::now();
        loop {
            let mut bytes = Vec::new();
            while *budget > 0 && self.in_flight.len() < self.window {
                *budget -= 1;
                bytes.extend(self.publish(round));
            }
            connection.send(&bytes)?;
            if packets_left == 0 {
                break;
            }
            if round.drains && self.in_flight.is_empty() {
                break;
            }
            match connection.receive(PATIENCE)? {
                Some(received) => {
                    packets_left -= 1;
                    progress = Instant::now();
                    self.handle(received.kind, round, &mut connection)?;
                }
                None if progress.elapsed() > PROGRESS && !self.in_flight.is_empty() => {
                    let first = &self.in_flight[0];
                    return Err(format!("no answer for {first:?} within {PROGRESS:?}").into());
                }
                None => packets_left -= u64::from(leaves),
            }
        }
        if round.drains || self.dice.percent(50) {
            connection.send(&packet::disconnect())?;
        }
        connection.cut();
        Ok(())
    }

    /// Takes the session up again: what is in flight is sent once more, in order.
    fn resume(&mut self, is_present: bool, connection: &mut Connection<'_>) -> Result<(), Ended> {
        if !is_present {
            if self.is_known {
                return Err("SESSION LOST: session_present=0 after an acknowledgement"
                    .to_owned()
                    .into());
            }
            for lost in self.in_flight.drain(..) {
                let index = usize::try_from(lost.number.sequence - self.base).expect("few");
                self.records[index].is_lost = true;
            }
        }
        let mut bytes = Vec::new();
        for entry in &self.in_flight {
            if entry.is_released {
                bytes.extend(packet::pubrel(entry.id));
            } else {
                let message = Message::of(entry.number, self.style);
                bytes.extend(to_publish(&message, entry.id).dup().bytes(self.version));
            }
        }
        connection.send(&bytes)
    }

    /// The next message's bytes; it counts as sent from here on.
    fn publish(&mut self, round: &Round<'_>) -> Vec<u8> {
        let number = Number { publisher: self.index, sequence: self.next() };
        let message = Message::of(number, self.style);
        self.records.push(Record { sent_in: round.number, ..Record::default() });
        round.ledger.set_sent(self.index, self.next());
        self.last_sent[usize::try_from(message.branch).expect("few")] = Some(number.sequence);
        let id = self.free_id();
        let entry = InFlight { number, qos: message.qos, id, is_released: false };
        self.in_flight.push_back(entry);
        to_publish(&message, id).bytes(self.version)
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.in_flight.iter().all(|entry| entry.id != self.last_id) {
                return self.last_id;
            }
        }
    }

    fn handle(
        &mut self,
        kind: Kind,
        round: &Round<'_>,
        connection: &mut Connection<'_>,
    ) -> Result<(), Ended> {
        // Acknowledgements of a kind come in the order of the messages.
        let first = |qos| {
            let mut entries = self.in_flight.iter();
            entries.position(|entry| entry.qos == qos && !entry.is_released)
        };
        match &kind {
            Kind::Puback(ack) if ack.code < 0x80 => {
                let index = first(1).filter(|index| self.in_flight[*index].id == ack.id);
                let index = index.ok_or_else(|| self.surprise(&kind))?;
                self.acknowledge(index, round);
                self.in_flight.remove(index);
                Ok(())
            }
            Kind::Pubrec(ack) if ack.code < 0x80 => {
                let index = first(2).filter(|index| self.in_flight[*index].id == ack.id);
                let index = index.ok_or_else(|| self.surprise(&kind))?;
                self.acknowledge(index, round);
                self.in_flight[index].is_released = true;
                connection.send(&packet::pubrel(ack.id))
            }
            // After a crash the broker may have forgotten what it has released: 0x92.
            Kind::Pubcomp(ack) => {
                let mut entries = self.in_flight.iter();
                let index = entries.position(|entry| entry.is_released && entry.id == ack.id);
                let index = index.ok_or_else(|| self.surprise(&kind))?;
                self.in_flight.remove(index);
                Ok(())
            }
            _ => Err(self.surprise(&kind)),
        }
    }

    fn surprise(&self, kind: &Kind) -> Ended {
        format!("{kind:?} is no answer; in flight is {:?}", self.in_flight).into()
    }

    fn acknowledge(&mut self, index: usize, round: &Round<'_>) {
        self.is_known = true;
        self.acknowledged += 1;
        let number = self.in_flight[index].number;
        let record = usize::try_from(number.sequence - self.base).expect("few");
        self.records[record].acknowledged_in = Some(round.number);
        let branch = usize::try_from(Message::of(number, self.style).branch).expect("few");
        self.last_acknowledged[branch] = self.last_acknowledged[branch].max(Some(number.sequence));
        self.tell(round.ledger);
    }

    /// Moves the mark below which everything is acknowledged.
    fn tell(&self, ledger: &Ledger) {
        let mut mark = ledger.acknowledged(self.index).max(self.base);
        while mark < self.next() && self.record(mark).acknowledged_in.is_some() {
            mark += 1;
        }
        ledger.set_acknowledged(self.index, mark);
    }
}

fn to_publish(message: &Message, id: u16) -> Publish {
    let publish = Publish::new(message.published_topic(), &message.payload).qos(message.qos, id);
    let publish = match message.expiry {
        Some(seconds) => publish.properties(Properties::new().four(0x02, seconds)),
        None => publish,
    };
    if message.style == Style::Retained { publish.retain() } else { publish }
}
