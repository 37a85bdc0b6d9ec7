//! A file of the log: a header that says with which record it begins, then records.

use std::{io, ops::Range, sync::Arc};

use super::{
    Loss, Position,
    record::{self, Record},
};
use crate::disk::{Disk, File};

const MAGIC: [u8; 8] = *b"avocetlg";
/// The version of the format.
const VERSION: u32 = 1;
/// Magic, version, how many records were salvaged, number of the first record, checksum of these.
pub(super) const HEAD_BYTES: usize = 28;
/// In place of the number of salvaged records: this is no segment that was damaged once, and no
/// record is missing.
const WHOLE: u32 = u32::MAX;

const SUFFIX: &str = ".log";
const DAMAGED: &str = ".damaged";
const SALVAGING: &str = ".salvaging";

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) file: Arc<dyn File>,
    /// Bytes up to the end of the last record that is committed.
    pub(super) len: u32,
}

/// A segment's file that was found.
pub(super) struct Found {
    number: u32,
    file: Arc<dyn File>,
    /// The number of its first record.
    pub(super) first: u64,
    /// How many records were kept of it when it was damaged. That others are missing is known.
    salvaged: Option<u64>,
}

/// What reading a segment brought.
pub(super) struct Read {
    pub(super) segment: Segment,
    /// The number of the record that comes next.
    pub(super) next: u64,
    pub(super) loss: Option<Loss>,
}

/// What of a segment's bytes was committed and can be read.
#[derive(Default)]
struct Sound {
    /// Where records lie.
    records: Vec<Range<usize>>,
    next: u64,
    /// How many were committed and are not among them.
    missing: u64,
    /// Whether it is this file that had them.
    is_damaged: bool,
}

impl Segment {
    /// A new file, known to be there. One that an earlier attempt has left is passed by.
    pub(super) fn create(disk: &dyn Disk, number: u32, first: u64) -> io::Result<Self> {
        let mut number = number;
        let file = loop {
            match disk.create(&name(number)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                created => break created?,
            }
        };
        let written = file.write_at(&head(first, WHOLE), 0).and_then(|()| file.sync());
        if let Err(error) = written.and_then(|()| disk.sync()) {
            // If that fails as well, it is passed by.
            drop(disk.remove(&name(number)));
            return Err(error);
        }
        Ok(Self { number, file, len: HEAD_BYTES as u32 })
    }

    pub(super) fn name(&self) -> String {
        name(self.number)
    }
}

fn name(number: u32) -> String {
    format!("{number:010}{SUFFIX}")
}

fn head(first: u64, salvaged: u32) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..16].copy_from_slice(&salvaged.to_le_bytes());
    head[16..24].copy_from_slice(&first.to_le_bytes());
    let checksum = crc32fast::hash(&head[..24]);
    head[24..].copy_from_slice(&checksum.to_le_bytes());
    head
}

fn number_of(name: &str) -> Option<u32> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}

/// The segments of a disk, oldest first.
pub(super) fn found(disk: &dyn Disk) -> io::Result<Vec<Found>> {
    let names = disk.names()?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    for name in names.iter().filter(|name| name.ends_with(SALVAGING)) {
        // Of no use to anybody; if it cannot be removed, it is in nobody's way either.
        drop(disk.remove(name));
    }
    numbers.into_iter().filter_map(|number| look(disk, number).transpose()).collect()
}

/// What a segment's file says of itself. One without a whole head and without a record was never
/// written to: the power went when it was made.
fn look(disk: &dyn Disk, number: u32) -> io::Result<Option<Found>> {
    let file = disk.open(&name(number))?;
    let mut head = [0; HEAD_BYTES];
    let read = file.read_at(&mut head, 0)?;
    let is_whole = read == HEAD_BYTES
        && head[..8] == MAGIC
        && crc32fast::hash(&head[..24]).to_le_bytes() == head[24..];
    let word = |at: usize| head[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
    if is_whole && word(8) != VERSION {
        let what =
            format!("{} is of format {}, which this version does not know", name(number), word(8));
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    let first = if is_whole {
        Some(u64::from(word(16)) | u64::from(word(20)) << 32)
    } else {
        let bytes = read_all(&*file)?;
        let mut from = (HEAD_BYTES..bytes.len()).filter_map(|at| record::parse(&bytes[at..]));
        from.next().map(|(record, _)| record.sequence)
    };
    let salvaged = (is_whole && word(12) != WHOLE).then(|| word(12).into());
    Ok(first.map(|first| Found { number, file, first, salvaged }))
}

/// Reads a segment. `next` is the record that is to come; `limit` is the first of the next segment,
/// from which on this one counts for nothing.
pub(super) fn read(
    disk: &dyn Disk,
    found: Found,
    next: Option<u64>,
    limit: Option<u64>,
    replay: &mut impl FnMut(Position, u64, &[u8]),
) -> io::Result<Read> {
    let Found { number, mut file, first, salvaged } = found;
    let mut bytes = read_all(&*file)?;
    let first = next.unwrap_or(first);
    let mut sound = sound(&bytes, first, limit, salvaged);
    let mut loss = None;
    if sound.missing > 0 {
        let mut lost = Loss { name: name(number), records: sound.missing };
        if sound.is_damaged
            && let Ok((salvaged, damaged)) = salvage(disk, number, first, &mut bytes, &mut sound)
        {
            file = salvaged;
            lost.name = damaged;
        }
        loss = Some(lost);
    }
    for range in &sound.records {
        if let Some((record, _)) = record::parse(&bytes[range.clone()]) {
            let at = Position { segment: number, offset: range.start as u32 };
            replay(at, record.sequence, record.body);
        }
    }
    let len = sound.records.last().map_or(HEAD_BYTES, |last| last.end) as u32;
    Ok(Read { segment: Segment { number, file, len }, next: sound.next, loss })
}

fn read_all(file: &dyn File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.size()? as usize];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn sound(bytes: &[u8], next: u64, limit: Option<u64>, salvaged: Option<u64>) -> Sound {
    let mut sound = Sound { next, ..Sound::default() };
    let mut at = HEAD_BYTES;
    while at < bytes.len() && limit.is_none_or(|limit| sound.next < limit) {
        let next = sound.next;
        let fits = |record: &Record<'_>| {
            record.sequence >= next && limit.is_none_or(|limit| record.sequence < limit)
        };
        let here = record::parse(&bytes[at..]);
        let is_in_place =
            |record: &Record<'_>| record.sequence == next || (salvaged.is_some() && fits(record));
        if !here.is_some_and(|(record, _)| is_in_place(&record)) {
            let Some(skipped) = resume(&bytes[at..], limit.is_none(), fits) else { break };
            at += skipped;
            sound.is_damaged = true;
        }
        let Some((record, len)) = record::parse(&bytes[at..]) else { break };
        sound.missing += record.sequence - next;
        sound.records.push(at..at + len);
        sound.next = record.sequence + 1;
        at += len;
    }
    if let Some(limit) = limit {
        sound.missing += limit.saturating_sub(sound.next);
        sound.next = sound.next.max(limit);
    }
    if let Some(salvaged) = salvaged {
        sound.missing = salvaged.saturating_sub(sound.records.len() as u64);
    }
    // Else what is missing was in another file.
    sound.is_damaged |= sound.missing > 0 && at < bytes.len();
    sound
}

/// Where, behind bytes that are no record, the log goes on with one that was committed. Of the last
/// segment nothing says that but a group that begins further on: the group before it was committed.
fn resume(bytes: &[u8], is_last: bool, fits: impl Fn(&Record<'_>) -> bool) -> Option<usize> {
    let (mut found, mut at) = (None, 1);
    while at < bytes.len() {
        match record::parse(&bytes[at..]).filter(|(record, _)| fits(record)) {
            Some((record, len)) => {
                found = found.or(Some(at));
                if !is_last || record.begins_group {
                    return found;
                }
                at += len;
            }
            None => at += 1,
        }
    }
    None
}

/// Puts a file with what is sound in the place of a damaged one, which gets another name. Answers
/// the new file and that name; `bytes` and `sound` are then those of the new file.
fn salvage(
    disk: &dyn Disk,
    number: u32,
    first: u64,
    bytes: &mut Vec<u8>,
    sound: &mut Sound,
) -> io::Result<(Arc<dyn File>, String)> {
    let old = name(number);
    let names = disk.names()?;
    let mut damaged = format!("{old}{DAMAGED}");
    while names.contains(&damaged) {
        damaged.push('+');
    }
    let copy = disk.create(&damaged)?;
    copy.write_at(bytes, 0)?;
    copy.sync()?;
    let mut kept = head(first, sound.records.len() as u32).to_vec();
    for range in &mut sound.records {
        let start = kept.len();
        kept.extend_from_slice(&bytes[range.clone()]);
        *range = start..kept.len();
    }
    *bytes = kept;
    let salvaging = format!("{old}{SALVAGING}");
    let file = disk.create(&salvaging)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    disk.rename(&salvaging, &old)?;
    disk.sync()?;
    Ok((file, damaged))
}
