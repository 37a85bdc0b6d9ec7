//! Sessions, their subscriptions and their wills.

use std::{
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use avocet_tests::{
    Broker, Connect, Properties, Publish, Raw, Version, Will, deadline,
    packet::{disconnect_with, subscribe, unsubscribe},
    process::Folder,
};

use super::{End, Node, each_end, texts};

const V5: Version = Version::V5;
const EXCLUSIVE: &str = "$exclusive/x";

/// [MQTT3-4.1.0-1] [MQTT5-4.1.0-1]
#[test]
fn session_and_its_subscriptions_outlive_the_broker() {
    each_end(|version, end| {
        let mut node = Node::start(&[]);
        let (mut alice, connack) = node.connect_with(&Connect::resume(version, "alice"));
        assert!(!connack.session_present);
        alice.subscribe("one/+", 1);
        alice.subscribe("two/#", 2);
        // She is there when the broker ends.
        node.restart(end);
        let mut alice = node.resume(version, "alice");
        let mut bob = node.client(version, "bob");
        for topic in ["one/a", "two/a/b", "three"] {
            bob.publish(&Publish::new(topic, "x").qos(2, 1));
        }
        let mut messages = alice.take_all(&mut bob);
        messages.sort_by_key(|message| message.qos);
        let seen: Vec<_> = messages.iter().map(|it| (&*it.topic, it.qos)).collect();
        assert_eq!(seen, [("one/a", 1), ("two/a/b", 2)]);
    });
}

#[test]
fn unsubscription_outlives_the_broker() {
    each_end(|version, end| {
        let mut node = Node::start(&[]);
        let mut alice = node.connect(&Connect::resume(version, "alice"));
        alice.subscribe("a", 1);
        alice.subscribe("b", 1);
        alice.unsubscribe("a");
        node.restart(end);
        let mut alice = node.resume(version, "alice");
        let mut bob = node.client(version, "bob");
        bob.publish(&Publish::new("a", "a").qos(1, 1));
        bob.publish(&Publish::new("b", "b").qos(1, 2));
        assert_eq!(texts(&alice.take_all(&mut bob)), ["b"]);
    });
}

#[test]
fn subscription_that_is_taken_back_in_the_same_write_stays_away() {
    each_end(|version, end| {
        let mut node = Node::start(&[]);
        let mut alice = node.connect(&Connect::resume(version, "alice"));
        let mut bytes = subscribe(version, 1, &[("a", 1), ("b", 1)]);
        bytes.extend(unsubscribe(version, 2, &["a"]));
        bytes.extend(subscribe(version, 3, &[("c", 1)]));
        bytes.extend(unsubscribe(version, 4, &["b"]));
        alice.send(&bytes);
        alice.expect_suback(1);
        alice.expect_unsuback(2);
        alice.expect_suback(3);
        alice.expect_unsuback(4);
        node.restart(end);
        let mut alice = node.resume(version, "alice");
        let mut bob = node.client(version, "bob");
        for topic in ["a", "b", "c"] {
            bob.publish(&Publish::new(topic, topic).qos(1, 1));
        }
        assert_eq!(texts(&alice.take_all(&mut bob)), ["c"]);
    });
}

/// The session that a client ended by beginning anew is not there again, whatever becomes of the
/// broker from CONNACK on.
#[test]
fn session_that_was_ended_by_a_clean_start_stays_away() {
    for version in [Version::V311, V5] {
        for _ in 0..10 {
            let mut node = Node::start(&[]);
            node.leave_subscribed(version, "alice", "a");
            node.client(version, "bob").publish(&Publish::new("a", "x").qos(1, 1));
            drop(node.client(version, "alice"));
            node.restart(End::Kill);
            let (_, connack) = node.connect_with(&Connect::resume(version, "alice"));
            assert!(!connack.session_present);
        }
    }
}

#[test]
fn will_comes_behind_what_was_published_before_it_in_the_same_write() {
    for _ in 0..10 {
        let node = Node::start(&[]);
        let mut alice = node.connect(&Connect::resume(V5, "alice"));
        alice.subscribe("a", 1);
        let will = Will::new("a", "will").qos(1);
        let mut bob = node.connect(&Connect::new(V5, "bob").will(will));
        let mut bytes = Publish::new("a", "before").qos(1, 1).bytes(V5);
        bytes.extend(disconnect_with(4, &Properties::new()));
        bob.send(&bytes);
        assert_eq!(
            [alice.take_message(), alice.take_message()].map(|it| it.text()),
            ["before", "will"]
        );
    }
}

#[test]
fn subscription_options_and_identifier_outlive_the_broker() {
    const NO_LOCAL: u8 = 0x04;
    const RETAIN_AS_PUBLISHED: u8 = 0x08;
    for end in [End::Kill, End::Stop] {
        let mut node = Node::start(&[]);
        let mut alice = node.connect(&Connect::resume(V5, "alice"));
        alice.subscribe("others", 1 | NO_LOCAL);
        alice.subscribe("own", 1);
        let identifier = |number| Properties::new().variable(0x0b, number);
        alice.subscribe_with("kept", 1 | RETAIN_AS_PUBLISHED, &identifier(7));
        // The later one replaces the earlier.
        alice.subscribe_with("plain", 1 | RETAIN_AS_PUBLISHED, &identifier(300));
        alice.subscribe_with("plain", 2, &identifier(100_000));
        node.restart(end);
        let mut alice = node.resume(V5, "alice");
        let mut bob = node.client(V5, "bob");
        for publisher in ["alice", "bob"] {
            for topic in ["others", "own"] {
                let publish = Publish::new(topic, publisher).qos(1, 1);
                if publisher == "bob" {
                    bob.publish(&publish);
                } else {
                    alice.send(&publish.bytes(V5));
                    if topic == "own" {
                        alice.take_message();
                    }
                    alice.expect_puback(1);
                }
            }
        }
        for topic in ["kept", "plain"] {
            bob.publish(&Publish::new(topic, "x").qos(1, 1).retain());
        }
        let messages = alice.take_all(&mut bob);
        let seen: Vec<_> = messages
            .iter()
            .map(|it| (&*it.topic, it.text(), it.retain, it.properties.numbers(0x0b)))
            .collect();
        assert_eq!(
            seen,
            [
                ("others", "bob".to_owned(), false, vec![]),
                ("own", "bob".to_owned(), false, vec![]),
                ("kept", "x".to_owned(), true, vec![7]),
                ("plain", "x".to_owned(), false, vec![100_000]),
            ]
        );
    }
}

#[test]
fn share_and_exclusive_claim_outlive_the_broker() {
    each_end(|version, end| {
        let mut node = Node::start(&[]);
        let mut alice = node.connect(&Connect::resume(version, "alice"));
        alice.subscribe("$share/g/s", 1);
        alice.subscribe(EXCLUSIVE, 1);
        node.restart(end);
        let mut carol = node.client(version, "carol");
        assert!(carol.try_subscribe(EXCLUSIVE, 1) >= 0x80, "alice holds it");
        let mut alice = node.resume(version, "alice");
        carol.subscribe("$share/g/s", 1);
        let mut bob = node.client(version, "bob");
        for id in 1..=10 {
            bob.publish(&Publish::new("s", id.to_string()).qos(1, id));
        }
        let shares = [texts(&alice.take_all(&mut bob)), texts(&carol.take_all(&mut bob))];
        assert!(shares.iter().all(|share| !share.is_empty()), "{shares:?}");
        let mut all: Vec<u32> = shares.concat().iter().filter_map(|it| it.parse().ok()).collect();
        all.sort_unstable();
        assert_eq!(all, (1..=10).collect::<Vec<_>>());
        // With her session the claim ends.
        node.client(version, "alice").disconnect();
        node.settle(version);
        node.restart(end);
        assert_eq!(node.client(version, "carol").try_subscribe(EXCLUSIVE, 1), 1);
    });
}

#[test]
fn mountpoint_of_a_sessions_subscriptions_and_messages_outlives_the_broker() {
    each_end(|version, end| {
        let mounted =
            ["listeners.tcp.mounted.bind=127.0.0.1:0", "listeners.tcp.mounted.mountpoint=m/"];
        let mut node = Node::start(&mounted);
        let inside = |node: &Node| {
            let mut raw = Raw::open(node.listener("tcp.mounted"), version);
            raw.send(&Connect::resume(version, "alice").bytes());
            assert_eq!(raw.expect_connack().code, 0);
            raw
        };
        let mut alice = inside(&node);
        alice.subscribe("a", 1);
        alice.disconnect();
        node.client(version, "bob").publish(&Publish::new("m/a", "before").qos(1, 1));
        node.restart(end);
        let mut bob = node.client(version, "bob");
        bob.publish(&Publish::new("a", "elsewhere").qos(1, 1));
        bob.publish(&Publish::new("m/a", "behind").qos(1, 1));
        let mut alice = inside(&node);
        for text in ["before", "behind"] {
            let message = alice.expect_message("a", text, 1);
            alice.acknowledge(&message);
        }
    });
}

/// Alice, whose session lives two seconds, and her will no longer.
fn short_with_will() -> Connect {
    let will = Will::new("gone/alice", "lost").qos(1);
    let will = will.properties(Properties::new().four(0x18, 1_000));
    let mut short = Connect::resume(V5, "alice").will(will);
    short.properties = Properties::new().four(0x11, 2);
    short
}

/// One message that a stored session waits for; a SUBSCRIBE is stored with its SUBACK.
fn watch(node: &Node, version: Version) {
    node.leave_subscribed(version, "watcher", "gone/#");
}

#[test]
fn session_expires_while_the_broker_is_down_and_its_will_is_published() {
    for end in [End::Kill, End::Stop] {
        let mut node = Node::start(&[]);
        watch(&node, V5);
        let short = short_with_will();
        let mut alice = node.connect(&short);
        alice.subscribe("a", 1);
        let mut long = Connect::resume(V5, "carol");
        long.properties = Properties::new().four(0x11, 1_000);
        node.connect(&long).subscribe("a", 1);
        // With her will.
        alice.send(&disconnect_with(4, &Properties::new()));
        alice.expect_close();
        node.client(V5, "bob").publish(&Publish::new("a", "x").qos(1, 1));
        node.end(end);
        deadline::let_pass(Duration::from_millis(2_100));
        node.begin();
        // At once, not two seconds after the start.
        let (mut alice, connack) = node.connect_with(&Connect::resume(V5, "alice"));
        assert!(!connack.session_present);
        assert_eq!(node.take_texts(&mut alice), [""; 0]);
        let message = node.resume(V5, "watcher").take_message();
        assert_eq!((&*message.topic, &*message.text()), ("gone/alice", "lost"));
        assert_eq!(node.take_texts(&mut node.resume(V5, "carol")), ["x"]);
    }
}

#[test]
fn delayed_will_is_published_after_the_restart() {
    for end in [End::Kill, End::Stop] {
        let mut node = Node::start(&[]);
        watch(&node, V5);
        let begun = Instant::now();
        for name in ["alice", "carol"] {
            let will = Will::new(format!("gone/{name}"), "late").qos(1);
            let will = will.properties(Properties::new().four(0x18, 2));
            node.connect(&Connect::resume(V5, name).will(will)).cut();
        }
        node.client(V5, "bob").publish(&Publish::new("gone/both", "x").qos(1, 1));
        node.restart(end);
        // Who comes back in time takes it back.
        node.resume(V5, "carol").disconnect();
        let mut watcher = node.resume(V5, "watcher");
        assert_eq!(watcher.take_message().topic, "gone/both");
        let message = watcher.take_message();
        assert_eq!((&*message.topic, &*message.text()), ("gone/alice", "late"));
        assert!(begun.elapsed() >= Duration::from_secs(2), "after {:?}", begun.elapsed());
        assert_eq!(node.take_texts(&mut watcher), [""; 0]);
        // It was published, once and for all.
        node.restart(end);
        assert_eq!(node.take_texts(&mut node.resume(V5, "watcher")), [""; 0]);
    }
}

#[test]
fn will_of_a_client_that_was_there_when_the_broker_ended_is_published() {
    each_end(|version, end| {
        let mut node = Node::start(&[]);
        watch(&node, version);
        let will = Will::new("gone/alice", "lost").qos(2);
        let mut alice = node.connect(&Connect::resume(version, "alice").will(will));
        alice.send(&subscribe(version, 1, &[("a", 0)]));
        alice.expect_suback(1);
        node.restart(end);
        let message = node.resume(version, "watcher").take_message();
        assert_eq!((&*message.topic, &*message.text(), message.qos), ("gone/alice", "lost", 2));
        node.restart(end);
        let mut alice = node.resume(version, "alice");
        assert_eq!(node.take_texts(&mut alice), [""; 0]);
    });
}

/// Its delay begins with the start when its client was there, and goes on when it had left; no kill
/// while it waits makes it two.
#[test]
fn delayed_will_is_published_once_though_the_broker_is_killed_twice_before_it_is_due() {
    let mut node = Node::start(&[]);
    watch(&node, V5);
    let with_will = |name: &str| {
        let will = Will::new(format!("gone/{name}"), "late").qos(2);
        let will = will.properties(Properties::new().four(0x18, 3));
        node.connect(&Connect::resume(V5, name).will(will))
    };
    let begun = Instant::now();
    with_will("alice").cut();
    // She is there when the broker ends.
    let mut carol = with_will("carol");
    carol.subscribe("a", 1);
    node.settle(V5);
    node.restart(End::Kill);
    node.restart(End::Kill);
    let mut watcher = node.resume(V5, "watcher");
    let mut topics = [watcher.take_message(), watcher.take_message()].map(|it| it.topic);
    assert!(begun.elapsed() >= Duration::from_secs(3), "after {:?}", begun.elapsed());
    topics.sort();
    assert_eq!(topics, ["gone/alice", "gone/carol"]);
    assert_eq!(node.take_texts(&mut watcher), [""; 0]);
    watcher.disconnect();
    node.settle(V5);
    node.end(End::Kill);
    assert_eq!(node.stored("planned messages"), 0);
    node.begin();
    assert_eq!(node.take_texts(&mut node.resume(V5, "watcher")), [""; 0]);
}

/// A client that was there when the broker was killed has gone by that: its session ends so long
/// after the next start, and its will, of a longer delay, is published with that.
#[test]
fn session_of_a_client_that_was_there_ends_after_the_start_with_its_will() {
    let mut node = Node::start(&[]);
    watch(&node, V5);
    let short = short_with_will();
    let mut alice = node.connect(&short);
    alice.subscribe("a", 1);
    node.client(V5, "bob").publish(&Publish::new("a", "x").qos(1, 1));
    node.settle(V5);
    node.end(End::Kill);
    deadline::let_pass(Duration::from_millis(2_100));
    node.begin();
    let begun = Instant::now();
    let mut watcher = node.resume(V5, "watcher");
    let message = watcher.take_message();
    assert_eq!((&*message.topic, &*message.text()), ("gone/alice", "lost"));
    assert!(begun.elapsed() >= Duration::from_millis(1_500), "after {:?}", begun.elapsed());
    node.expect_dropped("session_ended", 1);
    let (_, connack) = node.connect_with(&short);
    assert!(!connack.session_present);
}

/// The delay of a client that was there when the broker was killed runs from the next start, and
/// no further kill sets it back.
#[test]
fn delay_of_a_will_is_not_set_back_by_each_kill() {
    let mut node = Node::start(&[]);
    watch(&node, V5);
    let will = Will::new("gone/alice", "late").qos(1);
    let will = will.properties(Properties::new().four(0x18, 2));
    let mut alice = node.connect(&Connect::resume(V5, "alice").will(will));
    alice.subscribe("a", 1);
    node.restart(End::Kill);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        deadline::let_pass(Duration::from_secs(1));
        node.settle(V5);
        node.restart(End::Kill);
    }
    let mut watcher = node.resume(V5, "watcher");
    assert_eq!(node.take_texts(&mut watcher), ["late"]);
}

/// The connections ended with the broker, and a will without delay is due at the end of its own,
/// however fast its client is back: these wait at the socket before the broker lets anybody in.
#[test]
fn will_without_delay_is_published_though_its_client_is_back_at_once() {
    let folder = Folder::new();
    let socket = folder.path().join("broker.sock");
    let setting = format!("listeners.unix.a.path={}", socket.display());
    let mut node = Node::start(&[&setting]);
    watch(&node, V5);
    let names: Vec<String> = (100..200).map(|number| format!("gone/{number}")).collect();
    let mut clients = Vec::new();
    for name in &names {
        let will = Will::new(name, name).qos(1);
        let mut raw = node.connect(&Connect::resume(V5, name).will(will));
        raw.subscribe("a", 1);
        clients.push(raw);
    }
    node.end(End::Kill);
    let starting = Broker::launch_in(&node.folder.path().join("data"), &[&setting]);
    clients.clear();
    for name in names.iter().rev() {
        let open = || UnixStream::connect(&socket).ok();
        let stream = deadline::poll(deadline::ANSWER, open).expect("the broker listens");
        let mut raw = Raw::over(Box::new(stream), V5);
        raw.send(&Connect::resume(V5, name).bytes());
        clients.push(raw);
    }
    node.broker = starting.ready();
    assert!(clients.iter_mut().all(|raw| raw.expect_connack().session_present));
    // CONNACK waits for the will to be on its way, not for it to be stored.
    let (mut watcher, mut texts) = (node.resume(V5, "watcher"), Vec::new());
    deadline::poll(deadline::ANSWER, || {
        texts.extend(node.take_texts(&mut watcher));
        (texts.len() >= names.len()).then_some(())
    });
    texts.sort();
    assert_eq!(texts, names);
}
