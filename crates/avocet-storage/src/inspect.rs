//! What lies on a disk, for people to look at: nothing is changed, and no store has to be open.

use std::io;

use crate::{
    command::Command,
    disk::Disk,
    log::{Loss, Replayed, segment_name},
    store::{Amount, replayed},
};

/// A segment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its number, by which its file is called.
    pub number: u32,
    /// Bytes that were committed, with the head.
    pub bytes: u64,
    /// How many of them are still needed, about.
    pub needed_bytes: u64,
}

/// What lies on a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Oldest first.
    pub segments: Vec<SegmentReport>,
    /// Records that can be read.
    pub records: u64,
    /// Those among them that this version does not understand.
    pub unknown_records: u64,
    /// Sessions there are.
    pub sessions: usize,
    /// What waits for them; a message counts for each of them.
    pub queued: Amount,
    /// Topics with a retained message.
    pub retained: usize,
    /// Messages that are to be published later.
    pub plans: usize,
    /// What cannot be read.
    pub losses: Vec<Loss>,
    /// Files that were put aside because they were damaged.
    pub put_aside: Vec<String>,
    /// Files that a backup lacks, since they cannot be opened, and what the system says.
    pub left_out: Vec<(String, String)>,
}

/// Looks at a disk. A store that is open on it may go on meanwhile, but then what it just does may
/// look like damage. Long queues take memory: about 30 bytes a message.
///
/// # Errors
/// What the disk says; `Unsupported` if the format is a newer one.
pub fn inspect(disk: &dyn Disk) -> io::Result<Report> {
    let mut report = Report::default();
    let mut replay = replayed();
    let log = Replayed::inspect(disk, |position, number, body| match Command::read(body) {
        Some(command) => replay.take(position, number, body, &command),
        None => report.unknown_records += 1,
    })?;
    let (_, lost) = replay.finish(!log.losses.is_empty() || report.unknown_records > 0);
    report.segments = log
        .segments()
        .map(|(number, bytes)| SegmentReport {
            number,
            bytes: bytes.into(),
            needed_bytes: replay.needed_bytes(number),
        })
        .collect();
    (report.sessions, report.queued, report.retained, report.plans) = replay.totals();
    report.records = log.records;
    report.losses = log.losses;
    report.losses.extend(lost);
    report.put_aside =
        disk.names()?.into_iter().filter(|name| name.contains(".log.damaged")).collect();
    report.put_aside.sort();
    Ok(report)
}

impl SegmentReport {
    /// What its file is called.
    #[must_use]
    pub fn name(&self) -> String {
        segment_name(self.number)
    }
}

impl Report {
    /// Bytes of all segments, and how many of them are still needed, about.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let sum = |of: fn(&SegmentReport) -> u64| self.segments.iter().map(of).sum();
        (sum(|it| it.bytes), sum(|it| it.needed_bytes))
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.losses.is_empty() && self.unknown_records == 0 && self.left_out.is_empty()
    }
}
