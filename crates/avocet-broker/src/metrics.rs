//! What the broker counts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::output::Tally;

macro_rules! metrics {
    ($($(#[doc = $help:literal])* $name:ident;)*) => {
        /// Counters of the whole node. Shards add to them once for a batch, not for a message.
        #[derive(Debug, Default)]
        pub struct Metrics { $($(#[doc = $help])* pub(crate) $name: AtomicU64,)* }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct MetricsSnapshot { $($(#[doc = $help])* pub $name: u64,)* }

        impl Metrics {
            /// The counters now.
            #[must_use]
            pub fn snapshot(&self) -> MetricsSnapshot {
                MetricsSnapshot { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

metrics! {
    /// Connections accepted.
    connections_accepted;
    /// Connections closed because a listener was full.
    connections_refused;
    /// Connections open now.
    connections;
    /// Sessions kept now, with or without a connection.
    sessions;
    /// Bytes read from clients.
    bytes_received;
    /// Bytes written to clients.
    bytes_sent;
    /// Packets read from clients.
    packets_received;
    /// Packets written to clients.
    packets_sent;
    /// Application messages published by clients.
    messages_received;
    /// Application messages delivered to clients.
    messages_sent;
    /// Connections closed because of a malformed packet.
    packets_malformed;
    /// Connections ended by a bug of ours.
    connections_panicked;
    /// Connections ended because the client was silent for too long.
    keep_alive_timeouts;
}

impl Metrics {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        if count > 0 {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn sent(&self, tally: Tally) {
        Self::add(&self.packets_sent, tally.packets.into());
        Self::add(&self.messages_sent, tally.messages.into());
        Self::add(&self.bytes_sent, tally.bytes);
    }
}
