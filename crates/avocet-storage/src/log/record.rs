//! A record: checksum, length, number, and what it says.
//!
//! The checksum (CRC-32) covers all behind it. Checksum and number are mixed with the key of the
//! segment, so that nobody who does not know it can have bytes stored that look like a record.
//! The highest bit of the length is set in the first record of a group: where such a record is
//! whole, all groups before it were committed. The next bit is set in all records of a batch but
//! the last: a batch whose last record is not there never was.

use std::{io, ops::Range};

use crate::disk::File;

pub(super) const HEADER_BYTES: usize = 16;
/// Records and groups are smaller.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 29;
/// Read at once, so that a small record takes one read.
const GUESS_BYTES: usize = 512;

const BEGINS_GROUP: u32 = 1 << 31;
const HAS_MORE: u32 = 1 << 30;

/// What the records of a segment are mixed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key(pub(super) u64);

/// What stands in the bits of a record beside its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// It is the first of a group.
    pub(super) begins_group: bool,
    /// More of its batch follows.
    pub(super) has_more: bool,
}

/// A whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) sequence: u64,
    pub(super) marks: Marks,
    pub(super) body: &'a [u8],
}

impl Record<'_> {
    /// Bytes, with what stands before the body.
    pub(super) fn len(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

impl Key {
    fn checksum(self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0 as u32);
        hasher.update(bytes);
        hasher.finalize() ^ (self.0 >> 32) as u32
    }
}

struct Head {
    checksum: u32,
    len: usize,
    marks: Marks,
    sequence: u64,
}

impl Head {
    fn parse(bytes: &[u8], key: Key) -> Option<Self> {
        let (checksum, rest) = bytes.split_first_chunk()?;
        let (marked, rest) = rest.split_first_chunk()?;
        let (sequence, _) = rest.split_first_chunk()?;
        let marked = u32::from_le_bytes(*marked);
        let marks =
            Marks { begins_group: marked & BEGINS_GROUP != 0, has_more: marked & HAS_MORE != 0 };
        Some(Self {
            checksum: u32::from_le_bytes(*checksum),
            len: (marked & !(BEGINS_GROUP | HAS_MORE)) as usize,
            marks,
            sequence: u64::from_le_bytes(*sequence) ^ key.0,
        })
    }
}

pub(super) fn append(out: &mut Vec<u8>, key: Key, sequence: u64, marks: Marks, body: &[u8]) {
    let mut marked = body.len() as u32;
    marked |= if marks.begins_group { BEGINS_GROUP } else { 0 };
    marked |= if marks.has_more { HAS_MORE } else { 0 };
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&marked.to_le_bytes());
    out.extend_from_slice(&(sequence ^ key.0).to_le_bytes());
    out.extend_from_slice(body);
    let checksum = key.checksum(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// The record at the beginning of `bytes`; `None` if there is no whole one with such a number,
/// which is looked at first: to compute checksums takes long.
pub(super) fn parse<'a>(bytes: &'a [u8], key: Key, numbers: &Range<u64>) -> Option<Record<'a>> {
    let head = Head::parse(bytes, key).filter(|head| numbers.contains(&head.sequence))?;
    let len = HEADER_BYTES + head.len;
    let covered = bytes.get(4..len)?;
    (key.checksum(covered) == head.checksum).then(|| Record {
        sequence: head.sequence,
        marks: head.marks,
        body: &bytes[HEADER_BYTES..len],
    })
}

/// The record at the beginning of `bytes`, which [`parse`] has found there before.
pub(super) fn known<'a>(bytes: &'a [u8], key: Key) -> Option<Record<'a>> {
    let head = Head::parse(bytes, key)?;
    let body = bytes.get(HEADER_BYTES..HEADER_BYTES + head.len)?;
    Some(Record { sequence: head.sequence, marks: head.marks, body })
}

/// How many bytes the record at the beginning says it has.
pub(super) fn told_len(bytes: &[u8], key: Key, numbers: &Range<u64>) -> Option<usize> {
    let head = Head::parse(bytes, key).filter(|head| numbers.contains(&head.sequence))?;
    Some(HEADER_BYTES + head.len)
}

/// Where the first whole record with such a number begins.
pub(super) fn find(bytes: &[u8], key: Key, numbers: &Range<u64>) -> Option<usize> {
    (0..bytes.len()).find(|at| parse(&bytes[*at..], key, numbers).is_some())
}

/// Reads the body of the record at `offset`, and tells its number.
pub(super) fn read(
    file: &dyn File,
    key: Key,
    offset: u32,
    end: u32,
    body: &mut Vec<u8>,
) -> io::Result<u64> {
    let room = end.saturating_sub(offset) as usize;
    body.resize(GUESS_BYTES.min(room), 0);
    let mut read = file.read_at(body, offset.into())?;
    let all = 0..u64::MAX;
    let len = told_len(&body[..read], key, &all).filter(|len| *len <= room);
    let len = len.ok_or(io::ErrorKind::InvalidData)?;
    if read < len {
        body.resize(len, 0);
        read += file.read_at(&mut body[read..], u64::from(offset) + read as u64)?;
    }
    let sequence = parse(&body[..len.min(read)], key, &all).map(|record| record.sequence);
    let sequence = sequence.ok_or(io::ErrorKind::InvalidData)?;
    body.truncate(len);
    body.drain(..HEADER_BYTES);
    Ok(sequence)
}
