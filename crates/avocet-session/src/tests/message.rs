//! Short words for packets and messages.

use std::{num::NonZeroU16, sync::Arc};

use avocet_mqtt::{
    Ack, Disconnect, OwnedProperties, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe,
    Subscription, SubscriptionIdentifier, SubscriptionOptions, Unsubscribe, UserProperties,
};

pub(super) const Q0: QoS = QoS::AtMostOnce;
pub(super) const Q1: QoS = QoS::AtLeastOnce;
pub(super) const Q2: QoS = QoS::ExactlyOnce;

pub(super) fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

/// A PUBLISH from the client, to be changed where it is not the plain one.
pub(super) fn publish(qos: QoS, number: u16, topic: &'static str) -> Publish<'static> {
    let mut publish = Publish::new(topic, b"x");
    publish.qos = qos;
    publish.packet_id = NonZeroU16::new(number);
    publish
}

pub(super) fn puback(number: u16) -> Packet<'static> {
    Packet::Puback(ack(number, ReasonCode::Success))
}

pub(super) fn pubrec(number: u16) -> Packet<'static> {
    Packet::Pubrec(ack(number, ReasonCode::Success))
}

pub(super) fn pubrel(number: u16) -> Packet<'static> {
    Packet::Pubrel(ack(number, ReasonCode::Success))
}

pub(super) fn pubcomp(number: u16) -> Packet<'static> {
    Packet::Pubcomp(ack(number, ReasonCode::Success))
}

pub(super) fn ack(number: u16, reason: ReasonCode) -> Ack {
    Ack::new(id(number), reason)
}

pub(super) fn subscribe(number: u16, filters: &[(&str, QoS)]) -> Subscribe {
    let subscription = |(filter, qos): &(&str, QoS)| Subscription {
        filter: (*filter).to_owned(),
        options: SubscriptionOptions { qos: *qos, ..SubscriptionOptions::default() },
    };
    Subscribe {
        packet_id: id(number),
        subscription_identifier: None,
        user_properties: UserProperties::default(),
        subscriptions: filters.iter().map(subscription).collect(),
    }
}

pub(super) fn unsubscribe(number: u16, filters: &[&str]) -> Packet<'static> {
    Packet::Unsubscribe(Unsubscribe {
        packet_id: id(number),
        user_properties: UserProperties::default(),
        filters: filters.iter().map(|filter| (*filter).to_owned()).collect(),
    })
}

pub(super) fn disconnect(reason: ReasonCode) -> Packet<'static> {
    Packet::Disconnect(Box::new(Disconnect::new(reason)))
}

/// A message for the client, and the terms on which it gets it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) publish: Publish<'static>,
    pub(super) granted: QoS,
    pub(super) retain_as_published: bool,
    pub(super) identifiers: Vec<SubscriptionIdentifier>,
    pub(super) shared: Option<Arc<str>>,
    pub(super) retained: bool,
    pub(super) promised: bool,
}

/// A message published with `qos` to a subscription that grants everything.
pub(super) fn message(qos: QoS, topic: &'static str, payload: &'static str) -> Message {
    let mut publish = Publish::new(topic, payload.as_bytes());
    publish.qos = qos;
    Message {
        publish,
        granted: Q2,
        retain_as_published: false,
        identifiers: Vec::new(),
        shared: None,
        retained: false,
        promised: false,
    }
}

impl Message {
    pub(super) fn granted(mut self, qos: QoS) -> Self {
        self.granted = qos;
        self
    }

    pub(super) fn published_retained(mut self) -> Self {
        self.publish.retain = true;
        self
    }

    pub(super) fn retain_as_published(mut self) -> Self {
        self.retain_as_published = true;
        self
    }

    pub(super) fn retained(mut self) -> Self {
        self.retained = true;
        self
    }

    pub(super) fn promised(mut self) -> Self {
        self.promised = true;
        self
    }

    pub(super) fn expires_after(mut self, seconds: u32) -> Self {
        self.publish.message_expiry_interval = Some(seconds);
        self
    }

    pub(super) fn identifiers(mut self, numbers: &[u32]) -> Self {
        let identifier = |n: &u32| SubscriptionIdentifier::new(*n).unwrap();
        self.identifiers = numbers.iter().map(identifier).collect();
        self
    }

    pub(super) fn shared(mut self, subscription: &str) -> Self {
        self.shared = Some(Arc::from(subscription));
        self
    }

    pub(super) fn dup(mut self) -> Self {
        self.publish.dup = true;
        self
    }

    pub(super) fn properties(mut self, properties: &'static OwnedProperties) -> Self {
        self.publish.properties = properties.borrow();
        self
    }
}

/// A PUBLISH with an alias in place of its topic, or beside it.
pub(super) fn aliased(mut publish: Publish<'static>, alias: u16) -> Publish<'static> {
    publish.topic_alias = NonZeroU16::new(alias);
    publish
}

pub(super) fn with_identifier(mut subscribe: Subscribe, number: u32) -> Subscribe {
    subscribe.subscription_identifier = SubscriptionIdentifier::new(number);
    subscribe
}
