//! The store that needs nothing but a disk: a log, and in memory where in it everything lies.
//!
//! One thread writes. It takes all that has been submitted, commits it as one group, and tells
//! everybody. Between groups it cleans: what is still needed of the oldest segment is written once
//! more at the end of the log, and the segment is gone. Since always the oldest goes, nothing that
//! is left speaks of something that lay in it.

mod cleaner;

use std::{
    hash::{BuildHasher, RandomState},
    io, mem,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use self::cleaner::Cleaner;
use super::{Amount, Batch, Done, Refusal, Store, state::State};
use crate::{
    command::{Claim, Command, Message, Place, Purpose, SessionNumber, Standing, Time},
    disk::Disk,
    log::{Appended, Durability, Log, LogOptions, Loss, Placed, Position, Reader},
};

/// How long to wait before the disk is tried again that took nothing.
const RETRY: Duration = Duration::from_millis(500);

/// How a store is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A segment with so many bytes is full.
    pub segment_bytes: u32,
    /// So many bytes may wait to be committed before batches are refused.
    pub waiting_bytes_max: usize,
    /// What an outcome waits for.
    pub durability: Durability,
    /// The log is cleaned from so many bytes on, when more than half of it is of no use.
    pub cleaned_from_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            waiting_bytes_max: 256 << 20,
            durability: Durability::Fsync,
            cleaned_from_bytes: 256 << 20,
        }
    }
}

/// The store. Its thread ends with it, once all that was submitted is stored or has failed.
#[derive(Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    reader: Reader,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    inbound: Mutex<Inbound>,
    arrived: Condvar,
    state: Mutex<State>,
    failure: Mutex<Option<String>>,
    waiting_bytes_max: usize,
}

/// What was submitted and is not yet with the writer.
#[derive(Default)]
struct Inbound {
    batches: Vec<(Batch, Done)>,
    /// Bytes of these and of those that the writer has.
    bytes: usize,
    is_over: bool,
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Inbound").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Opens what lies on a disk, or begins with nothing. Says what could not be read.
    ///
    /// # Errors
    /// What the disk says when it is read; that no thread can be started.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> io::Result<(Self, Vec<Loss>)> {
        let mut state = State::default();
        let log_options = LogOptions {
            segment_bytes: options.segment_bytes,
            durability: options.durability,
            key: RandomState::new().hash_one(options.segment_bytes),
        };
        let (log, losses) = Log::open(disk, log_options, |position, number, body| {
            if let Some(command) = Command::read(body) {
                state.replay(position, number, &command);
            }
        })?;
        state.forget_strangers();
        let reader = log.reader().clone();
        let shared = Arc::new(Shared {
            inbound: Mutex::default(),
            arrived: Condvar::new(),
            state: Mutex::new(state),
            failure: Mutex::default(),
            waiting_bytes_max: options.waiting_bytes_max,
        });
        let cleaner = Cleaner::new(options.cleaned_from_bytes);
        let mut writer = Writer { shared: Arc::clone(&shared), log, cleaner, undone: Vec::new() };
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || writer.run())?;
        Ok((Self { shared, reader, thread: Some(thread) }, losses))
    }

    /// Reads a record whose place is known, which the cleaner may change meanwhile.
    fn read(
        &self,
        locate: impl Fn(&State) -> Option<Position>,
        visit: &mut dyn FnMut(&Command<'_>),
    ) -> io::Result<()> {
        let mut body = Vec::new();
        loop {
            let Some(position) = locate(&self.shared.state.lock()) else { return Ok(()) };
            match self.reader.read(position, &mut body) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Command::read(&body).map(|command| visit(&command)).ok_or(io::ErrorKind::InvalidData.into())
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.shared.inbound.lock().is_over = true;
        self.shared.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say if it panicked: that was told when it happened.
            drop(thread.join());
        }
    }
}

impl Store for EmbeddedStore {
    fn submit(&self, batch: Batch, done: Done) -> Result<(), Refusal> {
        let mut inbound = self.shared.inbound.lock();
        if batch.is_refusable && inbound.bytes >= self.shared.waiting_bytes_max {
            return Err(Refusal::Busy);
        }
        inbound.bytes += batch.bytes.len();
        inbound.batches.push((batch, done));
        drop(inbound);
        self.shared.arrived.notify_one();
        Ok(())
    }

    fn failure(&self) -> Option<String> {
        self.shared.failure.lock().clone()
    }

    fn sessions(&self, visit: &mut dyn FnMut(SessionNumber, &Standing)) {
        let state = self.shared.state.lock();
        state.sessions.iter().for_each(|(number, session)| visit(*number, &session.standing));
    }

    fn queue(
        &self,
        session: SessionNumber,
        from: Place,
        most: Amount,
        visit: &mut dyn FnMut(Place, &Claim, Message<'_>),
    ) -> io::Result<bool> {
        let (mut places, mut bytes, mut has_more) = (Vec::new(), 0, false);
        {
            let state = self.shared.state.lock();
            let queue = state.sessions.get(&session).map(|session| &session.queue);
            for (place, waiting) in queue.into_iter().flat_map(|queue| queue.range(from..)) {
                has_more = places.len() >= most.messages || bytes >= most.bytes;
                if has_more {
                    break;
                }
                bytes += u64::from(waiting.bytes);
                places.push(*place);
            }
        }
        for place in places {
            let locate = |state: &State| state.claim(session, place);
            self.read(locate, &mut |command| {
                let (Command::Publish { message, claims, .. }
                | Command::Keep { message, claims, .. }) = command
                else {
                    return;
                };
                let ours = claims.iter().find(|it| it.session == session);
                ours.into_iter().for_each(|claim| visit(place, claim, *message));
            })?;
        }
        Ok(has_more)
    }

    fn queued(&self, session: SessionNumber) -> Amount {
        let state = self.shared.state.lock();
        state.sessions.get(&session).map_or(Amount::default(), |session| session.queued)
    }

    fn retained(&self, visit: &mut dyn FnMut(&str, Message<'_>)) -> io::Result<()> {
        let topics: Vec<Box<str>> = self.shared.state.lock().retained.keys().cloned().collect();
        for topic in topics {
            let locate = |state: &State| state.retained.get(&topic).map(|kept| kept.at);
            self.read(locate, &mut |command| {
                if let Command::Retain { topic, message } = command {
                    visit(topic, *message);
                }
            })?;
        }
        Ok(())
    }

    fn plans(&self, visit: &mut dyn FnMut(u64, Time, Purpose, Message<'_>)) -> io::Result<()> {
        let plans: Vec<u64> = self.shared.state.lock().plans.keys().copied().collect();
        for plan in plans {
            let locate = |state: &State| state.plans.get(&plan).map(|plan| plan.kept.at);
            self.read(locate, &mut |command| {
                if let Command::Plan { plan, due_at, purpose, message } = command {
                    visit(*plan, *due_at, *purpose, *message);
                }
            })?;
        }
        Ok(())
    }
}

/// The thread that writes.
struct Writer {
    shared: Arc<Shared>,
    log: Log,
    cleaner: Cleaner,
    /// Batches that have to be stored and could not be yet.
    undone: Vec<(Batch, Done)>,
}

impl Writer {
    fn run(&mut self) {
        while let Some(batches) = self.wait() {
            self.store(batches);
            if let Err(error) = self.cleaner.step(&mut self.log, &self.shared.state) {
                self.fail(&error);
            }
        }
    }

    /// What there is to be stored; nothing, if the store is at its end.
    fn wait(&mut self) -> Option<Vec<(Batch, Done)>> {
        let mut inbound = self.shared.inbound.lock();
        let has_failed = self.shared.failure.lock().is_some();
        if inbound.batches.is_empty() && !inbound.is_over && !self.cleaner.is_busy() {
            if has_failed {
                self.shared.arrived.wait_for(&mut inbound, RETRY);
            } else {
                self.shared.arrived.wait(&mut inbound);
            }
        }
        if inbound.is_over && inbound.batches.is_empty() {
            return None;
        }
        let mut batches = mem::take(&mut self.undone);
        batches.append(&mut inbound.batches);
        Some(batches)
    }

    fn store(&mut self, batches: Vec<(Batch, Done)>) {
        if batches.is_empty() && self.shared.failure.lock().is_none() {
            return;
        }
        // Each batch with where its commands lie in the group.
        let mut entered = Vec::new();
        let mut refused = Vec::new();
        for (batch, done) in batches {
            match self.log.append_batch(batch.commands()) {
                Ok(first) => entered.push((batch, done, first)),
                Err(error) => refused.push((batch, done, error)),
            }
        }
        let committed = match self.log.waiting_bytes() {
            // Nothing to be stored, only to be told in turn; a disk that has failed is asked.
            0 if self.shared.failure.lock().is_none() => Ok(Placed::default()),
            _ => self.log.commit(),
        };
        match committed {
            Ok(placed) => {
                *self.shared.failure.lock() = None;
                let places = self.apply(&entered, placed);
                for ((batch, done, _), places) in entered.into_iter().zip(places) {
                    self.finish(&batch, done, Ok(places));
                }
            }
            Err(error) => {
                self.log.discard();
                self.fail(&error);
                for (batch, done, _) in entered {
                    if batch.is_refusable {
                        let refusal = Refusal::Failed(error.to_string());
                        self.finish(&batch, done, Err(refusal));
                    } else {
                        self.undone.push((batch, done));
                    }
                }
            }
        }
        for (batch, done, error) in refused {
            self.finish(&batch, done, Err(Refusal::Failed(error.to_string())));
        }
    }

    /// Answers the places of the messages that each batch has published.
    fn apply(&self, entered: &[(Batch, Done, Appended)], placed: Placed) -> Vec<Vec<Place>> {
        let mut state = self.shared.state.lock();
        let apply = |(batch, _, first): &(Batch, Done, Appended)| {
            let (mut places, mut record) = (Vec::new(), *first);
            for bytes in batch.commands() {
                let (number, position) = (placed.number(record), placed.position(record));
                record = record.next(bytes.len());
                let Some(command) = Command::read(bytes) else { continue };
                state.apply(position, number, &command);
                if let Command::Publish { .. } = command {
                    places.push(Place(number));
                }
            }
            places
        };
        entered.iter().map(apply).collect()
    }

    fn finish(&self, batch: &Batch, done: Done, outcome: Result<Vec<Place>, Refusal>) {
        self.shared.inbound.lock().bytes -= batch.bytes.len();
        done(outcome);
    }

    fn fail(&self, error: &io::Error) {
        *self.shared.failure.lock() = Some(error.to_string());
    }
}
