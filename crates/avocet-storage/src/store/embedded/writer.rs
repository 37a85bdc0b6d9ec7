//! The thread that writes: groups of batches, and between them what the cleaner has to do.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::error;

use super::{
    Options, Shared,
    cleaner::Cleaner,
    closed::Mark,
    gathering::Gathering,
    lies, pieces,
    space::{Lend, Space},
};
use crate::{
    command::{Command, Place},
    disk,
    log::{Appended, Log, Placed, RECORD_HEADER_BYTES},
    store::{Batch, Done, Refusal},
};

/// Pages of queues that are looked at before others have their turn.
const PAGES_AT_ONCE: usize = 1024;

pub(in crate::store) struct Writer {
    shared: Arc<Shared>,
    log: Log,
    space: Space,
    mark: Mark,
    cleaner: Cleaner,
    /// What is to be stored, in order.
    waiting: VecDeque<(Batch, Done)>,
    /// The group: each batch with its first record.
    entered: Vec<(Batch, Done, Appended)>,
    gathering: Gathering,
    retry_after: Duration,
    /// When the disk is tried again, if it has failed.
    retry_at: Option<Instant>,
    /// Whether pages of queues are to be looked at.
    has_leaving: bool,
}

/// Tells that the thread is over, whatever has ended it.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut inbound = self.0.inbound.lock();
        inbound.has_ended = true;
        inbound.is_running = false;
        // There is something if the thread has panicked.
        let left = std::mem::take(&mut inbound.batches);
        drop(inbound);
        self.0.ended.notify_all();
        left.into_iter().for_each(|(_, done)| done(Err(Refusal::closed())));
    }
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        log: Log,
        space: Space,
        mark: Mark,
        options: &Options,
    ) -> Self {
        Self {
            shared,
            log,
            space,
            mark,
            cleaner: Cleaner::new(options),
            gathering: Gathering::default(),
            retry_after: options.retry_after,
            waiting: VecDeque::new(),
            entered: Vec::new(),
            retry_at: None,
            has_leaving: false,
        }
    }

    /// No group has more bytes.
    #[cfg(test)]
    pub(super) fn limit_groups(&mut self, bytes: usize) {
        self.log.limit_groups(bytes);
    }

    pub(super) fn run(mut self) {
        let _ending = Ending(Arc::clone(&self.shared));
        while self.wait() {
            self.turn();
        }
        self.end();
        self.close();
    }

    /// Stores what has been submitted, and does a little of what there is to do beside.
    pub(in crate::store) fn turn(&mut self) {
        self.take();
        self.store();
        self.has_leaving = self.shared.state.lock().let_leave(PAGES_AT_ONCE);
        if !self.has_leaving {
            let outcome = self.cleaner.step(&mut self.log, &mut self.space, &self.shared);
            if matches!(outcome, Ok(true)) && self.space.is_full() {
                // What waits for room need not wait any longer.
                self.retry_at = None;
                self.regain(true);
            } else if !self.cleaner.is_due(Instant::now()) && self.space.lend_all() {
                self.retry_at = None;
                self.store();
            }
            *self.shared.cleaning_failure.lock() =
                outcome.err().map(|error| format!("space cannot be given back: {error}"));
        }
    }

    /// Whatever waits has its last chance.
    pub(in crate::store) fn end(&mut self) {
        self.retry_at = None;
        loop {
            self.take();
            self.store();
            for (batch, done) in std::mem::take(&mut self.waiting) {
                let why = self.shared.failure.why();
                self.finish(&batch, done, Err(Refusal::Failed(why.unwrap_or_default())));
            }
            let mut inbound = self.shared.inbound.lock();
            inbound.has_ended = inbound.batches.is_empty();
            if inbound.has_ended {
                return;
            }
        }
    }

    /// Says that all that was done is stored, if it is.
    fn close(&mut self) {
        if self.shared.failure.is_there() {
            // It was not, and may be said still if the disk could not be written to.
            drop(self.mark.remove());
        } else if self.log.sync().is_ok() {
            self.mark.leave();
        }
    }

    /// Takes what has been submitted.
    fn take(&mut self) {
        let mut inbound = self.shared.inbound.lock();
        self.waiting.extend(inbound.batches.drain(..));
        inbound.commands = 0;
        if std::mem::take(&mut inbound.is_asked) {
            // As one that has failed: with a group, be it empty.
            self.retry_at = Some(Instant::now());
        }
    }

    /// Waits until there is something to do; false at the end of the store.
    fn wait(&mut self) -> bool {
        let mut inbound = self.shared.inbound.lock();
        loop {
            if inbound.is_over {
                return false;
            }
            let now = Instant::now();
            let due = [self.retry_at, self.space.look_at()];
            let is_due = due.into_iter().flatten().any(|at| at <= now);
            if is_due || inbound.is_asked || self.has_leaving || self.cleaner.is_due(now) {
                return true;
            }
            let mut gathered = None;
            inbound.wanted = 0;
            if !inbound.batches.is_empty() {
                let Some((wanted, until)) = self.gathering.wants(inbound.commands, now) else {
                    return true;
                };
                inbound.wanted = wanted;
                gathered = Some(until);
            }
            let until = [self.retry_at, self.space.look_at(), self.cleaner.retry_at(), gathered];
            let until = until.into_iter().flatten().min();
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
        if self.space.look_at().is_some_and(|at| at <= Instant::now()) {
            self.regain(false);
        }
        // A disk that has failed is asked even if nobody has anything.
        while !self.waiting.is_empty() || self.retry_at.is_some() {
            if self.space.is_full() {
                self.refuse();
                if self.waiting.is_empty() {
                    self.retry_at = None;
                    return;
                }
            }
            self.enter();
            let begun = Instant::now();
            let committed = match self.log.waiting_bytes() {
                // Nothing to be stored, only to be told in turn.
                0 if self.retry_at.is_none() => Ok(Placed::default()),
                _ => self.mark.remove().and_then(|()| self.log.commit()),
            };
            match committed {
                Ok(placed) => self.succeed(placed, begun.elapsed()),
                Err(error) if self.fail(&error) => {}
                Err(_) => return,
            }
        }
    }

    /// Fills the group.
    fn enter(&mut self) {
        while let Some((batch, done)) = self.waiting.pop_front() {
            let bytes = self.log.waiting_bytes() + batch.bytes.len();
            if !self.entered.is_empty() && bytes > self.space.group_bytes_max() {
                self.waiting.push_front((batch, done));
                break;
            }
            match self.log.append_batch(batch.records()) {
                Ok(first) => self.entered.push((batch, done, first)),
                Err(_) if !self.entered.is_empty() => {
                    self.waiting.push_front((batch, done));
                    break;
                }
                Err(_) if !batch.is_refusable && batch.ends.len() > 1 => {
                    let bytes = self.space.group_bytes_max().min(self.log.group_bytes_max());
                    let pieces = pieces::cut(&batch, done, bytes);
                    pieces.into_iter().rev().for_each(|piece| self.waiting.push_front(piece));
                }
                // However often it is tried.
                Err(_) => {
                    let bytes = batch.bytes.len();
                    let why = format!("it has {bytes} bytes, which is too large");
                    if !batch.is_refusable {
                        error!(bytes, "A command is too large to be stored, and is lost.");
                    }
                    self.finish(&batch, done, Err(Refusal::Failed(why)));
                }
            }
        }
    }

    fn succeed(&mut self, placed: Placed, took: Duration) {
        if placed != Placed::default() {
            self.shared.commits.lock().note(took);
        }
        self.retry_at = None;
        self.space.succeed();
        if self.space.is_full() {
            self.regain(false);
        } else {
            self.shared.failure.set(None);
            self.space.grow(&self.log);
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
            for bytes in batch.records() {
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

    /// Tells whether what waits is to be tried again at once.
    fn fail(&mut self, error: &io::Error) -> bool {
        let batches = self.entered.iter().filter(|(batch, ..)| !batch.is_refusable).count();
        self.log.discard();
        self.shared.failure.set(Some(error.to_string()));
        for (batch, done, _) in std::mem::take(&mut self.entered).into_iter().rev() {
            self.waiting.push_front((batch, done));
        }
        self.refuse();
        if disk::is_full(error) && self.make_room(batches) {
            return true;
        }
        self.retry_at = Some(Instant::now() + self.retry_after);
        false
    }

    /// Tells whether there is some, or may be for less than so many batches.
    fn make_room(&mut self, batches: usize) -> bool {
        self.space.fill(&mut self.log);
        let bytes = |batch: &Batch| batch.bytes.len() + batch.ends.len() * RECORD_HEADER_BYTES;
        let waiting: usize = self.waiting.iter().map(|(batch, _)| bytes(batch)).sum();
        let bytes = waiting.min(self.space.group_bytes_max());
        waiting > 0
            && (self.space.lend(bytes, Lend::Commands, &self.log) || self.space.take_less(batches))
    }

    /// Looks whether the disk has room again, if it was full.
    fn regain(&mut self, is_made: bool) {
        if self.space.regain(&mut self.log, is_made) {
            self.shared.failure.set(None);
        }
    }

    /// Refuses what may be refused.
    fn refuse(&mut self) {
        let why = self.shared.failure.why().unwrap_or_default();
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
