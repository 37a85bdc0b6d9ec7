//! Records one behind the other, committed in groups: one sync serves all that came together.
//!
//! A log is a row of files, its segments. Only the last is written to, and only behind what is
//! committed. A segment that a write or a sync has failed on takes no more: what was to be
//! committed goes to a new one, whose header says with which record it begins, so that what the
//! failed attempt has left in the old one counts for nothing.
//!
//! Opening a log changes nothing unless something is damaged. What lies behind the last whole
//! record of the last segment was never committed, and is passed by.

mod record;
mod segment;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io,
    sync::Arc,
};

use parking_lot::RwLock;

use self::{
    record::{HEADER_BYTES, RECORD_BYTES_MAX},
    segment::{HEAD_BYTES, Segment},
};
use crate::disk::{Disk, File};

/// Where a record lies. Ordered as the records are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of its segment.
    pub segment: u32,
    /// The byte of the segment with which it begins.
    pub offset: u32,
}

/// A record of a group that is not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    offset: u32,
    /// Of the group's records.
    index: u32,
}

/// Where the records of a group lie once they are committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    start: Position,
    first: u64,
}

impl Placed {
    /// The position of a record.
    #[must_use]
    pub fn position(&self, record: Appended) -> Position {
        Position { offset: self.start.offset + record.offset, ..self.start }
    }

    /// Its number: larger than that of all before it.
    #[must_use]
    pub fn number(&self, record: Appended) -> u64 {
        self.first + u64::from(record.index)
    }
}

/// Records that were committed and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The segment's file, as it is called now.
    pub name: String,
    /// How many records are missing.
    pub records: u64,
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} records cannot be read", self.name, self.records)
    }
}

/// Reads what is committed, on any thread, beside the writer.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    files: Arc<RwLock<BTreeMap<u32, Arc<dyn File>>>>,
}

impl Reader {
    /// Reads a record that is committed, and tells its number.
    ///
    /// # Errors
    /// `NotFound` if the segment was forgotten, `InvalidData` if what lies there is no whole
    /// record, and what the disk says.
    pub fn read(&self, position: Position, body: &mut Vec<u8>) -> io::Result<u64> {
        let file = self.files.read().get(&position.segment).cloned();
        record::read(&*file.ok_or(io::ErrorKind::NotFound)?, position.offset, body)
    }
}

/// The log. It has one writer, which is whoever owns it.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    segment_bytes: u32,
    /// Oldest first.
    segments: VecDeque<Segment>,
    reader: Reader,
    /// Whether the last segment takes more.
    is_open: bool,
    /// The number of the next record to be committed.
    committed: u64,
    /// What waits to be committed.
    group: Vec<u8>,
    group_records: u64,
}

impl Log {
    /// Opens the log that lies on a disk, or begins one, and hands every record to `replay`, with
    /// its position and its number, in the order in which they were committed. A segment of
    /// `segment_bytes` is full.
    ///
    /// # Errors
    /// What the disk says when it is read. What is damaged is no error: it is reported.
    pub fn open(
        disk: Arc<dyn Disk>,
        segment_bytes: u32,
        mut replay: impl FnMut(Position, u64, &[u8]),
    ) -> io::Result<(Self, Vec<Loss>)> {
        let (mut segments, mut losses): (VecDeque<Segment>, _) = (VecDeque::new(), Vec::new());
        let mut found = segment::found(&*disk)?.into_iter().peekable();
        let mut next = None;
        while let Some(it) = found.next() {
            let limit = found.peek().map(|later| later.first);
            let read = segment::read(&*disk, it, next, limit, &mut replay)?;
            losses.extend(read.loss);
            next = Some(read.next);
            segments.push_back(read.segment);
        }
        let files = segments.iter().map(|it| (it.number, Arc::clone(&it.file))).collect();
        let log = Self {
            disk,
            segment_bytes,
            segments,
            reader: Reader { files: Arc::new(RwLock::new(files)) },
            is_open: false,
            committed: next.unwrap_or(0),
            group: Vec::new(),
            group_records: 0,
        };
        Ok((log, losses))
    }

    /// Adds a record to the group that the next [`Self::commit`] makes last.
    ///
    /// # Errors
    /// `InvalidInput` if the record or the group with it would be too large; then it is not added.
    pub fn append(&mut self, body: &[u8]) -> io::Result<Appended> {
        let offset = self.group.len();
        if offset + HEADER_BYTES + body.len() > RECORD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let sequence = self.committed + self.group_records;
        record::append(&mut self.group, sequence, offset == 0, body);
        let appended = Appended { offset: offset as u32, index: self.group_records as u32 };
        self.group_records += 1;
        Ok(appended)
    }

    /// How many bytes wait to be committed.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.group.len()
    }

    /// Returns once all that was appended is on stable storage.
    ///
    /// # Errors
    /// What the disk says. Then nothing of the group is committed; it waits for another attempt,
    /// or for [`Self::discard`].
    pub fn commit(&mut self) -> io::Result<Placed> {
        let group = std::mem::take(&mut self.group);
        let written = self.write(&group);
        self.group = group;
        let placed = Placed { start: written?, first: self.committed };
        self.committed += self.group_records;
        self.discard();
        Ok(placed)
    }

    fn write(&mut self, group: &[u8]) -> io::Result<Position> {
        let last = self.writable()?;
        let start = Position { segment: last.number, offset: last.len };
        let written = last.file.write_at(group, start.offset.into());
        match written.and_then(|()| last.file.sync()) {
            Ok(()) => last.len += group.len() as u32,
            Err(error) => {
                // Whatever is behind the last record now is not relied on.
                self.is_open = false;
                return Err(error);
            }
        }
        Ok(start)
    }

    /// Gives up what waits to be committed.
    pub fn discard(&mut self) {
        self.group.clear();
        self.group.shrink_to(self.segment_bytes as usize);
        self.group_records = 0;
    }

    /// To be read by.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Reads the record at `position`, or the first of its segment if the offset is 0. Answers
    /// where it lies, its number, and where the next one of the segment would lie; nothing behind
    /// the last.
    ///
    /// # Errors
    /// As of [`Reader::read`].
    pub fn walk(
        &self,
        position: Position,
        body: &mut Vec<u8>,
    ) -> io::Result<Option<(Position, u64, Position)>> {
        let found = self.segments.binary_search_by_key(&position.segment, |it| it.number);
        let segment = &self.segments[found.map_err(|_| io::ErrorKind::NotFound)?];
        let offset = position.offset.max(HEAD_BYTES as u32);
        if offset >= segment.len {
            return Ok(None);
        }
        let number = record::read(&*segment.file, offset, body)?;
        let next = offset + (HEADER_BYTES + body.len()) as u32;
        let at = |offset| Position { offset, ..position };
        Ok(Some((at(offset), number, at(next))))
    }

    /// The segments there are, oldest first: number and bytes.
    pub fn segments(&self) -> impl Iterator<Item = (u32, u32)> {
        self.segments.iter().map(|segment| (segment.number, segment.len))
    }

    /// Takes the oldest segment away. The last stays, since it is written to.
    ///
    /// # Errors
    /// What the disk says; then it is still there.
    pub fn forget_oldest(&mut self) -> io::Result<()> {
        if self.segments.len() > 1 {
            self.disk.remove(&self.segments[0].name())?;
            let gone = self.segments.pop_front();
            let mut files = self.reader.files.write();
            gone.into_iter().for_each(|segment| drop(files.remove(&segment.number)));
        }
        Ok(())
    }

    /// The segment to write to, with room for the group.
    fn writable(&mut self) -> io::Result<&mut Segment> {
        let full = self.segments.back().is_none_or(|last| last.len >= self.segment_bytes);
        if !self.is_open || full {
            let number = self.segments.back().map_or(0, |last| last.number + 1);
            let segment = Segment::create(&*self.disk, number, self.committed)?;
            self.reader.files.write().insert(segment.number, Arc::clone(&segment.file));
            self.segments.push_back(segment);
            self.is_open = true;
        }
        self.segments.back_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
