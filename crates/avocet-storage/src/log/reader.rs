//! Reads what is committed, on any thread, beside the writer.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use parking_lot::RwLock;

use super::{
    Position,
    record::{self, HEADER_BYTES, Key},
    segment::HEAD_BYTES,
};
use crate::disk::File;

/// What of a file is tried at once if it cannot be read as a whole.
const PIECE_BYTES: usize = 4096;

/// A segment as it is read.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) file: Arc<dyn File>,
    pub(super) key: Key,
    /// The number of its first record.
    pub(super) first: u64,
    /// Bytes up to the end of the last record that is committed; only the writer changes it.
    len: AtomicU32,
}

/// Reads what is committed, on any thread, beside the writer.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    pub(super) segments: Arc<RwLock<BTreeMap<u32, Arc<Shelf>>>>,
}

/// How far [`Reader::scan`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Where to go on; nothing at the end of the segment.
    pub next: Option<Position>,
    /// Whether there was something that is no whole record.
    pub is_damaged: bool,
}

impl Shelf {
    pub(super) fn new(file: Arc<dyn File>, key: Key, first: u64, len: u32) -> Self {
        Self { file, key, first, len: AtomicU32::new(len) }
    }

    pub(super) fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    pub(super) fn grow(&self, bytes: u32) {
        self.len.fetch_add(bytes, Ordering::Release);
    }

    /// Numbers that its records can have.
    fn numbers(&self) -> Range<u64> {
        self.first..self.first.saturating_add(u64::from(self.len()) / HEADER_BYTES as u64 + 1)
    }
}

impl Reader {
    /// Reads a record that is committed, and tells its number.
    ///
    /// # Errors
    /// `NotFound` if the segment was forgotten, `InvalidData` if what lies there is no whole
    /// record, and what the disk says.
    pub fn read(&self, position: Position, body: &mut Vec<u8>) -> io::Result<u64> {
        let shelf = self.shelf(position.segment)?;
        record::read(&*shelf.file, shelf.key, position.offset, shelf.len(), body)
    }

    /// Reads the records of a segment one after the other from `position` on, or from its first if
    /// the offset is 0, until about `bytes` bytes are read: position, number, body. What cannot be
    /// read is passed by.
    ///
    /// # Errors
    /// `NotFound` if the segment was forgotten.
    pub fn scan(
        &self,
        position: Position,
        bytes: u32,
        mut visit: impl FnMut(Position, u64, &[u8]),
    ) -> io::Result<Scanned> {
        let shelf = self.shelf(position.segment)?;
        let (end, numbers) = (shelf.len(), shelf.numbers());
        let mut offset = position.offset.max(HEAD_BYTES as u32);
        let mut is_damaged = false;
        let bytes = bytes.max(PIECE_BYTES as u32);
        let mut read = shelf.piece(offset..end.min(offset.saturating_add(bytes)));
        if let Some(len) = record::told_len(&read, shelf.key, &numbers)
            && len > read.len()
            && len <= end.saturating_sub(offset) as usize
        {
            read = shelf.piece(offset..offset + len as u32);
        }
        let mut rest = &read[..];
        loop {
            while let Some(record) = record::parse(rest, shelf.key, &numbers) {
                visit(Position { offset, ..position }, record.sequence, record.body);
                offset += record.len() as u32;
                rest = &rest[record.len()..];
            }
            let is_cut = record::told_len(rest, shelf.key, &numbers)
                .map_or(rest.len() < HEADER_BYTES, |len| len > rest.len());
            if offset >= end || (rest.len() < read.len() && is_cut) {
                break;
            }
            // Here is no record, however much is read.
            is_damaged = true;
            read = shelf.piece(offset..end);
            let Some(skipped) = record::find(&read, shelf.key, &numbers) else {
                offset = end;
                break;
            };
            offset += skipped as u32;
            rest = &read[skipped..];
        }
        let next = (offset < end).then_some(Position { offset, ..position });
        Ok(Scanned { next, is_damaged })
    }

    /// The segments there are, oldest first: number and bytes.
    #[must_use]
    pub fn segments(&self) -> Vec<(u32, u32)> {
        self.segments.read().iter().map(|(number, shelf)| (*number, shelf.len())).collect()
    }

    pub(super) fn shelf(&self, segment: u32) -> io::Result<Arc<Shelf>> {
        let shelf = self.segments.read().get(&segment).cloned();
        shelf.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Shelf {
    /// Some bytes of the file; zeros where the disk does not give them.
    fn piece(&self, range: Range<u32>) -> Vec<u8> {
        let len = range.end.saturating_sub(range.start) as usize;
        read_lossy(&*self.file, range.start.into(), len)
    }
}

/// Bytes of a file; zeros where the disk does not give them.
pub(crate) fn read_lossy(file: &dyn File, offset: u64, len: usize) -> Vec<u8> {
    read_most(file, offset, len).0
}

/// As [`read_lossy`]; tells whether the disk has given all of them.
pub(super) fn read_most(file: &dyn File, offset: u64, len: usize) -> (Vec<u8>, bool) {
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, offset);
    match read {
        Ok(read) => bytes.truncate(read),
        Err(_) => {
            for (index, piece) in bytes.chunks_mut(PIECE_BYTES).enumerate() {
                if file.read_at(piece, offset + (index * PIECE_BYTES) as u64).is_err() {
                    piece.fill(0);
                }
            }
        }
    }
    (bytes, read.is_ok())
}
