//! `$delayed/SECONDS/TOPIC`: published later.

use std::time::{Duration, Instant};

use avocet_tests::{
    Broker, Properties, Publish, Raw, Version, each_version,
    packet::{pubrel, subscribe},
};

/// The broker's clock and the test's are the same; the turn of a timer may end a little early.
const SECOND: Duration = Duration::from_millis(990);

/// Subscribes and has nothing yet.
fn watcher(broker: &Broker, version: Version) -> Raw {
    let mut watcher = broker.client(version, "watcher");
    watcher.subscribe("#", 2);
    watcher.send(&subscribe(version, 2, &[("$delayed/#", 2)]));
    // Whether such a subscription is granted does not matter: nothing comes by it.
    watcher.receive();
    watcher
}

#[test]
fn delayed_message_arrives_at_its_bare_topic_after_the_time() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut watcher = watcher(&broker, version);
        let mut bob = broker.client(version, "bob");
        for qos in 0..=2 {
            let begun = Instant::now();
            bob.publish(&Publish::new("$delayed/1/a/b", "x").qos(qos, 1));
            watcher.expect_nothing_before_pong();
            let message = watcher.expect_message("a/b", "x", qos);
            assert!(begun.elapsed() >= SECOND, "after {:?}", begun.elapsed());
            assert!(!message.retain);
            watcher.acknowledge(&message);
        }
        watcher.expect_nothing_before_pong();
    });
}

#[test]
fn delayed_messages_arrive_in_the_order_of_their_times() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut watcher = watcher(&broker, version);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("$delayed/2/a", "two").qos(1, 1));
        bob.publish(&Publish::new("$delayed/1/a", "one").qos(1, 1));
        bob.publish(&Publish::new("$delayed/0/a", "none").qos(1, 1));
        bob.disconnect();
        for text in ["none", "one", "two"] {
            let message = watcher.expect_message("a", text, 1);
            watcher.acknowledge(&message);
        }
    });
}

#[test]
fn delayed_message_keeps_its_retain_flag_and_its_properties() {
    let broker = Broker::start(&[]);
    let mut watcher = watcher(&broker, Version::V5);
    let mut bob = broker.client(Version::V5, "bob");
    let properties = Properties::new().counted(0x08, "answer").user("b", "1").user("a", "2");
    let publish = Publish::new("$delayed/1/a", "x").qos(1, 1).retain().properties(properties);
    bob.publish(&publish);
    // What is retained is the message when its time has come.
    let mut early = broker.client(Version::V5, "early");
    early.subscribe("a", 1);
    early.expect_nothing_before_pong();
    assert!(!watcher.expect_message("a", "x", 1).retain);
    let mut late = broker.client(Version::V5, "late");
    late.subscribe("a", 1);
    let message = late.expect_message("a", "x", 1);
    assert!(message.retain);
    assert_eq!(message.properties.text(0x08), Some("answer"));
    assert_eq!(message.properties.user(), [("b", "1"), ("a", "2")]);
}

const ILL_FORMED: [&str; 9] = [
    "$delayed/x/a",
    "$delayed//a",
    "$delayed/-1/a",
    "$delayed/1.5/a",
    "$delayed/4294968/a",
    "$delayed/99999999999999999999/a",
    "$delayed/1",
    "$delayed/1/",
    "$delayed/0/$SYS/a",
];

#[test]
fn ill_formed_delay_is_refused_and_the_message_dropped() {
    let broker = Broker::start(&[]);
    let version = Version::V5;
    let mut watcher = watcher(&broker, version);
    let mut bob = broker.client(version, "bob");
    for topic in ILL_FORMED {
        bob.publish(&Publish::new(topic, "x"));
        bob.send(&Publish::new(topic, "x").qos(1, 1).bytes(version));
        assert_eq!(bob.expect_puback(1).code, 0x90, "{topic}");
        bob.send(&Publish::new(topic, "x").qos(2, 2).bytes(version));
        assert_eq!(bob.expect_pubrec(2).code, 0x90, "{topic}");
    }
    bob.publish(&Publish::new("$delayed/4294967/a", "far away").qos(1, 1));
    watcher.expect_nothing_before_pong();
}

#[test]
fn ill_formed_delay_is_acknowledged_and_dropped_before_5() {
    for version in [Version::V31, Version::V311] {
        let broker = Broker::start(&[]);
        let mut watcher = watcher(&broker, version);
        let mut bob = broker.client(version, "bob");
        for topic in ILL_FORMED {
            bob.publish(&Publish::new(topic, "x").qos(1, 1));
            bob.publish(&Publish::new(topic, "x").qos(2, 2));
        }
        watcher.expect_nothing_before_pong();
    }
}

#[test]
fn delayed_message_at_qos_2_repeated_before_pubrel_is_published_once() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut watcher = watcher(&broker, version);
        let mut bob = broker.client(version, "bob");
        let publish = Publish::new("$delayed/1/a", "x").qos(2, 5);
        bob.send(&publish.bytes(version));
        bob.expect_pubrec(5);
        bob.send(&publish.dup().bytes(version));
        bob.expect_pubrec(5);
        bob.send(&pubrel(5));
        bob.expect_pubcomp(5);
        let message = watcher.expect_message("a", "x", 2);
        watcher.acknowledge(&message);
        bob.publish(&Publish::new("$delayed/0/a", "marker"));
        watcher.expect_message("a", "marker", 0);
    });
}
