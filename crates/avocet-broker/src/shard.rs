//! A shard: one thread, one runtime, and the connections that live on it.
//!
//! A turn of a connection appends to the outputs of receivers, on whichever shard they live, and
//! enters them on this shard's flush list. The flusher runs when all connections that were ready
//! have had their turn, so that many publishers to one receiver cost one write. It writes a slice,
//! then lets the reactor be asked again.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use avocet_router::RouteCache;
use tokio::{runtime::LocalRuntime, sync::mpsc, task::yield_now, time};
use tracing::error;

use crate::{
    broker::{Listening, Shared},
    connection,
    mailbox::{FlushList, Mailbox},
    metrics::Metrics,
    stall::{self, Stall},
    wheel::{TICK, Wheel},
};

/// Receivers served before others get their turn: sockets written in one go, mailboxes filled in
/// one go.
pub(crate) const SLICE: usize = 64;
/// Bytes read from a socket in one go.
const READ_BYTES: usize = 64 * 1024;
/// Topics whose destinations a shard remembers.
const ROUTE_CACHE_ENTRIES: usize = 4096;
/// Accepted sockets on their way to a shard.
const ACCEPTED_MAX: usize = 1024;

/// A socket on its way to its shard.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: avocet_net::Accepted,
    pub(crate) listening: Arc<Listening>,
}

/// What others hold of a shard.
#[derive(Debug)]
pub(crate) struct ShardHandle {
    accepted: mpsc::Sender<Accepted>,
    /// Connections on it and on their way to it.
    pub(crate) load: Arc<AtomicUsize>,
}

impl ShardHandle {
    pub(crate) async fn hand_over(&self, accepted: Accepted) {
        self.load.fetch_add(1, Ordering::Relaxed);
        if self.accepted.send(accepted).await.is_err() {
            self.load.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What the connections of a shard share.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) shared: Arc<Shared>,
    pub(crate) routes: RefCell<RouteCache<Mailbox>>,
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    /// What was in an envelope.
    pub(crate) plain_buffer: RefCell<Vec<u8>>,
    pub(crate) wheel: Wheel,
    /// When the present turn began: a clock read for each turn, not for each use.
    pub(crate) now: Cell<Instant>,
    flush_list: RefCell<FlushList>,
    flusher: RefCell<Option<Waker>>,
    number: usize,
    dice: Cell<u64>,
}

impl Shard {
    pub(crate) fn new(shared: Arc<Shared>, number: usize) -> Self {
        Self {
            shared,
            routes: RefCell::new(RouteCache::new(ROUTE_CACHE_ENTRIES)),
            read_buffer: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
            plain_buffer: RefCell::new(Vec::new()),
            wheel: Wheel::default(),
            now: Cell::new(Instant::now()),
            flush_list: RefCell::new(FlushList::default()),
            flusher: RefCell::new(None),
            number,
            dice: Cell::new(number as u64),
        }
    }

    /// Does something that may leave mailboxes to be flushed, and sees to it that they are, even
    /// if it panics.
    pub(crate) fn with_flush_list<R>(&self, work: impl FnOnce(&mut FlushList) -> R) -> R {
        let was_empty = self.flush_list.borrow().mailboxes.is_empty();
        let _waking = was_empty.then_some(Waking(self));
        work(&mut self.flush_list.borrow_mut())
    }

    fn note_late(&self, late: Duration) {
        if late >= stall::LATE {
            Metrics::add(&self.shared.metrics.shard_stalls, 1);
            self.shared.stalls.note(Stall { late, shard: self.number });
        }
    }

    fn wake_flusher(&self) {
        if let Some(flusher) = &*self.flusher.borrow() {
            flusher.wake_by_ref();
        }
    }

    /// A number for choices that should differ (splitmix64 of a counter).
    pub(crate) fn dice(&self) -> u64 {
        let state = self.dice.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.dice.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// Wakes the flusher once the turn is over, if it left something to write.
struct Waking<'s>(&'s Shard);

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        if !self.0.flush_list.borrow().mailboxes.is_empty() {
            self.0.wake_flusher();
        }
    }
}

/// Starts a shard's thread. It ends when the handle is dropped, and its connections with it.
///
/// # Errors
///
/// The system gives no thread.
pub(crate) fn start(shared: Arc<Shared>, number: usize) -> std::io::Result<ShardHandle> {
    let (sender, receiver) = mpsc::channel(ACCEPTED_MAX);
    let load = Arc::new(AtomicUsize::new(0));
    let handle = ShardHandle { accepted: sender, load: Arc::clone(&load) };
    std::thread::Builder::new().name(format!("shard-{number}")).spawn(move || {
        let runtime = match LocalRuntime::new() {
            Ok(runtime) => runtime,
            Err(error) => return error!(%error, number, "Cannot start a shard."),
        };
        let shard = Shard::new(shared, number);
        runtime.block_on(run(Rc::new(shard), receiver, load));
    })?;
    Ok(handle)
}

async fn run(shard: Rc<Shard>, mut accepted: mpsc::Receiver<Accepted>, load: Arc<AtomicUsize>) {
    tokio::task::spawn_local(run_flusher(Rc::clone(&shard)));
    tokio::task::spawn_local(run_wheel(Rc::clone(&shard)));
    while let Some(accepted) = accepted.recv().await {
        let shard = Rc::clone(&shard);
        let load = Arc::clone(&load);
        let listening = Arc::clone(&accepted.listening);
        tokio::task::spawn_local(async move {
            let _leaving = Leaving { load, listening, shared: Arc::clone(&shard.shared) };
            connection::run(shard, accepted).await;
        });
    }
}

/// Counts a connection out, however its task ends.
struct Leaving {
    load: Arc<AtomicUsize>,
    listening: Arc<Listening>,
    shared: Arc<Shared>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.listening.connections.fetch_sub(1, Ordering::Relaxed);
        self.shared.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) async fn run_flusher(shard: Rc<Shard>) {
    let mut slice = Vec::with_capacity(SLICE);
    loop {
        poll_fn(|cx| {
            if !shard.flush_list.borrow().mailboxes.is_empty() {
                return Poll::Ready(());
            }
            shard.flusher.borrow_mut().get_or_insert_with(|| cx.waker().clone());
            Poll::Pending
        })
        .await;
        let mut tally;
        let more = {
            let mut list = shard.flush_list.borrow_mut();
            let count = list.mailboxes.len().min(SLICE);
            slice.extend(list.mailboxes.drain(..count));
            tally = std::mem::take(&mut list.tally);
            !list.mailboxes.is_empty()
        };
        let now = shard.now.get();
        for mailbox in slice.drain(..) {
            let flush = || mailbox.flush(&shard.shared, &mut tally, now);
            if catch_unwind(AssertUnwindSafe(flush)).is_err() {
                Metrics::add(&shard.shared.metrics.connections_panicked, 1);
            }
        }
        shard.shared.metrics.take(&mut tally);
        if more {
            yield_now().await;
        }
    }
}

async fn run_wheel(shard: Rc<Shard>) {
    /// Ticks between two looks for answers that are stale: they keep ended mailboxes alive.
    const SWEEP_TICKS: u32 = 60;
    let mut ticks = 0_u32;
    let mut interval = time::interval(TICK);
    interval.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        let due = interval.tick().await.into_std();
        let now = Instant::now();
        shard.note_late(now.saturating_duration_since(due));
        shard.wheel.tick(now);
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(SWEEP_TICKS) {
            shard.routes.borrow_mut().sweep(&shard.shared.router);
        }
        // Turns that left nothing to write have counted all the same.
        shard.with_flush_list(|list| shard.shared.metrics.take(&mut list.tally));
    }
}
