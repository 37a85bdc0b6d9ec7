//! PUBLISH.

use std::num::NonZeroU16;

use super::*;
use crate::{ForwardedProperties, ForwardedProperty, Publish, QoS, SubscriptionIdentifier};

fn publish(set: impl FnOnce(&mut Publish<'static>)) -> Packet<'static> {
    let mut publish = Publish::new("a/b", b"hi");
    set(&mut publish);
    Packet::Publish(publish)
}

fn qos(qos: QoS, packet_id: u16) -> impl FnOnce(&mut Publish<'static>) {
    move |publish| {
        publish.qos = qos;
        publish.packet_id = Some(id(packet_id));
    }
}

/// [MQTT3-2.3.1-5] [MQTT5-2.2.1-2] [MQTT3-3.3.2-1] [MQTT5-3.3.2-1] [MQTT5-2.2.2-1]
#[test]
fn publish_of_all_versions() {
    for version in [V3_1, V3_1_1] {
        check(&[
            ("QoS 0", "30 07 0003'a/b' 'hi'", version, Ok(publish(|_| {}))),
            ("QoS 1", "32 09 0003'a/b' 000A 'hi'", version, Ok(publish(qos(QoS::AtLeastOnce, 10)))),
            (
                "QoS 2",
                "34 09 0003'a/b' FFFF 'hi'",
                version,
                Ok(publish(qos(QoS::ExactlyOnce, 65_535))),
            ),
            ("retain", "31 07 0003'a/b' 'hi'", version, Ok(publish(|p| p.retain = true))),
            ("empty payload", "30 05 0003'a/b'", version, Ok(publish(|p| p.payload = b""))),
            ("BOM", "30 _ 0003EFBBBF 'hi'", version, Ok(publish(|p| p.topic = "\u{FEFF}"))),
        ]);
    }
    let again = |publish: &mut Publish<'static>| {
        qos(QoS::AtLeastOnce, 10)(publish);
        publish.dup = true;
    };
    check(&[
        ("QoS 0", "30 08 0003'a/b' 00 'hi'", V5, Ok(publish(|_| {}))),
        ("QoS 1", "32 0A 0003'a/b' 000A 00 'hi'", V5, Ok(publish(qos(QoS::AtLeastOnce, 10)))),
        ("DUP", "3A 09 0003'a/b' 000A 'hi'", V3_1_1, Ok(publish(again))),
        ("DUP in 5", "3A 0A 0003'a/b' 000A 00 'hi'", V5, Ok(publish(again))),
    ]);
}

/// [MQTT5-3.3.2-4] [MQTT5-3.3.2-15] [MQTT5-3.3.2-16] [MQTT5-3.3.2-17] [MQTT5-3.3.2-18] [MQTT5-3.3.2-20]
#[test]
fn properties_of_publish() {
    let forwarded =
        bytes("26 0001'k'0001'1' 0101 03 0001'c' 08 0001'r' 09 000100 26 0001'k'0001'2'");
    let forwarded: &'static [u8] = forwarded.leak();
    let full = move |p: &mut Publish<'static>| {
        p.message_expiry_interval = Some(9);
        p.topic_alias = NonZeroU16::new(7);
        p.subscription_identifiers =
            [1, 300].map(|id| SubscriptionIdentifier::new(id).unwrap()).to_vec().into();
        p.properties = ForwardedProperties::from_bytes(forwarded).unwrap();
    };
    check(&[
        (
            "all",
            "30 _ 0003'a/b' 29 0200000009 230007 0B01 0BAC02 \
             26 0001'k'0001'1' 0101 03 0001'c' 08 0001'r' 09 000100 26 0001'k'0001'2' 'hi'",
            V5,
            Ok(publish(full)),
        ),
        (
            "alias for the topic",
            "30 _ 0000 03 230007 'hi'",
            V5,
            Ok(publish(|p| {
                p.topic = "";
                p.topic_alias = NonZeroU16::new(7);
            })),
        ),
    ]);
    check_accepted(&[(
        "all, mixed",
        "30 _ 0003'a/b' 29 230007 26 0001'k'0001'1' 0101 03 0001'c' 0200000009 08 0001'r' 09 000100 \
         0B01 26 0001'k'0001'2' 0BAC02 'hi'",
        V5,
        Ok(publish(full)),
    )]);
}

#[test]
fn forwarded_properties_can_be_looked_into() {
    let packet =
        bytes("30 _ 0001't' 18 26 0001'k'0001'1' 0200000009 03 0001'c' 08 0001'r' 09 000100");
    let Ok(Some((Packet::Publish(publish), _))) = decode(V5, &packet) else { panic!("no PUBLISH") };
    let properties = publish.properties;
    assert_eq!(properties.len(), 19);
    assert_eq!(properties.payload_format_indicator(), None);
    assert_eq!(properties.content_type(), Some("c"));
    assert_eq!(properties.response_topic(), Some("r"));
    assert_eq!(properties.correlation_data(), Some(&[0][..]));
    assert_eq!(properties.user_properties().collect::<Vec<_>>(), [("k", "1")]);
    let expected = [
        ForwardedProperty::UserProperty("k", "1"),
        ForwardedProperty::ContentType("c"),
        ForwardedProperty::ResponseTopic("r"),
        ForwardedProperty::CorrelationData(&[0]),
    ];
    assert_eq!(properties.iter().collect::<Vec<_>>(), expected);
    let mut written = Vec::new();
    properties.write_to(&mut written);
    assert_eq!(hex(&written), hex(&bytes("26 0001'k'0001'1' 03 0001'c' 08 0001'r' 09 000100")));
    let owned = crate::OwnedProperties::from(properties);
    assert_eq!(owned.borrow(), properties);
    assert_eq!(owned.borrow().len(), properties.len());
}

#[test]
fn properties_are_built_as_a_receiver_would_take_them() {
    let builder = crate::OwnedProperties::builder;
    let built = builder().payload_format_indicator(1).user_property("k", "v").build().unwrap();
    assert_eq!(built.borrow().payload_format_indicator(), Some(1));
    assert!(builder().build().unwrap().borrow().is_empty());
    assert_eq!(builder().response_topic("a/#").build(), Err(DecodeError::ResponseTopicInvalid));
    let twice = builder().content_type("a").content_type("b");
    assert_eq!(twice.build(), Err(DecodeError::PropertyTwice));
    assert!(ForwardedProperties::from_bytes(&bytes("0200000001")).is_err());
}

/// [MQTT3-3.3.1-2] [MQTT5-3.3.1-2] [MQTT3-3.3.1-4] [MQTT5-3.3.1-4] [MQTT3-2.3.1-1] [MQTT5-2.2.1-3]
/// [MQTT3-3.3.2-2] [MQTT5-3.3.2-2] [MQTT3-4.7.1-1] [MQTT5-4.7.0-1] [MQTT3-4.7.3-1]
/// [MQTT3-4.7.3-2] [MQTT5-4.7.3-2] [MQTT3-3.3.2-1] [MQTT5-3.3.2-1]
#[test]
fn publish_that_does_not_fit() {
    for (version, empty) in [(V3_1, ""), (V3_1_1, ""), (V5, "00")] {
        for (name, head, error) in [
            ("DUP at QoS 0", "38 _ 0001't'", DecodeError::DupWithQoS0),
            ("QoS 3", "36 _ 0001't' 0001", DecodeError::PublishQoSInvalid),
            ("packet id 0", "32 _ 0001't' 0000", DecodeError::PacketIdZero),
            ("+", "30 _ 0003'a/+'", DecodeError::TopicNameWildcard),
            ("#", "30 _ 0001'#'", DecodeError::TopicNameWildcard),
            ("NUL", "30 _ 000200'+'", DecodeError::NulCharacter),
            ("not UTF-8", "30 _ 000180", DecodeError::Utf8Invalid),
            ("surrogate", "30 _ 0003EDBFBF", DecodeError::Utf8Invalid),
        ] {
            let packet = bytes(&format!("{head} {empty}"));
            assert_eq!(decode(version, &packet), Err(error), "{name}");
        }
        for (name, packet) in
            [("nothing", "30 00"), ("topic", "30 02 0001"), ("id", "32 04 0001't'00")]
        {
            assert_eq!(decode(version, &bytes(packet)), Err(DecodeError::Truncated), "{name}");
        }
    }
    check(&[
        ("empty topic", "30 02 0000", V3_1_1, Err(DecodeError::TopicNameEmpty)),
        ("empty topic in 5", "30 03 0000 00", V5, Err(DecodeError::TopicEmptyWithoutAlias)),
        ("no properties in 5", "30 _ 0001't'", V5, Err(DecodeError::Truncated)),
    ]);
    assert_eq!(DecodeError::TopicNameWildcard.reason(), ReasonCode::TopicNameInvalid);
    assert_eq!(DecodeError::TopicEmptyWithoutAlias.reason(), ReasonCode::ProtocolError);
}

/// [MQTT5-3.3.2-8] [MQTT5-3.3.2-13] [MQTT5-3.3.2-14] [MQTT5-3.3.2-19] [MQTT5-1.5.7-1]
#[test]
fn properties_of_publish_are_checked() {
    for (properties, error) in [
        ("03 230000", DecodeError::TopicAliasZero),
        ("02 0102", DecodeError::PayloadFormatIndicatorInvalid),
        ("04 08 0001'#'", DecodeError::ResponseTopicInvalid),
        ("06 08 0003'a/+'", DecodeError::ResponseTopicInvalid),
        ("03 08 0000", DecodeError::ResponseTopicInvalid),
        ("04 08 0001FF", DecodeError::Utf8Invalid),
        ("04 08 000100", DecodeError::NulCharacter),
        ("04 03 0001FF", DecodeError::Utf8Invalid),
        ("04 03 000100", DecodeError::NulCharacter),
        ("06 26 0001FF 0000", DecodeError::Utf8Invalid),
        ("06 26 0000 000100", DecodeError::NulCharacter),
        ("02 0B00", DecodeError::SubscriptionIdentifierZero),
        ("03 0B8000", DecodeError::VariableByteIntegerNotMinimal),
        ("04 0101 0101", DecodeError::PropertyTwice),
        ("06 230001 230001", DecodeError::PropertyTwice),
        ("0A 0200000001 0200000001", DecodeError::PropertyTwice),
        ("08 09 000101 09 000101", DecodeError::PropertyTwice),
        ("05 1100000001", DecodeError::PropertyNotAllowed),
        ("05 1800000001", DecodeError::PropertyNotAllowed),
        ("04 1F 0001'x'", DecodeError::PropertyNotAllowed),
        ("01 7F", DecodeError::PropertyUnknown),
    ] {
        let packet = bytes(&format!("30 _ 0001't' {properties}"));
        assert_eq!(decode(V5, &packet), Err(error), "{properties}");
    }
    assert_eq!(DecodeError::TopicAliasZero.reason(), ReasonCode::TopicAliasInvalid);
}

/// [MQTT3-3.3.1-2] [MQTT5-3.3.1-2] [MQTT3-2.3.1-5] [MQTT5-2.2.1-2]
#[test]
fn qos_0_is_written_without_dup_and_packet_id() {
    for (version, expected) in [(V3_1_1, "300700036126"), (V5, "300800036126")] {
        let mut out = Vec::new();
        let packet = publish(|p| {
            p.topic = "a&b";
            p.dup = true;
            p.packet_id = Some(id(1));
        });
        encode(version, &packet, &mut out);
        assert!(hex(&out).starts_with(expected));
        assert_eq!(out.len(), encoded_len(version, &packet));
    }
}

#[test]
fn versions_without_properties_leave_them_out() {
    let properties = crate::OwnedProperties::builder().content_type("c").build().unwrap();
    let mut publish = Publish::new("t", b"x");
    publish.message_expiry_interval = Some(1);
    publish.topic_alias = NonZeroU16::new(1);
    publish.properties = properties.borrow();
    for version in [V3_1, V3_1_1] {
        let mut out = Vec::new();
        crate::encode_publish(version, &publish, &mut out);
        assert_eq!(hex(&out), "300400017478");
        assert_eq!(crate::publish_len(version, &publish), 6);
    }
}

/// [MQTT3-3.3.2-2] [MQTT5-3.3.2-2] [MQTT3-1.5.3-2] [MQTT5-1.5.4-2]
#[test]
fn wildcards_and_nul_are_found_wherever_they_stand() {
    for len in 1..40 {
        for at in 0..len {
            for (byte, error) in [
                (0, DecodeError::NulCharacter),
                (b'+', DecodeError::TopicNameWildcard),
                (b'#', DecodeError::TopicNameWildcard),
            ] {
                for other in [b"x", b"\x01", b"*", b"$", b"\"", b","] {
                    let mut topic = other.repeat(len);
                    let length = u8::try_from(len).unwrap();
                    let head = [0x30, length + 2, 0, length];
                    let whole = [&head[..], &topic].concat();
                    assert!(decode(V3_1_1, &whole).is_ok());
                    topic[at] = byte;
                    let whole = [&head[..], &topic].concat();
                    assert_eq!(decode(V3_1_1, &whole), Err(error));
                }
            }
        }
    }
}
