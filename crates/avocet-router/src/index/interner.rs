//! Strings stored once, known by number.
//!
//! They lie in pages. A page of which half is dead is cleared: what lives in it moves to the page
//! that is being written. So neither growing nor tidying up takes longer than a page does.

use super::chunks::Chunks;
use super::table::Table;

/// Strings in pages; each has a number while somebody uses it.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    pages: Vec<Page>,
    /// The one that is written.
    page: u32,
    free_pages: Vec<u32>,
    texts: Chunks<Text>,
    free: Chunks<u32>,
    by_hash: Table,
}

/// Texts one behind the other, each with its number and length before it.
#[derive(Debug, Default)]
struct Page {
    bytes: Vec<u8>,
    /// How many bytes belong to texts that are used.
    live: usize,
}

/// Where a text lies, in 12 bytes.
#[derive(Clone, Copy, Debug)]
struct Text {
    page: u32,
    offset: u16,
    len: u16,
    uses: u32,
}

/// Bytes of a page; a longer text has one of its own.
const PAGE_BYTES: usize = 32 * 1024;
/// The number, four bytes, and the length, two.
const HEADER_BYTES: usize = 6;

impl Interner {
    #[inline]
    pub(crate) fn find(&self, text: &[u8], hash: u64) -> Option<u32> {
        self.by_hash.find(hash, |&id| self.get(id) == text)
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> &[u8] {
        self.texts.get(id).map_or(&[], |text| text.of(&self.pages))
    }

    /// The text's number, one use more.
    pub(crate) fn intern(&mut self, text: &[u8], hash: u64, rehash: impl Fn(&[u8]) -> u64) -> u32 {
        if let Some(id) = self.find(text, hash) {
            if let Some(text) = self.texts.get_mut(id) {
                text.uses += 1;
            }
            return id;
        }
        let nowhere = Text { page: 0, offset: 0, len: 0, uses: 1 };
        let id = self.free.pop().unwrap_or_else(|| self.texts.push(nowhere));
        self.texts[id] = Text { uses: 1, ..self.write(id, text) };
        let Self { pages, texts, by_hash, .. } = self;
        by_hash.insert(hash, id, |&id| rehash(texts[id].of(pages)));
        id
    }

    /// One use less; whether it was the last, and the number is free.
    pub(crate) fn release(&mut self, id: u32, rehash: impl Fn(&[u8]) -> u64) -> bool {
        let Some(text) = self.texts.get_mut(id) else { return false };
        if text.uses > 1 {
            text.uses -= 1;
            return false;
        }
        let text = *text;
        let Self { pages, texts, by_hash, .. } = self;
        let hash_of = |id: &u32| rehash(texts[*id].of(pages));
        by_hash.remove(hash_of(&id), |&held| held == id, hash_of);
        texts[id].uses = 0;
        self.free.push(id);
        let page = &mut self.pages[text.page as usize];
        page.live -= HEADER_BYTES + usize::from(text.len);
        if text.page != self.page && page.live <= page.bytes.len() / 2 {
            self.clear(text.page);
        }
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Appends a text. Nobody uses it yet.
    fn write(&mut self, id: u32, text: &[u8]) -> Text {
        let more = HEADER_BYTES + text.len();
        let written = self.pages.get(self.page as usize).map(|page| page.bytes.len());
        if written.is_none_or(|written| written > 0 && written + more > PAGE_BYTES) {
            self.page = self.free_pages.pop().unwrap_or_else(|| {
                self.pages.push(Page::default());
                self.pages.len() as u32 - 1
            });
        }
        let page = &mut self.pages[self.page as usize];
        let offset = page.bytes.len();
        if page.bytes.capacity() - offset < more {
            // The first page of a small bucket grows tightly, later ones have few steps.
            let step = if self.pages.len() > 8 { PAGE_BYTES / 2 } else { offset / 8 };
            let page = &mut self.pages[self.page as usize];
            page.bytes.reserve_exact(step.min(PAGE_BYTES.saturating_sub(offset)).max(more));
        }
        let page = &mut self.pages[self.page as usize];
        debug_assert!(text.len() <= usize::from(u16::MAX), "a filter is not longer");
        let len = text.len() as u16;
        page.bytes.extend_from_slice(&id.to_le_bytes());
        page.bytes.extend_from_slice(&len.to_le_bytes());
        page.bytes.extend_from_slice(text);
        page.live += more;
        Text { page: self.page, offset: (offset + HEADER_BYTES) as u16, len, uses: 0 }
    }

    /// Moves what lives in a page to where is written.
    fn clear(&mut self, number: u32) {
        let page = std::mem::take(&mut self.pages[number as usize]);
        let mut offset = HEADER_BYTES;
        while let Some((id, text)) = entry(&page.bytes, offset) {
            let held = self.texts[id];
            if held.uses > 0 && (held.page, usize::from(held.offset)) == (number, offset) {
                self.texts[id] = Text { uses: held.uses, ..self.write(id, text) };
            }
            offset += text.len() + HEADER_BYTES;
        }
        self.free_pages.push(number);
    }
}

/// The text that lies there, and its number.
fn entry(bytes: &[u8], offset: usize) -> Option<(u32, &[u8])> {
    let (id, len) = bytes.get(offset - HEADER_BYTES..offset)?.split_first_chunk()?;
    let len = u16::from_le_bytes(len.try_into().ok()?);
    Some((u32::from_le_bytes(*id), bytes.get(offset..offset + usize::from(len))?))
}

impl Text {
    #[inline]
    fn of(self, pages: &[Page]) -> &[u8] {
        let offset = usize::from(self.offset);
        let page = pages.get(self.page as usize);
        page.and_then(|page| page.bytes.get(offset..offset + usize::from(self.len)))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
