//! The handshakes of QoS 1 and 2, in both directions.

use avocet_tests::{
    Broker, Connect, Publish, Version, each_version,
    packet::{ack_with_code, puback, pubcomp, pubrec, pubrel},
};

/// [MQTT3-3.3.4-1] [MQTT3-4.3.2-2] [MQTT3-2.3.1-6] [MQTT5-3.3.4-1] [MQTT5-4.3.2-4] [MQTT5-2.2.1-5]
/// [MQTT5-4.3.2-5] [MQTT5-3.4.2-1]
#[test]
fn publish_at_qos_1_is_acknowledged_and_its_id_is_free_again() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let mut bob = broker.client(version, "bob");
        alice.subscribe("a", 0);
        for (id, text) in [(1, "one"), (65_535, "two"), (1, "three")] {
            bob.publish(&Publish::new("a", text).qos(1, id));
            alice.expect_message("a", text, 0);
        }
        bob.publish(&Publish::new("a", "four").qos(1, 1).dup());
        alice.expect_message("a", "four", 0);
    });
}

/// [MQTT3-4.3.3-2] [MQTT3-3.3.4-1] [MQTT5-4.3.3-8] [MQTT5-4.3.3-10] [MQTT5-4.3.3-11]
/// [MQTT5-4.3.3-12] [MQTT5-2.2.1-5] [MQTT3-2.3.1-6] [MQTT5-3.5.2-1] [MQTT5-3.7.2-1]
#[test]
fn publish_at_qos_2_repeated_before_pubrel_is_delivered_once() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let mut bob = broker.client(version, "bob");
        alice.subscribe("a", 0);
        let publish = Publish::new("a", "once").qos(2, 9);
        bob.send(&publish.bytes(version));
        bob.expect_pubrec(9);
        for _ in 0..3 {
            bob.send(&publish.clone().dup().bytes(version));
            bob.expect_pubrec(9);
        }
        bob.send(&pubrel(9));
        bob.expect_pubcomp(9);
        alice.expect_message("a", "once", 0);
        alice.expect_nothing_before_pong();
        // The id is new after PUBCOMP.
        bob.publish(&Publish::new("a", "again").qos(2, 9));
        alice.expect_message("a", "again", 0);
        alice.expect_nothing_before_pong();
    });
}

#[test]
fn several_qos_2_handshakes_are_open_at_once() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let mut bob = broker.client(version, "bob");
        alice.subscribe("a", 0);
        for id in 1..=10 {
            bob.send(&Publish::new("a", id.to_string()).qos(2, id).bytes(version));
        }
        for id in 1..=10 {
            bob.expect_pubrec(id);
        }
        for id in (1..=10).rev() {
            bob.send(&pubrel(id));
            bob.expect_pubcomp(id);
        }
        let mut seen: Vec<String> = (0..10).map(|_| alice.expect_publish().text()).collect();
        seen.sort_by_key(|text| text.parse::<u16>().unwrap_or(0));
        assert_eq!(seen, (1..=10).map(|id: u16| id.to_string()).collect::<Vec<_>>());
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-4.3.2-1] [MQTT3-2.3.1-4] [MQTT5-4.3.2-1] [MQTT5-4.3.2-2] [MQTT5-2.2.1-4] [MQTT3-3.3.1-3]
/// [MQTT5-3.3.1-3]
#[test]
fn delivery_at_qos_1_has_a_free_id_and_no_dup() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let mut bob = broker.client(version, "bob");
        alice.subscribe("a", 1);
        let mut ids = Vec::new();
        for id in 1..=5 {
            // What the publisher resends goes out as sent for the first time.
            bob.publish(&Publish::new("a", "x").qos(1, id).dup());
            let message = alice.expect_message("a", "x", 1);
            assert!(!message.dup, "{message:?}");
            assert!(!ids.contains(&message.packet_id()), "id is in use: {message:?}");
            ids.push(message.packet_id());
        }
        for id in ids {
            alice.send(&puback(id));
        }
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-4.3.3-1] [MQTT5-4.3.3-1] [MQTT5-4.3.3-2] [MQTT5-4.3.3-4] [MQTT5-3.6.2-1]
#[test]
fn delivery_at_qos_2_runs_through_pubrec_pubrel_pubcomp() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let mut bob = broker.client(version, "bob");
        alice.subscribe("a", 2);
        bob.publish(&Publish::new("a", "x").qos(2, 1));
        bob.publish(&Publish::new("a", "y").qos(2, 2));
        let first = alice.expect_message("a", "x", 2);
        let second = alice.expect_message("a", "y", 2);
        assert!(!first.dup && !second.dup);
        assert_ne!(first.id, second.id);
        for message in [&first, &second] {
            alice.send(&pubrec(message.packet_id()));
            let pubrel = alice.expect_pubrel(message.packet_id());
            assert_eq!(pubrel.code, 0);
        }
        for message in [&second, &first] {
            alice.send(&pubcomp(message.packet_id()));
        }
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.8.4-6] [MQTT5-3.8.4-8]
#[test]
fn delivery_has_the_lower_of_both_qos() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut bob = broker.client(version, "bob");
        for granted in 0..=2 {
            for published in 0..=2 {
                let mut alice = broker.client(version, "alice");
                alice.subscribe("a", granted);
                bob.publish(&Publish::new("a", "x").qos(published, 1));
                let message = alice.expect_message("a", "x", granted.min(published));
                alice.acknowledge(&message);
                alice.expect_nothing_before_pong();
            }
        }
    });
}

/// [MQTT3-4.4.0-1] [MQTT3-3.3.1-1] [MQTT3-4.3.2-1] [MQTT5-4.4.0-1] [MQTT5-3.3.1-1] [MQTT5-4.3.2-3]
#[test]
fn unacknowledged_qos_1_is_sent_again_with_dup_on_resuming() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let connect = Connect::resume(version, "alice");
        let mut alice = broker.connect(&connect);
        alice.subscribe("a", 1);
        let mut bob = broker.client(version, "bob");
        for (id, text) in [(1, "one"), (2, "two"), (3, "three")] {
            bob.publish(&Publish::new("a", text).qos(1, id));
        }
        let first = alice.expect_message("a", "one", 1);
        let second = alice.expect_message("a", "two", 1);
        let third = alice.expect_message("a", "three", 1);
        alice.send(&puback(first.packet_id()));
        // Not before a resumption is anything sent again.
        alice.expect_nothing_before_pong();
        alice.cut();
        let (mut alice, connack) = broker.connect_with(&connect);
        assert!(connack.session_present || version == Version::V31, "{connack:?}");
        for before in [second, third] {
            let again = alice.expect_message("a", &before.text(), 1);
            assert_eq!((again.id, again.dup), (before.id, true));
            alice.acknowledge(&again);
        }
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-4.4.0-1] [MQTT3-4.3.3-1] [MQTT5-4.4.0-1] [MQTT5-4.3.3-3] [MQTT5-3.3.1-1]
#[test]
fn qos_2_without_pubrec_is_sent_again_with_dup_on_resuming() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let connect = Connect::resume(version, "alice");
        let mut alice = broker.connect(&connect);
        alice.subscribe("a", 2);
        broker.client(version, "bob").publish(&Publish::new("a", "x").qos(2, 1));
        let before = alice.expect_message("a", "x", 2);
        alice.cut();
        let mut alice = broker.connect(&connect);
        let again = alice.expect_message("a", "x", 2);
        assert_eq!((again.id, again.dup), (before.id, true));
        alice.acknowledge(&again);
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-4.4.0-1] [MQTT3-4.3.3-1] [MQTT5-4.4.0-1] [MQTT5-4.3.3-5] [MQTT5-4.3.3-6]
#[test]
fn after_pubrel_only_pubrel_is_sent_again_on_resuming() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let connect = Connect::resume(version, "alice");
        let mut alice = broker.connect(&connect);
        alice.subscribe("a", 2);
        broker.client(version, "bob").publish(&Publish::new("a", "x").qos(2, 1));
        let id = alice.expect_message("a", "x", 2).packet_id();
        alice.send(&pubrec(id));
        alice.expect_pubrel(id);
        alice.cut();
        let mut alice = broker.connect(&connect);
        alice.expect_pubrel(id);
        alice.send(&pubcomp(id));
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-4.3.3-2] [MQTT5-4.3.3-10]
#[test]
fn qos_2_of_a_publisher_stays_once_over_a_reconnection() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 0);
        let connect = Connect::resume(version, "bob");
        let mut bob = broker.connect(&connect);
        let publish = Publish::new("a", "once").qos(2, 5);
        bob.send(&publish.bytes(version));
        bob.expect_pubrec(5);
        bob.cut();
        let mut bob = broker.connect(&connect);
        bob.send(&publish.dup().bytes(version));
        bob.expect_pubrec(5);
        bob.send(&pubrel(5));
        bob.expect_pubcomp(5);
        alice.expect_message("a", "once", 0);
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT5-4.4.0-2]
#[test]
fn delivery_refused_by_the_client_is_not_sent_again() {
    let broker = Broker::start(&[]);
    let connect = Connect::resume(Version::V5, "alice");
    let mut alice = broker.connect(&connect);
    alice.subscribe("a", 2);
    let mut bob = broker.client(Version::V5, "bob");
    bob.publish(&Publish::new("a", "one").qos(1, 1));
    bob.publish(&Publish::new("a", "two").qos(2, 2));
    let one = alice.expect_message("a", "one", 1).packet_id();
    let two = alice.expect_message("a", "two", 2).packet_id();
    alice.send(&ack_with_code(0x40, one, 0x80));
    alice.send(&ack_with_code(0x50, two, 0x97));
    alice.expect_nothing_before_pong();
    alice.cut();
    let mut alice = broker.connect(&connect);
    alice.expect_nothing_before_pong();
}

/// Section 4.3.3 of 5.0; 3.1.1 has no code to say it with.
#[test]
fn pubrel_of_an_unknown_id_is_answered_by_pubcomp() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut raw = broker.client(version, "alice");
        raw.send(&pubrel(77));
        let pubcomp = raw.expect_pubcomp(77);
        assert!([0, 0x92].contains(&pubcomp.code), "{pubcomp:?}");
    });
}
