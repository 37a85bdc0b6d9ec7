//! The node's directory: there, and nobody else's.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
};

use anyhow::{Context, bail};

/// The file that whoever has the directory holds.
pub(crate) const LOCK: &str = "lock";

/// The directory, held for as long as this value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    lock: Option<File>,
}

impl DataDir {
    /// Whether no other process can have it.
    pub(crate) fn is_held(&self) -> bool {
        self.lock.is_some()
    }

    /// Makes the directory if it is not there, and takes it for this process.
    ///
    /// # Errors
    ///
    /// It cannot be made or written to, or another process has it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        fs::create_dir_all(path)
            .with_context(|| format!("cannot make the data directory {shown} (node.data_dir)"))?;
        let lock = writable(path).with_context(|| {
            format!("cannot write to the data directory {shown} (node.data_dir)")
        })?;
        take(&lock, path)?
            .with_context(|| format!("cannot lock the data directory {shown} (node.data_dir)"))?;
        Ok(Self { lock: Some(lock) })
    }

    /// As [`Self::open`], but what cannot be written to is taken as well. If it cannot be taken at
    /// all, the reason comes along: then nobody knows who else writes there.
    ///
    /// # Errors
    ///
    /// Another process has it.
    pub(crate) fn try_open(path: &Path) -> anyhow::Result<(Self, Option<io::Error>)> {
        let made = fs::create_dir_all(path);
        // The directory itself can be locked where no file can be made.
        let lock = writable(path)
            .or_else(|_| File::open(path.join(LOCK)))
            .or_else(|_| made.and_then(|()| File::open(path)));
        let taken = match lock {
            Ok(lock) => take(&lock, path)?.map(|()| lock),
            Err(error) => Err(error),
        };
        Ok(match taken {
            Ok(lock) => (Self { lock: Some(lock) }, None),
            Err(error) => (Self { lock: None }, Some(error)),
        })
    }
}

fn writable(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(path.join(LOCK))
}

/// Answers what keeps it from being taken, if that is not another process.
///
/// # Errors
///
/// Another process has it.
fn take(lock: &File, path: &Path) -> anyhow::Result<io::Result<()>> {
    match lock.try_lock() {
        Ok(()) => Ok(Ok(())),
        Err(TryLockError::Error(error)) => Ok(Err(error)),
        Err(TryLockError::WouldBlock) => {
            let shown = path.display();
            bail!("the data directory {shown} (node.data_dir) is in use by another process")
        }
    }
}
