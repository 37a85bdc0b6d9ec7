//! A subscriber that comes and goes. What it has not acknowledged when its connection ends it has
//! not taken over, and is owed again; what it has, it knows, whatever becomes of the broker.

#![expect(clippy::wildcard_enum_match_arm, reason = "few packets are right, all others are faults")]

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::{
    PROGRESS,
    check::{Deliveries, Fault},
    connection::{Connection, Ended},
    dice::Dice,
    message::{Message, Number, Style},
    round::Round,
    will::{Ending, Wills},
};
use crate::{Connect, Kind, Properties, Version, packet, received};

const PATIENCE: Duration = Duration::from_millis(5);

/// The packet identifiers of SUBSCRIBE and UNSUBSCRIBE, which no message in flight shares with us.
const SUBSCRIBE_ID: u16 = 1;
const UNSUBSCRIBE_ID: u16 = 2;
/// Of a SUBSCRIBE by whose answer we know what is stored.
const FENCE_ID: u16 = 3;

/// How long the clocks may differ in what an expiry is.
const MARGIN: Duration = Duration::from_millis(200);

/// What distinguishes a subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub version: Version,
    pub qos: u8,
    pub filters: &'static [&'static str],
    /// 5.0 alone.
    pub receive_maximum: Option<u16>,
    /// How likely it is there in a round, in percent.
    pub presence: u64,
    /// Subscribes and unsubscribes as it likes.
    pub roams: bool,
    /// Its session ends with each connection.
    pub is_clean: bool,
    /// Its session ends by itself so many seconds behind a connection. 5.0 alone.
    pub expiry: Option<u32>,
    /// Now and then it comes with a clean start, which ends its session.
    pub renews: bool,
    /// It has wills of this QoS.
    pub will: Option<u8>,
    /// One of several that get each message together, by this before their filters.
    pub team: Option<&'static str>,
}

/// What is known of the subscription.
#[derive(Debug)]
enum Standing {
    Out,
    Entering,
    /// Since before these messages were sent.
    In(Vec<u64>),
    Leaving,
}

#[derive(Debug)]
struct Pending {
    id: u16,
    message: Message,
}

/// A subscriber.
#[derive(Debug)]
pub struct Subscriber {
    index: usize,
    pub terms: Terms,
    dice: Dice,
    standing: Standing,
    /// A team's are those of all of its members.
    deliveries: Arc<Mutex<Deliveries>>,
    /// Received on this connection and not acknowledged.
    pending: VecDeque<Pending>,
    /// Of an earlier connection, likewise; of messages that the broker must know to be sent.
    earlier: BTreeMap<u16, Number>,
    /// QoS 2: taken over, and not yet released.
    unreleased: BTreeMap<u16, Number>,
    is_known: bool,
    /// The last CONNECT was a clean start.
    is_anew: bool,
    pub wills: Option<Wills>,
    /// When the connection was there, for certain; and the last one that was stored.
    alive: Instant,
    stored_alive: Instant,
    /// When CONNACK came, of the connection there is, and whether it is stored.
    connected: Instant,
    is_stored: bool,
    ending: Option<Ending>,
    /// Of each publisher the first message that a session which has just begun may get.
    fresh_from: Vec<u64>,
    /// How often its session was over.
    pub expired: u64,
}

impl Subscriber {
    /// A subscriber without a session yet.
    pub fn new(index: usize, terms: Terms, deliveries: Arc<Mutex<Deliveries>>, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            index,
            terms,
            dice: Dice::new(seed, 200 + index as u64),
            standing: Standing::Out,
            deliveries,
            pending: VecDeque::new(),
            earlier: BTreeMap::new(),
            unreleased: BTreeMap::new(),
            is_known: false,
            is_anew: false,
            wills: None,
            alive: now,
            stored_alive: now,
            connected: now,
            is_stored: false,
            ending: None,
            fresh_from: Vec::new(),
            expired: 0,
        }
    }

    /// Whether its session is there again whenever it comes.
    fn stays(&self) -> bool {
        !self.terms.is_clean && !self.terms.renews && self.terms.expiry.is_none()
    }

    pub fn name(&self) -> String {
        let Terms { version, qos, filters, .. } = self.terms;
        let clean = if self.terms.is_clean { ", clean" } else { "" };
        format!("s{} ({version}, QoS {qos}, {}{clean})", self.index, filters.join(" "))
    }

    /// What it has got.
    pub fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        self.deliveries.lock().expect("who has it does not panic")
    }

    /// Whether a message has to reach it.
    pub fn is_owed(&self, message: &Message) -> bool {
        let Standing::In(since) = &self.standing else { return false };
        let number = message.number;
        let team = self.terms.team.unwrap_or_default();
        let bare = |filter: &&'static str| filter.strip_prefix(team).unwrap_or(filter);
        let matches = |filter: &&'static str| super::matches(bare(filter), &message.topic);
        let later = number.sequence >= since[number.publisher];
        later && self.stays() && self.terms.filters.iter().any(matches)
    }

    /// Comes and goes until the round is over; in one that drains, stays until everything that is
    /// owed has come.
    ///
    /// # Errors
    ///
    /// The broker breaks a promise.
    pub fn run(&mut self, round: &Round<'_>, owed: &[Number]) -> Result<(), Ended> {
        if !round.drains && !self.dice.percent(self.terms.presence) {
            return Ok(());
        }
        loop {
            let pause = if self.dice.percent(60) { 0 } else { self.dice.below(80) };
            if !round.drains && round.pause(Duration::from_millis(pause)) {
                return Ok(());
            }
            let outcome = self.connect(round, owed);
            self.forget_connection(round);
            self.end_connection();
            match outcome {
                Ok(()) if round.drains => return Ok(()),
                Ok(()) => {}
                Err(Ended::Over) => return Ok(()),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// One connection, until it is left or the round is over.
    fn connect(&mut self, round: &Round<'_>, owed: &[Number]) -> Result<(), Ended> {
        let acknowledged = round.ledger.all_acknowledged();
        let connect = self.next_connect(round);
        let (mut connection, connack) = Connection::open(round, &connect)?;
        self.connected = Instant::now();
        self.alive = self.connected;
        self.resume(connack.session_present, round, acknowledged)?;
        if self.terms.will.is_some() {
            let fence = [("crash-fence", 0)];
            connection.send(&packet::subscribe(self.terms.version, FENCE_ID, &fence))?;
        }
        self.change_standing(round, &mut connection)?;
        let draining = round.drains;
        let batch = [1, 4, 16][usize::try_from(self.dice.below(3)).expect("three")];
        let batch = batch.min(usize::from(self.terms.receive_maximum.unwrap_or(u16::MAX)));
        let withholds = !draining && self.dice.percent(15);
        let stay = if self.dice.percent(50) { 1000 } else { self.dice.between(1, 80) };
        let leave = Instant::now() + Duration::from_millis(stay);
        let (mut progress, mut asked, mut answered) = (Instant::now(), false, false);
        while draining || Instant::now() < leave {
            let received = connection.receive(PATIENCE)?;
            let is_idle = received.is_none();
            self.alive = Instant::now();
            if let Some(received) = received {
                answered |= received.kind == Kind::Pingresp;
                progress = Instant::now();
                self.handle(received.kind, round, &mut connection)?;
            }
            let is_enough = self.pending.len() >= batch && !connection.has_packet();
            if !withholds && (is_idle || is_enough) {
                self.acknowledge(&mut connection)?;
            }
            if !is_idle || !draining {
                continue;
            }
            let missing = self.deliveries().missing(owed);
            let is_settled = matches!(self.standing, Standing::In(_) | Standing::Out);
            let is_done = missing.is_none() && self.unreleased.is_empty() && is_settled;
            if answered && is_done {
                break;
            }
            if is_done && !asked {
                asked = true;
                connection.send(&packet::pingreq())?;
            }
            if progress.elapsed() > PROGRESS {
                let still = missing.map(|fault| fault.to_string());
                let still = still.unwrap_or_else(|| format!("no PUBREL: {:?}", self.unreleased));
                return Err(format!("{still}; nothing came for {PROGRESS:?}").into());
            }
        }
        self.leave(draining, connection)
    }

    /// Ends a connection in one way or another.
    fn leave(&mut self, draining: bool, mut connection: Connection<'_>) -> Result<(), Ended> {
        let has_words = self.terms.version.has_properties();
        match self.dice.below(4) {
            0 | 1 if !draining => connection.cut(),
            // Only who has a will waits for the end.
            _ if draining || self.terms.will.is_none() => {
                connection.send(&packet::disconnect())?;
                self.ending = Some(Ending::Unclear);
                connection.cut();
            }
            2 if has_words => {
                let with_will = packet::disconnect_with(4, &Properties::new());
                connection.send(&with_will)?;
                connection.cut();
            }
            _ => {
                let is_seen = connection.end(&packet::disconnect());
                self.ending = Some(if is_seen { Ending::Disconnected } else { Ending::Unclear });
            }
        }
        Ok(())
    }

    /// A connection is over, or did not come to be.
    fn end_connection(&mut self) {
        let ending = self.ending.take().unwrap_or(Ending::Abrupt(self.alive));
        self.wills.iter_mut().for_each(|wills| wills.end(ending));
        if std::mem::take(&mut self.is_stored) {
            self.stored_alive = self.alive;
        }
    }

    fn next_connect(&mut self, round: &Round<'_>) -> Connect {
        let client_id = format!("crash-s{}", self.index);
        let version = self.terms.version;
        if self.terms.is_clean {
            return Connect::new(version, client_id);
        }
        let mut connect = Connect::resume(version, client_id);
        connect.clean = self.terms.renews && self.dice.percent(30);
        self.is_anew = connect.clean;
        if self.is_anew {
            // From here on nobody knows which session there is, until CONNACK says so.
            self.expired += u64::from(std::mem::take(&mut self.is_known));
            self.standing = Standing::Out;
        }
        let mut properties = Properties::new().four(0x11, self.terms.expiry.unwrap_or(u32::MAX));
        if let Some(maximum) = self.terms.receive_maximum {
            properties = properties.two(0x21, maximum);
        }
        connect.properties = properties;
        if let Some(wills) = &mut self.wills {
            if round.drains {
                wills.come_again();
            } else {
                connect.will = wills.next(&mut self.dice, round.number, round.ledger);
            }
        }
        connect
    }

    fn resume(
        &mut self,
        is_present: bool,
        round: &Round<'_>,
        acknowledged: Vec<u64>,
    ) -> Result<(), Ended> {
        if is_present && (self.terms.is_clean || self.is_anew) {
            return Err("a clean session is present".to_owned().into());
        }
        if is_present && round.drains && self.terms.expiry.is_some() {
            return Err("SESSION STALE: session_present=1 after its expiry".to_owned().into());
        }
        if is_present {
            return Ok(());
        }
        let is_over = self.terms.expiry.is_some_and(|seconds| {
            let life = Duration::from_secs(seconds.into());
            self.connected + MARGIN >= self.stored_alive + life
        });
        if self.is_known && !self.terms.is_clean && !is_over {
            return Err("SESSION LOST: session_present=0 after SUBACK".to_owned().into());
        }
        if self.terms.expiry.is_some() {
            self.expired += u64::from(self.is_known);
            self.is_known = false;
            self.fresh_from = acknowledged;
        }
        self.standing = Standing::Out;
        self.earlier.clear();
        self.unreleased.clear();
        Ok(())
    }

    /// Subscribes or unsubscribes, if it has to or likes to.
    fn change_standing(
        &mut self,
        round: &Round<'_>,
        connection: &mut Connection<'_>,
    ) -> Result<(), Ended> {
        let roams = self.terms.roams;
        let likes = !round.drains && self.dice.percent(20);
        let enters = match self.standing {
            Standing::Out if !roams || likes => true,
            Standing::In(_) if roams && likes => false,
            Standing::Out | Standing::In(_) => return Ok(()),
            Standing::Entering => true,
            Standing::Leaving => false,
        };
        let Terms { version, qos, filters, .. } = self.terms;
        if enters {
            self.standing = Standing::Entering;
            let pairs: Vec<(&str, u8)> = filters.iter().map(|filter| (*filter, qos)).collect();
            connection.send(&packet::subscribe(version, SUBSCRIBE_ID, &pairs))
        } else {
            self.standing = Standing::Leaving;
            connection.send(&packet::unsubscribe(version, UNSUBSCRIBE_ID, filters))
        }
    }

    fn handle(
        &mut self,
        kind: Kind,
        round: &Round<'_>,
        connection: &mut Connection<'_>,
    ) -> Result<(), Ended> {
        match kind {
            Kind::Publish(message) => self.receive(&message, round),
            Kind::Pubrel(ack) => {
                self.unreleased.remove(&ack.id);
                connection.send(&packet::pubcomp(ack.id))
            }
            Kind::Suback(codes)
                if codes.id == SUBSCRIBE_ID && codes.codes.iter().all(|c| *c == self.terms.qos) =>
            {
                let since = round.ledger.all_sent();
                self.deliveries().begin_order(&since);
                self.standing = Standing::In(since);
                self.is_known = true;
                Ok(())
            }
            Kind::Suback(codes) if codes.id == FENCE_ID => {
                self.is_stored = true;
                // A round that drains has the number of the one before, and another broker.
                if let Some(wills) = self.wills.as_mut().filter(|_| !round.drains) {
                    wills.handle_stored(self.connected, round.number);
                }
                Ok(())
            }
            Kind::Unsuback(codes) if codes.id == UNSUBSCRIBE_ID => {
                self.standing = Standing::Out;
                Ok(())
            }
            Kind::Pingresp => Ok(()),
            other => Err(format!("{other:?} is no packet for us").into()),
        }
    }

    fn receive(&mut self, got: &received::Message, round: &Round<'_>) -> Result<(), Ended> {
        let Some(id) = got.id else { return Err(format!("QoS 0: {}", got.text()).into()) };
        let ledger = round.ledger;
        let message = self.deliveries().recognise(
            (&got.topic, &got.payload, got.qos),
            &ledger.styles,
            |publisher| ledger.sent(publisher),
        );
        let message = message.map_err(|fault| fault.to_string())?;
        let number = message.number;
        self.check_time(&message, got)?;
        if let Some(known) = self.unreleased.get(&id) {
            if got.qos == 2 && *known != number {
                return Err(
                    format!("ID TAKEN: {number} comes with {id}, which is {known}'s").into()
                );
            }
            if got.qos == 2 && !got.dup {
                return Err(format!("NO DUP: {number} comes again with its id {id}").into());
            }
        }
        // What another had meanwhile comes as if for the first time.
        let was_its = self.earlier.remove(&id) == Some(number) && self.terms.team.is_none();
        if was_its && !got.dup {
            return Err(format!("NO DUP: {number} comes again with its id {id}").into());
        }
        if self.pending.iter().any(|pending| pending.id == id) {
            return Err(format!("ID TAKEN: {number} comes with {id}, which is in flight").into());
        }
        self.pending.push_back(Pending { id, message });
        let mut in_flight: BTreeSet<u16> = self.unreleased.keys().copied().collect();
        in_flight.extend(self.pending.iter().map(|pending| pending.id));
        match self.terms.receive_maximum {
            Some(maximum) if in_flight.len() > usize::from(maximum) => {
                Err(format!("TOO MANY: {} in flight, not {maximum}", in_flight.len()).into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a message comes in its time: as long as it lives, and of a session that is not over.
    fn check_time(&self, message: &Message, got: &received::Message) -> Result<(), Ended> {
        let number = message.number;
        let expiry = got.properties.number(0x02);
        let sent = message.expiry.filter(|_| self.terms.version.has_properties());
        let is_left = match (expiry, sent) {
            (Some(expiry), Some(sent)) => expiry <= sent,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !is_left {
            return Err(Fault::WrongExpiry { number, expiry, sent }.to_string().into());
        }
        let fresh_from = self.fresh_from.get(number.publisher).copied().unwrap_or(0);
        let is_late = message.style == Style::Delayed || self.terms.team.is_some();
        let is_of_old = number.sequence < fresh_from && !is_late;
        if is_of_old {
            return Err(format!("STALE: {number} is of a session that was over").into());
        }
        Ok(())
    }

    /// Takes over what has come, in one write.
    fn acknowledge(&mut self, connection: &mut Connection<'_>) -> Result<(), Ended> {
        let bytes = self.take_pending()?;
        connection.send(&bytes)
    }

    /// Takes over what has come; the acknowledgements.
    fn take_pending(&mut self) -> Result<Vec<u8>, Ended> {
        let mut bytes = Vec::new();
        for Pending { id, message } in std::mem::take(&mut self.pending) {
            let is_once = message.qos.min(self.terms.qos) == 2;
            let is_known = is_once && self.unreleased.contains_key(&id);
            if !is_known {
                self.deliveries().take(&message).map_err(|fault| fault.to_string())?;
            }
            self.earlier.retain(|_, number| *number != message.number);
            if is_once {
                self.unreleased.insert(id, message.number);
                bytes.extend(packet::pubrec(id));
            } else {
                bytes.extend(packet::puback(id));
            }
        }
        Ok(bytes)
    }

    /// What was not acknowledged was never here. What its publisher was told is taken over, the
    /// broker must have known when it sent it again.
    fn forget_connection(&mut self, round: &Round<'_>) {
        for Pending { id, message } in self.pending.drain(..) {
            let number = message.number;
            if number.sequence < round.ledger.acknowledged(number.publisher) {
                self.earlier.insert(id, number);
            }
        }
    }
}
