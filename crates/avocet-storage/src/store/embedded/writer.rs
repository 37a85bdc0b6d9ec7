//! The thread that writes: groups of batches, and between them what the cleaner has to do.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Options, Shared,
    cleaner::Cleaner,
    gathering::Gathering,
    lies,
    reserve::{For, Reserve},
};
use crate::{
    command::{Command, Place},
    disk::Disk,
    log::{Appended, Log, Placed},
    store::{Batch, Done, Refusal},
};

/// A group of several batches is no larger.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// Pages of queues that are looked at before others have their turn.
const PAGES_AT_ONCE: usize = 1024;

pub(in crate::store) struct Writer {
    shared: Arc<Shared>,
    log: Log,
    disk: Arc<dyn Disk>,
    reserve: Reserve,
    cleaner: Cleaner,
    /// What is to be stored, in order.
    waiting: VecDeque<(Batch, Done)>,
    /// The group: each batch with its first record.
    entered: Vec<(Batch, Done, Appended)>,
    gathering: Gathering,
    retry_after: Duration,
    /// When the disk is tried again, if it has failed.
    retry_at: Option<Instant>,
    /// When the reserve is taken back, if it was given.
    take_at: Option<Instant>,
    /// Whether pages of queues are to be looked at.
    has_leaving: bool,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        log: Log,
        disk: Arc<dyn Disk>,
        options: &Options,
    ) -> Self {
        let reserve = Reserve::new(&*disk, options.reserve_bytes);
        Self {
            shared,
            log,
            disk,
            reserve,
            cleaner: Cleaner::new(options),
            gathering: Gathering::default(),
            retry_after: options.retry_after,
            waiting: VecDeque::new(),
            entered: Vec::new(),
            retry_at: None,
            take_at: None,
            has_leaving: false,
        }
    }

    pub(super) fn run(&mut self) {
        while self.wait() {
            self.turn();
        }
        self.end();
    }

    /// Stores what has been submitted, and does a little of what there is to do beside.
    pub(in crate::store) fn turn(&mut self) {
        self.take();
        self.store();
        self.has_leaving = self.shared.state.lock().let_leave(PAGES_AT_ONCE);
        if !self.has_leaving {
            let outcome = self.clean();
            *self.shared.cleaning_failure.lock() =
                outcome.err().map(|error| format!("space cannot be given back: {error}"));
        }
    }

    fn clean(&mut self) -> io::Result<()> {
        let outcome = self.cleaner.step(&mut self.log, &self.shared, self.reserve.is_given());
        match &outcome {
            Err(error) if self.reserve.give(&*self.disk, For::Cleaner, error) => {
                self.cleaner.hurry();
                Ok(())
            }
            _ => outcome,
        }
    }

    /// Whatever waits has its last chance.
    pub(in crate::store) fn end(&mut self) {
        self.take();
        self.retry_at = None;
        self.store();
        for (batch, done) in std::mem::take(&mut self.waiting) {
            let why = self.shared.failure.lock().clone();
            self.finish(&batch, done, Err(Refusal::Failed(why.unwrap_or_default())));
        }
    }

    /// Takes what has been submitted.
    fn take(&mut self) {
        let mut inbound = self.shared.inbound.lock();
        self.waiting.extend(inbound.batches.drain(..));
        inbound.commands = 0;
    }

    /// Waits until there is something to do; false at the end of the store.
    fn wait(&mut self) -> bool {
        let mut inbound = self.shared.inbound.lock();
        loop {
            if inbound.is_over {
                return false;
            }
            let now = Instant::now();
            let take_at = self.reserve.is_given().then(|| self.take_at.unwrap_or(now));
            let mut until =
                [self.retry_at, self.cleaner.retry_at(), take_at].into_iter().flatten().min();
            let is_due = [self.retry_at, take_at].into_iter().flatten().any(|at| at <= now);
            if is_due || self.has_leaving || self.cleaner.is_due(now) {
                return true;
            }
            inbound.wanted = 0;
            if !inbound.batches.is_empty() {
                let Some((wanted, gathered)) = self.gathering.wants(inbound.commands, now) else {
                    return true;
                };
                inbound.wanted = wanted;
                until = Some(until.map_or(gathered, |until| until.min(gathered)));
            }
            match until {
                Some(until) => drop(self.shared.arrived.wait_until(&mut inbound, until)),
                None => self.shared.arrived.wait(&mut inbound),
            }
        }
    }

    /// Stores what waits, a group after the other, unless the disk has failed not long ago.
    fn store(&mut self) {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return self.refuse();
        }
        if !self.waiting.is_empty() {
            self.reserve.prepare(&*self.disk, self.log.segment_bytes().into());
        }
        if self.reserve.is_given() {
            self.take_reserve();
            self.refuse_if_full();
        }
        // A disk that has failed is asked even if nobody has anything.
        while !self.waiting.is_empty() || self.retry_at.is_some() {
            self.enter();
            let begun = Instant::now();
            let committed = match self.log.waiting_bytes() {
                // Nothing to be stored, only to be told in turn.
                0 if self.retry_at.is_none() => Ok(Placed::default()),
                _ => self.log.commit(),
            };
            match committed {
                Ok(placed) => self.succeed(placed, begun.elapsed()),
                Err(error) => return self.fail(&error),
            }
        }
    }

    /// Takes back what was given of the disk, if that is to be tried: then it is not full any more.
    fn take_reserve(&mut self) {
        let now = Instant::now();
        if self.take_at.is_some_and(|at| now < at) {
            return;
        }
        self.take_at = None;
        *self.shared.failure.lock() = self.reserve.take(&*self.disk).err().map(|error| {
            self.take_at = Some(now + self.retry_after);
            error.to_string()
        });
    }

    /// What the reserve has left is for what may not be refused.
    fn refuse_if_full(&mut self) {
        if self.reserve.is_given() {
            self.refuse();
        }
    }

    /// Fills the group.
    fn enter(&mut self) {
        while let Some((batch, done)) = self.waiting.pop_front() {
            let bytes = self.log.waiting_bytes() + batch.bytes.len();
            if !self.entered.is_empty() && bytes > GROUP_BYTES_MAX {
                self.waiting.push_front((batch, done));
                break;
            }
            match self.log.append_batch(batch.commands()) {
                Ok(first) => self.entered.push((batch, done, first)),
                Err(_) if !self.entered.is_empty() => {
                    self.waiting.push_front((batch, done));
                    break;
                }
                // However often it is tried.
                Err(_) => {
                    let why = "it is too large".to_owned();
                    self.finish(&batch, done, Err(Refusal::Failed(why)));
                }
            }
        }
    }

    fn succeed(&mut self, placed: Placed, took: Duration) {
        self.retry_at = None;
        if !self.reserve.is_given() {
            *self.shared.failure.lock() = None;
        }
        let places = self.apply(placed);
        let entered = std::mem::take(&mut self.entered);
        let told: usize = entered.iter().map(|(batch, ..)| batch.bytes.len()).sum();
        let stored: usize = entered.iter().map(|(batch, ..)| batch.ends.len()).sum();
        for ((_, done, _), places) in entered.into_iter().zip(places) {
            done(Ok(places));
        }
        let mut inbound = self.shared.inbound.lock();
        inbound.bytes -= told;
        if stored > 0 {
            self.gathering.note(stored, inbound.commands, took, Instant::now());
        }
    }

    /// Answers the places of the messages that each batch has published.
    fn apply(&self, placed: Placed) -> Vec<Vec<Place>> {
        let mut state = self.shared.state.lock();
        let apply = |(batch, _, first): &(Batch, Done, Appended)| {
            let (mut places, mut record) = (Vec::new(), *first);
            for bytes in batch.commands() {
                let lies = lies(placed.position(record), placed.number(record), bytes);
                record = record.next(bytes.len());
                let Some(command) = Command::read(bytes) else { continue };
                state.apply(lies, &command);
                if let Command::Publish { .. } = command {
                    places.push(Place(lies.number));
                }
            }
            places
        };
        self.entered.iter().map(apply).collect()
    }

    fn fail(&mut self, error: &io::Error) {
        self.log.discard();
        *self.shared.failure.lock() = Some(error.to_string());
        let now = Instant::now();
        let has_room = self.reserve.give(&*self.disk, For::Commits, error);
        self.take_at = Some(now + self.retry_after);
        self.retry_at = Some(if has_room { now } else { now + self.retry_after });
        for (batch, done, _) in std::mem::take(&mut self.entered).into_iter().rev() {
            self.waiting.push_front((batch, done));
        }
        self.refuse();
    }

    /// Refuses what may be refused.
    fn refuse(&mut self) {
        let why = self.shared.failure.lock().clone().unwrap_or_default();
        for (batch, done) in std::mem::take(&mut self.waiting) {
            if batch.is_refusable {
                self.finish(&batch, done, Err(Refusal::Failed(why.clone())));
            } else {
                self.waiting.push_back((batch, done));
            }
        }
    }

    fn finish(&self, batch: &Batch, done: Done, outcome: Result<Vec<Place>, Refusal>) {
        self.shared.inbound.lock().bytes -= batch.bytes.len();
        done(outcome);
    }
}
