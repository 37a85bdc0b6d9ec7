//! Bounds: what each of them keeps out, and what the client is told.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use avocet_tests::{
    Broker, Connect, Kind, Properties, Publish, Raw, Version, Will, deadline, each_version,
    packet::subscribe, received::Message,
};

const V5: Version = Version::V5;

/// Acknowledges what is on its way, until nothing is, and returns the payloads.
#[track_caller]
pub(crate) fn drain(raw: &mut Raw) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let messages = raw.messages_before_pong();
        if messages.is_empty() {
            return texts;
        }
        for message in &messages {
            raw.acknowledge(message);
            texts.push(message.text());
        }
    }
}

/// A client that has this subscription and is away.
fn leave_subscribed(broker: &Broker, version: Version, client_id: &str, filter: &str) {
    let mut raw = broker.connect(&Connect::resume(version, client_id));
    raw.subscribe(filter, 2);
    raw.disconnect();
}

/// What waits for a client that comes back, by its QoS: between those there is no order.
#[track_caller]
fn collect(broker: &Broker, version: Version, client_id: &str) -> Vec<String> {
    let mut raw = broker.connect(&Connect::resume(version, client_id));
    let mut messages = raw.take_all(&mut broker.client(version, "barrier"));
    messages.sort_by_key(|message| message.qos);
    messages.iter().map(Message::text).collect()
}

/// Queues have the same bounds on disk and in memory.
fn each_durability(scenario: impl Fn(&str)) {
    ["session.durability=fsync", "session.durability=memory"].into_iter().for_each(scenario);
}

#[test]
fn full_queue_drops_the_oldest_and_keeps_the_newest() {
    each_durability(|durability| {
        each_version(|version| {
            let broker = Broker::start(&[durability, "session.max_queue_messages=3"]);
            leave_subscribed(&broker, version, "alice", "a");
            let mut bob = broker.client(version, "bob");
            for id in 1..=5 {
                bob.publish(&Publish::new("a", id.to_string()).qos(1 + (id % 2) as u8, id));
            }
            assert_eq!(collect(&broker, version, "alice"), ["4", "3", "5"]);
            bob.publish(&Publish::new("a", "room again").qos(1, 6));
            assert_eq!(collect(&broker, version, "alice"), ["room again"]);
        });
    });
}

#[test]
fn full_queue_drops_qos_0_first() {
    each_durability(|durability| {
        each_version(|version| {
            let broker = Broker::start(&[durability, "session.max_queue_messages=3"]);
            leave_subscribed(&broker, version, "alice", "a");
            let mut bob = broker.client(version, "bob");
            bob.publish(&Publish::new("a", "1").qos(1, 1));
            bob.publish(&Publish::new("a", "2, at 0"));
            bob.publish(&Publish::new("a", "3").qos(1, 3));
            bob.publish(&Publish::new("a", "4").qos(2, 4));
            bob.publish(&Publish::new("a", "5, at 0"));
            assert_eq!(collect(&broker, version, "alice"), ["1", "3", "4"]);
        });
    });
}

#[test]
fn full_window_and_queue_of_a_connected_client_drop_the_oldest_that_waits() {
    let broker = Broker::start(&["session.max_queue_messages=2", "mqtt.max_inflight=2"]);
    each_version(|version| {
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 1);
        let mut bob = broker.client(version, "bob");
        for id in 1..=6 {
            bob.publish(&Publish::new("a", id.to_string()).qos(1, id));
        }
        assert_eq!(drain(&mut alice), ["1", "2", "5", "6"]);
        alice.disconnect();
    });
}

#[test]
fn full_queue_that_refuses_tells_the_publisher_of_5() {
    each_durability(|durability| {
        for qos in 1..=2 {
            let broker = Broker::start(&[
                durability,
                "session.max_queue_messages=3",
                "session.queue_full=refuse",
            ]);
            leave_subscribed(&broker, V5, "alice", "a");
            let mut bob = broker.client(V5, "bob");
            for id in 1..=3 {
                bob.publish(&Publish::new("a", id.to_string()).qos(qos, id));
            }
            for id in 4..=6 {
                bob.send(&Publish::new("a", id.to_string()).qos(qos, id).bytes(V5));
                let ack = if qos == 1 { bob.expect_puback(id) } else { bob.expect_pubrec(id) };
                assert_eq!(ack.code, 0x97, "{ack:?}");
            }
            // QoS 0 has no acknowledgement to be refused with.
            bob.publish(&Publish::new("a", "7, at 0"));
            assert_eq!(collect(&broker, V5, "alice"), ["1", "2", "3"]);
            bob.publish(&Publish::new("a", "room again").qos(qos, 4));
            assert_eq!(collect(&broker, V5, "alice"), ["room again"]);
        }
    });
}

/// QoS 0 goes before a message is refused.
#[test]
fn full_queue_that_refuses_drops_qos_0_first() {
    each_durability(|durability| {
        let broker = Broker::start(&[
            durability,
            "session.max_queue_messages=2",
            "session.queue_full=refuse",
        ]);
        leave_subscribed(&broker, V5, "alice", "a");
        let mut bob = broker.client(V5, "bob");
        bob.publish(&Publish::new("a", "1, at 0"));
        bob.publish(&Publish::new("a", "2").qos(1, 2));
        bob.publish(&Publish::new("a", "3").qos(1, 3));
        bob.send(&Publish::new("a", "4").qos(1, 4).bytes(V5));
        assert_eq!(bob.expect_puback(4).code, 0x97);
        assert_eq!(collect(&broker, V5, "alice"), ["2", "3"]);
    });
}

#[test]
fn full_queue_that_refuses_closes_the_publisher_before_5() {
    each_durability(|durability| {
        for version in [Version::V31, Version::V311] {
            for qos in 1..=2 {
                let broker = Broker::start(&[
                    durability,
                    "session.max_queue_messages=3",
                    "session.queue_full=refuse",
                ]);
                leave_subscribed(&broker, version, "alice", "a");
                let mut bob = broker.client(version, "bob");
                for id in 1..=3 {
                    bob.publish(&Publish::new("a", id.to_string()).qos(qos, id));
                }
                bob.send(&Publish::new("a", "4").qos(qos, 4).bytes(version));
                bob.expect_close();
                assert_eq!(collect(&broker, version, "alice"), ["1", "2", "3"]);
            }
        }
    });
}

/// As many as there is room for are taken, whatever comes with them in one write; a group of one
/// is no different.
#[test]
fn full_queue_refuses_the_rest_of_messages_sent_together() {
    each_durability(|durability| {
        for filter in ["a", "$share/g/a", "$queue/a"] {
            each_version(|version| {
                let broker = Broker::start(&[
                    durability,
                    "session.max_queue_messages=3",
                    "session.queue_full=refuse",
                ]);
                leave_subscribed(&broker, version, "alice", filter);
                let mut bob = broker.client(version, "bob");
                let publish = |id: u16| Publish::new("a", id.to_string()).qos(1, id).bytes(version);
                bob.send(&(1..=6).flat_map(publish).collect::<Vec<u8>>());
                for id in 1..=3 {
                    assert_eq!(bob.expect_puback(id).code, 0, "{filter}");
                }
                if version == V5 {
                    for id in 4..=6 {
                        assert_eq!(bob.expect_puback(id).code, 0x97, "{filter}");
                    }
                    bob.expect_nothing_before_pong();
                } else {
                    bob.expect_close();
                }
                assert_eq!(collect(&broker, version, "alice"), ["1", "2", "3"], "{filter}");
            });
        }
    });
}

/// What was acknowledged arrives, what was refused does not.
#[test]
fn full_group_refuses_and_keeps_what_it_took() {
    each_durability(|durability| {
        let broker = Broker::start(&[
            durability,
            "session.max_queue_messages=3",
            "session.queue_full=refuse",
        ]);
        leave_subscribed(&broker, V5, "alice", "$share/g/a");
        leave_subscribed(&broker, V5, "carol", "$share/g/a");
        let mut bob = broker.client(V5, "bob");
        let mut taken = Vec::new();
        for id in 1..=9 {
            bob.send(&Publish::new("a", id.to_string()).qos(1, id).bytes(V5));
            match bob.expect_puback(id).code {
                0 => taken.push(id.to_string()),
                code => assert_eq!(code, 0x97),
            }
        }
        assert!((3..=6).contains(&taken.len()), "{taken:?}");
        let mut alice = broker.connect(&Connect::resume(V5, "alice"));
        let mut texts = Vec::new();
        while texts.len() < taken.len() {
            let message = alice.expect_publish();
            alice.acknowledge(&message);
            texts.push(message.text());
        }
        texts.sort();
        assert_eq!(texts, taken);
        alice.expect_nothing_before_pong();
        assert_eq!(collect(&broker, V5, "carol"), [""; 0]);
    });
}

#[test]
fn queue_is_bounded_in_bytes() {
    each_durability(|durability| {
        let broker = Broker::start(&[durability, "session.max_queue_bytes=4000"]);
        leave_subscribed(&broker, V5, "alice", "a");
        let mut bob = broker.client(V5, "bob");
        for id in 1..=9 {
            bob.publish(&Publish::new("a", format!("{id:01000}")).qos(1, id));
        }
        let texts = collect(&broker, V5, "alice");
        let kept: Vec<&str> = texts.iter().map(|text| text.trim_start_matches('0')).collect();
        assert_eq!(kept, ["7", "8", "9"]);
    });
}

#[test]
fn queue_bounded_in_bytes_refuses() {
    each_durability(|durability| {
        let broker = Broker::start(&[
            durability,
            "session.max_queue_bytes=4000",
            "session.queue_full=refuse",
        ]);
        leave_subscribed(&broker, V5, "alice", "a");
        let mut bob = broker.client(V5, "bob");
        let codes: Vec<u8> = (1..=5)
            .map(|id| {
                bob.send(&Publish::new("a", format!("{id:01000}")).qos(1, id).bytes(V5));
                bob.expect_puback(id).code
            })
            .collect();
        assert_eq!(codes, [0, 0, 0, 0x97, 0x97]);
        assert_eq!(collect(&broker, V5, "alice").len(), 3);
    });
}

#[test]
fn all_queues_of_the_node_are_bounded_together() {
    let broker = Broker::start(&["session.durability=memory", "session.max_node_queue_bytes=8000"]);
    let names = ["alice", "carol", "dave"];
    for name in names {
        leave_subscribed(&broker, V5, name, &format!("to/{name}"));
    }
    let mut bob = broker.client(V5, "bob");
    for id in 1..=6 {
        for name in names {
            let publish = Publish::new(format!("to/{name}"), format!("{id:01000}"));
            bob.publish(&publish.qos(1, id));
        }
    }
    let kept: Vec<usize> = names.iter().map(|name| collect(&broker, V5, name).len()).collect();
    let bytes = kept.iter().sum::<usize>() * 1000;
    assert!((4000..=8000).contains(&bytes), "{kept:?}");
    // The room is free again.
    bob.publish(&Publish::new("to/alice", "x").qos(1, 1));
    assert_eq!(collect(&broker, V5, "alice"), ["x"]);
}

#[test]
fn qos_0_does_not_wait_for_who_is_away_if_it_is_not_to() {
    each_durability(|durability| {
        each_version(|version| {
            for (setting, expected) in [("false", vec!["1"]), ("true", vec!["0", "1"])] {
                let broker = Broker::start(&[durability, &format!("session.queue_qos0={setting}")]);
                let mut alice = broker.connect(&Connect::resume(version, "alice"));
                alice.subscribe("a", 1);
                let mut bob = broker.client(version, "bob");
                bob.publish(&Publish::new("a", "here"));
                assert_eq!(drain(&mut alice), ["here"]);
                alice.disconnect();
                bob.publish(&Publish::new("a", "0"));
                bob.publish(&Publish::new("a", "1").qos(1, 1));
                assert_eq!(collect(&broker, version, "alice"), expected);
            }
        });
    });
}

#[test]
fn subscriptions_of_a_session_are_bounded() {
    each_version(|version| {
        let broker = Broker::start(&["session.max_subscriptions=2"]);
        let refused = if version == V5 { 0x97 } else { 0x80 };
        let mut alice = broker.client(version, "alice");
        alice.send(&subscribe(version, 1, &[("a", 1), ("b", 0), ("c", 0), ("$share/g/d", 0)]));
        assert_eq!(alice.expect_suback(1).codes, [1, 0, refused, refused]);
        assert_eq!(alice.try_subscribe("a", 2), 2, "one that it has already");
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("c", "x"));
        alice.expect_nothing_before_pong();
        alice.unsubscribe("b");
        assert_eq!(alice.try_subscribe("c", 0), 0);
        bob.subscribe("a", 0);
    });
}

#[test]
fn levels_of_topics_and_filters_are_bounded() {
    each_version(|version| {
        let broker = Broker::start(&["mqtt.max_topic_levels=3"]);
        let mut alice = broker.client(version, "alice");
        let refused = if version == V5 { 0x8f } else { 0x80 };
        let filters = [("a/b/c", 0), ("a/b/c/d", 0), ("a/+/+/#", 0), ("///", 0), ("#", 0)];
        alice.send(&subscribe(version, 1, &filters));
        assert_eq!(alice.expect_suback(1).codes, [0, refused, refused, refused, 0]);
        let mut bob = broker.client(version, "bob");
        for topic in ["a/b/c/d", "///"] {
            bob.send(&Publish::new(topic, "x").qos(1, 1).bytes(version));
            let code = bob.expect_puback(1).code;
            assert_eq!(code, if version == V5 { 0x90 } else { 0 }, "{topic}");
            bob.publish(&Publish::new(topic, "x"));
        }
        alice.expect_nothing_before_pong();
        bob.publish(&Publish::new("a/b/c", "x").qos(1, 2));
        assert_eq!(alice.texts_before_pong(), ["x"]);
    });
}

/// [MQTT3-3.1.3-9] [MQTT3-3.2.2-4] [MQTT3-3.2.2-5] [MQTT5-3.1.3-8] [MQTT5-3.1.4-2]
#[test]
fn client_id_that_is_too_long_is_refused() {
    let broker = Broker::start(&["mqtt.max_client_id_length=30"]);
    each_version(|version| {
        let refused = if version == V5 { 0x85 } else { 2 };
        let long = Connect::new(version, "x".repeat(31)).bytes();
        assert_eq!(broker.refusal(version, &long), Some(refused));
        broker.client(version, &"x".repeat(30)).expect_nothing_before_pong();
    });
}

#[test]
fn messages_in_flight_to_a_client_are_bounded() {
    let broker = Broker::start(&["mqtt.max_inflight=2"]);
    each_version(|version| {
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 1);
        let mut bob = broker.client(version, "bob");
        for id in 1..=5 {
            bob.publish(&Publish::new("a", id.to_string()).qos(1, id));
        }
        let sent = alice.messages_before_pong();
        assert_eq!(sent.len(), 2);
        alice.acknowledge(&sent[0]);
        assert_eq!(alice.texts_before_pong(), ["3"]);
        alice.disconnect();
    });
}

#[test]
fn receive_maximum_is_told_only_to_5() {
    let broker = Broker::start(&["mqtt.max_awaiting_rel=7"]);
    let connack = broker.connect_with(&Connect::new(V5, "alice")).1;
    assert_eq!(connack.properties.number(0x21), Some(7));
    for version in [Version::V31, Version::V311] {
        let mut bob = broker.client(version, "bob");
        for id in 1..=20 {
            bob.send(&Publish::new("a", "x").qos(2, id).bytes(version));
            bob.expect_pubrec(id);
        }
    }
}

/// What the broker tells in `$SYS/` takes no room of the clients'.
#[test]
fn retained_messages_are_bounded() {
    each_version(|version| {
        let broker = Broker::start(&["retained.max_messages=2"]);
        let mut bob = broker.client(version, "bob");
        for topic in ["a/1", "a/2", "a/1"] {
            bob.publish(&Publish::new(topic, "kept").qos(1, 1).retain());
        }
        bob.send(&Publish::new("a/3", "one too many").qos(1, 2).retain().bytes(version));
        if version == V5 {
            assert_eq!(bob.expect_puback(2).code, 0x97);
        } else {
            bob.expect_close();
            bob = broker.client(version, "bob");
        }
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a/+", 0);
        assert_eq!(alice.texts_before_pong(), ["kept", "kept"]);
        bob.publish(&Publish::new("a/1", "").qos(1, 3).retain());
        bob.publish(&Publish::new("a/3", "room again").qos(1, 4).retain());
        assert_eq!(alice.texts_before_pong(), ["", "room again"]);
    });
}

#[test]
fn delayed_messages_are_bounded() {
    each_version(|version| {
        let broker = Broker::start(&["delayed.max_messages=2"]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("a", 0);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("$delayed/1000/a", "far").qos(1, 1));
        bob.publish(&Publish::new("$delayed/1/a", "near").qos(2, 2));
        bob.send(&Publish::new("$delayed/1/a", "one too many").qos(1, 3).bytes(version));
        if version == V5 {
            assert_eq!(bob.expect_puback(3).code, 0x97);
        } else {
            bob.expect_close();
            bob = broker.client(version, "bob");
        }
        alice.expect_message("a", "near", 0);
        bob.publish(&Publish::new("$delayed/0/a", "room again").qos(1, 4));
        alice.expect_message("a", "room again", 0);
    });
}

#[test]
fn connections_of_a_listener_are_bounded() {
    let broker = Broker::start(&["listeners.tcp.default.max_connections=2"]);
    let alice = broker.client(V5, "alice");
    let mut bob = broker.client(V5, "bob");
    for version in Version::ALL {
        let mut third = broker.open(version);
        third.send(&Connect::new(version, "carol").bytes());
        third.expect_close();
    }
    bob.expect_nothing_before_pong();
    alice.disconnect();
    // When the place is free is seen only by trying.
    let has_room = deadline::poll(deadline::ANSWER, || {
        let mut third = broker.open(V5);
        third.send(&Connect::new(V5, "carol").bytes());
        third.receive_or_close()
    });
    let kind = has_room.map(|answer| answer.kind);
    assert!(matches!(kind, Some(Kind::Connack(ref connack)) if connack.code == 0), "{kind:?}");
}

const HURRY: &str = "listeners.tcp.default.connect_timeout=500ms";

#[test]
fn client_that_sends_no_connect_in_time_is_closed() {
    let broker = Broker::start(&[HURRY]);
    let mut in_time = broker.client(V5, "in time");
    let begun = Instant::now();
    let mut silent = broker.open(V5);
    silent.expect_close();
    let mut half = broker.open(V5);
    half.send(&Connect::new(V5, "half").bytes()[..9]);
    // What it sent is no whole packet, so it may be told nothing.
    half.receive_bytes_to_the_end();
    let taken = begun.elapsed();
    assert!(taken >= Duration::from_millis(550), "{taken:?}");
    assert!(taken < Duration::from_secs(5), "{taken:?}");
    in_time.expect_nothing_before_pong();
}

#[test]
fn client_that_dribbles_its_connect_is_closed_in_time() {
    let broker = Broker::start(&[HURRY]);
    let connect = Connect::new(V5, "x".repeat(1000)).bytes();
    let mut stream = TcpStream::connect(broker.address()).expect("the broker listens");
    let pause = Duration::from_millis(20);
    stream.set_read_timeout(Some(pause)).expect("a socket takes its options");
    let begun = Instant::now();
    // Reading is the pause between two bytes.
    let closed = connect.iter().any(|byte| {
        stream.write_all(&[*byte]).is_err()
            || match stream.read(&mut [0; 64]) {
                Ok(count) => count == 0,
                Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
    });
    assert!(closed, "let in after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5), "closed after {:?}", begun.elapsed());
}

#[test]
fn packet_of_the_largest_size_is_taken_and_a_larger_one_closes() {
    each_version(|version| {
        let broker = Broker::start(&["mqtt.max_packet_size=1KiB"]);
        let (mut alice, connack) = broker.connect_with(&Connect::new(version, "alice"));
        let told = (version == V5).then_some(1024);
        assert_eq!(connack.properties.number(0x27), told);
        let empty = Publish::new("a", [b'x'; 200]).bytes(version).len() - 200;
        let of_size = |size: usize| Publish::new("a", vec![b'x'; size - empty]);
        assert_eq!(of_size(1024).bytes(version).len(), 1024);
        alice.publish(&of_size(1024));
        alice.send(&of_size(1025).bytes(version));
        assert_eq!(alice.expect_ending(), (version == V5).then_some(0x95));
        let will = Will::new("a", [b'x'; 1024]);
        let connect = Connect::new(version, "alice").will(will).bytes();
        let refused = broker.refusal(version, &connect);
        assert!([None, Some(3), Some(0x95)].contains(&refused), "{refused:?}");
    });
}

#[test]
fn drops_are_counted_in_sys() {
    let broker = Broker::start(&["session.max_queue_messages=3", "sys.interval=100ms"]);
    leave_subscribed(&broker, V5, "alice", "a");
    let mut bob = broker.client(V5, "bob");
    for id in 1..=7 {
        bob.publish(&Publish::new("a", "x").qos(1, id));
    }
    // Nobody wants this one, so nothing is lost.
    bob.publish(&Publish::new("b", "x").qos(1, 8));
    bob.send(&subscribe(V5, 1, &[("$SYS/brokers/+/metrics/messages/dropped", 0)]));
    bob.expect_suback(1);
    let end = Instant::now() + deadline::ANSWER;
    let mut last = String::new();
    while last != "4" {
        assert!(Instant::now() < end, "{last} and not 4");
        last = bob.expect_publish().text();
    }
    bob.expect_publish();
    assert_eq!(bob.expect_publish().text(), "4", "it stays");
    // The session ends with what waits in it.
    broker.connect(&Connect::new(V5, "alice").properties(Properties::new())).disconnect();
    while last != "7" {
        assert!(Instant::now() < end, "{last} and not 7");
        last = bob.expect_publish().text();
    }
}

/// As with few receivers: what is refused nobody gets, and what is taken is acknowledged. Whoever
/// refuses is asked last.
#[test]
fn queue_that_refuses_does_so_message_by_message_however_many_receivers_there_are() {
    each_durability(|durability| {
        for count in [70, 300] {
            let broker = Broker::start(&[
                durability,
                "session.max_queue_messages=5",
                "session.queue_full=refuse",
            ]);
            let mut online: Vec<Raw> = (0..count)
                .map(|number| {
                    let mut raw = broker.client(V5, &format!("online {number}"));
                    raw.subscribe("a", 1);
                    raw
                })
                .collect();
            leave_subscribed(&broker, V5, "alice", "a");
            let mut bob = broker.client(V5, "bob");
            let publish = |id: u16| Publish::new("a", id.to_string()).qos(1, id).bytes(V5);
            bob.send(&(1..=8).flat_map(publish).collect::<Vec<u8>>());
            let codes: Vec<u8> = (1..=8).map(|id| bob.expect_puback(id).code).collect();
            assert_eq!(codes, [0, 0, 0, 0, 0, 0x97, 0x97, 0x97]);
            for raw in &mut online {
                assert_eq!(drain(raw), ["1", "2", "3", "4", "5"]);
            }
            assert_eq!(collect(&broker, V5, "alice"), ["1", "2", "3", "4", "5"]);
        }
    });
}
