//! A folder of the system.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind},
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        mpsc::{self, SyncSender},
    },
    thread,
};

use rustix::{
    fs::{FallocateFlags, fallocate, fstatvfs},
    io::Errno,
};

use super::{Disk, File};

/// Readable by nobody else: messages are nobody else's business.
const FILE_MODE: u32 = 0o600;
const ZEROS: [u8; 4096] = [0; 4096];
/// A smaller file is closed by whoever has it.
const CLOSED_HERE_MAX: u64 = 4 << 20;
/// Of a larger one so many bytes are given back at once.
const GIVEN_BACK_AT_ONCE: u64 = 1 << 20;
/// So many files may wait to be closed.
const CLOSING_MAX: usize = 64;

/// The files of a folder. Whoever opens it sees to it that nobody else does.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// To sync names by.
    handle: fs::File,
    closer: Arc<Closer>,
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
        let handle = fs::File::open(path)?;
        Ok(Self { path: path.to_owned(), handle, closer: Arc::default() })
    }

    fn file(&self, name: &str, options: &mut OpenOptions) -> io::Result<Arc<dyn File>> {
        let file = options.read(true).write(true).mode(FILE_MODE).open(self.path.join(name))?;
        Ok(self.opened(file))
    }

    fn opened(&self, file: fs::File) -> Arc<dyn File> {
        Arc::new(Opened { file: Some(file), closer: Arc::clone(&self.closer) })
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
                Ok(self.opened(fs::File::open(self.path.join(name))?))
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

/// One of a folder's.
#[derive(Debug)]
struct Opened {
    /// There until it is closed.
    file: Option<fs::File>,
    closer: Arc<Closer>,
}

impl Opened {
    fn file(&self) -> io::Result<&fs::File> {
        self.file.as_ref().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        let is_long = |it: &fs::Metadata| it.nlink() == 0 && it.len() >= CLOSED_HERE_MAX;
        if file.metadata().is_ok_and(|metadata| is_long(&metadata)) {
            self.closer.close(file);
        }
    }
}

/// Closes files that have no name any more: the system gives back their space then, which takes
/// tens of milliseconds for a large one. Who lets go of it last may have others waiting, and so may
/// whoever syncs another file meanwhile.
#[derive(Debug, Default)]
struct Closer(OnceLock<SyncSender<fs::File>>);

impl Closer {
    fn close(&self, file: fs::File) {
        let sender = self.0.get_or_init(|| {
            let (sender, files) = mpsc::sync_channel(CLOSING_MAX);
            let close = move || files.into_iter().for_each(shrink);
            drop(thread::Builder::new().name("close".to_owned()).spawn(close));
            sender
        });
        // If there is no thread, or too much for it, it is closed here.
        drop(sender.try_send(file));
    }
}

/// A piece at a time, so that the file system's journal is free for others in between.
fn shrink(file: fs::File) {
    let mut len = file.metadata().map_or(0, |metadata| metadata.len());
    while len > 0 {
        len = len.saturating_sub(GIVEN_BACK_AT_ONCE);
        if file.set_len(len).is_err() {
            return;
        }
    }
}

impl File for Opened {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file()?.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (file, mut read) = (self.file()?, 0);
        while read < buffer.len() {
            match file.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file()?.write_all_at(bytes, offset)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let (file, len) = (self.file()?, self.size()?);
        if len >= bytes {
            return Ok(());
        }
        let allocated = match fallocate(file, FallocateFlags::empty(), len, bytes - len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill(file, len..bytes),
            allocated => allocated.map_err(io::Error::from),
        };
        allocated.inspect_err(|_| drop(file.set_len(len)))
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        if self.size()? > bytes { self.file()?.set_len(bytes) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.file()?.sync_data()
    }
}
