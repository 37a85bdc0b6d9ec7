//! One stream.

use std::{
    io::{self, IoSlice, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use crate::{LayerError, Peer, pipe::PipeEnd};

/// A connected stream that never blocks. Its owner has a [`Reactor`](crate::Reactor) tell when it
/// is ready, and reads; any thread may write, straight to the system, and needs no right to wait
/// for that.
#[derive(Debug)]
pub struct Socket {
    pub(crate) stream: Stream,
}

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Pipe(Box<PipeEnd>),
}

/// Does the same for a stream of either family of the system's, and something else for a pipe.
macro_rules! either {
    ($self:ident, $stream:ident => $system:expr, $end:ident => $pipe:expr) => {
        match &$self.stream {
            Stream::Tcp($stream) => $system,
            Stream::Unix($stream) => $system,
            Stream::Pipe($end) => $pipe,
        }
    };
}

/// What has come to a listener.
#[derive(Debug)]
pub enum Arrival {
    /// A stream.
    Stream(Accepted),
    /// A connection that did not become one.
    Failed {
        /// Who it was.
        peer: Peer,
        /// Why.
        error: LayerError,
    },
}

impl Arrival {
    /// The stream, if it is one.
    #[must_use]
    pub fn stream(self) -> Option<Accepted> {
        match self {
            Self::Stream(accepted) => Some(accepted),
            Self::Failed { .. } => None,
        }
    }
}

/// A stream that was accepted and has no owner yet.
#[derive(Debug)]
pub struct Accepted {
    stream: Stream,
    came_at: Instant,
}

impl From<TcpStream> for Accepted {
    fn from(stream: TcpStream) -> Self {
        Self::new(Stream::Tcp(stream))
    }
}

impl From<UnixStream> for Accepted {
    fn from(stream: UnixStream) -> Self {
        Self::new(Stream::Unix(stream))
    }
}

impl From<PipeEnd> for Accepted {
    fn from(end: PipeEnd) -> Self {
        Self::new(Stream::Pipe(Box::new(end)))
    }
}

impl Accepted {
    /// The stream does not block.
    fn new(stream: Stream) -> Self {
        Self { stream, came_at: Instant::now() }
    }

    /// Says when the connection came that the stream belongs to.
    #[cfg(feature = "quic")]
    #[must_use]
    pub(crate) fn since(mut self, came_at: Instant) -> Self {
        self.came_at = came_at;
        self
    }

    /// How long the connection has been there.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.came_at.elapsed()
    }

    /// For its owner.
    #[must_use]
    pub fn into_socket(self) -> Socket {
        Socket { stream: self.stream }
    }

    /// For a task of the present runtime: a TCP stream that nobody else writes to.
    ///
    /// # Errors
    ///
    /// The system is out of what it needs to watch one more, or it is no TCP stream.
    pub fn into_tcp(self) -> io::Result<tokio::net::TcpStream> {
        match self.stream {
            Stream::Tcp(stream) => tokio::net::TcpStream::from_std(stream),
            Stream::Unix(_) | Stream::Pipe(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Closes it unheard.
    pub fn refuse(self) {
        drop(self.stream);
    }
}

impl Socket {
    /// Reads what is there, straight from the system, whatever is known of readiness: what came
    /// before the other side broke off can still be had. Zero: the other side will send no more.
    /// To be called by the owner alone.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing is there; anything else if nothing will be.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => retry(|| (&mut &*stream).read(buffer)), end => end.receive(buffer))
    }

    /// Writes as much as the system takes.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it takes nothing now; anything else ends the connection.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self,
            stream => retry(|| (&mut &*stream).write(bytes)),
            end => end.send(&[IoSlice::new(bytes)]))
    }

    /// Writes as much of these pieces, in order, as the system takes.
    ///
    /// # Errors
    ///
    /// As of [`write`](Self::write).
    pub fn write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self,
            stream => retry(|| (&mut &*stream).write_vectored(pieces)),
            end => end.send(pieces))
    }

    /// Ends both directions; the descriptor stays until the last holder lets go of it, so that its
    /// number is not given to another connection meanwhile.
    pub fn shutdown(&self) {
        // The other side may have gone already.
        either!(self, stream => drop(stream.shutdown(Shutdown::Both)), end => end.shut_down());
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> Peer {
        match &self.stream {
            Stream::Tcp(stream) => stream.peer_addr().map_or(Peer::Unknown, Peer::Ip),
            Stream::Unix(_) => Peer::Local,
            Stream::Pipe(end) => end.peer(),
        }
    }

    /// Whether who is at the other end has proved who it is on the way here.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        either!(self, _stream => false, end => end.is_verified())
    }
}

/// Calls again what a signal has interrupted.
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
