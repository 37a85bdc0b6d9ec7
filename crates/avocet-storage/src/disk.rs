//! Where files lie: as little of a file system as a log needs, so that tests can lose, tear and
//! refuse what a real disk loses, tears and refuses.

mod folder;
mod simulated;
#[cfg(test)]
mod tests;

use std::{fmt, io, sync::Arc};

use rustix::io::Errno;

#[cfg(test)]
pub(crate) use self::tests::{Scratch, seeds};
pub use self::{
    folder::Folder,
    simulated::{Fault, SimulatedDisk},
};

/// Files by name, all in one place.
pub trait Disk: fmt::Debug + Send + Sync {
    /// The names there are, in no order.
    ///
    /// # Errors
    /// What the system says.
    fn names(&self) -> io::Result<Vec<String>>;

    /// A file that is new and empty.
    ///
    /// # Errors
    /// `AlreadyExists`, or what else the system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// A file that is there.
    ///
    /// # Errors
    /// `NotFound`, or what else the system says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name; a file that had it is gone.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a file away.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns once all names that were created, changed and removed are on stable storage.
    ///
    /// # Errors
    /// What the system says; then none of them can be relied on.
    fn sync(&self) -> io::Result<()>;

    /// How many bytes more there is room for, if that is known.
    fn free_bytes(&self) -> Option<u64>;
}

/// Whether there was no room for something.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether it is this process that can open nothing more, whatever there is to be opened.
pub(crate) fn lacks_means(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

/// Bytes by offset. Any thread may read while one writes.
pub trait File: fmt::Debug + Send + Sync {
    /// How many bytes it has.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64>;

    /// Reads as much as there is, up to the buffer's length; answers how many bytes that is.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of it, or fails; then any part of it may have been written.
    ///
    /// # Errors
    /// What the system says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes it so many bytes long, if it has less, and has room for them from then on, which
    /// nothing else takes.
    ///
    /// # Errors
    /// What the system says; then it is as long as it was.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Leaves the first `bytes` bytes, if there are more.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Returns once all that was written is on stable storage, the size included.
    ///
    /// # Errors
    /// What the system says. What was written since the last success may then be lost, even if a
    /// later call succeeds.
    fn sync(&self) -> io::Result<()>;
}
