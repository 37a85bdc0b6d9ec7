//! What comes from the client.

use std::time::Instant;

use avocet_mqtt::{
    Ack, Disconnect, Packet, PacketId, ProtocolVersion, Publish, QoS, ReasonCode, Subscribe,
};

use crate::{
    Action, CloseReason, DropReason, Inbound, Outlet, Session, inflight::Mismatch,
    received::Arrival,
};

/// A client's mistake that ends its connection.
struct Violation(ReasonCode, &'static str);

impl Session {
    /// Takes a packet from the client. What only the broker can do is added to `actions`.
    pub fn handle_packet<'a, O: Outlet>(
        &mut self,
        packet: Packet<'a>,
        now: Instant,
        actions: &mut Vec<Action<'a>>,
        out: &mut O,
    ) {
        if !self.connection.as_ref().is_some_and(|connection| !connection.closing) {
            return;
        }
        let handled = match packet {
            Packet::Publish(publish) => self.handle_publish(publish, actions, out),
            Packet::Puback(ack) => self.handle_puback(&ack, now, out),
            Packet::Pubrec(ack) => self.handle_pubrec(&ack, now, out),
            Packet::Pubrel(ack) => {
                self.handle_pubrel(&ack, out);
                Ok(())
            }
            Packet::Pubcomp(ack) => self.handle_pubcomp(&ack, now, out),
            Packet::Subscribe(subscribe) => self.handle_subscribe(subscribe, actions),
            Packet::Unsubscribe(unsubscribe) => {
                actions.push(Action::Unsubscribe(unsubscribe));
                Ok(())
            }
            Packet::Pingreq => {
                out.send(&Packet::Pingresp); // [MQTT3-3.12.4-1] [MQTT5-3.12.4-1]
                Ok(())
            }
            Packet::Disconnect(disconnect) => self.handle_disconnect(&disconnect, actions),
            Packet::Auth(auth) => match self.authentication_method() {
                Some(method) if auth.authentication_method.as_deref() == Some(method) => {
                    actions.push(Action::Authenticate(auth));
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
        if let Err(Violation(reason, detail)) = handled
            && let Some(close) = self.close(reason, detail, out)
        {
            actions.push(Action::Close(close));
        }
    }

    fn authentication_method(&self) -> Option<&str> {
        self.connection.as_ref()?.authentication_method.as_deref()
    }

    fn handle_publish<'a, O: Outlet>(
        &mut self,
        publish: Publish<'a>,
        actions: &mut Vec<Action<'a>>,
        out: &mut O,
    ) -> Result<(), Violation> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if publish.qos > self.limits.maximum_qos {
            return Err(Violation(ReasonCode::QoSNotSupported, "the QoS is not supported"));
        }
        if publish.retain && !self.limits.retain_available {
            return Err(Violation(ReasonCode::RetainNotSupported, "retain is not supported"));
        }
        let aliased_topic = match publish.topic_alias {
            None => None,
            Some(alias) => {
                let invalid =
                    |_| Violation(ReasonCode::TopicAliasInvalid, "the topic alias is not valid");
                if publish.topic.is_empty() {
                    Some(connection.inbound_aliases.topic(alias).map_err(invalid)?)
                } else {
                    connection.inbound_aliases.set(alias, publish.topic).map_err(invalid)?;
                    None
                }
            }
        };
        let inbound = Inbound { publish, aliased_topic };
        match (inbound.publish.packet_id, inbound.publish.qos) {
            (Some(id), QoS::ExactlyOnce) => match self.received.arrive(id) {
                Arrival::First => self.check_receive_maximum()?,
                Arrival::StillRouting => return Ok(()),
                Arrival::Again => {
                    // [MQTT3-4.3.3-2] [MQTT5-4.3.3-10]
                    self.answer_publish(id, QoS::ExactlyOnce, ReasonCode::Success, out);
                    return Ok(());
                }
            },
            (Some(_), QoS::AtLeastOnce) => {
                connection.publishes_pending += 1;
                self.check_receive_maximum()?;
            }
            (_, QoS::AtMostOnce) | (None, _) => {}
        }
        if self.limits.check_payload_format && !payload_is_what_it_says(&inbound.publish) {
            self.refuse_payload(&inbound, out);
            return Ok(());
        }
        actions.push(Action::Publish(inbound));
        Ok(())
    }

    /// [MQTT5-3.3.4-7]: a client keeps to our Receive Maximum. 3.1.1 has none.
    fn check_receive_maximum(&self) -> Result<(), Violation> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let under_way = connection.publishes_pending + self.received.len();
        if connection.version >= ProtocolVersion::V5
            && under_way > usize::from(self.limits.receive_maximum.get())
        {
            return Err(Violation(
                ReasonCode::ReceiveMaximumExceeded,
                "more QoS 1 and 2 messages at once than the Receive Maximum",
            ));
        }
        Ok(())
    }

    fn refuse_payload<O: Outlet>(&mut self, inbound: &Inbound<'_>, out: &mut O) {
        out.dropped(inbound.topic(), DropReason::PayloadFormatInvalid);
        if let Some((id, qos)) = inbound.receipt() {
            self.handle_published(id, qos, ReasonCode::PayloadFormatInvalid, out);
        }
    }

    /// The broker has routed a message of QoS 1 or 2, or refuses it: the client gets its answer.
    /// Called in the order of the messages ([MQTT3-4.6.0-2], [MQTT3-4.6.0-3], [MQTT5-4.6.0-2],
    /// [MQTT5-4.6.0-3]). What it returns ends the connection.
    pub fn handle_published<O: Outlet>(
        &mut self,
        id: PacketId,
        qos: QoS,
        reason: ReasonCode,
        out: &mut O,
    ) -> Option<CloseReason> {
        if qos == QoS::ExactlyOnce {
            let taken = if reason.is_error() {
                self.received.release(id)
            } else {
                self.received.routed(id)
            };
            if !taken {
                return None;
            }
        }
        let connection = self.connection.as_mut()?;
        if qos == QoS::AtLeastOnce {
            connection.publishes_pending = connection.publishes_pending.saturating_sub(1);
        }
        if connection.version < ProtocolVersion::V5 && reason == ReasonCode::QuotaExceeded {
            // 3.1.1 cannot say no; without an acknowledgement the client keeps the message.
            return self.close(reason, "the message cannot be taken now", out);
        }
        self.answer_publish(id, qos, reason, out);
        None
    }

    fn answer_publish<O: Outlet>(&self, id: PacketId, qos: QoS, reason: ReasonCode, out: &mut O) {
        let mut ack = Ack::new(id, reason);
        if reason.is_error() && self.wants_problem_information() {
            ack.reason_string = Some(reason.text().into());
        }
        match qos {
            QoS::AtMostOnce => {}
            // [MQTT3-3.3.4-1] [MQTT5-3.3.4-1]
            QoS::AtLeastOnce => self.send_fitting(Packet::Puback(ack), out),
            QoS::ExactlyOnce => self.send_fitting(Packet::Pubrec(ack), out),
        }
    }

    /// [MQTT5-3.1.2-29]
    fn wants_problem_information(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.problem_information)
    }

    fn handle_pubrel<O: Outlet>(&mut self, ack: &Ack, out: &mut O) {
        let known = self.received.release(ack.packet_id);
        let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        // [MQTT3-4.3.3-2] [MQTT5-4.3.3-11]
        out.send(&Packet::Pubcomp(Ack::new(ack.packet_id, reason)));
    }

    fn handle_puback<O: Outlet>(
        &mut self,
        ack: &Ack,
        now: Instant,
        out: &mut O,
    ) -> Result<(), Violation> {
        // [MQTT5-4.8.2-6]: an error ends the message too.
        match self.inflight.complete(ack.packet_id, QoS::AtLeastOnce) {
            Ok(_) => self.pump(now, out),
            Err(Mismatch::Unknown) => {}
            Err(Mismatch::WrongStage) => return violation("PUBACK for a QoS 2 message"),
        }
        Ok(())
    }

    fn handle_pubrec<O: Outlet>(
        &mut self,
        ack: &Ack,
        now: Instant,
        out: &mut O,
    ) -> Result<(), Violation> {
        let id = ack.packet_id;
        if ack.reason.is_error() {
            // [MQTT5-4.3.3-4] ends with the error; so does the use of the identifier.
            match self.inflight.complete(id, QoS::ExactlyOnce) {
                Ok(_) => self.pump(now, out),
                Err(Mismatch::Unknown | Mismatch::WrongStage) => {}
            }
            return Ok(());
        }
        let reason = match self.inflight.release(id) {
            Ok(_) => ReasonCode::Success,
            Err(Mismatch::Unknown) => ReasonCode::PacketIdentifierNotFound,
            Err(Mismatch::WrongStage) => return violation("PUBREC for a QoS 1 message"),
        };
        out.send(&Packet::Pubrel(Ack::new(id, reason))); // [MQTT3-4.3.3-1] [MQTT5-4.3.3-4]
        Ok(())
    }

    fn handle_pubcomp<O: Outlet>(
        &mut self,
        ack: &Ack,
        now: Instant,
        out: &mut O,
    ) -> Result<(), Violation> {
        match self.inflight.finish(ack.packet_id) {
            Ok(()) => self.pump(now, out),
            Err(Mismatch::Unknown) => {}
            Err(Mismatch::WrongStage) => return violation("PUBCOMP before PUBREC"),
        }
        Ok(())
    }

    fn handle_subscribe<'a>(
        &self,
        mut subscribe: Subscribe,
        actions: &mut Vec<Action<'a>>,
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
            if subscription.options.no_local && subscription.filter.starts_with("$share/") {
                return violation("No Local on a shared subscription"); // [MQTT5-3.8.3-4]
            }
            subscription.options.no_local |= bridge;
            subscription.options.retain_as_published |= bridge;
        }
        actions.push(Action::Subscribe(subscribe));
        Ok(())
    }

    fn handle_disconnect<'a>(
        &mut self,
        disconnect: &Disconnect,
        actions: &mut Vec<Action<'a>>,
    ) -> Result<(), Violation> {
        if let Some(seconds) = disconnect.session_expiry_interval {
            if self.expiry_interval == 0 && seconds > 0 {
                return violation("a session expiry in DISCONNECT and none in CONNECT");
            }
            self.expiry_interval = seconds.min(self.limits.session_expiry_interval_max);
        }
        if let Some(connection) = &mut self.connection {
            connection.closing = true;
            if disconnect.reason != ReasonCode::DisconnectWithWill {
                connection.will = None; // [MQTT3-3.14.4-3] [MQTT5-3.14.4-3]
            }
        }
        actions.push(Action::Close(CloseReason::Client(disconnect.reason)));
        Ok(())
    }
}

fn violation(detail: &'static str) -> Result<(), Violation> {
    Err(Violation(ReasonCode::ProtocolError, detail))
}

/// [MQTT5-3.3.2-4] leaves the check to the server.
fn payload_is_what_it_says(publish: &Publish<'_>) -> bool {
    publish.properties.payload_format_indicator() != Some(1)
        || std::str::from_utf8(publish.payload).is_ok()
}
