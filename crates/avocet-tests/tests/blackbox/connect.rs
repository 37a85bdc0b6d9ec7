//! CONNECT and CONNACK.

use avocet_tests::{
    Broker, Connect, Kind, Properties, Publish, Version, Will, each_version,
    packet::{auth, frame, pingreq, subscribe},
};

/// Reason codes of 5.0 for a packet that is not as it should be.
const BAD: [u8; 2] = [0x81, 0x82];

/// The broker closes without a CONNACK; with 5.0 it may send one with such a code.
#[track_caller]
fn check_refused(broker: &Broker, version: Version, bytes: &[u8], codes: &[u8]) {
    let code = broker.refusal(version, bytes);
    let allowed = if version.has_properties() { codes } else { &[] };
    assert!(code.is_none_or(|code| allowed.contains(&code)), "answered with {code:#04x?}");
}

/// [MQTT3-3.1.4-4] [MQTT3-3.2.0-1] [MQTT3-3.2.2-1] [MQTT3-7.1.1-1] [MQTT5-3.1.4-5]
/// [MQTT5-3.2.0-1] [MQTT5-3.2.2-1] [MQTT5-3.2.2-2] [MQTT5-3.2.2-8] [MQTT5-4.2.0-1]
#[test]
fn valid_connect_is_answered_by_connack_without_session() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut raw = broker.open(version);
        raw.send(&Connect::new(version, "alice").bytes());
        let connack = raw.expect_connack();
        assert_eq!((connack.code, connack.session_present), (0, false));
        raw.expect_nothing_before_pong();
    });
}

#[test]
fn packets_are_read_however_the_network_cuts_them() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut raw = broker.open(version);
        for byte in Connect::new(version, "alice").bytes() {
            raw.send(&[byte]);
        }
        assert_eq!(raw.expect_connack().code, 0);
        let together = [
            subscribe(version, 7, &[("a", 0)]),
            Publish::new("a", "one").bytes(version),
            Publish::new("a", "two").bytes(version),
        ];
        raw.send(&together.concat());
        assert_eq!(raw.expect_suback(7).codes, [0]);
        raw.expect_message("a", "one", 0);
        raw.expect_message("a", "two", 0);
    });
}

/// [MQTT3-3.1.0-1] [MQTT3-3.2.0-1] [MQTT5-3.1.0-1] [MQTT5-3.2.0-1] [MQTT5-3.14.0-1]
#[test]
fn first_packet_other_than_connect_closes_without_a_word() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let publish = Publish::new("a", "x").bytes(version);
        for first in [pingreq(), publish, subscribe(version, 1, &[("a", 0)]), vec![0xe0, 0]] {
            let mut raw = broker.open(version);
            raw.send(&first);
            raw.expect_close();
        }
    });
}

/// [MQTT3-3.1.0-2] [MQTT5-3.1.0-2] [MQTT5-3.2.0-2]
#[test]
fn second_connect_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut raw = broker.client(version, "alice");
        raw.send(&Connect::new(version, "alice").bytes());
        raw.expect_error(&[0x82]);
    });
}

/// [MQTT3-3.1.2-1] [MQTT5-3.1.2-1]
#[test]
fn unknown_protocol_name_closes() {
    let broker = Broker::start(&[]);
    for name in ["MQTX", "mqtt", "MQTTT", "HTTP", ""] {
        let bytes = Connect::new(Version::V5, "alice").bytes_as(name, 5);
        check_refused(&broker, Version::V5, &bytes, &[0x84, 0x81]);
        let bytes = Connect::new(Version::V311, "alice").bytes_as(name, 4);
        let code = broker.refusal(Version::V311, &bytes);
        assert!(code.is_none_or(|code| code == 1), "answered with {code:?}");
    }
}

/// [MQTT3-3.1.2-2] [MQTT3-3.2.2-4] [MQTT3-3.2.2-5]
#[test]
fn protocol_level_below_ours_gets_return_code_1() {
    let broker = Broker::start(&[]);
    let bytes = Connect::new(Version::V311, "alice").bytes_as("MQTT", 2);
    assert_eq!(broker.refusal(Version::V311, &bytes), Some(1));
}

/// [MQTT5-3.1.2-2]
#[test]
fn protocol_level_above_ours_is_closed() {
    let broker = Broker::start(&[]);
    let mut raw = broker.open(Version::V5);
    raw.send(&Connect::new(Version::V5, "alice").bytes_as("MQTT", 6));
    let answer = raw.receive_bytes_to_the_end();
    let known: [&[u8]; 3] = [&[], &[0x20, 2, 0, 1], &[0x20, 3, 0, 0x84, 0]];
    assert!(known.contains(&answer.as_slice()), "answered with {answer:02x?}");
}

#[test]
fn bridge_bit_in_the_protocol_level_is_accepted() {
    let broker = Broker::start(&[]);
    for (version, name, level) in [(Version::V31, "MQIsdp", 0x83), (Version::V311, "MQTT", 0x84)] {
        let mut raw = broker.open(version);
        raw.send(&Connect::new(version, "bridge").bytes_as(name, level));
        assert_eq!(raw.expect_connack().code, 0);
    }
}

/// [MQTT3-3.1.2-3] [MQTT3-3.1.4-1] [MQTT3-3.2.2-6] [MQTT5-3.1.2-3] [MQTT5-3.1.4-1]
#[test]
fn reserved_connect_flag_closes() {
    let broker = Broker::start(&[]);
    for version in [Version::V311, Version::V5] {
        let bytes = Connect::new(version, "alice").wrong_flags(0x01).bytes();
        check_refused(&broker, version, &bytes, &BAD);
    }
}

/// [MQTT3-3.1.2-11] [MQTT3-3.1.2-13] [MQTT3-3.1.2-15] [MQTT5-3.1.2-11] [MQTT5-3.1.2-13]
#[test]
fn will_bits_without_the_will_flag_close() {
    let broker = Broker::start(&[]);
    for version in [Version::V311, Version::V5] {
        for bits in [0x08, 0x10, 0x20] {
            let bytes = Connect::new(version, "alice").wrong_flags(bits).bytes();
            check_refused(&broker, version, &bytes, &BAD);
        }
    }
}

/// [MQTT3-3.1.2-14] [MQTT5-3.1.2-12]
#[test]
fn will_qos_3_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let bytes = Connect::new(version, "alice").will(Will::new("w", "x").qos(3)).bytes();
        check_refused(&broker, version, &bytes, &BAD);
    });
}

/// [MQTT3-3.1.2-9] [MQTT5-3.1.2-9]
#[test]
fn will_flag_without_will_fields_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let bytes = Connect::new(version, "alice").wrong_flags(0x04).bytes();
        check_refused(&broker, version, &bytes, &BAD);
    });
}

/// [MQTT3-3.1.2-19] [MQTT3-3.1.2-21] [MQTT5-3.1.2-17] [MQTT5-3.1.2-19]
#[test]
fn user_name_or_password_flag_without_the_field_closes() {
    let broker = Broker::start(&[]);
    for version in [Version::V311, Version::V5] {
        let bytes = Connect::new(version, "alice").wrong_flags(0x80).bytes();
        check_refused(&broker, version, &bytes, &BAD);
        let named = Connect::new(version, "alice").user_name("u");
        check_refused(&broker, version, &named.wrong_flags(0x40).bytes(), &BAD);
    }
}

/// [MQTT3-3.1.2-18] [MQTT3-3.1.2-20] [MQTT5-3.1.2-16] [MQTT5-3.1.2-18]
#[test]
fn user_name_or_password_without_its_flag_closes() {
    let broker = Broker::start(&[]);
    for version in [Version::V311, Version::V5] {
        let named = Connect::new(version, "alice").user_name("u");
        check_refused(&broker, version, &named.clone().wrong_flags(0x80).bytes(), &BAD);
        let both = named.password("p").wrong_flags(0x40);
        check_refused(&broker, version, &both.bytes(), &BAD);
    }
}

/// [MQTT3-3.1.2-22]
#[test]
fn password_without_user_name_closes_before_5_and_is_read_in_5() {
    let broker = Broker::start(&[]);
    let bytes = Connect::new(Version::V311, "alice").password("p").bytes();
    check_refused(&broker, Version::V311, &bytes, &[]);
    broker.connect(&Connect::new(Version::V5, "alice").password("p"));
}

/// [MQTT3-3.1.3-3] [MQTT5-3.1.3-3]
#[test]
fn connect_without_a_client_id_field_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let whole = Connect::new(version, "").bytes();
        let bytes = frame(0x10, &whole[2..whole.len() - 2]);
        check_refused(&broker, version, &bytes, &BAD);
    });
}

/// [MQTT3-1.5.3-1] [MQTT3-1.5.3-2] [MQTT3-3.1.3-4] [MQTT3-3.1.3-10] [MQTT3-3.1.3-11]
/// [MQTT5-1.5.4-1] [MQTT5-1.5.4-2] [MQTT5-3.1.3-4] [MQTT5-3.1.3-11] [MQTT5-3.1.3-12]
#[test]
fn ill_formed_string_in_connect_closes() {
    let broker = Broker::start(&[]);
    let ill_formed: [&[u8]; 5] =
        [b"a\xff", b"a\xed\xa0\x80", b"a\0b", b"\xc0\xaf", b"\xf4\x90\x80\x80"];
    for version in [Version::V311, Version::V5] {
        for text in ill_formed {
            let connect = Connect::new(version, text);
            check_refused(&broker, version, &connect.bytes(), &[0x81, 0x85]);
            let connect = Connect::new(version, "alice").will(Will::new(text, "x"));
            check_refused(&broker, version, &connect.bytes(), &[0x81, 0x90]);
            let connect = Connect::new(version, "alice").user_name(text);
            check_refused(&broker, version, &connect.bytes(), &[0x81, 0x86]);
        }
    }
}

/// [MQTT3-3.1.3-5] [MQTT5-3.1.3-5]
#[test]
fn client_id_of_digits_and_letters_is_taken() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let ids = ["0", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"];
        for client_id in ids {
            broker.client(version, client_id).expect_nothing_before_pong();
        }
    });
}

/// [MQTT3-3.1.3-6] [MQTT5-3.1.3-6] [MQTT5-3.2.2-16]
#[test]
fn empty_client_id_is_replaced_by_a_unique_one() {
    let broker = Broker::start(&[]);
    let mut one = broker.client(Version::V311, "");
    let mut two = broker.client(Version::V311, "");
    one.expect_nothing_before_pong();
    two.expect_nothing_before_pong();
    let (mut three, connack) = broker.connect_with(&Connect::new(Version::V5, ""));
    let (mut four, other) = broker.connect_with(&Connect::new(Version::V5, ""));
    let assigned = connack.properties.text(0x12).map(str::to_owned);
    assert!(assigned.as_ref().is_some_and(|id| !id.is_empty()), "{connack:?}");
    assert_ne!(assigned.as_deref(), other.properties.text(0x12));
    three.expect_nothing_before_pong();
    four.expect_nothing_before_pong();
    one.expect_nothing_before_pong();
}

/// [MQTT5-3.1.3-7]
#[test]
fn assigned_client_id_resumes_its_session() {
    let broker = Broker::start(&[]);
    let (raw, connack) = broker.connect_with(&Connect::resume(Version::V5, ""));
    let assigned = connack.properties.text(0x12).map(str::to_owned);
    let assigned = assigned.unwrap_or_else(|| panic!("no assigned client id: {connack:?}"));
    raw.disconnect();
    let (_raw, connack) = broker.connect_with(&Connect::resume(Version::V5, &assigned));
    assert!(connack.session_present && !connack.properties.has(0x12), "{connack:?}");
}

/// [MQTT3-3.1.3-7] [MQTT3-3.1.3-8] [MQTT3-3.2.2-4] [MQTT3-3.2.2-5]
#[test]
fn empty_client_id_with_a_session_to_keep_gets_return_code_2() {
    let broker = Broker::start(&[]);
    let mut raw = broker.open(Version::V311);
    raw.send(&Connect::resume(Version::V311, "").bytes());
    raw.expect("20 02 00 02");
    raw.expect_close();
}

#[test]
fn empty_client_id_is_refused_in_3_1() {
    let broker = Broker::start(&[]);
    let bytes = Connect::new(Version::V31, "").bytes();
    assert_eq!(broker.refusal(Version::V31, &bytes), Some(2));
}

/// [MQTT3-3.1.4-5] [MQTT5-3.1.4-6]
#[test]
fn packets_behind_a_refused_connect_have_no_effect() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let refused = Connect::new(version, "mallory").bytes_as("MQTX", 4);
        let publish = Publish::new("a", "x").retain().bytes(version);
        broker.refusal(version, &[refused, publish].concat());
        let mut alice = broker.client(version, "alice");
        alice.subscribe("#", 0);
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.1.4-2] [MQTT5-3.1.4-3] [MQTT5-3.14.2-1] [MQTT5-3.14.2-2] [MQTT5-3.14.4-1]
/// [MQTT5-3.14.4-2]
#[test]
fn second_connection_of_a_client_takes_over_from_the_first() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut first = broker.client(version, "alice");
        let mut second = broker.client(version, "alice");
        let code = first.expect_ending();
        assert_eq!(code, version.has_properties().then_some(0x8e));
        second.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.1.3-1] [MQTT5-3.1.3-1]
#[test]
fn all_fields_of_connect_are_read_in_their_order() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut watcher = broker.client(version, "watcher");
        watcher.subscribe("gone/alice", 1);
        let will = Will::new("gone/alice", "lost").qos(1);
        let will = will.properties(Properties::new().counted(0x03, "text/plain"));
        let connect = Connect::new(version, "alice").will(will);
        broker.connect(&connect.user_name("user").password("word").keep_alive(60)).cut();
        let message = watcher.expect_message("gone/alice", "lost", 1);
        let content_type = version.has_properties().then_some("text/plain");
        assert_eq!(message.properties.text(0x03), content_type);
    });
}

/// [MQTT5-3.1.2-28] [MQTT5-4.12.0-6]
#[test]
fn connack_has_no_response_information_or_method_unless_asked() {
    let broker = Broker::start(&[]);
    let (mut raw, connack) = broker.connect_with(&Connect::new(Version::V5, "alice"));
    assert!(!connack.properties.has(0x1a), "{connack:?}");
    assert!(!connack.properties.has(0x15) && !connack.properties.has(0x16), "{connack:?}");
    raw.expect_nothing_before_pong();
}

/// [MQTT5-4.12.0-1] [MQTT5-3.2.2-7] [MQTT5-3.2.2-6] [MQTT5-4.13.2-1]
#[test]
fn unknown_authentication_method_is_refused() {
    let broker = Broker::start(&[]);
    let properties = Properties::new().counted(0x15, "NO-SUCH-METHOD");
    let bytes = Connect::new(Version::V5, "alice").properties(properties).bytes();
    check_refused(&broker, Version::V5, &bytes, &[0x8c, 0x87]);
}

/// [MQTT5-4.12.0-7]
#[test]
fn auth_without_a_method_in_connect_closes() {
    let broker = Broker::start(&[]);
    for code in [0x18, 0x19] {
        let mut raw = broker.client(Version::V5, "alice");
        raw.send(&auth(code, &Properties::new().counted(0x15, "METHOD")));
        raw.expect_error(&[0x82, 0x8c]);
    }
}

/// Section 3.1.2.11 of 5.0: each of these is a Protocol Error.
#[test]
fn connect_property_out_of_its_range_or_given_twice_closes() {
    let broker = Broker::start(&[]);
    for properties in [
        Properties::new().two(0x21, 0),
        Properties::new().four(0x27, 0),
        Properties::new().byte(0x17, 2),
        Properties::new().byte(0x19, 2),
        Properties::new().four(0x11, 1).four(0x11, 1),
        Properties::new().two(0x21, 1).two(0x21, 1),
        Properties::new().two(0x22, 1).two(0x22, 1),
        Properties::new().counted(0x16, "data without a method"),
        Properties::new().byte(0x01, 1),
        Properties::new().byte(0x7f, 1),
    ] {
        let bytes = Connect::new(Version::V5, "alice").properties(properties).bytes();
        check_refused(&broker, Version::V5, &bytes, &BAD);
    }
}

/// [MQTT3-3.12.4-1] [MQTT5-3.12.4-1]
#[test]
fn pingreq_is_answered() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut raw = broker.client(version, "alice");
        for _ in 0..3 {
            raw.send(&pingreq());
            assert_eq!(raw.receive().kind, Kind::Pingresp);
        }
    });
}
