//! `$fastlane/`: the connection is the subscriber.

use avocet_tests::{
    Broker, Connect, Properties, Publish, Version, each_version, packet::subscribe_with,
};

const V5: Version = Version::V5;

#[test]
fn fastlane_grants_0_and_delivers_at_qos_0_whatever_was_asked_and_published() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut bob = broker.client(version, "bob");
        for asked in 0..=2 {
            let mut alice = broker.client(version, "alice");
            assert_eq!(alice.try_subscribe("$fastlane/a/+", asked), 0);
            for qos in 0..=2 {
                bob.publish(&Publish::new("a/b", "x").qos(qos, 1));
                let message = alice.expect_message("a/b", "x", 0);
                assert_eq!((message.id, message.dup, message.retain), (None, false, false));
            }
            alice.expect_nothing_before_pong();
            alice.disconnect();
        }
    });
}

#[test]
fn fastlane_is_refused_for_a_session_that_outlives_its_connection() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.connect(&Connect::resume(version, "alice"));
        let refused = if version == V5 { 0x83 } else { 0x80 };
        for filter in ["$fastlane/a", "$fastlane/$queue/a", "$local/$fastlane/a"] {
            assert_eq!(alice.try_subscribe(filter, 0), refused, "{filter}");
        }
        broker.client(version, "bob").publish(&Publish::new("a", "x"));
        alice.expect_nothing_before_pong();
    });
    let broker = Broker::start(&[]);
    let expiry = |seconds| Properties::new().four(0x11, seconds);
    let mut alice = broker.connect(&Connect::new(V5, "alice").properties(expiry(1)));
    assert_eq!(alice.try_subscribe("$fastlane/a", 0), 0x83, "clean start, and kept afterwards");
    let mut carol = broker.connect(&Connect::resume(V5, "carol").properties(expiry(0)));
    assert_eq!(carol.try_subscribe("$fastlane/a", 0), 0, "no clean start, and not kept");
}

#[test]
fn fastlane_honours_identifier_no_local_and_retain_as_published() {
    let broker = Broker::start(&[]);
    let mut alice = broker.client(V5, "alice");
    let mut bob = broker.client(V5, "bob");
    alice.subscribe_with("$fastlane/a", 0x0c, &Properties::new().variable(0x0b, 7));
    alice.subscribe_with("$fastlane/+", 0x00, &Properties::new().variable(0x0b, 300));
    bob.publish(&Publish::new("a", "x").qos(1, 1).retain());
    let messages = alice.messages_before_pong();
    // One copy for both subscriptions, or one for each.
    let numbers: Vec<u32> = messages.iter().flat_map(|m| m.properties.numbers(0x0b)).collect();
    assert!(numbers.contains(&7) && numbers.contains(&300), "{messages:?}");
    for message in messages.iter().filter(|m| m.properties.numbers(0x0b).contains(&7)) {
        assert!(message.retain, "{message:?}");
    }
    for message in messages.iter().filter(|m| m.properties.numbers(0x0b) == [300]) {
        assert!(!message.retain, "{message:?}");
    }
    alice.unsubscribe("$fastlane/+");
    alice.publish(&Publish::new("a", "my own").qos(1, 1));
    alice.expect_nothing_before_pong();
}

#[test]
fn fastlane_gets_properties_of_the_message() {
    let broker = Broker::start(&[]);
    let mut alice = broker.client(V5, "alice");
    assert_eq!(alice.try_subscribe("$fastlane/a", 2), 0);
    let properties =
        Properties::new().byte(0x01, 1).counted(0x03, "text").user("b", "1").user("a", "2");
    let publish = Publish::new("a", "x").qos(2, 9).properties(properties);
    broker.client(V5, "bob").publish(&publish);
    let message = alice.expect_message("a", "x", 0);
    assert_eq!(message.properties.number(0x01), Some(1));
    assert_eq!(message.properties.text(0x03), Some("text"));
    assert_eq!(message.properties.user(), [("b", "1"), ("a", "2")]);
}

#[test]
fn fastlane_gets_retained_messages_at_subscribe() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a/1", "x").qos(2, 1).retain());
        bob.publish(&Publish::new("a/2", "y").qos(0, 0).retain());
        let mut alice = broker.client(version, "alice");
        assert_eq!(alice.try_subscribe("$fastlane/a/+", 2), 0);
        let mut messages = alice.messages_before_pong();
        messages.sort_by(|one, other| one.topic.cmp(&other.topic));
        let seen: Vec<_> = messages.iter().map(|m| (m.text(), m.qos, m.retain)).collect();
        assert_eq!(seen, [("x".to_owned(), 0, true), ("y".to_owned(), 0, true)]);
    });
    let broker = Broker::start(&[]);
    broker.client(V5, "bob").publish(&Publish::new("a", "x").retain());
    let mut alice = broker.client(V5, "alice");
    alice.send(&subscribe_with(V5, 1, &Properties::new(), &[("$fastlane/a", 0x20)]));
    alice.expect_suback(1);
    alice.expect_nothing_before_pong();
}

#[test]
fn fastlane_keeps_nothing_while_the_client_is_away_and_ends_with_the_connection() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut bob = broker.client(version, "bob");
        let mut alice = broker.client(version, "alice");
        assert_eq!(alice.try_subscribe("$fastlane/a", 1), 0);
        alice.disconnect();
        bob.publish(&Publish::new("a", "away").qos(1, 1));
        let mut alice = broker.client(version, "alice");
        bob.publish(&Publish::new("a", "back").qos(1, 1));
        alice.expect_nothing_before_pong();
        // The same when a new connection takes the old one's place.
        assert_eq!(alice.try_subscribe("$fastlane/a", 1), 0);
        let mut second = broker.connect(&Connect::resume(version, "alice"));
        alice.expect_ending();
        bob.publish(&Publish::new("a", "taken over").qos(1, 1));
        second.expect_nothing_before_pong();
    });
}

#[test]
fn fastlane_does_not_wait_for_the_window() {
    let broker = Broker::start(&[]);
    let window = Properties::new().two(0x21, 1);
    let mut alice = broker.connect(&Connect::new(V5, "alice").properties(window));
    alice.subscribe("slow", 1);
    assert_eq!(alice.try_subscribe("$fastlane/a", 1), 0);
    let mut bob = broker.client(V5, "bob");
    bob.publish(&Publish::new("slow", "not acknowledged").qos(1, 1));
    bob.publish(&Publish::new("slow", "waits").qos(1, 1));
    bob.publish(&Publish::new("a", "x").qos(1, 1));
    alice.expect_message("slow", "not acknowledged", 1);
    alice.expect_message("a", "x", 0);
    alice.expect_nothing_before_pong();
}

#[test]
fn fastlane_and_a_plain_subscription_both_get_the_message() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 1);
        assert_eq!(alice.try_subscribe("$fastlane/a", 1), 0);
        broker.client(version, "bob").publish(&Publish::new("a", "x").qos(1, 1));
        let mut qos: Vec<u8> = alice.messages_before_pong().iter().map(|m| m.qos).collect();
        qos.sort_unstable();
        assert_eq!(qos, [0, 1]);
    });
}

#[test]
fn unsubscribe_takes_the_fastlane_and_not_the_plain_subscription() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 0);
        assert_eq!(alice.try_subscribe("$fastlane/a", 0), 0);
        alice.unsubscribe("$fastlane/a");
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a", "x"));
        assert_eq!(alice.texts_before_pong(), ["x"]);
        assert_eq!(alice.try_subscribe("$fastlane/a", 0), 0);
        alice.unsubscribe("a");
        bob.publish(&Publish::new("a", "y"));
        assert_eq!(alice.texts_before_pong(), ["y"]);
        alice.unsubscribe("$fastlane/a");
        bob.publish(&Publish::new("a", "z"));
        alice.expect_nothing_before_pong();
    });
}

#[test]
fn members_of_a_fastlane_queue_share_the_messages() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let mut carol = broker.client(version, "carol");
        assert_eq!(alice.try_subscribe("$fastlane/$queue/a", 1), 0);
        assert_eq!(carol.try_subscribe("$queue/a", 1), 1);
        let mut bob = broker.client(version, "bob");
        super::publish_each(&mut bob, &["1", "2", "3", "4"]);
        let (fast, plain) = (alice.messages_before_pong(), carol.messages_before_pong());
        assert!(fast.iter().all(|message| message.qos == 0), "{fast:?}");
        assert!(plain.iter().all(|message| message.qos == 1), "{plain:?}");
        assert_eq!((fast.len(), plain.len()), (2, 2));
        let mut texts: Vec<String> =
            fast.iter().chain(&plain).map(avocet_tests::received::Message::text).collect();
        texts.sort();
        assert_eq!(texts, ["1", "2", "3", "4"]);
    });
}

/// [MQTT5-3.1.2-24]
#[test]
fn message_too_large_for_the_client_is_left_out_of_its_fastlane() {
    let broker = Broker::start(&[]);
    let connect = Connect::new(V5, "alice").properties(Properties::new().four(0x27, 100));
    let mut alice = broker.connect(&connect);
    assert_eq!(alice.try_subscribe("$fastlane/a", 1), 0);
    let mut bob = broker.client(V5, "bob");
    bob.publish(&Publish::new("a", [b'x'; 100]));
    bob.publish(&Publish::new("a", "short"));
    alice.expect_message("a", "short", 0);
    alice.expect_nothing_before_pong();
}

/// [MQTT5-3.1.2-24]
#[test]
fn message_too_large_for_the_client_takes_no_other_of_its_topic_with_it() {
    let broker = Broker::start(&[]);
    let connect = Connect::new(V5, "alice").properties(Properties::new().four(0x27, 100));
    let mut alice = broker.connect(&connect);
    assert_eq!(alice.try_subscribe("$fastlane/a", 0), 0);
    let payloads = ["1".to_owned(), "x".repeat(100), "2".to_owned(), "3".to_owned()];
    let packets = payloads.map(|payload| Publish::new("a", payload).bytes(V5));
    broker.client(V5, "bob").send(&packets.concat());
    for text in ["1", "2", "3"] {
        alice.expect_message("a", text, 0);
    }
    alice.expect_nothing_before_pong();
}
