//! How long the writer waits for more before it stores what there is.
//!
//! Who is told that something is stored often has more at once: clients that publish one message
//! after the other. Without waiting the group of those who were just told would miss the next sync,
//! and groups would be small and many. So for a moment after each group there is waited for as much
//! as was under way; not longer than part of what storing it took, so that who is alone, or does
//! not come again, costs little.

use std::time::{Duration, Instant};

/// What is not quicker than this is no sync, and is not waited beside.
const PATIENCE_MIN: Duration = Duration::from_micros(20);
/// However long a sync takes.
const PATIENCE_MAX: Duration = Duration::from_millis(2);

/// What is known of the groups that were stored.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// So many commands were under way when the last group was stored.
    expected: usize,
    /// It is waited for these up to then.
    until: Option<Instant>,
    /// How long groups take to be stored, smoothed.
    usual: Duration,
}

impl Gathering {
    /// A group of so many commands was stored, while so many others have come.
    pub(super) fn note(&mut self, stored: usize, waiting: usize, took: Duration, now: Instant) {
        self.usual = (self.usual * 7 + took) / 8;
        let patience = (self.usual / 2).min(PATIENCE_MAX);
        self.expected = stored + waiting;
        self.until = (patience >= PATIENCE_MIN).then(|| now + patience);
    }

    /// How many commands are waited for, and until when. `None`: what there is is enough.
    pub(super) fn wants(&self, arrived: usize, now: Instant) -> Option<(usize, Instant)> {
        let until = self.until.filter(|until| now < *until)?;
        (arrived < self.expected).then_some((self.expected, until))
    }
}

#[cfg(test)]
mod tests;
