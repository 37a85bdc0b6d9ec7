//! Whether a store was closed in order: then it knows all that was done. A file says so, which is
//! gone before anything that was submitted is stored.

use std::{io, sync::Arc};

use crate::disk::Disk;

const NAME: &str = "closed";

/// The file, as an opened store has it.
#[derive(Debug)]
pub(super) struct Mark {
    disk: Arc<dyn Disk>,
    /// Whether it may be there, or come back with a power cut.
    is_owed: bool,
}

impl Mark {
    /// As an earlier process has left it; tells whether it has. Nothing is changed.
    ///
    /// # Errors
    /// What the disk says: nobody knows then whether the next process finds it.
    pub(super) fn find(disk: Arc<dyn Disk>) -> io::Result<(Self, bool)> {
        let is_there = disk.names()?.iter().any(|name| name == NAME);
        Ok((Self { disk, is_owed: is_there }, is_there))
    }

    /// From now on the store is not closed, and no power cut says anything else.
    ///
    /// # Errors
    /// What the disk says. Then nothing must be stored: the next process would take what this one
    /// knows for all that was done.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        if !self.is_owed {
            return Ok(());
        }
        match self.disk.remove(NAME) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.disk.sync()?;
        self.is_owed = false;
        Ok(())
    }

    /// All that was done is stored.
    pub(super) fn leave(&self) {
        // Without it more is thought to be unknown than is.
        drop(self.disk.create(NAME).and_then(|_| self.disk.sync()));
    }
}
