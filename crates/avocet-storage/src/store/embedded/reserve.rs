//! A file that holds room back, and gives it up when nothing else is left.

use std::{io, sync::Arc};

use crate::disk::{Disk, File};

const NAME: &str = "reserve";

/// The file. What it says is of no use to anybody.
#[derive(Debug)]
pub(super) struct Reserve {
    disk: Arc<dyn Disk>,
    file: Option<Arc<dyn File>>,
    bytes: u64,
}

impl Reserve {
    /// With what an earlier one has left.
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        let file = disk.open(NAME).ok();
        let bytes = file.as_ref().and_then(|file| file.size().ok()).unwrap_or(0);
        Self { disk, file, bytes }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds so many bytes, if it does not hold more.
    ///
    /// # Errors
    /// What the disk says; then it holds what it had.
    pub(super) fn hold(&mut self, bytes: u64) -> io::Result<()> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(self.disk.create(NAME).or_else(|_| self.disk.open(NAME))?),
        };
        file.allocate(bytes)?;
        self.bytes = bytes;
        Ok(())
    }

    /// Gives up all but so many bytes; tells whether that was anything.
    pub(super) fn leave(&mut self, bytes: u64) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| bytes < self.bytes) else { return false };
        let is_given = file.truncate(bytes).is_ok();
        if is_given {
            self.bytes = bytes;
        }
        is_given
    }
}
