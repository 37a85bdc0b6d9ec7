//! A hash table of numbers that grows a piece at a time.
//!
//! A table that doubles puts all its entries in place anew, under the bucket's lock: with millions
//! of filters below the same two levels that is a stall of a second. This one is cut into segments
//! by some bits of the hash, and a segment that is full becomes two (extendible hashing): no insert
//! moves more than [`SEGMENT_MAX`] entries.

use hashbrown::HashTable;

/// What a number stands for, its owner knows.
#[derive(Debug)]
pub(crate) struct Table {
    segments: Vec<Segment>,
    /// By the lowest bits of the hash's [`bits_of`], which segment; empty while there is only one.
    directory: Vec<u32>,
    len: usize,
}

#[derive(Debug, Default)]
struct Segment {
    numbers: HashTable<u32>,
    /// How many bits of the hash all its entries share.
    depth: u32,
}

/// Seven eighths of a power of two, which is what a segment takes without growing.
const SEGMENT_MAX: usize = 896;
/// The directory grows no further than to one place for so many entries, should hashes be alike.
const ENTRIES_PER_PLACE: usize = 64;

impl Default for Table {
    fn default() -> Self {
        Self { segments: vec![Segment::default()], directory: Vec::new(), len: 0 }
    }
}

impl Table {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl FnMut(&u32) -> bool) -> Option<u32> {
        self.segments[self.place(hash)].numbers.find(hash, is_it).copied()
    }

    /// The caller has seen that it is not there. `rehash` tells the hash of a number that is.
    pub(crate) fn insert(&mut self, hash: u64, number: u32, rehash: impl Fn(&u32) -> u64) {
        while self.segments[self.place(hash)].numbers.len() >= SEGMENT_MAX {
            if !self.split(self.place(hash), &rehash) {
                break;
            }
        }
        let place = self.place(hash);
        self.segments[place].numbers.insert_unique(hash, number, rehash);
        self.len += 1;
    }

    /// Whether it was there.
    pub(crate) fn remove(
        &mut self,
        hash: u64,
        is_it: impl FnMut(&u32) -> bool,
        rehash: impl Fn(&u32) -> u64,
    ) -> bool {
        let place = self.place(hash);
        let numbers = &mut self.segments[place].numbers;
        let Ok(entry) = numbers.find_entry(hash, is_it) else { return false };
        entry.remove();
        if numbers.len() < numbers.capacity() / 8 {
            numbers.shrink_to(numbers.len() * 2, rehash);
        }
        self.len -= 1;
        true
    }

    #[inline]
    fn place(&self, hash: u64) -> usize {
        let mask = self.directory.len().wrapping_sub(1);
        self.directory.get(bits_of(hash) & mask).map_or(0, |&place| place as usize)
    }

    /// Makes two of a segment. False if hashes are so alike that it would not help.
    fn split(&mut self, place: usize, rehash: &impl Fn(&u32) -> u64) -> bool {
        let depth = self.segments[place].depth;
        let places = self.directory.len().max(1);
        if 1 << depth == places {
            if places * ENTRIES_PER_PLACE > self.len {
                return false;
            }
            if self.directory.is_empty() {
                self.directory.push(0);
            }
            self.directory.extend_from_within(..);
        }
        let right = self.segments.len() as u32;
        let is_right = |hash: u64| bits_of(hash) >> depth & 1 == 1;
        // The places of one segment share their lowest bits.
        for (bits, held) in self.directory.iter_mut().enumerate() {
            if *held as usize == place && bits >> depth & 1 == 1 {
                *held = right;
            }
        }
        let whole = std::mem::take(&mut self.segments[place].numbers);
        let half = || HashTable::with_capacity(whole.len() / 2);
        let mut parts = [half(), half()];
        for &number in &whole {
            let hash = rehash(&number);
            parts[usize::from(is_right(hash))].insert_unique(hash, number, rehash);
        }
        let [left, numbers] = parts;
        self.segments[place] = Segment { numbers: left, depth: depth + 1 };
        self.segments.push(Segment { numbers, depth: depth + 1 });
        true
    }
}

/// Bits that neither the choice of the bucket takes nor, within a segment, the hash table.
#[inline]
fn bits_of(hash: u64) -> usize {
    (hash >> 12) as usize & 0xF_FFFF
}

#[cfg(test)]
mod tests;
