//! What has expired leaves the disk, though nobody asks for it. The broker looks every ten seconds.

use std::time::Duration;

use avocet_tests::{
    Connect, Properties, Publish, Version, Will, deadline, packet::disconnect_with,
};

use super::{End, Node};

const V5: Version = Version::V5;
/// More than is in memory for a client that is away.
const COUNT: u16 = 100;

fn expiring(topic: &str, seconds: u32) -> Publish {
    Publish::new(topic, "x").properties(Properties::new().four(0x02, seconds))
}

/// Publishes messages to `a`, of QoS 1 and 2, that live for a second, and two that live on: one
/// before and one behind them.
fn publish_between(node: &Node) {
    let mut bob = node.client(V5, "bob");
    bob.publish(&expiring("a", 1_000).qos(1, 1));
    for id in 0..COUNT {
        bob.publish(&expiring("a", 1).qos(1 + u8::from(id % 2 == 0), 1));
    }
    bob.publish(&expiring("a", 1_000).qos(1, 1));
}

/// Of all that waits, what has not expired is left, on the disk and for the client.
fn check_two_are_left(mut node: Node) {
    node.settle(V5);
    node.end(End::Kill);
    assert_eq!(node.stored("queued messages"), 2);
    node.begin();
    let mut bob = node.client(V5, "bob");
    assert_eq!(node.resume(V5, "alice").take_all(&mut bob).len(), 2);
}

#[test]
fn expired_messages_leave_the_disk_while_their_client_is_away() {
    let node = Node::start(&[]);
    node.leave_subscribed(V5, "alice", "a");
    publish_between(&node);
    node.expect_dropped("expired", COUNT.into());
    check_two_are_left(node);
}

#[test]
fn messages_that_expire_behind_a_kill_leave_the_disk_too() {
    let mut node = Node::start(&[]);
    node.leave_subscribed(V5, "alice", "a");
    publish_between(&node);
    node.restart(End::Kill);
    node.expect_dropped("expired", COUNT.into());
    check_two_are_left(node);
}

#[test]
fn messages_that_expire_while_the_broker_is_down_leave_the_disk_too() {
    let mut node = Node::start(&[]);
    node.leave_subscribed(V5, "alice", "a");
    publish_between(&node);
    node.end(End::Kill);
    deadline::let_pass(Duration::from_millis(1_100));
    node.begin();
    node.expect_dropped("expired", COUNT.into());
    check_two_are_left(node);
}

#[test]
fn expired_retained_messages_leave_the_disk() {
    let mut node = Node::start(&[]);
    let mut bob = node.client(V5, "bob");
    for number in 0..COUNT {
        bob.publish(&expiring(&format!("kept/{number}"), 1).qos(1, 1).retain());
    }
    bob.publish(&expiring("kept/long", 1_000).qos(1, 1).retain());
    node.expect_metric("avocet_retained_messages", 1);
    node.settle(V5);
    node.end(End::Kill);
    assert_eq!(node.stored("retained messages"), 1);
    node.begin();
    let mut carol = node.client(V5, "carol");
    carol.subscribe("kept/#", 1);
    carol.expect_message("kept/long", "x", 1);
    carol.expect_nothing_before_pong();
}

#[test]
fn session_that_ends_leaves_the_disk_and_its_will_is_published() {
    let mut node = Node::start(&[]);
    node.leave_subscribed(V5, "watcher", "gone/#");
    let will = Will::new("gone/alice", "lost").qos(2);
    let will = will.properties(Properties::new().four(0x18, 1_000));
    let mut short = Connect::resume(V5, "alice").will(will);
    short.properties = Properties::new().four(0x11, 2);
    let mut alice = node.connect(&short);
    alice.subscribe("a", 2);
    alice.send(&disconnect_with(4, &Properties::new()));
    alice.expect_close();
    let mut bob = node.client(V5, "bob");
    for id in 1..=COUNT {
        bob.publish(&Publish::new("a", "x").qos(1 + u8::from(id % 2 == 0), id));
    }
    node.expect_dropped("session_ended", COUNT.into());
    let mut watcher = node.resume(V5, "watcher");
    let message = watcher.take_message();
    assert_eq!((&*message.topic, &*message.text(), message.qos), ("gone/alice", "lost", 2));
    assert_eq!(node.take_texts(&mut watcher), [""; 0]);
    watcher.disconnect();
    node.settle(V5);
    node.end(End::Kill);
    // Those of the watcher, and of whom everything is stored before.
    let seen = ["sessions", "queued messages", "planned messages"].map(|it| node.stored(it));
    assert_eq!(seen, [2, 0, 0]);
    node.begin();
    let (_, connack) = node.connect_with(&short);
    assert!(!connack.session_present);
}
