//! Space that is kept back for what makes room.
//!
//! On a full disk nothing could be written that says what is not needed any more, and so no space
//! would ever be given back. So two files lie there for nothing. Once a commit finds no space the
//! first goes: acknowledgements have what it took, and what may be refused is, until both are there
//! again. The second is as large as the largest segment, so that the cleaner can always write anew
//! what is needed of one: it goes when the cleaner finds no space.

use std::io::{self, ErrorKind};

use crate::disk::Disk;

const NAMES: [&str; 2] = ["reserve.0", "reserve.1"];

/// Who needs space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// What may not be refused.
    Commits,
    Cleaner,
}

/// The files.
#[derive(Debug)]
pub(super) struct Reserve {
    /// How many bytes they are to have.
    wanted: [u64; 2],
    /// How many they have.
    held: [u64; 2],
    /// The disk had no space for them.
    is_given: bool,
}

impl Reserve {
    /// As an earlier process has left it.
    pub(super) fn new(disk: &dyn Disk, bytes: u64) -> Self {
        let held = NAMES.map(|name| disk.open(name).and_then(|file| file.size()).unwrap_or(0));
        Self { wanted: [bytes, held[1]], held, is_given: false }
    }

    /// Whether the disk is full.
    pub(super) fn is_given(&self) -> bool {
        self.is_given
    }

    /// Sees to it that there is enough for segments of this size. Whatever the disk says but that
    /// it is full, whoever writes next is told, too.
    pub(super) fn prepare(&mut self, disk: &dyn Disk, segment_bytes: u64) {
        self.wanted[1] = segment_bytes.max(self.wanted[1]);
        if !self.is_given && self.held != self.wanted {
            drop(self.take(disk));
        }
    }

    /// A write has failed: if that was for want of space, there may be some now, and then it is
    /// worth trying again. Commits that fail again have what the cleaner did not need.
    pub(super) fn give(&mut self, disk: &dyn Disk, to: For, error: &io::Error) -> bool {
        if !is_full(error) {
            return false;
        }
        self.is_given = true;
        let index = usize::from(to == For::Cleaner || self.held[0] == 0);
        let had = std::mem::take(&mut self.held[index]);
        // What cannot be removed is no help.
        had > 0 && disk.remove(NAMES[index]).and_then(|()| disk.sync()).is_ok()
    }

    /// Makes the files if the disk has space for them; once it was full, only if there is as much
    /// again, so that it is not full again at once.
    ///
    /// # Errors
    /// It has none, or says what else is wrong.
    pub(super) fn take(&mut self, disk: &dyn Disk) -> io::Result<()> {
        for (index, name) in NAMES.iter().enumerate() {
            if self.held[index] == self.wanted[index] {
                continue;
            }
            let room =
                if self.is_given && index == 0 { 2 * self.wanted[0] } else { self.wanted[index] };
            if let Err(error) = make(disk, name, room, self.wanted[index]) {
                // What there is of it is space for others.
                drop(disk.remove(name));
                self.held[index] = 0;
                self.is_given |= is_full(&error);
                return Err(error);
            }
            self.held[index] = self.wanted[index];
        }
        self.is_given = false;
        Ok(())
    }
}

fn make(disk: &dyn Disk, name: &str, room: u64, bytes: u64) -> io::Result<()> {
    let file = match disk.open(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => disk.create(name)?,
        opened => opened?,
    };
    file.allocate(room)?;
    file.truncate(bytes)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
