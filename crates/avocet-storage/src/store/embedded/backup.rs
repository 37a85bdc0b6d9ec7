//! Copies a store while it goes on.

use std::io;

use super::EmbeddedStore;
use crate::{disk::Disk, log::Reader};

/// Bytes that are copied at once.
const PIECE_BYTES: usize = 1 << 20;

/// What a backup has copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// Files.
    pub segments: usize,
    /// Bytes of these.
    pub bytes: u64,
}

impl EmbeddedStore {
    /// Copies all that was reported as stored, at least, to another disk, which has no log. Who
    /// opens a store there has it all. Batches are stored meanwhile; space is given back later.
    ///
    /// # Errors
    /// `AlreadyExists` if there is a log, and what the disks say. Then what was copied is of no
    /// use; what could be taken away again was.
    pub fn backup(&self, to: &dyn Disk) -> io::Result<Backup> {
        if to.names()?.iter().any(|name| name.ends_with(".log")) {
            let what = "there is a log already";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        let _segments = self.shared.segments.lock();
        let mut backup = Backup::default();
        let mut names = Vec::new();
        let copied = self.reader.segments().into_iter().try_for_each(|(segment, bytes)| {
            names.push(self.reader.name(segment));
            backup.segments += 1;
            backup.bytes += u64::from(bytes);
            copy(&self.reader, segment, bytes, to)
        });
        match copied.and_then(|()| to.sync()) {
            Ok(()) => Ok(backup),
            Err(error) => {
                names.iter().for_each(|name| drop(to.remove(name)));
                Err(error)
            }
        }
    }
}

fn copy(reader: &Reader, segment: u32, bytes: u32, to: &dyn Disk) -> io::Result<()> {
    let file = to.create(&reader.name(segment))?;
    let mut piece = vec![0; PIECE_BYTES.min(bytes as usize)];
    let mut at = 0;
    while at < bytes {
        let len = piece.len().min((bytes - at) as usize);
        reader.copy(segment, at, &mut piece[..len])?;
        file.write_at(&piece[..len], at.into())?;
        at += len as u32;
    }
    file.sync()
}
