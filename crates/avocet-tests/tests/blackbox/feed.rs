//! Retained messages that are more than a client takes at once: each of them arrives, in order and
//! once.

use avocet_tests::{
    Broker, Connect, Kind, Properties, Publish, Raw, Version, each_version,
    packet::{puback, pubcomp, pubrec},
};

/// As many as the broker looks up at once.
const COUNT: usize = 64;

fn topic(number: usize) -> String {
    format!("r/{number:02}")
}

/// A broker with so many retained messages of this size, and who published them.
fn retaining(settings: &[&str], bytes: usize) -> (Broker, Raw) {
    let broker = Broker::start(settings);
    let mut bob = broker.client(Version::V5, "bob");
    for number in 0..COUNT {
        bob.publish(&Publish::new(topic(number), vec![b'x'; bytes]).qos(2, 1).retain());
    }
    (broker, bob)
}

/// Reads on, with every acknowledgement, until so many messages are there and done with; tells
/// their topics.
fn read(alice: &mut Raw, count: usize, qos: u8) -> Vec<String> {
    let mut topics = Vec::new();
    let mut open = 0;
    while topics.len() < count || open > 0 {
        let packet = alice.receive();
        match packet.kind {
            Kind::Publish(message) => {
                assert!(message.retain && !message.dup && message.qos == qos, "{}", message.topic);
                match qos {
                    0 => {}
                    1 => alice.send(&puback(message.packet_id())),
                    _ => {
                        open += 1;
                        alice.send(&pubrec(message.packet_id()));
                    }
                }
                topics.push(message.topic);
            }
            Kind::Pubrel(ack) => {
                open -= 1;
                alice.send(&pubcomp(ack.id));
            }
            Kind::Connack(_)
            | Kind::Puback(_)
            | Kind::Pubrec(_)
            | Kind::Pubcomp(_)
            | Kind::Suback(_)
            | Kind::Unsuback(_)
            | Kind::Pingresp
            | Kind::Disconnect(_)
            | Kind::Auth(_) => panic!("neither PUBLISH nor PUBREL: {packet:?}"),
        }
    }
    alice.expect_nothing_before_pong();
    topics
}

#[track_caller]
fn expect_all(alice: &mut Raw, qos: u8) {
    assert_eq!(read(alice, COUNT, qos), (0..COUNT).map(topic).collect::<Vec<_>>());
}

/// [MQTT3-3.3.1-6] [MQTT5-3.3.1-9]
#[test]
fn more_than_an_output_holds() {
    let (broker, _bob) = retaining(&[], 400_000);
    each_version(|version| {
        for (filter, qos) in [("r/#", 0), ("r/#", 1), ("r/#", 2), ("$fastlane/r/#", 0)] {
            let mut alice = broker.client(version, "alice");
            alice.subscribe(filter, qos);
            expect_all(&mut alice, qos);
            alice.disconnect();
        }
    });
}

#[test]
fn client_that_reads_late() {
    let (broker, mut bob) = retaining(&[], 400_000);
    for (filter, qos) in [("r/#", 0), ("r/#", 1), ("r/#", 2), ("$fastlane/r/#", 0)] {
        let mut alice = broker.client(Version::V5, "alice");
        alice.subscribe(filter, qos);
        // Meanwhile others are served.
        for _ in 0..100 {
            bob.expect_nothing_before_pong();
        }
        expect_all(&mut alice, qos);
        alice.disconnect();
    }
}

/// [MQTT5-3.3.4-7] [MQTT5-3.3.4-9]
#[test]
fn receive_maximum_of_1() {
    for bytes in [20, 20_000] {
        let (broker, _bob) = retaining(&["session.max_queue_messages=10"], bytes);
        for qos in 0..=2 {
            let one = Properties::new().two(0x21, 1);
            let mut alice = broker.connect(&Connect::new(Version::V5, "alice").properties(one));
            alice.subscribe("r/#", qos);
            expect_all(&mut alice, qos);
            alice.disconnect();
        }
    }
}

#[test]
fn queue_is_smaller_than_what_is_retained() {
    let (broker, _bob) = retaining(&["session.max_queue_messages=10"], 20_000);
    each_version(|version| {
        for (filter, qos) in [("r/#", 0), ("r/#", 1), ("r/#", 2), ("$fastlane/r/#", 0)] {
            let mut alice = broker.client(version, "alice");
            alice.subscribe(filter, qos);
            expect_all(&mut alice, qos);
            alice.disconnect();
        }
    });
}

/// [MQTT5-3.1.2-24] [MQTT5-3.1.2-25]
#[test]
fn message_larger_than_the_client_takes_does_not_hold_up_the_others() {
    let (broker, mut bob) = retaining(&[], 20_000);
    bob.publish(&Publish::new(topic(7), vec![b'x'; 60_000]).qos(1, 1).retain());
    let expected: Vec<String> = (0..COUNT).filter(|number| *number != 7).map(topic).collect();
    for qos in 0..=1 {
        let small = Properties::new().two(0x21, 1).four(0x27, 30_000);
        let mut alice = broker.connect(&Connect::new(Version::V5, "alice").properties(small));
        alice.subscribe("r/#", qos);
        assert_eq!(read(&mut alice, COUNT - 1, qos), expected);
        alice.disconnect();
    }
}

/// What is published meanwhile goes its own way, and what is retained is not lost by it.
#[test]
fn feed_that_waits_for_acknowledgements_goes_on_after_them() {
    let (broker, mut bob) = retaining(&["session.max_queue_messages=10"], 20);
    let one = Properties::new().two(0x21, 1);
    let mut alice = broker.connect(&Connect::new(Version::V5, "alice").properties(one));
    alice.subscribe("r/#", 1);
    let first = alice.expect_message(&topic(0), &"x".repeat(20), 1);
    alice.subscribe("live", 1);
    bob.publish(&Publish::new("live", "live").qos(1, 1));
    alice.expect_nothing_before_pong();
    alice.acknowledge(&first);
    let live = alice.expect_message("live", "live", 1);
    alice.acknowledge(&live);
    assert_eq!(read(&mut alice, COUNT - 1, 1), (1..COUNT).map(topic).collect::<Vec<_>>());
}
