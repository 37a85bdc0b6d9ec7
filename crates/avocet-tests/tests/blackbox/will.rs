//! The will: published, kept back, delayed.

use std::time::Duration;

use avocet_tests::{
    Broker, Connect, Properties, Publish, Raw, Version, Will, deadline, each_version,
    packet::{disconnect, disconnect_with, pingreq},
};

/// A client that sees what is published to `gone/#`, and proves it by a message of its own.
fn watcher(broker: &Broker, version: Version) -> Raw {
    let mut watcher = broker.client(version, "watcher");
    watcher.subscribe("gone/#", 2);
    watcher
}

/// [MQTT3-3.1.2-8] [MQTT3-3.1.2-10] [MQTT3-3.1.2-16] [MQTT5-3.1.2-7] [MQTT5-3.1.2-8]
/// [MQTT5-3.1.2-10] [MQTT5-3.1.2-14]
#[test]
fn will_is_published_once_when_the_connection_is_lost() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut watcher = watcher(&broker, version);
        for qos in 0..=2 {
            let will = Will::new("gone/alice", "lost").qos(qos);
            broker.connect(&Connect::new(version, "alice").will(will)).cut();
            let message = watcher.expect_message("gone/alice", "lost", qos);
            assert!(!message.retain);
            watcher.acknowledge(&message);
            watcher.expect_nothing_before_pong();
        }
        let mut late = broker.client(version, "late");
        late.subscribe("gone/#", 0);
        late.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.14.4-3] [MQTT3-3.1.2-8] [MQTT3-3.1.2-10] [MQTT5-3.14.4-3] [MQTT5-3.1.2-10]
#[test]
fn disconnect_drops_the_will() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut watcher = watcher(&broker, version);
        let connect = Connect::new(version, "alice").will(Will::new("gone/alice", "lost"));
        broker.connect(&connect).disconnect();
        watcher.expect_nothing_before_pong();
    });
}

/// The broker does not read a client that does not read, so what this one says at the end lies
/// unread when the connection breaks.
///
/// [MQTT3-3.14.4-3] [MQTT5-3.14.4-3]
#[test]
fn last_words_of_a_client_that_did_not_read_count() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut watcher = watcher(&broker, version);
        let connect = Connect::new(version, "alice").will(Will::new("gone/alice", "lost"));
        let mut alice = broker.connect(&connect);
        alice.subscribe("flood", 0);
        let mut bob = broker.client(version, "bob");
        // More than the system takes for her, and the broker.
        let payload = vec![b'x'; 100_000];
        let batch = Publish::new("flood", payload).bytes(version).repeat(10);
        for _ in 0..20 {
            bob.send(&batch);
            bob.expect_nothing_before_pong();
        }
        let mut last = Vec::new();
        for text in ["one", "two"] {
            last.extend(Publish::new("gone/words", text).bytes(version));
            last.extend(pingreq());
            last.extend(Publish::new("gone/words", text).qos(1, 1).bytes(version));
        }
        last.extend(disconnect());
        alice.send(&last);
        alice.cut();
        for text in ["one", "one", "two", "two"] {
            let message = watcher.expect_publish();
            assert_eq!((&*message.topic, &*message.text()), ("gone/words", text), "{message:?}");
            watcher.acknowledge(&message);
        }
        // Alice has left, and her will with her.
        broker.connect(&Connect::new(version, "alice"));
        watcher.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.1.2-12]
#[test]
fn client_without_a_will_leaves_without_a_message() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut watcher = watcher(&broker, version);
        let mut alice = broker.client(version, "alice");
        alice.send(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        alice.expect_ending();
        watcher.expect_nothing_before_pong();
    });
}

/// [MQTT3-3.1.2-17] [MQTT5-3.1.2-15]
#[test]
fn will_with_retain_is_kept() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut watcher = watcher(&broker, version);
        let will = Will::new("gone/alice", "lost").qos(1).retain();
        broker.connect(&Connect::new(version, "alice").will(will)).cut();
        assert!(!watcher.expect_message("gone/alice", "lost", 1).retain);
        let mut late = broker.client(version, "late");
        late.subscribe("gone/#", 0);
        assert!(late.expect_message("gone/alice", "lost", 0).retain);
    });
}

/// [MQTT3-3.1.2-8] [MQTT5-3.1.2-8] [MQTT3-3.14.1-1] [MQTT5-3.14.1-1]
#[test]
fn will_is_published_when_the_client_breaks_the_protocol() {
    each_version(|version| {
        if version == Version::V31 {
            return;
        }
        let broker = Broker::start(&[]);
        let mut watcher = watcher(&broker, version);
        let publish_with_qos_3 = vec![0x36, 0x05, 0, 1, b'a', 0, 1];
        for violation in [vec![0xe1, 0x00], publish_with_qos_3] {
            let will = Will::new("gone/alice", "violated");
            let mut alice = broker.connect(&Connect::new(version, "alice").will(will));
            alice.send(&violation);
            alice.expect_error(&[0x81]);
            watcher.expect_message("gone/alice", "violated", 0);
        }
    });
}

/// [MQTT3-3.1.2-8] [MQTT5-3.1.2-8]
#[test]
fn will_is_published_on_takeover() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut watcher = watcher(&broker, version);
        let connect = Connect::new(version, "alice").will(Will::new("gone/alice", "taken"));
        let mut first = broker.connect(&connect);
        let second = broker.client(version, "alice");
        first.expect_ending();
        watcher.expect_message("gone/alice", "taken", 0);
        second.disconnect();
        watcher.expect_nothing_before_pong();
    });
}

/// [MQTT5-3.1.2-8] [MQTT5-3.1.2-10]
#[test]
fn disconnect_with_0x04_publishes_the_will() {
    let broker = Broker::start(&[]);
    let mut watcher = watcher(&broker, Version::V5);
    let connect = Connect::new(Version::V5, "alice").will(Will::new("gone/alice", "as asked"));
    let mut alice = broker.connect(&connect);
    alice.send(&disconnect_with(0x04, &Properties::new()));
    alice.expect_close();
    watcher.expect_message("gone/alice", "as asked", 0);
    watcher.expect_nothing_before_pong();
}

/// [MQTT5-3.1.3-10], and all other will properties.
#[test]
fn will_properties_come_with_the_will_in_their_order() {
    let broker = Broker::start(&[]);
    let mut watcher = watcher(&broker, Version::V5);
    let properties = Properties::new()
        .byte(0x01, 1)
        .four(0x02, 1_000)
        .counted(0x03, "text/plain")
        .counted(0x08, "answer/here")
        .counted(0x09, [0, 1, 255])
        .user("b", "1")
        .user("a", "2")
        .user("b", "0");
    let will = Will::new("gone/alice", "lost").properties(properties);
    broker.connect(&Connect::new(Version::V5, "alice").will(will)).cut();
    let properties = watcher.expect_message("gone/alice", "lost", 0).properties;
    assert_eq!(properties.number(0x01), Some(1));
    assert!(properties.number(0x02).is_some_and(|left| (990..=1_000).contains(&left)));
    assert_eq!(properties.text(0x03), Some("text/plain"));
    assert_eq!(properties.text(0x08), Some("answer/here"));
    assert_eq!(properties.binary(0x09), Some(&[0, 1, 255][..]));
    assert_eq!(properties.user(), [("b", "1"), ("a", "2"), ("b", "0")]);
}

fn with_delay(seconds: u32, expiry: u32) -> Connect {
    let will = Will::new("gone/alice", "late").properties(Properties::new().four(0x18, seconds));
    let mut connect = Connect::resume(Version::V5, "alice").will(will);
    connect.properties = Properties::new().four(0x11, expiry);
    connect
}

/// [MQTT5-3.1.2-8]
#[test]
fn delayed_will_is_published_when_its_delay_is_over() {
    let broker = Broker::start(&[]);
    let mut watcher = watcher(&broker, Version::V5);
    broker.connect(&with_delay(1, 100)).cut();
    watcher.expect_nothing_before_pong();
    watcher.expect_message("gone/alice", "late", 0);
}

/// [MQTT5-3.1.2-8]
#[test]
fn end_of_the_session_publishes_a_delayed_will() {
    let broker = Broker::start(&[]);
    let mut watcher = watcher(&broker, Version::V5);
    broker.connect(&with_delay(1_000, 1)).cut();
    watcher.expect_message("gone/alice", "late", 0);
    broker.connect(&with_delay(1_000, 100)).cut();
    let _clean = broker.client(Version::V5, "alice");
    watcher.expect_message("gone/alice", "late", 0);
}

/// [MQTT5-3.1.3-9] [MQTT5-3.1.2-8]
#[test]
fn client_that_returns_before_the_delay_takes_its_will_back() {
    let broker = Broker::start(&[]);
    let mut watcher = watcher(&broker, Version::V5);
    broker.connect(&with_delay(1, 100)).cut();
    let mut connect = with_delay(0, 100);
    connect.will = None;
    let (mut alice, connack) = broker.connect_with(&connect);
    assert!(connack.session_present);
    deadline::let_pass(Duration::from_millis(2_000));
    alice.publish(&Publish::new("gone/marker", "x"));
    watcher.expect_message("gone/marker", "x", 0);
}

/// Whenever the client comes back, the will that was due when its connection broke is sent.
/// [MQTT3-3.1.2-8] [MQTT5-3.1.2-8]
#[test]
fn will_is_sent_though_its_client_is_back_at_once() {
    const TIMES: usize = 100;
    let broker = Broker::start(&[]);
    let mut watch = broker.client(Version::V5, "watch");
    watch.subscribe("will", 1);
    let connect = |number: usize| {
        Connect::resume(Version::V5, "alice").will(Will::new("will", number.to_string()).qos(1))
    };
    let mut alice = broker.connect(&connect(0));
    for number in 0..TIMES {
        let mut next = broker.open(Version::V5);
        next.send(&connect(number + 1).bytes());
        alice.cut();
        assert_eq!(next.expect_connack().code, 0);
        let will = watch.expect_message("will", &number.to_string(), 1);
        watch.acknowledge(&will);
        alice = next;
    }
}
