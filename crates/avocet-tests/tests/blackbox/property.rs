//! Properties of 5.0 that a message carries, topic aliases, packet sizes.

use std::time::Duration;

use avocet_tests::{
    Broker, Connect, Kind, Properties, Publish, Raw, Version, deadline,
    packet::{pubcomp, pubrec, pubrel},
};

const V5: Version = Version::V5;

/// [MQTT5-3.3.2-4] [MQTT5-3.3.2-15] [MQTT5-3.3.2-16] [MQTT5-3.3.2-17] [MQTT5-3.3.2-18]
/// [MQTT5-3.3.2-20] [MQTT5-1.5.4-3]
#[test]
fn properties_of_a_message_reach_every_subscriber_unaltered() {
    let broker = Broker::start(&[]);
    let mut alice = broker.client(V5, "alice");
    let mut carol = broker.client(V5, "carol");
    alice.subscribe("a", 0);
    carol.subscribe("#", 2);
    let properties = Properties::new()
        .user("z", "1")
        .byte(0x01, 1)
        .counted(0x08, "answer/\u{fc}")
        .counted(0x09, [0, 255, 128])
        .user("a", "")
        .counted(0x03, "text/plain; charset=utf-8")
        .user("\u{feff}z", "\u{1f99c}")
        .user("z", "1");
    let publish = Publish::new("a", "x").qos(1, 1).properties(properties);
    broker.client(V5, "bob").publish(&publish);
    for client in [&mut alice, &mut carol] {
        let seen = client.expect_publish().properties;
        assert_eq!(seen.number(0x01), Some(1));
        assert_eq!(seen.text(0x08), Some("answer/\u{fc}"));
        assert_eq!(seen.binary(0x09), Some(&[0, 255, 128][..]));
        assert_eq!(seen.text(0x03), Some("text/plain; charset=utf-8"));
        let user = [("z", "1"), ("a", ""), ("\u{feff}z", "\u{1f99c}"), ("z", "1")];
        assert_eq!(seen.user(), user);
        assert!(!seen.has(0x02) && !seen.has(0x0b), "{seen:?}");
    }
}

#[test]
fn client_without_properties_gets_the_message_without_them() {
    let broker = Broker::start(&[]);
    let mut alice = broker.client(Version::V311, "alice");
    alice.subscribe("a", 0);
    let publish = Publish::new("a", "x").properties(Properties::new().user("a", "b"));
    broker.client(V5, "bob").publish(&publish);
    alice.expect("30 04 0001 61 78");
}

#[track_caller]
fn check_closes(broker: &Broker, properties: Properties, codes: &[u8]) {
    let mut raw = broker.client(V5, "alice");
    raw.send(&Publish::new("a", "x").properties(properties).bytes(V5));
    raw.expect_error(codes);
}

/// [MQTT5-3.3.2-13] [MQTT5-3.3.2-14] [MQTT5-3.3.2-19] [MQTT5-1.5.7-1] [MQTT5-1.5.4-1]
/// [MQTT5-1.5.4-2]
#[test]
fn ill_formed_property_of_a_message_closes() {
    let broker = Broker::start(&[]);
    for text in [&b"\xff"[..], b"a\0", b"\xed\xa0\x80"] {
        check_closes(&broker, Properties::new().counted(0x03, text), &[0x81]);
        check_closes(&broker, Properties::new().counted(0x08, text), &[0x81, 0x90]);
        check_closes(&broker, Properties::new().user(text, "value"), &[0x81]);
        check_closes(&broker, Properties::new().user("name", text), &[0x81]);
    }
    for wildcards in ["a/#", "+", "a/+/b"] {
        check_closes(&broker, Properties::new().counted(0x08, wildcards), &[0x81, 0x82, 0x90]);
    }
}

/// [MQTT5-3.3.4-6]
#[test]
fn subscription_identifier_from_a_client_closes() {
    let broker = Broker::start(&[]);
    check_closes(&broker, Properties::new().variable(0x0b, 1), &[0x82, 0x81]);
}

/// Section 2.2.2.2 and those of each property: twice, out of range, or of another packet.
#[test]
fn property_twice_or_out_of_place_closes() {
    let broker = Broker::start(&[]);
    for properties in [
        Properties::new().byte(0x01, 0).byte(0x01, 0),
        Properties::new().byte(0x01, 2),
        Properties::new().four(0x02, 9).four(0x02, 9),
        Properties::new().counted(0x03, "a").counted(0x03, "a"),
        Properties::new().counted(0x08, "a").counted(0x08, "a"),
        Properties::new().counted(0x09, "a").counted(0x09, "a"),
        Properties::new().two(0x23, 1).two(0x23, 1),
        Properties::new().four(0x11, 9),
        Properties::new().byte(0x7f, 9),
        Properties::new().byte(0x00, 9),
    ] {
        check_closes(&broker, properties, &[0x81, 0x82]);
    }
}

/// [MQTT5-3.3.2-8] [MQTT5-3.3.2-9] [MQTT5-3.2.2-17]
#[test]
fn topic_alias_0_above_the_maximum_or_unknown_closes() {
    let broker = Broker::start(&[]);
    let (_raw, connack) = broker.connect_with(&Connect::new(V5, "asking"));
    let maximum = connack.properties.number(0x22).unwrap_or(0);
    let above = u16::try_from(maximum + 1).expect("a maximum that can be passed");
    check_closes(&broker, Properties::new().two(0x23, 0), &[0x94]);
    check_closes(&broker, Properties::new().two(0x23, above), &[0x94]);
    let mut raw = broker.client(V5, "alice");
    raw.send(&Publish::new("", "x").properties(Properties::new().two(0x23, 1)).bytes(V5));
    raw.expect_error(&[0x82, 0x94]);
}

fn alias(raw: &mut Raw, topic: &str, alias: u16, payload: &str) {
    let properties = Properties::new().two(0x23, alias);
    raw.send(&Publish::new(topic, payload).properties(properties).bytes(V5));
}

/// [MQTT5-3.3.2-12]
#[test]
fn topic_alias_of_a_client_stands_for_its_topic_until_it_is_given_another() {
    let broker = Broker::start(&[]);
    let mut alice = broker.client(V5, "alice");
    alice.subscribe("#", 0);
    let (mut bob, connack) = broker.connect_with(&Connect::new(V5, "bob"));
    let maximum = u16::try_from(connack.properties.number(0x22).unwrap_or(0)).unwrap_or(0);
    assert!(maximum > 1, "topic aliases are supported: {connack:?}");
    for (topic, number, meant) in [
        ("a", 1, "a"),
        ("", 1, "a"),
        ("b", maximum, "b"),
        ("", maximum, "b"),
        ("", 1, "a"),
        ("c", 1, "c"),
        ("", 1, "c"),
    ] {
        alias(&mut bob, topic, number, "x");
        let message = alice.expect_message(meant, "x", 0);
        assert!(!message.properties.has(0x23), "an alias alice did not allow: {message:?}");
    }
}

/// [MQTT5-3.3.2-7]
#[test]
fn topic_alias_ends_with_the_connection() {
    let broker = Broker::start(&[]);
    let connect = Connect::resume(V5, "bob");
    let mut bob = broker.connect(&connect);
    alias(&mut bob, "a", 1, "x");
    bob.expect_nothing_before_pong();
    bob.cut();
    let mut bob = broker.connect(&connect);
    alias(&mut bob, "", 1, "x");
    bob.expect_error(&[0x82, 0x94]);
}

/// [MQTT5-3.1.2-26] [MQTT5-3.1.2-27] [MQTT5-3.3.2-11]
#[test]
fn aliases_of_the_broker_stay_within_the_clients_maximum() {
    let broker = Broker::start(&[]);
    for maximum in [0_u16, 1, 3] {
        let properties = Properties::new().two(0x22, maximum);
        let mut alice = broker.connect(&Connect::new(V5, "alice").properties(properties));
        alice.subscribe("t/#", 0);
        let mut bob = broker.client(V5, "bob");
        let mut topics = vec![String::new(); usize::from(maximum) + 1];
        for round in 0..3 {
            for topic in ["t/a", "t/b", "t/c", "t/d", "t/e"] {
                bob.publish(&Publish::new(topic, topic));
                let message = alice.expect_publish();
                let alias = message.properties.number(0x23).map(|alias| alias as usize);
                assert!(alias.is_none_or(|alias| alias > 0 && alias < topics.len()), "{message:?}");
                if let (Some(alias), false) = (alias, message.topic.is_empty()) {
                    topics[alias].clone_from(&message.topic);
                }
                let meant = alias.map_or(&message.topic, |alias| &topics[alias]);
                assert_eq!((meant.as_str(), message.text()), (topic, topic.to_owned()), "{round}");
            }
        }
    }
}

/// [MQTT5-3.3.2-6]
#[test]
fn message_expiry_is_counted_down_while_the_broker_has_the_message() {
    let broker = Broker::start(&[]);
    let connect = Connect::resume(V5, "alice");
    let mut alice = broker.connect(&connect);
    alice.subscribe("a", 1);
    alice.disconnect();
    let publish = Publish::new("a", "x").qos(1, 1).properties(Properties::new().four(0x02, 100));
    broker.client(V5, "bob").publish(&publish);
    deadline::let_pass(Duration::from_millis(2_200));
    let mut alice = broker.connect(&connect);
    let left = alice.expect_message("a", "x", 1).properties.number(0x02);
    assert!(left.is_some_and(|left| (90..=98).contains(&left)), "{left:?} seconds are left");
}

/// [MQTT5-3.3.2-5]
#[test]
fn expired_message_is_not_delivered() {
    let broker = Broker::start(&[]);
    let connect = Connect::resume(V5, "alice");
    let mut alice = broker.connect(&connect);
    alice.subscribe("a", 1);
    alice.disconnect();
    let short = Properties::new().four(0x02, 1);
    let mut bob = broker.client(V5, "bob");
    bob.publish(&Publish::new("a", "short").qos(1, 1).properties(short.clone()));
    bob.publish(&Publish::new("a", "long").qos(1, 2));
    bob.publish(&Publish::new("b", "retained").retain().properties(short));
    deadline::let_pass(Duration::from_millis(2_200));
    let mut alice = broker.connect(&connect);
    alice.expect_message("a", "long", 1);
    alice.expect_nothing_before_pong();
    alice.subscribe("b", 0);
    alice.expect_nothing_before_pong();
}

/// [MQTT5-4.3.3-7] [MQTT5-4.3.3-13]
#[test]
fn expiry_does_not_break_off_a_delivery_at_qos_2() {
    let broker = Broker::start(&[]);
    let connect = Connect::resume(V5, "alice");
    let mut alice = broker.connect(&connect);
    alice.subscribe("a", 2);
    let mut bob = broker.connect(&Connect::resume(V5, "bob"));
    let short = Publish::new("a", "x").qos(2, 1).properties(Properties::new().four(0x02, 1));
    bob.publish(&short);
    let before = alice.expect_message("a", "x", 2);
    alice.disconnect();
    bob.send(&Publish { id: 2, ..short }.bytes(V5));
    bob.expect_pubrec(2);
    deadline::let_pass(Duration::from_millis(2_200));
    bob.send(&pubrel(2));
    assert_eq!(bob.expect_pubcomp(2).code, 0);
    let mut alice = broker.connect(&connect);
    let again = alice.expect_message("a", "x", 2);
    assert_eq!((again.id, again.dup), (before.id, true));
    alice.send(&pubrec(again.packet_id()));
    alice.expect_pubrel(again.packet_id());
    alice.send(&pubcomp(again.packet_id()));
    alice.expect_nothing_before_pong();
}

/// [MQTT5-3.1.2-24] [MQTT5-3.1.2-25]
#[test]
fn message_too_large_for_a_client_is_left_out_and_the_next_one_flows() {
    let broker = Broker::start(&[]);
    let properties = Properties::new().four(0x27, 64).two(0x21, 2);
    let mut alice = broker.connect(&Connect::new(V5, "alice").properties(properties));
    alice.subscribe("a", 2);
    let mut bob = broker.client(V5, "bob");
    for id in 1..=6 {
        bob.publish(&Publish::new("a", "x".repeat(100)).qos(1 + (id % 2) as u8, id));
    }
    // No send quota went with them: two messages fit the window.
    bob.publish(&Publish::new("a", "one").qos(1, 7));
    bob.publish(&Publish::new("a", "two").qos(2, 8));
    let one = alice.expect_message("a", "one", 1);
    let two = alice.expect_message("a", "two", 2);
    alice.acknowledge(&one);
    alice.acknowledge(&two);
    alice.expect_nothing_before_pong();
}

/// [MQTT5-3.1.2-29] [MQTT5-3.4.2-2] [MQTT5-3.5.2-2]
#[test]
fn acks_have_no_reason_text_for_a_client_that_wants_none_or_has_no_room() {
    let broker = Broker::start(&[]);
    let mut alice = broker.connect(
        &Connect::new(V5, "alice").properties(Properties::new().byte(0x17, 0).four(0x27, 20)),
    );
    let unsuback = alice.unsubscribe("never");
    assert!(unsuback.properties.0.is_empty(), "{unsuback:?}");
    alice.send(&Publish::new("nobody/listens", "x").qos(1, 1).bytes(V5));
    assert!(alice.expect_puback(1).properties.0.is_empty());
    alice.send(&Publish::new("nobody/listens", "x").qos(2, 2).bytes(V5));
    assert!(alice.expect_pubrec(2).properties.0.is_empty());
    alice.send(&pubrel(2));
    assert!(alice.expect_pubcomp(2).properties.0.is_empty());
}

/// A session that is kept cannot have `$fastlane/`, and an exchange that nobody knows is told so:
/// each answer says why, unless the client wants no words or has no room for them.
///
/// [MQTT5-3.1.2-29] [MQTT5-3.9.2-1] [MQTT5-3.6.2-2] [MQTT5-3.7.2-2]
#[test]
fn answers_with_an_error_have_a_reason_text_for_who_wants_it_and_has_room() {
    let broker = Broker::start(&[]);
    let kept = || Properties::new().four(0x11, 1_000);
    for (properties, room, has_text) in [
        (kept(), usize::MAX, true),
        (kept().byte(0x17, 1), usize::MAX, true),
        (kept().byte(0x17, 0), usize::MAX, false),
        (kept().four(0x27, 1_000), 1_000, true),
        (kept().four(0x27, 30), 30, false),
    ] {
        let mut alice = broker.connect(&Connect::new(V5, "alice").properties(properties));
        alice.send(&avocet_tests::packet::subscribe(V5, 1, &[("$fastlane/x", 0)]));
        alice.send(&pubrec(77));
        alice.send(&pubrel(78));
        for _ in 0..3 {
            let answer = alice.receive();
            assert!(answer.bytes.len() <= room, "{answer:?}");
            let (code, properties) = if let Kind::Suback(suback) = &answer.kind {
                (suback.codes[0], &suback.properties)
            } else if let Kind::Pubrel(ack) | Kind::Pubcomp(ack) = &answer.kind {
                (ack.code, &ack.properties)
            } else {
                panic!("{answer:?}");
            };
            assert!(matches!(code, 0x83 | 0x92), "{code:#x}");
            assert_eq!(properties.has(0x1f), has_text, "{code:#x} within {room} bytes");
        }
    }
}
