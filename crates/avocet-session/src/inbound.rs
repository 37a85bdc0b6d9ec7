//! What comes from the client.

use std::{iter::once, num::NonZeroU16, time::Instant};

use avocet_mqtt::{
    AckKind, Disconnect, Frame, Frames, Packet, PacketId, ProtocolVersion, Publish, QoS,
    ReasonCode, Run, Subscribe, Transit, message::TopicName,
};

use crate::{
    Action, Actions, CloseReason, DropReason, Inbound, Messages, Outlet, QueueFull, Session,
    alias::InvalidAlias, connection::Phase, received::Arrival,
};

/// A client's mistake that ends its connection.
pub(crate) struct Violation(ReasonCode, &'static str);

impl Session {
    /// Takes a packet from the client. What only the broker can do is added to `actions`.
    pub fn handle_packet<'a, O: Outlet>(
        &mut self,
        packet: Packet<'a>,
        now: Instant,
        actions: &mut Actions<'a>,
        out: &mut O,
    ) {
        if !self.is_open() {
            return;
        }
        let handled = match packet {
            Packet::Publish(publish) => self.take_publish(&publish, &[], now, actions, out),
            Packet::Puback(ack) => self.handle_pubacks(once(ack.packet_id), now, out),
            Packet::Pubrec(ack) if ack.reason.is_error() => {
                self.handle_pubrec_error(ack.packet_id, now, out);
                Ok(())
            }
            Packet::Pubrec(ack) => self.handle_pubrecs(once(ack.packet_id), out),
            Packet::Pubrel(ack) => {
                self.handle_pubrels(once(ack.packet_id), out);
                Ok(())
            }
            Packet::Pubcomp(ack) => self.handle_pubcomps(once(ack.packet_id), now, out),
            Packet::Subscribe(subscribe) => self.handle_subscribe(subscribe, actions),
            Packet::Unsubscribe(unsubscribe) => {
                actions.then = Some(Action::Unsubscribe(unsubscribe));
                Ok(())
            }
            Packet::Pingreq => {
                out.send(&Packet::Pingresp); // [MQTT3-3.12.4-1] [MQTT5-3.12.4-1]
                Ok(())
            }
            Packet::Disconnect(disconnect) => self.handle_disconnect(&disconnect, actions),
            Packet::Auth(auth) => match self.authentication_method() {
                Some(method) if auth.authentication_method.as_deref() == Some(method) => {
                    actions.then = Some(Action::Authenticate(auth));
                    Ok(())
                }
                Some(_) => violation("AUTH with another method than CONNECT"), // [MQTT5-4.12.1-1]
                // [MQTT5-4.12.0-7]
                None => violation("AUTH without a method in CONNECT"), // [MQTT5-4.12.0-6]
            },
            // [MQTT5-3.2.0-2]
            // [MQTT3-3.1.0-2] [MQTT5-3.1.0-2]
            Packet::Connect(_) => violation("a second CONNECT"),
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {
                violation("a packet that only a server sends")
            }
        };
        self.mind(handled, actions, out);
    }

    /// [`handle_packet`](Self::handle_packet) for a PUBLISH. `bytes` begin with it and go on with
    /// what was read behind it: it may go on as it came, and so may those that follow.
    #[inline(always)]
    pub(crate) fn handle_publish<'a, O: Outlet>(
        &mut self,
        publish: &Publish<'a>,
        bytes: &'a [u8],
        now: Instant,
        actions: &mut Actions<'a>,
        out: &mut O,
    ) {
        if self.is_open() {
            let handled = self.take_publish(publish, bytes, now, actions, out);
            self.mind(handled, actions, out);
        }
    }

    /// [`handle_packet`](Self::handle_packet) for acknowledgements that say no more than success,
    /// in a row.
    #[inline(always)]
    pub(crate) fn handle_ack_row<O: Outlet>(
        &mut self,
        kind: AckKind,
        ids: impl Iterator<Item = PacketId>,
        now: Instant,
        actions: &mut Actions<'_>,
        out: &mut O,
    ) {
        if self.is_open() {
            let handled = self.handle_acks(kind, ids, now, out);
            self.mind(handled, actions, out);
        }
    }

    #[inline(always)]
    fn mind<O: Outlet>(
        &mut self,
        handled: Result<(), Violation>,
        actions: &mut Actions<'_>,
        out: &mut O,
    ) {
        if let Err(violation) = handled {
            self.handle_violation(&violation, actions, out);
        }
    }

    #[cold]
    fn handle_violation<O: Outlet>(
        &mut self,
        violation: &Violation,
        actions: &mut Actions<'_>,
        out: &mut O,
    ) {
        if let Some(close) = self.close(violation.0, violation.1, out) {
            actions.then = Some(Action::Close(close));
        }
    }

    fn authentication_method(&self) -> Option<&str> {
        self.connection.as_ref()?.authentication_method.as_deref()
    }

    #[inline(always)]
    fn take_publish<'a, O: Outlet>(
        &mut self,
        publish: &Publish<'a>,
        bytes: &'a [u8],
        now: Instant,
        actions: &mut Actions<'a>,
        out: &mut O,
    ) -> Result<(), Violation> {
        let topic = self.check_publish(publish)?;
        if let Some(id) = publish.packet_id
            && !self.note_arrival(id, publish.qos, out)?
        {
            return Ok(());
        }
        if self.limits.check_payload_format && !payload_is_what_it_says(publish) {
            out.dropped(topic.as_str(), publish.qos, DropReason::PayloadFormatInvalid);
            if let Some(id) = publish.packet_id {
                self.refuse(id, publish.qos, ReasonCode::PayloadFormatInvalid, out);
            }
            return Ok(());
        }
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if connection.mountpoint.is_some() {
            self.take_mounted(publish, &topic, now, actions, out);
            return Ok(());
        }
        if publish.packet_id.is_some() {
            connection.answers.expect(1);
        }
        // Where a full queue may refuse, each message has its own answer; and what begins with a
        // dollar sign is looked at more closely.
        let alike = self.limits.queue_full == QueueFull::DropOldest && !is_special(publish.topic);
        let run = alike.then(|| Run::of(bytes, publish, connection.version)).flatten();
        let messages = match run {
            Some(run) => Messages::Run(run),
            None => Messages::One(Transit::received(publish, topic, now), publish.packet_id),
        };
        actions.inbound.push(Inbound { messages, reason: ReasonCode::Success });
        Ok(())
    }

    /// The last part of [`take_publish`](Self::take_publish) for a client that has a mountpoint.
    #[inline(never)]
    fn take_mounted<'a, O: Outlet>(
        &mut self,
        publish: &Publish<'a>,
        topic: &TopicName<'a>,
        now: Instant,
        actions: &mut Actions<'a>,
        out: &mut O,
    ) {
        let Some(connection) = &mut self.connection else { return };
        let Some(mountpoint) = &connection.mountpoint else { return };
        let (qos, packet_id) = (publish.qos, publish.packet_id);
        let Ok(mounted) = mountpoint.mount_publish(topic.as_str(), publish.properties) else {
            out.dropped(topic.as_str(), qos, DropReason::TopicInvalid);
            if let Some(id) = packet_id {
                self.refuse(id, qos, ReasonCode::TopicNameInvalid, out);
            }
            return;
        };
        if packet_id.is_some() {
            connection.answers.expect(1);
        }
        let messages = Messages::One(Transit::received(publish, mounted, now), packet_id);
        actions.inbound.push(Inbound { messages, reason: ReasonCode::Success });
    }

    /// Takes the PUBLISHes that follow the last one and are like it, as far as they are given by
    /// `next`. Tells how many they were, and their bytes.
    #[inline(always)]
    pub(crate) fn handle_followers<'a>(
        &mut self,
        actions: &mut Actions<'a>,
        next: impl Fn(&Frames<'a>) -> Option<Frame<'a>>,
    ) -> (usize, usize) {
        let Some(Inbound { messages: Messages::Run(run), .. }) = actions.inbound.last_mut() else {
            return (0, 0);
        };
        let mut room = self.receive_room();
        let Some(connection) = self.connection.as_mut().filter(|c| c.is_open()) else {
            return (0, 0);
        };
        let (qos, before) = (run.qos(), *run.frames());
        while let Some(frame) = next(run.frames()) {
            if qos > QoS::AtMostOnce {
                // What is wrong with a message, or has been seen before, is handled by itself.
                if room == 0 {
                    break;
                }
                if qos == QoS::ExactlyOnce
                    && !frame.packet_id().is_some_and(|id| self.received.arrive_first(id))
                {
                    break;
                }
                room -= 1;
            }
            run.extend(&frame);
        }
        let count = run.frames().len() - before.len();
        if qos > QoS::AtMostOnce {
            connection.answers.expect(count);
        }
        if qos == QoS::AtLeastOnce {
            connection.answers.qos1 += count;
        }
        (count, run.frames().bytes().len() - before.bytes().len())
    }

    /// Whether the client may send this at all, and the topic it means.
    #[inline(always)]
    fn check_publish<'a>(&mut self, publish: &Publish<'a>) -> Result<TopicName<'a>, Violation> {
        // [MQTT5-3.2.2-11]
        if publish.qos > self.limits.maximum_qos {
            return Err(Violation(ReasonCode::QoSNotSupported, "the QoS is not supported"));
        }
        // [MQTT5-3.2.2-14]
        if publish.retain && !self.limits.retain_available {
            return Err(Violation(ReasonCode::RetainNotSupported, "retain is not supported"));
        }
        if !publish.subscription_identifiers.is_empty() {
            // [MQTT5-3.3.4-6]
            let detail = "a subscription identifier from a client";
            return Err(Violation(ReasonCode::ProtocolError, detail));
        }
        match publish.topic_alias {
            None => Ok(TopicName::Borrowed(publish.topic)),
            Some(alias) => self.resolve_alias(alias, publish.topic),
        }
    }

    fn resolve_alias<'a>(
        &mut self,
        alias: NonZeroU16,
        topic: &'a str,
    ) -> Result<TopicName<'a>, Violation> {
        let Some(connection) = &mut self.connection else {
            return Err(Violation(ReasonCode::ProtocolError, "there is no connection"));
        };
        if topic.is_empty() {
            return Ok(TopicName::Shared(connection.inbound_aliases.topic(alias)?));
        }
        connection.inbound_aliases.set(alias, topic)?;
        Ok(TopicName::Borrowed(topic))
    }

    /// Notes a QoS 1 or 2 message. False if it needs no more than the answer it has got.
    fn note_arrival<O: Outlet>(
        &mut self,
        id: PacketId,
        qos: QoS,
        out: &mut O,
    ) -> Result<bool, Violation> {
        let Some(connection) = &mut self.connection else { return Ok(false) };
        // [MQTT5-4.3.2-5]
        if qos == QoS::AtLeastOnce {
            connection.answers.qos1 += 1;
            self.check_receive_maximum()?;
            return Ok(true);
        }
        match self.received.arrive(id) {
            Arrival::First => {
                let checked = self.check_receive_maximum();
                if checked.is_err() {
                    self.received.release(id); // It is not routed, so it may come again.
                }
                checked.map(|()| true)
            }
            Arrival::StillRouting => Ok(false),
            Arrival::RoutingSince => {
                self.check_receive_maximum()?;
                self.owe(id, qos);
                Ok(false)
            }
            Arrival::Again => {
                self.check_receive_maximum()?;
                // [MQTT3-4.3.3-2] [MQTT5-4.3.3-10]
                self.answer_in_turn(id, qos, ReasonCode::Success, out);
                Ok(false)
            }
        }
    }

    /// [MQTT5-3.3.4-7]: a client keeps to our Receive Maximum. 3.1.1 has none.
    fn check_receive_maximum(&self) -> Result<(), Violation> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let maximum = usize::from(self.limits.receive_maximum.get());
        let under_way = connection.answers.qos1 + self.received.outstanding();
        // 3.1.1 is bounded only where its answers would have to wait.
        let v5 = connection.version >= ProtocolVersion::V5;
        if (v5 && under_way > maximum) || connection.answers.waiting() > maximum {
            return Err(Violation(
                ReasonCode::ReceiveMaximumExceeded,
                "more QoS 1 and 2 messages at once than the Receive Maximum",
            ));
        }
        Ok(())
    }

    /// How many more QoS 1 and 2 messages the client may have under way.
    fn receive_room(&self) -> usize {
        let Some(connection) = &self.connection else { return 0 };
        if connection.version < ProtocolVersion::V5 {
            return usize::MAX;
        }
        let maximum = usize::from(self.limits.receive_maximum.get());
        maximum.saturating_sub(connection.answers.qos1 + self.received.outstanding())
    }

    fn handle_subscribe(
        &self,
        mut subscribe: Subscribe,
        actions: &mut Actions<'_>,
    ) -> Result<(), Violation> {
        if subscribe.subscription_identifier.is_some()
            && !self.limits.subscription_identifier_available
        {
            return Err(Violation(
                ReasonCode::SubscriptionIdentifiersNotSupported,
                "subscription identifiers are not supported",
            ));
        }
        let bridge = self.is_bridge();
        for subscription in &mut subscribe.subscriptions {
            let shared = subscription.filter.starts_with("$share/");
            if subscription.options.no_local && shared {
                return violation("No Local on a shared subscription"); // [MQTT5-3.8.3-4]
            }
            subscription.options.no_local |= bridge && !shared;
            subscription.options.retain_as_published |= bridge;
        }
        actions.then = Some(Action::Subscribe(subscribe));
        Ok(())
    }

    fn handle_disconnect(
        &mut self,
        disconnect: &Disconnect,
        actions: &mut Actions<'_>,
    ) -> Result<(), Violation> {
        if let Some(seconds) = disconnect.session_expiry_interval {
            if seconds > 0 && !self.connection.as_ref().is_some_and(|c| c.outlives) {
                return violation("a session expiry in DISCONNECT and none in CONNECT");
            }
            self.expiry_interval = seconds.min(self.limits.session_expiry_interval_max);
        }
        if let Some(connection) = &mut self.connection {
            // [MQTT3-3.14.4-2]
            connection.phase = Phase::ClientLeft;
            if disconnect.reason == ReasonCode::Success {
                connection.will = None; // [MQTT3-3.14.4-3] [MQTT5-3.14.4-3]
            }
        }
        actions.then = Some(Action::Close(CloseReason::Client(disconnect.reason)));
        Ok(())
    }
}

/// Section 3.3.4 of 5.0.
impl From<InvalidAlias> for Violation {
    fn from(invalid: InvalidAlias) -> Self {
        match invalid {
            InvalidAlias::AboveMaximum => {
                Self(ReasonCode::TopicAliasInvalid, "the topic alias is above the maximum")
            }
            InvalidAlias::Unknown => {
                Self(ReasonCode::ProtocolError, "the topic alias has no topic")
            }
        }
    }
}

pub(crate) fn violation(detail: &'static str) -> Result<(), Violation> {
    Err(Violation(ReasonCode::ProtocolError, detail))
}

/// Whether a topic may be more than a name to the broker.
fn is_special(topic: &str) -> bool {
    topic.starts_with('$')
}

/// [MQTT5-3.3.2-4] leaves the check to the server.
fn payload_is_what_it_says(publish: &Publish<'_>) -> bool {
    publish.properties.payload_format_indicator() != Some(1)
        || std::str::from_utf8(publish.payload).is_ok()
}
