//! The bytes of one connection that are not written yet: a buffer, and large payloads that lie
//! elsewhere and are only counted, each at its place in the stream.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::Arc,
};

use avocet_mqtt::ApplicationMessage;

use crate::{buffers, wire::Wire};

/// Pieces given to the system in one call.
const SLICES_MAX: usize = 16;

/// Bytes in order. Holds no buffer while there are none.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    bytes: Vec<u8>,
    /// How many of `bytes` are written.
    written: usize,
    large: Option<Box<Payloads>>,
}

/// Large payloads, which few connections have at any time.
#[derive(Debug, Default)]
struct Payloads {
    queue: VecDeque<Large>,
    /// How many bytes of them are not written.
    bytes: usize,
}

/// A payload that stands behind the first `at` bytes of the buffer.
#[derive(Debug)]
struct Large {
    at: usize,
    message: Arc<ApplicationMessage>,
    written: usize,
}

impl Pending {
    /// How many bytes there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let large = self.large.as_ref().map_or(0, |large| large.bytes);
        self.bytes.len() - self.written + large
    }

    /// Where to append, with a buffer of this thread's if there was none.
    #[inline]
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = buffers::take();
        }
        &mut self.bytes
    }

    /// Puts a message's payload behind what was appended so far.
    pub(crate) fn append_payload(&mut self, message: Arc<ApplicationMessage>) {
        let large = self.large.get_or_insert_default();
        large.bytes += message.payload().len();
        large.queue.push_back(Large { at: self.bytes.len(), message, written: 0 });
    }

    /// Writes until all is written or the system takes no more. Tells how many bytes it took.
    pub(crate) fn write(&mut self, wire: &Wire) -> (usize, io::Result<()>) {
        let mut total = 0;
        while self.len() > 0 {
            let written = match &self.large {
                None => wire.socket.write(&self.bytes[self.written..]),
                Some(large) => write_pieces(&self.bytes, self.written, &large.queue, wire),
            };
            match written {
                Ok(count) => {
                    total += count;
                    self.advance(count);
                }
                Err(error) => {
                    self.compact();
                    return (total, Err(error));
                }
            }
        }
        self.release();
        (total, Ok(()))
    }

    /// The first bytes, as many as lie together; empty only if there are none.
    pub(crate) fn front(&self) -> &[u8] {
        match self.large.as_ref().and_then(|large| large.queue.front()) {
            Some(large) if large.at > self.written => &self.bytes[self.written..large.at],
            Some(large) => &large.message.payload()[large.written..],
            None => &self.bytes[self.written..],
        }
    }

    /// So many of the first bytes are written.
    pub(crate) fn advance(&mut self, mut count: usize) {
        while let Some(payloads) = &mut self.large
            && let Some(large) = payloads.queue.front_mut()
        {
            let before = count.min(large.at - self.written);
            self.written += before;
            let left = large.message.payload().len() - large.written;
            let within = (count - before).min(left);
            large.written += within;
            payloads.bytes -= within;
            count -= before + within;
            if within < left {
                return;
            }
            payloads.queue.pop_front();
        }
        self.large = None;
        self.written += count;
    }

    /// Gives up what is written. A connection that never quite catches up must not have its buffer
    /// grow for ever.
    fn compact(&mut self) {
        if self.written <= self.bytes.len() / 2 {
            return;
        }
        self.bytes.drain(..self.written);
        for large in self.large.iter_mut().flat_map(|large| large.queue.iter_mut()) {
            large.at -= self.written;
        }
        self.written = 0;
    }

    /// Forgets what there is and gives the buffer back.
    pub(crate) fn release(&mut self) {
        self.written = 0;
        self.large = None;
        buffers::give_back(std::mem::take(&mut self.bytes));
    }
}

fn write_pieces(
    bytes: &[u8],
    mut from: usize,
    large: &VecDeque<Large>,
    wire: &Wire,
) -> io::Result<usize> {
    let mut pieces = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = 0;
    for large in large.iter().take(SLICES_MAX / 2 - 1) {
        pieces[count] = IoSlice::new(&bytes[from..large.at]);
        pieces[count + 1] = IoSlice::new(&large.message.payload()[large.written..]);
        from = large.at;
        count += 2;
    }
    if large.len() < SLICES_MAX / 2 {
        pieces[count] = IoSlice::new(&bytes[from..]);
        count += 1;
    }
    wire.socket.write_vectored(&pieces[..count])
}

#[cfg(test)]
#[cfg(not(feature = "interleavings"))]
pub(crate) mod tests;
