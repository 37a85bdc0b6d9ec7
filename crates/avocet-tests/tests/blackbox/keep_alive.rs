//! Keep Alive: silence for one and a half times the interval ends a connection.

use std::time::{Duration, Instant};

use avocet_tests::{
    Broker, Connect, Publish, Version, Will, deadline, each_version, packet::pingreq,
};

/// [MQTT3-3.1.2-24] [MQTT5-3.1.2-22] [MQTT5-3.2.2-22]
#[test]
fn silent_client_is_closed_after_one_and_a_half_keep_alive_and_its_will_published() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut watcher = broker.client(version, "watcher");
        watcher.subscribe("gone", 0);
        let connect = Connect::new(version, "alice").keep_alive(2).will(Will::new("gone", "x"));
        let mut alice = broker.connect(&connect);
        let begun = Instant::now();
        alice.expect_error(&[0x8d]);
        let silence = begun.elapsed();
        // The upper bound is wide: machines are busy, and mosquitto looks every few seconds.
        assert!(silence > Duration::from_millis(2_700), "closed after {silence:?}");
        assert!(silence < Duration::from_millis(8_000), "closed after {silence:?}");
        watcher.expect_message("gone", "x", 0);
    });
}

/// [MQTT3-3.1.2-24] [MQTT5-3.1.2-22]
#[test]
fn any_packet_counts_as_a_sign_of_life_and_keep_alive_0_needs_none() {
    let broker = Broker::start(&[]);
    let version = Version::V5;
    let mut pings = broker.connect(&Connect::new(version, "pings").keep_alive(1));
    let mut publishes = broker.connect(&Connect::new(version, "publishes").keep_alive(1));
    let mut silent = broker.client(version, "silent");
    for _ in 0..8 {
        deadline::let_pass(Duration::from_millis(500));
        pings.send(&pingreq());
        pings.receive();
        publishes.send(&Publish::new("a", "x").bytes(version));
    }
    publishes.expect_nothing_before_pong();
    silent.expect_nothing_before_pong();
}

/// [MQTT5-3.1.2-22] A client that reads messages and sends nothing is silent all the same.
#[test]
fn messages_to_a_client_are_no_sign_of_its_life() {
    let broker = Broker::start(&[]);
    let mut alice = broker.connect(&Connect::new(Version::V5, "alice").keep_alive(1));
    alice.subscribe("a", 0);
    let mut bob = broker.client(Version::V5, "bob");
    let closed = deadline::poll(Duration::from_secs(10), || {
        bob.publish(&Publish::new("a", "x"));
        match alice.receive_or_close().map(|answer| answer.kind) {
            Some(avocet_tests::Kind::Publish(_)) => None,
            Some(avocet_tests::Kind::Disconnect(ending)) => Some(ending.code == 0x8d),
            other => Some(other.is_none()),
        }
    });
    assert_eq!(closed, Some(true));
}
