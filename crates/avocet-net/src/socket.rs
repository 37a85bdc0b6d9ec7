//! One stream.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    os::fd::{AsRawFd, RawFd},
};

/// A connected stream that never blocks. Reading and writing go straight to the system: whoever
/// waits for readiness does so on the descriptor ([`AsRawFd`]), and whoever writes from another
/// thread needs no right to wait.
#[derive(Debug)]
pub struct Socket {
    stream: socket2::Socket,
}

impl Socket {
    pub(crate) fn new(stream: socket2::Socket) -> Self {
        Self { stream }
    }

    /// Reads what is there. Zero: the other side will send no more.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing is there; anything else ends the connection.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        retry(|| (&self.stream).read(buffer))
    }

    /// Writes as much as the system takes.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it takes nothing now; anything else ends the connection.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        retry(|| (&self.stream).write(bytes))
    }

    /// Ends both directions; the descriptor stays until the last holder lets go of it, so that its
    /// number is not given to another connection meanwhile.
    pub fn shutdown(&self) {
        // The other side may have gone already.
        self.stream.shutdown(Shutdown::Both).ok();
    }

    /// The other side's address.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()?.as_socket()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
