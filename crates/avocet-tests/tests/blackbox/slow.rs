//! Subscribers that do not read, many subscribers, and many messages at once.

use std::time::{Duration, Instant};

use avocet_tests::{
    Broker, Connect, Kind, Publish, Raw, Version, each_version,
    packet::{pingreq, puback},
    received::Message,
};

const V5: Version = Version::V5;

/// 20 MB, in batches that sockets take while nobody reads them.
const PAYLOAD_BYTES: usize = 2_000;
const BATCH: usize = 100;
const BATCHES: usize = 100;
const TOTAL: usize = BATCH * BATCHES;

/// How much the broker may grow for one subscriber that does not read.
const GROWTH_MAX: u64 = 64 << 20;

/// For everything together, on a busy machine with a broker that was not optimised.
const PROMPTLY: Duration = Duration::from_secs(60);

fn payload(number: usize) -> String {
    format!("{number:0PAYLOAD_BYTES$}")
}

fn number(message: &Message) -> usize {
    let text = message.text();
    assert_eq!(text.len(), PAYLOAD_BYTES, "{message:?}");
    text.parse().expect("a payload is a number")
}

/// Publishes everything, with the fast one reading behind each batch.
fn flood(bob: &mut Raw, fast: &mut Raw, qos: u8) {
    for batch in 0..BATCHES {
        let numbers = (batch * BATCH)..((batch + 1) * BATCH);
        let packets = numbers.clone().zip(1..).flat_map(|(number, id)| {
            Publish::new("a", payload(number)).qos(qos, if qos > 0 { id } else { 0 }).bytes(V5)
        });
        bob.send(&packets.collect::<Vec<u8>>());
        if qos > 0 {
            for id in 1..=BATCH {
                let ack = bob.expect_puback(u16::try_from(id).expect("a batch is small"));
                assert_eq!(ack.code, 0, "{ack:?}");
            }
        }
        for expected in numbers {
            let message = fast.expect_publish();
            assert_eq!(number(&message), expected);
            fast.acknowledge(&message);
        }
    }
}

/// Acknowledges and collects until the broker has nothing more; well-formed is checked on reading.
fn read_all(slow: &mut Raw) -> Vec<usize> {
    let mut numbers = Vec::new();
    loop {
        let messages = slow.messages_before_pong();
        if messages.is_empty() {
            return numbers;
        }
        for message in &messages {
            assert!(!message.dup, "{message:?}");
            numbers.push(number(message));
        }
        let ids = messages.iter().filter_map(|message| message.id);
        slow.send(&ids.flat_map(puback).collect::<Vec<u8>>());
    }
}

fn check_slow(qos: u8) -> Vec<usize> {
    let broker = Broker::start(&[]);
    let mut slow = broker.client(V5, "slow");
    slow.subscribe("a", qos);
    let mut fast = broker.client(V5, "fast");
    fast.subscribe("a", qos);
    let mut bob = broker.client(V5, "bob");
    let before = broker.resident_bytes();
    let begun = Instant::now();
    flood(&mut bob, &mut fast, qos);
    assert!(begun.elapsed() < PROMPTLY, "{:?}", begun.elapsed());
    let growth = broker.resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "grown by {growth} bytes");
    let numbers = read_all(&mut slow);
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "out of order: {numbers:?}");
    // The slow one is a subscriber like any other again.
    bob.publish(&Publish::new("a", payload(TOTAL)).qos(qos, 1));
    assert_eq!(number(&slow.expect_publish()), TOTAL);
    numbers
}

#[test]
fn subscriber_that_does_not_read_20_mb_at_qos_0_harms_nobody() {
    let numbers = check_slow(0);
    // What its socket took, and something of what waited.
    assert!(numbers.len() >= 100, "{}", numbers.len());
    assert_eq!(numbers[..50], (0..50).collect::<Vec<_>>());
}

#[test]
fn subscriber_that_does_not_read_20_mb_at_qos_1_harms_nobody_and_gets_the_newest() {
    let numbers = check_slow(1);
    // A queue of 1,000, and what was in flight before it was full.
    let newest = numbers.len().checked_sub(1_000).map(|from| &numbers[from..]);
    assert_eq!(newest, Some(&((TOTAL - 1_000)..TOTAL).collect::<Vec<_>>()[..]));
    assert!(numbers.len() < 2_000, "{}", numbers.len());
}

#[test]
fn fastlane_that_does_not_read_harms_nobody() {
    let broker = Broker::start(&[]);
    let mut slow = broker.client(V5, "slow");
    assert_eq!(slow.try_subscribe("$fastlane/a", 0), 0);
    let mut fast = broker.client(V5, "fast");
    fast.subscribe("a", 0);
    let mut bob = broker.client(V5, "bob");
    let before = broker.resident_bytes();
    flood(&mut bob, &mut fast, 0);
    let growth = broker.resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "grown by {growth} bytes");
    let numbers = read_all(&mut slow);
    assert!(numbers.len() >= 100, "{}", numbers.len());
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "out of order: {numbers:?}");
    bob.publish(&Publish::new("a", payload(TOTAL)));
    assert_eq!(number(&slow.expect_publish()), TOTAL);
}

/// A client whose connection is gone is no different from one that does not read.
#[test]
fn subscriber_that_vanishes_in_a_flood_harms_nobody() {
    let broker = Broker::start(&[]);
    let mut fast = broker.client(V5, "fast");
    fast.subscribe("a", 1);
    let mut gone = broker.connect(&Connect::resume(V5, "gone"));
    gone.subscribe("a", 1);
    let mut bob = broker.client(V5, "bob");
    bob.send(&Publish::new("a", payload(0)).qos(1, 1).bytes(V5));
    bob.expect_puback(1);
    let first = fast.expect_publish();
    fast.acknowledge(&first);
    gone.cut();
    flood(&mut bob, &mut fast, 1);
    let mut gone = broker.connect(&Connect::resume(V5, "gone"));
    let messages = gone.take_all(&mut bob);
    let numbers: Vec<usize> = messages.iter().map(number).collect();
    // None was acknowledged, the first included.
    assert_eq!(numbers, [0].into_iter().chain(0..TOTAL).collect::<Vec<_>>());
}

/// [MQTT3-4.6.0-6] [MQTT5-4.6.0-6]
#[test]
fn fan_out_to_300_subscribers_is_in_order_for_each() {
    let broker = Broker::start(&[]);
    each_version(|version| {
        let subscribe = |number: u8, qos| {
            let mut raw = broker.client(version, &format!("subscriber {qos} {number}"));
            raw.subscribe("a", qos);
            raw
        };
        let mut subscribers: Vec<Raw> = (0..150).map(|number| subscribe(number, 0)).collect();
        subscribers.extend((0..150).map(|number| subscribe(number, 1)));
        let mut bob = broker.client(version, "bob");
        let publish = |id: u16| Publish::new("a", id.to_string()).qos(1, id).bytes(version);
        bob.send(&(1..=100).flat_map(publish).collect::<Vec<u8>>());
        for subscriber in &mut subscribers {
            for id in 1..=100 {
                let message = subscriber.expect_publish();
                assert_eq!(message.text(), id.to_string());
                subscriber.acknowledge(&message);
            }
            subscriber.expect_nothing_before_pong();
        }
        for id in 1..=100 {
            bob.expect_puback(id);
        }
    });
}

/// Many subscribers of one filter are named from its own list: with all else that matches, each
/// gets a message once, and as long as it subscribes.
#[test]
fn many_subscribers_get_each_message_once_while_others_come_and_go() {
    const NO_LOCAL: u8 = 4;
    let broker = Broker::start(&[]);
    let mut subscribers: Vec<Raw> = (0..300)
        .map(|number| {
            let mut raw = broker.client(V5, &format!("subscriber {number}"));
            raw.subscribe("a/b", 1);
            raw
        })
        .collect();
    subscribers[0].subscribe("a/+", 0);
    subscribers[150].subscribe("#", 1);
    subscribers[299].subscribe("+/b", 0);
    let mut fast = broker.client(V5, "fast");
    fast.subscribe("$fastlane/a/b", 0);
    let mut bob = broker.client(V5, "bob");
    bob.subscribe("a/b", NO_LOCAL);
    for id in 1..=6 {
        bob.publish(&Publish::new("a/b", id.to_string()).qos(1, id));
        for raw in &mut subscribers {
            let message = raw.expect_publish();
            assert_eq!(message.text(), id.to_string());
            raw.acknowledge(&message);
            raw.expect_nothing_before_pong();
        }
        assert_eq!(fast.expect_publish().text(), id.to_string());
        bob.expect_nothing_before_pong();
        // Below the size from which a list is shared, too.
        for mut raw in subscribers.split_off(300 - usize::from(id) * 30) {
            raw.unsubscribe("a/b");
        }
    }
}

/// Every message is the answer to the same write, between the acknowledgements.
#[test]
fn client_gets_1_000_messages_that_it_publishes_to_itself_in_one_write() {
    each_version(|version| {
        for qos in 0..=1 {
            let broker = Broker::start(&[]);
            let mut alice = broker.client(version, "alice");
            alice.subscribe("a", qos);
            let publish = |id: u16| Publish::new("a", id.to_string()).qos(qos, id).bytes(version);
            alice.send(&(1..=1_000).flat_map(publish).collect::<Vec<u8>>());
            let (mut messages, mut acks) = (0, 0);
            while messages < 1_000 || (qos > 0 && acks < 1_000) {
                let packet = alice.receive();
                if let Kind::Publish(message) = packet.kind {
                    messages += 1;
                    assert_eq!(message.text(), messages.to_string());
                    alice.acknowledge(&message);
                } else if let Kind::Puback(ack) = packet.kind {
                    acks += 1;
                    assert_eq!((ack.id, ack.code), (acks, 0));
                } else {
                    panic!("neither PUBLISH nor PUBACK: {packet:?}");
                }
            }
            alice.expect_nothing_before_pong();
        }
    });
}

/// [MQTT3-3.3.1-6] [MQTT5-3.3.1-9]
#[test]
fn each_of_2_000_retained_messages_reaches_a_new_subscription() {
    let broker = Broker::start(&[]);
    let mut bob = broker.client(V5, "bob");
    for batch in 0..4 {
        let publish = |id: u16| {
            let topic = format!("a/{}", batch * 500 + id);
            Publish::new(topic, [b'x'; 300]).qos(1, id).retain().bytes(V5)
        };
        bob.send(&(1..=500).flat_map(publish).collect::<Vec<u8>>());
        for id in 1..=500 {
            bob.expect_puback(id);
        }
    }
    each_version(|version| {
        for filter in ["a/+", "#", "$local/a/#"] {
            for qos in 0..=1 {
                let mut alice = broker.client(version, "alice");
                alice.subscribe(filter, qos);
                let mut topics: Vec<String> = (0..2_000)
                    .map(|_| {
                        let message = alice.expect_publish();
                        assert!(message.retain && message.qos == qos, "{message:?}");
                        alice.acknowledge(&message);
                        message.topic
                    })
                    .collect();
                topics.sort();
                topics.dedup();
                assert_eq!(topics.len(), 2_000, "{filter} at QoS {qos}");
                alice.expect_nothing_before_pong();
                alice.disconnect();
            }
        }
    });
}

/// The session is not in the way of a message that comes meanwhile.
#[test]
fn message_published_while_retained_ones_are_sent_arrives() {
    let broker = Broker::start(&[]);
    let mut bob = broker.client(V5, "bob");
    for id in 1..=1_500 {
        bob.send(&Publish::new(format!("a/{id}"), [b'x'; 300]).qos(1, id).retain().bytes(V5));
        bob.expect_puback(id);
    }
    let mut alice = broker.client(V5, "alice");
    alice.subscribe("a/+", 1);
    bob.publish(&Publish::new("a/live", "live").qos(1, 1));
    let mut retained = 0;
    let mut live = 0;
    while retained < 1_500 || live < 1 {
        let message = alice.expect_publish();
        alice.acknowledge(&message);
        if message.retain {
            retained += 1;
        } else {
            live += 1;
            assert_eq!(message.text(), "live");
        }
    }
    alice.send(&pingreq());
    assert_eq!(alice.receive().kind, Kind::Pingresp);
}
