use std::net::SocketAddr;

use super::{Arc, Deliveries, Ended, Mutex, Subscriber, Terms};
use crate::{
    Version,
    crash::{
        message::{Message, Number, Style},
        round::{Ledger, Round},
    },
    received::{self, Values},
};

const TERMS: Terms = Terms {
    version: Version::V5,
    qos: 2,
    filters: &["crash/#"],
    receive_maximum: Some(3),
    presence: 100,
    roams: false,
    is_clean: false,
    expiry: None,
    renews: false,
    will: None,
    team: None,
};

/// A subscriber of 5.0, and a publisher at QoS 2 with ten messages, all of them acknowledged.
struct Script {
    ledger: Ledger,
    subscriber: Subscriber,
}

impl Script {
    fn new() -> Self {
        let ledger = Ledger::new(vec![Style::Plain(2)]);
        ledger.set_sent(0, 10);
        ledger.set_acknowledged(0, 10);
        let deliveries = Arc::new(Mutex::new(Deliveries::new(1, TERMS.qos)));
        Self { ledger, subscriber: Subscriber::new(0, TERMS, deliveries, 1) }
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut Subscriber, &Round<'_>) -> T) -> T {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let round = Round::new(address, 1, false, &self.ledger);
        act(&mut self.subscriber, &round)
    }

    /// A message comes; what is wrong with it.
    fn receive(&mut self, sequence: u64, id: u16, dup: bool) -> Option<String> {
        let Message { topic, payload, qos, .. } =
            Message::of(Number { publisher: 0, sequence }, Style::Plain(2));
        let (properties, id) = (Values::default(), Some(id));
        let got = received::Message { topic, payload, qos, id, retain: false, dup, properties };
        match self.act(|subscriber, round| subscriber.receive(&got, round)) {
            Err(Ended::Fault(fault)) => Some(fault),
            Ok(()) | Err(Ended::Over) => None,
        }
    }

    fn lose_connection(&mut self) {
        self.act(|subscriber, round| subscriber.forget_connection(round));
    }

    #[track_caller]
    fn take_over(&mut self) {
        self.subscriber.take_pending().unwrap();
    }
}

#[track_caller]
fn check(fault: Option<String>, begins: &str) {
    let fault = fault.expect("something is wrong");
    assert!(fault.starts_with(begins), "{fault}");
}

#[test]
fn message_that_was_not_acknowledged_comes_again_with_dup() {
    let mut script = Script::new();
    assert_eq!(script.receive(0, 7, false), None);
    script.lose_connection();
    check(script.receive(0, 7, false), "NO DUP");
    script.lose_connection();
    assert_eq!(script.receive(0, 7, true), None);
    script.take_over();
    assert_eq!(script.subscriber.deliveries().delivered, 1);
}

#[test]
fn message_that_waits_for_pubrel_is_not_taken_over_twice() {
    let mut script = Script::new();
    assert_eq!(script.receive(0, 7, false), None);
    script.take_over();
    script.lose_connection();
    check(script.receive(0, 7, false), "NO DUP");
    assert_eq!(script.receive(0, 7, true), None);
    script.take_over();
    assert_eq!(script.subscriber.deliveries().delivered, 1);
    assert_eq!(script.receive(0, 8, true), None);
    assert!(script.subscriber.take_pending().is_err(), "with another packet identifier it is new");
}

#[test]
fn packet_id_is_one_messages_at_a_time() {
    let mut script = Script::new();
    assert_eq!(script.receive(0, 7, false), None);
    check(script.receive(1, 7, false), "ID TAKEN");
    script.take_over();
    script.lose_connection();
    check(script.receive(1, 7, false), "ID TAKEN");
}

#[test]
fn more_than_receive_maximum_are_found() {
    let mut script = Script::new();
    assert_eq!(script.receive(0, 1, false), None);
    script.take_over();
    assert_eq!(script.receive(1, 2, false), None);
    assert_eq!(script.receive(2, 3, false), None);
    check(script.receive(3, 4, false), "TOO MANY");
}
