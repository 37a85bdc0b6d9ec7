//! A bound on bytes that several sessions share.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::Limits;

/// Bytes that all queues of a node may hold together, with what else is charged to them.
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

    /// Bytes there are, taken or not.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Bytes taken now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether there is no more to be had.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.used() >= self.bytes_max
    }

    /// Makes `charged` what is held now, even beyond the bound: these bytes are there already.
    pub(crate) fn settle(&self, charged: &mut u64, held: u64) {
        if held >= *charged {
            self.used.fetch_add(held - *charged, Ordering::Relaxed);
        } else {
            self.give_back(*charged - held);
        }
        *charged = held;
    }
}

/// What somebody beside the queues holds of the budget.
#[derive(Debug)]
pub struct Charge {
    limits: Arc<Limits>,
    bytes: u64,
}

impl Charge {
    /// Nothing yet.
    #[must_use]
    pub fn new(limits: Arc<Limits>) -> Self {
        Self { limits, bytes: 0 }
    }

    /// Bytes charged now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Charges what is held now.
    pub fn settle(&mut self, held: u64) {
        self.limits.budget.settle(&mut self.bytes, held);
    }

    /// Whether the budget has no more.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.limits.budget.is_spent()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.settle(0);
    }
}
