//! Strings stored once, known by number.

use hashbrown::HashTable;

/// Strings in one arena; each has a number while somebody uses it.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    bytes: Vec<u8>,
    texts: Vec<Text>,
    by_hash: HashTable<u32>,
    free: Vec<u32>,
    /// Bytes in the arena that belong to no text.
    dead: usize,
}

/// Where a text lies, in 12 bytes: an arena may outgrow 4 GiB, a text may not outgrow 65,535 bytes.
#[derive(Clone, Copy, Debug)]
struct Text {
    offset_low: u32,
    offset_high: u16,
    len: u16,
    uses: u32,
}

/// Below this the arena is left as it is.
const COMPACT_BYTES_MIN: usize = 1024;

impl Interner {
    pub(crate) fn find(&self, text: &[u8], hash: u64) -> Option<u32> {
        self.by_hash.find(hash, |&id| self.get(id) == text).copied()
    }

    pub(crate) fn get(&self, id: u32) -> &[u8] {
        self.texts.get(id as usize).map_or(&[], |text| text.of(&self.bytes))
    }

    /// The text's number, one use more.
    pub(crate) fn intern(&mut self, text: &[u8], hash: u64, rehash: impl Fn(&[u8]) -> u64) -> u32 {
        if let Some(id) = self.find(text, hash) {
            if let Some(text) = self.texts.get_mut(id as usize) {
                text.uses += 1;
            }
            return id;
        }
        let entry = Text::new(self.bytes.len(), text.len());
        reserve_tightly(&mut self.bytes, text.len());
        self.bytes.extend_from_slice(text);
        let id = match self.free.pop() {
            Some(id) => {
                self.texts[id as usize] = entry;
                id
            }
            None => push_tightly(&mut self.texts, entry),
        };
        let Self { bytes, texts, by_hash, .. } = self;
        by_hash.insert_unique(hash, id, |&id| rehash(texts[id as usize].of(bytes)));
        id
    }

    /// One use less; whether it was the last, and the number is free.
    pub(crate) fn release(&mut self, id: u32, rehash: impl Fn(&[u8]) -> u64) -> bool {
        let Some(text) = self.texts.get_mut(id as usize) else { return false };
        text.uses -= 1;
        if text.uses > 0 {
            return false;
        }
        let hash = rehash(text.of(&self.bytes));
        self.dead += usize::from(text.len);
        if let Ok(entry) = self.by_hash.find_entry(hash, |&held| held == id) {
            entry.remove();
        }
        self.free.push(id);
        if self.by_hash.is_empty() {
            *self = Self::default();
        } else if self.dead > COMPACT_BYTES_MIN.max(self.bytes.len() / 2) {
            self.compact();
        }
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    fn compact(&mut self) {
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.dead);
        for text in self.texts.iter_mut().filter(|text| text.uses > 0) {
            let moved = Text { uses: text.uses, ..Text::new(bytes.len(), text.len.into()) };
            bytes.extend_from_slice(text.of(&self.bytes));
            *text = moved;
        }
        self.bytes = bytes;
        self.dead = 0;
    }
}

impl Text {
    fn new(offset: usize, len: usize) -> Self {
        debug_assert!(len <= usize::from(u16::MAX), "a filter is not longer");
        Self {
            offset_low: offset as u32,
            offset_high: (offset >> 32) as u16,
            len: len as u16,
            uses: 1,
        }
    }

    fn of(self, bytes: &[u8]) -> &[u8] {
        let offset = self.offset_low as usize | (self.offset_high as usize) << 32;
        bytes.get(offset..offset + usize::from(self.len)).unwrap_or_default()
    }
}

/// Appends, growing by an eighth where `push` would double; the place of the new element.
pub(crate) fn push_tightly<T>(list: &mut Vec<T>, value: T) -> u32 {
    reserve_tightly(list, 1);
    list.push(value);
    // A bucket of 2^32 nodes would have 100 GiB.
    debug_assert!(u32::try_from(list.len()).is_ok());
    (list.len() - 1) as u32
}

fn reserve_tightly<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more.max(list.len() / 8).max(4));
    }
}

#[cfg(test)]
mod tests;
