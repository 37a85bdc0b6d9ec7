//! The node's directory: there, writable, and nobody else's.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
};

use anyhow::{Context, bail};

/// The file that whoever has the directory holds.
pub(crate) const LOCK: &str = "lock";

/// The directory, held for as long as this value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    _lock: File,
}

impl DataDir {
    /// Makes the directory if it is not there, and takes it for this process.
    ///
    /// # Errors
    ///
    /// It cannot be made or written to, or another process has it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        fs::create_dir_all(path)
            .with_context(|| format!("cannot make the data directory {shown} (node.data_dir)"))?;
        let lock_path = path.join(LOCK);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .with_context(|| {
                format!("cannot write to the data directory {shown} (node.data_dir)")
            })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                bail!("the data directory {shown} (node.data_dir) is in use by another process")
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock the data directory {shown}"))
            }
        }
    }
}
