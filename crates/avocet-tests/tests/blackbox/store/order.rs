//! One publisher's messages come in its order, whatever becomes of their receiver and the broker:
//! of each topic those of QoS 1, and those of QoS 2, as the standard has it. A message of QoS 1 may
//! overtake one of QoS 2 whose packet identifier is not stored yet.

#![expect(clippy::wildcard_enum_match_arm, reason = "two packets are expected, all others fail")]

use std::collections::BTreeMap;

use avocet_tests::{
    Connect, Kind, Properties, Publish, Raw, Version,
    packet::{disconnect, pingreq, puback, pubcomp, pubrec, pubrel},
    received::Message,
};

use super::{End, Node};

const V5: Version = Version::V5;
const COUNT: usize = 5_000;
const BATCH: usize = 100;
const RECEIVE_MAXIMUM: u16 = 3;
const TOPICS: [&str; 2] = ["even/a", "odd/a"];

fn topic(number: usize) -> &'static str {
    TOPICS[number % 2]
}

/// Of both topics each QoS, in no simple turn.
fn qos(number: usize) -> u8 {
    1 + u8::from(number / 2 % 3 == 1 || number.is_multiple_of(7))
}

/// Publishes all numbers, many at once.
fn publish_all(bob: &mut Raw) {
    let version = bob.version();
    for batch in (0..COUNT).collect::<Vec<_>>().chunks(BATCH) {
        let ids = || batch.iter().copied().zip(1_u16..);
        let publish = |(number, id): (usize, u16)| {
            Publish::new(topic(number), number.to_string()).qos(qos(number), id).bytes(version)
        };
        bob.send(&ids().flat_map(publish).collect::<Vec<u8>>());
        for (number, id) in ids() {
            let ack = if qos(number) == 1 { bob.expect_puback(id) } else { bob.expect_pubrec(id) };
            assert!(ack.code < 0x80, "{ack:?}");
        }
        let doubtful = || ids().filter(|(number, _)| qos(*number) == 2);
        bob.send(&doubtful().flat_map(|(_, id)| pubrel(id)).collect::<Vec<u8>>());
        doubtful().for_each(|(_, id)| drop(bob.expect_pubcomp(id)));
    }
}

/// Her side of the session, which no connection ends.
struct Alice {
    /// Of each topic and QoS, how many of its messages have come.
    seen: [[usize; 2]; 2],
    /// Of both, the numbers of all, in their order.
    all: [[Vec<usize>; 2]; 2],
    /// QoS 2: taken over, and not released.
    unreleased: BTreeMap<u16, usize>,
    repeated: usize,
}

impl Alice {
    fn new() -> Self {
        let is = |number: usize, kind| (number % 2, qos(number)) == kind;
        let of = |kind| (0..COUNT).filter(|number| is(*number, kind)).collect();
        let all = [0, 1].map(|parity| [of((parity, 1)), of((parity, 2))]);
        Self { seen: Default::default(), all, unreleased: BTreeMap::new(), repeated: 0 }
    }

    fn count(&self) -> usize {
        self.seen.iter().flatten().sum()
    }

    fn connect(&self, node: &Node) -> Raw {
        let expiry_and_maximum = Properties::new().four(0x11, u32::MAX).two(0x21, RECEIVE_MAXIMUM);
        let connect = Connect::resume(V5, "alice").properties(expiry_and_maximum);
        let (raw, connack) = node.connect_with(&connect);
        assert!(connack.session_present);
        raw
    }

    /// Takes messages until there are so many of them; the last one is not acknowledged.
    fn take_until(&mut self, raw: &mut Raw, count: usize) {
        while self.count() < count {
            match raw.receive().kind {
                Kind::Publish(message) => self.take(raw, &message, count),
                Kind::Pubrel(ack) => {
                    self.unreleased.remove(&ack.id);
                    raw.send(&pubcomp(ack.id));
                }
                other => panic!("expected PUBLISH or PUBREL, not {other:?}"),
            }
        }
    }

    /// Takes what comes again and acknowledges it: the message that she has not acknowledged, once
    /// it is stored what came before it, and all until nothing comes.
    fn take_again(&mut self, raw: &mut Raw) {
        let before = self.repeated;
        while self.repeated == before {
            match raw.receive().kind {
                Kind::Publish(message) => self.take(raw, &message, usize::MAX),
                Kind::Pubrel(ack) => raw.send(&pubcomp(ack.id)),
                other => panic!("expected PUBLISH or PUBREL, not {other:?}"),
            }
        }
        let mut has_come = true;
        while has_come {
            has_come = false;
            raw.send(&pingreq());
            loop {
                match raw.receive().kind {
                    Kind::Publish(message) => self.take(raw, &message, usize::MAX),
                    Kind::Pubrel(ack) => raw.send(&pubcomp(ack.id)),
                    Kind::Pingresp => break,
                    other => panic!("expected PUBLISH or PUBREL, not {other:?}"),
                }
                has_come = true;
            }
        }
        assert_eq!(self.count(), COUNT);
    }

    fn take(&mut self, raw: &mut Raw, message: &Message, last: usize) {
        let (id, number) = (message.packet_id(), message.text().parse().expect("a number"));
        assert_eq!((&*message.topic, message.qos), (topic(number), qos(number)), "{number}");
        if !self.is_again(message, id, number) {
            let kind = usize::from(message.qos) - 1;
            let seen = &mut self.seen[number % 2][kind];
            let next = self.all[number % 2][kind].get(*seen);
            assert_eq!(Some(&number), next, "out of order: {message:?}");
            *seen += 1;
            if message.qos == 2 {
                let before = self.unreleased.insert(id, number);
                assert_eq!(before, None, "the packet identifier {id} is in use: {message:?}");
            }
        }
        if self.count() < last {
            raw.send(&if message.qos == 1 { puback(id) } else { pubrec(id) });
        }
    }

    /// Whether she has it: one of QoS 2 under the same packet identifier, until it is released.
    fn is_again(&mut self, message: &Message, id: u16, number: usize) -> bool {
        let is_again = match message.qos {
            1 => self.all[number % 2][0][..self.seen[number % 2][0]].contains(&number),
            _ => self.unreleased.get(&id) == Some(&number),
        };
        assert!(message.dup || !is_again, "again without DUP: {message:?}");
        self.repeated += usize::from(is_again);
        is_again
    }
}

/// [MQTT5-4.6.0-5]
#[test]
fn each_topic_of_a_long_queue_comes_in_order_to_a_slow_client_through_reconnects_and_a_kill() {
    let mut node = Node::start(&[]);
    let mut raw = node.connect(&Connect::resume(V5, "alice"));
    TOPICS.iter().for_each(|topic| raw.subscribe(topic, 2));
    raw.disconnect();
    publish_all(&mut node.client(V5, "bob"));
    let mut alice = Alice::new();
    for (count, is_killed) in
        [(1, false), (600, false), (1_301, false), (2_500, true), (3_333, false), (3_334, false)]
    {
        let mut raw = alice.connect(&node);
        alice.take_until(&mut raw, count);
        if is_killed {
            node.restart(End::Kill);
        } else {
            // So that nothing of it is sent any more.
            raw.send(&disconnect());
            raw.receive_bytes_to_the_end();
        }
    }
    let mut raw = alice.connect(&node);
    alice.take_until(&mut raw, COUNT);
    assert!(alice.repeated >= 5, "each connection but the last leaves one: {}", alice.repeated);
    raw.send(&disconnect());
    raw.receive_bytes_to_the_end();
    // What she has and has not acknowledged comes again, and nothing else.
    let mut raw = alice.connect(&node);
    alice.take_again(&mut raw);
    assert_eq!(node.take_texts(&mut raw), [""; 0]);
}
