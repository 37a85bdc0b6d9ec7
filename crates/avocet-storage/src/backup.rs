//! Copies a store by its files alone, whether or not somebody writes to it meanwhile.
//!
//! The segments that are listed are copied from the oldest to the youngest, and what was done
//! before they were listed is in them. The cleaner may take some away meanwhile: one that was
//! copied by then does no harm, as it does none after a power cut that has brought it back. If one
//! is gone before it was copied, so are all before it, since the oldest go first, and what was
//! needed of them lies behind: then what was copied goes, too, and those that are left are copied.

use std::io;

use crate::{
    disk::{self, Disk, File},
    inspect::{Report, inspect},
    log::{is_gone, read_lossy, segment_files, segment_names},
};

/// Bytes that are copied at once.
const PIECE_BYTES: usize = 1 << 20;
/// A file that is there for as long as the copy is of no use.
const INCOMPLETE: &str = "incomplete";

/// Copies a store to a disk that has nothing, and looks at what was copied. All that was reported
/// as stored before the begin is in the copy; of what is stored meanwhile, what came first. Nothing
/// is written where the store lies. Bytes that cannot be read are zeros in the copy, and files that
/// cannot be opened are left out and told: then, and if the store is damaged already, the report is
/// not sound.
///
/// # Errors
/// `AlreadyExists` if there is anything where the copy is to be, `NotFound` if there is no store or
/// nothing in it, `InvalidData` if it is a copy that was not completed, what the system says if no
/// file of it can be opened, and what else the disks say.
/// Then what was copied is taken away, or else known not to be complete.
pub fn backup(from: &dyn Disk, to: &dyn Disk) -> io::Result<Report> {
    if !to.names()?.is_empty() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something already"));
    }
    if from.names()?.iter().any(|name| name == INCOMPLETE) {
        let what = "it is a copy that was not completed";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    if segment_files(from)?.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is nothing in it"));
    }
    complete(from, to).inspect_err(|_| take_away(to))
}

fn complete(from: &dyn Disk, to: &dyn Disk) -> io::Result<Report> {
    to.create(INCOMPLETE)?;
    to.sync()?;
    let left_out = copy_segments(from, to)?;
    to.sync()?;
    let report = Report { left_out, ..inspect(to)? };
    to.remove(INCOMPLETE)?;
    to.sync()?;
    Ok(report)
}

/// Answers what cannot be opened, and why.
fn copy_segments(from: &dyn Disk, to: &dyn Disk) -> io::Result<Vec<(String, String)>> {
    loop {
        let (mut copied, mut left_out) = (Vec::new(), Vec::new());
        let (mut is_whole, mut failed) = (true, None);
        for (file, name) in segment_files(from)? {
            let opened = from.open(&file).and_then(|source| Ok((source.size()?, source)));
            match opened {
                Ok((bytes, source)) => {
                    copy(&*source, bytes, &*to.create(&name)?)?;
                    copied.push(name);
                }
                Err(error) if is_gone(from, &file, &error) => {
                    is_whole = false;
                    break;
                }
                Err(error) if disk::lacks_means(&error) => return Err(error),
                Err(error) => {
                    left_out.push((file, error.to_string()));
                    failed = Some(error);
                }
            }
        }
        match failed.filter(|_| copied.is_empty()) {
            Some(error) if is_whole => return Err(error),
            _ if is_whole => return Ok(left_out),
            _ => copied.drain(..).try_for_each(|name| to.remove(&name))?,
        }
    }
}

/// Copies what a file has by now, which is so much.
fn copy(source: &dyn File, bytes: u64, target: &dyn File) -> io::Result<()> {
    let mut at = 0;
    while at < bytes {
        let piece = read_lossy(source, at, PIECE_BYTES.min((bytes - at) as usize));
        if piece.is_empty() {
            // What a write that failed had left was cut off meanwhile.
            break;
        }
        target.write_at(&piece, at)?;
        at += piece.len() as u64;
    }
    target.sync()
}

/// What cannot be taken away is known by the file that goes last.
fn take_away(to: &dyn Disk) {
    let gone = segment_names(to).and_then(|names| names.iter().try_for_each(|it| to.remove(it)));
    if gone.and_then(|()| to.sync()).is_ok() {
        drop(to.remove(INCOMPLETE));
    }
}
