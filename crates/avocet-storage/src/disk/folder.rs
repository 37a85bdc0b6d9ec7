//! A folder of the system.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind},
    ops::Range,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FallocateFlags, fallocate, fstatvfs},
    io::Errno,
};

use super::{Disk, File};

/// Readable by nobody else: messages are nobody else's business.
const FILE_MODE: u32 = 0o600;
const ZEROS: [u8; 4096] = [0; 4096];

/// The files of a folder. Whoever opens it sees to it that nobody else does.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// To sync names by.
    handle: fs::File,
}

impl Folder {
    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::make(path, &mut |parent| fs::File::open(parent)?.sync_all())
    }

    /// `sync` makes the names of a folder last.
    pub(super) fn make(
        path: &Path,
        sync: &mut dyn FnMut(&Path) -> io::Result<()>,
    ) -> io::Result<Self> {
        let missing: Vec<&Path> = path.ancestors().take_while(|it| !it.exists()).collect();
        fs::create_dir_all(path)?;
        for parent in missing.iter().filter_map(|made| made.parent()) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            sync(parent)?;
        }
        Self::existing(path)
    }

    /// A folder that is there; nothing is made.
    ///
    /// # Errors
    /// `NotFound`, or what else the system says.
    pub fn existing(path: &Path) -> io::Result<Self> {
        // So that a file is told from a folder at once.
        fs::read_dir(path)?;
        Ok(Self { path: path.to_owned(), handle: fs::File::open(path)? })
    }

    fn file(&self, name: &str, options: &mut OpenOptions) -> io::Result<Arc<dyn File>> {
        let file = options.read(true).write(true).mode(FILE_MODE).open(self.path.join(name))?;
        Ok(Arc::new(file))
    }
}

impl Disk for Folder {
    fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.path)?;
        // A name that is no text is none of ours.
        entries
            .filter_map(|entry| entry.map(|it| it.file_name().into_string().ok()).transpose())
            .collect()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.file(name, OpenOptions::new().create_new(true))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        match self.file(name, &mut OpenOptions::new()) {
            // To be read, at least: that it cannot be written to is told when it is tried.
            Err(error) if is_forbidden(&error) => {
                Ok(Arc::new(fs::File::open(self.path.join(name))?))
            }
            opened => opened,
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn free_bytes(&self) -> Option<u64> {
        let volume = fstatvfs(&self.handle).ok()?;
        // One without any bounds says that it has nothing at all.
        (volume.f_blocks > 0).then(|| volume.f_bavail.saturating_mul(volume.f_frsize))
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// For a system that gives no room without being written to.
fn fill(file: &fs::File, range: Range<u64>) -> io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let piece = &ZEROS[..ZEROS.len().min((range.end - at) as usize)];
        file.write_all_at(piece, at)?;
        at += piece.len() as u64;
    }
    Ok(())
}

impl File for fs::File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match FileExt::read_at(self, &mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let len = File::size(self)?;
        if len >= bytes {
            return Ok(());
        }
        let allocated = match fallocate(self, FallocateFlags::empty(), len, bytes - len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill(self, len..bytes),
            allocated => allocated.map_err(io::Error::from),
        };
        allocated.inspect_err(|_| drop(self.set_len(len)))
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        if File::size(self)? > bytes { self.set_len(bytes) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
