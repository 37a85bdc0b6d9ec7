//! Who has much in the store does not keep others waiting: they have their turn between its pages.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use avocet_tests::{Connect, Publish, Raw, Version};

use super::{Node, queue::publish_numbers, wait_until};
use crate::listener::metric;

const V5: Version = Version::V5;
/// Messages of a session that has much: about eighty pages.
const MUCH: usize = 20_000;
/// More than is in memory for a client that is away: a few pages.
const LITTLE: u16 = 400;
/// One more than there are threads that read.
const LARGE: [&str; 3] = ["large-0", "large-1", "large-2"];

/// A broker with a client that little waits for, and some that much waits for. All are away.
fn stocked() -> Node {
    let node = Node::start(&["session.max_queue_messages=100000"]);
    node.leave_subscribed(V5, "small", "b");
    // What a shared subscription has brought is looked at when its session ends: others may get it.
    // Here each has one of its own.
    LARGE.iter().for_each(|name| node.leave_subscribed(V5, name, &format!("$share/{name}/a")));
    let mut bob = node.client(V5, "bob");
    publish_numbers(&mut bob, 0..MUCH);
    for id in 1..=LITTLE {
        bob.send(&Publish::new("b", id.to_string()).qos(1, id).bytes(V5));
    }
    (1..=LITTLE).for_each(|id| drop(bob.expect_puback(id)));
    node
}

fn take_little(small: &mut Raw) {
    for id in 1..=LITTLE {
        assert_eq!(small.take_message().text(), id.to_string());
    }
}

#[test]
fn small_queue_is_read_whole_between_the_pages_of_large_ones() {
    let node = stocked();
    let taken = LARGE.map(|_| AtomicUsize::new(0));
    thread::scope(|scope| {
        for (name, taken) in LARGE.iter().zip(&taken) {
            let mut large = node.resume(V5, name);
            scope.spawn(move || {
                for number in 0..MUCH {
                    assert_eq!(large.take_message().text(), number.to_string());
                    taken.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        take_little(&mut node.resume(V5, "small"));
        let seen = taken.each_ref().map(|it| it.load(Ordering::SeqCst));
        assert!(seen.iter().all(|it| *it < MUCH / 2), "of {MUCH} each they had {seen:?}");
    });
}

#[test]
fn small_queue_is_read_whole_between_the_pages_of_sessions_that_have_ended() {
    let node = stocked();
    let all = (LARGE.len() * MUCH) as u64;
    // Each is answered once all that the session before has had is gone.
    let others = LARGE.map(|name| {
        let mut raw = node.open(V5);
        raw.send(&Connect::new(V5, name).bytes());
        raw
    });
    wait_until("the sessions have not ended", || gone(&node) > 0);
    take_little(&mut node.resume(V5, "small"));
    let seen = gone(&node);
    assert!(seen < all / 2, "of {all} messages {seen} were gone");
    for mut raw in others {
        assert!(!raw.expect_connack().session_present);
    }
    node.expect_dropped("no_member", all);
    node.expect_metric("avocet_store_messages", 0);
}

/// How many messages nobody gets any more, since sessions have ended.
fn gone(node: &Node) -> u64 {
    metric(node, "avocet_messages_dropped_total{reason=\"no_member\"}")
}
