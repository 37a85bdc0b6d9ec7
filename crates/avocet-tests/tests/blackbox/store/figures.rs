//! What `/metrics` tells of the store.

use avocet_tests::{Properties, Publish, Version};

use super::{End, Node};
use crate::listener::metric;

const V5: Version = Version::V5;

#[test]
fn waiting_messages_are_told_until_they_are_delivered_or_expire() {
    let mut node = Node::start(&[]);
    let messages = "avocet_store_messages";
    node.leave_subscribed(V5, "alice", "a");
    node.leave_subscribed(V5, "carol", "a");
    node.expect_metric(messages, 0);
    node.expect_metric("avocet_store_message_bytes", 0);
    let (log, needed) = ("avocet_store_log_bytes", "avocet_store_needed_bytes");
    let [log_before, needed_before] = [log, needed].map(|it| metric(&node, it));
    let commits = metric(&node, "avocet_store_commits_total");
    let mut bob = node.client(V5, "bob");
    for id in 1..=10 {
        bob.publish(&Publish::new("a", "x".repeat(1_000)).qos(1, id));
    }
    // Each PUBACK waits for a group of its own.
    assert!(metric(&node, "avocet_store_commits_total") >= commits + 10);
    assert!(metric(&node, "avocet_store_commit_microseconds_total") > 0);
    node.expect_metric(messages, 20);
    assert!(metric(&node, "avocet_store_message_bytes") >= 10_000);
    assert!(metric(&node, log) >= log_before + 10_000);
    assert!(metric(&node, needed) >= needed_before + 10_000);
    node.restart(End::Kill);
    node.expect_metric(messages, 20);
    assert_eq!(node.take_texts(&mut node.resume(V5, "alice")).len(), 10);
    node.expect_metric(messages, 10);
    assert_eq!(node.take_texts(&mut node.resume(V5, "carol")).len(), 10);
    node.expect_metric(messages, 0);
    node.expect_metric("avocet_store_message_bytes", 0);
    let short = Properties::new().four(0x02, 1);
    let expiring = Publish::new("a", "x").qos(1, 1).properties(short);
    node.client(V5, "bob").publish(&expiring);
    node.expect_dropped("expired", 2);
    node.expect_metric(messages, 0);
    node.expect_metric("avocet_store_records_unreadable_total", 0);
}
