//! Every message that did not arrive: counted by reason, and the latest of them by name.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use avocet_mqtt::QoS;
use avocet_session::DropReason;
use parking_lot::Mutex;

/// How many of the latest drops are kept.
const LEDGER_MAX: usize = 4096;
/// How many of those that nobody wanted. They have a place of their own, so that they do not push
/// out what somebody has lost.
const UNWANTED_MAX: usize = 1024;
/// Bytes of a topic that are kept.
const TOPIC_BYTES_MAX: usize = 256;

/// A dropped message, or several of one kind.
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
    /// How many: messages to one topic that came together and that nobody subscribes to are one
    /// entry.
    pub messages: u64,
}

/// The one place where drops are noted.
#[derive(Debug)]
pub struct Drops {
    counts: Vec<AtomicU64>,
    /// Those of them that somebody has lost, by QoS.
    lost_by_qos: [AtomicU64; 3],
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    lost: VecDeque<Dropped>,
    unwanted: VecDeque<Dropped>,
}

impl Default for Drops {
    fn default() -> Self {
        let counts = DropReason::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self { counts, lost_by_qos: Default::default(), ledger: Mutex::default() }
    }
}

impl Drops {
    /// Notes a drop.
    pub(crate) fn note(&self, client_id: &str, topic: &str, qos: QoS, reason: DropReason) {
        self.note_all(client_id, topic, qos, reason, 1);
    }

    /// Notes several messages of one client and topic.
    pub(crate) fn note_all(
        &self,
        client_id: &str,
        topic: &str,
        qos: QoS,
        reason: DropReason,
        messages: u64,
    ) {
        self.counts[reason as usize].fetch_add(messages, Ordering::Relaxed);
        if reason != DropReason::NoSubscribers {
            self.lost_by_qos[usize::from(qos.bits())].fetch_add(messages, Ordering::Relaxed);
        }
        // A flood of drops must not become a queue for the ledger: what finds it busy is counted.
        let Some(mut ledger) = self.ledger.try_lock() else { return };
        let (entries, max) = if reason == DropReason::NoSubscribers {
            (&mut ledger.unwanted, UNWANTED_MAX)
        } else {
            (&mut ledger.lost, LEDGER_MAX)
        };
        if entries.len() == max {
            entries.pop_front();
        }
        entries.push_back(Dropped {
            at: SystemTime::now(),
            client_id: Box::from(client_id),
            topic: Box::from(&topic[..topic.floor_char_boundary(TOPIC_BYTES_MAX)]),
            reason,
            messages,
        });
    }

    /// How many messages were dropped for a reason.
    #[must_use]
    pub fn total(&self, reason: DropReason) -> u64 {
        self.counts[reason as usize].load(Ordering::Relaxed)
    }

    /// How many messages of a QoS were dropped, for all reasons but [`DropReason::NoSubscribers`].
    /// It is the QoS that the receiver would have got, or the publisher's if there was none.
    #[must_use]
    pub fn total_with(&self, qos: QoS) -> u64 {
        self.lost_by_qos[usize::from(qos.bits())].load(Ordering::Relaxed)
    }

    /// How many for each reason, in the order of [`DropReason::ALL`].
    pub(crate) fn totals(&self) -> [u64; DropReason::ALL.len()] {
        std::array::from_fn(|row| self.total(DropReason::ALL[row]))
    }

    /// The latest drops, oldest first.
    #[must_use]
    pub fn latest(&self) -> Vec<Dropped> {
        let ledger = self.ledger.lock();
        let mut latest: Vec<_> = ledger.lost.iter().chain(&ledger.unwanted).cloned().collect();
        latest.sort_by_key(|dropped| dropped.at);
        latest
    }
}

#[cfg(test)]
mod tests;
