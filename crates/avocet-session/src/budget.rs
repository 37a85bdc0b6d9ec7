//! A bound on bytes that several sessions share.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that all queues of a node may hold together.
#[derive(Debug)]
pub struct Budget {
    used: AtomicU64,
    bytes_max: u64,
}

impl Budget {
    /// An empty budget of so many bytes.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        Self { used: AtomicU64::new(0), bytes_max }
    }

    /// Takes `bytes` if they are to be had.
    pub fn take(&self, bytes: u64) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes <= self.bytes_max {
            return true;
        }
        self.give_back(bytes);
        false
    }

    /// Whether `bytes` are to be had, for now.
    pub(crate) fn has(&self, bytes: u64) -> bool {
        self.used().saturating_add(bytes) <= self.bytes_max
    }

    /// Returns what [`take`](Self::take) took.
    pub fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes taken now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}
