//! A shard: one thread, and the connections that live on it.
//!
//! A turn of a connection appends to the outputs of receivers, on whichever shard they live, and
//! enters them on this shard's flush list. The list is written when all connections that were ready
//! have had their turn, so that many publishers to one receiver cost one write: a slice of it, then
//! the system is asked again who is ready.

use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use avocet_net::Reactor;
use avocet_router::RouteCache;
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::{
    broker::{Listening, Shared},
    calls::{Bell, Calls},
    driver::Driver,
    mailbox::{FlushList, Mailbox},
    metrics::Metrics,
    stall::{self, Stall},
    wheel::{TICK, Wheel},
};

/// How much is done before others are asked for: connections that have their turn, sockets written,
/// mailboxes filled by one message.
pub(crate) const SLICE: usize = 64;
/// Bytes read from a socket in one go.
const READ_BYTES: usize = 64 * 1024;
/// Topics whose destinations a shard remembers.
const ROUTE_CACHE_ENTRIES: usize = 4096;
/// Accepted sockets on their way to a shard.
const ACCEPTED_MAX: usize = 1024;

/// A socket on its way to its shard.
#[derive(Debug)]
pub(crate) struct Arriving {
    pub(crate) stream: avocet_net::Accepted,
    pub(crate) listening: Arc<Listening>,
}

/// What others hold of a shard.
#[derive(Debug)]
pub(crate) struct ShardHandle {
    /// Gone before the shard is told to look for it.
    accepted: Option<mpsc::Sender<Arriving>>,
    calls: Arc<Calls>,
    /// Connections on it and on their way to it.
    pub(crate) load: Arc<AtomicUsize>,
}

impl ShardHandle {
    /// Has it look at what has changed for all of them.
    pub(crate) fn ring(&self) {
        self.calls.ring();
    }

    /// Whether its thread runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.accepted.as_ref().is_some_and(|sender| !sender.is_closed())
    }

    /// False: it does not take connections any more.
    pub(crate) async fn hand_over(&self, accepted: Arriving) -> bool {
        let Some(sender) = &self.accepted else { return false };
        self.load.fetch_add(1, Ordering::Relaxed);
        if sender.send(accepted).await.is_err() {
            self.load.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.calls.ring();
        true
    }
}

impl Drop for ShardHandle {
    fn drop(&mut self) {
        self.accepted = None;
        self.calls.ring();
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
    /// When the present round of turns began: the clock is not read for each use.
    pub(crate) now: Cell<Instant>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) flush_list: RefCell<FlushList>,
    number: usize,
    dice: Cell<u64>,
}

impl Shard {
    pub(crate) fn new(shared: Arc<Shared>, calls: Arc<Calls>, number: usize) -> Self {
        Self {
            calls,
            shared,
            routes: RefCell::new(RouteCache::new(ROUTE_CACHE_ENTRIES)),
            read_buffer: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
            plain_buffer: RefCell::new(Vec::new()),
            wheel: Wheel::default(),
            now: Cell::new(Instant::now()),
            flush_list: RefCell::new(FlushList::default()),
            number,
            dice: Cell::new(number as u64),
        }
    }

    /// Does something that may leave mailboxes to be flushed.
    pub(crate) fn with_flush_list<R>(&self, work: impl FnOnce(&mut FlushList) -> R) -> R {
        work(&mut self.flush_list.borrow_mut())
    }

    fn note_late(&self, late: Duration) {
        if late >= stall::LATE {
            Metrics::add(&self.shared.metrics.shard_stalls, 1);
            self.shared.stalls.note(Stall { late, shard: self.number });
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

/// Starts a shard's thread. It ends when the handle is dropped, and its connections with it.
///
/// # Errors
///
/// The system gives no thread, or not what it takes to wait for sockets.
pub(crate) fn start(shared: Arc<Shared>, number: usize) -> std::io::Result<ShardHandle> {
    let (sender, receiver) = mpsc::channel(ACCEPTED_MAX);
    let reactor = Reactor::new()?;
    let calls = Arc::new(Calls::new(reactor.waker()));
    let load = Arc::new(AtomicUsize::new(0));
    let handle =
        ShardHandle { accepted: Some(sender), calls: Arc::clone(&calls), load: Arc::clone(&load) };
    std::thread::Builder::new().name(format!("shard-{number}")).spawn(move || {
        let driver = Driver::new(Shard::new(shared, calls, number), load);
        run(driver, reactor, receiver);
    })?;
    Ok(handle)
}

fn run(mut driver: Driver, mut reactor: Reactor, mut accepted: mpsc::Receiver<Arriving>) {
    let mut tick_at = Instant::now() + TICK;
    loop {
        let may_sleep = driver.may_sleep() && accepted.is_empty() && !accepted.is_closed();
        let now = Instant::now();
        let rest = if may_sleep { tick_at.saturating_duration_since(now) } else { Duration::ZERO };
        let ready = reactor.wait(rest, |key, readiness| driver.note(key, readiness));
        if let Err(error) = ready {
            return error!(%error, "A shard cannot wait for its sockets.");
        }
        let now = Instant::now();
        driver.shard().now.set(now);
        loop {
            match accepted.try_recv() {
                Ok(accepted) => serve(&mut driver, &reactor, accepted),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return,
            }
        }
        driver.take_turns();
        if driver.shard().shared.is_stopping.load(Ordering::Relaxed) {
            driver.end_unadmitted();
        }
        if now >= tick_at {
            let late = now - tick_at;
            driver.shard().note_late(late);
            // Who stood still has not read what was sent meanwhile, and must not call it silence.
            if late < TICK {
                driver.tick(now);
            }
            tick_at = now + TICK;
        }
    }
}

fn serve(driver: &mut Driver, reactor: &Reactor, accepted: Arriving) {
    let Arriving { stream, listening } = accepted;
    let (age, socket, key) = (stream.age(), stream.into_socket(), driver.take_key());
    let bell = || Bell::waker(&driver.shard().calls, key);
    let watched = reactor.watch(&socket, key as usize, bell);
    driver.serve(key, socket, listening, age);
    if let Err(error) = watched {
        warn!(%error, "Cannot serve a connection.");
        driver.end(key);
    }
}
