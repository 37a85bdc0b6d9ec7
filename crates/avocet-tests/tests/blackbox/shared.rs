//! Shared subscriptions.

use avocet_tests::{
    Broker, Connect, Publish, Version, each_version,
    packet::{ack_with_code, subscribe},
};

const V5: Version = Version::V5;

#[test]
fn each_message_goes_to_one_member_of_each_group_and_to_every_other_subscriber() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let mut carol = broker.client(version, "carol");
        let mut other = broker.client(version, "other");
        let mut plain = broker.client(version, "plain");
        alice.subscribe("$share/g/a/+", 0);
        carol.subscribe("$share/g/a/+", 0);
        other.subscribe("$share/h/a/#", 0);
        plain.subscribe("a/b", 0);
        let mut bob = broker.client(version, "bob");
        for number in 0..40 {
            bob.send(&Publish::new("a/b", number.to_string()).bytes(version));
        }
        bob.expect_nothing_before_pong();
        for number in 0..40 {
            plain.expect_message("a/b", &number.to_string(), 0);
            other.expect_message("a/b", &number.to_string(), 0);
        }
        // Everything was routed before: what each member has stands before its PINGRESP.
        let mut seen = [alice, carol].map(|mut member| {
            member.send(&avocet_tests::packet::pingreq());
            let mut count = 0;
            while member.receive().kind != avocet_tests::Kind::Pingresp {
                count += 1;
            }
            count
        });
        seen.sort_unstable();
        assert_eq!(seen.iter().sum::<u32>(), 40, "{seen:?}");
        assert!(seen[0] > 0, "one member gets nothing: {seen:?}");
    });
}

/// [MQTT5-3.8.3-4]
#[test]
fn no_local_on_a_shared_subscription_closes() {
    let broker = Broker::start(&[]);
    let mut raw = broker.client(V5, "alice");
    raw.send(&subscribe(V5, 1, &[("$share/g/a", 0x04)]));
    raw.expect_error(&[0x82]);
}

/// [MQTT5-4.8.2-1] [MQTT5-4.8.2-2]
#[test]
fn ill_formed_share_is_refused() {
    let broker = Broker::start(&[]);
    for filter in ["$share//a", "$share/g", "$share/g/", "$share/+/a", "$share/g#/a", "$share/"] {
        let mut raw = broker.client(V5, "alice");
        raw.send(&subscribe(V5, 1, &[(filter, 0)]));
        match raw.receive_or_close().map(|answer| answer.kind) {
            Some(avocet_tests::Kind::Suback(suback)) => {
                assert!(suback.codes[0] >= 0x80, "{filter}: {suback:?}");
            }
            Some(avocet_tests::Kind::Disconnect(_)) | None => {}
            other => panic!("{filter} is answered by {other:?}"),
        }
    }
}

/// [MQTT5-4.8.2-3]
#[test]
fn member_gets_messages_at_the_qos_granted_to_it() {
    let broker = Broker::start(&[]);
    let mut bob = broker.client(V5, "bob");
    for granted in 0..=2 {
        let mut alice = broker.client(V5, "alice");
        alice.subscribe("$share/g/a", granted);
        bob.publish(&Publish::new("a", "x").qos(2, 1));
        let message = alice.expect_message("a", "x", granted);
        alice.acknowledge(&message);
    }
}

/// Section 4.8.2: retained messages are not sent to a shared subscription.
#[test]
fn shared_subscription_gets_no_retained_messages() {
    let broker = Broker::start(&[]);
    broker.client(V5, "bob").publish(&Publish::new("a", "kept").retain());
    let mut alice = broker.client(V5, "alice");
    alice.subscribe("$share/g/a", 0);
    alice.expect_nothing_before_pong();
}

/// [MQTT5-4.8.2-4]
#[test]
fn delivery_at_qos_2_cut_off_is_completed_to_the_same_member() {
    let broker = Broker::start(&[]);
    let connect = Connect::resume(V5, "alice");
    let mut alice = broker.connect(&connect);
    alice.subscribe("$share/g/a", 2);
    let mut bob = broker.client(V5, "bob");
    bob.publish(&Publish::new("a", "x").qos(2, 1));
    let before = alice.expect_message("a", "x", 2);
    let mut carol = broker.client(V5, "carol");
    carol.subscribe("$share/g/a", 2);
    alice.cut();
    let mut alice = broker.connect(&connect);
    let again = alice.expect_message("a", "x", 2);
    assert_eq!((again.id, again.dup), (before.id, true));
    alice.acknowledge(&again);
    carol.expect_nothing_before_pong();
}

/// [MQTT5-4.8.2-5]
#[test]
fn message_at_qos_2_of_a_member_whose_session_ends_is_not_given_to_another() {
    let broker = Broker::start(&[]);
    let mut alice = broker.client(V5, "alice");
    alice.subscribe("$share/g/a", 2);
    broker.client(V5, "bob").publish(&Publish::new("a", "x").qos(2, 1));
    alice.expect_message("a", "x", 2);
    let mut carol = broker.client(V5, "carol");
    carol.subscribe("$share/g/a", 2);
    alice.disconnect();
    carol.expect_nothing_before_pong();
}

/// [MQTT5-4.8.2-6]
#[test]
fn message_that_a_member_refuses_is_not_given_to_another() {
    let broker = Broker::start(&[]);
    let mut alice = broker.client(V5, "alice");
    alice.subscribe("$share/g/a", 2);
    let mut bob = broker.client(V5, "bob");
    bob.publish(&Publish::new("a", "one").qos(1, 1));
    bob.publish(&Publish::new("a", "two").qos(2, 2));
    let one = alice.expect_message("a", "one", 1).packet_id();
    let two = alice.expect_message("a", "two", 2).packet_id();
    let mut carol = broker.client(V5, "carol");
    carol.subscribe("$share/g/a", 2);
    alice.send(&ack_with_code(0x40, one, 0x80));
    alice.send(&ack_with_code(0x50, two, 0x83));
    alice.expect_nothing_before_pong();
    carol.expect_nothing_before_pong();
}

#[test]
fn member_that_leaves_gets_no_more() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let mut carol = broker.client(version, "carol");
        alice.subscribe("$share/g/a", 0);
        carol.subscribe("$share/g/a", 0);
        alice.unsubscribe("$share/g/a");
        let mut bob = broker.client(version, "bob");
        for number in 0..10 {
            bob.publish(&Publish::new("a", number.to_string()));
            carol.expect_message("a", &number.to_string(), 0);
        }
        alice.expect_nothing_before_pong();
    });
}
