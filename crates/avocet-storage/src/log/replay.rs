//! Reads a log from its beginning to its end.

use std::{collections::VecDeque, fmt, io};

use super::{
    Position,
    segment::{self, Segment},
};
use crate::disk::Disk;

/// Records that were committed and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The segment's file, as it is called now.
    pub name: String,
    /// How many records are missing, at most.
    pub records: u64,
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} records cannot be read", self.name, self.records)
    }
}

/// What a log holds, without a writer.
#[derive(Debug, Default)]
pub struct Replayed {
    pub(super) segments: VecDeque<Segment>,
    pub(super) next: Option<u64>,
    /// How many records there are.
    pub records: u64,
    /// What could not be read.
    pub losses: Vec<Loss>,
}

impl Replayed {
    /// Reads the log that lies on a disk. Nothing is changed unless it may be.
    pub(super) fn read(
        disk: &dyn Disk,
        may_write: bool,
        replay: &mut dyn FnMut(Position, u64, &[u8]),
    ) -> io::Result<Self> {
        let mut read = Self::default();
        let mut found = segment::found(disk, may_write)?.into_iter().peekable();
        while let Some(it) = found.next() {
            let limit = found.peek().and_then(segment::Found::first);
            let one = segment::read(disk, it, read.next, limit, may_write, replay)?;
            read.losses.extend(one.loss);
            read.records += one.records;
            read.next = Some(one.next);
            read.segments.push_back(one.segment);
        }
        Ok(read)
    }

    /// Reads the log that lies on a disk and changes nothing: every record goes to `replay`, with
    /// its position and its number.
    ///
    /// # Errors
    /// What the disk says. What is damaged is no error: it is reported.
    pub fn inspect(
        disk: &dyn Disk,
        mut replay: impl FnMut(Position, u64, &[u8]),
    ) -> io::Result<Self> {
        Self::read(disk, false, &mut replay)
    }

    /// The segments there are, oldest first: number and bytes.
    pub fn segments(&self) -> impl Iterator<Item = (u32, u32)> {
        self.segments.iter().map(|segment| (segment.number, segment.shelf.len()))
    }
}
