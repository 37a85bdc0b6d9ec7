//! A file of the log that cannot be opened.
//!
//! Whatever it has may be read another day, so it is never changed: it gets another name. Until it
//! has one nothing is committed. It could be opened again by the next process, and then speak of
//! sessions whose numbers others have been given meanwhile.

use std::io;

use super::{
    record::HEADER_BYTES,
    segment::{Segment, name},
};
use crate::disk::Disk;

/// No segment has as many records.
const RECORDS_MAX: u64 = u32::MAX as u64 / HEADER_BYTES as u64 + 1;

/// The file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread {
    pub(super) number: u32,
    /// The record it begins with, as far as is known.
    pub(super) first: u64,
}

impl Unread {
    /// The record that comes next, if it is not known with which the next segment begins: none of
    /// the numbers that the file may have is given to another.
    pub(super) fn next(self, known: Option<u64>) -> u64 {
        known.map_or(self.first.saturating_add(RECORDS_MAX), |known| known.max(self.first))
    }

    /// Gives it another name, and puts an empty segment in its place; answers both.
    pub(super) fn put_aside(self, disk: &dyn Disk) -> io::Result<(Segment, String)> {
        Segment::in_place_of(disk, self.number, self.first)
    }

    /// As it is told if it keeps its name.
    pub(super) fn refuse(self, error: &io::Error) -> io::Error {
        let name = name(self.number);
        io::Error::new(error.kind(), format!("{name} can neither be read nor put aside: {error}"))
    }
}
