//! What a store holds, as its commands have left it: where messages lie, but not the messages.
//!
//! - [`queue`]: what waits for a session; [`scratch`]: pages of queues that memory is not to hold;
//! - [`held`]: how much of each segment is still needed.

mod held;
mod queue;
mod scratch;
mod standing;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    ops::Bound,
    sync::Arc,
};

use self::{
    held::Held,
    queue::{PageRef, Queue},
    scratch::{Entry, Scratch},
    standing::Stands,
};
use super::Amount;
use crate::{
    command::{Claim, Command, Message, Place, SessionNumber, Standing, Time},
    disk::Disk,
    log::Position,
};

/// So many pages of messages that wait no longer are looked at at once.
const PAGES_AT_ONCE: usize = 64;
/// So many while a log is opened.
const PAGES_AT_ONCE_OPENING: usize = 4096;

/// All of it.
#[derive(Debug)]
pub(super) struct State {
    sessions: BTreeMap<SessionNumber, Box<Session>>,
    pub(super) retained: HashMap<Box<str>, Kept>,
    pub(super) plans: BTreeMap<u64, Kept>,
    /// What waits for all sessions together.
    queued: Amount,
    held: Held,
    scratch: Scratch,
    /// Pages of messages that wait no longer, but still count as held.
    leaving: Vec<PageRef>,
    /// Sessions whose end has been seen in a log that is being opened.
    ended: HashSet<SessionNumber>,
}

/// Sessions whose beginning is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Strangers {
    /// All of them.
    pub(super) numbers: Vec<SessionNumber>,
    /// How many of them have no end either, and what waited for these.
    pub(super) lost: (u64, Amount),
}

#[derive(Debug, Default)]
struct Session {
    stands: Stands,
    /// Where the last command lies that says all of the standing; the commands that changed it
    /// since lie behind.
    lies: Option<Kept>,
    queue: Queue,
}

/// Whether a message waits already, somewhere else.
#[derive(Clone, Copy, Debug)]
enum Known {
    AsNew,
    Perhaps,
    AsMoved,
}

/// A record that is kept for its own sake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) at: Position,
    /// Of the record.
    bytes: u32,
    /// Begun seconds since 1970 after which a retained message is of no use; 0: for ever.
    expires: u32,
}

/// Where a command lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lies {
    pub(super) at: Position,
    /// The number of its record.
    pub(super) number: u64,
    /// Bytes of its record.
    pub(super) bytes: u32,
}

/// Begun seconds, at least one.
fn seconds(time: Time) -> u32 {
    u32::try_from(time.0.div_ceil(1000).max(1)).unwrap_or(u32::MAX)
}

impl Session {
    /// As it is told. That a message got its packet identifier may have been stored behind that it
    /// was acknowledged: then the identifier is free.
    fn standing(&self, scratch: &mut Scratch) -> Standing {
        let mut standing = self.stands.standing();
        standing.sent.retain(|_, place| match place {
            // What the disk does not tell waits, as far as is known.
            Some(place) => !matches!(self.queue.find(*place, scratch), Ok(None)),
            None => true,
        });
        standing
    }
}

impl State {
    /// Of nothing. Queues that are long go to a file of the disk.
    pub(super) fn new(disk: Option<Arc<dyn Disk>>) -> Self {
        Self {
            sessions: BTreeMap::new(),
            retained: HashMap::new(),
            plans: BTreeMap::new(),
            queued: Amount::default(),
            held: Held::default(),
            scratch: Scratch::new(disk),
            leaving: Vec::new(),
            ended: HashSet::new(),
        }
    }

    /// Takes a step that lies in a log that is being opened. What it speaks of may come later: a
    /// log is cleaned from its old end.
    pub(super) fn replay(&mut self, lies: Lies, command: &Command<'_>) {
        for session in command.sessions() {
            self.sessions.entry(session).or_default();
        }
        if let Command::End { session } = command {
            self.ended.insert(*session);
        }
        self.apply(lies, command);
        if self.leaving.len() >= PAGES_AT_ONCE_OPENING {
            self.let_leave(usize::MAX);
        }
    }

    /// As [`Self::apply`], of what was written anew, so that it lies somewhere else now.
    ///
    /// # Errors
    /// What the disk says that has the queues. Then what could not be found in them counts as lying
    /// where it lay.
    pub(super) fn apply_anew(&mut self, lies: Lies, command: &Command<'_>) -> io::Result<()> {
        if let Command::Keep { place, message, claims } = command {
            return self.enqueue(lies, *place, message, claims, Known::AsMoved);
        }
        self.apply(lies, command);
        Ok(())
    }

    /// Takes a step that is on stable storage. A session that has ended takes none.
    pub(super) fn apply(&mut self, lies: Lies, command: &Command<'_>) {
        match command {
            Command::Stand { session, standing } => self.stand(lies, *session, standing),
            Command::End { session } => self.end(*session),
            Command::Leave { session, .. }
            | Command::Subscribe { session, .. }
            | Command::Unsubscribe { session, .. }
            | Command::Send { session, .. }
            | Command::Complete { session, .. }
            | Command::Receive { session, .. }
            | Command::Forget { session, .. } => self.change(*session, command),
            Command::Publish { message, claims, from } => {
                // It is in no queue.
                drop(self.enqueue(lies, Place(lies.number), message, claims, Known::AsNew));
                if let Some((session, packet_id)) = *from {
                    self.change(session, &Command::Receive { session, packet_id });
                }
            }
            Command::Keep { place, message, claims } => {
                // What cannot be looked for waits twice, rather than not at all.
                drop(self.enqueue(lies, *place, message, claims, Known::Perhaps));
            }
            Command::Release { session, from, to } => self.release(*session, *from, *to),
            Command::Acknowledge { session, place, .. } => {
                self.release(*session, *place, *place);
                self.change(*session, command);
            }
            Command::Retain { topic, message } => {
                let mut kept = self.keep(lies);
                kept.expires = message.expires_at.map_or(0, seconds);
                let before = match self.retained.get_mut(*topic) {
                    Some(there) => Some(std::mem::replace(there, kept)),
                    None => self.retained.insert((*topic).into(), kept),
                };
                self.let_go(before);
            }
            Command::Clear { topic } => {
                let before = self.retained.remove(*topic);
                self.let_go(before);
            }
            Command::Expire { topic, by } => {
                let expires = self.retained.get(*topic).map_or(0, |kept| kept.expires);
                if expires != 0 && expires <= seconds(*by) {
                    let before = self.retained.remove(*topic);
                    self.let_go(before);
                }
            }
            Command::Plan { plan, .. } => {
                let kept = self.keep(lies);
                let before = self.plans.insert(*plan, kept);
                self.let_go(before);
            }
            Command::Unplan { plan } => {
                let before = self.plans.remove(plan);
                self.let_go(before);
            }
        }
    }

    /// Has some of the pages whose messages wait no longer leave; tells whether there are more.
    pub(super) fn let_leave(&mut self, most: usize) -> bool {
        let rest = self.leaving.len().saturating_sub(most);
        for reference in self.leaving.split_off(rest) {
            // What the disk does not give is held until the segment is cleaned.
            if let Ok(page) = self.scratch.read(reference.number) {
                for (_, entry) in reference.entries(&page) {
                    self.held.let_go(entry.at, entry.share);
                }
            }
            self.scratch.free(reference.number);
        }
        if rest == 0 {
            self.leaving = Vec::new();
        }
        rest > 0
    }

    /// A segment is gone.
    pub(super) fn forget_segment(&mut self, segment: u32) {
        self.held.forget(segment);
    }

    /// Forgets what belongs to sessions whose beginning is not there, which only damage brings
    /// about, or a step that came after a session's end.
    pub(super) fn forget_strangers(&mut self) -> Strangers {
        let ended = std::mem::take(&mut self.ended);
        let mut strangers = Strangers::default();
        for (number, session) in self.sessions.iter().filter(|(_, it)| it.lies.is_none()) {
            strangers.numbers.push(*number);
            if !ended.contains(number) {
                let (sessions, waited) = &mut strangers.lost;
                *sessions += 1;
                *waited += session.queue.amount();
            }
        }
        strangers.numbers.iter().for_each(|number| self.end(*number));
        self.let_leave(usize::MAX);
        strangers
    }

    /// How much in this segment is still needed: claims, retained messages, plans, standings.
    pub(super) fn holdings(&self, segment: u32) -> u64 {
        self.held.holdings(segment)
    }

    /// How many bytes of this segment are still needed, about.
    pub(super) fn bytes_needed(&self, segment: u32) -> u64 {
        self.held.bytes(segment)
    }

    /// The oldest segment in which some message may have expired; it is not told again unless one
    /// that is later said to expire has.
    pub(super) fn take_expired(&mut self, now: Time) -> Option<u32> {
        self.held.take_expired(now)
    }

    /// A message in this segment expires.
    pub(super) fn expires(&mut self, segment: u32, at: Time) {
        self.held.expires(segment, at);
    }

    /// Some sessions, in the order of their numbers, behind one or from the first on.
    pub(super) fn sessions(
        &mut self,
        behind: Option<SessionNumber>,
        most: usize,
    ) -> Vec<(SessionNumber, Standing)> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let sessions = self.sessions.range((from, Bound::Unbounded)).take(most);
        let scratch = &mut self.scratch;
        sessions.map(|(number, session)| (*number, session.standing(scratch))).collect()
    }

    /// How many sessions there are, what waits for all of them together, retained messages, plans.
    pub(super) fn totals(&self) -> (usize, Amount, usize, usize) {
        (self.sessions.len(), self.queued, self.retained.len(), self.plans.len())
    }

    /// How much waits for a session.
    pub(super) fn queued(&self, session: SessionNumber) -> Amount {
        self.sessions.get(&session).map_or(Amount::default(), |it| it.queue.amount())
    }

    /// Places of messages that wait for a session, from one on; and whether there are more.
    pub(super) fn waiting(
        &mut self,
        session: SessionNumber,
        from: Place,
        most: Amount,
    ) -> io::Result<(Vec<Place>, bool)> {
        let Some(session) = self.sessions.get(&session) else { return Ok((Vec::new(), false)) };
        let (entries, has_more) = session.queue.range(from, most, &mut self.scratch)?;
        Ok((entries.into_iter().map(|entry| entry.place).collect(), has_more))
    }

    /// Where a message lies that waits for a session.
    ///
    /// # Errors
    /// What the disk says that has the queue.
    pub(super) fn claim(
        &mut self,
        session: SessionNumber,
        place: Place,
    ) -> io::Result<Option<Position>> {
        let Some(session) = self.sessions.get(&session) else { return Ok(None) };
        Ok(session.queue.find(place, &mut self.scratch)?.map(|entry| entry.at))
    }

    /// The sessions whose standing lies in a segment, as they stand.
    pub(super) fn standing_in(&self, segment: u32) -> impl Iterator<Item = Command<'static>> {
        self.sessions.iter().filter_map(move |(number, session)| {
            session.lies.filter(|it| it.at.segment == segment)?;
            let standing = Box::new(session.stands.standing());
            Some(Command::Stand { session: *number, standing })
        })
    }

    /// What of a command that lies at `at`, as the record of this number, would be missed if it
    /// were gone, as a command.
    ///
    /// # Errors
    /// What the disk says that has the queues.
    pub(super) fn still_needed<'a>(
        &mut self,
        at: Position,
        number: u64,
        command: Command<'a>,
    ) -> io::Result<Option<Command<'a>>> {
        let is_here = |kept: Option<&Kept>| kept.is_some_and(|kept| kept.at == at);
        Ok(match command {
            Command::Stand { session, .. } => {
                let found = self.sessions.get(&session);
                found.filter(|it| is_here(it.lies.as_ref())).map(|found| {
                    let standing = Box::new(found.stands.standing());
                    Command::Stand { session, standing }
                })
            }
            Command::Publish { message, claims, .. } => {
                self.still_claimed(at, Place(number), message, claims)?
            }
            Command::Keep { place, message, claims } => {
                self.still_claimed(at, place, message, claims)?
            }
            Command::Retain { topic, .. } => is_here(self.retained.get(topic)).then_some(command),
            Command::Plan { plan, .. } => is_here(self.plans.get(&plan)).then_some(command),
            // These change a standing, a queue or what is kept; whatever they have changed lies
            // before them, or was written once more behind them.
            Command::End { .. }
            | Command::Leave { .. }
            | Command::Subscribe { .. }
            | Command::Unsubscribe { .. }
            | Command::Release { .. }
            | Command::Send { .. }
            | Command::Acknowledge { .. }
            | Command::Complete { .. }
            | Command::Receive { .. }
            | Command::Forget { .. }
            | Command::Clear { .. }
            | Command::Expire { .. }
            | Command::Unplan { .. } => None,
        })
    }

    fn still_claimed<'a>(
        &mut self,
        at: Position,
        place: Place,
        message: Message<'a>,
        claims: Vec<Claim>,
    ) -> io::Result<Option<Command<'a>>> {
        let mut left = Vec::new();
        for claim in claims {
            if self.claim(claim.session, place)? == Some(at) {
                left.push(claim);
            }
        }
        Ok((!left.is_empty()).then_some(Command::Keep { place, message, claims: left }))
    }

    /// If a claim cannot be looked for that has to be there, it stays as it was, and the others are
    /// done.
    fn enqueue(
        &mut self,
        lies: Lies,
        place: Place,
        message: &Message<'_>,
        claims: &[Claim],
        known: Known,
    ) -> io::Result<()> {
        let share = lies.bytes / claims.len().max(1) as u32;
        let entry = Entry { place, at: lies.at, bytes: message.packet.len() as u32, share };
        let mut outcome = Ok(());
        for claim in claims {
            let Some(session) = self.sessions.get_mut(&claim.session) else { continue };
            let before = match known {
                Known::AsNew => Ok(None),
                Known::Perhaps => {
                    session.queue.replace(entry, &mut self.scratch).or(Ok::<_, io::Error>(None))
                }
                Known::AsMoved => session.queue.replace(entry, &mut self.scratch),
            };
            match before {
                Ok(Some(before)) => self.held.let_go(before.at, before.share),
                Ok(None) => {
                    self.queued -= session.queue.amount();
                    session.queue.push(entry, &mut self.scratch);
                    self.queued += session.queue.amount();
                }
                Err(error) => {
                    outcome = Err(error);
                    continue;
                }
            }
            self.held.hold(lies.at, share);
        }
        message.expires_at.into_iter().for_each(|time| self.held.expires(lies.at.segment, time));
        outcome
    }

    fn change(&mut self, session: SessionNumber, command: &Command<'_>) {
        let session = self.sessions.get_mut(&session);
        session.into_iter().for_each(|session| session.stands.change(command));
    }

    fn stand(&mut self, lies: Lies, number: SessionNumber, standing: &Standing) {
        let kept = self.keep(lies);
        let session = self.sessions.entry(number).or_default();
        session.stands = Stands::from(standing);
        let before = session.lies.replace(kept);
        self.let_go(before);
    }

    fn end(&mut self, number: SessionNumber) {
        self.release(number, Place(0), Place(u64::MAX));
        let Some(ended) = self.sessions.remove(&number) else { return };
        // What the disk would not give to be released.
        self.queued -= ended.queue.amount();
        self.let_go(ended.lies);
    }

    fn release(&mut self, session: SessionNumber, from: Place, to: Place) {
        let Some(session) = self.sessions.get_mut(&session).filter(|_| from <= to) else { return };
        let Self { scratch, leaving, held, .. } = self;
        let each = |entry: Entry| held.let_go(entry.at, entry.share);
        self.queued -= session.queue.amount();
        session.queue.release(from, to, scratch, leaving, each);
        self.queued += session.queue.amount();
        session.stands.release(from, to);
        if self.leaving.len() <= PAGES_AT_ONCE {
            self.let_leave(PAGES_AT_ONCE);
        }
    }

    fn keep(&mut self, lies: Lies) -> Kept {
        self.held.hold(lies.at, lies.bytes);
        Kept { at: lies.at, bytes: lies.bytes, expires: 0 }
    }

    fn let_go(&mut self, kept: Option<Kept>) {
        kept.into_iter().for_each(|kept| self.held.let_go(kept.at, kept.bytes));
    }
}
