//! At most so many a second, spread evenly in time, and late rather than early.

use std::time::Duration;

/// How fast things may begin. Times are nanoseconds since the first of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tempo {
    /// In a second; as fast as it goes if there is none.
    rate: Option<f64>,
}

impl Tempo {
    pub(super) fn new(rate: Option<f64>) -> Self {
        Self { rate }
    }

    /// How many may have begun after so long.
    pub(super) fn due(self, elapsed: u64) -> u64 {
        self.rate.map_or(u64::MAX, |rate| (elapsed as f64 * rate / 1e9) as u64 + 1)
    }

    /// How long it is until the next may begin when `begun` have; `None` if it need not wait.
    pub(super) fn wait(self, begun: u64, elapsed: u64) -> Option<Duration> {
        self.next(begun).map(|at| Duration::from_nanos(at.saturating_sub(elapsed)))
    }

    /// When the next may begin.
    fn next(self, begun: u64) -> Option<u64> {
        self.rate.map(|rate| (begun as f64 * 1e9 / rate).ceil() as u64)
    }
}

#[cfg(test)]
mod tests;
