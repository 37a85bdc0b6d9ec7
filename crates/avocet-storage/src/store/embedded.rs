//! The store that needs nothing but a disk: a log, and in memory where in it everything lies.
//!
//! One thread writes. It takes all that has been submitted, commits it as one group, and tells
//! everybody. Between groups it cleans: what is still needed of the oldest segment is written once
//! more at the end of the log, and the segment is gone. Since always the oldest goes, nothing that
//! is left speaks of something that lay in it.

mod cleaner;
mod closed;
mod expiry;
mod gathering;
mod pieces;
mod reserve;
mod space;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tracing::error;

use self::{closed::Mark, expiry::Walk, space::Space, writer::Writer};
use super::{
    Amount, Batch, Done, Figures, Queued, Refusal, Store,
    state::{Lies, State, Strangers},
};
use crate::{
    command::{Claim, Command, Message, Place, Purpose, SessionNumber, Standing, Time},
    disk::Disk,
    log::{Durability, Log, LogOptions, Loss, Position, RECORD_HEADER_BYTES, Reader},
};

/// Sessions that are looked at before others have their turn.
const SESSIONS_AT_ONCE: usize = 256;

/// How a store is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A segment with so many bytes is full, or with less on a volume that has room for few.
    pub segment_bytes: u32,
    /// So many bytes may wait to be committed before batches are refused, and the store is
    /// burdened.
    pub waiting_bytes_max: usize,
    /// What an outcome waits for.
    pub durability: Durability,
    /// The log is cleaned from so many bytes on, when more than half of it is of no use; from less
    /// on if segments are smaller.
    pub cleaned_from_bytes: u64,
    /// How long a disk that has failed is left alone before it is tried again.
    pub retry_after: Duration,
    /// How long closing the store waits for a disk that stands still.
    pub close_patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            waiting_bytes_max: 256 << 20,
            durability: Durability::Fsync,
            cleaned_from_bytes: 256 << 20,
            retry_after: Duration::from_millis(500),
            close_patience: Duration::from_secs(10),
        }
    }
}

/// The store. Its thread ends when it is closed, once all that was submitted is stored or has
/// failed.
#[derive(Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    reader: Reader,
    was_closed: bool,
    close_patience: Duration,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    inbound: Mutex<Inbound>,
    arrived: Condvar,
    /// The thread is over.
    ended: Condvar,
    state: Mutex<State>,
    failure: Failure,
    cleaning_failure: Mutex<Option<String>>,
    /// Records that were asked for and could not be read.
    unreadable: AtomicU64,
    commits: Mutex<Commits>,
    walk: Mutex<Walk>,
    waiting_bytes_max: usize,
}

/// Why nothing can be stored, if that is so.
#[derive(Debug, Default)]
struct Failure {
    is_there: AtomicBool,
    why: Mutex<Option<String>>,
}

impl Failure {
    fn set(&self, why: Option<String>) {
        let mut known = self.why.lock();
        self.is_there.store(why.is_some(), Ordering::Release);
        *known = why;
    }

    fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Acquire)
    }

    fn why(&self) -> Option<String> {
        self.why.lock().clone()
    }
}

/// Groups that were stored.
#[derive(Clone, Copy, Debug, Default)]
struct Commits {
    count: u64,
    time: Duration,
}

impl Commits {
    fn note(&mut self, took: Duration) {
        self.count += 1;
        self.time += took;
    }
}

/// What was submitted and is not yet with the writer.
#[derive(Default)]
struct Inbound {
    batches: Vec<(Batch, Done)>,
    /// Commands in these.
    commands: usize,
    /// With fewer commands the writer is left to wait.
    wanted: usize,
    /// Bytes of these and of those that the writer has.
    bytes: usize,
    /// What comes from now on is refused.
    is_over: bool,
    /// The writer has taken all of them, and takes no more.
    has_ended: bool,
    /// The writer's thread is there, and is waited for.
    is_running: bool,
    /// The disk is to be tried, though there may be nothing for it.
    is_asked: bool,
}

impl fmt::Debug for Inbound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inbound").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Inbound {
    /// The end of sessions whose beginning is not there: their numbers may be given to others, to
    /// whom nothing may come that the log still has for them.
    fn ending(strangers: &[SessionNumber]) -> Self {
        let mut inbound = Self::default();
        let mut batch = Batch::default();
        for session in strangers {
            batch.push(&Command::End { session: *session });
        }
        if !batch.is_empty() {
            inbound.push(batch, Box::new(|_| {}));
        }
        inbound
    }

    fn push(&mut self, batch: Batch, done: Done) {
        self.bytes += batch.bytes.len();
        self.commands += batch.ends.len();
        self.batches.push((batch, done));
    }
}

impl EmbeddedStore {
    /// Opens what lies on a disk, or begins with nothing. Says what could not be read.
    ///
    /// # Errors
    /// `Unsupported` with [`crate::log::UnknownFormat`] if the format is a newer one; that the
    /// files cannot be listed or no more of them be opened, and that no thread can be started.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> io::Result<(Self, Vec<Loss>)> {
        let key = RandomState::new().hash_one(options.segment_bytes);
        // First, so that nothing was touched if there can be none.
        let (sender, receiver) = mpsc::sync_channel::<Writer>(1);
        let write = move || receiver.iter().for_each(Writer::run);
        let thread = thread::Builder::new().name("store".to_owned()).spawn(write)?;
        let (mut store, writer, losses) = Self::begin(disk, options, key)?;
        store.shared.inbound.lock().is_running = true;
        // It waits for that.
        drop(sender.send(writer));
        store.thread = Mutex::new(Some(thread));
        Ok((store, losses))
    }

    /// As [`Self::open`], but nothing is done before the writer has its turn. The key is what the
    /// log's records are mixed with.
    pub(super) fn begin(
        disk: Arc<dyn Disk>,
        options: Options,
        key: u64,
    ) -> io::Result<(Self, Writer, Vec<Loss>)> {
        let files = Log::find(&*disk)?;
        let (mut mark, was_closed) = Mark::find(Arc::clone(&disk))?;
        // What is not opened was not touched; from here on nothing is in the way of it.
        let mut replay = Replay { state: State::new(Some(Arc::clone(&disk))) };
        let space = Space::open(Arc::clone(&disk), &options);
        // At once, since what is read is told to clients before anything is stored; if it fails,
        // the first commit does it.
        drop(mark.remove());
        let log_options = LogOptions {
            segment_bytes: space.segment_bytes(),
            durability: options.durability,
            key,
        };
        let mut unknown = 0;
        let (log, mut losses) =
            Log::open_found(Arc::clone(&disk), log_options, files, |position, number, body| {
                match Command::read(body) {
                    Some(command) => replay.take(position, number, body, &command),
                    None => unknown += 1,
                }
            });
        if unknown > 0 {
            losses.push(Loss::Unknown { records: unknown });
        }
        let (strangers, lost) = replay.finish(!losses.is_empty());
        let unreadable = lost.as_ref().map_or(0, Loss::messages);
        losses.extend(lost);
        let state = replay.state;
        let reader = log.reader().clone();
        let shared = Arc::new(Shared {
            inbound: Mutex::new(Inbound::ending(&strangers)),
            arrived: Condvar::new(),
            ended: Condvar::new(),
            state: Mutex::new(state),
            failure: Failure::default(),
            cleaning_failure: Mutex::default(),
            unreadable: AtomicU64::new(unreadable),
            commits: Mutex::default(),
            walk: Mutex::default(),
            waiting_bytes_max: options.waiting_bytes_max,
        });
        let writer = Writer::new(Arc::clone(&shared), log, space, mark, &options);
        let close_patience = options.close_patience;
        let store = Self { shared, reader, was_closed, close_patience, thread: Mutex::default() };
        Ok((store, writer, losses))
    }

    /// Finds out whether the disk takes anything, though nobody has anything to store: if it does
    /// not, the store is failing soon, rather than with the first batch. Nothing is recorded.
    pub fn try_disk(&self) {
        self.shared.inbound.lock().is_asked = true;
        self.shared.arrived.notify_one();
    }

    /// Reads a record whose place is known, which the cleaner may change meanwhile; whoever visits
    /// it tells whether it says what it should. False if none that does can be read.
    ///
    /// # Errors
    /// What keeps it from being looked for.
    fn read(
        &self,
        locate: impl Fn(&mut State) -> io::Result<Option<Position>>,
        visit: &mut dyn FnMut(&Command<'_>) -> bool,
    ) -> io::Result<bool> {
        let (mut body, mut tried) = (Vec::new(), None);
        loop {
            let Some(position) = locate(&mut self.shared.state.lock())? else { return Ok(true) };
            let read = self.reader.read(position, &mut body);
            let command = read.is_ok().then(|| Command::read(&body)).flatten();
            if command.is_some_and(|command| visit(&command)) {
                return Ok(true);
            }
            if tried.replace(position) == Some(position) {
                self.shared.unreadable.fetch_add(1, Ordering::Relaxed);
                return Ok(false);
            }
        }
    }
}

/// What a log says is taken up, command by command.
#[derive(Debug)]
pub(crate) struct Replay {
    state: State,
}

/// As it is taken up by who only wants to look at it.
pub(crate) fn replayed() -> Replay {
    Replay { state: State::new(None) }
}

impl Replay {
    pub(crate) fn take(&mut self, at: Position, number: u64, body: &[u8], command: &Command<'_>) {
        self.state.replay(lies(at, number, body), command);
    }

    /// Forgets the sessions whose beginning is not there, and answers them. That is a loss if
    /// something could not be read.
    pub(crate) fn finish(&mut self, is_damaged: bool) -> (Vec<SessionNumber>, Option<Loss>) {
        let Strangers { numbers, lost: (sessions, waited) } = self.state.forget_strangers();
        let messages = waited.messages as u64;
        let lost = Loss::Sessions { sessions, messages };
        (numbers, (is_damaged && sessions > 0).then_some(lost))
    }

    pub(crate) fn needed_bytes(&self, segment: u32) -> u64 {
        self.state.bytes_needed(segment)
    }

    /// As of [`State::totals`].
    pub(crate) fn totals(&self) -> (usize, Amount, usize, usize) {
        self.state.totals()
    }
}

/// Where a command lies that has these bytes.
fn lies(at: Position, number: u64, body: &[u8]) -> Lies {
    Lies { at, number, bytes: (RECORD_HEADER_BYTES + body.len()) as u32 }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store for EmbeddedStore {
    fn submit(&self, batch: Batch, done: Done) -> Result<(), Refusal> {
        let mut inbound = self.shared.inbound.lock();
        if inbound.has_ended {
            drop(inbound);
            done(Err(Refusal::closed()));
            return Ok(());
        }
        if inbound.is_over {
            // The writer is not through: it is told in its turn.
            inbound.push(Batch::default(), Box::new(|_| done(Err(Refusal::closed()))));
            return Ok(());
        }
        if batch.is_refusable && inbound.bytes >= self.shared.waiting_bytes_max {
            return Err(Refusal::Busy);
        }
        inbound.push(batch, done);
        let is_enough = inbound.commands >= inbound.wanted;
        drop(inbound);
        if is_enough {
            self.shared.arrived.notify_one();
        }
        Ok(())
    }

    fn is_burdened(&self) -> bool {
        self.shared.inbound.lock().bytes >= self.shared.waiting_bytes_max
    }

    fn is_failing(&self) -> bool {
        self.shared.failure.is_there()
    }

    fn failure(&self) -> Option<String> {
        let failure = self.shared.failure.why();
        failure.or_else(|| self.shared.cleaning_failure.lock().clone())
    }

    fn was_closed(&self) -> bool {
        self.was_closed
    }

    fn close(&self) {
        let writer = self.thread.lock().as_ref().map(|thread| thread.thread().id());
        let until = Instant::now() + self.close_patience;
        let mut inbound = self.shared.inbound.lock();
        inbound.is_over = true;
        self.shared.arrived.notify_one();
        if writer == Some(thread::current().id()) {
            return;
        }
        while inbound.is_running {
            if self.shared.ended.wait_until(&mut inbound, until).timed_out() {
                error!("The store does not end: what it has not stored may be lost.");
                inbound.is_running = false;
                drop(inbound);
                drop(self.thread.lock().take());
                return;
            }
        }
        drop(inbound);
        let thread = self.thread.lock().take();
        // Nothing is left to be done; if it has panicked, that was told when it happened.
        drop(thread.map(JoinHandle::join));
    }

    fn figures(&self) -> Figures {
        let commits = *self.shared.commits.lock();
        let segments = self.reader.segments();
        let state = self.shared.state.lock();
        let (sessions, queued, retained, plans) = state.totals();
        Figures {
            sessions,
            queued,
            retained,
            plans,
            segments: segments.len(),
            log_bytes: segments.iter().map(|(_, bytes)| u64::from(*bytes)).sum(),
            needed_bytes: segments.iter().map(|(number, _)| state.bytes_needed(*number)).sum(),
            commits: commits.count,
            commit_time: commits.time,
        }
    }

    fn unreadable(&self) -> u64 {
        self.shared.unreadable.load(Ordering::Relaxed)
    }

    fn sessions(&self, visit: &mut dyn FnMut(SessionNumber, &Standing)) {
        let mut behind = None;
        loop {
            let page = self.shared.state.lock().sessions(behind, SESSIONS_AT_ONCE);
            let Some((last, _)) = page.last() else { return };
            behind = Some(*last);
            page.iter().for_each(|(number, standing)| visit(*number, standing));
        }
    }

    fn queue(
        &self,
        session: SessionNumber,
        from: Place,
        most: Amount,
        visit: &mut dyn FnMut(Place, &Claim, Message<'_>),
    ) -> io::Result<Queued> {
        let (places, has_more) = self.shared.state.lock().waiting(session, from, most)?;
        let mut unreadable = Vec::new();
        for place in places {
            let locate = |state: &mut State| state.claim(session, place);
            let is_read = self.read(locate, &mut |command| {
                let (Command::Publish { message, claims, .. }
                | Command::Keep { message, claims, .. }) = command
                else {
                    return false;
                };
                let ours = claims.iter().find(|it| it.session == session);
                ours.into_iter().for_each(|claim| visit(place, claim, *message));
                ours.is_some()
            })?;
            if !is_read {
                unreadable.push(place);
            }
        }
        Ok(Queued { has_more, unreadable })
    }

    fn queued(&self, session: SessionNumber) -> Amount {
        self.shared.state.lock().queued(session)
    }

    fn expired(
        &self,
        now: Time,
        most: usize,
        visit: &mut dyn FnMut(SessionNumber, Place, &Claim, Message<'_>),
    ) -> io::Result<bool> {
        self.walk_expired(now, most, visit)
    }

    fn retained(&self, visit: &mut dyn FnMut(&str, Message<'_>)) -> io::Result<()> {
        let mut topics: Vec<(Position, Box<str>)> = {
            let state = self.shared.state.lock();
            state.retained.iter().map(|(topic, kept)| (kept.at, topic.clone())).collect()
        };
        // As they lie on the disk, which is read from its beginning to its end.
        topics.sort_unstable_by_key(|(at, _)| *at);
        for (_, topic) in topics {
            let locate = |state: &mut State| Ok(state.retained.get(&topic).map(|kept| kept.at));
            self.read(locate, &mut |command| {
                let Command::Retain { topic: found, message } = command else { return false };
                let is_it = **found == *topic;
                is_it.then(|| visit(found, *message)).is_some()
            })?;
        }
        Ok(())
    }

    fn plans(&self, visit: &mut dyn FnMut(u64, Time, Purpose, Message<'_>)) -> io::Result<()> {
        let plans: Vec<u64> = self.shared.state.lock().plans.keys().copied().collect();
        for plan in plans {
            let locate = |state: &mut State| Ok(state.plans.get(&plan).map(|kept| kept.at));
            self.read(locate, &mut |command| {
                let Command::Plan { plan: found, due_at, purpose, message } = command else {
                    return false;
                };
                (*found == plan).then(|| visit(plan, *due_at, *purpose, *message)).is_some()
            })?;
        }
        Ok(())
    }
}
