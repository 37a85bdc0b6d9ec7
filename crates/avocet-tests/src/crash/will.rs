//! The wills of one subscriber: a message each, by a number as a publisher's, and what is to become
//! of it. Whether it is published is known of some, and of some it is not: nothing is promised of a
//! will whose storing was not waited for.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::{
    dice::Dice,
    message::{Message, Number, Style},
    round::Ledger,
};
use crate::{Properties, Will};

/// How much earlier than its time a client is back in time, whatever the clocks say.
const MARGIN: Duration = Duration::from_millis(200);

/// Longer than any round lasts, and than any session with a short expiry.
const NEVER: u32 = 10_000;

/// The longest delay that is waited for, in seconds.
pub const DELAY_MAX: u32 = 2;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Without DISCONNECT, or with one that asks for the will; not before this moment.
    Abrupt(Instant),
    /// By a DISCONNECT that the broker has answered with the end.
    Disconnected,
    /// By a DISCONNECT of which nobody knows whether it was read.
    Unclear,
}

/// What is known of a will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    /// It was taken back, and is not published.
    Void,
}

#[derive(Debug)]
struct Entry {
    number: Number,
    round: u32,
    delay: Duration,
    /// The broker has said that it is stored.
    is_stored: bool,
    ending: Ending,
    /// Its client has come again since, or has tried to.
    is_superseded: bool,
    fate: Fate,
}

impl Entry {
    /// Whether it has to be published once its delay is over: nobody was in time to take it back.
    fn is_due(&self) -> bool {
        let is_abrupt = matches!(self.ending, Ending::Abrupt(_));
        let is_certain = !self.is_superseded || self.delay.is_zero();
        self.is_stored && is_abrupt && is_certain
    }
}

/// The wills of one subscriber that are not settled.
#[derive(Debug)]
pub struct Wills {
    /// Its place among the publishers.
    pub publisher: usize,
    /// Of its session: when that ends, a will is due.
    expiry: Option<u32>,
    has_delay: bool,
    entries: Vec<Entry>,
    /// The last one is that of the connection there is, or was last.
    is_current: bool,
}

impl Wills {
    pub fn new(publisher: usize, has_delay: bool, expiry: Option<u32>) -> Self {
        Self { publisher, expiry, has_delay, entries: Vec::new(), is_current: false }
    }

    /// The will of the next connection, if it has one. The broker may take back those before.
    pub fn next(&mut self, dice: &mut Dice, round: u32, ledger: &Ledger) -> Option<Will> {
        self.come_again();
        if !dice.percent(80) {
            return None;
        }
        let delay = match dice.below(4) {
            0 | 1 => 0,
            2 if self.expiry.is_some() => NEVER,
            _ => 1 + u32::try_from(dice.below(DELAY_MAX.into())).expect("few seconds"),
        };
        let delay = if self.has_delay { delay } else { 0 };
        let sequence = ledger.sent(self.publisher);
        ledger.set_sent(self.publisher, sequence + 1);
        let number = Number { publisher: self.publisher, sequence };
        self.enter(number, delay, round);
        let message = Message::of(number, ledger.styles[self.publisher]);
        let will = Will::new(&message.topic, &message.payload).qos(message.qos);
        Some(will.properties(Properties::new().four(0x18, delay)))
    }

    fn enter(&mut self, number: Number, delay: u32, round: u32) {
        let delay = Duration::from_secs(delay.min(self.expiry.unwrap_or(NEVER)).into());
        self.entries.push(Entry {
            number,
            round,
            delay,
            is_stored: false,
            ending: Ending::Unclear,
            is_superseded: false,
            fate: Fate::Open,
        });
        self.is_current = true;
    }

    /// There is a connection without a will.
    pub fn come_again(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.is_superseded = true);
        self.is_current = false;
    }

    /// The broker has stored everything up to CONNECT, which it had answered at this moment.
    pub fn handle_stored(&mut self, connected: Instant, round: u32) {
        let is_current = self.is_current;
        let current = self.entries.last_mut().filter(|_| is_current);
        current.into_iter().for_each(|entry| entry.is_stored = true);
        for entry in self.entries.iter_mut().filter(|entry| entry.is_superseded) {
            let is_void = match entry.ending {
                Ending::Abrupt(at) => connected + MARGIN < at + entry.delay,
                Ending::Disconnected => entry.round == round,
                Ending::Unclear => false,
            };
            if is_void {
                entry.fate = Fate::Void;
            }
        }
    }

    /// The connection has ended.
    pub fn end(&mut self, ending: Ending) {
        let is_current = self.is_current;
        if let Some(entry) = self.entries.last_mut().filter(|_| is_current) {
            entry.ending = ending;
        }
    }

    /// Those that have to be published by now, if all delays are over.
    pub fn due(&self) -> impl Iterator<Item = Number> {
        self.entries.iter().filter(|entry| entry.is_due()).map(|entry| entry.number)
    }

    /// Those that must not be published any more.
    pub fn void(&self) -> impl Iterator<Item = Number> {
        self.entries.iter().filter(|it| it.fate == Fate::Void).map(|entry| entry.number)
    }

    /// What is known of a will, if it is one of these, for who reads of a failure.
    pub fn story(&self, number: Number) -> Option<String> {
        let entry = self.entries.iter().find(|entry| entry.number == number)?;
        let Entry { round, delay, is_superseded, .. } = entry;
        let back = if *is_superseded { "has" } else { "has not" };
        let back = format!("its client {back} come again since");
        Some(format!("a will with a delay of {delay:?} in round {round}, {back}"))
    }

    /// What became of all was looked at.
    pub fn settle(&mut self) {
        self.entries.clear();
        self.is_current = false;
    }
}

/// Whether these messages are wills.
pub fn is_will(style: Style) -> bool {
    matches!(style, Style::Will(_))
}
