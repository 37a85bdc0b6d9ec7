//! Pages of queues that memory is not to hold, in a file that is made anew with each opening: all
//! that stands there stands in the log, too. What the disk does not take stays in memory.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    io,
    sync::Arc,
};

use crate::{
    command::Place,
    disk::{Disk, File},
    log::Position,
};

/// Entries of a page.
pub(super) const PAGE_ENTRIES: usize = 16;
const ENTRY_BYTES: usize = 24;
const PAGE_BYTES: usize = PAGE_ENTRIES * ENTRY_BYTES;
/// Pages that are kept in memory as well, since a queue is often asked for the same one. In tests
/// few, so that the file is read.
const CACHED_PAGES: usize = if cfg!(test) { 4 } else { 256 };

const NAME: &str = "queues.scratch";

/// A message in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Entry {
    pub(in crate::store) place: Place,
    pub(in crate::store) at: Position,
    /// Bytes of its packet.
    pub(in crate::store) bytes: u32,
    /// Its share of the bytes of its record, which other queues have a share of, too.
    pub(in crate::store) share: u32,
}

pub(super) type Page = [Entry; PAGE_ENTRIES];

/// The pages. Their numbers are given by it.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Nothing if all is to stay in memory.
    disk: Option<Arc<dyn Disk>>,
    file: Option<Arc<dyn File>>,
    /// Pages the file has room for.
    pages: u32,
    /// Those nobody uses, the first of them first.
    free: BinaryHeap<Reverse<u32>>,
    /// What the disk has not taken.
    memory: BTreeMap<u32, Box<Page>>,
    /// By the page's number, modulo the length.
    cache: Vec<Option<(u32, Box<Page>)>>,
}

impl Entry {
    fn write(&self, out: &mut [u8]) {
        out[..8].copy_from_slice(&self.place.0.to_le_bytes());
        out[8..12].copy_from_slice(&self.at.segment.to_le_bytes());
        out[12..16].copy_from_slice(&self.at.offset.to_le_bytes());
        out[16..20].copy_from_slice(&self.bytes.to_le_bytes());
        out[20..24].copy_from_slice(&self.share.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Self {
            place: Place(u64::from(word(0)) | u64::from(word(4)) << 32),
            at: Position { segment: word(8), offset: word(12) },
            bytes: word(16),
            share: word(20),
        }
    }
}

impl Scratch {
    /// On a disk, or in memory without one. What an earlier one has left goes.
    pub(super) fn new(disk: Option<Arc<dyn Disk>>) -> Self {
        if let Some(disk) = &disk {
            // If it stays, it is written over.
            drop(disk.remove(NAME));
        }
        Self { disk, ..Self::default() }
    }

    /// Keeps a page; answers its number.
    pub(super) fn keep(&mut self, page: &Page) -> u32 {
        let number = match self.free.pop() {
            Some(Reverse(number)) => number,
            None => {
                self.pages += 1;
                self.pages - 1
            }
        };
        self.write(number, page);
        self.move_out();
        number
    }

    /// Changes a page.
    pub(super) fn write(&mut self, number: u32, page: &Page) {
        self.remember(number, page);
        match self.try_write(number, page) {
            Ok(()) => drop(self.memory.remove(&number)),
            Err(_) => drop(self.memory.insert(number, Box::new(*page))),
        }
    }

    /// A page.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn read(&mut self, number: u32) -> io::Result<Page> {
        if let Some(page) = self.memory.get(&number) {
            return Ok(**page);
        }
        let slot = self.cache.get(number as usize % CACHED_PAGES);
        if let Some(Some((_, page))) =
            slot.filter(|it| it.as_ref().is_some_and(|it| it.0 == number))
        {
            return Ok(**page);
        }
        let mut bytes = [0; PAGE_BYTES];
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        if file.read_at(&mut bytes, offset(number))? < PAGE_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut page = [Entry::default(); PAGE_ENTRIES];
        for (entry, bytes) in page.iter_mut().zip(bytes.chunks(ENTRY_BYTES)) {
            *entry = Entry::read(bytes);
        }
        self.remember(number, &page);
        Ok(page)
    }

    /// Nobody uses this page any more. A file without any gives its space back.
    pub(super) fn free(&mut self, number: u32) {
        self.memory.remove(&number);
        if let Some(slot) = self.cache.get_mut(number as usize % CACHED_PAGES)
            && slot.as_ref().is_some_and(|(cached, _)| *cached == number)
        {
            *slot = None;
        }
        self.free.push(Reverse(number));
        if self.free.len() == self.pages as usize {
            self.pages = 0;
            self.free = BinaryHeap::new();
            self.file.as_ref().into_iter().for_each(|file| drop(file.truncate(0)));
        }
    }

    fn remember(&mut self, number: u32, page: &Page) {
        if self.cache.is_empty() {
            self.cache.resize(CACHED_PAGES, None);
        }
        let slot = &mut self.cache[number as usize % CACHED_PAGES];
        match slot {
            Some((cached, kept)) => {
                *cached = number;
                **kept = *page;
            }
            None => *slot = Some((number, Box::new(*page))),
        }
    }

    /// Gives one page that had to stay in memory to the disk.
    fn move_out(&mut self) {
        if self.file.is_some()
            && let Some((number, page)) = self.memory.pop_first()
            && self.try_write(number, &page).is_err()
        {
            self.memory.insert(number, page);
        }
    }

    fn try_write(&mut self, number: u32, page: &Page) -> io::Result<()> {
        let mut bytes = [0; PAGE_BYTES];
        for (entry, bytes) in page.iter().zip(bytes.chunks_mut(ENTRY_BYTES)) {
            entry.write(bytes);
        }
        self.file()?.write_at(&bytes, offset(number))
    }

    fn file(&mut self) -> io::Result<&Arc<dyn File>> {
        if self.file.is_none() {
            let disk = self.disk.as_ref().ok_or(io::ErrorKind::Unsupported)?;
            let created = disk.create(NAME).or_else(|_| disk.open(NAME));
            self.file = Some(created?);
        }
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn offset(number: u32) -> u64 {
    u64::from(number) * PAGE_BYTES as u64
}
