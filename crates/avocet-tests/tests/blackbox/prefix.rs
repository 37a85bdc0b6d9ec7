//! Prefixes of a topic filter, and of a topic.
//!
//! - [`group`] has `$share/` and `$queue/`, beyond what the standard says of them;
//! - [`fastlane`], [`exclusive`] and [`delayed`] have the prefixes of their names;
//! - here are `$local/`, how prefixes nest, and which are refused.

mod delayed;
mod exclusive;
mod fastlane;
mod group;

use avocet_tests::{Broker, Publish, Raw, Version, each_version, packet};

/// Publishes these payloads to `a` at QoS 1; afterwards each is on its way or waits.
#[track_caller]
fn publish_each(publisher: &mut Raw, payloads: &[&str]) {
    for (id, payload) in (1..).zip(payloads) {
        publisher.publish(&Publish::new("a", payload).qos(1, id));
    }
}

#[track_caller]
fn check_refused(broker: &Broker, version: Version, filter: &str) {
    let mut alice = broker.client(version, "alice");
    alice.send(&packet::subscribe(version, 1, &[(filter, 0)]));
    let code = (version == Version::V5).then_some(0x8f);
    assert_eq!(alice.expect_ending(), code, "{filter}");
}

#[test]
fn local_subscription_gets_what_is_published_to_the_bare_topic() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a/kept", "x").retain());
        let mut alice = broker.client(version, "alice");
        alice.subscribe("$local/a/+", 2);
        assert!(alice.expect_message("a/kept", "x", 0).retain);
        bob.publish(&Publish::new("a/b", "y").qos(2, 1));
        let message = alice.expect_message("a/b", "y", 2);
        alice.acknowledge(&message);
        bob.publish(&Publish::new("$local/a/b", "another topic"));
        alice.expect_nothing_before_pong();
        alice.unsubscribe("$local/a/+");
        bob.publish(&Publish::new("a/b", "z"));
        alice.expect_nothing_before_pong();
    });
}

#[test]
fn prefixes_nest() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut bob = broker.client(version, "bob");
        // The QoS that is granted and delivered to who asks for 1.
        for (filter, qos) in [
            ("$local/$share/g/a", 1),
            ("$local/$queue/a", 1),
            ("$local/$fastlane/a", 0),
            ("$fastlane/$local/a", 0),
            ("$fastlane/$queue/a", 0),
            ("$fastlane/$share/g/a", 0),
            ("$local/$fastlane/$share/g/a", 0),
            ("$fastlane/$local/$queue/a", 0),
            ("$local/$exclusive/a", 1),
            // Behind a share name stands the filter.
            ("$share/$queue/a", 1),
        ] {
            let mut alice = broker.client(version, "alice");
            assert_eq!(alice.try_subscribe(filter, 1), qos, "{filter}");
            bob.publish(&Publish::new("a", filter).qos(1, 1));
            alice.expect_message("a", filter, qos);
            alice.expect_nothing_before_pong();
            assert_eq!(alice.unsubscribe(filter).codes.first().copied().unwrap_or(0), 0);
            bob.publish(&Publish::new("a", "later").qos(1, 1));
            alice.expect_nothing_before_pong();
            alice.disconnect();
        }
    });
}

/// [MQTT3-3.10.4-1] [MQTT5-3.10.4-1]: texts are compared, not what they mean.
#[test]
fn two_spellings_are_two_subscriptions() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("a", "kept").retain());
        for (one, other) in [
            ("$local/$fastlane/a", "$fastlane/$local/a"),
            ("$queue/a", "$share/$queue/a"),
            ("$local/$fastlane/$queue/a", "$fastlane/$local/$share/$queue/a"),
            ("$local/$exclusive/a", "$exclusive/$local/a"),
        ] {
            let kept = usize::from(!one.contains("$queue/"));
            let mut alice = broker.client(version, "alice");
            // With Retain Handling 1: what is retained comes if the subscription is new.
            let handling = if version == Version::V5 { 0x10 } else { 0 };
            for (filter, qos) in [(one, 0), (other, 1)] {
                let qos = if filter.contains("$fastlane/") { 0 } else { qos };
                assert_eq!(alice.try_subscribe(filter, qos | handling), qos, "{filter}");
                assert_eq!(alice.texts_before_pong(), vec!["kept"; kept], "{filter}");
            }
            bob.publish(&Publish::new("a", "both").qos(1, 1));
            let messages = alice.messages_before_pong();
            assert_eq!(messages.len(), 1, "{one}: {messages:?}");
            alice.acknowledge(&messages[0]);
            let code = |codes: avocet_tests::received::Codes| codes.codes.first().copied();
            let none = (version == Version::V5).then_some(0x11);
            assert_ne!(code(alice.unsubscribe(other)), Some(0x11), "{other}");
            assert_eq!(code(alice.unsubscribe(other)), none, "{other}");
            bob.publish(&Publish::new("a", "one").qos(1, 1));
            let messages = alice.messages_before_pong();
            assert_eq!(messages.len(), 1, "{one}: {messages:?}");
            // On the terms of the one that is left.
            assert_eq!(messages[0].qos, 0, "{one}: {messages:?}");
            alice.acknowledge(&messages[0]);
            alice.unsubscribe(one);
            bob.publish(&Publish::new("a", "none").qos(1, 1));
            alice.expect_nothing_before_pong();
            alice.disconnect();
        }
    });
}

#[test]
fn prefix_given_twice_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        for filter in [
            "$local/$local/a",
            "$fastlane/$fastlane/a",
            "$local/$fastlane/$local/a",
            "$fastlane/$local/$fastlane/a",
            "$exclusive/$exclusive/a",
            "$queue/$queue/a",
        ] {
            check_refused(&broker, version, filter);
        }
    });
}

#[test]
fn prefix_behind_a_share_group_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        for filter in [
            "$share/g/$local/a",
            "$share/g/$fastlane/a",
            "$share/g/$queue/a",
            "$share/g/$share/h/a",
            "$queue/$fastlane/a",
            "$queue/$local/a",
            "$queue/$share/g/a",
        ] {
            check_refused(&broker, version, filter);
        }
    });
}

#[test]
fn prefix_without_a_filter_behind_it_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        for filter in ["$queue/", "$local/", "$fastlane/", "$exclusive/", "$fastlane/$queue/"] {
            check_refused(&broker, version, filter);
        }
    });
}
