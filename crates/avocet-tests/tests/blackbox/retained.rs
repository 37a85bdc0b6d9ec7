//! Retained messages.

use avocet_tests::{Broker, Properties, Publish, Version, each_version, packet::subscribe};

/// [MQTT3-3.3.1-5] [MQTT3-3.3.1-6] [MQTT3-3.3.1-8] [MQTT5-3.3.1-5] [MQTT5-3.3.1-9]
#[test]
fn last_retained_message_is_sent_to_a_new_subscription() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a", "first").qos(1, 1).retain());
        bob.publish(&Publish::new("a", "last").qos(1, 2).retain());
        for granted in 0..=2 {
            let mut alice = broker.client(version, "alice");
            alice.subscribe("a", granted);
            let message = alice.expect_message("a", "last", granted.min(1));
            assert!(message.retain && !message.dup, "{message:?}");
            alice.acknowledge(&message);
            alice.expect_nothing_before_pong();
        }
    });
}

/// [MQTT3-3.3.1-6] [MQTT3-4.7.2-1] [MQTT5-3.3.1-9] [MQTT5-4.7.2-1]
#[test]
fn wildcard_subscription_gets_every_matching_retained_message() {
    each_version(|version| {
        for (filter, matching) in [
            ("#", &["", "a", "a/b", "a/b/c", "x/b"][1..]),
            ("a/#", &["a", "a/b", "a/b/c"]),
            ("+/b", &["a/b", "x/b"]),
            ("+", &["a"]),
            ("$data/+", &["$data/b"]),
            ("a/b", &["a/b"]),
        ] {
            let broker = Broker::start(&[]);
            let mut bob = broker.client(version, "bob");
            for topic in ["a", "a/b", "a/b/c", "x/b", "$data/b"] {
                bob.publish(&Publish::new(topic, "kept").retain());
            }
            let mut alice = broker.client(version, "alice");
            alice.subscribe(filter, 0);
            let mut seen: Vec<String> =
                matching.iter().map(|_| alice.expect_publish().topic).collect();
            seen.sort();
            assert_eq!(seen, matching, "{filter}");
            alice.expect_nothing_before_pong();
        }
    });
}

/// [MQTT3-3.3.1-10] [MQTT3-3.3.1-11] [MQTT5-3.3.1-6] [MQTT5-3.3.1-7]
#[test]
fn empty_payload_is_delivered_and_clears_the_retained_message() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a", "kept").retain());
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 0);
        alice.expect_message("a", "kept", 0);
        bob.publish(&Publish::new("a", "").retain());
        assert!(!alice.expect_message("a", "", 0).retain);
        let mut carol = broker.client(version, "carol");
        carol.subscribe("a", 0);
        carol.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.3.1-7] [MQTT5-3.3.1-5]
#[test]
fn retained_message_at_qos_0_takes_the_place_of_an_earlier_one() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a", "old").qos(2, 1).retain());
        bob.publish(&Publish::new("a", "new").retain());
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 2);
        alice.expect_message("a", "new", 0);
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.3.1-12] [MQTT5-3.3.1-8]
#[test]
fn message_without_retain_leaves_the_retained_one_alone() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a", "kept").retain());
        bob.publish(&Publish::new("a", "passing"));
        bob.publish(&Publish::new("a", ""));
        bob.publish(&Publish::new("b", "passing"));
        let mut alice = broker.client(version, "alice");
        alice.subscribe("#", 0);
        alice.expect_message("a", "kept", 0);
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.3.1-9] [MQTT5-3.3.1-12]
#[test]
fn established_subscription_sees_retain_0() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 0);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a", "x").retain());
        assert!(!alice.expect_message("a", "x", 0).retain);
    });
}

/// [MQTT5-3.3.1-13]
#[test]
fn retain_as_published_passes_the_flag_on() {
    let broker = Broker::start(&[]);
    let mut alice = broker.client(Version::V5, "alice");
    alice.subscribe("a", 0x08);
    let mut bob = broker.client(Version::V5, "bob");
    bob.publish(&Publish::new("a", "x").retain());
    bob.publish(&Publish::new("a", "y"));
    assert!(alice.expect_message("a", "x", 0).retain);
    assert!(!alice.expect_message("a", "y", 0).retain);
}

/// [MQTT5-3.3.1-9] [MQTT5-3.3.1-10] [MQTT5-3.3.1-11]
#[test]
fn retain_handling_decides_when_retained_messages_are_sent() {
    let broker = Broker::start(&[]);
    broker.client(Version::V5, "bob").publish(&Publish::new("a", "kept").retain());
    for (handling, on_first, on_second) in [(0x00, 1, 1), (0x10, 1, 0), (0x20, 0, 0)] {
        let mut alice = broker.client(Version::V5, "alice");
        for expected in [on_first, on_second] {
            alice.send(&subscribe(Version::V5, 1, &[("a", handling)]));
            alice.expect_suback(1);
            for _ in 0..expected {
                alice.expect_message("a", "kept", 0);
            }
            alice.expect_nothing_before_pong();
        }
    }
}

/// [MQTT5-3.3.2-17] [MQTT5-3.3.2-20]
#[test]
fn retained_message_keeps_its_properties() {
    let broker = Broker::start(&[]);
    let properties = Properties::new().counted(0x03, "text/plain").user("a", "1").user("a", "2");
    let publish = Publish::new("a", "kept").retain().properties(properties);
    broker.client(Version::V5, "bob").publish(&publish);
    let mut alice = broker.client(Version::V5, "alice");
    alice.subscribe_with("a", 0, &Properties::new().variable(0x0b, 5));
    let properties = alice.expect_message("a", "kept", 0).properties;
    assert_eq!(properties.text(0x03), Some("text/plain"));
    assert_eq!(properties.user(), [("a", "1"), ("a", "2")]);
    assert_eq!(properties.numbers(0x0b), [5]);
}
