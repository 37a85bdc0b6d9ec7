//! Every message that did not arrive: counted by reason, and the latest of them by name.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use avocet_session::DropReason;
use parking_lot::Mutex;

/// How many of the latest drops are kept.
const LEDGER_MAX: usize = 4096;
/// Bytes of a topic that are kept.
const TOPIC_BYTES_MAX: usize = 256;

/// One dropped message.
#[derive(Clone, Debug)]
pub struct Dropped {
    /// When.
    pub at: SystemTime,
    /// Who did not get it; of a message nobody subscribes to, who published it.
    pub client_id: Box<str>,
    /// The message's topic, cut at 256 bytes.
    pub topic: Box<str>,
    /// Why.
    pub reason: DropReason,
}

/// The one place where drops are noted.
#[derive(Debug)]
pub struct Drops {
    counts: Vec<AtomicU64>,
    ledger: Mutex<VecDeque<Dropped>>,
}

impl Default for Drops {
    fn default() -> Self {
        let counts = DropReason::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self { counts, ledger: Mutex::new(VecDeque::new()) }
    }
}

impl Drops {
    /// Notes a drop.
    pub(crate) fn note(&self, client_id: &str, topic: &str, reason: DropReason) {
        self.count(reason, 1);
        let dropped = Dropped {
            at: SystemTime::now(),
            client_id: Box::from(client_id),
            topic: Box::from(&topic[..topic.floor_char_boundary(TOPIC_BYTES_MAX)]),
            reason,
        };
        // A flood of drops must not become a queue for the ledger: what finds it busy is counted.
        if let Some(mut ledger) = self.ledger.try_lock() {
            if ledger.len() == LEDGER_MAX {
                ledger.pop_front();
            }
            ledger.push_back(dropped);
        }
    }

    /// Counts drops without an entry each: publishes that nobody subscribes to are no loss.
    pub(crate) fn count(&self, reason: DropReason, messages: u64) {
        self.counts[reason as usize].fetch_add(messages, Ordering::Relaxed);
    }

    /// How many messages were dropped for a reason.
    #[must_use]
    pub fn total(&self, reason: DropReason) -> u64 {
        self.counts[reason as usize].load(Ordering::Relaxed)
    }

    /// How many for each reason, in the order of [`DropReason::ALL`].
    pub(crate) fn totals(&self) -> [u64; DropReason::ALL.len()] {
        std::array::from_fn(|row| self.total(DropReason::ALL[row]))
    }

    /// The latest drops, oldest first.
    #[must_use]
    pub fn latest(&self) -> Vec<Dropped> {
        self.ledger.lock().iter().cloned().collect()
    }
}
