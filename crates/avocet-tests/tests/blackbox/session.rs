//! Sessions: kept, resumed, ended, expired.

use std::time::Duration;

use avocet_tests::{
    Broker, Connect, Properties, Publish, Version, deadline, each_version,
    packet::{disconnect_with, pubrel},
};

/// [MQTT3-3.1.2-4] [MQTT3-3.1.2-5] [MQTT3-3.2.2-2] [MQTT3-3.2.2-3] [MQTT3-3.1.3-2] [MQTT3-4.1.0-1]
/// [MQTT3-4.5.0-1] [MQTT3-3.1.4-3] [MQTT5-3.1.2-5] [MQTT5-3.1.2-6] [MQTT5-3.1.2-23]
/// [MQTT5-3.2.2-3] [MQTT5-3.1.3-2] [MQTT5-4.5.0-1] [MQTT5-3.1.4-4]
#[test]
fn session_keeps_subscriptions_and_messages_while_its_client_is_away() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let connect = Connect::resume(version, "alice");
        let (mut alice, connack) = broker.connect_with(&connect);
        assert!(!connack.session_present);
        alice.subscribe("a", 2);
        alice.disconnect();
        let mut bob = broker.client(version, "bob");
        for (id, text) in [(1, "one"), (2, "two"), (3, "three")] {
            bob.publish(&Publish::new("a", text).qos(1 + (id % 2) as u8, id));
        }
        let (mut alice, connack) = broker.connect_with(&connect);
        assert!(connack.session_present || version == Version::V31, "{connack:?}");
        let mut messages = alice.take_all(&mut bob);
        assert!(messages.iter().all(|message| !message.dup), "never sent before: {messages:?}");
        // There is no order between those of different QoS.
        messages.sort_by_key(|message| message.qos);
        let seen: Vec<_> = messages.iter().map(|message| (message.text(), message.qos)).collect();
        assert_eq!(seen, [("two".into(), 1), ("one".into(), 2), ("three".into(), 2)]);
        // And the subscription stands.
        bob.publish(&Publish::new("a", "four"));
        alice.expect_message("a", "four", 0);
    });
}

/// [MQTT3-3.1.2-6] [MQTT3-3.2.2-1] [MQTT3-3.1.4-3] [MQTT5-3.1.2-4] [MQTT5-3.2.2-2] [MQTT5-3.1.4-4]
#[test]
fn clean_start_throws_the_session_away() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let resume = Connect::resume(version, "alice");
        let mut alice = broker.connect(&resume);
        alice.subscribe("a", 1);
        alice.disconnect();
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a", "one").qos(1, 1));
        let (mut alice, connack) = broker.connect_with(&Connect::new(version, "alice"));
        assert!(!connack.session_present);
        alice.expect_nothing_before_pong();
        bob.publish(&Publish::new("a", "two").qos(1, 1));
        alice.expect_nothing_before_pong();
        alice.disconnect();
        let (mut alice, connack) = broker.connect_with(&resume);
        assert!(!connack.session_present);
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.1.2-6] [MQTT5-4.1.0-2]
#[test]
fn clean_session_or_expiry_0_ends_with_the_connection() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 1);
        alice.disconnect();
        broker.client(version, "bob").publish(&Publish::new("a", "x").qos(1, 1));
        let (mut alice, connack) = broker.connect_with(&Connect::resume(version, "alice"));
        assert!(!connack.session_present);
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.1.3-2] [MQTT5-3.1.3-2]
#[test]
fn session_belongs_to_its_client_id() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.connect(&Connect::resume(version, "alice"));
        alice.subscribe("a", 1);
        alice.disconnect();
        let (mut other, connack) = broker.connect_with(&Connect::resume(version, "Alice"));
        assert!(!connack.session_present);
        broker.client(version, "bob").publish(&Publish::new("a", "x").qos(1, 1));
        other.expect_nothing_before_pong();
    });
}

/// [MQTT3-4.1.0-2] [MQTT5-3.1.2-5]
#[test]
fn takeover_hands_the_session_on() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let connect = Connect::resume(version, "alice");
        let mut first = broker.connect(&connect);
        first.subscribe("a", 1);
        let (mut second, connack) = broker.connect_with(&connect);
        assert!(connack.session_present || version == Version::V31, "{connack:?}");
        first.expect_ending();
        broker.client(version, "bob").publish(&Publish::new("a", "x").qos(1, 1));
        second.expect_message("a", "x", 1);
    });
}

/// [MQTT5-4.1.0-2] [MQTT5-4.1.0-1]
#[test]
fn session_expires_after_its_interval_and_not_while_connected() {
    let broker = Broker::start(&[]);
    let mut connect = Connect::resume(Version::V5, "alice");
    connect.properties = Properties::new().four(0x11, 1);
    let mut alice = broker.connect(&connect);
    alice.subscribe("a", 1);
    let mut bob = broker.client(Version::V5, "bob");
    deadline::let_pass(Duration::from_millis(2_500));
    bob.publish(&Publish::new("a", "still there").qos(1, 1));
    let message = alice.expect_message("a", "still there", 1);
    alice.acknowledge(&message);
    alice.disconnect();
    deadline::let_pass(Duration::from_millis(2_500));
    let (mut alice, connack) = broker.connect_with(&connect);
    assert!(!connack.session_present, "{connack:?}");
    alice.expect_nothing_before_pong();
}

/// Section 3.14.2.2.2: DISCONNECT changes the expiry.
#[test]
fn disconnect_changes_the_session_expiry() {
    let broker = Broker::start(&[]);
    let connect = Connect::resume(Version::V5, "alice");
    let mut alice = broker.connect(&connect);
    alice.send(&disconnect_with(0, &Properties::new().four(0x11, 0)));
    alice.expect_close();
    let (_, connack) = broker.connect_with(&connect);
    assert!(!connack.session_present, "expiry 0 in DISCONNECT ends the session");
}

/// Section 3.14.2.2.2: what was 0 in CONNECT cannot be raised by DISCONNECT.
#[test]
fn disconnect_cannot_raise_an_expiry_of_0() {
    let broker = Broker::start(&[]);
    let mut alice = broker.client(Version::V5, "alice");
    alice.send(&disconnect_with(0, &Properties::new().four(0x11, 100)));
    alice.expect_error(&[0x82]);
}

/// [MQTT3-3.14.4-2]
#[test]
fn packets_behind_disconnect_have_no_effect() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 0);
        let mut bob = broker.client(version, "bob");
        let late = Publish::new("a", "late").bytes(version);
        bob.send(&[vec![0xe0, 0], late].concat());
        bob.expect_close();
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.1.2-7]
#[test]
fn retained_messages_outlive_the_session_of_their_publisher() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a", "kept").retain());
        bob.disconnect();
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 0);
        alice.expect_message("a", "kept", 0);
    });
}

/// Messages at QoS 0 are no part of the session state in 5.0; what is open at QoS 2 is.
#[test]
fn open_qos_2_of_a_publisher_is_part_of_the_session() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let connect = Connect::resume(version, "bob");
        let mut bob = broker.connect(&connect);
        bob.send(&Publish::new("a", "x").qos(2, 3).bytes(version));
        bob.expect_pubrec(3);
        bob.disconnect();
        let mut bob = broker.connect(&connect);
        bob.send(&pubrel(3));
        assert_eq!(bob.expect_pubcomp(3).code, 0);
    });
}

/// What an old connection still sends must neither reach the session's new connection nor hold up
/// the shard they live on. [MQTT3-3.1.4-2] [MQTT5-3.1.4-3]
#[test]
fn packets_of_a_connection_that_is_taken_over_touch_nobody() {
    const ROUNDS: usize = 500;
    let broker = Broker::start(&["node.shards=2"]);
    let mut witnesses = ["one", "two", "three"].map(|name| broker.client(Version::V5, name));
    for round in 0..ROUNDS {
        let connect = match round % 2 {
            0 => Connect::resume(Version::V311, "contested"),
            _ => Connect::new(Version::V311, "contested"),
        };
        let mut old = broker.connect(&connect);
        let mut new = broker.open(Version::V311);
        // Both are under way at once.
        let sender = std::thread::spawn(move || {
            old.send_hex("C0 00 C0 00 E0 00");
            old
        });
        new.send(&connect.bytes());
        new.expect_connack();
        drop(sender.join().expect("the sender ends"));
        new.expect_nothing_before_pong();
    }
    for witness in &mut witnesses {
        witness.expect_nothing_before_pong();
    }
}

/// A connection that has much left to do when it is taken over: what it sent is done, and answered
/// to nobody else. [MQTT3-3.1.4-2] [MQTT5-3.1.4-3]
#[test]
fn work_of_a_connection_that_is_taken_over_is_done_and_answered_to_nobody_else() {
    const MESSAGES: usize = 100;
    const SUBSCRIBERS: usize = 130;
    for clean in [false, true] {
        let broker = Broker::start(&["node.shards=2"]);
        let connect = match clean {
            true => Connect::new(Version::V311, "contested"),
            false => Connect::resume(Version::V311, "contested"),
        };
        let mut subscribers: Vec<_> = (0..SUBSCRIBERS)
            .map(|number| broker.client(Version::V311, &format!("s{number}")))
            .collect();
        for subscriber in &mut subscribers {
            subscriber.subscribe("wide", 0);
        }
        let mut old = broker.connect(&connect);
        let publish = Publish::new("wide", "x").qos(1, 1).bytes(Version::V311);
        let pair = [publish, vec![0xC0, 0x00]].concat();
        old.send(&pair.repeat(MESSAGES));
        old.send_hex("E0 00");
        let mut new = broker.connect(&connect);
        new.expect_nothing_before_pong();
        new.publish(&Publish::new("wide", "last").qos(1, 7));
        // The newer one comes behind whatever of the older one was taken.
        for subscriber in &mut subscribers {
            while subscriber.expect_publish().text() != "last" {}
        }
    }
}

/// Members of a shared subscription inherit from one whose session ends by its coming again.
#[test]
fn messages_of_a_member_that_begins_anew_go_to_the_others() {
    let broker = Broker::start(&["node.shards=2"]);
    let mut bob = broker.client(Version::V5, "bob");
    bob.subscribe("$share/g/t", 1);
    let mut alice = broker.client(Version::V5, "alice");
    alice.subscribe("$share/g/t", 1);
    let mut carol = broker.client(Version::V5, "carol");
    for id in 1..=10 {
        carol.publish(&Publish::new("t", id.to_string()).qos(1, id));
    }
    // Alice acknowledges nothing and starts anew.
    let _again = broker.client(Version::V5, "alice");
    let mut got = Vec::new();
    while got.len() < 10 {
        let message = bob.expect_publish();
        bob.acknowledge(&message);
        got.push(message.text().parse::<u32>().expect("a payload is a number"));
    }
    got.sort_unstable();
    assert_eq!(got, (1..=10).collect::<Vec<_>>());
}
