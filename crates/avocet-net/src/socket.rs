//! One stream.

use std::{
    io::{self, IoSlice, Read, Write},
    net::{Shutdown, SocketAddr},
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

/// A connected stream that never blocks. Its owner waits for readiness and reads; any thread may
/// write, straight to the system, and needs no right to wait for that.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
}

/// A stream that was accepted and has no owner yet.
#[derive(Debug)]
pub struct Accepted(std::net::TcpStream);

impl Accepted {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self(stream.into_std()?))
    }

    /// Takes the stream to the runtime of the calling task, which will wait for it.
    ///
    /// # Errors
    ///
    /// The system is out of what it needs to watch one more.
    pub fn own(self) -> io::Result<Socket> {
        Ok(Socket { stream: TcpStream::from_std(self.0)? })
    }

    /// As [`own`](Self::own), for a stream that nobody but its owner writes to.
    ///
    /// # Errors
    ///
    /// As of [`own`](Self::own).
    pub fn into_stream(self) -> io::Result<TcpStream> {
        TcpStream::from_std(self.0)
    }

    /// Closes it unheard.
    pub fn refuse(self) {
        drop(self.0);
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
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(buffer) {
                Ok(count) => {
                    if count < buffer.len() {
                        self.forget_readable();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Reads what is there, straight from the system, whatever is known of readiness: what came
    /// before the other side broke off can still be had. To be called by the owner alone.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing is there; anything else if nothing will be.
    pub fn read_left(&self, buffer: &mut [u8]) -> io::Result<usize> {
        retry(|| (&*SockRef::from(&self.stream)).read(buffer))
    }

    /// There was room for more than there was: the next readiness comes with the next bytes, so
    /// that no call is spent on learning that there are none. The end of the stream is kept.
    fn forget_readable(&self) {
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        self.stream.try_io(Interest::READABLE, nothing).ok();
    }

    /// Waits until the system takes bytes again. To be called by the owner alone.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(cx)
    }

    /// The system took less than it was given: the next [`poll_writable`](Self::poll_writable)
    /// waits.
    pub fn forget_writable(&self) {
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        self.stream.try_io(Interest::WRITABLE, nothing).ok();
    }

    /// Writes as much as the system takes.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it takes nothing now; anything else ends the connection.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        retry(|| (&*SockRef::from(&self.stream)).write(bytes))
    }

    /// Writes as much of these pieces, in order, as the system takes.
    ///
    /// # Errors
    ///
    /// As of [`write`](Self::write).
    pub fn write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        retry(|| (&*SockRef::from(&self.stream)).write_vectored(pieces))
    }

    /// Ends both directions; the descriptor stays until the last holder lets go of it, so that its
    /// number is not given to another connection meanwhile.
    pub fn shutdown(&self) {
        // The other side may have gone already.
        SockRef::from(&self.stream).shutdown(Shutdown::Both).ok();
    }

    /// The other side's address.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
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
