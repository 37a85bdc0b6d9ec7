//! CONNECT and CONNACK.

use std::num::{NonZeroU16, NonZeroU32};

use super::*;
use crate::{Connack, Connect, OwnedProperties, QoS, Will};

fn connect(version: ProtocolVersion, id: &str, set: impl FnOnce(&mut Connect)) -> Packet<'static> {
    let mut connect = Connect::new(version, id);
    connect.keep_alive = 60;
    set(&mut connect);
    Packet::Connect(Box::new(connect))
}

fn will(topic: &str, payload: &[u8], qos: QoS, retain: bool) -> Will {
    Will {
        topic: topic.to_owned(),
        payload: payload.to_vec(),
        qos,
        retain,
        delay_interval: 0,
        message_expiry_interval: None,
        properties: OwnedProperties::default(),
    }
}

/// [MQTT3-3.1.2-9] [MQTT3-3.1.2-19] [MQTT3-3.1.2-21] [MQTT3-3.1.3-1] [MQTT3-3.1.3-3]
#[test]
fn fields_of_connect_before_5() {
    let all = |c: &mut Connect| {
        c.clean_start = false;
        c.will = Some(will("w", &[0xFF], QoS::AtLeastOnce, true));
        c.username = Some("u".to_owned());
        c.password = Some(b"p".to_vec());
    };
    check(&[
        ("smallest", "10 0C 0004'MQTT'04 02 003C 0000", V3_1_1, Ok(connect(V3_1_1, "", |_| {}))),
        ("3.1", "10 _ 0006'MQIsdp'03 02 003C 0002'ab'", V3_1, Ok(connect(V3_1, "ab", |_| {}))),
        (
            "all, in order",
            "10 _ 0004'MQTT'04 EC 003C 0002'ab' 0001'w' 0001FF 0001'u' 0001'p'",
            V3_1_1,
            Ok(connect(V3_1_1, "ab", all)),
        ),
        (
            "bridge of 3.1.1",
            "10 _ 0004'MQTT'84 02 003C 0001'b'",
            V3_1_1,
            Ok(connect(V3_1_1, "b", |c| c.bridge = true)),
        ),
        (
            "bridge of 3.1",
            "10 _ 0006'MQIsdp'83 02 003C 0001'b'",
            V3_1,
            Ok(connect(V3_1, "b", |c| c.bridge = true)),
        ),
    ]);
    let named = connect(V3_1, "ab", |c| c.username = Some("u".to_owned()));
    check_accepted(&[
        (
            "3.1 without the user name it promised",
            "10 _ 0006'MQIsdp'03 82 003C 0002'ab'",
            V3_1,
            Ok(connect(V3_1, "ab", |_| {})),
        ),
        (
            "3.1 without the password it promised",
            "10 _ 0006'MQIsdp'03 C2 003C 0002'ab' 0001'u'",
            V3_1,
            Ok(named),
        ),
    ]);
}

/// [MQTT5-3.1.2-9] [MQTT5-3.1.2-17] [MQTT5-3.1.2-19] [MQTT5-3.1.3-1] [MQTT5-3.1.3-3]
#[test]
fn fields_of_connect_in_5() {
    let all = |c: &mut Connect| {
        c.session_expiry_interval = Some(10);
        c.receive_maximum = NonZeroU16::new(20);
        c.maximum_packet_size = NonZeroU32::new(100);
        c.topic_alias_maximum = 5;
        c.request_response_information = true;
        c.request_problem_information = false;
        c.authentication_method = Some("m".to_owned());
        c.authentication_data = Some(vec![1, 2]);
        c.user_properties = pairs(&[("k", "1"), ("k", "2")]);
    };
    let with_will = |c: &mut Connect| {
        let properties = OwnedProperties::builder()
            .payload_format_indicator(1)
            .content_type("c")
            .response_topic("r")
            .correlation_data(&[0])
            .user_property("k", "v");
        let mut will = will("w", b"bye", QoS::ExactlyOnce, false);
        will.delay_interval = 7;
        will.message_expiry_interval = Some(8);
        will.properties = properties.build().unwrap();
        c.will = Some(will);
    };
    check(&[
        ("smallest", "10 0D 0004'MQTT'05 02 003C 00 0000", V5, Ok(connect(V5, "", |_| {}))),
        (
            "password alone",
            "10 _ 0004'MQTT'05 42 003C 00 0000 0001'p'",
            V5,
            Ok(connect(V5, "", |c| c.password = Some(b"p".to_vec()))),
        ),
        (
            "all properties",
            "10 _ 0004'MQTT'05 02 003C 2B 110000000A 210014 2700000064 220005 1901 1700 15 0001'm' \
             16 00020102 26 0001'k'0001'1' 26 0001'k'0001'2' 0001'i'",
            V5,
            Ok(connect(V5, "i", all)),
        ),
        (
            "will with all properties",
            "10 _ 0004'MQTT'05 16 003C 00 0001'i' 1F 1800000007 0200000008 0101 03 0001'c' 08 0001'r' \
             09 000100 26 0001'k'0001'v' 0001'w' 0003'bye'",
            V5,
            Ok(connect(V5, "i", with_will)),
        ),
    ]);
}

/// [MQTT3-3.1.2-1] [MQTT3-3.1.2-2] [MQTT5-3.1.2-1] [MQTT5-3.1.2-2]
#[test]
fn names_and_levels_that_are_not_spoken() {
    let level = DecodeError::UnsupportedProtocolLevel;
    check(&[
        ("name", "10 _ 0004'MQTX'04 02 003C 0000", V3_1_1, Err(DecodeError::ProtocolNameUnknown)),
        (
            "longer name",
            "10 _ 0005'MQTTX'04 02 003C 0000",
            V3_1_1,
            Err(DecodeError::ProtocolNameUnknown),
        ),
        (
            "lower case",
            "10 _ 0004'mqtt'05 02 003C 0000",
            V3_1_1,
            Err(DecodeError::ProtocolNameUnknown),
        ),
        ("level 6", "10 _ 0004'MQTT'06 02 003C 0000", V5, Err(level(6))),
        ("level 3 under the new name", "10 _ 0004'MQTT'03 02 003C 0000", V3_1, Err(level(3))),
        ("level 4 under the old name", "10 _ 0006'MQIsdp'04 02 003C 0000", V3_1, Err(level(4))),
        ("bridge bit in 5", "10 _ 0004'MQTT'85 02 003C 00 0000", V5, Err(level(0x85))),
        ("nothing after the name", "10 _ 0004'MQTT'", V5, Err(DecodeError::Truncated)),
    ]);
    assert_eq!(level(6).reason(), ReasonCode::UnsupportedProtocolVersion);
    assert_eq!(level(6).to_string(), "protocol level 6 is not supported");
}

/// [MQTT3-3.1.2-3] [MQTT5-3.1.2-3] [MQTT3-3.1.2-11] [MQTT3-3.1.2-13] [MQTT3-3.1.2-14]
/// [MQTT3-3.1.2-15] [MQTT5-3.1.2-11] [MQTT5-3.1.2-12] [MQTT5-3.1.2-13] [MQTT3-3.1.2-22]
#[test]
fn connect_flags_that_do_not_fit() {
    check(&[
        (
            "reserved",
            "10 _ 0004'MQTT'04 03 003C 0000",
            V3_1_1,
            Err(DecodeError::ConnectFlagReserved),
        ),
        (
            "reserved in 5",
            "10 _ 0004'MQTT'05 03 003C 00 0000",
            V5,
            Err(DecodeError::ConnectFlagReserved),
        ),
        (
            "will QoS 3",
            "10 _ 0004'MQTT'04 1E 003C 0000 0001'w' 0000",
            V3_1_1,
            Err(DecodeError::WillQoSInvalid),
        ),
        (
            "will QoS 3 in 5",
            "10 _ 0004'MQTT'05 1E 003C 00 0000 00 0001'w' 0000",
            V5,
            Err(DecodeError::WillQoSInvalid),
        ),
        (
            "will QoS, no will",
            "10 _ 0004'MQTT'04 0A 003C 0000",
            V3_1_1,
            Err(DecodeError::WillFlagsWithoutWill),
        ),
        (
            "will retain, no will",
            "10 _ 0004'MQTT'04 22 003C 0000",
            V3_1_1,
            Err(DecodeError::WillFlagsWithoutWill),
        ),
        (
            "will QoS, no will in 5",
            "10 _ 0004'MQTT'05 12 003C 00 0000",
            V5,
            Err(DecodeError::WillFlagsWithoutWill),
        ),
        (
            "will retain, no will in 5",
            "10 _ 0004'MQTT'05 22 003C 00 0000",
            V5,
            Err(DecodeError::WillFlagsWithoutWill),
        ),
        (
            "password alone",
            "10 _ 0004'MQTT'04 42 003C 0000 0001'p'",
            V3_1_1,
            Err(DecodeError::PasswordWithoutUserName),
        ),
        (
            "password alone in 3.1",
            "10 _ 0006'MQIsdp'03 42 003C 0000 0001'p'",
            V3_1,
            Err(DecodeError::PasswordWithoutUserName),
        ),
    ]);
}

/// [MQTT3-3.1.2-18] [MQTT3-3.1.2-19] [MQTT3-3.1.2-20] [MQTT3-3.1.2-21] [MQTT3-3.1.2-9]
/// [MQTT5-3.1.2-16] [MQTT5-3.1.2-17] [MQTT5-3.1.2-18] [MQTT5-3.1.2-19] [MQTT5-3.1.2-9]
/// [MQTT3-3.1.3-3] [MQTT5-3.1.3-3]
#[test]
fn payload_of_connect_is_what_the_flags_say() {
    check(&[
        ("no client id", "10 _ 0004'MQTT'04 02 003C", V3_1_1, Err(DecodeError::Truncated)),
        ("no client id in 5", "10 _ 0004'MQTT'05 02 003C 00", V5, Err(DecodeError::Truncated)),
        (
            "user name unasked",
            "10 _ 0004'MQTT'04 02 003C 0000 0001'u'",
            V3_1_1,
            Err(DecodeError::TrailingBytes),
        ),
        (
            "user name unasked in 5",
            "10 _ 0004'MQTT'05 02 003C 00 0000 0001'u'",
            V5,
            Err(DecodeError::TrailingBytes),
        ),
        (
            "password unasked",
            "10 _ 0004'MQTT'04 82 003C 0000 0001'u' 0001'p'",
            V3_1_1,
            Err(DecodeError::TrailingBytes),
        ),
        (
            "password unasked in 5",
            "10 _ 0004'MQTT'05 82 003C 00 0000 0001'u' 0001'p'",
            V5,
            Err(DecodeError::TrailingBytes),
        ),
        ("no user name", "10 _ 0004'MQTT'04 82 003C 0000", V3_1_1, Err(DecodeError::Truncated)),
        ("no user name in 5", "10 _ 0004'MQTT'05 82 003C 00 0000", V5, Err(DecodeError::Truncated)),
        (
            "no password",
            "10 _ 0004'MQTT'04 C2 003C 0000 0001'u'",
            V3_1_1,
            Err(DecodeError::Truncated),
        ),
        (
            "no password in 5",
            "10 _ 0004'MQTT'05 C2 003C 00 0000 0001'u'",
            V5,
            Err(DecodeError::Truncated),
        ),
        ("no will", "10 _ 0004'MQTT'04 06 003C 0000", V3_1_1, Err(DecodeError::Truncated)),
        ("no will in 5", "10 _ 0004'MQTT'05 06 003C 00 0000", V5, Err(DecodeError::Truncated)),
        (
            "no will payload",
            "10 _ 0004'MQTT'04 06 003C 0000 0001'w'",
            V3_1_1,
            Err(DecodeError::Truncated),
        ),
    ]);
}

/// [MQTT3-1.5.3-1] [MQTT3-1.5.3-2] [MQTT5-1.5.4-1] [MQTT5-1.5.4-2] [MQTT3-3.1.3-4]
/// [MQTT3-3.1.3-10] [MQTT3-3.1.3-11] [MQTT5-3.1.3-4] [MQTT5-3.1.3-11] [MQTT5-3.1.3-12]
/// [MQTT3-4.7.1-1] [MQTT5-4.7.0-1] [MQTT3-4.7.3-1] [MQTT5-4.7.3-1] [MQTT3-4.7.3-2] [MQTT5-4.7.3-2]
#[test]
fn texts_of_connect_are_checked() {
    let utf8 = Err(DecodeError::Utf8Invalid);
    let nul = Err(DecodeError::NulCharacter);
    check(&[
        ("client id", "10 _ 0004'MQTT'04 02 003C 0001FF", V3_1_1, utf8.clone()),
        ("surrogate", "10 _ 0004'MQTT'04 02 003C 0003EDA080", V3_1_1, utf8.clone()),
        ("surrogate in 5", "10 _ 0004'MQTT'05 02 003C 00 0003EDA080", V5, utf8.clone()),
        ("overlong", "10 _ 0004'MQTT'05 02 003C 00 0002C080", V5, utf8.clone()),
        ("NUL", "10 _ 0004'MQTT'04 02 003C 000100", V3_1_1, nul.clone()),
        ("NUL in 5", "10 _ 0004'MQTT'05 02 003C 00 000100", V5, nul.clone()),
        ("will topic", "10 _ 0004'MQTT'04 06 003C 0000 0001FF 0000", V3_1_1, utf8.clone()),
        ("will topic in 5", "10 _ 0004'MQTT'05 06 003C 00 0000 00 0001FF 0000", V5, utf8.clone()),
        ("will topic NUL", "10 _ 0004'MQTT'04 06 003C 0000 000100 0000", V3_1_1, nul.clone()),
        ("will topic NUL in 5", "10 _ 0004'MQTT'05 06 003C 00 0000 00 000100 0000", V5, nul),
        ("user name", "10 _ 0004'MQTT'04 82 003C 0000 0001FF", V3_1_1, utf8.clone()),
        ("user name in 5", "10 _ 0004'MQTT'05 82 003C 00 0000 0001FF", V5, utf8),
        (
            "will topic +",
            "10 _ 0004'MQTT'04 06 003C 0000 0001'+' 0000",
            V3_1_1,
            Err(DecodeError::TopicNameWildcard),
        ),
        (
            "will topic #",
            "10 _ 0004'MQTT'05 06 003C 00 0000 00 0001'#' 0000",
            V5,
            Err(DecodeError::TopicNameWildcard),
        ),
        (
            "will topic empty",
            "10 _ 0004'MQTT'04 06 003C 0000 0000 0000",
            V3_1_1,
            Err(DecodeError::TopicNameEmpty),
        ),
        (
            "will topic empty in 5",
            "10 _ 0004'MQTT'05 06 003C 00 0000 00 0000 0000",
            V5,
            Err(DecodeError::TopicNameEmpty),
        ),
    ]);
    // [MQTT3-1.5.3-3] [MQTT5-1.5.4-3]
    check(&[
        (
            "BOM",
            "10 _ 0004'MQTT'04 02 003C 0004EFBBBF'a'",
            V3_1_1,
            Ok(connect(V3_1_1, "\u{FEFF}a", |_| {})),
        ),
        (
            "BOM in 5",
            "10 _ 0004'MQTT'05 02 003C 00 0004EFBBBF'a'",
            V5,
            Ok(connect(V5, "\u{FEFF}a", |_| {})),
        ),
    ]);
}

#[test]
fn properties_of_connect_are_checked() {
    let head = |properties: &str| format!("10 _ 0004'MQTT'05 02 003C {properties} 0000");
    for (properties, error) in [
        ("03 210000", DecodeError::ReceiveMaximumZero),
        ("05 2700000000", DecodeError::MaximumPacketSizeZero),
        ("02 1702", DecodeError::BooleanInvalid),
        ("02 1902", DecodeError::BooleanInvalid),
        ("06 210001 210001", DecodeError::PropertyTwice),
        ("0A 1100000001 1100000001", DecodeError::PropertyTwice),
        ("04 16 000101", DecodeError::AuthenticationDataWithoutMethod),
        ("02 0101", DecodeError::PropertyNotAllowed),
        ("01 00", DecodeError::PropertyUnknown),
        ("02 8101", DecodeError::PropertyUnknown),
        ("01 21", DecodeError::Truncated),
        ("7F 21", DecodeError::Truncated),
        ("8000", DecodeError::VariableByteIntegerNotMinimal),
        ("8080808001", DecodeError::VariableByteIntegerTooLong),
        ("06 26 000100 0000", DecodeError::NulCharacter),
        ("06 26 0000 0001FF", DecodeError::Utf8Invalid),
    ] {
        assert_eq!(decode(V5, &bytes(&head(properties))), Err(error), "{properties}");
    }
    let will =
        |properties: &str| format!("10 _ 0004'MQTT'05 06 003C 00 0000 {properties} 0001'w' 0000");
    for (properties, error) in [
        ("0A 1800000001 1800000001", DecodeError::PropertyTwice),
        ("02 0102", DecodeError::PayloadFormatIndicatorInvalid),
        ("04 08 0001'#'", DecodeError::ResponseTopicInvalid),
        ("03 230001", DecodeError::PropertyNotAllowed),
        ("02 0B01", DecodeError::PropertyNotAllowed),
    ] {
        assert_eq!(decode(V5, &bytes(&will(properties))), Err(error), "{properties}");
    }
}

fn connack(present: bool, reason: ReasonCode) -> Packet<'static> {
    Packet::Connack(Box::new(Connack::new(present, reason)))
}

/// [MQTT5-3.2.2-1] [MQTT5-3.2.2-8]
#[test]
fn connack_of_all_versions() {
    let mut full = Connack::new(false, ReasonCode::Success);
    full.session_expiry_interval = Some(1);
    full.receive_maximum = NonZeroU16::new(2);
    full.maximum_qos = Some(QoS::AtLeastOnce);
    full.retain_available = Some(false);
    full.maximum_packet_size = NonZeroU32::new(3);
    full.assigned_client_identifier = Some("i".to_owned());
    full.topic_alias_maximum = 4;
    full.reason_string = Some("s".to_owned());
    full.user_properties = pairs(&[("k", "v")]);
    full.wildcard_subscription_available = Some(true);
    full.subscription_identifier_available = Some(false);
    full.shared_subscription_available = Some(true);
    full.server_keep_alive = Some(5);
    full.response_information = Some("r".to_owned());
    full.server_reference = Some("o".to_owned());
    full.authentication_method = Some("m".to_owned());
    full.authentication_data = Some(vec![9]);
    check(&[
        ("3.1", "20 02 0000", V3_1, Ok(connack(false, ReasonCode::Success))),
        ("3.1.1", "20 02 0100", V3_1_1, Ok(connack(true, ReasonCode::Success))),
        (
            "refused",
            "20 02 0001",
            V3_1_1,
            Ok(connack(false, ReasonCode::UnsupportedProtocolVersion)),
        ),
        ("id", "20 02 0002", V3_1_1, Ok(connack(false, ReasonCode::ClientIdentifierNotValid))),
        ("server", "20 02 0003", V3_1_1, Ok(connack(false, ReasonCode::ServerUnavailable))),
        ("password", "20 02 0004", V3_1_1, Ok(connack(false, ReasonCode::BadUserNameOrPassword))),
        ("not authorized", "20 02 0005", V3_1_1, Ok(connack(false, ReasonCode::NotAuthorized))),
        ("no such code", "20 02 0006", V3_1_1, Err(DecodeError::ReasonCodeInvalid)),
        ("flags", "20 02 0200", V3_1_1, Err(DecodeError::ConnackFlagsReserved)),
        ("too long", "20 03 000000", V3_1_1, Err(DecodeError::TrailingBytes)),
        ("5", "20 03 010000", V5, Ok(connack(true, ReasonCode::Success))),
        ("flags of 5", "20 03 820000", V5, Err(DecodeError::ConnackFlagsReserved)),
        ("code of 3.1.1 in 5", "20 03 000100", V5, Err(DecodeError::ReasonCodeInvalid)),
        ("code of DISCONNECT", "20 03 008D00", V5, Err(DecodeError::ReasonCodeInvalid)),
        (
            "all properties",
            "20 _ 0000 3C 1100000001 210002 2401 2500 2700000003 12 0001'i' 220004 1F 0001's' \
             26 0001'k'0001'v' 2801 2900 2A01 130005 1A 0001'r' 1C 0001'o' 15 0001'm' 16 000109",
            V5,
            Ok(Packet::Connack(Box::new(full))),
        ),
        ("maximum QoS 2", "20 _ 0000 02 2402", V5, Err(DecodeError::MaximumQoSInvalid)),
        (
            "data without method",
            "20 _ 0000 04 16 000109",
            V5,
            Err(DecodeError::AuthenticationDataWithoutMethod),
        ),
    ]);
    for id in ["25", "28", "29", "2A"] {
        let connack = bytes(&format!("20 _ 0000 02 {id}02"));
        assert_eq!(decode(V5, &connack), Err(DecodeError::BooleanInvalid), "{id}");
    }
}

/// [MQTT3-3.2.2-4] [MQTT5-3.2.2-6]
#[test]
fn session_present_goes_with_success_only() {
    for (version, expected) in [(V3_1, "20020002"), (V3_1_1, "20020002"), (V5, "2003008500")] {
        let mut out = Vec::new();
        encode(version, &connack(true, ReasonCode::ClientIdentifierNotValid), &mut out);
        assert_eq!(hex(&out), expected);
    }
    let mut out = Vec::new();
    encode(V3_1, &connack(true, ReasonCode::Success), &mut out);
    assert_eq!(hex(&out), "20020000");
}

#[test]
fn reasons_of_5_become_the_nearest_return_code() {
    for (reason, code) in [
        (ReasonCode::ServerBusy, 3),
        (ReasonCode::QuotaExceeded, 3),
        (ReasonCode::UseAnotherServer, 3),
        (ReasonCode::ServerMoved, 3),
        (ReasonCode::UnspecifiedError, 3),
        (ReasonCode::BadAuthenticationMethod, 4),
        (ReasonCode::Banned, 5),
    ] {
        let mut out = Vec::new();
        encode(V3_1_1, &connack(false, reason), &mut out);
        assert_eq!(out, [0x20, 2, 0, code], "{reason}");
    }
}
