//! A list that grows without moving what is in it.
//!
//! A vector that grows copies all it has, under the bucket's lock: with millions of elements that
//! is a stall. Here only the list of chunks grows, a few thousandths of it.

use std::ops::{Index, IndexMut};

/// Elements by number.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
}

const CHUNK_BITS: u32 = 12;
const CHUNK: usize = 1 << CHUNK_BITS;

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Chunks<T> {
    pub(crate) fn len(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.len(),
            None => 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.chunks.get(id as usize >> CHUNK_BITS)?.get(id as usize & (CHUNK - 1))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.chunks.get_mut(id as usize >> CHUNK_BITS)?.get_mut(id as usize & (CHUNK - 1))
    }

    /// Appends, growing by an eighth of the whole where a vector would double; the number of the
    /// new element.
    pub(crate) fn push(&mut self, value: T) -> u32 {
        let len = self.len();
        // A bucket of 2^32 nodes would have 100 GiB.
        debug_assert!(u32::try_from(len).is_ok());
        if len.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::new());
        }
        if let Some(last) = self.chunks.last_mut() {
            if last.len() == last.capacity() {
                last.reserve_exact((len / 8).clamp(4, CHUNK).min(CHUNK - last.len()));
            }
            last.push(value);
        }
        len as u32
    }

    /// Takes the last off.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.chunks.last_mut()?;
        let value = last.pop();
        if last.is_empty() {
            self.chunks.pop();
        }
        value
    }
}

impl<T> Index<u32> for Chunks<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        &self.chunks[id as usize >> CHUNK_BITS][id as usize & (CHUNK - 1)]
    }
}

impl<T> IndexMut<u32> for Chunks<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.chunks[id as usize >> CHUNK_BITS][id as usize & (CHUNK - 1)]
    }
}

#[cfg(test)]
mod tests;
