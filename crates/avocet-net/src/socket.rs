//! One stream.

use std::{
    io::{self, IoSlice, Read, Write},
    net::Shutdown,
    os::fd::AsFd,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use socket2::SockRef;
use tokio::{
    io::Interest,
    net::{TcpStream, UnixStream},
};

use crate::{LayerError, Peer, pipe::PipeEnd};

/// A connected stream that never blocks. Its owner waits for readiness and reads; any thread may
/// write, straight to the system, and needs no right to wait for that.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Pipe(PipeEnd),
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
    stream: Fresh,
    came_at: Instant,
}

#[derive(Debug)]
enum Fresh {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
    Pipe(PipeEnd),
}

impl From<std::net::TcpStream> for Accepted {
    fn from(stream: std::net::TcpStream) -> Self {
        Self::new(Fresh::Tcp(stream), Instant::now())
    }
}

impl From<std::os::unix::net::UnixStream> for Accepted {
    fn from(stream: std::os::unix::net::UnixStream) -> Self {
        Self::new(Fresh::Unix(stream), Instant::now())
    }
}

impl From<PipeEnd> for Accepted {
    fn from(end: PipeEnd) -> Self {
        Self::new(Fresh::Pipe(end), Instant::now())
    }
}

impl Accepted {
    fn new(stream: Fresh, came_at: Instant) -> Self {
        Self { stream, came_at }
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

    /// Takes the stream to the runtime of the calling task, which will wait for it.
    ///
    /// # Errors
    ///
    /// The system is out of what it needs to watch one more.
    pub fn own(self) -> io::Result<Socket> {
        let stream = match self.stream {
            Fresh::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            Fresh::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
            Fresh::Pipe(end) => Stream::Pipe(end),
        };
        Ok(Socket { stream })
    }

    /// As [`own`](Self::own), for a TCP stream that nobody but its owner writes to.
    ///
    /// # Errors
    ///
    /// As of [`own`](Self::own), and that it is no TCP stream.
    pub fn into_tcp(self) -> io::Result<TcpStream> {
        match self.stream {
            Fresh::Tcp(stream) => TcpStream::from_std(stream),
            Fresh::Unix(_) | Fresh::Pipe(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Closes it unheard.
    pub fn refuse(self) {
        drop(self.stream);
    }
}

impl Socket {
    /// Reads what is there into `buffer`, or waits until something is. Zero: the other side will
    /// send no more. To be called by the owner alone.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => loop {
            ready!(stream.poll_read_ready(cx))?;
            match stream.try_read(buffer) {
                Ok(count) => {
                    if count < buffer.len() {
                        // There was room for more than there was: the next readiness comes with
                        // the next bytes, so that no call is spent on learning that there are
                        // none. The end of the stream is kept.
                        stream.try_io(Interest::READABLE, would_block).ok();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }, end => end.poll_receive(cx, buffer))
    }

    /// Reads what is there, straight from the system, whatever is known of readiness: what came
    /// before the other side broke off can still be had. To be called by the owner alone.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing is there; anything else if nothing will be.
    pub fn read_left(&self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self,
            stream => retry(|| (&*SockRef::from(stream)).read(buffer)),
            end => end.receive(buffer))
    }

    /// Waits until the system takes bytes again. To be called by the owner alone.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self,
            stream => stream.poll_write_ready(cx),
            end => end.poll_writable(cx).map(Ok))
    }

    /// The system took less than it was given: the next [`poll_writable`](Self::poll_writable)
    /// waits.
    pub fn forget_writable(&self) {
        either!(self, stream => stream.try_io(Interest::WRITABLE, would_block).ok(), _end => None);
    }

    /// Writes as much as the system takes.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it takes nothing now; anything else ends the connection.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self,
            stream => retry(|| (&*SockRef::from(stream)).write(bytes)),
            end => end.send(&[IoSlice::new(bytes)]))
    }

    /// Writes as much of these pieces, in order, as the system takes.
    ///
    /// # Errors
    ///
    /// As of [`write`](Self::write).
    pub fn write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self,
            stream => retry(|| (&*SockRef::from(stream)).write_vectored(pieces)),
            end => end.send(pieces))
    }

    /// Ends both directions; the descriptor stays until the last holder lets go of it, so that its
    /// number is not given to another connection meanwhile.
    pub fn shutdown(&self) {
        // The other side may have gone already.
        either!(self, stream => shut_down(stream), end => end.shut_down());
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

fn shut_down(stream: &impl AsFd) {
    SockRef::from(stream).shutdown(Shutdown::Both).ok();
}

fn would_block() -> io::Result<()> {
    Err(io::ErrorKind::WouldBlock.into())
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
