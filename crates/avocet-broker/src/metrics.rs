//! What the broker counts.
//!
//! Packets and messages are counted in a [`Tally`] that belongs to a turn, and added here when the
//! turn's output is flushed: no atomic for each message.

use std::sync::atomic::{AtomicU64, Ordering};

use avocet_mqtt::{AckKind, Packet, QoS};

/// Control packet types, by the number in the fixed header.
pub(crate) const KINDS: usize = 16;
/// The number of PUBLISH.
const PUBLISH: usize = 3;

/// Counters of the whole node.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) connections_accepted: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) connections_panicked: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) packets_malformed: AtomicU64,
    pub(crate) keep_alive_timeouts: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    packets_received: [AtomicU64; KINDS],
    packets_sent: [AtomicU64; KINDS],
    messages_received: [AtomicU64; 3],
    messages_sent: [AtomicU64; 3],
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// Connections accepted since the start.
    pub connections_accepted: u64,
    /// Connections closed at once because a listener was full.
    pub connections_refused: u64,
    /// Connections open now.
    pub connections: u64,
    /// Connections ended by a bug of ours.
    pub connections_panicked: u64,
    /// Sessions kept now, with or without a connection.
    pub sessions: u64,
    /// Connections closed because of a malformed packet.
    pub packets_malformed: u64,
    /// Connections ended because the client was silent for too long.
    pub keep_alive_timeouts: u64,
    /// Bytes read from clients.
    pub bytes_received: u64,
    /// Bytes written to clients.
    pub bytes_sent: u64,
    /// Packets read, by the type's number in the fixed header.
    pub packets_received: [u64; KINDS],
    /// Packets written, by the type's number in the fixed header.
    pub packets_sent: [u64; KINDS],
    /// Messages published by clients, by QoS.
    pub messages_received: [u64; 3],
    /// Messages delivered to clients, by QoS.
    pub messages_sent: [u64; 3],
}

/// What one turn counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) packets_received: [u64; KINDS],
    packets_sent: [u64; KINDS],
    messages_received: [u64; 3],
    messages_sent: [u64; 3],
}

impl Tally {
    #[inline]
    pub(crate) fn publishes_received(&mut self, qos: QoS, count: usize) {
        self.messages_received[usize::from(qos.bits())] += count as u64;
    }

    #[inline]
    pub(crate) fn publishes_sent(&mut self, qos: QoS, count: usize) {
        self.packets_sent[PUBLISH] += count as u64;
        self.messages_sent[usize::from(qos.bits())] += count as u64;
    }

    #[inline]
    pub(crate) fn acks_sent(&mut self, kind: AckKind, count: usize) {
        self.packets_sent[usize::from(kind.number())] += count as u64;
    }

    pub(crate) fn packet_sent(&mut self, packet: &Packet<'_>) {
        let kind = match packet {
            Packet::Connect(_) => 1,
            Packet::Connack(_) => 2,
            Packet::Publish(publish) => return self.publishes_sent(publish.qos, 1),
            Packet::Puback(_) => 4,
            Packet::Pubrec(_) => 5,
            Packet::Pubrel(_) => 6,
            Packet::Pubcomp(_) => 7,
            Packet::Subscribe(_) => 8,
            Packet::Suback(_) => 9,
            Packet::Unsubscribe(_) => 10,
            Packet::Unsuback(_) => 11,
            Packet::Pingreq => 12,
            Packet::Pingresp => 13,
            Packet::Disconnect(_) => 14,
            Packet::Auth(_) => 15,
        };
        self.packets_sent[kind] += 1;
    }
}

impl Metrics {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        if count > 0 {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Adds what a turn counted, and empties its tally.
    pub(crate) fn take(&self, tally: &mut Tally) {
        let each = |counters: &[AtomicU64], counts: &[u64]| {
            for (counter, count) in counters.iter().zip(counts) {
                Self::add(counter, *count);
            }
        };
        Self::add(&self.bytes_received, tally.bytes_received);
        Self::add(&self.bytes_sent, tally.bytes_sent);
        each(&self.packets_received, &tally.packets_received);
        each(&self.packets_sent, &tally.packets_sent);
        each(&self.messages_received, &tally.messages_received);
        each(&self.messages_sent, &tally.messages_sent);
        *tally = Tally::default();
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> MetricsSnapshot {
        let one = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MetricsSnapshot {
            connections_accepted: one(&self.connections_accepted),
            connections_refused: one(&self.connections_refused),
            connections: one(&self.connections),
            connections_panicked: one(&self.connections_panicked),
            sessions: one(&self.sessions),
            packets_malformed: one(&self.packets_malformed),
            keep_alive_timeouts: one(&self.keep_alive_timeouts),
            bytes_received: one(&self.bytes_received),
            bytes_sent: one(&self.bytes_sent),
            packets_received: self.packets_received.each_ref().map(one),
            packets_sent: self.packets_sent.each_ref().map(one),
            messages_received: self.messages_received.each_ref().map(one),
            messages_sent: self.messages_sent.each_ref().map(one),
        }
    }
}
