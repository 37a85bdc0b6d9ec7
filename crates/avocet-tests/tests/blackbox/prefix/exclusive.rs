//! `$exclusive/`: one subscriber at a time.

use avocet_tests::{Broker, Connect, Publish, Version, each_version};

const CLAIM: &str = "$exclusive/a/b";

fn refused(version: Version) -> u8 {
    if version == Version::V5 { 0x97 } else { 0x80 }
}

#[test]
fn second_holder_is_refused_and_gets_nothing() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let mut carol = broker.client(version, "carol");
        let mut plain = broker.client(version, "plain");
        assert_eq!(alice.try_subscribe(CLAIM, 1), 1);
        assert_eq!(alice.try_subscribe(CLAIM, 2), 2, "its own once more");
        assert_eq!(carol.try_subscribe(CLAIM, 1), refused(version));
        assert_eq!(carol.try_subscribe("$exclusive/a/c", 1), 1, "another topic");
        plain.subscribe("a/b", 1);
        broker.client(version, "bob").publish(&Publish::new("a/b", "x").qos(2, 1));
        alice.expect_message("a/b", "x", 2);
        plain.expect_message("a/b", "x", 1);
        carol.expect_nothing_before_pong();
    });
}

#[test]
fn claim_is_free_after_unsubscribe_disconnect_and_a_clean_start() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut carol = broker.client(version, "carol");
        let mut check_free = || {
            assert_eq!(carol.try_subscribe(CLAIM, 1), 1);
            carol.unsubscribe(CLAIM);
        };
        let mut alice = broker.client(version, "alice");
        alice.subscribe(CLAIM, 1);
        alice.unsubscribe(CLAIM);
        check_free();
        alice.subscribe(CLAIM, 1);
        alice.disconnect();
        check_free();
        let mut alice = broker.connect(&Connect::resume(version, "alice"));
        alice.subscribe(CLAIM, 1);
        let _clean = broker.client(version, "alice");
        alice.expect_ending();
        check_free();
    });
}

#[test]
fn client_that_is_away_and_whose_session_is_kept_holds_its_claim() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.connect(&Connect::resume(version, "alice"));
        alice.subscribe(CLAIM, 1);
        alice.disconnect();
        let mut carol = broker.client(version, "carol");
        assert_eq!(carol.try_subscribe(CLAIM, 1), refused(version));
        broker.client(version, "bob").publish(&Publish::new("a/b", "x").qos(1, 1));
        let mut alice = broker.connect(&Connect::resume(version, "alice"));
        alice.expect_message("a/b", "x", 1);
        assert_eq!(carol.try_subscribe(CLAIM, 1), refused(version));
    });
}

/// Whoever holds it by several subscriptions gives it back with the last of them.
#[test]
fn claim_stands_until_the_last_of_the_holders_subscriptions_is_gone() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let mut carol = broker.client(version, "carol");
        let mut bob = broker.client(version, "bob");
        for (first, last) in [
            (CLAIM, "$local/$exclusive/a/b"),
            ("$local/$exclusive/a/b", CLAIM),
            ("$local/$exclusive/a/b", "$exclusive/$local/a/b"),
        ] {
            alice.subscribe(first, 1);
            alice.subscribe(last, 1);
            alice.unsubscribe(first);
            assert_eq!(carol.try_subscribe(CLAIM, 1), refused(version), "{last} stands");
            bob.publish(&Publish::new("a/b", "x").qos(1, 1));
            let message = alice.expect_message("a/b", "x", 1);
            alice.acknowledge(&message);
            carol.expect_nothing_before_pong();
            alice.unsubscribe(last);
            assert_eq!(carol.try_subscribe(CLAIM, 1), 1, "nobody holds it");
            carol.unsubscribe(CLAIM);
        }
    });
}

#[test]
fn exclusive_does_not_go_with_a_group() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        for filter in ["$exclusive/$share/g/a", "$exclusive/$queue/a", "$share/g/$exclusive/a"] {
            super::check_refused(&broker, version, filter);
        }
    });
}
