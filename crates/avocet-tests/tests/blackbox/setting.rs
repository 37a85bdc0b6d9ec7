//! What the settings of `[mqtt]` change for a client: CONNACK says what is not on offer, and who
//! asks for it all the same is told no.

use std::time::Duration;

use avocet_tests::{
    Broker, Connect, Kind, Properties, Publish, Raw, Version, Will, deadline, each_version,
    packet::{pubrec, subscribe, subscribe_with},
    received::Connack,
};

const V5: Version = Version::V5;

/// A refused CONNECT, which is followed by the end.
fn refused(broker: &Broker, connect: &Connect) -> Connack {
    let mut raw = broker.open(connect.version);
    raw.send(&connect.bytes());
    let connack = raw.expect_connack();
    assert_ne!(connack.code, 0, "let in: {connack:?}");
    raw.expect_close();
    connack
}

/// What CONNACK says of something that may be switched off.
fn offered(broker: &Broker, property: u8) -> Option<u32> {
    broker.connect_with(&Connect::new(V5, "asks")).1.properties.number(property)
}

#[test]
fn everything_is_on_offer_by_default() {
    let broker = Broker::start(&[]);
    // Maximum QoS has no value for 2: it is left out.
    assert_eq!(offered(&broker, 0x24), None);
    for property in [0x25, 0x28, 0x29, 0x2a] {
        assert_ne!(offered(&broker, property), Some(0), "{property:#04x}");
    }
    assert_eq!(offered(&broker, 0x13), None, "Server Keep Alive");
}

/// [MQTT5-3.2.2-9] [MQTT5-3.2.2-10] [MQTT5-3.2.2-11] [MQTT5-3.2.2-12]
#[test]
fn highest_qos_is_told_and_held_to() {
    for highest in 0..=1 {
        let broker = Broker::start(&[&format!("mqtt.max_qos={highest}")]);
        assert_eq!(offered(&broker, 0x24), Some(u32::from(highest)));
        each_version(|version| {
            let mut alice = broker.client(version, "alice");
            for asked in 0..=2 {
                assert!(alice.try_subscribe("a", asked) <= asked);
            }
            let mut bob = broker.client(version, "bob");
            bob.publish(&Publish::new("a", "x").qos(highest, 1));
            let message = alice.expect_message("a", "x", highest);
            alice.acknowledge(&message);
            bob.send(&Publish::new("a", "too high").qos(highest + 1, 2).bytes(version));
            assert_eq!(bob.expect_ending(), (version == V5).then_some(0x9b));
            let will = Will::new("a", "too high").qos(highest + 1);
            let connack = refused(&broker, &Connect::new(version, "carol").will(will));
            assert!(version != V5 || connack.code == 0x9b, "{connack:?}");
            alice.expect_nothing_before_pong();
        });
    }
}

/// [MQTT5-3.2.2-13] [MQTT5-3.2.2-14]
#[test]
fn retained_messages_can_be_switched_off() {
    let broker = Broker::start(&["mqtt.retain_available=false"]);
    assert_eq!(offered(&broker, 0x25), Some(0));
    each_version(|version| {
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 0);
        let mut bob = broker.client(version, "bob");
        bob.send(&Publish::new("a", "kept").qos(1, 1).retain().bytes(version));
        assert_eq!(bob.expect_ending(), (version == V5).then_some(0x9a));
        let will = Will::new("a", "kept").retain();
        let connack = refused(&broker, &Connect::new(version, "carol").will(will));
        assert!(version != V5 || connack.code == 0x9a, "{connack:?}");
        alice.expect_nothing_before_pong();
        alice.subscribe("a", 0);
        alice.expect_nothing_before_pong();
    });
}

/// What SUBACK says of each filter, and what comes by them afterwards.
#[track_caller]
fn check_filters(broker: &Broker, version: Version, filters: &[(&str, u8)], code: u8) {
    let refused = if version == V5 { code } else { 0x80 };
    let mut alice = broker.client(version, "alice");
    alice.send(&subscribe(version, 1, filters));
    assert_eq!(alice.expect_suback(1).codes, vec![refused; filters.len()]);
    let mut bob = broker.client(version, "bob");
    bob.publish(&Publish::new("a/b", "x"));
    alice.expect_nothing_before_pong();
    alice.subscribe("a/b", 1);
    bob.publish(&Publish::new("a/b", "x"));
    alice.expect_message("a/b", "x", 0);
}

/// [MQTT3-3.8.3-2], and 0xA2 of section 3.9.3 of 5.0.
#[test]
fn wildcards_can_be_switched_off() {
    let broker = Broker::start(&["mqtt.wildcard_subscription=false"]);
    assert_eq!(offered(&broker, 0x28), Some(0));
    each_version(|version| {
        let filters = [("a/+", 0), ("a/#", 1), ("#", 2), ("$share/g/+/b", 0), ("$local/#", 0)];
        check_filters(&broker, version, &filters, 0xa2);
    });
}

/// 0x9E of section 3.9.3 of 5.0.
#[test]
fn shared_subscriptions_can_be_switched_off() {
    let broker = Broker::start(&["mqtt.shared_subscription=false"]);
    assert_eq!(offered(&broker, 0x2a), Some(0));
    each_version(|version| {
        let filters =
            [("$share/g/a/b", 1), ("$queue/a/b", 0), ("$local/$share/g/a/b", 0), ("$queue/#", 0)];
        check_filters(&broker, version, &filters, 0x9e);
    });
}

/// 0xA1 of section 3.9.3 of 5.0.
#[test]
fn subscription_identifiers_can_be_switched_off() {
    let broker = Broker::start(&["mqtt.subscription_identifier=false"]);
    assert_eq!(offered(&broker, 0x29), Some(0));
    let mut alice = broker.client(V5, "alice");
    alice.subscribe("a", 0);
    let identifier = Properties::new().variable(0x0b, 1);
    alice.send(&subscribe_with(V5, 2, &identifier, &[("b", 0)]));
    assert_eq!(alice.expect_ending(), Some(0xa1));
}

/// [MQTT5-3.2.2-18]
#[test]
fn topic_aliases_can_be_switched_off() {
    let broker = Broker::start(&["mqtt.max_topic_alias=0"]);
    assert!(matches!(offered(&broker, 0x22), None | Some(0)));
    let mut alice = broker.client(V5, "alice");
    alice.send(&Publish::new("a", "x").properties(Properties::new().two(0x23, 1)).bytes(V5));
    assert_eq!(alice.expect_ending(), Some(0x94));
}

#[test]
fn broker_without_outbound_aliases_sends_topics() {
    let broker = Broker::start(&["mqtt.max_outbound_topic_alias=0"]);
    let connect = Connect::new(V5, "alice").properties(Properties::new().two(0x22, 10));
    let mut alice = broker.connect(&connect);
    alice.subscribe("a", 0);
    let mut bob = broker.client(V5, "bob");
    for _ in 0..3 {
        bob.publish(&Publish::new("a", "x"));
        assert!(!alice.expect_message("a", "x", 0).properties.has(0x23));
    }
}

/// Clients before 5.0 cannot be told, and keep the interval that they asked for.
///
/// [MQTT5-3.2.2-21]
#[test]
fn keep_alive_of_the_broker_holds_in_place_of_a_longer_one_and_of_none() {
    let broker = Broker::start(&["mqtt.server_keep_alive=1"]);
    for asked in [0, 1000] {
        let connect = Connect::new(V5, "alice").keep_alive(asked);
        let (mut alice, connack) = broker.connect_with(&connect);
        assert_eq!(connack.properties.number(0x13), Some(1));
        assert_eq!(alice.expect_ending(), Some(0x8d));
    }
    let shorter = Connect::new(V5, "bob").keep_alive(1);
    assert_eq!(broker.connect_with(&shorter).1.properties.number(0x13), None);
}

#[test]
fn session_expiry_is_bounded() {
    let broker = Broker::start(&["mqtt.session_expiry_interval_max=1s"]);
    let expiry =
        |seconds| Connect::new(V5, "alice").properties(Properties::new().four(0x11, seconds));
    let (alice, connack) = broker.connect_with(&expiry(100));
    assert_eq!(connack.properties.number(0x11), Some(1));
    alice.disconnect();
    assert_eq!(broker.connect_with(&expiry(1)).1.properties.number(0x11), None);
    let connack = broker.connect_with(&expiry(u32::MAX)).1;
    assert_eq!(connack.properties.number(0x11), Some(1), "no end is longer than any");
    each_version(|version| {
        let connect = Connect::resume(version, "bob");
        broker.connect(&connect).disconnect();
        deadline::let_pass(Duration::from_millis(2_500));
        let (bob, connack) = broker.connect_with(&connect);
        assert!(!connack.session_present);
        bob.disconnect();
        let (bob, connack) = broker.connect_with(&connect);
        assert!(connack.session_present || version == Version::V31, "back in time");
        drop(bob);
        broker.client(version, "bob").disconnect();
    });
}

/// [MQTT5-3.1.2-28]
#[test]
fn response_information_is_told_to_who_asks() {
    let broker = Broker::start(&["mqtt.response_information=answers/"]);
    let asks = |value| Connect::new(V5, "alice").properties(Properties::new().byte(0x19, value));
    let told = |connect: &Connect| {
        let connack = broker.connect_with(connect).1;
        connack.properties.text(0x1a).map(str::to_owned)
    };
    assert_eq!(told(&asks(1)).as_deref(), Some("answers/"));
    assert_eq!(told(&asks(0)), None);
    assert_eq!(told(&Connect::new(V5, "alice")), None);
}

#[test]
fn clients_are_sent_to_another_server() {
    for (reason, code) in [("use_another_server", 0x9c), ("server_moved", 0x9d)] {
        let broker = Broker::start(&[
            "mqtt.server_reference=other.example",
            &format!("mqtt.server_reference_reason={reason}"),
        ]);
        each_version(|version| {
            let connack = refused(&broker, &Connect::new(version, "alice"));
            if version == V5 {
                assert_eq!(connack.code, code);
                assert_eq!(connack.properties.text(0x1c), Some("other.example"));
            } else {
                assert_eq!(connack.code, 3);
            }
        });
    }
}

/// [MQTT5-3.1.4-2] [MQTT3-3.1.4-2]: not let in, and closed.
#[test]
fn client_without_credentials_is_refused_where_none_are_let_in() {
    let broker = Broker::start(&["listeners.tcp.default.allow_anonymous=false"]);
    each_version(|version| {
        let code = if version == V5 { 0x87 } else { 5 };
        assert_eq!(refused(&broker, &Connect::new(version, "alice")).code, code);
        // Nobody is there who could say that these are right.
        let connect = Connect::new(version, "alice").user_name("al").password("secret");
        refused(&broker, &connect);
    });
}

#[test]
fn client_may_get_one_copy_for_each_of_its_subscriptions() {
    let broker = Broker::start(&["mqtt.overlapping_subscriptions=per_subscription"]);
    let mut alice = broker.client(V5, "alice");
    for (filter, qos, id) in [("a/b", 0, 1), ("a/+", 1, 2), ("#", 2, 3)] {
        alice.subscribe_with(filter, qos, &Properties::new().variable(0x0b, id));
    }
    let mut bob = broker.client(V5, "bob");
    bob.publish(&Publish::new("a/b", "x").qos(2, 1));
    let messages = alice.messages_before_pong();
    let mut seen: Vec<_> =
        messages.iter().map(|m| (m.properties.numbers(0x0b), m.qos, m.text())).collect();
    seen.sort();
    let copy = |id, qos| (vec![id], qos, "x".to_owned());
    assert_eq!(seen, [copy(1, 0), copy(2, 1), copy(3, 2)]);
    for version in [Version::V31, Version::V311] {
        let mut carol = broker.client(version, "carol");
        carol.subscribe("c/d", 0);
        carol.subscribe("c/#", 1);
        bob.publish(&Publish::new("c/d", "x").qos(1, 1));
        assert_eq!(carol.texts_before_pong(), ["x", "x"]);
        carol.disconnect();
    }
}

/// [MQTT5-4.3.3-9], and 0x99 of section 3.3.2.3.2.
#[test]
fn payload_that_is_not_the_utf_8_it_says_is_refused_and_the_id_is_free_again() {
    let broker = Broker::start(&["mqtt.check_payload_format=true"]);
    let mut alice = broker.client(V5, "alice");
    alice.subscribe("a", 2);
    let mut bob = broker.client(V5, "bob");
    let text = || Properties::new().byte(0x01, 1);
    let bad = Publish::new("a", [b'x', 0xff]).properties(text());
    bob.send(&bad.clone().qos(1, 1).bytes(V5));
    assert_eq!(bob.expect_puback(1).code, 0x99);
    bob.send(&bad.qos(2, 2).bytes(V5));
    assert_eq!(bob.expect_pubrec(2).code, 0x99);
    alice.expect_nothing_before_pong();
    // The same packet identifier, without a PUBREL: a new message, and as good as any.
    for payload in ["one", "two"] {
        bob.publish(&Publish::new("a", payload).qos(2, 2).properties(text()));
        let message = alice.expect_message("a", payload, 2);
        alice.acknowledge(&message);
    }
    bob.publish(&Publish::new("a", [b'x', 0xff]).qos(1, 1));
    assert_eq!(alice.expect_publish().payload, [b'x', 0xff], "bytes that say nothing");
    let will = Will::new("a", [0xff]).properties(text());
    assert_eq!(refused(&broker, &Connect::new(V5, "carol").will(will)).code, 0x99);
}

#[test]
fn payload_format_is_not_looked_at_unless_asked() {
    let broker = Broker::start(&[]);
    let mut alice = broker.client(V5, "alice");
    alice.subscribe("a", 0);
    let publish = Publish::new("a", [0xff]).properties(Properties::new().byte(0x01, 1));
    broker.client(V5, "bob").publish(&publish.qos(1, 1));
    assert_eq!(alice.expect_publish().payload, [0xff]);
}

/// A client with this Maximum Packet Size.
fn with_room(client_id: &str, bytes: u32) -> Connect {
    Connect::new(V5, client_id).properties(Properties::new().four(0x27, bytes))
}

/// The packet that comes next, which has to stay within a Maximum Packet Size.
#[track_caller]
fn receive_within(raw: &mut Raw, bytes: usize) -> Kind {
    let received = raw.receive();
    assert!(received.bytes.len() <= bytes, "more than {bytes} bytes: {received:?}");
    received.kind
}

/// [MQTT5-3.2.2-19]
#[test]
fn connack_has_no_reason_text_without_room_for_it() {
    let broker = Broker::start(&["listeners.tcp.default.allow_anonymous=false"]);
    let connack = refused(&broker, &with_room("alice", 1_000));
    assert!(connack.properties.has(0x1f), "nothing to leave out: {connack:?}");
    for room in [5, 8, 20] {
        let mut raw = broker.open(V5);
        raw.send(&with_room("alice", room).bytes());
        let kind = receive_within(&mut raw, room as usize);
        assert!(matches!(kind, Kind::Connack(ref connack) if connack.code == 0x87), "{kind:?}");
        raw.expect_close();
    }
}

/// [MQTT5-3.14.2-3]
#[test]
fn disconnect_has_no_reason_text_without_room_for_it() {
    let broker = Broker::start(&[]);
    // CONNACK has to fit, too, so that the text is longer than what is left.
    for (room, has_text) in [(1_000, true), (30, false), (25, false)] {
        let mut raw = broker.open(V5);
        raw.send(&with_room("alice", room).bytes());
        let kind = receive_within(&mut raw, room as usize);
        assert!(matches!(kind, Kind::Connack(ref connack) if connack.code == 0), "{kind:?}");
        raw.send(&subscribe(V5, 1, &[("$share/g/a", 0x04)]));
        let Kind::Disconnect(ending) = receive_within(&mut raw, room as usize) else {
            panic!("no DISCONNECT");
        };
        assert_eq!((ending.code, ending.properties.has(0x1f)), (0x82, has_text));
    }
}

#[test]
fn pubrel_has_nothing_that_there_is_no_room_for() {
    let broker = Broker::start(&[]);
    // CONNACK has to fit, too; a reason text would not.
    let room = 25;
    let mut raw = broker.connect(&with_room("alice", room));
    raw.send(&pubrec(77));
    let Kind::Pubrel(pubrel) = receive_within(&mut raw, room as usize) else {
        panic!("no PUBREL");
    };
    assert_eq!((pubrel.id, pubrel.code), (77, 0x92));
    assert!(!pubrel.properties.has(0x1f) && !pubrel.properties.has(0x26), "{pubrel:?}");
}
