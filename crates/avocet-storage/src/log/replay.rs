//! Reads a log from its beginning to its end.

use std::{collections::VecDeque, fmt, io};

use super::{
    Position,
    segment::{self, Found, Segment},
    unread::Unread,
};
use crate::disk::Disk;

/// What was committed and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Records of a file.
    Records {
        /// The segment's file, as it is called now.
        name: String,
        /// How many records are missing, at most.
        records: u64,
    },
    /// All that a file has: it cannot be opened.
    File {
        /// The segment's file, as it is called now.
        name: String,
        /// How many records it has, if that is known.
        records: Option<u64>,
        /// What the system says.
        why: String,
    },
    /// Records that say what this version does not understand.
    Unknown {
        /// How many.
        records: u64,
    },
    /// Sessions of which nothing but their messages was found, and these with them.
    Sessions {
        /// How many.
        sessions: u64,
        /// What waited for them; a message counts for each of them.
        messages: u64,
    },
}

impl Loss {
    /// The file that has it, as it is called now, if that is known.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Records { name, .. } | Self::File { name, .. } => Some(name),
            Self::Unknown { .. } | Self::Sessions { .. } => None,
        }
    }

    /// How many records of a file cannot be read, as far as is known.
    #[must_use]
    pub fn records(&self) -> u64 {
        match self {
            Self::Records { records, .. } | Self::Unknown { records } => *records,
            Self::File { records, .. } => records.unwrap_or(0),
            Self::Sessions { .. } => 0,
        }
    }

    /// How many messages could be read and are for nobody.
    #[must_use]
    pub fn messages(&self) -> u64 {
        match self {
            Self::Sessions { messages, .. } => *messages,
            Self::Records { .. } | Self::File { .. } | Self::Unknown { .. } => 0,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records { name, records } => {
                write!(formatter, "{name}: {records} records cannot be read")
            }
            Self::File { name, records: Some(records), why } => {
                write!(formatter, "{name}: none of its {records} records can be read ({why})")
            }
            Self::File { name, records: None, why } => {
                write!(formatter, "{name}: none of its records can be read ({why})")
            }
            Self::Unknown { records } => {
                write!(formatter, "{records} records say what this version does not understand")
            }
            Self::Sessions { sessions, messages } => write!(
                formatter,
                "{sessions} sessions cannot be read, and end with the {messages} messages that \
                 waited for them"
            ),
        }
    }
}

/// What a log holds, without a writer.
#[derive(Debug, Default)]
pub struct Replayed {
    pub(super) segments: VecDeque<Segment>,
    /// Files that cannot be opened and have their names still.
    pub(super) in_the_way: Vec<Unread>,
    /// Segments that have the name of a salvage still.
    pub(super) misplaced: Vec<u32>,
    pub(super) next: Option<u64>,
    /// How many records there are.
    pub records: u64,
    /// What could not be read.
    pub losses: Vec<Loss>,
}

impl Replayed {
    /// Reads the files of a log that were found. Nothing is changed unless it may be.
    pub(super) fn read(
        disk: &dyn Disk,
        mut found: VecDeque<Found>,
        may_write: bool,
        replay: &mut dyn FnMut(Position, u64, &[u8]),
    ) -> Self {
        if may_write {
            segment::tidy(disk, &mut found);
        }
        let misplaced = found.iter().filter(|it| it.is_misplaced).map(|it| it.number).collect();
        let mut read = Self { misplaced, ..Self::default() };
        while let Some(it) = found.pop_front() {
            let limit = found.front().and_then(Found::first);
            let limits = (limit, found.iter().find_map(Found::first));
            let one = segment::read(disk, it, read.next, limits, may_write, replay);
            read.losses.extend(one.loss);
            read.records += one.records;
            read.next = Some(one.next);
            read.segments.extend(one.segment);
            read.in_the_way.extend(one.in_the_way);
        }
        read
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
        Ok(Self::read(disk, segment::found(disk)?, false, &mut replay))
    }

    /// The segments there are, oldest first: number and bytes.
    pub fn segments(&self) -> impl Iterator<Item = (u32, u32)> {
        self.segments.iter().map(|segment| (segment.number, segment.shelf.len()))
    }
}
