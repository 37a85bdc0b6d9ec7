//! Arbitrary valid packets. What they borrow is leaked, which a test can afford.

use std::num::{NonZeroU16, NonZeroU32};

use proptest::{option, prelude::*, sample::select};

use crate::{
    Ack, Auth, Connack, Connect, Disconnect, ForwardedProperties, OwnedProperties, Packet,
    PacketId, ProtocolVersion, Publish, QoS, ReasonCode, RetainHandling, Suback, Subscribe,
    Subscription, SubscriptionIdentifier, SubscriptionOptions, Unsuback, Unsubscribe,
    UserProperties, Will,
};

/// Any packet that `version` has.
pub(super) fn packet(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    let v5 = version == ProtocolVersion::V5;
    let packet = prop_oneof![
        connect(version).prop_map(|p| Packet::Connect(Box::new(p))),
        connack(v5).prop_map(|p| Packet::Connack(Box::new(p))),
        publish(v5).prop_map(Packet::Publish),
        publish(v5).prop_map(Packet::Publish),
        ack(&[0x00, 0x10, 0x80, 0x87, 0x90, 0x91, 0x97, 0x99]).prop_map(Packet::Puback),
        ack(&[0x00, 0x10, 0x83, 0x97]).prop_map(Packet::Pubrec),
        ack(&[0x00, 0x92]).prop_map(Packet::Pubrel),
        ack(&[0x00, 0x92]).prop_map(Packet::Pubcomp),
        subscribe().prop_map(Packet::Subscribe),
        suback().prop_map(Packet::Suback),
        unsubscribe().prop_map(Packet::Unsubscribe),
        unsuback().prop_map(Packet::Unsuback),
        Just(Packet::Pingreq),
        Just(Packet::Pingresp),
        disconnect().prop_map(|p| Packet::Disconnect(Box::new(p))),
    ];
    if v5 {
        prop_oneof![15 => packet, 1 => auth().prop_map(|p| Packet::Auth(Box::new(p)))].boxed()
    } else {
        packet.boxed()
    }
}

fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![4 => prop::char::range('a', 'z'), 1 => any::<char>()];
    prop::collection::vec(character.prop_filter("NUL", |c| *c != '\0'), 0..8)
        .prop_map(String::from_iter)
}

fn name() -> impl Strategy<Value = String> {
    text().prop_map(|text| format!("t{}", text.replace(['+', '#'], "/")))
}

fn binary() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..8)
}

fn user_properties() -> impl Strategy<Value = UserProperties> {
    prop::collection::vec((text(), text()), 0..3).prop_map(UserProperties::from_iter)
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    any::<NonZeroU16>()
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn reason(bytes: &'static [u8]) -> impl Strategy<Value = ReasonCode> {
    select(bytes).prop_map(|byte| ReasonCode::from_byte(byte).unwrap())
}

fn forwarded() -> impl Strategy<Value = OwnedProperties> {
    let user = prop::collection::vec((text(), text()), 0..3);
    let parts = (option::of(0_u8..2), option::of(text()), option::of(name()), option::of(binary()));
    (parts, user).prop_map(|((indicator, content, response, correlation), user)| {
        let mut builder = OwnedProperties::builder();
        for (name, value) in &user {
            builder = builder.user_property(name, value);
        }
        if let Some(indicator) = indicator {
            builder = builder.payload_format_indicator(indicator);
        }
        if let Some(content) = content {
            builder = builder.content_type(&content);
        }
        if let Some(response) = response {
            builder = builder.response_topic(&response);
        }
        if let Some(correlation) = correlation {
            builder = builder.correlation_data(&correlation);
        }
        builder.build().unwrap()
    })
}

fn will(v5: bool) -> impl Strategy<Value = Will> {
    let intervals = (any::<u32>(), option::of(any::<u32>()));
    (name(), binary(), qos(), any::<bool>(), intervals, forwarded()).prop_map(
        move |(topic, payload, qos, retain, intervals, properties)| {
            let (delay_interval, message_expiry_interval) = intervals;
            let mut will = Will {
                topic,
                payload,
                qos,
                retain,
                delay_interval,
                message_expiry_interval,
                properties,
            };
            if !v5 {
                will.delay_interval = 0;
                will.message_expiry_interval = None;
                will.properties = OwnedProperties::default();
            }
            will
        },
    )
}

fn connect(version: ProtocolVersion) -> impl Strategy<Value = Connect> {
    let v5 = version == ProtocolVersion::V5;
    let who = (text(), option::of(will(v5)), option::of(text()), option::of(binary()));
    let limits = (
        option::of(any::<u32>()),
        option::of(any::<NonZeroU16>()),
        option::of(any::<NonZeroU32>()),
        any::<u16>(),
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let auth = option::of((text(), option::of(binary())));
    (who, any::<u16>(), limits, flags, auth, user_properties()).prop_map(
        move |(who, keep_alive, limits, flags, auth, user_properties)| {
            let mut connect = Connect::new(version, &who.0);
            connect.clean_start = flags.0;
            connect.bridge = flags.1 && !v5;
            connect.keep_alive = keep_alive;
            (connect.will, connect.username) = (who.1, who.2);
            connect.password = who.3.filter(|_| v5 || connect.username.is_some());
            if v5 {
                connect.session_expiry_interval = limits.0;
                connect.receive_maximum = limits.1;
                connect.maximum_packet_size = limits.2;
                connect.topic_alias_maximum = limits.3;
                connect.request_response_information = flags.2;
                connect.request_problem_information = flags.3;
                connect.authentication_data = auth.as_ref().and_then(|(_, data)| data.clone());
                connect.authentication_method = auth.map(|(method, _)| method);
                connect.user_properties = user_properties;
            }
            connect
        },
    )
}

fn connack(v5: bool) -> impl Strategy<Value = Connack> {
    let limits = (
        option::of(any::<u32>()),
        option::of(any::<NonZeroU16>()),
        option::of(any::<NonZeroU32>()),
        any::<u16>(),
        option::of(any::<u16>()),
    );
    let flags = prop::array::uniform5(option::of(any::<bool>()));
    let texts = prop::array::uniform5(option::of(text()));
    let reason =
        if v5 { &[0x00, 0x80, 0x85, 0x8A, 0x9F][..] } else { &[0, 0x84, 0x85, 0x88, 0x87] };
    (any::<bool>(), self::reason(reason), limits, flags, texts, binary(), user_properties())
        .prop_map(move |(present, reason, limits, flags, texts, data, user_properties)| {
            let present = present && reason == ReasonCode::Success;
            let mut connack = Connack::new(present, reason);
            if !v5 {
                return connack;
            }
            let [assigned, reason_string, response, reference, method] = texts;
            connack.session_expiry_interval = limits.0;
            connack.receive_maximum = limits.1;
            connack.maximum_packet_size = limits.2;
            connack.topic_alias_maximum = limits.3;
            connack.server_keep_alive = limits.4;
            connack.maximum_qos =
                flags[0].map(|one| if one { QoS::AtLeastOnce } else { QoS::AtMostOnce });
            connack.retain_available = flags[1];
            connack.wildcard_subscription_available = flags[2];
            connack.subscription_identifier_available = flags[3];
            connack.shared_subscription_available = flags[4];
            connack.assigned_client_identifier = assigned;
            connack.reason_string = reason_string;
            connack.response_information = response;
            connack.server_reference = reference;
            connack.authentication_data = method.is_some().then_some(data);
            connack.authentication_method = method;
            connack.user_properties = user_properties;
            connack
        })
}

fn publish(v5: bool) -> impl Strategy<Value = Publish<'static>> {
    let ids = prop::collection::vec(1..=SubscriptionIdentifier::MAX, 0..3);
    let numbers = (option::of(any::<u32>()), option::of(any::<NonZeroU16>()), ids);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (name(), binary(), flags, qos(), packet_id(), numbers, forwarded()).prop_map(
        move |(topic, payload, flags, qos, packet_id, numbers, properties)| {
            let mut publish = Publish::new(topic.leak(), payload.leak());
            publish.qos = qos;
            publish.retain = flags.0;
            publish.dup = flags.1 && qos != QoS::AtMostOnce;
            publish.packet_id = Some(packet_id).filter(|_| qos != QoS::AtMostOnce);
            if v5 {
                let bytes: &mut Vec<u8> = Box::leak(Box::default());
                properties.borrow().write_to(bytes);
                publish.properties = ForwardedProperties::from_bytes(bytes).unwrap();
                publish.message_expiry_interval = numbers.0;
                publish.topic_alias = numbers.1;
                publish.subscription_identifiers =
                    numbers.2.into_iter().filter_map(SubscriptionIdentifier::new).collect();
                if flags.2 && publish.topic_alias.is_some() {
                    publish.topic = "";
                }
            }
            publish
        },
    )
}

fn ack(reasons: &'static [u8]) -> impl Strategy<Value = Ack> {
    (packet_id(), reason(reasons), option::of(text()), user_properties()).prop_map(
        |(packet_id, reason, reason_string, user_properties)| {
            let reason_string = reason_string.map(String::into_boxed_str);
            Ack { packet_id, reason, reason_string, user_properties }
        },
    )
}

fn subscribe() -> impl Strategy<Value = Subscribe> {
    let handling =
        select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    let options = (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        |(qos, no_local, retain_as_published, retain_handling)| SubscriptionOptions {
            qos,
            no_local,
            retain_as_published,
            retain_handling,
        },
    );
    let subscription =
        (name(), options).prop_map(|(filter, options)| Subscription { filter, options });
    let identifier = option::of(1..=SubscriptionIdentifier::MAX);
    (packet_id(), identifier, user_properties(), prop::collection::vec(subscription, 1..4))
        .prop_map(|(packet_id, identifier, user_properties, subscriptions)| Subscribe {
            packet_id,
            subscription_identifier: identifier.and_then(SubscriptionIdentifier::new),
            user_properties,
            subscriptions,
        })
}

fn suback() -> impl Strategy<Value = Suback> {
    let reasons = prop::collection::vec(reason(&[0, 1, 2, 0x80, 0x87, 0x8F, 0x9E]), 1..4);
    (packet_id(), option::of(text()), user_properties(), reasons).prop_map(
        |(packet_id, reason_string, user_properties, reasons)| Suback {
            packet_id,
            reason_string,
            user_properties,
            reasons,
        },
    )
}

fn unsubscribe() -> impl Strategy<Value = Unsubscribe> {
    (packet_id(), user_properties(), prop::collection::vec(name(), 1..4)).prop_map(
        |(packet_id, user_properties, filters)| Unsubscribe { packet_id, user_properties, filters },
    )
}

fn unsuback() -> impl Strategy<Value = Unsuback> {
    let reasons = prop::collection::vec(reason(&[0, 0x11, 0x80, 0x87, 0x8F]), 1..4);
    (packet_id(), option::of(text()), user_properties(), reasons).prop_map(
        |(packet_id, reason_string, user_properties, reasons)| Unsuback {
            packet_id,
            reason_string,
            user_properties,
            reasons,
        },
    )
}

fn disconnect() -> impl Strategy<Value = Disconnect> {
    let reason = reason(&[0x00, 0x04, 0x80, 0x82, 0x8D, 0x8E, 0x98, 0xA2]);
    let texts = (option::of(text()), option::of(text()));
    (reason, option::of(any::<u32>()), texts, user_properties()).prop_map(
        |(reason, session_expiry_interval, texts, user_properties)| Disconnect {
            reason,
            session_expiry_interval,
            reason_string: texts.0,
            server_reference: texts.1,
            user_properties,
        },
    )
}

fn auth() -> impl Strategy<Value = Auth> {
    (
        reason(&[0x00, 0x18, 0x19]),
        text(),
        option::of(binary()),
        option::of(text()),
        user_properties(),
    )
        .prop_map(|(reason, method, authentication_data, reason_string, user_properties)| {
            Auth {
                reason,
                authentication_method: Some(method),
                authentication_data,
                reason_string,
                user_properties,
            }
        })
}
