//! The bytes of small messages in flight, one behind the other: an allocation for each would cost
//! more than to copy them.

/// Below this many bytes given up there is no moving the rest to the front.
const MOVED_MIN: usize = 4096;
/// A larger buffer is given back when it runs empty.
const KEPT_MAX: usize = 4096;

/// Bytes that are added at the end and given up at the front.
#[derive(Debug)]
pub(crate) struct Log {
    bytes: Vec<u8>,
    /// How many of `bytes` are given up.
    gone: usize,
    /// The position of the first of `bytes`, counted from the first that was ever added.
    base: u64,
}

impl Log {
    /// No bytes.
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), gone: 0, base: 0 }
    }

    /// How many there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.gone
    }

    /// Adds at the end. Tells the position, by which [`get`](Self::get) finds them.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) -> u64 {
        let position = self.base + self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        position
    }

    /// So many bytes from a position on; none if they are not there.
    pub(crate) fn get(&self, position: u64, count: usize) -> &[u8] {
        let start = usize::try_from(position - self.base).unwrap_or(usize::MAX);
        self.bytes.get(start..).and_then(|bytes| bytes.get(..count)).unwrap_or_default()
    }

    /// Gives up so many bytes at the front.
    #[inline]
    pub(crate) fn give_up(&mut self, count: usize) {
        self.gone += count;
        if self.gone == self.bytes.len() {
            self.base += self.gone as u64;
            self.gone = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEPT_MAX {
                self.bytes = Vec::new();
            }
        } else if self.gone >= MOVED_MIN && self.gone > self.bytes.len() / 2 {
            self.bytes.drain(..self.gone);
            self.base += self.gone as u64;
            self.gone = 0;
        }
    }

    /// Holds no more memory than it needs.
    pub(crate) fn shrink(&mut self) {
        self.bytes.drain(..self.gone);
        self.base += self.gone as u64;
        self.gone = 0;
        self.bytes.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests;
