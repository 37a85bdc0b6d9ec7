//! Decode and encode.

use std::{hint::black_box, num::NonZeroU16};

use avocet_mqtt::{
    Codec, OwnedProperties, Packet, ProtocolVersion, Publish, QoS, RetainHandling, Subscribe,
    Subscription, SubscriptionOptions, UserProperties, codec,
};

use crate::Prepare;

const V3: ProtocolVersion = ProtocolVersion::V3_1_1;
const V5: ProtocolVersion = ProtocolVersion::V5;

pub(crate) const PATHS: &[(&str, Prepare)] = &[
    ("decode-publish-qos0-v311", || decode(V3, &publish(QoS::AtMostOnce))),
    ("decode-publish-qos1-v311", || decode(V3, &publish(QoS::AtLeastOnce))),
    ("decode-publish-qos0-v5", || decode(V5, &publish(QoS::AtMostOnce))),
    ("decode-publish-qos1-v5", || decode(V5, &publish(QoS::AtLeastOnce))),
    ("decode-publish-properties-v5", || {
        let properties = properties();
        decode(V5, &with(publish(QoS::AtLeastOnce), &properties))
    }),
    ("decode-subscribe-v311", || decode(V3, &subscribe())),
    ("decode-subscribe-v5", || decode(V5, &subscribe())),
    ("encode-publish-qos0-v311", || encode(V3, publish(QoS::AtMostOnce))),
    ("encode-publish-qos1-v311", || encode(V3, publish(QoS::AtLeastOnce))),
    ("encode-publish-qos0-v5", || encode(V5, publish(QoS::AtMostOnce))),
    ("encode-publish-qos1-v5", || encode(V5, publish(QoS::AtLeastOnce))),
    ("encode-subscribe-v311", || encode(V3, subscribe())),
    ("encode-subscribe-v5", || encode(V5, subscribe())),
];

/// A message as sensors send it.
pub(crate) fn publish(qos: QoS) -> Packet<'static> {
    let mut publish = Publish::new("sensors/kitchen/temperature", b"21.5 degrees now");
    publish.qos = qos;
    publish.packet_id = (qos != QoS::AtMostOnce).then_some(NonZeroU16::MIN);
    Packet::Publish(publish)
}

fn properties() -> OwnedProperties {
    OwnedProperties::builder()
        .payload_format_indicator(1)
        .content_type("text/plain")
        .user_property("unit", "celsius")
        .build()
        .expect("good properties")
}

fn with<'a>(packet: Packet<'a>, properties: &'a OwnedProperties) -> Packet<'a> {
    let Packet::Publish(mut publish) = packet else { return packet };
    publish.properties = properties.borrow();
    Packet::Publish(publish)
}

fn subscribe() -> Packet<'static> {
    let line = |filter: &str| Subscription {
        filter: filter.to_owned(),
        options: SubscriptionOptions {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        },
    };
    Packet::Subscribe(Subscribe {
        packet_id: NonZeroU16::MIN,
        subscription_identifier: None,
        user_properties: UserProperties::default(),
        subscriptions: vec![line("sensors/+/temperature"), line("sensors/kitchen/#")],
    })
}

fn decode(version: ProtocolVersion, packet: &Packet<'_>) -> Box<dyn FnMut()> {
    let mut bytes = Vec::new();
    codec::encode(version, packet, &mut bytes);
    let mut codec = Codec::with_version(version, u32::MAX);
    Box::new(move || {
        black_box(codec.decode(black_box(&bytes)).expect("a packet"));
    })
}

fn encode(version: ProtocolVersion, packet: Packet<'static>) -> Box<dyn FnMut()> {
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        codec::encode(version, black_box(&packet), &mut out);
        black_box(&out);
    })
}
