//! The acknowledgements, PINGREQ, PINGRESP, DISCONNECT and AUTH.

use super::*;
use crate::{Ack, Auth, Disconnect};

type MakeAck = fn(Ack) -> Packet<'static>;

const ACKS: [(&str, MakeAck); 4] = [
    ("40", Packet::Puback),
    ("50", Packet::Pubrec),
    ("62", Packet::Pubrel),
    ("70", Packet::Pubcomp),
];

#[test]
fn acknowledgements_take_the_shortest_form() {
    let success = Ack::new(id(10), ReasonCode::Success);
    for (first, packet) in ACKS {
        let (code, reason) = if first < "60" {
            ("87", ReasonCode::NotAuthorized)
        } else {
            ("92", ReasonCode::PacketIdentifierNotFound)
        };
        let failure = Ack::new(id(10), reason);
        let mut full = failure.clone();
        full.reason_string = Some("s".into());
        full.user_properties = pairs(&[("k", "v")]);
        let mut explained = success.clone();
        explained.reason_string = Some("s".into());
        for version in [V3_1, V3_1_1, V5] {
            let bytes = bytes(&format!("{first} 02 000A"));
            assert_eq!(decode(version, &bytes), Ok(Some((packet(success.clone()), 4))));
            check_encoding(first, version, &packet(success.clone()), &bytes);
            check_cuts(first, version, &bytes);
        }
        for (text, ack) in [
            (format!("{first} 03 000A {code}"), &failure),
            (format!("{first} _ 000A {code} 0B 1F 0001's' 26 0001'k'0001'v'"), &full),
            (format!("{first} _ 000A 00 04 1F 0001's'"), &explained),
        ] {
            let bytes = bytes(&text);
            assert_eq!(decode(V5, &bytes), Ok(Some((packet(ack.clone()), bytes.len()))));
            check_encoding(first, V5, &packet(ack.clone()), &bytes);
            check_cuts(first, V5, &bytes);
        }
        for text in ["03 000A 00", "04 000A 00 00"] {
            let bytes = bytes(&format!("{first} {text}"));
            assert_eq!(decode(V5, &bytes).unwrap().unwrap().0, packet(success.clone()), "{text}");
        }
        let mut out = Vec::new();
        encode(V3_1_1, &packet(full), &mut out);
        assert_eq!(out[1..], [2, 0, 10]);
    }
}

/// [MQTT5-3.4.2-1] [MQTT5-3.5.2-1] [MQTT5-3.6.2-1] [MQTT5-3.7.2-1]
#[test]
fn acknowledgements_that_do_not_fit() {
    for (first, _) in ACKS {
        let other = if first < "60" { "92" } else { "10" };
        for (version, text, error) in [
            (V3_1_1, "02 0000".to_owned(), DecodeError::PacketIdZero),
            (V5, "02 0000".to_owned(), DecodeError::PacketIdZero),
            (V3_1_1, "03 000A 00".to_owned(), DecodeError::TrailingBytes),
            (V3_1_1, "01 00".to_owned(), DecodeError::Truncated),
            (V5, format!("03 000A {other}"), DecodeError::ReasonCodeInvalid),
            (V5, "03 000A 01".to_owned(), DecodeError::ReasonCodeInvalid),
            (V5, "03 000A FF".to_owned(), DecodeError::ReasonCodeInvalid),
            (V5, "05 000A 00 00 00".to_owned(), DecodeError::TrailingBytes),
            (V5, "0C 000A 00 08 1F 0001's' 1F 0001's'".to_owned(), DecodeError::PropertyTwice),
            (V5, "06 000A 00 02 0101".to_owned(), DecodeError::PropertyNotAllowed),
            (V5, "05 000A 00 02 01".to_owned(), DecodeError::Truncated),
        ] {
            let bytes = bytes(&format!("{first} {text}"));
            assert_eq!(decode(version, &bytes), Err(error), "{first} {text}");
        }
    }
}

#[test]
fn pings_have_no_body() {
    for version in [V3_1, V3_1_1, V5] {
        check(&[
            ("PINGREQ", "C0 00", version, Ok(Packet::Pingreq)),
            ("PINGRESP", "D0 00", version, Ok(Packet::Pingresp)),
            ("PINGREQ with body", "C0 01 00", version, Err(DecodeError::TrailingBytes)),
            ("PINGRESP with body", "D0 01 00", version, Err(DecodeError::TrailingBytes)),
        ]);
    }
}

/// [MQTT5-3.14.2-1]
#[test]
fn disconnect_of_all_versions() {
    let disconnect = |reason| Ok(Packet::Disconnect(Box::new(Disconnect::new(reason))));
    let full = Disconnect {
        reason: ReasonCode::DisconnectWithWill,
        session_expiry_interval: Some(1),
        reason_string: Some("s".to_owned()),
        server_reference: Some("o".to_owned()),
        user_properties: pairs(&[("k", "v")]),
    };
    for version in [V3_1, V3_1_1, V5] {
        check(&[("short", "E0 00", version, disconnect(ReasonCode::Success))]);
    }
    check(&[
        ("body in 3.1.1", "E0 01 00", V3_1_1, Err(DecodeError::TrailingBytes)),
        ("code alone", "E0 01 8E", V5, disconnect(ReasonCode::SessionTakenOver)),
        (
            "all",
            "E0 _ 04 14 1100000001 1F 0001's' 1C 0001'o' 26 0001'k'0001'v'",
            V5,
            Ok(Packet::Disconnect(Box::new(full))),
        ),
        ("code of CONNACK", "E0 01 84", V5, Err(DecodeError::ReasonCodeInvalid)),
        ("code of SUBACK", "E0 01 01", V5, Err(DecodeError::ReasonCodeInvalid)),
        ("no such code", "E0 01 A3", V5, Err(DecodeError::ReasonCodeInvalid)),
        ("property", "E0 _ 00 02 0101", V5, Err(DecodeError::PropertyNotAllowed)),
        ("trailing", "E0 03 00 00 00", V5, Err(DecodeError::TrailingBytes)),
    ]);
    check_accepted(&[
        ("zero", "E0 01 00", V5, disconnect(ReasonCode::Success)),
        ("zero and zero", "E0 02 00 00", V5, disconnect(ReasonCode::Success)),
    ]);
}

/// [MQTT5-3.15.2-1]
#[test]
fn auth_exists_in_5_only() {
    let auth = |reason, method: Option<&str>| Auth {
        reason,
        authentication_method: method.map(str::to_owned),
        authentication_data: None,
        reason_string: None,
        user_properties: UserProperties::default(),
    };
    let ok = |auth: Auth| Ok(Packet::Auth(Box::new(auth)));
    let mut full = auth(ReasonCode::ContinueAuthentication, Some("m"));
    full.authentication_data = Some(vec![1]);
    full.reason_string = Some("s".to_owned());
    full.user_properties = pairs(&[("k", "v")]);
    check(&[
        ("short", "F0 00", V5, ok(auth(ReasonCode::Success, None))),
        ("again", "F0 _ 19 04 15 0001'm'", V5, ok(auth(ReasonCode::Reauthenticate, Some("m")))),
        ("all", "F0 _ 18 13 15 0001'm' 16 000101 1F 0001's' 26 0001'k'0001'v'", V5, ok(full)),
        ("no properties", "F0 01 18", V5, Err(DecodeError::Truncated)),
        ("no method", "F0 02 18 00", V5, Err(DecodeError::AuthenticationMethodMissing)),
        ("code", "F0 _ 87 04 15 0001'm'", V5, Err(DecodeError::ReasonCodeInvalid)),
        ("property", "F0 _ 18 03 210001", V5, Err(DecodeError::PropertyNotAllowed)),
        ("3.1.1", "F0 00", V3_1_1, Err(DecodeError::PacketTypeReserved)),
    ]);
    let packet = Packet::Auth(Box::new(auth(ReasonCode::Success, Some("m"))));
    let mut out = Vec::new();
    encode(V3_1_1, &packet, &mut out);
    assert!(out.is_empty());
    assert_eq!(encoded_len(V3_1_1, &packet), 0);
}
