//! Turns that last too long. A shard serves one connection after the other: while one turn goes on,
//! or the system gives the thread no time, all others wait. The wheel's tick comes late then, and
//! that is measured, twice a second and without a cost for the turns.

use std::time::Duration;

use parking_lot::Mutex;

/// A tick that is later than this is worth telling.
pub(crate) const LATE: Duration = Duration::from_millis(240);

/// A shard's tick that came late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stall {
    pub(crate) late: Duration,
    /// The shard's number, from zero.
    pub(crate) shard: usize,
}

/// The worst stall that was not told yet.
#[derive(Debug, Default)]
pub(crate) struct Stalls(Mutex<Option<Stall>>);

impl Stalls {
    pub(crate) fn note(&self, stall: Stall) {
        let mut worst = self.0.lock();
        *worst = (*worst).max(Some(stall));
    }

    pub(crate) fn take(&self) -> Option<Stall> {
        self.0.lock().take()
    }
}
