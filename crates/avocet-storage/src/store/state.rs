//! What a store holds, as its commands have left it: where messages lie, but not the messages.

use std::collections::{BTreeMap, HashMap};

use super::Amount;
use crate::{
    command::{Claim, Command, Message, Place, Purpose, SessionNumber, Standing, Time},
    log::Position,
};

/// All of it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) sessions: BTreeMap<SessionNumber, Session>,
    pub(super) retained: HashMap<Box<str>, Kept>,
    pub(super) plans: BTreeMap<u64, Plan>,
    /// How many claims, retained messages, plans and standings lie in each segment: one without any
    /// is of no use, once all before it are gone.
    held: Held,
}

#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) standing: Standing,
    /// Where the last command lies that says all of the standing; the commands that changed it
    /// since lie behind.
    pub(super) stands_at: Option<Position>,
    /// Where its messages lie.
    pub(super) queue: BTreeMap<Place, Waiting>,
    pub(super) queued: Amount,
}

/// A message in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) at: Position,
    pub(super) bytes: u32,
}

/// A message that is kept for its own sake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) at: Position,
    pub(super) expires_at: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) kept: Kept,
    pub(super) due_at: Time,
    pub(super) purpose: Purpose,
}

impl State {
    /// Takes a step that lies in a log that is being opened. What it speaks of may come later: a
    /// log is cleaned from its old end.
    pub(super) fn replay(&mut self, at: Position, number: u64, command: &Command<'_>) {
        for session in command.sessions() {
            self.sessions.entry(session).or_default();
        }
        self.apply(at, number, command);
    }

    /// Takes a step that is on stable storage, at `at`, as the record of this number. A session
    /// that has ended takes none.
    pub(super) fn apply(&mut self, at: Position, number: u64, command: &Command<'_>) {
        match command {
            Command::Stand { session, standing } => self.stand(at, *session, standing),
            Command::End { session } => self.end(*session),
            Command::Leave { session, .. }
            | Command::Subscribe { session, .. }
            | Command::Unsubscribe { session, .. }
            | Command::Send { session, .. }
            | Command::Complete { session, .. }
            | Command::Receive { session, .. }
            | Command::Forget { session, .. } => self.change(*session, command),
            Command::Publish { message, claims, from } => {
                self.enqueue(at, Place(number), message, claims);
                if let Some((session, packet_id)) = *from {
                    self.change(session, &Command::Receive { session, packet_id });
                }
            }
            Command::Keep { place, message, claims } => {
                self.enqueue(at, *place, message, claims);
            }
            Command::Release { session, from, to } => self.release(*session, *from, *to),
            Command::Acknowledge { session, place, .. } => {
                self.change(*session, command);
                self.release(*session, *place, *place);
            }
            Command::Retain { topic, message } => {
                let before = self.retained.insert((*topic).into(), Kept::new(at, message));
                self.held.hold(at);
                self.held.let_go(before.map(|kept| kept.at));
            }
            Command::Clear { topic } => {
                let before = self.retained.remove(*topic);
                self.held.let_go(before.map(|kept| kept.at));
            }
            Command::Plan { plan, due_at, purpose, message } => {
                let kept = Kept::new(at, message);
                let planned = Plan { kept, due_at: *due_at, purpose: *purpose };
                let before = self.plans.insert(*plan, planned);
                self.held.hold(at);
                self.held.let_go(before.map(|plan| plan.kept.at));
            }
            Command::Unplan { plan } => {
                let before = self.plans.remove(plan);
                self.held.let_go(before.map(|plan| plan.kept.at));
            }
        }
    }

    /// A segment is gone.
    pub(super) fn forget_segment(&mut self, segment: u32) {
        self.held.forget(segment);
    }

    /// Forgets what belongs to sessions whose beginning is not there, which only damage brings
    /// about, or a step that came after a session's end.
    pub(super) fn forget_strangers(&mut self) {
        let strangers = self.sessions.iter().filter(|(_, session)| session.stands_at.is_none());
        let strangers: Vec<SessionNumber> = strangers.map(|(number, _)| *number).collect();
        strangers.iter().for_each(|number| self.end(*number));
    }

    /// Whether anything that lies in this segment is still needed.
    pub(super) fn needs(&self, segment: u32) -> bool {
        self.held.0.get(&segment).is_some_and(|count| count.now > 0)
    }

    /// How much of what lies in this segment is still needed, from 0 to 1.
    pub(super) fn share_needed(&self, segment: u32) -> f64 {
        let count = self.held.0.get(&segment);
        count.map_or(0.0, |count| count.now as f64 / count.ever.max(1) as f64)
    }

    /// Where a message lies that waits for a session.
    pub(super) fn claim(&self, session: SessionNumber, place: Place) -> Option<Position> {
        self.sessions.get(&session)?.queue.get(&place).map(|waiting| waiting.at)
    }

    /// What of a command that lies at `at`, as the record of this number, would be missed if it
    /// were gone, as a command.
    pub(super) fn still_needed<'a>(
        &self,
        at: Position,
        number: u64,
        command: Command<'a>,
    ) -> Option<Command<'a>> {
        match command {
            Command::Stand { session, .. } => {
                let found = self.sessions.get(&session).filter(|it| it.stands_at == Some(at))?;
                let standing = Box::new(found.standing.clone());
                Some(Command::Stand { session, standing })
            }
            Command::Publish { message, claims, .. } => {
                self.still_claimed(at, Place(number), message, claims)
            }
            Command::Keep { place, message, claims } => {
                self.still_claimed(at, place, message, claims)
            }
            Command::Retain { topic, .. } => {
                self.retained.get(topic).is_some_and(|kept| kept.at == at).then_some(command)
            }
            Command::Plan { plan, .. } => {
                self.plans.get(&plan).is_some_and(|plan| plan.kept.at == at).then_some(command)
            }
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
            | Command::Unplan { .. } => None,
        }
    }

    fn still_claimed<'a>(
        &self,
        at: Position,
        place: Place,
        message: Message<'a>,
        mut claims: Vec<Claim>,
    ) -> Option<Command<'a>> {
        claims.retain(|claim| self.claim(claim.session, place) == Some(at));
        (!claims.is_empty()).then_some(Command::Keep { place, message, claims })
    }

    fn enqueue(&mut self, at: Position, place: Place, message: &Message<'_>, claims: &[Claim]) {
        let bytes = message.packet.len() as u32;
        for claim in claims {
            let Some(session) = self.sessions.get_mut(&claim.session) else { continue };
            let before = session.queue.insert(place, Waiting { at, bytes });
            self.held.hold(at);
            match before {
                Some(before) => self.held.let_go(Some(before.at)),
                None => {
                    session.queued.messages += 1;
                    session.queued.bytes += u64::from(bytes);
                }
            }
        }
    }

    fn change(&mut self, session: SessionNumber, command: &Command<'_>) {
        let Some(session) = self.sessions.get_mut(&session) else { return };
        let standing = &mut session.standing;
        match command {
            Command::Leave { expiry, left_at, was_cut, .. } => {
                (standing.expiry, standing.left_at) = (*expiry, *left_at);
                standing.was_cut = *was_cut;
            }
            Command::Subscribe { filter, terms, .. } => {
                standing.subscriptions.insert((*filter).to_owned(), *terms);
            }
            Command::Unsubscribe { filter, .. } => {
                drop(standing.subscriptions.remove_entry(*filter))
            }
            Command::Send { packet_id, places, .. } => {
                let mut packet_id = *packet_id;
                for place in places {
                    standing.sent.insert(packet_id, Some(*place));
                    packet_id = packet_id.checked_add(1).unwrap_or(1);
                }
            }
            Command::Acknowledge { packet_id, .. } => {
                standing.sent.insert(*packet_id, None);
            }
            Command::Complete { packet_id, .. } => {
                standing.sent.remove(packet_id);
            }
            Command::Receive { packet_id, .. } => {
                standing.received.insert(*packet_id);
            }
            Command::Forget { packet_id, .. } => {
                standing.received.remove(packet_id);
            }
            Command::Stand { .. }
            | Command::End { .. }
            | Command::Publish { .. }
            | Command::Keep { .. }
            | Command::Release { .. }
            | Command::Retain { .. }
            | Command::Clear { .. }
            | Command::Plan { .. }
            | Command::Unplan { .. } => {}
        }
    }

    fn stand(&mut self, at: Position, number: SessionNumber, standing: &Standing) {
        let session = self.sessions.entry(number).or_default();
        session.standing = standing.clone();
        let before = session.stands_at.replace(at);
        self.held.hold(at);
        self.held.let_go(before);
    }

    fn end(&mut self, number: SessionNumber) {
        let Some(session) = self.sessions.remove(&number) else { return };
        let waiting = session.queue.into_values().map(|waiting| waiting.at);
        for at in waiting.chain(session.stands_at) {
            self.held.let_go(Some(at));
        }
    }

    fn release(&mut self, session: SessionNumber, from: Place, to: Place) {
        let Some(session) = self.sessions.get_mut(&session).filter(|_| from <= to) else { return };
        let released: Vec<Place> =
            session.queue.range(from..=to).map(|(place, _)| *place).collect();
        for place in released {
            let Some(waiting) = session.queue.remove(&place) else { continue };
            session.queued.messages -= 1;
            session.queued.bytes -= u64::from(waiting.bytes);
            self.held.let_go(Some(waiting.at));
        }
        let is_released = |place: &Option<Place>| place.is_some_and(|it| from <= it && it <= to);
        session.standing.sent.retain(|_, place| !is_released(place));
    }
}

impl Kept {
    fn new(at: Position, message: &Message<'_>) -> Self {
        Self { at, expires_at: message.expires_at }
    }
}

/// Counts by segment.
#[derive(Debug, Default)]
struct Held(BTreeMap<u32, Count>);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    now: u64,
    ever: u64,
}

impl Held {
    fn hold(&mut self, at: Position) {
        let count = self.0.entry(at.segment).or_default();
        count.now += 1;
        count.ever += 1;
    }

    fn let_go(&mut self, at: Option<Position>) {
        let count = at.and_then(|at| self.0.get_mut(&at.segment));
        count.into_iter().for_each(|count| count.now -= 1);
    }

    fn forget(&mut self, segment: u32) {
        self.0.remove(&segment);
    }
}
