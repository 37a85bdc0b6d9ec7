//! A subscriber that does not read, with something around its bytes.

use avocet_tests::{Connect, Publish, Raw, packet, received::Message};

use super::{Everywhere, Transport, V5};

/// 5 MB, in batches that sockets take while nobody reads them.
const PAYLOAD_BYTES: usize = 10_000;
const BATCH: u16 = 50;
const BATCHES: u16 = 10;

/// How much the broker may grow: what waits, and as much again.
const GROWTH_MAX: u64 = 32 << 20;

fn payload(number: u16) -> String {
    format!("{number:0PAYLOAD_BYTES$}")
}

#[track_caller]
fn expect(message: &Message, number: u16) {
    assert_eq!((message.payload.len(), message.qos), (PAYLOAD_BYTES, 1));
    assert_eq!(message.text().parse(), Ok(number));
}

fn check(transport: Transport) {
    let everywhere = Everywhere::start(&[]);
    let broker = &everywhere.broker;
    let client = |transport, name: &str| everywhere.client(transport, &Connect::new(V5, name));
    let mut slow = client(transport, "slow");
    slow.subscribe("a", 1);
    // The fast ones come the same way, and by TCP.
    let mut fast: [Raw; 2] = [client(transport, "near"), client(Transport::Tcp, "far")];
    for raw in &mut fast {
        raw.subscribe("a", 1);
    }
    let mut bob = broker.client(V5, "bob");
    let before = broker.resident_bytes();
    for batch in 0..BATCHES {
        let numbers = (batch * BATCH)..((batch + 1) * BATCH);
        let publish = |number: u16| Publish::new("a", payload(number)).qos(1, number + 1).bytes(V5);
        bob.send(&numbers.clone().flat_map(publish).collect::<Vec<u8>>());
        for raw in &mut fast {
            for number in numbers.clone() {
                let message = raw.expect_publish();
                expect(&message, number);
                raw.acknowledge(&message);
            }
        }
        for number in numbers {
            bob.expect_puback(number + 1);
        }
    }
    let growth = broker.resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "grown by {growth} bytes");
    for number in 0..BATCH * BATCHES {
        let message = slow.expect_publish();
        expect(&message, number);
        assert!(!message.dup, "{number} comes again");
        slow.send(&packet::puback(message.packet_id()));
    }
    slow.expect_nothing_before_pong();
    // It is a subscriber like any other again.
    bob.publish(&Publish::new("a", payload(7)).qos(1, 1));
    expect(&slow.expect_publish(), 7);
}

#[test]
fn subscriber_that_does_not_read_over_tls_harms_nobody_and_gets_everything() {
    check(Transport::Tls12);
    check(Transport::Tls13);
}

#[test]
fn subscriber_that_does_not_read_over_websocket_harms_nobody_and_gets_everything() {
    check(Transport::Ws);
    check(Transport::Wss);
}

#[test]
fn subscriber_that_does_not_read_over_a_unix_socket_harms_nobody_and_gets_everything() {
    check(Transport::Unix);
}
