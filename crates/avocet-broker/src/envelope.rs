//! What lies around one connection's bytes: TLS, WebSocket frames, a PROXY header in front.
//!
//! Until CONNECT it is its owner's; then it lies in the mailbox, behind whose lock there is one
//! writer at a time, and is opened and sealed under that lock.

use std::io;

use avocet_net::{Incoming, LayerError, Layers, Peer};

use crate::{buffers, pending::Pending, wire::Wire};

/// Bytes of the protocol that are sealed before they are written.
const SEALED_BYTES_MAX: usize = 32 * 1024;

/// The layers of a connection, and what they have made ready to be written. Holds no buffer while
/// there is nothing.
#[derive(Debug)]
pub(crate) struct Envelope {
    layers: Box<Layers>,
    sealed: Vec<u8>,
    /// How many of `sealed` are written.
    written: usize,
}

impl Envelope {
    pub(crate) fn new(layers: Box<Layers>) -> Self {
        Self { layers, sealed: Vec::new(), written: 0 }
    }

    /// Who is there, if somebody in front of the broker has said so.
    pub(crate) fn peer(&self) -> Option<Peer> {
        self.layers.peer().map(Peer::Ip)
    }

    /// Whether the client has proved who it is.
    pub(crate) fn is_verified(&self) -> bool {
        self.layers.is_verified()
    }

    /// Whether nothing lies around the bytes any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.layers.is_gone() && self.waiting() == 0
    }

    /// Sealed bytes not written yet.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.sealed.len() - self.written
    }

    /// Takes bytes that came: what they carry is appended to `plain`. There may be something to be
    /// written then.
    pub(crate) fn open(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<Incoming, LayerError> {
        // Who takes little at a time must not have what is written lie before what is not.
        if self.written >= SEALED_BYTES_MAX {
            self.sealed.drain(..self.written);
            self.written = 0;
        }
        self.layers.receive(bytes, plain, &mut self.sealed)
    }

    /// Writes all of `pending`, or as much as the system takes. Tells how many bytes it took.
    pub(crate) fn write(&mut self, pending: &mut Pending, wire: &Wire) -> (usize, io::Result<()>) {
        let mut total = 0;
        loop {
            let (count, result) = self.write_sealed(wire);
            total += count;
            if result.is_err() || pending.len() == 0 {
                if result.is_ok() {
                    pending.release();
                }
                return (total, result);
            }
            while pending.len() > 0 && self.sealed.len() < SEALED_BYTES_MAX {
                let front = pending.front();
                let plain = &front[..front.len().min(SEALED_BYTES_MAX)];
                if let Err(error) = self.seal(plain) {
                    return (total, Err(error));
                }
                let count = plain.len();
                pending.advance(count);
            }
        }
    }

    /// Seals the bytes of one packet or of several.
    pub(crate) fn seal(&mut self, plain: &[u8]) -> io::Result<()> {
        if self.sealed.capacity() == 0 {
            self.sealed = buffers::take();
        }
        self.layers.seal(plain, &mut self.sealed).map_err(io::Error::other)
    }

    /// Seals what tells the other side that nothing more comes.
    pub(crate) fn close(&mut self) {
        self.layers.close(&mut self.sealed);
    }

    /// Writes what is sealed. Tells how many bytes the system took.
    pub(crate) fn write_sealed(&mut self, wire: &Wire) -> (usize, io::Result<()>) {
        let mut total = 0;
        while self.written < self.sealed.len() {
            match wire.socket.write(&self.sealed[self.written..]) {
                Ok(count) => {
                    self.written += count;
                    total += count;
                }
                Err(error) => return (total, Err(error)),
            }
        }
        self.release();
        (total, Ok(()))
    }

    /// Forgets what is sealed and gives the buffer back.
    pub(crate) fn release(&mut self) {
        self.written = 0;
        buffers::give_back(std::mem::take(&mut self.sealed));
    }
}

#[cfg(test)]
#[cfg(not(feature = "interleavings"))]
mod tests;
