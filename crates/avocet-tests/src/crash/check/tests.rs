use super::{Deliveries, Fault};
use crate::crash::message::{Message, Number, Style};

const STYLES: [Style; 3] = [Style::Plain(1), Style::Plain(2), Style::Delayed];

fn message(publisher: usize, sequence: u64) -> Message {
    Message::of(Number { publisher, sequence }, STYLES[publisher])
}

/// Takes these messages of one publisher; what is wrong with the last of them.
fn last(granted: u8, publisher: usize, sequences: &[u64]) -> Option<Fault> {
    let mut deliveries = Deliveries::new(STYLES.len(), granted);
    let mut fault = None;
    for sequence in sequences {
        assert_eq!(fault, None);
        fault = deliveries.take(&message(publisher, *sequence)).err();
    }
    fault
}

/// The first two messages of a publisher that have a topic in common.
fn pair(publisher: usize) -> (u64, u64) {
    let branch = message(publisher, 0).branch;
    let second = (1..).find(|sequence| message(publisher, *sequence).branch == branch);
    (0, second.expect("there are few topics"))
}

#[test]
fn missing_messages_are_found_and_named() {
    let mut deliveries = Deliveries::new(STYLES.len(), 2);
    let owed: Vec<Number> = (0..9).map(|sequence| Number { publisher: 0, sequence }).collect();
    for sequence in [0, 1, 2, 4, 5, 6, 8] {
        deliveries.take(&message(0, sequence)).unwrap();
    }
    let numbers = vec![owed[3], owed[7]];
    assert_eq!(deliveries.missing(&owed), Some(Fault::Missing { numbers, count: 2 }));
    for sequence in [3, 7] {
        // Late, so out of order, but there.
        drop(deliveries.take(&message(0, sequence)));
    }
    assert_eq!(deliveries.missing(&owed), None);
}

#[test]
fn message_of_qos_2_comes_once_and_of_qos_1_at_least_once() {
    let number = Number { publisher: 1, sequence: 4 };
    assert_eq!(last(2, 1, &[4, 4]), Some(Fault::Doubled { number }));
    assert_eq!(last(1, 1, &[4, 4]), None, "the subscription has QoS 1");
    assert_eq!(last(2, 0, &[4, 4]), None, "the message has QoS 1");
}

#[test]
fn settled_message_of_qos_2_does_not_come_again() {
    let mut deliveries = Deliveries::new(STYLES.len(), 2);
    deliveries.take(&message(1, 0)).unwrap();
    deliveries.settle(&[1, 1, 1]);
    assert_eq!(deliveries.missing(&[Number { publisher: 1, sequence: 0 }]), None);
    let number = Number { publisher: 1, sequence: 0 };
    assert_eq!(deliveries.take(&message(1, 0)), Err(Fault::Doubled { number }));
    assert_eq!(deliveries.take(&message(0, 0)), Ok(()));
    let owed = [Number { publisher: 1, sequence: 1 }];
    assert!(deliveries.missing(&owed).is_some());
}

#[test]
fn first_deliveries_of_a_topic_ascend() {
    let (first, second) = pair(0);
    let number = Number { publisher: 0, sequence: first };
    assert_eq!(last(1, 0, &[second, first]), Some(Fault::OutOfOrder { number, after: second }));
    assert_eq!(last(1, 0, &[first, second, first, second]), None, "sent again, from the first on");
    let (first, second) = pair(2);
    assert_eq!(last(2, 2, &[second, first]), None, "delayed messages have no order");
}

#[test]
fn message_from_before_the_subscription_may_come_late() {
    let mut deliveries = Deliveries::new(STYLES.len(), 1);
    let (first, second) = pair(0);
    deliveries.begin_order(&[second, 0, 0]);
    deliveries.take(&message(0, second)).unwrap();
    assert_eq!(deliveries.take(&message(0, first)), Ok(()));
}

#[test]
fn message_that_nobody_sent_is_found() {
    let deliveries = Deliveries::new(STYLES.len(), 1);
    let sent = |_| 5;
    let of = |topic: &str, payload: &[u8], qos| {
        deliveries.recognise((topic, payload, qos), &STYLES, sent).map(|message| message.number)
    };
    let good = message(1, 4);
    assert_eq!(of(&good.topic, &good.payload, 1), Ok(good.number));
    let right = Fault::WrongQos { number: good.number, qos: 2, right: 1 };
    assert_eq!(of(&good.topic, &good.payload, 2), Err(right));
    let mut changed = good.payload.clone();
    changed.push(b'!');
    let early = message(1, 5);
    let unknown = [
        (early.topic.as_str(), early.payload.as_slice()),
        ("crash/p9/0", &good.payload),
        (&good.topic, &changed),
        (&good.topic, b"7 0 "),
        (&good.topic, b"hello"),
    ];
    for (topic, payload) in unknown {
        assert!(matches!(of(topic, payload, 1), Err(Fault::Unknown { .. })), "{topic}");
    }
}
