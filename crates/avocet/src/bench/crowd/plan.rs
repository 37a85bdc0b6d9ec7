//! How many clients are to connect, and how fast.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Plan {
    pub(in crate::bench) count: u64,
    /// Clients that connect at the same time.
    pub(in crate::bench) concurrency: usize,
    /// Clients that begin in a second.
    pub(in crate::bench) rate: Option<f64>,
    /// Whether they stay.
    pub(in crate::bench) is_kept: bool,
}

impl Plan {
    /// All of a few, as fast as it goes.
    pub(super) fn all(count: u64) -> Self {
        Self { count, concurrency: 64, rate: None, is_kept: true }
    }

    /// How many may have begun after so many nanoseconds.
    pub(super) fn due(&self, nanoseconds: u64) -> u64 {
        self.rate.map_or(u64::MAX, |rate| (nanoseconds as f64 * rate / 1e9) as u64 + 1)
    }

    /// The nanosecond at which the next may begin when `begun` have.
    pub(super) fn next(&self, begun: u64) -> Option<u64> {
        self.rate.map(|rate| (begun as f64 * 1e9 / rate).ceil() as u64)
    }
}

/// How long it is from `now` to `at`.
pub(super) fn due(at: u64, now: u64) -> Duration {
    Duration::from_nanos(at.saturating_sub(now))
}

#[cfg(test)]
mod tests;
