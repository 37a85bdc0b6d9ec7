//! PUBLISH: topics, matching, payloads, order.

use avocet_tests::{Broker, Publish, Version, each_version, packet::frame};

/// [MQTT3-3.3.2-1] [MQTT3-3.3.2-3] [MQTT3-4.3.1-1] [MQTT3-2.3.1-5] [MQTT3-4.5.0-1]
/// [MQTT5-3.3.2-1] [MQTT5-3.3.2-3] [MQTT5-4.3.1-1] [MQTT5-2.2.1-2] [MQTT5-4.5.0-1] [MQTT5-2.2.2-1]
#[test]
fn message_reaches_the_subscriber_of_its_topic_and_no_other() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let mut carol = broker.client(version, "carol");
        alice.subscribe("room/kitchen", 0);
        carol.subscribe("room/cellar", 0);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("room/kitchen", "warm"));
        let message = alice.expect_message("room/kitchen", "warm", 0);
        assert_eq!((message.id, message.dup, message.retain), (None, false, false));
        alice.expect_nothing_before_pong();
        carol.expect_nothing_before_pong();
    });
}

#[test]
fn message_reaches_subscribers_of_other_versions() {
    let broker = Broker::start(&[]);
    for from in Version::ALL {
        for to in Version::ALL {
            let mut subscriber = broker.client(to, "subscriber");
            subscriber.subscribe("a/+", 2);
            let mut publisher = broker.client(from, "publisher");
            publisher.publish(&Publish::new("a/b", "hello").qos(2, 1));
            let message = subscriber.expect_message("a/b", "hello", 2);
            subscriber.acknowledge(&message);
        }
    }
}

#[test]
fn payload_of_any_bytes_and_size_comes_out_the_same() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 0);
        for size in [0, 1, 127, 128, 16_383, 16_384, 100_000] {
            let payload: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
            alice.send(&Publish::new("a", &payload).bytes(version));
            assert_eq!(alice.expect_publish().payload, payload, "{size} bytes");
        }
    });
}

/// [MQTT3-3.3.2-2] [MQTT3-4.7.1-1] [MQTT3-4.7.3-1] [MQTT5-3.3.2-2] [MQTT5-4.7.0-1] [MQTT5-4.7.3-1]
/// [MQTT3-4.8.0-1] [MQTT5-4.13.1-1]
#[test]
fn publish_to_a_wildcard_or_to_nothing_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        for topic in ["#", "a/#", "+", "a/+/b", "a#", ""] {
            let mut raw = broker.client(version, "alice");
            raw.send(&Publish::new(topic, "x").bytes(version));
            raw.expect_error(&[0x81, 0x82, 0x90]);
        }
    });
}

/// [MQTT3-1.5.3-1] [MQTT3-1.5.3-2] [MQTT3-4.7.3-2] [MQTT5-1.5.4-1] [MQTT5-1.5.4-2] [MQTT5-4.7.3-2]
/// [MQTT3-3.3.2-1] [MQTT5-3.3.2-1]
#[test]
fn publish_to_an_ill_formed_topic_closes() {
    let broker = Broker::start(&[]);
    for version in [Version::V311, Version::V5] {
        let topics: [&[u8]; 4] = [b"a\0b", b"\xff", b"\xed\xbf\xbf", b"\xe0\x80\xaf"];
        for topic in topics {
            let mut raw = broker.client(version, "alice");
            raw.send(&Publish::new(topic, "x").bytes(version));
            raw.expect_error(&[0x81, 0x82, 0x90]);
        }
    }
}

/// [MQTT3-1.5.3-3] [MQTT3-4.7.3-4] [MQTT5-1.5.4-3] [MQTT5-4.7.3-4]
#[test]
fn topics_are_neither_normalised_nor_altered() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("\u{feff}a", 0);
        alice.subscribe("caf\u{e9}", 0);
        alice.subscribe("Upper", 0);
        alice.subscribe("a//b", 0);
        let mut bob = broker.client(version, "bob");
        for other in ["a", "cafe\u{301}", "upper", "a/b"] {
            bob.publish(&Publish::new(other, "x"));
        }
        alice.expect_nothing_before_pong();
        for same in ["\u{feff}a", "caf\u{e9}", "Upper", "a//b"] {
            bob.publish(&Publish::new(same, "x"));
            alice.expect_message(same, "x", 0);
        }
    });
}

#[test]
fn topic_of_65535_bytes_is_delivered() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("#", 0);
        let topic = "t".repeat(65_535);
        alice.send(&Publish::new(&topic, "x").bytes(version));
        alice.expect_message(&topic, "x", 0);
    });
}

/// [MQTT3-4.7.1-2] [MQTT3-4.7.1-3] [MQTT3-3.3.2-3] [MQTT5-4.7.1-1] [MQTT5-4.7.1-2] [MQTT5-3.3.2-3]
#[test]
fn wildcards_match_as_the_standard_says() {
    each_version(|version| {
        for (filter, matching, others) in [
            (
                "sport/#",
                &["sport", "sport/tennis", "sport/a/b", "sport/"][..],
                &["sports", "a"][..],
            ),
            ("sport/+", &["sport/tennis", "sport/"], &["sport", "sport/a/b"]),
            ("+/+", &["/finance", "a/b", "/"], &["finance", "a/b/c"]),
            ("/+", &["/finance", "/"], &["finance", "a/b"]),
            ("+", &["finance"], &["/finance", "a/"]),
            ("#", &["a", "/", "a/b/c"], &["$data", "$data/a"]),
            ("+/a/#", &["x/a", "x/a/b", "/a"], &["$x/a", "a", "x/b"]),
            ("a/+/c/#", &["a/b/c", "a//c/d/e"], &["a/c", "a/b/b/c"]),
        ] {
            let broker = Broker::start(&[]);
            let mut alice = broker.client(version, "alice");
            alice.subscribe(filter, 0);
            let mut bob = broker.client(version, "bob");
            for topic in others {
                bob.publish(&Publish::new(topic, "no"));
            }
            for topic in matching {
                bob.publish(&Publish::new(topic, "yes"));
                alice.expect_message(topic, "yes", 0);
            }
            alice.expect_nothing_before_pong();
        }
    });
}

/// [MQTT3-4.7.2-1] [MQTT5-4.7.2-1]
#[test]
fn leading_wildcard_does_not_match_a_leading_dollar() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        let mut carol = broker.client(version, "carol");
        for filter in ["#", "+/a", "+/#"] {
            alice.subscribe(filter, 0);
        }
        carol.subscribe("$data/#", 0);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("$data/a", "x"));
        carol.expect_message("$data/a", "x", 0);
        alice.expect_nothing_before_pong();
    });
}

/// [MQTT3-4.6.0-5] [MQTT3-4.6.0-6] [MQTT5-4.6.0-5] [MQTT5-4.6.0-6]
#[test]
fn messages_of_one_publisher_arrive_in_order() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        for qos in 0..=2 {
            let mut alice = broker.client(version, "alice");
            alice.subscribe("order", qos);
            let mut bob = broker.client(version, "bob");
            for number in 1..=20_u16 {
                bob.publish(&Publish::new("order", number.to_string()).qos(qos, number));
                let message = alice.expect_message("order", &number.to_string(), qos);
                alice.acknowledge(&message);
            }
            let burst: Vec<u8> = (0..500)
                .flat_map(|n: u32| Publish::new("order", n.to_string()).bytes(version))
                .collect();
            bob.send(&burst);
            for number in 0..500 {
                alice.expect_message("order", &number.to_string(), 0);
            }
        }
    });
}

/// [MQTT3-3.3.1-4] [MQTT5-3.3.1-4]
#[test]
fn publish_with_qos_3_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut raw = broker.client(version, "alice");
        raw.send(&Publish::new("a", "x").qos(3, 1).bytes(version));
        raw.expect_error(&[0x81]);
    });
}

/// [MQTT3-3.3.1-2] [MQTT5-3.3.1-2]
#[test]
fn publish_at_qos_0_with_dup_closes() {
    let broker = Broker::start(&[]);
    for version in [Version::V311, Version::V5] {
        let mut raw = broker.client(version, "alice");
        raw.send(&Publish::new("a", "x").dup().bytes(version));
        raw.expect_error(&[0x81, 0x82]);
    }
}

/// [MQTT3-2.3.1-1] [MQTT5-2.2.1-3]
#[test]
fn packet_id_0_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        for qos in [1, 2] {
            let mut raw = broker.client(version, "alice");
            raw.send(&Publish::new("a", "x").qos(qos, 0).bytes(version));
            raw.expect_error(&[0x81, 0x82]);
        }
        let mut raw = broker.client(version, "alice");
        raw.send(&avocet_tests::packet::subscribe(version, 0, &[("a", 0)]));
        raw.expect_error(&[0x81, 0x82]);
        let mut raw = broker.client(version, "alice");
        raw.send(&avocet_tests::packet::unsubscribe(version, 0, &["a"]));
        raw.expect_error(&[0x81, 0x82]);
    });
}

#[test]
fn publish_cut_short_inside_its_header_closes() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        for body in [&[][..], &[0], &[0, 5, b'a'], &[0, 1]] {
            let mut raw = broker.client(version, "alice");
            raw.send(&frame(0x30, body));
            raw.expect_error(&[0x81, 0x82]);
        }
        let mut raw = broker.client(version, "alice");
        raw.send(&frame(0x32, &[0, 1, b'a', 0]));
        raw.expect_error(&[0x81, 0x82]);
    });
}
