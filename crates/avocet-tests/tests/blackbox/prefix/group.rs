//! Groups: who is chosen, and what happens to messages when members come and go.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use avocet_tests::{
    Broker, Connect, Kind, Publish, Raw, Version, each_version, packet::subscribe,
    received::Message,
};

use super::publish_each;
use crate::limit::drain;

const STRATEGIES: [&str; 5] = ["round_robin", "random", "sticky", "hash_clientid", "hash_topic"];

fn broker_with(strategy: &str) -> Broker {
    Broker::start(&[&format!("mqtt.shared_subscription_strategy={strategy}")])
}

const V5: Version = Version::V5;

/// Three members of one group.
fn members(broker: &Broker, version: Version, filter: &str) -> Vec<Raw> {
    let names = ["alice", "carol", "dave"];
    let member = names.map(|name| {
        let mut member = broker.client(version, name);
        member.subscribe(filter, 0);
        member
    });
    member.into()
}

/// Has 12 publishers publish 12 messages each, to topics that they have in common, and returns what
/// each member got: topic and payload, which begins with the publisher.
fn shared_out(broker: &Broker, members: &mut [Raw]) -> Vec<Vec<(String, String)>> {
    let version = members[0].version();
    for publisher in 0..12 {
        let mut bob = broker.client(version, &format!("publisher {publisher}"));
        for topic in 0..12 {
            let payload = format!("{publisher}-{topic}");
            bob.publish(&Publish::new(format!("a/{topic}"), payload).qos(1, 1));
        }
    }
    let got = members.iter_mut().map(Raw::messages_before_pong);
    let pair = |message: Message| (message.topic.clone(), message.text());
    got.map(|messages| messages.into_iter().map(pair).collect()).collect()
}

/// How many members got anything of this kind.
fn holders(shares: &[Vec<(String, String)>], is: impl Fn(&str, &str) -> bool) -> usize {
    let has = |share: &&Vec<(String, String)>| share.iter().any(|(topic, text)| is(topic, text));
    shares.iter().filter(has).count()
}

#[test]
fn each_strategy_gives_a_message_to_exactly_one_member() {
    for (version, strategy) in Version::ALL.into_iter().cycle().zip(STRATEGIES) {
        for filter in ["$share/g/a/+", "$queue/a/#"] {
            let broker = broker_with(strategy);
            let shares = shared_out(&broker, &mut members(&broker, version, filter));
            let mut all: Vec<_> = shares.concat();
            all.sort();
            let mut expected: Vec<_> = (0..12)
                .flat_map(|topic| (0..12).map(move |publisher| (topic, publisher)))
                .map(|(topic, publisher)| (format!("a/{topic}"), format!("{publisher}-{topic}")))
                .collect();
            expected.sort();
            assert_eq!(all, expected, "{strategy} with {filter}");
        }
    }
}

#[test]
fn each_strategy_chooses_as_its_name_says() {
    for strategy in STRATEGIES {
        let broker = broker_with(strategy);
        let mut members = members(&broker, Version::V5, "$share/g/a/+");
        let shares = shared_out(&broker, &mut members);
        let counts: Vec<usize> = shares.iter().map(Vec::len).collect();
        let busy = counts.iter().filter(|count| **count > 0).count();
        match strategy {
            "round_robin" => assert_eq!(counts, [48, 48, 48]),
            "random" => assert!(busy > 1, "{counts:?}"),
            "sticky" => assert_eq!(busy, 1, "{counts:?}"),
            "hash_clientid" => {
                let one = |publisher| {
                    holders(&shares, |_, text| text.starts_with(&format!("{publisher}-")))
                };
                assert_eq!((0..12).map(one).collect::<Vec<_>>(), [1; 12], "{shares:?}");
                assert!(busy > 1, "{counts:?}");
            }
            _ => {
                let one = |number| holders(&shares, |topic, _| topic == format!("a/{number}"));
                assert_eq!((0..12).map(one).collect::<Vec<_>>(), [1; 12], "{shares:?}");
                assert!(busy > 1, "{counts:?}");
            }
        }
    }
}

/// What the others had stays with them.
#[test]
fn only_the_share_of_a_member_that_leaves_moves_to_others_with_a_hash() {
    for strategy in ["sticky", "hash_clientid", "hash_topic"] {
        let broker = broker_with(strategy);
        let mut members = members(&broker, Version::V5, "$share/g/a/+");
        let before = shared_out(&broker, &mut members);
        // With sticky one who has nothing leaves.
        let fewest = (0..3).min_by_key(|index| before[*index].len()).expect("there are three");
        members.remove(fewest).disconnect();
        let after = shared_out(&broker, &mut members);
        let stayed = before.iter().enumerate().filter(|(index, _)| *index != fewest);
        for ((_, before), after) in stayed.zip(&after) {
            let after: BTreeSet<_> = after.iter().collect();
            assert!(before.iter().all(|pair| after.contains(pair)), "{strategy}");
        }
        assert_eq!(after.concat().len(), 144, "{strategy}");
    }
}

#[test]
fn queue_and_share_are_groups_of_their_own() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut clients: Vec<Raw> = ["$queue/a", "$queue/+", "$share/g/a", "$share/h/a", "a"]
            .iter()
            .map(|filter| {
                let mut client = broker.client(version, filter.replace(['+', '$'], "").as_str());
                client.subscribe(filter, 0);
                client
            })
            .collect();
        publish_each(&mut broker.client(version, "bob"), &["x", "y"]);
        for client in &mut clients {
            assert_eq!(client.texts_before_pong(), ["x", "y"]);
        }
    });
}

#[test]
fn member_that_is_away_gets_nothing_while_another_is_connected() {
    for strategy in STRATEGIES {
        let broker = broker_with(strategy);
        each_version(|version| {
            let resume = Connect::resume(version, "alice");
            let mut alice = broker.connect(&resume);
            alice.subscribe("$share/g/a", 1);
            let mut carol = broker.client(version, "carol");
            carol.subscribe("$share/g/a", 1);
            alice.disconnect();
            let payloads = ["1", "2", "3", "4", "5", "6"];
            publish_each(&mut broker.client(version, "bob"), &payloads);
            assert_eq!(drain(&mut carol), payloads, "{strategy}");
            let mut alice = broker.connect(&resume);
            alice.expect_nothing_before_pong();
            alice.unsubscribe("$share/g/a");
        });
    }
}

#[test]
fn unacknowledged_messages_of_a_member_that_leaves_go_to_another() {
    for (is_kept, is_cut) in [(false, false), (false, true), (true, false), (true, true)] {
        each_version(|version| {
            let broker = Broker::start(&["mqtt.max_inflight=2"]);
            let new = if is_kept { Connect::resume } else { Connect::new };
            let connect = new(version, "alice");
            let mut alice = broker.connect(&connect);
            alice.subscribe("$queue/a", 1);
            let payloads = ["1", "2", "3", "4", "5"];
            publish_each(&mut broker.client(version, "bob"), &payloads);
            // Two are sent and not acknowledged, three wait.
            alice.expect_message("a", "1", 1);
            alice.expect_message("a", "2", 1);
            alice.expect_nothing_before_pong();
            let mut carol = broker.client(version, "carol");
            carol.subscribe("$queue/a", 1);
            if is_cut {
                alice.cut();
            } else {
                alice.disconnect();
            }
            let mut texts = Vec::new();
            for _ in payloads {
                let message = carol.expect_publish();
                carol.acknowledge(&message);
                texts.push(message.text());
            }
            texts.sort();
            assert_eq!(texts, payloads);
            carol.expect_nothing_before_pong();
            broker.connect(&connect).expect_nothing_before_pong();
        });
    }
}

#[test]
fn acknowledged_messages_of_a_member_that_leaves_do_not_come_again() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.client(version, "alice");
        alice.subscribe("$queue/a", 1);
        publish_each(&mut broker.client(version, "bob"), &["1", "2"]);
        assert_eq!(drain(&mut alice), ["1", "2"]);
        let mut carol = broker.client(version, "carol");
        carol.subscribe("$queue/a", 1);
        alice.disconnect();
        carol.expect_nothing_before_pong();
    });
}

#[test]
fn first_member_to_return_gets_what_came_while_all_were_away() {
    each_version(|version| {
        for first in ["alice", "carol"] {
            let broker = Broker::start(&[]);
            for name in ["alice", "carol"] {
                let mut member = broker.connect(&Connect::resume(version, name));
                member.subscribe("$share/g/a", 1);
                member.disconnect();
            }
            let payloads = ["1", "2", "3", "4", "5", "6"];
            publish_each(&mut broker.client(version, "bob"), &payloads);
            let mut returned = broker.connect(&Connect::resume(version, first));
            let mut texts = Vec::new();
            // What waited elsewhere is handed over; it may come behind the first PINGRESP.
            while texts.len() < payloads.len() {
                let message = returned.expect_publish();
                returned.acknowledge(&message);
                texts.push(message.text());
            }
            texts.sort();
            assert_eq!(texts, payloads);
            returned.expect_nothing_before_pong();
            let other = if first == "alice" { "carol" } else { "alice" };
            broker.connect(&Connect::resume(version, other)).expect_nothing_before_pong();
        }
    });
}

#[test]
fn messages_wait_for_a_sole_member_that_is_away() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        let mut alice = broker.connect(&Connect::resume(version, "alice"));
        alice.subscribe("$share/g/a", 1);
        alice.disconnect();
        let mut bob = broker.client(version, "bob");
        publish_each(&mut bob, &["1", "2", "3"]);
        let mut alice = broker.connect(&Connect::resume(version, "alice"));
        let messages = alice.take_all(&mut bob);
        assert_eq!(messages.iter().map(Message::text).collect::<Vec<_>>(), ["1", "2", "3"]);
    });
}

#[test]
fn message_that_waits_in_a_session_that_is_taken_down_goes_to_another_member() {
    each_version(|version| {
        let broker = Broker::start(&[]);
        for name in ["alice", "carol"] {
            let mut member = broker.connect(&Connect::resume(version, name));
            member.subscribe("$share/g/a", 1);
            member.disconnect();
        }
        let payloads = ["1", "2", "3", "4"];
        publish_each(&mut broker.client(version, "bob"), &payloads);
        // A clean start ends a session with what waits in it.
        broker.client(version, "alice").disconnect();
        let mut carol = broker.connect(&Connect::resume(version, "carol"));
        // What is handed over may come behind what was hers.
        let mut texts: Vec<_> = payloads.iter().map(|_| carol.take_message().text()).collect();
        texts.sort();
        assert_eq!(texts, payloads);
        carol.expect_nothing_before_pong();
    });
}

/// [MQTT5-3.8.3-4], for every way to write a group.
#[test]
fn no_local_on_a_group_closes() {
    let broker = Broker::start(&[]);
    for filter in ["$queue/a", "$local/$share/g/a", "$fastlane/$queue/a", "$fastlane/$share/g/a"] {
        let mut alice = broker.client(Version::V5, "alice");
        alice.send(&subscribe(Version::V5, 1, &[(filter, 0x04)]));
        assert_eq!(alice.expect_ending(), Some(0x82), "{filter}");
    }
}

/// Ends what others do when it goes, even by a panic.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Members that come, take messages without a word and go, while messages come in: what was
/// acknowledged to the publisher reaches the member that stays.
#[test]
fn nothing_is_lost_to_members_that_come_and_go() {
    const BATCHES: u16 = 600;
    const BATCH: u16 = 50;
    let broker = Broker::start(&["session.max_queue_messages=1000000"]);
    let mut stays = broker.connect(&Connect::resume(V5, "stays"));
    stays.subscribe("$share/g/t", 1);
    let is_over = AtomicBool::new(false);
    let mut missing: BTreeSet<String> = (0..BATCHES * BATCH).map(|n| n.to_string()).collect();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (broker, is_over) = (&broker, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let mut comes = broker.client(V5, &format!("comes {thread}"));
                    comes.send(&subscribe(V5, 1, &[("$share/g/t", 1)]));
                    // A message may come before the SUBACK.
                    while !matches!(comes.receive().kind, Kind::Suback(_)) {}
                    comes.cut();
                }
            });
        }
        scope.spawn(|| {
            let mut bob = broker.client(V5, "bob");
            for batch in 0..BATCHES {
                let publish = |id: u16| {
                    let number = batch * BATCH + id - 1;
                    Publish::new("t", number.to_string()).qos(1, id).bytes(V5)
                };
                bob.send(&(1..=BATCH).flat_map(publish).collect::<Vec<u8>>());
                for id in 1..=BATCH {
                    assert_eq!(bob.expect_puback(id).code, 0);
                }
            }
        });
        let _over = Over(&is_over);
        // One that a member took may come once more.
        while !missing.is_empty() {
            let message = stays.expect_publish();
            missing.remove(&message.text());
            stays.acknowledge(&message);
        }
    });
}
