//! Records one behind the other, committed in groups: one sync serves all that came together.
//!
//! A log is a row of files, its segments. Only the last is written to, and only behind what is
//! committed. A segment that a write or a sync has failed on takes no more: what was to be
//! committed goes to a new one, whose header says with which record it begins, so that what the
//! failed attempt has left in the old one counts for nothing.
//!
//! A batch of records is there as a whole or not at all.
//!
//! Opening a log changes nothing unless something is damaged. What lies behind the last whole
//! batch of the last segment was never committed, and is passed by.
//!
//! - [`record`]: the bytes of a record; [`segment`]: a file of them, with its head;
//! - [`sound`]: what of a file can be relied on; [`replay`]: reads all of them;
//! - [`unread`]: a file that cannot be opened;
//! - [`reader`]: reads beside the writer.

mod reader;
mod record;
mod replay;
mod segment;
mod sound;
#[cfg(test)]
mod tests;
mod unread;

use std::{collections::VecDeque, io, sync::Arc};

use parking_lot::RwLock;

pub(crate) use self::{
    reader::read_lossy,
    segment::{
        HEAD_BYTES, files as segment_files, is_gone, name as segment_name, names as segment_names,
    },
};
pub use self::{
    reader::{Reader, Scanned},
    replay::{Loss, Replayed},
    segment::UnknownFormat,
};
use self::{
    record::{HEADER_BYTES, Key, Marks, RECORD_BYTES_MAX},
    segment::{Found, Segment},
    unread::Unread,
};
use crate::disk::Disk;

/// What a record has beside its body.
pub const RECORD_HEADER_BYTES: usize = HEADER_BYTES;

/// What a commit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Stable storage: what is committed survives a power cut.
    #[default]
    Fsync,
    /// The system: what is committed survives the process.
    Os,
}

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// A segment with so many bytes is full.
    pub segment_bytes: u32,
    /// What a commit waits for.
    pub durability: Durability,
    /// A number that nobody can guess: records are mixed with it, so that no client can publish
    /// what looks like one.
    pub key: u64,
}

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

impl Appended {
    /// The record behind this one, which has a body of so many bytes.
    #[must_use]
    pub fn next(self, body_bytes: usize) -> Self {
        let offset = self.offset + (HEADER_BYTES + body_bytes) as u32;
        Self { offset, index: self.index + 1 }
    }
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

/// What has to be done for what was found in the last segment, which may not be on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    Nothing,
    Sync,
    /// A sync has failed, and may have lost what it should have kept.
    Rewrite,
}

/// The files of a log, before any of them is read or changed.
pub(crate) struct Files(VecDeque<Found>);

/// The log. It has one writer, which is whoever owns it.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// Files that cannot be opened and have their names still: nothing is committed beside them.
    in_the_way: Vec<Unread>,
    /// Segments that have the name of a salvage still, nor beside these.
    misplaced: Vec<u32>,
    reader: Reader,
    /// Whether the last segment takes more.
    is_open: bool,
    owed: Owed,
    /// The number of the next record to be committed.
    committed: u64,
    /// What waits to be committed.
    group: Vec<u8>,
    group_records: u64,
    group_bytes_max: usize,
}

impl Log {
    /// Opens the log that lies on a disk, or begins one, and hands every record to `replay`, with
    /// its position and its number, in the order in which they were committed. What is found
    /// counts as committed, so it is synced; if that fails, the first commit does it.
    ///
    /// # Errors
    /// `Unsupported` with [`UnknownFormat`] if the format is a newer one; that the files cannot be
    /// listed, and that the process can open no more of them. What is damaged is no error: it is
    /// reported.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        replay: impl FnMut(Position, u64, &[u8]),
    ) -> io::Result<(Self, Vec<Loss>)> {
        let files = Self::find(&*disk)?;
        Ok(Self::open_found(disk, options, files, replay))
    }

    /// The files of the log that lies on a disk. Nothing is changed.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub(crate) fn find(disk: &dyn Disk) -> io::Result<Files> {
        segment::found(disk).map(Files)
    }

    /// Opens the log that has these files. Nothing is in the way of that.
    pub(crate) fn open_found(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        Files(found): Files,
        mut replay: impl FnMut(Position, u64, &[u8]),
    ) -> (Self, Vec<Loss>) {
        let replayed = Replayed::read(&*disk, found, true, &mut replay);
        let Replayed { segments, in_the_way, misplaced, next, losses, .. } = replayed;
        let shelves = segments.iter().map(|it| (it.number, Arc::clone(&it.shelf))).collect();
        let mut log = Self {
            disk,
            options,
            owed: if segments.is_empty() || options.durability == Durability::Os {
                Owed::Nothing
            } else {
                Owed::Sync
            },
            segments,
            in_the_way,
            misplaced,
            reader: Reader { segments: Arc::new(RwLock::new(shelves)) },
            is_open: false,
            committed: next.unwrap_or(0),
            group: Vec::new(),
            group_records: 0,
            group_bytes_max: RECORD_BYTES_MAX,
        };
        // If it fails, the first commit tells.
        drop(log.settle());
        (log, losses)
    }

    /// Adds a record to the group that the next [`Self::commit`] makes last.
    ///
    /// # Errors
    /// As of [`Self::append_batch`].
    pub fn append(&mut self, body: &[u8]) -> io::Result<Appended> {
        self.append_batch([body])
    }

    /// Adds records to the group that the next [`Self::commit`] makes last; a power cut leaves all
    /// of them or none. Answers the first of them, or where it would be.
    ///
    /// # Errors
    /// `InvalidInput` if they or the group with them would be too large; then none is added.
    pub fn append_batch<'a>(
        &mut self,
        bodies: impl IntoIterator<Item = &'a [u8]>,
    ) -> io::Result<Appended> {
        let (start, records) = (self.group.len(), self.group_records);
        let mut bodies = bodies.into_iter().peekable();
        while let Some(body) = bodies.next() {
            if self.group.len() + HEADER_BYTES + body.len() > self.group_bytes_max {
                self.group.truncate(start);
                self.group_records = records;
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let sequence = self.committed + self.group_records;
            let marks =
                Marks { begins_group: self.group.is_empty(), has_more: bodies.peek().is_some() };
            record::append(&mut self.group, Key(self.options.key), sequence, marks, body);
            self.group_records += 1;
        }
        Ok(Appended { offset: start as u32, index: records as u32 })
    }

    /// A group has at most so many bytes, with the heads of its records.
    pub(crate) fn group_bytes_max(&self) -> usize {
        self.group_bytes_max
    }

    /// Groups have no more bytes.
    #[cfg(test)]
    pub(crate) fn limit_groups(&mut self, bytes: usize) {
        self.group_bytes_max = bytes;
    }

    /// How many bytes wait to be committed.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.group.len()
    }

    /// Returns once all that was appended is as durable as it is to be.
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
        self.settle()?;
        let is_synced = self.options.durability == Durability::Fsync;
        let last = self.writable()?;
        let start = Position { segment: last.number, offset: last.shelf.len() };
        let mut written = last.shelf.file.write_at(group, start.offset.into());
        if is_synced {
            written = written.and_then(|()| last.shelf.file.sync());
        }
        match written {
            Ok(()) => last.shelf.grow(group.len() as u32),
            Err(error) => {
                // Whatever is behind the last record now is not relied on, and takes no space.
                drop(last.shelf.file.truncate(start.offset.into()));
                self.is_open = false;
                drop(self.remove_empty());
                return Err(error);
            }
        }
        Ok(start)
    }

    /// Syncs what an earlier process may have written and not synced.
    fn settle(&mut self) -> io::Result<()> {
        self.clear_the_way()?;
        if self.owed == Owed::Nothing {
            return Ok(());
        }
        if let Some(last) = self.segments.iter().rev().find(|segment| !segment.is_empty()) {
            let shelf = &last.shelf;
            if self.owed == Owed::Rewrite {
                let mut bytes = vec![0; shelf.len() as usize];
                shelf.file.read_at(&mut bytes, 0)?;
                shelf.file.write_at(&bytes, 0)?;
            }
            shelf.file.sync().inspect_err(|_| self.owed = Owed::Rewrite)?;
        }
        self.disk.sync()?;
        self.owed = Owed::Nothing;
        Ok(())
    }

    /// What was salvaged gets its own name.
    fn place_salvaged(&mut self) -> io::Result<()> {
        while let Some(number) = self.misplaced.last() {
            segment::place(&*self.disk, *number)?;
            self.misplaced.pop();
        }
        Ok(())
    }

    /// Files that cannot be opened get another name.
    fn clear_the_way(&mut self) -> io::Result<()> {
        self.place_salvaged()?;
        while let Some(unread) = self.in_the_way.last() {
            let put = unread.put_aside(&*self.disk);
            let (segment, _) = put.map_err(|error| unread.refuse(&error))?;
            let at = self.segments.partition_point(|it| it.number < segment.number);
            self.reader.segments.write().insert(segment.number, Arc::clone(&segment.shelf));
            self.segments.insert(at, segment);
            self.in_the_way.pop();
        }
        Ok(())
    }

    /// Gives up what waits to be committed.
    pub fn discard(&mut self) {
        self.group.clear();
        self.group.shrink_to(self.options.segment_bytes as usize);
        self.group_records = 0;
    }

    /// From now on a segment with so many bytes is full.
    pub fn set_segment_bytes(&mut self, bytes: u32) {
        self.options.segment_bytes = bytes;
    }

    /// To be read by.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The segments there are, oldest first: number and bytes.
    pub fn segments(&self) -> impl Iterator<Item = (u32, u32)> {
        self.segments.iter().map(|segment| (segment.number, segment.shelf.len()))
    }

    /// Takes the oldest segment away. The last stays, since it is written to.
    ///
    /// # Errors
    /// What the disk says; then it is still there.
    pub fn forget_oldest(&mut self) -> io::Result<()> {
        if self.segments.len() > 1 {
            self.place_salvaged()?;
            self.sync_last()?;
            self.disk.remove(&self.segments[0].name())?;
            self.drop_oldest();
        }
        Ok(())
    }

    /// As [`Self::forget_oldest`], but the file stays under another name, which it answers: in it
    /// is something that is needed and cannot be read.
    ///
    /// # Errors
    /// What the disk says; then it is still there.
    pub fn put_oldest_aside(&mut self) -> io::Result<Option<String>> {
        if self.segments.len() < 2 {
            return Ok(None);
        }
        self.place_salvaged()?;
        self.sync_last()?;
        let name = self.segments[0].put_aside(&*self.disk)?;
        self.drop_oldest();
        Ok(Some(name))
    }

    /// Returns once all that was committed is on stable storage, whatever commits wait for.
    ///
    /// # Errors
    /// What the disk says.
    pub fn sync(&mut self) -> io::Result<()> {
        self.settle()?;
        self.sync_last()
    }

    /// What was written anew is synced before the old goes.
    fn sync_last(&self) -> io::Result<()> {
        let is_synced = self.options.durability == Durability::Fsync;
        let last = self.segments.back().filter(|_| !is_synced);
        last.map_or(Ok(()), |last| last.shelf.file.sync().and_then(|()| self.disk.sync()))
    }

    fn drop_oldest(&mut self) {
        // Older names go first: else what a younger one had would be missed.
        drop(self.disk.sync());
        if let Some(gone) = self.segments.pop_front() {
            self.reader.segments.write().remove(&gone.number);
        }
    }

    /// Takes the last segment away if nothing was ever committed to it.
    fn remove_empty(&mut self) -> io::Result<()> {
        let is_unused = |last: &&Segment| last.is_empty() && last.shelf.first == self.committed;
        if let Some(last) = self.segments.back().filter(is_unused) {
            match self.disk.remove(&last.name()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            self.reader.segments.write().remove(&last.number);
            self.segments.pop_back();
        }
        Ok(())
    }

    /// The segment to write to, with room for the group.
    fn writable(&mut self) -> io::Result<&mut Segment> {
        let segment_bytes = self.options.segment_bytes;
        let full = self.segments.back().is_none_or(|last| last.shelf.len() >= segment_bytes);
        if !self.is_open || full {
            if !self.is_open {
                self.remove_empty()?;
            }
            // So that only what the last segment has may be lost, whatever a commit waits for.
            self.sync_last()?;
            let number = self.segments.back().map_or(0, |last| last.number + 1);
            let (first, key) = (self.committed, Key(self.options.key));
            let is_synced = self.options.durability == Durability::Fsync;
            let segment = Segment::create(&*self.disk, number, first, key, is_synced)?;
            self.reader.segments.write().insert(number, Arc::clone(&segment.shelf));
            self.segments.push_back(segment);
            self.is_open = true;
        }
        self.segments.back_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
