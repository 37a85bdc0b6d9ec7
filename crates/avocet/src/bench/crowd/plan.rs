//! How many clients are to connect, and how fast.

use crate::bench::tempo::Tempo;

#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Plan {
    pub(in crate::bench) count: u64,
    /// Clients that connect at the same time.
    pub(in crate::bench) concurrency: usize,
    /// Clients that begin.
    pub(in crate::bench) tempo: Tempo,
    /// Whether they stay.
    pub(in crate::bench) is_kept: bool,
}

impl Plan {
    /// All of a few, as fast as it goes.
    pub(super) fn all(count: u64) -> Self {
        Self { count, concurrency: 64, tempo: Tempo::new(None), is_kept: true }
    }
}
