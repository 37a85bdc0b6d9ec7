//! The store that keeps nothing: plain maps in memory, to be compared with, and for brokers whose
//! sessions need not outlive them.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{Amount, Batch, Done, Figures, Queued, Refusal, Store};
use crate::command::{Claim, Command, Message, Place, Purpose, SessionNumber, Standing, Time};

/// So long closing it waits for somebody who is told something.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// The store. Clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
    /// Nobody is told anything any more.
    told: Arc<Condvar>,
    /// Changed under the lock.
    is_closed: Arc<AtomicBool>,
}

#[derive(Default)]
struct Inner {
    contents: Contents,
    /// The next place.
    next: Place,
    /// What is to be done while somebody is told of something else.
    waiting: Vec<(Result<Batch, Refusal>, Done)>,
    /// Who tells them.
    teller: Option<ThreadId>,
}

/// All that a store has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// By number.
    pub sessions: BTreeMap<SessionNumber, Standing>,
    /// What waits for each of them.
    pub queues: BTreeMap<SessionNumber, BTreeMap<Place, (Claim, Stored)>>,
    /// By topic.
    pub retained: BTreeMap<String, Stored>,
    /// By number.
    pub plans: BTreeMap<u64, (Time, Purpose, Stored)>,
}

/// A message that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    received_at: Time,
    expires_at: Option<Time>,
    flags: u8,
    packet: Arc<[u8]>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inner").field("next", &self.next).finish_non_exhaustive()
    }
}

impl From<&Message<'_>> for Stored {
    fn from(message: &Message<'_>) -> Self {
        let Message { received_at, expires_at, flags, packet } = *message;
        Self { received_at, expires_at, flags, packet: packet.into() }
    }
}

impl Stored {
    /// As it was given.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        let Self { received_at, expires_at, flags, ref packet } = *self;
        Message { received_at, expires_at, flags, packet }
    }
}

impl Contents {
    /// Does one thing.
    ///
    /// `place` is that of the command, if it publishes a message.
    pub fn apply(&mut self, place: Place, command: &Command<'_>) {
        match command {
            Command::Stand { session, standing } => {
                self.sessions.insert(*session, (**standing).clone());
                self.queues.entry(*session).or_default();
            }
            Command::End { session } => {
                self.sessions.remove(session);
                self.queues.remove(session);
            }
            Command::Leave { session, expiry, left_at, was_cut } => self.change(*session, |it| {
                it.expiry = *expiry;
                it.left_at = *left_at;
                it.was_cut = *was_cut;
            }),
            Command::Subscribe { session, filter, terms } => self.change(*session, |it| {
                it.subscriptions.insert((*filter).to_owned(), *terms);
            }),
            Command::Unsubscribe { session, filter } => self.change(*session, |it| {
                it.subscriptions.remove(*filter);
            }),
            Command::Publish { message, claims, from } => {
                self.enqueue(place, message, claims);
                if let Some((session, packet_id)) = from {
                    self.change(*session, |it| {
                        it.received.insert(*packet_id);
                    });
                }
            }
            Command::Keep { place, message, claims } => self.enqueue(*place, message, claims),
            Command::Release { session, from, to } => self.release(*session, *from, *to),
            Command::Send { session, packet_id, places } => {
                self.send(*session, *packet_id, places);
            }
            Command::Acknowledge { session, packet_id, place } => {
                self.change(*session, |it| {
                    it.sent.insert(*packet_id, None);
                });
                self.release(*session, *place, *place);
            }
            Command::Complete { session, packet_id } => self.change(*session, |it| {
                it.sent.remove(packet_id);
            }),
            Command::Receive { session, packet_id } => self.change(*session, |it| {
                it.received.insert(*packet_id);
            }),
            Command::Forget { session, packet_id } => self.change(*session, |it| {
                it.received.remove(packet_id);
            }),
            Command::Retain { topic, message } => {
                self.retained.insert((*topic).to_owned(), Stored::from(message));
            }
            Command::Clear { topic } => drop(self.retained.remove(*topic)),
            Command::Expire { topic, by } => self.expire(topic, *by),
            Command::Plan { plan, due_at, purpose, message } => {
                self.plans.insert(*plan, (*due_at, *purpose, Stored::from(message)));
            }
            Command::Unplan { plan } => drop(self.plans.remove(plan)),
        }
    }

    fn enqueue(&mut self, place: Place, message: &Message<'_>, claims: &[Claim]) {
        let stored = Stored::from(message);
        for claim in claims {
            if let Some(queue) = self.queues.get_mut(&claim.session) {
                queue.insert(place, (claim.clone(), stored.clone()));
            }
        }
    }

    fn send(&mut self, session: SessionNumber, mut packet_id: u16, places: &[Place]) {
        let Some(standing) = self.sessions.get_mut(&session) else { return };
        let queue = self.queues.get(&session);
        for place in places {
            standing.sent.remove(&packet_id);
            if queue.is_some_and(|queue| queue.contains_key(place)) {
                standing.sent.insert(packet_id, Some(*place));
            }
            packet_id = packet_id.checked_add(1).unwrap_or(1);
        }
    }

    fn release(&mut self, session: SessionNumber, from: Place, to: Place) {
        let is_released = |place: Place| from <= place && place <= to;
        if let Some(queue) = self.queues.get_mut(&session) {
            queue.retain(|place, _| !is_released(*place));
        }
        self.change(session, |it| it.sent.retain(|_, place| !place.is_some_and(is_released)));
    }

    fn expire(&mut self, topic: &str, by: Time) {
        let expires_at = self.retained.get(topic).and_then(|it| it.expires_at);
        if expires_at.is_some_and(|at| at <= by) {
            self.retained.remove(topic);
        }
    }

    fn change(&mut self, session: SessionNumber, change: impl FnOnce(&mut Standing)) {
        if let Some(standing) = self.sessions.get_mut(&session) {
            change(standing);
        }
    }
}

impl Inner {
    fn do_batch(&mut self, batch: &Batch) -> Vec<Place> {
        let mut places = Vec::new();
        for command in batch.commands() {
            self.contents.apply(self.next, &command);
            if let Command::Publish { .. } = command {
                places.push(self.next);
                self.next.0 += 1;
            }
        }
        places
    }
}

impl MemoryStore {
    /// Opens once more what was closed, as another process does with a store on a disk.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self { is_closed: Arc::default(), ..self.clone() }
    }
}

impl Store for MemoryStore {
    fn submit(&self, batch: Batch, done: Done) -> Result<(), Refusal> {
        let mut inner = self.inner.lock();
        let is_closed = self.is_closed.load(Ordering::Relaxed);
        let batch = if is_closed { Err(Refusal::closed()) } else { Ok(batch) };
        inner.waiting.push((batch, done));
        // Whoever is told may submit something: that comes behind.
        if inner.teller.is_some() {
            return Ok(());
        }
        inner.teller = Some(thread::current().id());
        while !inner.waiting.is_empty() {
            for (batch, done) in std::mem::take(&mut inner.waiting) {
                let outcome = batch.map(|batch| inner.do_batch(&batch));
                drop(inner);
                done(outcome);
                inner = self.inner.lock();
            }
        }
        inner.teller = None;
        drop(inner);
        self.told.notify_all();
        Ok(())
    }

    fn close(&self) {
        let (this, until) = (thread::current().id(), Instant::now() + CLOSE_PATIENCE);
        let mut inner = self.inner.lock();
        self.is_closed.store(true, Ordering::Relaxed);
        while inner.teller.is_some_and(|teller| teller != this) {
            if self.told.wait_until(&mut inner, until).timed_out() {
                return;
            }
        }
    }

    /// Nothing waits but what is submitted by whoever is told of something else.
    fn is_burdened(&self) -> bool {
        false
    }

    fn is_failing(&self) -> bool {
        false
    }

    fn failure(&self) -> Option<String> {
        None
    }

    /// All queues are looked at, as by much else here.
    fn figures(&self) -> Figures {
        let contents = &self.inner.lock().contents;
        let mut queued = Amount::default();
        for (_, stored) in contents.queues.values().flat_map(BTreeMap::values) {
            queued += Amount { messages: 1, bytes: stored.packet.len() as u64 };
        }
        Figures {
            sessions: contents.sessions.len(),
            queued,
            retained: contents.retained.len(),
            plans: contents.plans.len(),
            ..Figures::default()
        }
    }

    fn sessions(&self, visit: &mut dyn FnMut(SessionNumber, &Standing)) {
        let sessions = self.inner.lock().contents.sessions.clone();
        sessions.iter().for_each(|(number, standing)| visit(*number, standing));
    }

    fn queue(
        &self,
        session: SessionNumber,
        from: Place,
        most: Amount,
        visit: &mut dyn FnMut(Place, &Claim, Message<'_>),
    ) -> io::Result<Queued> {
        let (mut found, mut bytes, mut has_more) = (Vec::new(), 0, false);
        {
            let inner = self.inner.lock();
            let queue = inner.contents.queues.get(&session);
            for (place, (claim, stored)) in queue.into_iter().flat_map(|it| it.range(from..)) {
                has_more = found.len() >= most.messages || bytes >= most.bytes;
                if has_more {
                    break;
                }
                bytes += stored.packet.len() as u64;
                found.push((*place, claim.clone(), stored.clone()));
            }
        }
        found.iter().for_each(|(place, claim, stored)| visit(*place, claim, stored.message()));
        Ok(Queued { has_more, unreadable: Vec::new() })
    }

    fn queued(&self, session: SessionNumber) -> Amount {
        let inner = self.inner.lock();
        let queue = inner.contents.queues.get(&session).into_iter().flat_map(BTreeMap::values);
        queue.fold(Amount::default(), |sum, (_, stored)| Amount {
            messages: sum.messages + 1,
            bytes: sum.bytes + stored.packet.len() as u64,
        })
    }

    fn expired(
        &self,
        now: Time,
        most: usize,
        visit: &mut dyn FnMut(SessionNumber, Place, &Claim, Message<'_>),
    ) -> io::Result<bool> {
        let contents = self.inner.lock().contents.queues.clone();
        let all = contents.iter().flat_map(|(session, queue)| {
            queue.iter().map(move |(place, (claim, stored))| (*session, *place, claim, stored))
        });
        let is_over = |stored: &Stored| stored.expires_at.is_some_and(|at| at <= now);
        let mut expired = all.filter(|(.., stored)| is_over(stored));
        expired.by_ref().take(most).for_each(|(session, place, claim, stored)| {
            visit(session, place, claim, stored.message());
        });
        Ok(expired.next().is_some())
    }

    fn retained(&self, visit: &mut dyn FnMut(&str, Message<'_>)) -> io::Result<()> {
        let retained = self.inner.lock().contents.retained.clone();
        retained.iter().for_each(|(topic, stored)| visit(topic, stored.message()));
        Ok(())
    }

    fn plans(&self, visit: &mut dyn FnMut(u64, Time, Purpose, Message<'_>)) -> io::Result<()> {
        let plans = self.inner.lock().contents.plans.clone();
        plans.iter().for_each(|(number, (due_at, purpose, stored))| {
            visit(*number, *due_at, *purpose, stored.message());
        });
        Ok(())
    }
}
