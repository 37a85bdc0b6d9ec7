//! Texts that lie in pages.
//!
//! A page of which half is dead is cleared: what lives in it moves to the page that is being
//! written, and the entry of a [`Table`] that it belongs to is told where to. So neither growing
//! nor tidying up takes longer than a page does.

use super::table::{Hashed, Table};

#[derive(Debug, Default)]
pub(crate) struct Texts {
    pages: Vec<Page>,
    /// The one that is written.
    page: u32,
    free_pages: Vec<u32>,
    /// Pages that are full, and whose dead texts nobody has looked at since.
    left: Vec<u32>,
}

/// Texts one behind the other, each with its owner's hash and its length before it.
#[derive(Debug, Default)]
struct Page {
    bytes: Vec<u8>,
    /// How many bytes belong to texts that are used.
    live: usize,
}

/// Where a text lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    page: u32,
    offset: u16,
    len: u16,
}

/// An entry that has a text, or may have.
pub(crate) trait Owner: Hashed {
    fn text_mut(&mut self) -> Option<&mut Text>;
    fn has(&self, text: Text) -> bool;
}

/// Bytes of a page; a longer text has one of its own.
const PAGE_BYTES: usize = 16 * 1024;
/// The owner's hash, four bytes, and the length, two.
const HEADER_BYTES: usize = 6;

impl Texts {
    #[inline]
    pub(crate) fn get(&self, text: Text) -> &[u8] {
        let offset = usize::from(text.offset);
        let page = self.pages.get(text.page as usize);
        page.and_then(|page| page.bytes.get(offset..offset + usize::from(text.len)))
            .unwrap_or_default()
    }

    pub(crate) fn write(&mut self, hash: u32, text: &[u8]) -> Text {
        debug_assert!(text.len() <= usize::from(u16::MAX), "a filter is not longer");
        let more = HEADER_BYTES + text.len();
        let written = self.pages.get(self.page as usize).map(|page| page.bytes.len());
        if written.is_none_or(|written| written > 0 && written + more > PAGE_BYTES) {
            self.left.extend(written.map(|_| self.page));
            self.page = self.free_pages.pop().unwrap_or_else(|| {
                self.pages.push(Page::default());
                self.pages.len() as u32 - 1
            });
        }
        // The first page of a small bucket grows tightly, later ones have few steps.
        let is_small = self.pages.len() <= 8;
        let page = &mut self.pages[self.page as usize];
        let offset = page.bytes.len();
        if page.bytes.capacity() - offset < more {
            let step = if is_small { offset / 4 } else { PAGE_BYTES / 2 };
            page.bytes.reserve_exact(step.min(PAGE_BYTES.saturating_sub(offset)).max(more));
        }
        let len = text.len() as u16;
        page.bytes.extend_from_slice(&hash.to_le_bytes());
        page.bytes.extend_from_slice(&len.to_le_bytes());
        page.bytes.extend_from_slice(text);
        page.live += more;
        Text { page: self.page, offset: (offset + HEADER_BYTES) as u16, len }
    }

    /// To be called when no entry of the table has the text any more.
    pub(crate) fn release<T: Owner>(&mut self, text: Text, owners: &mut Table<T>) {
        let page = &mut self.pages[text.page as usize];
        page.live -= HEADER_BYTES + usize::from(text.len);
        if text.page != self.page {
            self.left.push(text.page);
        }
        // What died in a page while it was being written counts from when it is left.
        while let Some(number) = self.left.pop() {
            let page = &self.pages[number as usize];
            let is_in_use = number != self.page && !page.bytes.is_empty();
            if is_in_use && page.live <= page.bytes.len() / 2 {
                self.clear(number, owners);
            }
        }
    }

    /// Moves what lives in a page to where is written.
    fn clear<T: Owner>(&mut self, number: u32, owners: &mut Table<T>) {
        let page = std::mem::take(&mut self.pages[number as usize]);
        let mut left = page.live;
        let mut offset = HEADER_BYTES;
        while left > 0
            && let Some((hash, bytes)) = entry(&page.bytes, offset)
        {
            let text = Text { page: number, offset: offset as u16, len: bytes.len() as u16 };
            if let Some(place) = owners.locate(hash, |owner| owner.has(text))
                && let Some(held) = owners[place].text_mut()
            {
                *held = self.write(hash, bytes);
                left -= HEADER_BYTES + bytes.len();
            }
            offset += bytes.len() + HEADER_BYTES;
        }
        self.free_pages.push(number);
    }
}

/// The text that lies there, and the hash of whom it belongs to.
fn entry(bytes: &[u8], offset: usize) -> Option<(u32, &[u8])> {
    let (hash, len) = bytes.get(offset - HEADER_BYTES..offset)?.split_first_chunk()?;
    let len = u16::from_le_bytes(len.try_into().ok()?);
    Some((u32::from_le_bytes(*hash), bytes.get(offset..offset + usize::from(len))?))
}

#[cfg(test)]
mod tests;
