//! A connected stream. The system's buffer towards the client is small, so that most writes are
//! short; what the runtime knows of readiness comes with edges, as from epoll.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use avocet_net::{Peer, Readiness};
use shuttle::{
    rand::{Rng, thread_rng},
    sync::{Condvar, Mutex, MutexGuard},
    thread::{self, ThreadId},
};

/// Calls in a row that the system refuses, without the client having read in between: whoever asks
/// more often does not wait but turns in circles.
const REFUSALS_MAX: u32 = 4;

/// What the system and the client's end share.
#[derive(Debug)]
pub(super) struct Stream {
    /// Both ends speak WebSocket.
    pub(super) is_framed: bool,
    state: Mutex<State>,
    changed: Condvar,
    /// Something has happened that the reactor has not seen.
    edge: AtomicBool,
    reactor: OnceLock<Waker>,
}

#[derive(Debug)]
struct State {
    capacity: usize,
    to_client: Vec<u8>,
    to_broker: VecDeque<u8>,
    client: End,
    shut_down: bool,
    /// A write found too little room: when there is enough, that is an edge.
    short: bool,
    /// The system said no, and the owner has not got anything through since.
    blocked: bool,
    refusals: u32,
    owner: Option<ThreadId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// It sends no more.
    Finished,
    /// It is gone, and whatever was on its way.
    Reset,
}

impl Stream {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            is_framed: thread_rng().gen_bool(0.5),
            state: Mutex::new(State {
                capacity,
                to_client: Vec::new(),
                to_broker: VecDeque::new(),
                client: End::Open,
                shut_down: false,
                short: false,
                blocked: false,
                refusals: 0,
                owner: None,
            }),
            changed: Condvar::new(),
            edge: AtomicBool::new(true),
            reactor: OnceLock::new(),
        })
    }

    /// Some of what is there, at least a byte; `None` at the end.
    pub(super) fn receive(&self, bytes_max: usize) -> Option<Vec<u8>> {
        let mut state = self.lock();
        while state.to_client.is_empty() && !state.shut_down && state.client != End::Reset {
            state = self.changed.wait(state).expect("no thread has failed");
        }
        if state.to_client.is_empty() {
            return None;
        }
        let there = state.to_client.len().min(bytes_max);
        let rest = state.to_client.split_off(thread_rng().gen_range(1..=there));
        let bytes = mem::replace(&mut state.to_client, rest);
        state.refusals = 0;
        // The system waits with the news until a third of the buffer is free.
        if state.short && state.has_much_room() {
            state.short = false;
            drop(state);
            self.tell_reactor();
        }
        Some(bytes)
    }

    /// The client sends bytes.
    pub(super) fn send(&self, bytes: &[u8]) {
        self.lock().to_broker.extend(bytes);
        self.tell_reactor();
    }

    /// The client sends no more.
    pub(super) fn finish(&self) {
        self.lock().client = End::Finished;
        self.tell_reactor();
    }

    /// The client is gone.
    pub(super) fn reset(&self) {
        let mut state = self.lock();
        state.client = End::Reset;
        state.to_client.clear();
        state.to_broker.clear();
        drop(state);
        self.changed.notify_all();
        self.tell_reactor();
    }

    fn tell_reactor(&self) {
        self.edge.store(true, Ordering::Release);
        if let Some(reactor) = self.reactor.get() {
            reactor.wake_by_ref();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread has failed")
    }
}

impl State {
    fn room(&self) -> usize {
        self.capacity - self.to_client.len()
    }

    fn has_much_room(&self) -> bool {
        self.room() >= self.capacity / 3
    }

    fn is_readable(&self) -> bool {
        !self.to_broker.is_empty() || self.client != End::Open || self.shut_down
    }

    fn is_writable(&self) -> bool {
        self.has_much_room() || self.client == End::Reset
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(!self.shut_down, "written to after its owner had given it up");
        let by_owner = self.owner == Some(thread::current().id());
        assert!(by_owner || !self.blocked, "blocked, and written to by another than the owner");
        if self.client == End::Reset {
            self.blocked = false;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let wanted: usize = pieces.iter().map(|piece| piece.len()).sum();
        assert!(wanted > 0, "a call for nothing");
        let taken = wanted.min(self.room());
        for piece in pieces {
            let left = self.room().min(piece.len());
            self.to_client.extend_from_slice(&piece[..left]);
        }
        self.short |= taken < wanted;
        self.blocked = taken == 0;
        if taken == 0 {
            self.refusals += 1;
            assert!(self.refusals <= REFUSALS_MAX, "asked again and again instead of waiting");
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.to_broker.len(), self.client) {
            (_, End::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
            (0, End::Open) if !self.shut_down => Err(io::ErrorKind::WouldBlock.into()),
            (there, End::Open | End::Finished) => {
                let count = there.min(buffer.len());
                for (place, byte) in buffer.iter_mut().zip(self.to_broker.drain(..count)) {
                    *place = byte;
                }
                Ok(count)
            }
        }
    }
}

/// The broker's end, with the methods of `avocet_net::Socket`.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    stream: Arc<Stream>,
}

impl From<avocet_net::Socket> for Socket {
    fn from(_: avocet_net::Socket) -> Self {
        unreachable!("nothing is accepted in a simulation")
    }
}

impl Socket {
    pub(super) fn new(stream: &Arc<Stream>) -> Self {
        Self { stream: Arc::clone(stream) }
    }

    /// The reactor's part: what has happened since it was last asked.
    pub(super) fn react(&self, reactor: &Waker) -> Option<Readiness> {
        self.stream.reactor.get_or_init(|| reactor.clone());
        if !self.stream.edge.swap(false, Ordering::AcqRel) {
            return None;
        }
        let state = self.stream.lock();
        let finished = state.client != End::Open || state.shut_down;
        let (readable, writable) = (state.is_readable(), state.is_writable());
        Some(Readiness { readable, writable, finished })
    }

    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.owned().read(buffer)
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    pub(crate) fn write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let result = self.stream.lock().write(pieces);
        self.stream.changed.notify_all();
        result
    }

    pub(crate) fn shutdown(&self) {
        self.owned().shut_down = true;
        self.stream.changed.notify_all();
        self.stream.tell_reactor();
    }

    pub(crate) fn is_verified(&self) -> bool {
        false
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer::Unknown
    }

    /// For calls that are the owner's alone.
    fn owned(&self) -> MutexGuard<'_, State> {
        let mut state = self.stream.lock();
        let caller = thread::current().id();
        let owner = *state.owner.get_or_insert(caller);
        assert_eq!(owner, caller, "two threads wait for one socket");
        state
    }
}
