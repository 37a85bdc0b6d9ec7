//! The session itself: what it holds, and how a connection comes to it and leaves it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use avocet_mqtt::{
    Disconnect, Packet, PacketId, ProtocolVersion, ReasonCode, Suback, Subscribe, Unsuback,
    UserProperties, Will, codec,
};

use crate::{
    Admission, CloseReason, DropReason, Limits, Mountpoint, Outlet, Undelivered,
    alias::{InboundAliases, OutboundAliases},
    answer::Answers,
    connection::{Connection, Phase},
    inflight::Inflight,
    outbox::Outbox,
    received::Received,
    seldom::Seldom,
    stored::Stored,
    subscriptions::{Held, Subscriptions},
};

/// One client's session. It is there from the first CONNECT until it expires, with or without a
/// connection ([MQTT3-3.1.2-4], [MQTT5-4.1.0-1]).
#[derive(Debug)]
pub struct Session {
    pub(crate) client_id: Arc<str>,
    pub(crate) limits: Arc<Limits>,
    /// Seconds to live without a connection; `u32::MAX` = for ever.
    pub(crate) expiry_interval: u32,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) inflight: Seldom<Inflight>,
    pub(crate) received: Seldom<Received>,
    pub(crate) outbox: Seldom<Outbox>,
    pub(crate) connection: Option<Box<Connection>>,
    /// If a store keeps it.
    pub(crate) stored: Option<Box<Stored>>,
}

/// What a connection left behind.
#[derive(Debug)]
pub struct Detached {
    /// To be published, when its delay is over or the session ends, whichever is first.
    pub will: Option<Box<Will>>,
    /// How long the session lives on: `None` = for ever, zero = it ends now.
    pub expires_after: Option<Duration>,
    /// Messages of shared subscriptions that another member should get.
    pub undelivered: Vec<Undelivered>,
}

impl Session {
    /// A session without a connection.
    #[must_use]
    pub fn new(client_id: Arc<str>, limits: Arc<Limits>) -> Self {
        Self {
            client_id,
            limits,
            expiry_interval: 0,
            subscriptions: Subscriptions::default(),
            inflight: Seldom::default(),
            received: Seldom::default(),
            outbox: Seldom::default(),
            connection: None,
            stored: None,
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn client_id(&self) -> &Arc<str> {
        &self.client_id
    }

    /// Whether a connection is attached.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Whether a connection is attached that neither side has closed: messages may be sent to it.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.is_open())
    }

    /// Whether it ends with its connection.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.expiry_interval == 0
    }

    /// The version of the attached connection.
    #[must_use]
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.connection.as_ref().map(|connection| connection.version)
    }

    /// Whether the connection is another broker's bridge.
    #[must_use]
    pub fn is_bridge(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.bridge)
    }

    /// The part of the topic tree that the client of the attached connection lives in.
    #[inline]
    #[must_use]
    pub fn mountpoint(&self) -> Option<&Mountpoint> {
        self.connection.as_ref()?.mountpoint.as_deref()
    }

    /// How long the client may be silent: one and a half times its keep alive.
    #[must_use]
    pub fn silence_max(&self) -> Option<Duration> {
        let keep_alive = self.connection.as_ref()?.keep_alive;
        (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1500))
    }

    /// The filters subscribed, as they were sent or mounted.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        self.subscriptions.iter().map(|(filter, _)| filter)
    }

    /// How long it lives without a connection, in seconds; `u32::MAX` = for ever.
    #[must_use]
    pub fn expiry_interval(&self) -> u32 {
        self.expiry_interval
    }

    /// The will of the attached connection.
    #[must_use]
    pub fn will(&self) -> Option<&Will> {
        self.connection.as_ref()?.will.as_deref()
    }

    /// Messages of QoS 1 and 2 that the broker has not answered.
    #[inline]
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.connection.as_ref().map_or(0, |connection| connection.answers.unanswered())
    }

    /// Something that the client has sent is about to be stored, and is not answered before, or not
    /// at all: a subscription, or a retained message of QoS 0.
    pub fn note_to_store(&mut self) {
        self.connection.iter_mut().for_each(|connection| connection.answers.to_store += 1);
    }

    /// It is stored, or refused.
    pub fn note_stored(&mut self) {
        if let Some(connection) = &mut self.connection {
            // It may have come on an earlier connection.
            connection.answers.to_store = connection.answers.to_store.saturating_sub(1);
        }
    }

    /// Whether so much of what came is not done that no more is taken. A client of 5.0 knows how
    /// many messages of QoS 1 and 2 it may send.
    #[inline]
    #[must_use]
    pub fn has_too_much_unanswered(&self) -> bool {
        let Some(connection) = &self.connection else { return false };
        let most = u64::from(self.limits.receive_maximum.get());
        connection.answers.to_store >= most
            || (connection.version < ProtocolVersion::V5 && connection.answers.unanswered() >= most)
    }

    /// Whether this filter is subscribed.
    #[must_use]
    pub fn is_subscribed(&self, filter: &str) -> bool {
        self.subscriptions.contains(filter)
    }

    /// Whether anything is subscribed.
    #[must_use]
    pub fn has_subscriptions(&self) -> bool {
        self.subscriptions.len() > 0
    }

    /// Whether one more filter would be too many, `added` not yet told to the session included.
    #[must_use]
    pub fn subscriptions_full(&self, added: usize) -> bool {
        self.subscriptions.len() + added >= self.limits.subscriptions_max
    }

    /// Messages and bytes that wait.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        (self.outbox.len(), self.outbox.bytes())
    }

    /// Whether there is anything that [`pump`](Self::pump) might write.
    #[inline]
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.outbox.is_empty()
            || self.inflight.has_unsent()
            || self.stored.as_ref().is_some_and(|stored| stored.wants(0))
    }

    /// QoS 1 and 2 messages sent and not acknowledged.
    #[must_use]
    pub fn inflight(&self) -> usize {
        self.inflight.len()
    }

    /// Takes a connection on: answers its CONNECT, then sends again what was not acknowledged
    /// ([MQTT3-4.4.0-1], [MQTT5-4.4.0-1]) and what waited.
    pub fn attach<O: Outlet>(
        &mut self,
        admission: Admission,
        session_present: bool,
        now: Instant,
        out: &mut O,
    ) {
        debug_assert!(self.connection.is_none(), "the will of the last connection would be lost");
        let connack = admission.connack(session_present, &self.limits);
        let connect = admission.connect;
        let inflight_max = self.limits.inflight_max.get();
        self.expiry_interval = admission.expiry_interval;
        self.end_exchanges();
        self.keep_shared();
        self.connection = Some(Box::new(Connection {
            version: connect.version,
            bridge: connect.bridge,
            // [MQTT5-4.9.0-1]
            window: connect.receive_maximum.map_or(u16::MAX, |n| n.get()).min(inflight_max),
            packet_bytes_max: connect.maximum_packet_size,
            problem_information: connect.request_problem_information,
            keep_alive: admission.keep_alive,
            // [MQTT5-3.3.2-7]
            inbound_aliases: InboundAliases::new(self.limits.topic_alias_maximum),
            outbound_aliases: OutboundAliases::new(
                connect.topic_alias_maximum.min(self.limits.outbound_topic_alias_maximum),
            ),
            answers: Answers::default(),
            authentication_method: connect.authentication_method.map(Into::into),
            // [MQTT5-3.1.2-7]
            will: connect.will.map(Box::new),
            mountpoint: admission.mountpoint,
            outlives: connect.session_expiry_interval.is_some_and(|asked| asked > 0),
            phase: Phase::Open,
        }));
        // [MQTT3-3.1.4-4] [MQTT5-3.1.4-5] [MQTT3-3.2.0-1]
        self.send_fitting(Packet::Connack(Box::new(connack)), out);
        if !self.limits.queue_qos0 {
            let waiting = self.outbox.held().map(|outbox| outbox.drain_qos0(&self.limits));
            for (_, waiting) in waiting.into_iter().flatten() {
                out.dropped(waiting.message.topic(), waiting.qos, DropReason::Offline);
            }
        }
        self.pump(now, out);
    }

    /// The connection is gone. Tells what follows from it.
    pub fn detach(&mut self) -> Detached {
        let will = self.connection.take().and_then(|mut connection| connection.will.take());
        self.end_exchanges();
        if let Some(outbox) = self.outbox.held() {
            outbox.shrink();
        }
        let expires_after = match self.expiry_interval {
            u32::MAX => None,
            seconds => Some(Duration::from_secs(u64::from(seconds))),
        };
        let undelivered = self.take_shared();
        self.unload();
        Detached { will, expires_after, undelivered }
    }

    /// What is exchanged with a connection ends with it.
    fn end_exchanges(&mut self) {
        if let Some(inflight) = self.inflight.held() {
            inflight.disconnected();
        }
        if let Some(received) = self.received.held() {
            received.disconnected(self.stored.is_some());
        }
    }

    /// The session is over. Gives back what another member of a shared subscription should get;
    /// all else that waited is dropped.
    pub fn end<O: Outlet>(&mut self, out: &mut O) -> Vec<Undelivered> {
        let undelivered = self.take_shared();
        self.drop_waiting(out);
        if let Some(inflight) = self.inflight.held() {
            inflight.charge(&self.limits);
        }
        self.subscriptions = Subscriptions::default();
        self.received = Seldom::default();
        undelivered
    }

    /// Notes what the broker did with a SUBSCRIBE, and answers it.
    pub fn handle_subscribed<O: Outlet>(
        &mut self,
        request: &Subscribe,
        results: &[ReasonCode],
        out: &mut O,
    ) {
        self.note_subscribed(request, results);
        self.answer_subscribe(request, results, out);
    }

    /// Notes what the broker did with a SUBSCRIBE.
    pub(crate) fn note_subscribed(&mut self, request: &Subscribe, results: &[ReasonCode]) {
        for (subscription, reason) in request.subscriptions.iter().zip(results) {
            if !reason.is_error() {
                let held = Held {
                    options: subscription.options,
                    identifier: request.subscription_identifier,
                };
                self.subscriptions.insert(&subscription.filter, held);
            }
        }
    }

    /// Answers a SUBSCRIBE ([MQTT3-3.8.4-1], [MQTT5-3.8.4-1]).
    pub fn answer_subscribe<O: Outlet>(
        &mut self,
        request: &Subscribe,
        results: &[ReasonCode],
        out: &mut O,
    ) {
        let suback = Suback {
            // [MQTT3-2.3.1-7] [MQTT5-2.2.1-6] [MQTT3-3.8.4-2] [MQTT5-3.8.4-2]
            packet_id: request.packet_id,
            reason_string: self.explain(results).map(Into::into),
            user_properties: UserProperties::default(),
            // [MQTT3-3.9.3-1] [MQTT5-3.9.3-1]
            reasons: results.to_vec(),
        };
        self.send_fitting(Packet::Suback(suback), out);
    }

    /// Answers an UNSUBSCRIBE ([MQTT3-3.10.4-4], [MQTT5-3.10.4-4]).
    pub fn handle_unsubscribed<O: Outlet>(
        &mut self,
        packet_id: PacketId,
        reasons: Vec<ReasonCode>,
        out: &mut O,
    ) {
        // [MQTT3-2.3.1-7] [MQTT5-2.2.1-6] [MQTT5-3.10.4-5]
        let unsuback = Unsuback {
            packet_id,
            reason_string: self.explain(&reasons).map(Into::into),
            user_properties: UserProperties::default(),
            reasons,
        };
        self.send_fitting(Packet::Unsuback(unsuback), out);
    }

    /// Forgets a subscription. False if there was none.
    pub fn forget(&mut self, filter: &str) -> bool {
        self.stored.iter_mut().for_each(|stored| stored.forget_asked(filter));
        // What is in flight stays there: [MQTT3-3.10.4-3] [MQTT5-3.10.4-3]
        self.subscriptions.remove(filter)
    }

    /// Ends the connection from our side: 5.0 is told why ([MQTT5-4.13.1-1]), 3.1.1 has no word
    /// for it. `None` if it is ending already.
    pub fn close<O: Outlet>(
        &mut self,
        reason: ReasonCode,
        detail: &'static str,
        out: &mut O,
    ) -> Option<CloseReason> {
        let connection = self.connection.as_ref().filter(|connection| connection.is_open())?;
        if connection.version >= ProtocolVersion::V5 {
            // [MQTT5-3.14.2-2]
            let mut disconnect = Disconnect::new(reason);
            disconnect.reason_string = Some(detail.to_owned());
            self.send_fitting(Packet::Disconnect(Box::new(disconnect)), out);
        }
        // [MQTT3-4.8.0-1] [MQTT5-4.13.2-1]
        self.connection.as_mut()?.phase = Phase::ServerClosed;
        Some(CloseReason::Server { reason, detail })
    }

    /// The Reason String for an answer with these codes, if one is an error and the client wishes
    /// to be told more ([MQTT5-3.1.2-29]).
    pub(crate) fn explain(&self, reasons: &[ReasonCode]) -> Option<&'static str> {
        self.connection.as_ref().filter(|connection| connection.problem_information)?;
        reasons.iter().find(|reason| reason.is_error()).map(|reason| reason.text())
    }

    /// Sends a packet within the client's Maximum Packet Size: the user properties go first, then
    /// the reason string, then the packet ([MQTT5-3.1.2-24]).
    pub(crate) fn send_fitting<O: Outlet>(&self, mut packet: Packet<'_>, out: &mut O) {
        let Some(connection) = &self.connection else { return };
        if connection.phase == Phase::ServerClosed {
            return;
        }
        let version = connection.version;
        if let Some(max) = connection.packet_bytes_max() {
            let mut extras = [Extra::UserProperties, Extra::ReasonString].into_iter();
            while codec::encoded_len(version, &packet) > max {
                let Some(extra) = extras.next() else { return };
                extra.strip(&mut packet);
            }
        }
        // Whatever the window: [MQTT5-3.3.4-10] [MQTT5-4.9.0-3]
        out.send(&packet);
    }
}

/// The budget is the node's: a session that is dropped without an end must not keep its share.
impl Drop for Session {
    fn drop(&mut self) {
        if let Some(inflight) = self.inflight.held() {
            inflight.uncharge(&self.limits);
        }
        if let Some(outbox) = self.outbox.held() {
            outbox.clear(&self.limits);
        }
    }
}

/// What need not be said, in the order in which it is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extra {
    UserProperties,
    ReasonString,
}

impl Extra {
    fn leave_out<T>(self, reason_string: &mut Option<T>, user_properties: &mut UserProperties) {
        match self {
            Self::UserProperties => *user_properties = UserProperties::default(),
            Self::ReasonString => *reason_string = None,
        }
    }

    /// Takes it from a packet, if a packet of its kind has it.
    fn strip(self, packet: &mut Packet<'_>) {
        match packet {
            // [MQTT5-3.2.2-19] [MQTT5-3.2.2-20]
            Packet::Connack(p) => self.leave_out(&mut p.reason_string, &mut p.user_properties),
            // [MQTT5-3.4.2-2] [MQTT5-3.4.2-3] [MQTT5-3.5.2-2] [MQTT5-3.5.2-3]
            // [MQTT5-3.6.2-2] [MQTT5-3.6.2-3] [MQTT5-3.7.2-2] [MQTT5-3.7.2-3]
            Packet::Puback(p) | Packet::Pubrec(p) | Packet::Pubrel(p) | Packet::Pubcomp(p) => {
                self.leave_out(&mut p.reason_string, &mut p.user_properties);
            }
            // [MQTT5-3.9.2-1] [MQTT5-3.9.2-2]
            Packet::Suback(p) => self.leave_out(&mut p.reason_string, &mut p.user_properties),
            // [MQTT5-3.11.2-1] [MQTT5-3.11.2-2]
            Packet::Unsuback(p) => self.leave_out(&mut p.reason_string, &mut p.user_properties),
            // [MQTT5-3.14.2-3] [MQTT5-3.14.2-4]
            Packet::Disconnect(p) => self.leave_out(&mut p.reason_string, &mut p.user_properties),
            Packet::Auth(p) => self.leave_out(&mut p.reason_string, &mut p.user_properties),
            Packet::Connect(_)
            | Packet::Publish(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Pingreq
            | Packet::Pingresp => {}
        }
    }
}
