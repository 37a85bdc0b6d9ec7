//! The way from one publisher to one subscriber: every message once and in order.

use std::collections::HashSet;

/// Sequence numbers remembered as missing; a lane that loses more counts the others as lost only.
const REMEMBERED_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Lane {
    expected: u64,
    missing: HashSet<u64>,
    forgotten: u64,
}

/// What is wrong with the messages that came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) out_of_order: u64,
    /// Acknowledgements that nobody waited for, messages of strangers.
    pub(super) unexpected: u64,
    /// Messages that the broker refused in its acknowledgement.
    pub(super) refused: u64,
}

impl Faults {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    InOrder,
    /// The first after some that are missing.
    AfterGap,
    /// One of those that were missing.
    Late,
    Doubled,
}

impl Lane {
    #[inline]
    pub(super) fn handle_arrival(&mut self, sequence: u64) -> Arrival {
        if sequence == self.expected {
            self.expected += 1;
            return Arrival::InOrder;
        }
        self.handle_disorder(sequence)
    }

    #[cold]
    fn handle_disorder(&mut self, sequence: u64) -> Arrival {
        if sequence < self.expected {
            return if self.missing.remove(&sequence) { Arrival::Late } else { Arrival::Doubled };
        }
        for missing in self.expected..sequence {
            if self.missing.len() < REMEMBERED_MAX {
                self.missing.insert(missing);
            } else {
                self.forgotten += 1;
            }
        }
        self.expected = sequence + 1;
        Arrival::AfterGap
    }

    /// Which of `sent` messages never came, as far as they are remembered; and how many are not.
    pub(super) fn missing(&self, sent: u64) -> (impl Iterator<Item = u64>, u64) {
        (self.missing.iter().copied().chain(self.expected..sent), self.forgotten)
    }

    /// How many of `sent` messages never came.
    pub(super) fn lost(&self, sent: u64) -> u64 {
        sent.saturating_sub(self.expected) + self.missing.len() as u64 + self.forgotten
    }
}

#[cfg(test)]
mod tests;
