//! What of a segment's bytes was committed and can be read.

use std::ops::Range;

use super::{
    record::{self, HEADER_BYTES, Key, Record},
    segment::HEAD_BYTES,
};

/// What of a segment's bytes was committed and can be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Sound {
    /// Where records lie without a gap.
    pub(super) runs: Vec<Range<usize>>,
    /// How many there are.
    pub(super) records: u64,
    /// The number of the record that comes next.
    pub(super) next: u64,
    /// How many were committed and are not among them.
    pub(super) missing: u64,
    /// Whether it is this file that had them.
    pub(super) is_damaged: bool,
}

/// What is known of a segment before its records are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) key: Key,
    /// The record it begins with.
    pub(super) first: u64,
    /// The first of the next segment, from which on this one counts for nothing.
    pub(super) limit: Option<u64>,
    /// How many records were kept of it when it was damaged. That others are missing is known.
    pub(super) salvaged: Option<u64>,
}

/// A state to go back to.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: usize,
    records: u64,
    next: u64,
    missing: u64,
    is_damaged: bool,
}

impl Sound {
    pub(super) fn of(bytes: &[u8], known: Known) -> Self {
        let Known { key, limit, salvaged, .. } = known;
        let mut sound = Self { next: known.first, ..Self::default() };
        let end = limit.unwrap_or(u64::MAX);
        // Where the batch began that is not whole yet.
        let mut batch: Option<Mark> = None;
        let mut at = HEAD_BYTES;
        while at < bytes.len() && sound.next < end {
            let room = ((bytes.len() - at) / HEADER_BYTES) as u64 + 1;
            // One that was salvaged has gaps of any size.
            let room = if salvaged.is_some() { end } else { sound.next.saturating_add(room) };
            let fitting = sound.next..end.min(room);
            let in_place = match salvaged {
                Some(_) => fitting.clone(),
                None => sound.next..sound.next + 1,
            };
            let mut here = record::parse(&bytes[at..], key, &in_place);
            if here.is_none() {
                let skipped = resume(&bytes[at..], key, &fitting, limit.is_none());
                let Some(skipped) = skipped else { break };
                at += skipped;
                sound.is_damaged = true;
                here = record::parse(&bytes[at..], key, &fitting);
            }
            let Some(record) = here else { break };
            let mark = sound.mark(at, record.sequence);
            sound.take(at, &record);
            at += record.len();
            // What is damaged of batches before a group was committed all the same.
            let begun = batch.filter(|_| !record.marks.begins_group);
            batch = record.marks.has_more.then(|| begun.unwrap_or(mark));
        }
        if let (None, Some(mark)) = (limit, batch) {
            sound.go_back(mark);
        }
        if let Some(limit) = limit {
            sound.missing += limit.saturating_sub(sound.next);
            sound.next = sound.next.max(limit);
        }
        if let Some(salvaged) = salvaged {
            sound.missing = salvaged.saturating_sub(sound.records);
        }
        // Else what is missing was in another file.
        sound.is_damaged |= sound.missing > 0 && at < bytes.len();
        sound
    }

    /// Of a segment of which nothing is known, not even with what its records are mixed.
    pub(super) fn nothing(bytes: &[u8], first: u64, limit: Option<u64>) -> Self {
        // No number is given to another record.
        let records = (bytes.len() / HEADER_BYTES) as u64;
        let next = limit.map_or(first + records, |limit| limit.max(first));
        Self { next, missing: next - first, is_damaged: true, ..Self::default() }
    }

    /// Where the last record ends.
    pub(super) fn end(&self) -> usize {
        self.runs.last().map_or(HEAD_BYTES, |run| run.end)
    }

    fn take(&mut self, at: usize, record: &Record<'_>) {
        match self.runs.last_mut() {
            Some(run) if run.end == at => run.end += record.len(),
            _ => self.runs.push(at..at + record.len()),
        }
        self.missing += record.sequence - self.next;
        self.next = record.sequence + 1;
        self.records += 1;
    }

    /// Before the record with this number, which lies there.
    fn mark(&self, at: usize, next: u64) -> Mark {
        let Self { records, is_damaged, .. } = *self;
        Mark { at, records, next, missing: self.missing + (next - self.next), is_damaged }
    }

    fn go_back(&mut self, mark: Mark) {
        let Mark { at, records, next, missing, is_damaged } = mark;
        self.runs.retain(|run| run.start < at);
        self.runs.last_mut().into_iter().for_each(|run| run.end = run.end.min(at));
        (self.records, self.next, self.missing) = (records, next, missing);
        self.is_damaged = is_damaged;
    }
}

/// Where, behind bytes that are no record, the log goes on with one that was committed. Of the last
/// segment nothing says that but a group that begins further on: the group before it was committed.
fn resume(bytes: &[u8], key: Key, numbers: &Range<u64>, is_last: bool) -> Option<usize> {
    let (mut found, mut at) = (None, 0);
    while let Some(skipped) = record::find(bytes.get(at..)?, key, numbers) {
        at += skipped;
        found = found.or(Some(at));
        let record = record::parse(&bytes[at..], key, numbers)?;
        if !is_last || record.marks.begins_group {
            return found;
        }
        at += record.len();
    }
    None
}
