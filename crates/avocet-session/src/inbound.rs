//! What comes from the client.

use std::{num::NonZeroU16, time::Instant};

use avocet_mqtt::{
    AckKind, Disconnect, Frame, Packet, PacketId, ProtocolVersion, Publish, QoS, ReasonCode,
    Subscribe, Transit, message::TopicName,
};

use crate::{
    Action, Actions, CloseReason, DropReason, Inbound, Outlet, Session, alias::InvalidAlias,
    connection::Phase, received::Arrival,
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
            Packet::Puback(ack) => self.handle_puback(ack.packet_id, now, out),
            Packet::Pubrec(ack) => self.handle_pubrec(ack.packet_id, ack.reason, now, out),
            Packet::Pubrel(ack) => {
                self.handle_pubrel(ack.packet_id, out);
                Ok(())
            }
            Packet::Pubcomp(ack) => self.handle_pubcomp(ack.packet_id, now, out),
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
                None => violation("AUTH without a method in CONNECT"),         // [MQTT5-4.12.0-6]
            },
            // [MQTT3-3.1.0-2] [MQTT5-3.1.0-2]
            Packet::Connect(_) => violation("a second CONNECT"),
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {
                violation("a packet that only a server sends")
            }
        };
        self.mind(handled, actions, out);
    }

    /// [`handle_packet`](Self::handle_packet) for a PUBLISH. `bytes` is the whole packet: it may go
    /// on as it came.
    #[inline(always)]
    pub fn handle_publish<'a, O: Outlet>(
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

    /// [`handle_packet`](Self::handle_packet) for an acknowledgement that says no more than
    /// success.
    #[inline(always)]
    pub fn handle_ack<O: Outlet>(
        &mut self,
        kind: AckKind,
        packet_id: PacketId,
        now: Instant,
        actions: &mut Actions<'_>,
        out: &mut O,
    ) {
        if !self.is_open() {
            return;
        }
        let handled = match kind {
            AckKind::Puback => self.handle_puback(packet_id, now, out),
            AckKind::Pubrec => self.handle_pubrec(packet_id, ReasonCode::Success, now, out),
            AckKind::Pubrel => {
                self.handle_pubrel(packet_id, out);
                Ok(())
            }
            AckKind::Pubcomp => self.handle_pubcomp(packet_id, now, out),
        };
        self.mind(handled, actions, out);
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

    #[inline(always)]
    fn is_open(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.is_open())
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
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let frame = Frame::of(bytes, publish, connection.version);
        let transit = Transit::received(publish, topic, frame, now);
        if let Some(id) = publish.packet_id
            && !self.note_arrival(id, publish.qos, out)?
        {
            return Ok(());
        }
        if self.limits.check_payload_format && !payload_is_what_it_says(publish) {
            out.dropped(transit.topic(), DropReason::PayloadFormatInvalid);
            if let Some(id) = publish.packet_id {
                self.refuse(id, publish.qos, ReasonCode::PayloadFormatInvalid, out);
            }
            return Ok(());
        }
        if publish.packet_id.is_some()
            && let Some(connection) = &mut self.connection
        {
            connection.answers.expect();
        }
        let packet_id = publish.packet_id;
        actions.inbound.push(Inbound { transit, packet_id, reason: ReasonCode::Success });
        Ok(())
    }

    /// Whether the client may send this at all, and the topic it means.
    #[inline(always)]
    fn check_publish<'a>(&mut self, publish: &Publish<'a>) -> Result<TopicName<'a>, Violation> {
        if publish.qos > self.limits.maximum_qos {
            return Err(Violation(ReasonCode::QoSNotSupported, "the QoS is not supported"));
        }
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

/// [MQTT5-3.3.2-4] leaves the check to the server.
fn payload_is_what_it_says(publish: &Publish<'_>) -> bool {
    publish.properties.payload_format_indicator() != Some(1)
        || std::str::from_utf8(publish.payload).is_ok()
}
