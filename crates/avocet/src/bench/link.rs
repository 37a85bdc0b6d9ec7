//! A non-blocking socket with what waits to be written to it and what was read but is no whole
//! packet, and the layers on it if there are any; and the epoll instance that watches many of them.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use avocet_net::{Incoming, Layers};
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};

use crate::client::stream::Socket;

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// A buffer that grew beyond this is given back when it is empty.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Events taken at once.
const EVENTS: usize = 1024;

/// Watches sockets, each known by a number. Level triggered: a read that did not empty the socket
/// is continued in the next turn, so that none has to be made only to see that nothing is left.
pub(super) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS) })
    }

    pub(super) fn add(&self, socket: &impl AsFd, number: u64) -> io::Result<()> {
        let number = epoll::EventData::new_u64(number);
        Ok(epoll::add(&self.epoll, socket, number, epoll::EventFlags::IN)?)
    }

    fn watch(&self, link: &Link, number: u64) -> io::Result<()> {
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, link.is_blocked);
        Ok(epoll::modify(&self.epoll, &link.socket, epoll::EventData::new_u64(number), flags)?)
    }

    /// Waits, and puts the sockets that are ready into `ready`.
    pub(super) fn wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().cast_signed(),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        self.events.clear();
        ready.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(self.events.iter().map(|event| {
            let flags = event.flags;
            Ready {
                number: event.data.u64(),
                readable: flags != epoll::EventFlags::OUT,
                writable: flags.contains(epoll::EventFlags::OUT),
            }
        }));
        Ok(())
    }
}

/// A socket that can be read from (or has ended) or written to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) number: u64,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    socket: Socket,
    layers: Option<Box<Layers>>,
    rest: Vec<u8>,
    out: Vec<u8>,
    /// What the layers make of `out`; without any, nothing.
    sealed: Vec<u8>,
    /// Bytes at the beginning of `sealed`, or of `out` if there are no layers.
    written: usize,
    is_blocked: bool,
    /// Whether it stands on the list of those to be flushed at the end of the turn.
    pub(super) is_queued: bool,
}

impl Link {
    /// `rest`: what was read already.
    pub(super) fn new(
        socket: Socket,
        layers: Option<Box<Layers>>,
        rest: Vec<u8>,
    ) -> io::Result<Self> {
        socket.set_nonblocking()?;
        Ok(Self {
            socket,
            layers,
            rest,
            out: Vec::new(),
            sealed: Vec::new(),
            written: 0,
            is_blocked: false,
            is_queued: false,
        })
    }

    /// One whose socket is being connected already; `sealed` is what its layers say first.
    pub(super) fn opening(socket: Socket, layers: Option<Box<Layers>>, sealed: Vec<u8>) -> Self {
        Self {
            socket,
            layers,
            rest: Vec::new(),
            out: Vec::new(),
            sealed,
            written: 0,
            is_blocked: false,
            is_queued: false,
        }
    }

    /// Whether the handshakes of the layers are over.
    pub(super) fn is_open(&self) -> bool {
        self.layers.as_ref().is_none_or(|layers| layers.is_open())
    }

    /// Says through the layers that nothing more comes; what is in `out` goes before it.
    pub(super) fn say_goodbye(&mut self) {
        if let Some(layers) = &mut self.layers {
            // What cannot be said is no loss: the socket is closed next.
            layers.seal(&self.out, &mut self.sealed).ok();
            self.out.clear();
            layers.close(&mut self.sealed);
        }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// What is to be sent at the end of the turn.
    #[inline]
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Reads once. The bytes stand in `scratch` after what earlier reads left over, so that packets
    /// are whole there; answers how many there are together.
    #[inline]
    pub(super) fn read(&mut self, scratch: &mut Vec<u8>) -> io::Result<usize> {
        if self.layers.is_some() {
            return self.read_sealed(scratch);
        }
        let kept = self.rest.len();
        if scratch.len() < kept + READ_BYTES {
            scratch.resize(kept + READ_BYTES, 0);
        }
        scratch[..kept].copy_from_slice(&self.rest);
        loop {
            match (&self.socket).read(&mut scratch[kept..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.rest.clear();
                    return Ok(kept + count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.rest.clear();
                    return Ok(kept);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The same through the layers. What they answer waits to be written.
    fn read_sealed(&mut self, scratch: &mut Vec<u8>) -> io::Result<usize> {
        scratch.resize(scratch.len().max(READ_BYTES), 0);
        let count = loop {
            match (&self.socket).read(&mut scratch[..READ_BYTES]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => break count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break 0,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let kept = self.rest.len();
        if let (Some(layers), 1..) = (&mut self.layers, count) {
            let received = layers.receive(&mut scratch[..count], &mut self.rest, &mut self.sealed);
            let incoming = received.map_err(io::Error::other)?;
            // What came before the end is dealt with first.
            if incoming == Incoming::End && self.rest.len() == kept {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let total = self.rest.len();
        scratch.resize(scratch.len().max(total), 0);
        scratch[..total].copy_from_slice(&self.rest);
        self.rest.clear();
        if self.rest.capacity() > KEPT_BYTES_MAX {
            self.rest = Vec::new();
        }
        Ok(total)
    }

    /// Whether the layers have something to say, of which nobody knows.
    #[inline]
    pub(super) fn has_answer(&self) -> bool {
        !self.sealed.is_empty() && !self.is_blocked
    }

    /// Keeps what no whole packet could be made of.
    #[inline]
    pub(super) fn keep(&mut self, rest: &[u8]) {
        self.rest.extend_from_slice(rest);
    }

    /// Writes what there is, once; says the poller when the rest has to wait.
    pub(super) fn flush(&mut self, poller: &Poller, number: u64) -> io::Result<()> {
        if let (Some(layers), false) = (&mut self.layers, self.out.is_empty()) {
            layers.seal(&self.out, &mut self.sealed).map_err(io::Error::other)?;
            empty(&mut self.out);
        }
        let bytes = if self.layers.is_some() { &mut self.sealed } else { &mut self.out };
        while self.written < bytes.len() {
            match (&self.socket).write(&bytes[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.is_blocked {
                        self.is_blocked = true;
                        poller.watch(self, number)?;
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.written = 0;
        empty(bytes);
        if self.is_blocked {
            self.is_blocked = false;
            poller.watch(self, number)?;
        }
        Ok(())
    }

    /// Bytes that could not yet be written.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.out.len() + self.sealed.len() - self.written
    }
}

fn empty(bytes: &mut Vec<u8>) {
    bytes.clear();
    if bytes.capacity() > KEPT_BYTES_MAX {
        *bytes = Vec::new();
    }
}
