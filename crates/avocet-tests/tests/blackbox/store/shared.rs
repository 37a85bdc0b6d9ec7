//! Shared subscriptions whose members have stored sessions: each message goes to one of them,
//! whoever comes, goes or ends meanwhile.

use std::{collections::BTreeSet, time::Duration};

use avocet_tests::{
    Connect, Properties, Publish, Raw, Version, deadline,
    packet::{disconnect, disconnect_with, pubrel},
    received::Message,
};

use super::{End, Node, each_end, queue::publish_numbers, texts};

const V5: Version = Version::V5;
const SHARED: &str = "$share/g/a";
/// More than fits into the windows of two members, and into what is read from the store at once.
const COUNT: usize = 1_500;

fn member(node: &Node, client_id: &str) -> Raw {
    let mut raw = node.connect(&Connect::resume(V5, client_id));
    raw.subscribe(SHARED, 2);
    raw
}

/// Ends a session with its connection.
fn end_session(mut raw: Raw) {
    raw.send(&disconnect_with(0, &Properties::new().four(0x11, 0)));
    raw.expect_close();
}

/// Ends a connection, whatever comes: what is not acknowledged comes again.
fn leave(mut raw: Raw) {
    raw.send(&disconnect());
    while raw.receive_or_close().is_some() {}
}

fn publish(node: &Node, qos: u8, count: usize) {
    let mut bob = node.client(V5, "bob");
    if qos == 1 {
        publish_numbers(&mut bob, 0..count);
        return;
    }
    for numbers in (0..count).collect::<Vec<_>>().chunks(500) {
        let publish =
            |(number, id): (&usize, u16)| Publish::new("a", number.to_string()).qos(2, id);
        let packets = numbers.iter().zip(1..).flat_map(|it| publish(it).bytes(V5));
        bob.send(&packets.collect::<Vec<u8>>());
        for (_, id) in numbers.iter().zip(1..) {
            bob.expect_pubrec(id);
        }
        for (_, id) in numbers.iter().zip(1..) {
            bob.send(&pubrel(id));
            bob.expect_pubcomp(id);
        }
    }
}

fn numbers(messages: &[Message]) -> BTreeSet<usize> {
    messages.iter().map(|it| it.text().parse().expect("a payload is a number")).collect()
}

/// What comes to a client, acknowledged, until it has so many different messages, and that nothing
/// follows. None may come twice.
fn take_exactly(node: &Node, raw: &mut Raw, mut have: BTreeSet<usize>, count: usize) {
    while have.len() < count {
        let number = raw.take_message().text().parse().expect("a payload is a number");
        assert!(have.insert(number), "{number} has come twice");
    }
    assert_eq!(texts(&raw.take_all(&mut node.client(V5, "barrier"))), [""; 0]);
}

#[test]
fn session_that_a_message_reaches_twice_gets_two_copies() {
    each_end(|version, end| {
        let mut node =
            Node::start(&["session.max_queue_messages=40", "session.queue_full='refuse'"]);
        // Who comes in between is of importance: a message is there once for all of them.
        let all = [
            ("alice", &["$share/h/a", "a", SHARED][..]),
            ("carol", &["a"]),
            ("dora", &["b", SHARED]),
            ("emil", &["a"]),
        ];
        for (name, filters) in all {
            let mut raw = node.connect(&Connect::resume(version, name));
            filters.iter().for_each(|filter| raw.subscribe(filter, 1));
            raw.disconnect();
        }
        // More than the bound in all: what was taken counts no longer.
        for round in 0..4 {
            let mut bob = node.client(version, "bob");
            for id in 1..=10 {
                bob.publish(&Publish::new("a", id.to_string()).qos(1, id));
            }
            if round == 2 {
                node.restart(end);
            }
            let take = |(name, _): (&str, _)| node.take_texts(&mut node.resume(version, name));
            // By both groups, and by the plain filters of three.
            let mut seen: Vec<_> = all.into_iter().flat_map(take).collect();
            seen.sort_unstable_by_key(|text| text.parse::<usize>().ok());
            let expected = (1..=10).flat_map(|id| vec![id.to_string(); 5]);
            assert_eq!(seen, expected.collect::<Vec<_>>());
        }
    });
}

#[test]
fn what_waits_for_a_member_whose_session_ends_goes_to_another_once() {
    for qos in [1, 2] {
        for takes_over in [false, true] {
            let node = Node::start(&[]);
            let mut alice = member(&node, "alice");
            let mut carol = member(&node, "carol");
            publish(&node, qos, COUNT);
            let kept = numbers(&alice.messages_before_pong());
            if takes_over {
                // With a clean start.
                drop(node.client(V5, "alice"));
                alice.expect_ending();
            } else {
                end_session(alice);
            }
            // At QoS 2 what was sent to her is for nobody else. [MQTT5-4.8.2-5]
            let rest = if qos == 2 { COUNT - kept.len() } else { COUNT };
            take_exactly(&node, &mut carol, BTreeSet::new(), rest);
        }
    }
}

#[test]
fn what_waits_for_a_member_that_goes_is_for_one_that_is_there() {
    for qos in [1, 2] {
        let node = Node::start(&[]);
        let mut alice = member(&node, "alice");
        let mut carol = member(&node, "carol");
        publish(&node, qos, COUNT);
        let kept = numbers(&alice.messages_before_pong());
        alice.disconnect();
        let rest = if qos == 2 { COUNT - kept.len() } else { COUNT };
        take_exactly(&node, &mut carol, BTreeSet::new(), rest);
        let mut alice = node.resume(V5, "alice");
        let again = alice.take_all(&mut node.client(V5, "barrier"));
        assert_eq!(numbers(&again), if qos == 2 { kept } else { BTreeSet::new() });
    }
}

#[test]
fn what_waits_for_members_that_are_away_is_for_the_first_that_comes() {
    for qos in [1, 2] {
        let mut node = Node::start(&[]);
        for name in ["alice", "carol"] {
            member(&node, name).disconnect();
        }
        publish(&node, qos, COUNT);
        node.restart(End::Kill);
        take_exactly(&node, &mut node.resume(V5, "carol"), BTreeSet::new(), COUNT);
        assert_eq!(node.take_texts(&mut node.resume(V5, "alice")), [""; 0]);
    }
}

#[test]
fn what_waits_for_a_session_that_expires_while_the_broker_is_down_goes_to_another() {
    let mut node = Node::start(&[]);
    let mut short = Connect::resume(V5, "alice");
    short.properties = Properties::new().four(0x11, 1);
    let mut alice = node.connect(&short);
    alice.subscribe(SHARED, 2);
    publish(&node, 2, 200);
    let mut kept = numbers(&[alice.expect_publish()]);
    kept.append(&mut numbers(&alice.messages_before_pong()));
    assert!((1..200).contains(&kept.len()), "{}", kept.len());
    member(&node, "carol").disconnect();
    node.end(End::Kill);
    deadline::let_pass(Duration::from_millis(1_100));
    node.begin();
    take_exactly(&node, &mut node.resume(V5, "carol"), BTreeSet::new(), 200 - kept.len());
}

/// Though the others are full: they were told to nobody, but what goes from one to the other was.
#[test]
fn what_a_member_leaves_is_not_refused_by_a_full_one() {
    for qos in [1, 2] {
        let node = Node::start(&[
            "session.max_queue_messages=50",
            "session.queue_full='refuse'",
            "mqtt.max_inflight=10",
        ]);
        let mut alice = member(&node, "alice");
        let mut carol = member(&node, "carol");
        publish(&node, qos, 120);
        let kept = numbers(&alice.messages_before_pong());
        assert_eq!(kept.len(), 10);
        alice.disconnect();
        let rest = if qos == 2 { 110 } else { 120 };
        take_exactly(&node, &mut carol, BTreeSet::new(), rest);
    }
}

#[test]
fn what_waits_for_a_member_that_has_unsubscribed_is_given_away_with_its_session() {
    for end in [None, Some(End::Kill), Some(End::Stop)] {
        let mut node = Node::start(&[]);
        let mut alice = member(&node, "alice");
        let mut carol = member(&node, "carol");
        publish(&node, 1, COUNT);
        let kept = alice.messages_before_pong();
        assert!(kept.len() < COUNT / 2, "{}", kept.len());
        alice.unsubscribe(SHARED);
        if let Some(end) = end {
            node.restart(end);
            alice = node.resume(V5, "alice");
            carol = node.resume(V5, "carol");
        }
        alice.send(&disconnect_with(0, &Properties::new().four(0x11, 0)));
        while alice.receive_or_close().is_some() {}
        take_exactly(&node, &mut carol, BTreeSet::new(), COUNT);
    }
}

/// Rights to messages may be on their way to the store when the session that has them ends.
#[test]
fn member_whose_session_ends_under_load_costs_no_message() {
    let node = Node::start(&[]);
    let mut carol = member(&node, "carol");
    const ROUNDS: usize = 20;
    const BATCH: usize = 400;
    let mut bob = node.client(V5, "bob");
    let mut seen = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut alice = member(&node, "alice");
        let publish = |id: usize| {
            let number = (round * BATCH + id).to_string();
            Publish::new("a", number).qos(1, id as u16 + 1).bytes(V5)
        };
        bob.send(&(0..BATCH).flat_map(publish).collect::<Vec<u8>>());
        alice.send(&disconnect_with(0, &Properties::new().four(0x11, 0)));
        (1..=BATCH).for_each(|id| assert!(bob.expect_puback(id as u16).code < 0x80));
        while alice.receive_or_close().is_some() {}
        // As an acknowledgement may be on its way when a member ends, it may come twice to QoS 1.
        while seen.len() < (round + 1) * BATCH {
            let number: usize = carol.take_message().text().parse().expect("a number");
            seen.insert(number);
        }
    }
}

/// A member comes and goes while another does: at QoS 2 each message comes to one of them, once.
#[test]
fn members_that_come_and_go_get_each_message_once() {
    let node = Node::start(&[]);
    let mut seen = BTreeSet::new();
    let mut alice = member(&node, "alice");
    member(&node, "carol").disconnect();
    let mut bob = node.client(V5, "bob");
    let mut count = 0;
    for round in 0..20 {
        let publish = |id: u16| Publish::new("a", (count + usize::from(id)).to_string()).qos(2, id);
        bob.send(&(1..=300).flat_map(|id| publish(id).bytes(V5)).collect::<Vec<u8>>());
        let mut take = |mut raw: Raw, most: usize| {
            for _ in 0..most {
                let number: usize = raw.take_message().text().parse().expect("a number");
                assert!(seen.insert(number), "{number} has come twice");
            }
            leave(raw);
        };
        take(alice, 20 * (round % 3));
        take(node.resume(V5, "carol"), 10 * (round % 4));
        alice = node.resume(V5, "alice");
        for id in 1..=300 {
            bob.expect_pubrec(id);
        }
        for id in 1..=300 {
            bob.send(&pubrel(id));
            bob.expect_pubcomp(id);
        }
        count += 300;
    }
    leave(alice);
    // What one of them has in flight is for nobody else; what else it has may change hands still.
    let mut both = ["alice", "carol"].map(|name| node.resume(V5, name));
    let mut take = || {
        for message in both.iter_mut().flat_map(Raw::take_arrived) {
            let number: usize = message.text().parse().expect("a number");
            assert!(seen.insert(number), "{number} has come twice");
        }
        seen.len()
    };
    let all = deadline::poll(deadline::SCENARIO, || (take() >= count).then_some(()));
    assert!(all.is_some(), "{} of {count}", take());
    assert_eq!(take(), count);
}
