//! Messages that wait, are retained or delayed, and handshakes that are open.

#![expect(clippy::wildcard_enum_match_arm, reason = "one packet is expected, all others fail")]

use std::time::{Duration, Instant};

use avocet_tests::{
    Connect, Kind, Properties, Publish, Version, deadline,
    packet::{pubcomp, pubrec, pubrel},
};

use super::{End, Node, each_end, texts};

const V5: Version = Version::V5;

#[test]
fn messages_for_a_client_that_is_away_outlive_the_broker() {
    each_end(|version, end| {
        let mut node = Node::start(&[]);
        node.leave_subscribed(version, "alice", "a");
        let mut bob = node.client(version, "bob");
        for id in 1..=10 {
            bob.publish(&Publish::new("a", id.to_string()).qos(1 + (id % 2) as u8, id));
        }
        node.restart(end);
        let mut alice = node.resume(version, "alice");
        let mut messages = alice.take_all(&mut node.client(version, "bob"));
        // After a kill nobody knows what was sent last.
        let is_new = end == End::Kill || messages.iter().all(|message| !message.dup);
        assert!(is_new, "never sent before: {messages:?}");
        messages.sort_by_key(|message| message.qos);
        assert_eq!(texts(&messages), ["2", "4", "6", "8", "10", "1", "3", "5", "7", "9"]);
        // What is acknowledged is gone for good, as long as that was stored.
        alice.disconnect();
        node.restart(End::Stop);
        assert_eq!(node.take_texts(&mut node.resume(version, "alice")), [""; 0]);
    });
}

#[test]
fn message_has_all_of_its_properties_after_a_kill() {
    let mut node = Node::start(&[]);
    node.leave_subscribed(V5, "alice", "a");
    let properties = Properties::new().byte(0x01, 1).counted(0x03, "text/plain");
    let properties = properties.counted(0x08, "answer").counted(0x09, [0, 1, 255]);
    let properties = properties.user("b", "1").user("a", "2").user("b", "0");
    let publish = Publish::new("a", "x").properties(properties);
    node.client(V5, "bob").publish(&publish.qos(2, 1).retain());
    node.restart(End::Kill);
    let waited = node.resume(V5, "alice").take_message();
    let mut carol = node.client(V5, "carol");
    carol.subscribe("a", 2);
    let retained = carol.take_message();
    assert_eq!((waited.retain, retained.retain), (false, true));
    for message in [waited, retained] {
        let properties = &message.properties;
        assert_eq!(properties.number(0x01), Some(1));
        assert_eq!(properties.text(0x03), Some("text/plain"));
        assert_eq!(properties.text(0x08), Some("answer"));
        assert_eq!(properties.binary(0x09), Some(&[0, 1, 255][..]));
        assert_eq!(properties.user(), [("b", "1"), ("a", "2"), ("b", "0")]);
    }
}

#[test]
fn retained_messages_are_set_replaced_and_cleared_for_good() {
    each_end(|version, end| {
        let mut node = Node::start(&[]);
        let mut bob = node.client(version, "bob");
        for (topic, text) in
            [("kept/a", "a"), ("kept/b", "old"), ("kept/c", "c"), ("kept/b", "new"), ("kept/c", "")]
        {
            bob.publish(&Publish::new(topic, text).qos(1, 1).retain());
        }
        node.restart(end);
        let mut alice = node.client(version, "alice");
        alice.subscribe("kept/#", 1);
        let mut seen = [alice.take_message(), alice.take_message()];
        assert!(seen.iter().all(|message| message.retain), "{seen:?}");
        seen.sort_by(|one, other| one.topic.cmp(&other.topic));
        assert_eq!(
            seen.map(|it| (it.topic.clone(), it.text())),
            [("kept/a".to_owned(), "a".to_owned()), ("kept/b".to_owned(), "new".to_owned())]
        );
        assert_eq!(node.take_texts(&mut alice), [""; 0]);
        // What was read from the store can be cleared as well.
        node.client(version, "bob").publish(&Publish::new("kept/a", "").qos(1, 1).retain());
        node.restart(end);
        let mut alice = node.client(version, "alice");
        alice.subscribe("kept/#", 1);
        alice.expect_message("kept/b", "new", 1);
    });
}

/// [MQTT5-4.3.3-10], [MQTT5-2.2.1-4]: the client has the retained message as received, so its
/// identifier is not another's before PUBREL.
#[test]
fn identifier_of_a_retained_message_is_not_used_again_after_the_restart() {
    each_end(|version, end| {
        let mut node = Node::start(&[]);
        node.client(version, "bob").publish(&Publish::new("a", "kept").qos(2, 1).retain());
        let mut alice = node.connect(&Connect::resume(version, "alice"));
        alice.subscribe("a", 2);
        let kept = alice.expect_publish();
        alice.send(&pubrec(kept.packet_id()));
        alice.expect_pubrel(kept.packet_id());
        node.restart(end);
        let mut alice = node.resume(version, "alice");
        alice.expect_pubrel(kept.packet_id());
        node.client(version, "bob").publish(&Publish::new("a", "new").qos(2, 1));
        let new = alice.expect_publish();
        assert_eq!((new.text(), new.dup), ("new".to_owned(), false));
        assert_ne!(new.id, kept.id);
    });
}

/// Those who subscribe before the end and after the next start are sent the same, whoever has set
/// it at the same moment.
#[test]
fn retained_messages_of_several_publishers_are_the_same_after_the_restart() {
    const TOPICS: u16 = 100;
    each_end(|version, end| {
        let mut node = Node::start(&[]);
        let mut publishers: Vec<_> = ["bob", "carol", "dora", "emil"]
            .iter()
            .map(|name| node.client(version, name))
            .collect();
        for (number, raw) in publishers.iter_mut().enumerate() {
            let publish = |id: u16| {
                // One of them clears what others set.
                let payload = if number == 3 { String::new() } else { number.to_string() };
                Publish::new(format!("kept/{id}"), payload).qos(1, id).retain().bytes(version)
            };
            raw.send(&(1..=TOPICS).flat_map(publish).collect::<Vec<u8>>());
        }
        for raw in &mut publishers {
            (1..=TOPICS).for_each(|id| assert!(raw.expect_puback(id).code < 0x80));
        }
        let kept = |node: &Node| {
            let mut alice = node.client(version, "alice");
            let of = |id: u16| {
                alice.subscribe(&format!("kept/{id}"), 0);
                alice.texts_before_pong()
            };
            (1..=TOPICS).map(of).collect::<Vec<_>>()
        };
        let before = kept(&node);
        node.restart(end);
        assert_eq!(kept(&node), before);
    });
}

/// [MQTT3-4.3.3-2] [MQTT5-4.3.3-10]: what is to be published later is known to have come, also
/// behind a message that takes several turns.
#[test]
fn delayed_message_behind_one_for_many_is_published_once() {
    for end in [End::Kill, End::Stop] {
        let mut node = Node::start(&[]);
        for number in 0..200 {
            node.leave_subscribed(V5, &format!("wide-{number}"), "wide");
        }
        let mut alice = node.connect(&Connect::resume(V5, "alice"));
        let delayed = Publish::new("$delayed/1/a", "x").qos(2, 2);
        let wide = Publish::new("wide", "x").qos(1, 1);
        alice.send(&[wide.bytes(V5), delayed.bytes(V5)].concat());
        alice.expect_puback(1);
        alice.expect_pubrec(2);
        node.restart(end);
        let mut bob = node.client(V5, "bob");
        bob.subscribe("a", 1);
        let mut alice = node.resume(V5, "alice");
        alice.send(&delayed.dup().bytes(V5));
        alice.expect_pubrec(2);
        bob.expect_message("a", "x", 1);
        deadline::let_pass(Duration::from_millis(1_200));
        bob.expect_nothing_before_pong();
    }
}

#[test]
fn delayed_messages_are_published_after_the_restart_and_once() {
    each_end(|version, end| {
        let mut node = Node::start(&[]);
        node.leave_subscribed(version, "alice", "a");
        let mut bob = node.client(version, "bob");
        let begun = Instant::now();
        bob.publish(&Publish::new("$delayed/3/a", "due behind it").qos(1, 1));
        bob.publish(&Publish::new("$delayed/1/a", "due meanwhile").qos(2, 2));
        bob.publish(&Publish::new("a", "at once").qos(1, 3));
        node.end(end);
        deadline::let_pass(Duration::from_millis(1_200));
        node.begin();
        let mut alice = node.resume(version, "alice");
        let mut first = [alice.take_message().text(), alice.take_message().text()];
        first.sort();
        assert_eq!(first, ["at once", "due meanwhile"]);
        assert_eq!(alice.take_message().text(), "due behind it");
        assert!(begun.elapsed() >= Duration::from_millis(2_990), "{:?}", begun.elapsed());
        alice.disconnect();
        node.restart(End::Stop);
        assert_eq!(node.take_texts(&mut node.resume(version, "alice")), [""; 0]);
    });
}

#[test]
fn expiry_of_a_message_is_counted_while_the_broker_is_down() {
    for end in [End::Kill, End::Stop] {
        let mut node = Node::start(&[]);
        node.leave_subscribed(V5, "alice", "a");
        let mut bob = node.client(V5, "bob");
        for (id, text, seconds) in [(1, "short", 1), (2, "long", 100)] {
            let properties = Properties::new().four(0x02, seconds);
            bob.publish(&Publish::new("a", text).qos(1, id).properties(properties.clone()));
            let kept = Publish::new(format!("kept/{text}"), text).properties(properties);
            bob.publish(&kept.qos(1, id).retain());
        }
        node.end(end);
        deadline::let_pass(Duration::from_millis(2_100));
        node.begin();
        let mut bob = node.client(V5, "bob");
        let mut carol = node.client(V5, "carol");
        carol.subscribe("kept/#", 1);
        let retained = carol.take_message();
        assert_eq!(texts(&carol.take_all(&mut bob)), [""; 0]);
        let messages = node.resume(V5, "alice").take_all(&mut bob);
        assert_eq!(messages.len(), 1, "{messages:?}");
        for message in messages.iter().chain([&retained]) {
            let left = message.properties.number(0x02);
            assert!(left.is_some_and(|left| (60..=98).contains(&left)), "{message:?}");
            assert_eq!(message.text(), "long");
        }
    }
}

/// [MQTT3-4.3.3-2] [MQTT5-4.3.3-10]
#[test]
fn qos_2_of_a_publisher_is_routed_once_over_a_restart() {
    each_end(|version, end| {
        let mut node = Node::start(&[]);
        node.leave_subscribed(version, "alice", "a");
        let mut bob = node.connect(&Connect::resume(version, "bob"));
        // One that somebody gets, one that nobody does, and one whose handshake is over.
        let publish = Publish::new("a", "once").qos(2, 5);
        let nobodys = Publish::new("b", "nobody's").qos(2, 6);
        for publish in [&publish, &nobodys] {
            bob.send(&publish.bytes(version));
            bob.expect_pubrec(publish.id);
        }
        bob.publish(&Publish::new("a", "over").qos(2, 7));
        node.restart(end);
        let mut bob = node.resume(version, "bob");
        node.leave_subscribed(version, "carol", "b");
        for publish in [&publish, &nobodys] {
            bob.send(&publish.clone().dup().bytes(version));
            assert_eq!(bob.expect_pubrec(publish.id).code, 0);
            bob.send(&pubrel(publish.id));
            assert_eq!(bob.expect_pubcomp(publish.id).code, 0);
        }
        for id in 5..=7 {
            bob.publish(&Publish::new("a", format!("new {id}")).qos(2, id));
        }
        assert_eq!(
            node.take_texts(&mut node.resume(version, "alice")),
            ["once", "over", "new 5", "new 6", "new 7"]
        );
        assert_eq!(node.take_texts(&mut node.resume(version, "carol")), [""; 0]);
    });
}

/// [MQTT3-4.4.0-1] [MQTT5-4.4.0-1] [MQTT3-3.3.1-1] [MQTT5-3.3.1-1]
#[test]
fn unacknowledged_messages_come_again_with_their_ids_and_dup_after_a_restart() {
    each_end(|version, end| {
        for qos in 1..=2 {
            let mut node = Node::start(&[]);
            let mut alice = node.connect(&Connect::resume(version, "alice"));
            alice.subscribe("a", qos);
            let mut bob = node.client(version, "bob");
            let before = ["1", "2", "3"].map(|text| {
                bob.publish(&Publish::new("a", text).qos(qos, 1));
                alice.expect_message("a", text, qos)
            });
            // What is stored behind them tells that their ids are.
            bob.publish(&Publish::new("a", "4").qos(qos, 1));
            let last = alice.expect_message("a", "4", qos);
            assert!(before.iter().chain([&last]).all(|message| !message.dup));
            node.restart(end);
            let mut alice = node.resume(version, "alice");
            for message in &before {
                let again = alice.expect_publish();
                assert_eq!((again.text(), again.dup), (message.text(), true));
                if qos == 2 || end == End::Stop {
                    assert_eq!(again.id, message.id);
                }
            }
            assert_eq!(alice.expect_publish().text(), "4");
        }
    });
}

/// [MQTT3-4.3.3-1] [MQTT5-4.3.3-6]
#[test]
fn after_pubrel_only_pubrel_comes_again_after_a_restart() {
    each_end(|version, end| {
        let mut node = Node::start(&[]);
        let mut alice = node.connect(&Connect::resume(version, "alice"));
        alice.subscribe("a", 2);
        node.client(version, "bob").publish(&Publish::new("a", "x").qos(2, 1));
        let id = alice.expect_message("a", "x", 2).packet_id();
        alice.send(&pubrec(id));
        alice.expect_pubrel(id);
        node.restart(end);
        let mut alice = node.resume(version, "alice");
        alice.expect_pubrel(id);
        alice.send(&pubcomp(id));
        assert_eq!(node.take_texts(&mut alice), [""; 0]);
        alice.disconnect();
        node.restart(End::Stop);
        assert_eq!(node.take_texts(&mut node.resume(version, "alice")), [""; 0]);
    });
}

/// [MQTT3-3.3.1-1] [MQTT5-3.3.1-1]
#[test]
fn message_sent_right_before_a_kill_comes_again_with_dup() {
    for (version, first) in [(Version::V311, 1), (V5, 1), (Version::V311, 2), (V5, 2)] {
        for turn in 0..30 {
            let mut node = Node::start(&[]);
            node.leave_subscribed(version, "alice", "a");
            let mut bob = node.client(version, "bob");
            bob.publish(&Publish::new("a", "first").qos(first, 1));
            bob.publish(&Publish::new("a", "second").qos(1, 2));
            // She is there when the broker is killed, at once.
            let mut alice = node.resume(version, "alice");
            let sent = alice.expect_publish();
            node.restart(End::Kill);
            let mut alice = node.resume(version, "alice");
            let mut messages = alice.take_all(&mut node.client(version, "bob"));
            messages.retain(|message| message.payload == sent.payload);
            let dups: Vec<bool> = messages.iter().map(|message| message.dup).collect();
            assert_eq!(dups, [true], "MQTT {version}, QoS {first} first, {turn}: {messages:?}");
        }
    }
}

/// [MQTT5-3.3.2-6]
#[test]
fn message_never_has_longer_to_live_than_it_was_sent_with() {
    for turn in 0..10 {
        let node = Node::start(&[]);
        node.leave_subscribed(V5, "alice", "a");
        let mut bob = node.client(V5, "bob");
        let publish = Publish::new("a", "x").properties(Properties::new().four(0x02, 1_000));
        let bytes: Vec<u8> =
            (1..=500).flat_map(|id| publish.clone().qos(1, id).bytes(V5)).collect();
        bob.send(&bytes);
        (1..=500).for_each(|id| drop(bob.expect_puback(id)));
        let messages = node.resume(V5, "alice").take_all(&mut bob);
        let left = messages.iter().filter_map(|message| message.properties.number(0x02));
        let longer: Vec<u32> = left.filter(|seconds| *seconds > 1_000).collect();
        assert_eq!(longer, [0; 0], "turn {turn}");
    }
}

/// On a new connection, too, which may be on another shard and come while the one before ends.
///
/// [MQTT5-4.6.0-3]
#[test]
fn answers_come_in_the_order_of_the_messages_though_the_client_has_just_come_again() {
    const OLD: u16 = 20;
    const ALL: u16 = 40;
    let node = Node::start(&[]);
    node.leave_subscribed(V5, "alice", "a");
    let mut bob = node.connect(&Connect::resume(V5, "bob"));
    let publish = |id| Publish::new("a", "x").qos(2, id);
    for turn in 0..500 {
        bob.send(&(1..=OLD).flat_map(|id| publish(id).bytes(V5)).collect::<Vec<u8>>());
        // Open before the broker sees the end of the other.
        let mut next = node.open(V5);
        bob.cut();
        let mut bytes = Connect::resume(V5, "bob").bytes();
        bytes.extend((1..=OLD).flat_map(|id| publish(id).dup().bytes(V5)));
        bytes.extend((OLD + 1..=ALL).flat_map(|id| publish(id).bytes(V5)));
        next.send(&bytes);
        bob = next;
        assert!(bob.expect_connack().session_present);
        let order: Vec<u16> = (1..=ALL)
            .map(|_| match bob.receive().kind {
                Kind::Pubrec(ack) => ack.id,
                other => panic!("expected PUBREC, not {other:?}"),
            })
            .collect();
        assert!(order.iter().copied().eq(1..=ALL), "turn {turn}: {order:?}");
        bob.send(&(1..=ALL).flat_map(pubrel).collect::<Vec<u8>>());
        (1..=ALL).for_each(|id| drop(bob.expect_pubcomp(id)));
    }
}
