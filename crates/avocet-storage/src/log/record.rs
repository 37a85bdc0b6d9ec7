//! A record: checksum, length, number, and what it says.
//!
//! The checksum (CRC-32) covers all behind it. The highest bit of the length is set in the first
//! record of a group: where such a record is whole, all groups before it were committed.

use std::io;

use crate::disk::File;

pub(super) const HEADER_BYTES: usize = 16;
/// Records and groups are smaller.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 30;
/// Read at once, so that a small record takes one read.
const GUESS_BYTES: usize = 512;

const BEGINS_GROUP: u32 = 1 << 31;

/// A whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) sequence: u64,
    pub(super) begins_group: bool,
    pub(super) body: &'a [u8],
}

struct Head {
    checksum: u32,
    len: usize,
    begins_group: bool,
    sequence: u64,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (checksum, rest) = bytes.split_first_chunk()?;
        let (marked, rest) = rest.split_first_chunk()?;
        let (sequence, _) = rest.split_first_chunk()?;
        let marked = u32::from_le_bytes(*marked);
        let len = (marked & !BEGINS_GROUP) as usize;
        (len <= RECORD_BYTES_MAX).then(|| Self {
            checksum: u32::from_le_bytes(*checksum),
            len,
            begins_group: marked & BEGINS_GROUP != 0,
            sequence: u64::from_le_bytes(*sequence),
        })
    }
}

pub(super) fn append(out: &mut Vec<u8>, sequence: u64, begins_group: bool, body: &[u8]) {
    let marked = body.len() as u32 | if begins_group { BEGINS_GROUP } else { 0 };
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&marked.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(body);
    let checksum = crc32fast::hash(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// The record at the beginning of `bytes`, and how many bytes it has; `None` if there is no whole
/// one.
pub(super) fn parse(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let head = Head::parse(bytes)?;
    let len = HEADER_BYTES + head.len;
    let covered = bytes.get(4..len)?;
    (crc32fast::hash(covered) == head.checksum).then(|| {
        let (sequence, begins_group) = (head.sequence, head.begins_group);
        (Record { sequence, begins_group, body: &bytes[HEADER_BYTES..len] }, len)
    })
}

/// Reads the body of the record at `offset`, and tells its number.
pub(super) fn read(file: &dyn File, offset: u32, body: &mut Vec<u8>) -> io::Result<u64> {
    body.resize(GUESS_BYTES.max(HEADER_BYTES), 0);
    let mut read = file.read_at(body, offset.into())?;
    let head = Head::parse(&body[..read]).ok_or(io::ErrorKind::InvalidData)?;
    let len = HEADER_BYTES + head.len;
    if read < len {
        body.resize(len, 0);
        read += file.read_at(&mut body[read..], u64::from(offset) + read as u64)?;
    }
    let is_whole = read >= len && parse(&body[..len]).is_some();
    if !is_whole {
        return Err(io::ErrorKind::InvalidData.into());
    }
    body.truncate(len);
    body.drain(..HEADER_BYTES);
    Ok(head.sequence)
}
