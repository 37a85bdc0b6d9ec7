//! What room there is on the disk, and how the store lives with it: how large segments are, how
//! much is held back, and what that is given up for once the disk is full.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Options, reserve::Reserve};
use crate::{
    disk::{self, Disk},
    log::Log,
};

/// A volume has room for so many segments, or more.
const SEGMENTS_OF_A_VOLUME: u64 = 64;
/// Segments are not made smaller than this by a volume that has little.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// What the head of a segment and blocks that are begun take, beside what is written: more than
/// that, and a part of a segment.
const SLACK_BYTES_MAX: u64 = 16 << 10;
/// A group of several batches is no larger.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// Nor is it on a full disk, so that what finds room is stored.
const GROUP_BYTES_FULL: usize = 8 << 10;

#[derive(Debug)]
pub(super) struct Space {
    disk: Arc<dyn Disk>,
    reserve: Reserve,
    /// As it was asked for.
    segment_bytes_max: u32,
    cleaned_from_bytes: u64,
    retry_after: Duration,
    /// As it is.
    segment_bytes: u32,
    /// When the disk is looked at again, if it was found full.
    look_at: Option<Instant>,
    /// A group of several batches is no larger.
    group_bytes: usize,
    /// Whether there waits what may not be refused and finds no room.
    is_pressed: bool,
    /// Whether a part of the cleaner's share may be given up for that: there is nothing to clean.
    is_all_lent: bool,
    /// What could not be held back, for want of room or whatever else.
    missed: u64,
}

/// What room is given up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lend {
    /// What may not be refused: it is what makes room. Enough is left for the cleaner.
    Commands,
    /// The cleaner, which gives more back than it takes.
    Cleaning,
}

impl Space {
    /// Before the log is read, so that nothing else takes the room that an earlier store gave up.
    pub(super) fn open(disk: Arc<dyn Disk>, options: &Options) -> Self {
        let names = disk.names().unwrap_or_default();
        let size = |name: &String| disk.open(name).and_then(|file| file.size()).unwrap_or(0);
        let ours = names.iter().map(size).sum();
        let longest = names.iter().filter(|name| name.ends_with(".log")).map(size).max();
        let mut space = Self {
            reserve: Reserve::new(Arc::clone(&disk)),
            disk,
            segment_bytes_max: options.segment_bytes,
            cleaned_from_bytes: options.cleaned_from_bytes,
            retry_after: options.retry_after,
            segment_bytes: options.segment_bytes,
            look_at: None,
            group_bytes: GROUP_BYTES_MAX,
            is_pressed: false,
            is_all_lent: false,
            missed: 0,
        };
        space.measure(ours);
        let wanted = space.wanted(longest.unwrap_or(0));
        if space.reserve.hold(wanted).is_err() {
            let free = space.disk.free_bytes().unwrap_or(0);
            drop(space.reserve.hold(wanted.min(space.reserve.bytes() + free)));
        }
        space
    }

    /// Segments follow what a small volume has room for: one of them has to fit into what is held
    /// back, so that it can be cleaned whatever is full.
    fn measure(&mut self, ours: u64) {
        let max = u64::from(self.segment_bytes_max);
        let room = self.disk.free_bytes().map(|free| free.saturating_add(ours));
        let bytes = room.map_or(max, |room| room / SEGMENTS_OF_A_VOLUME);
        self.segment_bytes = bytes.max(SEGMENT_BYTES_MIN).min(max) as u32;
        let is_small = self.segment_bytes < self.segment_bytes_max;
        let group = if is_small { self.segment_bytes as usize } else { GROUP_BYTES_MAX };
        self.group_bytes = group.min(GROUP_BYTES_MAX);
    }

    pub(super) fn segment_bytes(&self) -> u32 {
        self.segment_bytes
    }

    /// The log is cleaned from so many bytes on.
    pub(super) fn cleaned_from_bytes(&self) -> u64 {
        let segments = self.cleaned_from_bytes / u64::from(self.segment_bytes_max.max(1));
        if self.segment_bytes == self.segment_bytes_max {
            self.cleaned_from_bytes
        } else {
            segments.max(1) * u64::from(self.segment_bytes)
        }
    }

    pub(super) fn group_bytes_max(&self) -> usize {
        self.group_bytes
    }

    /// What may be refused is, until there is room again.
    pub(super) fn is_full(&self) -> bool {
        self.look_at.is_some()
    }

    pub(super) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// How much the cleaner can count on, if that is known.
    pub(super) fn available(&self) -> Option<u64> {
        Some((self.disk.free_bytes()? + self.reserve.bytes()).saturating_sub(self.slack()))
    }

    fn slack(&self) -> u64 {
        SLACK_BYTES_MAX.min(u64::from(self.segment_bytes) / 4)
    }

    /// Something found no room.
    pub(super) fn fill(&mut self, log: &mut Log) {
        if !self.is_full() {
            self.measure(total(log) + self.reserve.bytes());
            log.set_segment_bytes(self.segment_bytes);
            self.group_bytes = GROUP_BYTES_FULL;
        }
        self.look_at = Some(Instant::now() + self.retry_after);
    }

    /// A group of so many batches found no room: if it is less at a time, there may be. Tells
    /// whether it can be less.
    pub(super) fn take_less(&mut self, batches: usize) -> bool {
        self.group_bytes /= 4;
        self.is_pressed = batches <= 1;
        !self.is_pressed
    }

    /// A group found room.
    pub(super) fn succeed(&mut self) {
        self.is_pressed = false;
        if self.is_full() {
            self.group_bytes = (4 * self.group_bytes).clamp(1, GROUP_BYTES_FULL);
        }
    }

    /// What waits finds no room, and the cleaner has nothing to do. Tells whether there is
    /// something to be given up all the same: what waits is what gives the cleaner something to do.
    pub(super) fn lend_all(&mut self) -> bool {
        self.is_all_lent = self.is_pressed && self.reserve.bytes() > 0;
        self.is_all_lent
    }

    pub(super) fn is_pressed(&self) -> bool {
        self.is_pressed
    }

    /// Gives up some of what is held back, so that about so many bytes can be written; tells
    /// whether there was anything.
    pub(super) fn lend(&mut self, bytes: usize, to: Lend, log: &Log) -> bool {
        let floor = match to {
            Lend::Commands if std::mem::take(&mut self.is_all_lent) => 0,
            Lend::Commands => self.for_cleaning(longest(log)),
            Lend::Cleaning => 0,
        };
        let step = (bytes as u64 + self.slack()).max(u64::from(self.segment_bytes) / 4);
        self.reserve.leave(self.reserve.bytes().saturating_sub(step).max(floor))
    }

    /// Gives up what the cleaner needs for so many bytes, so that it does not have to begin a
    /// segment again and again.
    pub(super) fn lend_ahead(&mut self, bytes: u64, log: &Log) {
        let lacking = self.disk.free_bytes().map_or(0, |free| bytes.saturating_sub(free));
        if lacking > 0 {
            self.lend(lacking as usize, Lend::Cleaning, log);
        }
    }

    /// Holds back what a log of this length needs, while there is room.
    pub(super) fn grow(&mut self, log: &Log) {
        let wanted = self.wanted(longest(log));
        if wanted > self.missed && self.reserve.hold(wanted).is_err() {
            self.missed = wanted;
        }
    }

    /// Takes back what was given up, if the disk has room for that, and some more for others;
    /// tells whether it is full no longer. If the cleaner has made room, its share is taken back
    /// from what there is; else that is left to whom it was given.
    pub(super) fn regain(&mut self, log: &mut Log, is_made: bool) -> bool {
        self.missed = 0;
        let (held, wanted) = (self.reserve.bytes(), self.wanted(longest(log)));
        let margin = u64::from(self.segment_bytes);
        let held_back = match self.disk.free_bytes() {
            Some(free) if free < wanted.saturating_sub(held) + margin => {
                // The cleaner's share comes before all others.
                let some = (held + free).saturating_sub(self.slack()).min(wanted);
                let share = self.for_cleaning(longest(log)).min(held + free);
                if is_made {
                    drop(self.reserve.hold(some.max(share)));
                }
                Err(io::ErrorKind::StorageFull.into())
            }
            Some(_) => self.reserve.hold(wanted),
            None => self.reserve.hold(wanted.max(held) + margin),
        };
        if held_back.is_err_and(|error| disk::is_full(&error)) {
            self.look_at = Some(Instant::now() + self.retry_after);
            return false;
        }
        self.reserve.leave(wanted);
        self.look_at = None;
        self.measure(total(log) + self.reserve.bytes());
        log.set_segment_bytes(self.segment_bytes);
        true
    }

    /// To be held back for a log with a segment of this length: nothing for an empty one.
    fn wanted(&self, longest: u64) -> u64 {
        let cleaning = self.for_cleaning(longest);
        if longest == 0 { 0 } else { cleaning + (cleaning / 4).max(self.slack()) }
    }

    /// What is needed of a segment has to fit. One that is much longer, by a large message or an
    /// earlier version, is not cleaned but released: that takes less than an eighth of it.
    fn for_cleaning(&self, longest: u64) -> u64 {
        let least = SEGMENT_BYTES_MIN.min(self.segment_bytes.into());
        let bytes = longest.max(least).next_power_of_two();
        bytes.min((2 * u64::from(self.segment_bytes)).max(longest / 8)) + self.slack()
    }
}

fn longest(log: &Log) -> u64 {
    log.segments().map(|(_, len)| u64::from(len)).max().unwrap_or(0)
}

fn total(log: &Log) -> u64 {
    log.segments().map(|(_, len)| u64::from(len)).sum()
}
