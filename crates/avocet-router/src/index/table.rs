//! A hash table that grows a piece at a time.
//!
//! A table that doubles puts all its entries in place anew, under the bucket's lock: with millions
//! of filters below the same two levels that is a stall of a second. This one is cut into segments
//! by some bits of the hash, and a segment that is full becomes two (extendible hashing): no change
//! moves more than a segment.
//!
//! An entry lies in the table itself, with its hash, so a look-up waits for memory once, for one
//! line or two neighbours; and within a segment entries are in the order of their home slots
//! (linear probing, "Robin Hood"), so that it passes by few, also when it finds nothing.

use std::ops::{Index, IndexMut};

use smallvec::SmallVec;

/// Something that knows its hash.
pub(crate) trait Hashed {
    fn hash(&self) -> u32;
}

#[derive(Debug)]
pub(crate) struct Table<T> {
    /// None before the first entry; of a small table it is the only one, and costs no allocation.
    segments: SmallVec<[Segment<T>; 1]>,
    /// By the lowest bits of the hash's [`bits_of`], which segment; empty while there is only one.
    directory: Vec<u32>,
    len: usize,
}

/// Where an entry is until the table changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    segment: u32,
    slot: u32,
}

#[derive(Debug)]
struct Segment<T> {
    slots: Box<[Option<T>]>,
    len: u32,
    /// How many bits of the hash all its entries share.
    depth: u32,
}

/// What a segment grows to; 64 KiB of entries with 32 bytes.
const SLOTS_MAX: usize = 2048;
const SLOTS_MIN: usize = 4;
/// So many bits of the hash tell the slot, those above them the segment.
const SLOT_BITS: u32 = 12;
/// The directory grows no further than to one place for so many entries, should hashes be alike.
const ENTRIES_PER_PLACE: usize = 64;

impl<T: Hashed> Table<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn find(&self, hash: u32, is_it: impl FnMut(&T) -> bool) -> Option<&T> {
        let segment = self.segments.get(self.segment_of(hash))?;
        segment.slots[segment.find(hash, is_it)?].as_ref()
    }

    #[inline]
    pub(crate) fn locate(&self, hash: u32, is_it: impl FnMut(&T) -> bool) -> Option<Place> {
        let segment = self.segment_of(hash);
        let slot = self.segments.get(segment)?.find(hash, is_it)?;
        Some(Place { segment: segment as u32, slot: slot as u32 })
    }

    /// The caller has seen that it is not there.
    pub(crate) fn insert(&mut self, entry: T) -> Place {
        if self.segments.is_empty() {
            self.segments.push(Segment::new(SLOTS_MIN, 0));
        }
        let hash = entry.hash();
        let mut segment = self.segment_of(hash);
        while self.segments[segment].is_full() {
            let slots = self.segments[segment].slots.len();
            if slots < SLOTS_MAX {
                let more = (slots / 4).max(SLOTS_MIN);
                self.segments[segment].resize((slots + more).min(SLOTS_MAX));
            } else if !self.split(segment) {
                self.segments[segment].resize(slots * 2);
            }
            segment = self.segment_of(hash);
        }
        self.len += 1;
        let slot = self.segments[segment].insert(entry);
        Place { segment: segment as u32, slot: slot as u32 }
    }

    pub(crate) fn remove(&mut self, hash: u32, is_it: impl FnMut(&T) -> bool) -> Option<T> {
        let segment = self.segment_of(hash);
        let segment = self.segments.get_mut(segment)?;
        let removed = segment.remove(segment.find(hash, is_it)?);
        let (len, slots) = (segment.len as usize, segment.slots.len());
        if len < slots / 4 {
            segment.resize(if len == 0 { 0 } else { slots / 2 });
        }
        self.len -= 1;
        removed
    }

    #[inline]
    fn segment_of(&self, hash: u32) -> usize {
        let mask = self.directory.len().wrapping_sub(1);
        self.directory.get(bits_of(hash) & mask).map_or(0, |&segment| segment as usize)
    }

    /// Makes two of a segment. False if hashes are so alike that it would not help.
    fn split(&mut self, at: usize) -> bool {
        let depth = self.segments[at].depth;
        let places = self.directory.len().max(1);
        if 1 << depth == places {
            if places * ENTRIES_PER_PLACE > self.len || places > bits_of(u32::MAX) {
                return false;
            }
            if self.directory.is_empty() {
                self.directory.push(0);
            }
            self.directory.extend_from_within(..);
        }
        let right = self.segments.len() as u32;
        // The places of one segment share their lowest bits.
        for (bits, held) in self.directory.iter_mut().enumerate() {
            if *held as usize == at && bits >> depth & 1 == 1 {
                *held = right;
            }
        }
        let whole = std::mem::take(&mut self.segments[at].slots);
        let is_right = |entry: &T| bits_of(entry.hash()) >> depth & 1;
        let count = whole.iter().flatten().map(is_right).sum::<usize>();
        let entries = whole.iter().flatten().count();
        let part = |entries: usize| Segment::new((entries * 3 / 2).max(SLOTS_MIN), depth + 1);
        let mut parts = [part(entries - count), part(count)];
        for entry in whole.into_iter().flatten() {
            parts[is_right(&entry)].insert(entry);
        }
        let [left, right] = parts;
        self.segments[at] = left;
        self.segments.push(right);
        true
    }
}

impl<T: Hashed> Segment<T> {
    fn new(slots: usize, depth: u32) -> Self {
        Self { slots: (0..slots).map(|_| None).collect(), len: 0, depth }
    }

    /// From 13 entries in 16 slots on a look-up would pass by many.
    fn is_full(&self) -> bool {
        self.len as usize >= self.slots.len() * 13 / 16
    }

    /// Where an entry would lie if there were no others.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        (hash as usize % (1 << SLOT_BITS) * self.slots.len()) >> SLOT_BITS
    }

    #[inline]
    fn next(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    /// From home to where it is.
    #[inline]
    fn distance(&self, hash: u32, slot: usize) -> usize {
        let home = self.home(hash);
        if slot < home { slot + self.slots.len() - home } else { slot - home }
    }

    #[inline]
    fn find(&self, hash: u32, mut is_it: impl FnMut(&T) -> bool) -> Option<usize> {
        let mut slot = self.home(hash);
        let mut distance = 0;
        loop {
            let entry = self.slots.get(slot)?.as_ref()?;
            let held = entry.hash();
            if held == hash && is_it(entry) {
                return Some(slot);
            }
            // What is nearer to its home than this one would be stands behind it.
            if self.distance(held, slot) < distance {
                return None;
            }
            slot = self.next(slot);
            distance += 1;
        }
    }

    /// There is room.
    fn insert(&mut self, entry: T) -> usize {
        let mut slot = self.home(entry.hash());
        let mut distance = 0;
        while let Some(held) = &self.slots[slot]
            && self.distance(held.hash(), slot) >= distance
        {
            slot = self.next(slot);
            distance += 1;
        }
        let mut ahead = slot;
        let mut carried = self.slots[slot].replace(entry);
        while let Some(entry) = carried {
            ahead = self.next(ahead);
            carried = self.slots[ahead].replace(entry);
        }
        self.len += 1;
        slot
    }

    /// Those behind it that are not at home move up.
    fn remove(&mut self, mut slot: usize) -> Option<T> {
        let removed = self.slots[slot].take();
        self.len -= 1;
        loop {
            let next = self.next(slot);
            match &self.slots[next] {
                Some(held) if self.home(held.hash()) != next => {
                    self.slots[slot] = self.slots[next].take();
                }
                Some(_) | None => return removed,
            }
            slot = next;
        }
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(self, Self::new(slots, self.depth));
        if old.len == 0 {
            return;
        }
        for entry in old.slots.into_iter().flatten() {
            self.insert(entry);
        }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { segments: SmallVec::new(), directory: Vec::new(), len: 0 }
    }
}

impl<T> Index<Place> for Table<T> {
    type Output = T;

    #[inline]
    fn index(&self, place: Place) -> &T {
        let slot = &self.segments[place.segment as usize].slots[place.slot as usize];
        slot.as_ref().expect("a place is of an entry")
    }
}

impl<T> IndexMut<Place> for Table<T> {
    #[inline]
    fn index_mut(&mut self, place: Place) -> &mut T {
        let slot = &mut self.segments[place.segment as usize].slots[place.slot as usize];
        slot.as_mut().expect("a place is of an entry")
    }
}

/// Bits above those that find the slot.
#[inline]
fn bits_of(hash: u32) -> usize {
    (hash >> SLOT_BITS) as usize
}

#[cfg(test)]
mod tests;
