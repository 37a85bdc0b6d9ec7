//! What the broker counts, and what it is called outside.
//!
//! Packets and messages are counted in a [`Tally`] that belongs to a turn, and added here when the
//! turn's output is flushed: no atomic for each message.

mod table;

use std::{
    ops::{Deref, RangeInclusive},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use avocet_mqtt::{AckKind, Packet, QoS, ReasonCode};
use avocet_net::Layer;
use avocet_storage::store::{Figures, Store};

use self::table::{ENDED, MISSED, PACKETS_RECEIVED, PACKETS_SENT, QOS, REASON, metrics};
pub use self::table::{Metric, MetricKind};
use crate::{broker::Shared, keeper::Keeper};

/// Control packet types, by the number in the fixed header.
pub(crate) const KINDS: usize = 16;
/// The number of PUBLISH.
const PUBLISH: usize = 3;
/// The numbers of PUBACK, PUBREC, PUBREL and PUBCOMP.
pub(crate) const ACKNOWLEDGEMENTS: RangeInclusive<usize> = 4..=7;
/// The number of DISCONNECT.
pub(crate) const DISCONNECT: usize = 14;

/// The control packets: number in the fixed header, name, whether clients send it, and the broker.
pub(crate) const PACKETS: [(usize, &str, bool, bool); 15] = [
    (1, "connect", true, false),
    (2, "connack", false, true),
    (3, "publish", true, true),
    (4, "puback", true, true),
    (5, "pubrec", true, true),
    (6, "pubrel", true, true),
    (7, "pubcomp", true, true),
    (8, "subscribe", true, false),
    (9, "suback", false, true),
    (10, "unsubscribe", true, false),
    (11, "unsuback", false, true),
    (12, "pingreq", true, false),
    (13, "pingresp", false, true),
    (14, "disconnect", true, true),
    (15, "auth", true, true),
];

metrics! {
    counted {
        /// Connections accepted since the start.
        pub(crate) connections_accepted: Counter,
        /// Connections closed at once because a listener was full.
        pub(crate) connections_refused: Counter,
        /// Connections open now.
        pub(crate) connections: Gauge,
        /// Connections ended, by the reason code with which the broker ended them, or else by what
        /// did.
        connections_ended: Counter by ENDED,
        /// Connections ended by a bug of ours.
        pub(crate) connections_panicked: Counter,
        /// Sessions kept now, with or without a connection.
        pub(crate) sessions: Gauge,
        /// Sessions that have a subscription now.
        pub(crate) subscribers: Gauge,
        /// Connections closed because of a malformed packet.
        pub(crate) packets_malformed: Counter,
        /// Connections ended because the client was silent for too long.
        pub(crate) keep_alive_timeouts: Counter,
        /// Ticks of a shard, two a second, that came late by 240 ms or more.
        pub(crate) shard_stalls: Counter,
        /// Bytes read from clients.
        bytes_received: Counter,
        /// Bytes written to clients.
        bytes_sent: Counter,
        /// Packets read, by type.
        packets_received: Counter by PACKETS_RECEIVED,
        /// Packets written, by type.
        packets_sent: Counter by PACKETS_SENT,
        /// Acknowledgements read that fit no message, by type.
        packets_missed: Counter by MISSED,
        /// Messages published by clients, by QoS.
        messages_received: Counter by QOS,
        /// Messages delivered to clients, by QoS.
        messages_sent: Counter by QOS,
    }
    looked_up {
        /// Messages that did not reach a receiver, by reason.
        messages_dropped: Counter by REASON = |shared| shared.drops.totals(),
        /// Subscriptions now: pairs of session and filter.
        subscriptions: Gauge = |shared| shared.router.stats().subscriptions as u64,
        /// Different filters now.
        filters: Gauge = |shared| shared.router.stats().filters as u64,
        /// Retained messages now, those of $SYS not counted.
        retained_messages: Gauge = |shared| shared.retained.len() as u64,
        /// Bytes of all retained messages.
        retained_bytes: Gauge = |shared| shared.retained.bytes(),
        /// Messages that wait for their $delayed time.
        delayed_messages: Gauge = |shared| shared.timers.delayed().0 as u64,
        /// Bytes of all delayed messages.
        delayed_bytes: Gauge = |shared| shared.timers.delayed().1 as u64,
        /// Bytes in memory that wait in all sessions' queues.
        queue_bytes: Gauge = |shared| shared.limits.budget.used(),
        /// Messages that wait in the store, each counted for each of its sessions.
        store_messages: Gauge = |shared| shared.figures.queued.messages as u64,
        /// Bytes of these messages.
        store_message_bytes: Gauge = |shared| shared.figures.queued.bytes,
        /// Bytes of the store's log.
        store_log_bytes: Gauge = |shared| shared.figures.log_bytes,
        /// Of these, bytes that are still needed, about: the rest is given back.
        store_needed_bytes: Gauge = |shared| shared.figures.needed_bytes,
        /// Groups that were stored, each with a write, and a sync unless durability is os.
        store_commits: Counter = |shared| shared.figures.commits,
        /// Microseconds that storing them took.
        store_commit_microseconds: Counter = |shared| micros(shared.figures.commit_time),
        /// Records of the store that could not be read: what they said is lost.
        store_records_unreadable: Counter = |shared| {
            shared.keeper.as_ref().map_or(0, |keeper| keeper.store().unreadable())
        },
        /// Alarms now.
        alarms: Gauge = |shared| shared.alarms.len() as u64,
    }
}

/// What is looked at for one snapshot: of the store once.
struct Seen<'s> {
    shared: &'s Shared,
    figures: Figures,
}

impl<'s> Seen<'s> {
    fn of(shared: &'s Shared) -> Self {
        let store = shared.keeper.as_ref().map(Keeper::store);
        Self { shared, figures: store.map_or_else(Figures::default, Store::figures) }
    }
}

impl Deref for Seen<'_> {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        self.shared
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Ends of connections that have no reason code, behind those that have.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(crate) enum End {
    /// DISCONNECT from the client.
    ClientLeft = 256,
    /// The client went away without a word, or the network.
    Lost,
    /// No whole CONNECT within the listener's time.
    NoConnect,
    /// Bytes that are no PROXY header where one was expected.
    BadProxyHeader,
    /// A handshake or a record that TLS does not take.
    TlsFailed,
    /// A request or a frame that WebSocket does not take.
    WebSocketFailed,
    /// A QUIC connection that came to nothing.
    QuicFailed,
}

impl From<Layer> for End {
    fn from(layer: Layer) -> Self {
        match layer {
            Layer::Proxy => Self::BadProxyHeader,
            Layer::Tls => Self::TlsFailed,
            Layer::WebSocket => Self::WebSocketFailed,
            Layer::Quic => Self::QuicFailed,
        }
    }
}

/// How many ends there are.
pub(crate) const ENDS: usize = End::QuicFailed as usize + 1;

impl Metrics {
    /// The broker has ended a connection.
    pub(crate) fn ended(&self, reason: ReasonCode) {
        Self::add(&self.connections_ended[usize::from(reason.byte())], 1);
    }

    /// Something else has.
    pub(crate) fn ended_by(&self, end: End) {
        Self::add(&self.connections_ended[end as usize], 1);
    }
}

/// What one turn counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) packets_received: [u64; KINDS],
    packets_sent: [u64; KINDS],
    packets_missed: [u64; KINDS],
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

    #[cold]
    pub(crate) fn ack_missed(&mut self, kind: AckKind) {
        self.packets_missed[usize::from(kind.number())] += 1;
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

    pub(crate) fn connections_now(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// A session had a subscription or none before, and has one or none now. Called under its lock.
    pub(crate) fn note_subscriber(&self, before: bool, now: bool) {
        match (before, now) {
            (false, true) => self.subscribers.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.subscribers.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => return,
        };
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
        each(&self.packets_missed, &tally.packets_missed);
        each(&self.messages_received, &tally.messages_received);
        each(&self.messages_sent, &tally.messages_sent);
        *tally = Tally::default();
    }
}
