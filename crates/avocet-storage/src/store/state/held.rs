//! How much of each segment is still needed.

use std::collections::BTreeMap;

use crate::{command::Time, log::Position};

/// Counts by segment.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<u32, Count>);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Claims, retained messages, plans and standings.
    holdings: u64,
    /// Bytes of their records; of a record with several claims, each has a share.
    bytes: u64,
    /// When the first message that waits is of no use any more, or before that.
    expires_at: Option<Time>,
    /// Until when it is not asked for what has expired: it was not long ago.
    rests_until: Time,
}

/// How long a segment is not looked at again for what has expired, in milliseconds: if little
/// expires at a time, all of it is read for little.
const REST: u64 = 60_000;

impl Held {
    pub(super) fn hold(&mut self, at: Position, bytes: u32) {
        let count = self.0.entry(at.segment).or_default();
        count.holdings += 1;
        count.bytes += u64::from(bytes);
    }

    pub(super) fn let_go(&mut self, at: Position, bytes: u32) {
        if let Some(count) = self.0.get_mut(&at.segment) {
            count.holdings -= 1;
            count.bytes -= u64::from(bytes);
        }
    }

    /// A message in this segment expires.
    pub(super) fn expires(&mut self, segment: u32, at: Time) {
        if let Some(count) = self.0.get_mut(&segment) {
            count.expires_at = Some(count.expires_at.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// The oldest segment in which something may have expired; it is not told again before it has
    /// rested and something is said to expire in it.
    pub(super) fn take_expired(&mut self, now: Time) -> Option<u32> {
        let is_due = |count: &Count| {
            count.expires_at.is_some_and(|at| at <= now) && count.rests_until <= now
        };
        let (segment, count) = self.0.iter_mut().find(|(_, count)| is_due(count))?;
        count.expires_at = None;
        count.rests_until = Time(now.0.saturating_add(REST));
        Some(*segment)
    }

    pub(super) fn holdings(&self, segment: u32) -> u64 {
        self.0.get(&segment).map_or(0, |count| count.holdings)
    }

    pub(super) fn bytes(&self, segment: u32) -> u64 {
        self.0.get(&segment).map_or(0, |count| count.bytes)
    }

    pub(super) fn forget(&mut self, segment: u32) {
        self.0.remove(&segment);
    }
}
