//! Gives a shard's connections their turns: those that are ready, that are called, or that have
//! more to do.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use avocet_net::Readiness;

#[cfg(not(all(test, feature = "interleavings")))]
use avocet_net::Socket;

#[cfg(all(test, feature = "interleavings"))]
use crate::simulation::Socket;
use crate::{
    broker::Listening,
    calls::{Call, Key},
    connection::{Connection, Turn},
    mailbox::{FlushList, Mailbox},
    metrics::Metrics,
    shard::{SLICE, Shard},
    wire::Wire,
};

/// Turns of the wheel between two looks for answers that are stale: they keep ended mailboxes
/// alive.
const SWEEP_TICKS: u32 = 60;

/// The connections of one shard.
#[derive(Debug)]
pub(crate) struct Driver {
    shard: Shard,
    /// By their keys.
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<Key>,
    /// Who is to have a turn, each once.
    ready: VecDeque<Key>,
    /// How many connections others think there are.
    load: Arc<AtomicUsize>,
    ticks: u32,
    /// Empty between its uses, as `slice` is.
    calls: Vec<Call>,
    slice: Vec<Mailbox>,
}

impl Driver {
    pub(crate) fn new(shard: Shard, load: Arc<AtomicUsize>) -> Self {
        Self {
            shard,
            connections: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            load,
            ticks: 0,
            calls: Vec::new(),
            slice: Vec::with_capacity(SLICE),
        }
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    /// A name for a connection, its own until it is over.
    pub(crate) fn take_key(&mut self) -> Key {
        self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            Key::try_from(self.connections.len() - 1).expect("there are not as many descriptors")
        })
    }

    /// Takes over a connection that has been there for so long.
    pub(crate) fn serve(
        &mut self,
        key: Key,
        socket: impl Into<Socket>,
        listening: Arc<Listening>,
        age: Duration,
    ) {
        let wire = Wire::new(socket.into(), &self.shard.calls, key);
        let connection = Connection::new(&self.shard, Arc::new(wire), listening, age);
        self.connections[key as usize] = Some(Box::new(connection));
        self.call(key);
    }

    /// What the system says of a connection's socket.
    pub(crate) fn note(&mut self, key: usize, readiness: Readiness) {
        // What was said of a connection that is over means nothing for the one that has its key
        // now, and does no harm.
        if let Some(Some(connection)) = self.connections.get_mut(key) {
            connection.note(readiness);
            enqueue(&mut self.ready, connection);
        }
    }

    /// Whether nothing is to be done before somebody calls. Whoever does from now on wakes the
    /// shard.
    pub(crate) fn may_sleep(&self) -> bool {
        self.ready.is_empty()
            && self.shard.flush_list.borrow().mailboxes.is_empty()
            && self.shard.calls.doze()
    }

    /// Gives some of those who are ready one turn each, and writes a slice of what that has left:
    /// no more of either, so that what waits to be written does not pile up.
    pub(crate) fn take_turns(&mut self) {
        self.take_calls();
        for _ in 0..self.ready.len().min(SLICE) {
            let Some(key) = self.ready.pop_front() else { break };
            let Some(Some(connection)) = self.connections.get_mut(key as usize) else { continue };
            connection.is_queued = false;
            match connection.turn(&self.shard) {
                Turn::Wait => {}
                Turn::Again => enqueue(&mut self.ready, connection),
                Turn::Over => self.end(key),
            }
        }
        self.flush();
    }

    /// A tick of the wheel is over.
    pub(crate) fn tick(&mut self, now: Instant) {
        for key in self.shard.wheel.advance() {
            if let Some(Some(connection)) = self.connections.get_mut(key as usize)
                && connection.look_at_watch(&self.shard, now)
            {
                enqueue(&mut self.ready, connection);
            }
        }
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(SWEEP_TICKS) {
            self.shard.routes.borrow_mut().sweep(&self.shard.shared.router);
        }
        // Turns that left nothing to write have counted all the same.
        self.shard.with_flush_list(|list| self.shard.shared.metrics.take(&mut list.tally));
    }

    /// Ends the connections of clients that have no session yet.
    pub(crate) fn end_unadmitted(&mut self) {
        let unadmitted = self.connections.iter().flatten().filter(|it| !it.is_admitted());
        for key in unadmitted.map(|connection| connection.key()).collect::<Vec<_>>() {
            if let Some(connection) = &self.connections[key as usize] {
                connection.shut_down();
            }
            self.end(key);
        }
    }

    /// Forgets a connection that is over.
    pub(crate) fn end(&mut self, key: Key) {
        if let Some(connection) = self.connections[key as usize].take() {
            self.count_out(&connection);
            self.free.push(key);
        }
    }

    fn call(&mut self, key: Key) {
        if let Some(Some(connection)) = self.connections.get_mut(key as usize) {
            enqueue(&mut self.ready, connection);
        }
    }

    fn take_calls(&mut self) {
        let mut calls = std::mem::take(&mut self.calls);
        self.shard.calls.take(&mut calls);
        for call in calls.drain(..) {
            match call {
                Call::Signalled(key) => self.call(key),
                Call::Ready(key) => self.note(key as usize, Readiness::ALL),
            }
        }
        self.calls = calls;
    }

    /// Writes a slice of the flush list.
    fn flush(&mut self) {
        let Self { shard, slice, .. } = self;
        let mut written = FlushList::default();
        {
            let mut list = shard.flush_list.borrow_mut();
            // First, so that it is stored while the rest is written.
            list.submit(&shard.shared);
            if list.mailboxes.is_empty() {
                return;
            }
            let count = list.mailboxes.len().min(SLICE);
            slice.extend(list.mailboxes.drain(..count));
            std::mem::swap(&mut written.tally, &mut list.tally);
        }
        let now = shard.now.get();
        for mailbox in slice.drain(..) {
            let flush = || mailbox.flush(&shard.shared, &mut written, now);
            if catch_unwind(AssertUnwindSafe(flush)).is_err() {
                Metrics::add(&shard.shared.metrics.connections_panicked, 1);
            }
        }
        written.submit(&shard.shared);
        shard.shared.metrics.take(&mut written.tally);
    }

    fn count_out(&self, connection: &Connection) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        connection.listening().connections.fetch_sub(1, Ordering::Relaxed);
        self.shard.shared.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Driver {
    /// Connections that are not over end as they are.
    fn drop(&mut self) {
        for connection in self.connections.iter().flatten() {
            connection.shut_down();
            self.count_out(connection);
        }
    }
}

fn enqueue(ready: &mut VecDeque<Key>, connection: &mut Connection) {
    if !connection.is_queued {
        connection.is_queued = true;
        ready.push_back(connection.key());
    }
}
