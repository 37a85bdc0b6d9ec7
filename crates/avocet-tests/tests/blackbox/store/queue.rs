//! Thousands of messages that wait.

use avocet_tests::{Publish, Raw, Version, packet::disconnect, received::Message};

use super::{End, Node};

const V5: Version = Version::V5;
/// More than fits into a session's window, and into what is read from the store at once.
const COUNT: usize = 2_000;
const BATCH: usize = 100;
/// `mqtt.max_inflight`, as it is by default.
const WINDOW: usize = 128;

/// Publishes numbers at QoS 1 and returns the reason codes.
pub(super) fn publish_numbers(bob: &mut Raw, numbers: std::ops::Range<usize>) -> Vec<u8> {
    let version = bob.version();
    let mut codes = Vec::new();
    for batch in numbers.collect::<Vec<_>>().chunks(BATCH) {
        let publish = |(number, id): (&usize, u16)| {
            Publish::new("a", number.to_string()).qos(1, id).bytes(version)
        };
        bob.send(&batch.iter().zip(1..).flat_map(publish).collect::<Vec<u8>>());
        codes.extend(batch.iter().zip(1..).map(|(_, id)| bob.expect_puback(id).code));
    }
    codes
}

fn number(message: &Message) -> usize {
    message.text().parse().expect("a payload is a number")
}

/// What comes next, acknowledged.
fn take_numbers(raw: &mut Raw, count: usize) -> Vec<usize> {
    (0..count).map(|_| number(&raw.take_message())).collect()
}

#[test]
fn queue_larger_than_the_window_comes_whole_and_in_order_though_its_client_goes_in_between() {
    for (version, qos) in [(Version::V311, 1), (V5, 1), (Version::V311, 2), (V5, 2)] {
        let mut node = Node::start(&[]);
        let mut alice = node.connect(&avocet_tests::Connect::resume(version, "alice"));
        // A message at QoS 1 or 2 is delivered at the lower of both.
        alice.subscribe("a", qos);
        alice.disconnect();
        let mut bob = node.client(version, "bob");
        if qos == 1 {
            publish_numbers(&mut bob, 0..COUNT);
        } else {
            for batch in (0..COUNT).collect::<Vec<_>>().chunks(BATCH) {
                let numbers = || batch.iter().zip(1_u16..);
                let publish = |(number, id): (&usize, u16)| {
                    Publish::new("a", number.to_string()).qos(2, id).bytes(version)
                };
                bob.send(&numbers().flat_map(publish).collect::<Vec<u8>>());
                numbers().for_each(|(_, id)| drop(bob.expect_pubrec(id)));
                let pubrel = |(_, id)| avocet_tests::packet::pubrel(id);
                bob.send(&numbers().flat_map(pubrel).collect::<Vec<u8>>());
                numbers().for_each(|(_, id)| drop(bob.expect_pubcomp(id)));
            }
        }
        node.restart(End::Kill);
        let mut seen = Vec::new();
        for count in [1, 300, 700] {
            let mut alice = node.resume(version, "alice");
            seen.extend(take_numbers(&mut alice, count));
            // What was sent and not acknowledged comes again, and nothing else.
            alice.send(&disconnect());
            alice.receive_bytes_to_the_end();
        }
        let mut alice = node.resume(version, "alice");
        seen.extend(take_numbers(&mut alice, COUNT - seen.len()));
        assert!(seen.iter().copied().eq(0..COUNT), "MQTT {version}, QoS {qos}: {seen:?}");
        assert_eq!(node.take_texts(&mut alice), [""; 0]);
    }
}

#[test]
fn full_queue_on_disk_drops_the_oldest() {
    for version in [Version::V311, V5] {
        let mut node = Node::start(&["session.max_queue_messages=1500"]);
        node.leave_subscribed(version, "alice", "a");
        publish_numbers(&mut node.client(version, "bob"), 0..COUNT);
        node.restart(End::Kill);
        publish_numbers(&mut node.client(version, "bob"), COUNT..COUNT + 300);
        let texts = node.take_texts(&mut node.resume(version, "alice"));
        let numbers: Vec<usize> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        // Once she is there, what fits into her window does not wait.
        assert!((1_500..=1_500 + WINDOW).contains(&numbers.len()), "{}", numbers.len());
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "out of order: {numbers:?}");
        let newest = &numbers[numbers.len() - 1_500..];
        assert!(newest.iter().copied().eq(COUNT + 300 - 1_500..COUNT + 300), "{numbers:?}");
    }
}

/// A message that was dropped is counted, and gone for good; what waits is what was not dropped.
#[test]
fn dropped_messages_are_counted_and_do_not_come_back_with_the_broker() {
    const BOUND: usize = 100;
    for version in [Version::V311, V5] {
        let settings = ["session.max_queue_messages=100", "session.queue_full=drop_oldest"];
        let mut node = Node::start(&[&settings[..], &["sys.interval=100ms"]].concat());
        node.leave_subscribed(version, "alice", "a");
        publish_numbers(&mut node.client(version, "bob"), 0..350);
        node.expect_dropped("queue_full", 250);
        let mut watcher = node.client(version, "watcher");
        watcher.subscribe("$SYS/brokers/+/metrics/messages/dropped/queue_full", 0);
        while watcher.expect_publish().text() != "250" {}
        node.settle(version);
        node.end(End::Kill);
        assert_eq!(node.stored("queued messages"), BOUND as u64);
        node.begin();
        publish_numbers(&mut node.client(version, "bob"), 350..380);
        node.expect_dropped("queue_full", 30);
        node.settle(version);
        node.end(End::Kill);
        assert_eq!(node.stored("queued messages"), BOUND as u64);
        node.begin();
        let mut alice = node.resume(version, "alice");
        let numbers = take_numbers(&mut alice, BOUND);
        assert!(numbers.iter().copied().eq(280..380), "MQTT {version}: {numbers:?}");
        assert_eq!(node.take_texts(&mut alice), [""; 0]);
        node.expect_dropped("queue_full", 0);
        alice.disconnect();
        node.settle(version);
        node.end(End::Kill);
        assert_eq!(node.stored("queued messages"), 0);
    }
}

#[test]
fn full_queue_on_disk_refuses_over_a_restart() {
    let settings = ["session.max_queue_messages=1500", "session.queue_full=refuse"];
    let mut node = Node::start(&settings);
    node.leave_subscribed(V5, "alice", "a");
    let codes = publish_numbers(&mut node.client(V5, "bob"), 0..COUNT);
    assert_eq!(codes[..1_500], [0; 1_500]);
    assert_eq!(codes[1_500..], [0x97; COUNT - 1_500]);
    node.restart(End::Kill);
    assert_eq!(publish_numbers(&mut node.client(V5, "bob"), 0..10), [0x97; 10]);
    let mut alice = node.resume(V5, "alice");
    let numbers = take_numbers(&mut alice, 1_500);
    assert!(numbers.iter().copied().eq(0..1_500), "{numbers:?}");
    assert_eq!(node.take_texts(&mut alice), [""; 0]);
    alice.disconnect();
    assert_eq!(publish_numbers(&mut node.client(V5, "bob"), 0..10), [0; 10]);
    assert_eq!(take_numbers(&mut node.resume(V5, "alice"), 10), (0..10).collect::<Vec<_>>());
}
