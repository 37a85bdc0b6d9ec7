//! SUBSCRIBE and UNSUBSCRIBE.

use avocet_tests::{
    Broker, Properties, Publish, Version, each_version,
    packet::{counted, frame, puback, pubcomp, pubrec, subscribe, subscribe_with, unsubscribe},
};

/// [MQTT3-3.8.4-1] [MQTT3-3.8.4-2] [MQTT3-2.3.1-7] [MQTT3-3.8.4-4] [MQTT3-3.8.4-5] [MQTT3-3.9.3-1]
/// [MQTT3-3.9.3-2] [MQTT5-3.8.4-1] [MQTT5-3.8.4-2] [MQTT5-2.2.1-6] [MQTT5-3.8.4-5] [MQTT5-3.8.4-6]
/// [MQTT5-3.8.4-7] [MQTT5-3.9.3-1] [MQTT5-3.9.3-2]
#[test]
fn several_filters_in_one_subscribe_get_one_suback_in_their_order() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let filters = [("a", 2), ("b", 0), ("c/#", 1), ("d/+", 2)];
        alice.send(&subscribe(version, 54_321, &filters));
        assert_eq!(alice.expect_suback(54_321).codes, [2, 0, 1, 2]);
        let mut bob = broker.client(version, "bob");
        for (topic, qos) in [("a", 2), ("b", 0), ("c/x", 1), ("d/x", 2)] {
            bob.publish(&Publish::new(topic, "x").qos(2, 1));
            let message = alice.expect_message(topic, "x", qos);
            alice.acknowledge(&message);
        }
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.8.3-3] [MQTT3-3.10.3-2] [MQTT5-3.8.3-2] [MQTT5-3.10.3-2]
#[test]
fn subscribe_or_unsubscribe_without_a_filter_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        for bytes in [subscribe(version, 1, &[]), unsubscribe(version, 1, &[])] {
            let mut raw = broker.client(version, "alice");
            raw.send(&bytes);
            raw.expect_error(&[0x81, 0x82]);
        }
    });
}

/// [MQTT3-3.8.1-1] [MQTT3-3.10.1-1] [MQTT3-2.2.2-1] [MQTT3-2.2.2-2] [MQTT5-3.8.1-1]
/// [MQTT5-3.10.1-1] [MQTT5-2.1.3-1]
#[test]
fn subscribe_or_unsubscribe_with_other_flags_closes() {
    let broker = Broker::start(&[]);
    for version in [Version::V311, Version::V5] {
        for flags in [0x0, 0x1, 0x3, 0x6, 0xa] {
            for mut bytes in [subscribe(version, 1, &[("a", 0)]), unsubscribe(version, 1, &["a"])] {
                bytes[0] = bytes[0] & 0xf0 | flags;
                let mut raw = broker.client(version, "alice");
                raw.send(&bytes);
                raw.expect_error(&[0x81]);
            }
        }
    }
}

/// [MQTT3-3.8.3-4]
#[test]
fn reserved_bits_or_qos_3_in_a_subscription_of_3_1_1_close() {
    let broker = Broker::start(&[]);
    for options in [0x03, 0x04, 0x08, 0x10, 0x40, 0x80] {
        let mut raw = broker.client(Version::V311, "alice");
        raw.send(&subscribe(Version::V311, 1, &[("a", options)]));
        raw.expect_close();
    }
}

/// [MQTT5-3.8.3-5], and section 3.8.3.1 for QoS 3 and Retain Handling 3.
#[test]
fn reserved_bits_or_values_in_subscription_options_close() {
    let broker = Broker::start(&[]);
    for options in [0x03, 0x30, 0x40, 0x80] {
        let mut raw = broker.client(Version::V5, "alice");
        raw.send(&subscribe(Version::V5, 1, &[("a", options)]));
        raw.expect_error(&[0x81, 0x82]);
    }
}

/// [MQTT3-4.7.1-2] [MQTT3-4.7.1-3] [MQTT3-4.7.3-1] [MQTT5-4.7.1-1] [MQTT5-4.7.1-2] [MQTT5-4.7.3-1]
#[test]
fn filter_that_breaks_the_rules_is_refused() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        for filter in ["a/#/b", "a#", "#/a", "a+", "+a", "a/b+/c", "##", "++", ""] {
            let mut raw = broker.client(version, "alice");
            raw.send(&subscribe(version, 1, &[(filter, 0)]));
            match raw.receive_or_close().map(|answer| answer.kind) {
                None => {}
                Some(avocet_tests::Kind::Suback(suback)) => {
                    assert!([0x80, 0x8f].contains(&suback.codes[0]), "{filter}: {suback:?}");
                }
                Some(avocet_tests::Kind::Disconnect(ending)) => {
                    assert!([0x81, 0x82, 0x8f].contains(&ending.code), "{filter}: {ending:?}");
                }
                other => panic!("{filter} is answered by {other:?}"),
            }
        }
    });
}

/// [MQTT3-3.8.3-1] [MQTT3-3.10.3-1] [MQTT3-4.7.3-2] [MQTT5-3.8.3-1] [MQTT5-3.10.3-1]
/// [MQTT5-4.7.3-2] [MQTT5-1.5.4-1]
#[test]
fn ill_formed_string_as_a_filter_closes() {
    let broker = Broker::start(&[]);
    for version in [Version::V311, Version::V5] {
        for text in [&b"\xff"[..], b"a\0", b"\xed\xa0\x80"] {
            let properties = if version.has_properties() { vec![0] } else { Vec::new() };
            let head = [vec![0, 1], properties, counted(text)].concat();
            let mut raw = broker.client(version, "alice");
            raw.send(&frame(0x82, &[&head[..], &[0]].concat()));
            raw.expect_error(&[0x81, 0x82, 0x8f]);
            let mut raw = broker.client(version, "alice");
            raw.send(&frame(0xa2, &head));
            raw.expect_error(&[0x81, 0x82, 0x8f]);
        }
    }
}

/// [MQTT3-3.8.4-3] [MQTT5-3.8.4-3] [MQTT5-3.8.4-4]
#[test]
fn subscribing_again_replaces_and_sends_retained_messages_again() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a", "kept").qos(1, 1).retain());
        for qos in [1, 0, 1] {
            alice.send(&subscribe(version, 1, &[("a", qos)]));
            alice.expect_suback(1);
            let kept = alice.expect_message("a", "kept", qos);
            alice.acknowledge(&kept);
            bob.publish(&Publish::new("a", "new").qos(1, 2));
            let message = alice.expect_message("a", "new", qos);
            alice.acknowledge(&message);
            alice.expect_nothing_before_pong();
        }
    });
}

/// [MQTT3-3.3.5-1] [MQTT5-3.3.4-2]
#[test]
fn overlapping_subscriptions_deliver_at_the_highest_qos() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a/#", 0);
        alice.subscribe("a/+", 2);
        alice.subscribe("a/b", 1);
        broker.client(version, "bob").publish(&Publish::new("a/b", "x").qos(2, 1));
        let message = alice.expect_message("a/b", "x", 2);
        alice.acknowledge(&message);
        if !Broker::is_foreign() {
            // One delivery for all of them is our promise; the standard allows more.
            alice.expect_nothing_before_pong();
        }
    });
}

/// [MQTT3-3.10.4-1] [MQTT3-3.10.4-2] [MQTT3-3.10.4-4] [MQTT3-3.10.4-5] [MQTT3-2.3.1-7]
/// [MQTT5-3.10.4-1] [MQTT5-3.10.4-2] [MQTT5-3.10.4-4] [MQTT5-3.10.4-5] [MQTT5-2.2.1-6]
#[test]
fn unsubscribe_takes_away_that_very_filter_and_no_other() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a/+", 0);
        for other in ["a/b", "a/#", "A/+", "a/+/"] {
            alice.unsubscribe(other);
        }
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a/b", "one"));
        alice.expect_message("a/b", "one", 0);
        alice.unsubscribe("a/+");
        bob.publish(&Publish::new("a/b", "two"));
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.10.4-6] [MQTT5-3.10.4-6] [MQTT5-3.11.3-1] [MQTT5-3.11.3-2]
#[test]
fn several_filters_in_one_unsubscribe_get_one_unsuback_in_their_order() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 0);
        alice.subscribe("c", 0);
        alice.send(&unsubscribe(version, 9, &["a", "b", "c"]));
        let unsuback = alice.expect_unsuback(9);
        let expected: &[u8] = if version.has_properties() { &[0, 0x11, 0] } else { &[] };
        assert_eq!(unsuback.codes, expected);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a", "x"));
        bob.publish(&Publish::new("c", "x"));
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.10.4-3] [MQTT5-3.10.4-3]
#[test]
fn delivery_begun_before_unsubscribe_is_completed() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 2);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a", "one").qos(1, 1));
        bob.publish(&Publish::new("a", "two").qos(2, 2));
        let one = alice.expect_message("a", "one", 1).packet_id();
        let two = alice.expect_message("a", "two", 2).packet_id();
        alice.unsubscribe("a");
        alice.send(&puback(one));
        alice.send(&pubrec(two));
        alice.expect_pubrel(two);
        alice.send(&pubcomp(two));
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT5-3.8.3-3]
#[test]
fn no_local_keeps_a_clients_own_messages_from_it() {
    let broker = Broker::start(&[]);
    let mut alice = broker.client(Version::V5, "alice");
    let mut bob = broker.client(Version::V5, "bob");
    alice.subscribe("a", 0x04);
    bob.subscribe("a", 0);
    alice.publish(&Publish::new("a", "mine"));
    bob.expect_message("a", "mine", 0);
    alice.expect_nothing_before_pong();
    bob.send(&Publish::new("a", "yours").bytes(Version::V5));
    alice.expect_message("a", "yours", 0);
}

/// [MQTT5-3.3.4-3] [MQTT5-3.3.4-4] [MQTT5-3.3.4-5]
#[test]
fn subscription_identifiers_come_with_the_message() {
    let broker = Broker::start(&[]);
    let mut alice = broker.client(Version::V5, "alice");
    let identified = |id| Properties::new().variable(0x0b, id);
    alice.subscribe_with("a/b", 0, &identified(1));
    alice.subscribe_with("a/+", 0, &identified(268_435_455));
    alice.subscribe("a/#", 0);
    alice.subscribe_with("other", 0, &identified(7));
    let mut bob = broker.client(Version::V5, "bob");
    bob.publish(&Publish::new("a/b", "x"));
    let mut seen = alice.expect_message("a/b", "x", 0).properties.numbers(0x0b);
    if seen.len() < 2 {
        // A copy for each subscription is the other way the standard allows.
        for _ in 0..2 {
            seen.extend(alice.expect_message("a/b", "x", 0).properties.numbers(0x0b));
        }
        seen.sort_unstable();
    }
    assert_eq!(seen, [1, 268_435_455]);
    alice.expect_nothing_before_pong();
}

/// Section 3.8.2.1.2: 0 is a Protocol Error, and so is a second one.
#[test]
fn subscription_identifier_0_or_twice_closes() {
    let broker = Broker::start(&[]);
    for properties in [
        Properties::new().variable(0x0b, 0),
        Properties::new().variable(0x0b, 1).variable(0x0b, 2),
        Properties::new().byte(0x01, 1),
    ] {
        let mut raw = broker.client(Version::V5, "alice");
        raw.send(&subscribe_with(Version::V5, 1, &properties, &[("a", 0)]));
        raw.expect_error(&[0x81, 0x82]);
    }
}
