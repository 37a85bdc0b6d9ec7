//! `mountpoint` of a listener: its clients live in a part of the topic tree without knowing.
//!
//! Two listeners, of which one has a mountpoint: what its clients do is seen by those of the other,
//! and the other way round.

use avocet_tests::{
    Broker, Connect, Properties, Publish, Raw, Version, Will, deadline, each_version, packet,
    process::{Folder, run},
    received::{Message, Value},
};

const RESPONSE_TOPIC: u8 = 0x08;

/// A broker with a listener of this mountpoint beside the one without.
fn mounted(mountpoint: &str) -> Broker {
    with(mountpoint, &[])
}

fn with(mountpoint: &str, settings: &[&str]) -> Broker {
    let mountpoint = format!("listeners.tcp.mounted.mountpoint={mountpoint}");
    let own = ["listeners.tcp.mounted.bind=127.0.0.1:0", mountpoint.as_str()];
    Broker::start(&[&own, settings].concat())
}

/// A client of the listener with the mountpoint.
#[track_caller]
fn connect(broker: &Broker, connect: &Connect) -> Raw {
    let mut raw = Raw::open(broker.listener("tcp.mounted"), connect.version);
    raw.send(&connect.bytes());
    let connack = raw.expect_connack();
    assert_eq!(connack.code, 0, "CONNECT is refused: {connack:?}");
    raw
}

/// The same with a clean start and nothing special.
#[track_caller]
fn inside(broker: &Broker, version: Version, client_id: &str) -> Raw {
    connect(broker, &Connect::new(version, client_id))
}

fn response_topic(message: &Message) -> Option<&str> {
    message.properties.0.iter().find_map(|(id, value)| match value {
        Value::Text(text) if *id == RESPONSE_TOPIC => Some(text.as_str()),
        Value::Text(_) | Value::Number(_) | Value::Binary(_) | Value::Pair(..) => None,
    })
}

fn responding(topic: &str) -> Properties {
    Properties::new().counted(RESPONSE_TOPIC, topic)
}

#[test]
fn topics_are_mounted_on_their_way_in_and_unmounted_on_their_way_out() {
    each_version(|version| {
        let broker = mounted("site/${clientid}/");
        let mut alice = inside(&broker, version, "alice");
        let mut carol = inside(&broker, version, "carol");
        let mut bob = broker.client(version, "bob");
        let mut watcher = broker.client(version, "watcher");
        carol.subscribe("#", 2);
        watcher.subscribe("#", 2);
        for qos in 0..=2 {
            for (topic, mounted) in [
                ("a/b", "site/alice/a/b"),
                ("/", "site/alice//"),
                ("site/carol/a", "site/alice/site/carol/a"),
                // For a topic that is a name like others.
                ("$local/a", "site/alice/$local/a"),
            ] {
                alice.publish(&Publish::new(topic, "out").qos(qos, 1));
                let told = watcher.expect_message(mounted, "out", qos);
                watcher.acknowledge(&told);
            }
            for (topic, told) in
                [("a", None), ("site/alice/a", None), ("site/carol/a/b", Some("a/b"))]
            {
                bob.publish(&Publish::new(topic, "in").qos(qos, 1));
                let seen = watcher.expect_message(topic, "in", qos);
                watcher.acknowledge(&seen);
                if let Some(told) = told {
                    let message = carol.expect_message(told, "in", qos);
                    carol.acknowledge(&message);
                }
                carol.expect_nothing_before_pong();
            }
        }
    });
}

/// Messages that others are sent as they came.
#[test]
fn messages_that_come_together_are_mounted_one_by_one() {
    each_version(|version| {
        let broker = mounted("m/");
        let mut alice = inside(&broker, version, "alice");
        let mut bob = broker.client(version, "bob");
        alice.subscribe("a", 0);
        bob.subscribe("m/a", 0);
        bob.send(&[1, 2, 3].map(|_| Publish::new("m/a", "x").bytes(version)).concat());
        for _ in 0..3 {
            bob.expect_message("m/a", "x", 0);
            alice.expect_message("a", "x", 0);
        }
        alice.send(&[1, 2, 3].map(|_| Publish::new("a", "y").bytes(version)).concat());
        for _ in 0..3 {
            alice.expect_message("a", "y", 0);
            bob.expect_message("m/a", "y", 0);
        }
        alice.expect_nothing_before_pong();
        bob.expect_nothing_before_pong();
    });
}

/// Many receivers are served in slices, from a copy.
#[test]
fn many_receivers_are_told_the_same() {
    let broker = mounted("m/");
    let version = Version::V5;
    let name = |number: u32| format!("inside{number}");
    let mut all: Vec<_> = (0..70).map(|n| inside(&broker, version, &name(n))).collect();
    for raw in &mut all {
        raw.subscribe("a", 1);
    }
    let mut alice = inside(&broker, version, "alice");
    let mut bob = broker.client(version, "bob");
    alice.publish(&Publish::new("a", "1").qos(1, 1).properties(responding("r")));
    bob.publish(&Publish::new("m/a", "2").qos(1, 1).properties(responding("m/r")));
    for raw in &mut all {
        for payload in ["1", "2"] {
            let message = raw.expect_message("a", payload, 1);
            assert_eq!(response_topic(&message), Some("r"));
        }
    }
}

#[test]
fn topic_aliases_stand_for_mounted_topics() {
    let broker = mounted("m/");
    let aliases = Properties::new().two(0x22, 1);
    let mut alice = connect(&broker, &Connect::new(Version::V5, "alice").properties(aliases));
    let mut bob = broker.client(Version::V5, "bob");
    alice.subscribe("in", 0);
    bob.subscribe("m/a", 0);
    for topic in ["a", "", ""] {
        let alias = Properties::new().two(0x23, 1);
        alice.publish(&Publish::new(topic, "x").properties(alias));
        bob.expect_message("m/a", "x", 0);
    }
    for topic in ["in", "", ""] {
        bob.publish(&Publish::new("m/in", "y"));
        let message = alice.expect_message(topic, "y", 0);
        assert_eq!(message.properties.number(0x23), Some(1));
    }
}

#[test]
fn subscriptions_are_held_as_mounted_and_found_again() {
    each_version(|version| {
        let broker = mounted("m/");
        let mut bob = broker.client(version, "bob");
        let mut alice = connect(&broker, &Connect::resume(version, "alice"));
        alice.subscribe("a", 1);
        alice.subscribe("b", 1);
        alice.disconnect();
        bob.publish(&Publish::new("m/a", "waited").qos(1, 1));
        bob.publish(&Publish::new("a", "elsewhere").qos(1, 1));
        let mut alice = connect(&broker, &Connect::resume(version, "alice"));
        alice.expect_message("a", "waited", 1);
        // Not acknowledged: it comes again.
        alice.cut();
        let mut alice = connect(&broker, &Connect::resume(version, "alice"));
        let again = alice.expect_message("a", "waited", 1);
        assert!(again.dup);
        alice.acknowledge(&again);
        let code = |codes: avocet_tests::received::Codes| codes.codes.first().copied();
        let none = (version == Version::V5).then_some(0x11);
        assert_eq!(code(alice.unsubscribe("m/a")), none);
        assert_ne!(code(alice.unsubscribe("a")), Some(0x11));
        assert_eq!(code(alice.unsubscribe("a")), none);
        bob.publish(&Publish::new("m/a", "late").qos(1, 1));
        alice.expect_nothing_before_pong();
        bob.publish(&Publish::new("m/b", "x").qos(1, 1));
        let message = alice.expect_message("b", "x", 1);
        alice.acknowledge(&message);
    });
}

/// Both listeners share the sessions: what one has subscribed, the other is told whole.
#[test]
fn session_resumed_by_another_listener_is_told_topics_whole() {
    each_version(|version| {
        let broker = mounted("m/");
        let mut bob = broker.client(version, "bob");
        let mut alice = connect(&broker, &Connect::resume(version, "alice"));
        alice.subscribe("a", 1);
        alice.disconnect();
        bob.publish(&Publish::new("m/a", "1").qos(1, 1));
        let mut alice = broker.connect(&Connect::resume(version, "alice"));
        let message = alice.expect_message("m/a", "1", 1);
        alice.acknowledge(&message);
        alice.subscribe("b", 1);
        alice.disconnect();
        bob.publish(&Publish::new("b", "2").qos(1, 1));
        let mut alice = connect(&broker, &Connect::resume(version, "alice"));
        let message = alice.expect_message("b", "2", 1);
        alice.acknowledge(&message);
        // What lies elsewhere cannot be named from here.
        alice.unsubscribe("b");
        bob.publish(&Publish::new("b", "3").qos(1, 1));
        let message = alice.expect_message("b", "3", 1);
        alice.acknowledge(&message);
    });
}

#[test]
fn retained_messages_lie_under_the_mountpoint() {
    each_version(|version| {
        let broker = mounted("m/");
        let mut bob = broker.client(version, "bob");
        let mut alice = inside(&broker, version, "alice");
        bob.publish(&Publish::new("a/b", "elsewhere").retain());
        bob.publish(&Publish::new("m/a/b", "from outside").retain());
        alice.publish(&Publish::new("a/c", "from inside").qos(1, 1).retain());
        alice.subscribe("a/+", 1);
        let mut told = alice.messages_before_pong();
        told.sort_by(|one, other| one.topic.cmp(&other.topic));
        let told: Vec<_> = told.iter().map(|it| (&*it.topic, it.text(), it.retain)).collect();
        assert_eq!(
            told,
            [("a/b", "from outside".to_owned(), true), ("a/c", "from inside".to_owned(), true)]
        );
        bob.subscribe("m/a/c", 0);
        bob.expect_message("m/a/c", "from inside", 0);
        alice.unsubscribe("a/+");
        alice.publish(&Publish::new("a/c", "").retain());
        let mut carol = broker.client(version, "carol");
        carol.subscribe("m/a/c", 0);
        carol.expect_nothing_before_pong();
    });
}

#[test]
fn will_is_published_under_the_mountpoint() {
    each_version(|version| {
        let broker = mounted("m/${clientid}/");
        let mut bob = broker.client(version, "bob");
        bob.subscribe("#", 1);
        for (topic, seen) in [("gone", "m/alice/gone"), ("$delayed/0/gone", "m/alice/gone")] {
            let will = Will::new(topic, "x").qos(1).retain().properties(responding("r"));
            connect(&broker, &Connect::new(version, "alice").will(will)).cut();
            let message = bob.expect_message(seen, "x", 1);
            bob.acknowledge(&message);
            let told = (version == Version::V5).then_some("m/alice/r");
            assert_eq!(response_topic(&message), told);
        }
        let mut alice = inside(&broker, version, "alice");
        alice.subscribe("gone", 0);
        assert!(alice.expect_message("gone", "x", 0).retain);
    });
}

#[test]
fn delayed_message_is_mounted_behind_its_prefix() {
    each_version(|version| {
        let broker = mounted("m/");
        let mut alice = inside(&broker, version, "alice");
        let mut bob = broker.client(version, "bob");
        alice.subscribe("a", 1);
        bob.subscribe("#", 1);
        alice.send(&Publish::new("$delayed/0/a", "x").qos(1, 1).bytes(version));
        let mut seen = vec![alice.receive(), alice.receive()];
        seen.retain(|it| matches!(&it.kind, avocet_tests::Kind::Publish(m) if m.topic == "a"));
        assert_eq!(seen.len(), 1);
        let message = bob.expect_message("m/a", "x", 1);
        bob.acknowledge(&message);
        for refused in ["$delayed/x/a", "$delayed/1", "$delayed/1/$SYS/a", "$SYS/a"] {
            alice.send(&Publish::new(refused, "x").qos(1, 2).bytes(version));
            let code = alice.expect_puback(2).code;
            assert_eq!(code >= 0x80, version == Version::V5, "{refused}");
        }
        bob.expect_nothing_before_pong();
    });
}

#[test]
fn filters_are_mounted_behind_their_prefixes() {
    each_version(|version| {
        let broker = mounted("m/");
        let mut bob = broker.client(version, "bob");
        for (filter, qos) in [
            ("a/#", 1),
            ("+/b", 1),
            ("$share/g/a/#", 1),
            ("$queue/a/#", 1),
            ("$local/a/#", 1),
            ("$exclusive/a/b", 1),
            ("$fastlane/a/#", 0),
            ("$fastlane/$local/$share/g/a/b", 0),
        ] {
            let mut alice = inside(&broker, version, "alice");
            assert_eq!(alice.try_subscribe(filter, 1), qos, "{filter}");
            for publish_qos in 0..=1 {
                bob.publish(&Publish::new("m/a/b", filter).qos(publish_qos, 1));
                let message = alice.expect_message("a/b", filter, qos.min(publish_qos));
                alice.acknowledge(&message);
            }
            bob.send(&[1, 2].map(|_| Publish::new("m/a/b", "x").bytes(version)).concat());
            for _ in 0..2 {
                alice.expect_message("a/b", "x", 0);
            }
            bob.publish(&Publish::new("a/b", "elsewhere").qos(1, 1));
            alice.expect_nothing_before_pong();
            assert_eq!(alice.unsubscribe(filter).codes.first().copied().unwrap_or(0), 0);
            bob.publish(&Publish::new("m/a/b", "late").qos(1, 1));
            alice.expect_nothing_before_pong();
            alice.disconnect();
        }
    });
}

#[test]
fn filter_that_is_none_closes_as_it_does_elsewhere() {
    each_version(|version| {
        let broker = mounted("m/");
        for filter in ["$share/g", "$share/g/$local/a", "$local/$local/a", "a#", "#/a", "$queue/"] {
            let mut alice = inside(&broker, version, "alice");
            alice.send(&packet::subscribe(version, 1, &[(filter, 0)]));
            let code = (version == Version::V5).then_some(0x8f);
            assert_eq!(alice.expect_ending(), code, "{filter}");
        }
    });
}

/// Members of one group may come by different listeners.
#[test]
fn share_group_has_members_inside_and_outside() {
    each_version(|version| {
        let broker = mounted("m/");
        let mut alice = inside(&broker, version, "alice");
        let mut bob = broker.client(version, "bob");
        let mut carol = broker.client(version, "carol");
        alice.subscribe("$share/g/a", 1);
        bob.subscribe("$share/g/m/a", 1);
        for _ in 0..2 {
            carol.publish(&Publish::new("m/a", "x").qos(1, 1));
        }
        let message = alice.expect_message("a", "x", 1);
        alice.acknowledge(&message);
        let message = bob.expect_message("m/a", "x", 1);
        bob.acknowledge(&message);
        // What one does not acknowledge goes to the other, in its words.
        carol.publish(&Publish::new("m/a", "y").qos(1, 1));
        carol.publish(&Publish::new("m/a", "z").qos(1, 1));
        let text = bob.expect_publish().text();
        bob.cut();
        let mut texts: Vec<_> = (0..2).map(|_| alice.expect_publish()).collect();
        assert!(texts.iter().all(|it| it.topic == "a"), "{texts:?}");
        assert!(texts.iter().any(|it| it.text() == text));
        texts.dedup_by_key(|it| it.text());
        assert_eq!(texts.len(), 2);
    });
}

#[test]
fn exclusive_topics_of_two_clients_are_two() {
    each_version(|version| {
        let broker = mounted("m/${clientid}/");
        let mut alice = inside(&broker, version, "alice");
        let mut carol = inside(&broker, version, "carol");
        let mut bob = broker.client(version, "bob");
        alice.subscribe("$exclusive/a", 0);
        carol.subscribe("$exclusive/a", 0);
        let refused = if version == Version::V5 { 0x97 } else { 0x80 };
        assert_eq!(bob.try_subscribe("$exclusive/m/alice/a", 0), refused);
        bob.publish(&Publish::new("m/carol/a", "x"));
        carol.expect_message("a", "x", 0);
        alice.expect_nothing_before_pong();
    });
}

#[test]
fn sys_topics_stay_what_they_are() {
    each_version(|version| {
        let broker = with("m/", &["node.name=n"]);
        // It is published once the broker has begun; who comes then gets what is retained alone.
        let mut first = broker.client(version, "first");
        first.subscribe("$SYS/brokers", 0);
        first.expect_publish();
        let mut alice = inside(&broker, version, "alice");
        alice.subscribe("$SYS/brokers", 0);
        alice.expect_message("$SYS/brokers", "n", 0);
        alice.subscribe("$SYS/brokers/n/clients/+/connected", 0);
        let mut bob = broker.client(version, "bob");
        assert_eq!(alice.expect_publish().topic, "$SYS/brokers/n/clients/bob/connected");
        // Nobody can make the broker say something.
        alice.subscribe("#", 0);
        bob.publish(&Publish::new("m/$SYS/brokers", "lie"));
        alice.expect_message("m/$SYS/brokers", "lie", 0);
    });
}

#[test]
fn response_topic_follows_the_request() {
    let broker = mounted("m/");
    let version = Version::V5;
    let mut alice = inside(&broker, version, "alice");
    let mut carol = inside(&broker, version, "carol");
    let mut bob = broker.client(version, "bob");
    for (raw, filters) in [
        (&mut alice, ["ask/alice", "answer/alice"]),
        (&mut carol, ["ask/carol", "answer/carol"]),
        (&mut bob, ["ask/bob", "m/answer/bob"]),
    ] {
        filters.iter().for_each(|filter| raw.subscribe(filter, 0));
    }
    bob.subscribe("m/ask/bob", 0);
    let ask = |from: &mut Raw, to: &mut Raw, topic: &str, answer: &str, told: (&str, &str)| {
        from.publish(&Publish::new(topic, "ask").properties(responding(answer)));
        let request = to.expect_message(told.0, "ask", 0);
        assert_eq!(response_topic(&request), Some(told.1));
        to.publish(&Publish::new(told.1, "answer"));
        from.expect_message(answer, "answer", 0);
    };
    // Within one mountpoint, out of it, and into it.
    ask(&mut alice, &mut carol, "ask/carol", "answer/alice", ("ask/carol", "answer/alice"));
    ask(&mut alice, &mut bob, "ask/bob", "answer/alice", ("m/ask/bob", "m/answer/alice"));
    ask(&mut bob, &mut alice, "m/ask/alice", "m/answer/bob", ("ask/alice", "answer/bob"));
    // What lies elsewhere is told whole; no answer leads there from inside.
    bob.publish(&Publish::new("m/ask/alice", "ask").properties(responding("answer/bob")));
    assert_eq!(response_topic(&alice.expect_message("ask/alice", "ask", 0)), Some("answer/bob"));
    alice.publish(&Publish::new("answer/bob", "answer"));
    bob.expect_message("m/answer/bob", "answer", 0);
}

#[test]
fn levels_are_those_of_the_mounted_topic() {
    each_version(|version| {
        let broker = with("m/n/", &["mqtt.max_topic_levels=4"]);
        let mut alice = inside(&broker, version, "alice");
        alice.subscribe("a/b", 0);
        let refused = if version == Version::V5 { 0x8f } else { 0x80 };
        assert_eq!(alice.try_subscribe("a/b/c", 0), refused);
        let mut bob = broker.client(version, "bob");
        bob.publish(&Publish::new("m/n/a/b", "x"));
        alice.expect_message("a/b", "x", 0);
        alice.send(&Publish::new("a/b/c", "x").qos(1, 1).bytes(version));
        let code = if version == Version::V5 { 0x90 } else { 0 };
        assert_eq!(alice.expect_puback(1).code, code);
    });
}

#[test]
fn topic_that_is_too_long_with_the_mountpoint_is_refused() {
    each_version(|version| {
        let broker = mounted("m/");
        let mut alice = inside(&broker, version, "alice");
        let mut bob = broker.client(version, "bob");
        let fits = "a".repeat(65_533);
        let long = "a".repeat(65_534);
        bob.subscribe("m/+", 0);
        alice.publish(&Publish::new(&fits, "x"));
        assert_eq!(bob.expect_publish().topic, format!("m/{fits}"));
        for qos in 0..=1 {
            alice.send(&Publish::new(&long, "x").qos(qos, 1).bytes(version));
        }
        let code = if version == Version::V5 { 0x90 } else { 0 };
        assert_eq!(alice.expect_puback(1).code, code);
        alice.send(&packet::subscribe(version, 3, &[("a", 0), (&long, 0), (&fits, 0)]));
        let refused = if version == Version::V5 { 0x8f } else { 0x80 };
        assert_eq!(alice.expect_suback(3).codes, [0, refused, 0]);
        // It has no place among the subscriptions, whoever holds one of that name.
        let none = (version == Version::V5).then_some(0x11);
        assert_eq!(alice.unsubscribe(&long).codes.first().copied(), none);
        alice.expect_nothing_before_pong();
        bob.expect_nothing_before_pong();
        let will = Will::new(&long, "x");
        let mut raw = Raw::open(broker.listener("tcp.mounted"), version);
        raw.send(&Connect::new(version, "will").will(will).bytes());
        assert_ne!(raw.expect_connack().code, 0);
        raw.expect_close();
    });
}

/// The client's own bound is one on what it is sent.
#[test]
fn packet_size_is_that_of_the_topic_as_it_is_told() {
    let mountpoint = format!("{}/", "m".repeat(100));
    let broker = mounted(&mountpoint);
    let small = Properties::new().four(0x27, 40);
    let mut alice = connect(&broker, &Connect::new(Version::V5, "alice").properties(small));
    let mut bob = broker.client(Version::V5, "bob");
    for prefix in ["", "$fastlane/"] {
        alice.subscribe(&format!("{prefix}+"), 0);
        bob.publish(&Publish::new(format!("{mountpoint}{}", "a".repeat(34)), "x"));
        alice.expect_message(&"a".repeat(34), "x", 0);
        bob.publish(&Publish::new(format!("{mountpoint}{}", "a".repeat(35)), "x"));
        alice.expect_nothing_before_pong();
        alice.unsubscribe(&format!("{prefix}+"));
    }
}

#[test]
fn large_payloads_go_both_ways() {
    each_version(|version| {
        let broker = mounted("m/");
        let mut alice = inside(&broker, version, "alice");
        let mut bob = broker.client(version, "bob");
        alice.subscribe("in", 1);
        bob.subscribe("m/out", 1);
        let large = "x".repeat(100_000);
        alice.publish(&Publish::new("out", &large).qos(1, 1));
        bob.expect_message("m/out", &large, 1);
        bob.publish(&Publish::new("m/in", &large).qos(1, 1));
        alice.expect_message("in", &large, 1);
    });
}

/// A client that could choose another part of the tree, or a wider one, does not come in.
#[test]
fn client_whose_name_is_no_level_is_refused() {
    each_version(|version| {
        let broker = mounted("m/${clientid}/");
        let code = |connect: &Connect| {
            let mut raw = Raw::open(broker.listener("tcp.mounted"), version);
            raw.send(&connect.bytes());
            let code = raw.expect_connack().code;
            if code > 0 {
                raw.expect_close();
            }
            code
        };
        let invalid = if version == Version::V5 { 0x85 } else { 2 };
        for client_id in ["+", "#", "a/b", "/", "a+b", "alice/#"] {
            assert_eq!(code(&Connect::new(version, client_id)), invalid, "{client_id}");
        }
        assert_eq!(code(&Connect::new(version, "$share")), 0);
        // It may where there is no mountpoint.
        broker.client(version, "a/b").disconnect();

        let broker = mounted("${username}/");
        let code = |name: Option<&str>| {
            let mut connect = Connect::new(version, "c");
            connect.user_name = name.map(|name| name.as_bytes().to_vec());
            let mut raw = Raw::open(broker.listener("tcp.mounted"), version);
            raw.send(&connect.bytes());
            raw.expect_connack().code
        };
        let refused = if version == Version::V5 { 0x87 } else { 5 };
        for name in ["", "+", "a/b", "#", "$share", "$SYS", "$delayed"] {
            assert_eq!(code(Some(name)), refused, "{name}");
        }
        assert_eq!(code(None), refused);
        assert_eq!(code(Some("alice")), 0);
    });
}

#[test]
fn refusal_is_explained() {
    let broker = with("m/${username}/", &["log.level=debug"]);
    let mut raw = Raw::open(broker.listener("tcp.mounted"), Version::V5);
    raw.send(&Connect::new(Version::V5, "c").bytes());
    let connack = raw.expect_connack();
    let text = "the listener's mountpoint needs a user name";
    let is_told = connack.properties.0.contains(&(0x1f, Value::Text(text.to_owned())));
    assert!(is_told, "{connack:?}");
    raw.expect_close();
    let logged = deadline::poll(deadline::ANSWER, || broker.log().contains(text).then_some(()));
    assert!(logged.is_some(), "{}", broker.log());
}

#[test]
fn mistake_in_a_mountpoint_is_told_with_what_would_be_right() {
    let folder = Folder::new();
    for (mountpoint, text) in [
        ("", "must not be empty"),
        ("a", "must end with '/'"),
        ("a/+/", "must not contain '+' or '#'"),
        ("a/#/", "must not contain '+' or '#'"),
        ("$share/g/", "must not begin with '$'"),
        ("a/${client}/", "must have no variables but ${clientid} and ${username}"),
        ("a/%c%u/", "must have at most one variable in a level"),
    ] {
        let set = format!("listeners.tcp.default.mountpoint={mountpoint}");
        let ended = run(&folder, &[], &["check", "--set", &set]);
        assert_eq!(ended.code, Some(2), "{mountpoint}: {ended:?}");
        assert!(ended.stderr.contains("listeners.tcp.default.mountpoint"), "{ended:?}");
        assert!(ended.stderr.contains(text), "{ended:?}");
    }
    let set = "listeners.tcp.default.mountpoint=devices/%u/${clientid}/";
    assert_eq!(run(&folder, &[], &["check", "--set", set]).code, Some(0));
}
