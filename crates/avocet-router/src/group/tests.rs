use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::naive::Client;

#[test]
fn round_robin_takes_each_in_turn() {
    let group = group(Strategy::RoundRobin, &[1, 2, 3]);
    assert_eq!(select(&group, 7, all), [1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn round_robin_stays_fair_when_members_come_and_go() {
    let group = group(Strategy::RoundRobin, &[1, 2, 3]);
    assert_eq!(select(&group, 2, all), [1, 2]);
    group.leave(&filter(), SubscriberId(1));
    assert_eq!(select(&group, 2, all), [3, 2], "3 is still next");
    group.join(&filter(), Client(4), Entry::default());
    assert_eq!(select(&group, 4, all), [3, 4, 2, 3]);
    group.leave(&filter(), SubscriberId(4));
    assert_eq!(select(&group, 2, all), [2, 3]);
}

#[test]
fn round_robin_is_fair_between_threads() {
    let group = group(Strategy::RoundRobin, &[0, 1, 2, 3]);
    let counts: [AtomicU64; 4] = Default::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    let member = group.select(&choice("c", "t", 0), all).unwrap();
                    counts[member.subscriber.0 as usize].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(counts.map(AtomicU64::into_inner), [1_000; 4]);
}

#[test]
fn only_live_members_are_chosen() {
    for strategy in STRATEGIES {
        let group = group(strategy, &[1, 2, 3]);
        assert_eq!(select(&group, 3, |client| client.0 == 2), [2, 2, 2], "{strategy:?}");
        assert!(group.select(&choice("c", "t", 0), |_| false).is_none());
    }
}

#[test]
fn random_follows_the_dice() {
    let group = group(Strategy::Random, &[1, 2]);
    let at = |dice| group.select(&choice("c", "t", dice), all).unwrap().subscriber.0;
    assert_eq!((at(0), at(u64::MAX / 2), at(u64::MAX / 2 + 1), at(u64::MAX)), (1, 1, 2, 2));
}

#[test]
fn random_shares_what_a_dead_member_leaves() {
    let group = group(Strategy::Random, &[0, 1, 2, 3]);
    let mut counts = [0; 4];
    for dice in 0..3_000 {
        let choice = choice("c", "t", spread(dice));
        let member = group.select(&choice, |client| client.0 != 1).unwrap();
        counts[member.subscriber.0 as usize] += 1;
    }
    assert_eq!(counts[1], 0);
    assert!([0, 2, 3].iter().all(|&client| (900..1_100).contains(&counts[client])), "{counts:?}");
}

#[test]
fn sticky_keeps_its_member_until_it_leaves_or_is_dead() {
    let group = group(Strategy::Sticky, &[1, 2, 3, 4]);
    let at = |dice, dead| {
        let choice = choice("c", "t", dice);
        group.select(&choice, |client| client.0 != dead).unwrap().subscriber.0
    };
    assert_eq!(at(u64::MAX / 2 + 1, 0), 3);
    assert_eq!(at(0, 0), 3);
    group.leave(&filter(), SubscriberId(1));
    group.join(&filter(), Client(5), Entry::default());
    assert_eq!(at(0, 0), 3, "others come and go");
    assert_eq!(at(0, 3), 2, "dead");
    assert_eq!(at(u64::MAX, 0), 2, "and back");
    group.leave(&filter(), SubscriberId(2));
    assert_eq!(at(u64::MAX, 0), 5, "left");
}

#[test]
fn leaving_member_moves_its_own_keys_only() {
    for strategy in [Strategy::HashClientId, Strategy::HashTopic] {
        let group = group(strategy, &[1, 2, 3, 4]);
        let before = by_key(&group);
        group.leave(&filter(), SubscriberId(2));
        let after = by_key(&group);
        for (key, member) in &before {
            assert!(*member == 2 || after[key] == *member, "{key}");
        }
        for member in 1..5 {
            let keys = before.values().filter(|&&m| m == member).count();
            assert!((150..350).contains(&keys), "{member} has {keys} of 1000");
        }
    }
}

#[test]
fn hash_depends_on_its_own_key_only() {
    let group = group(Strategy::HashTopic, &[1, 2, 3, 4]);
    let at = |publisher, dice| group.select(&choice(publisher, "t", dice), all);
    assert_eq!(at("a", 1), at("b", 2));
}

/// [MQTT5-4.8.2-3]
#[test]
fn member_keeps_its_own_terms() {
    let group = group(Strategy::RoundRobin, &[1]);
    let fastlane = Filter::parse("$fastlane/$share/g/t").unwrap();
    let mut entry = Entry::default();
    entry.options.qos = QoS::ExactlyOnce;
    assert_eq!(group.join(&filter(), Client(1), entry), Joined::Replaced);
    assert_eq!(group.join(&fastlane, Client(1), entry), Joined::New);
    let members = group.members();
    assert_eq!(members.len(), 2);
    assert_eq!((members[0].entry.options.qos, members[0].fastlane), (QoS::ExactlyOnce, false));
    assert_eq!((members[1].entry.options.qos, members[1].fastlane), (QoS::AtMostOnce, true));
}

#[test]
fn nobody_joins_a_group_that_its_last_member_left() {
    let group = group(Strategy::Random, &[1]);
    assert_eq!(group.leave(&filter(), SubscriberId(9)), Left::Absent);
    assert_eq!(group.leave(&filter(), SubscriberId(1)), Left::Empty);
    assert_eq!(group.join(&filter(), Client(2), Entry::default()), Joined::Closed);
    assert!(group.select(&choice("c", "t", 0), all).is_none());
}

const STRATEGIES: [Strategy; 5] = [
    Strategy::RoundRobin,
    Strategy::Random,
    Strategy::Sticky,
    Strategy::HashClientId,
    Strategy::HashTopic,
];

fn filter() -> Filter {
    Filter::parse("$share/g/t").unwrap()
}

fn group(strategy: Strategy, clients: &[u64]) -> Group<Client> {
    let group = Group::new(&filter(), strategy, Client(clients[0]), Entry::default());
    for &client in &clients[1..] {
        assert_eq!(group.join(&filter(), Client(client), Entry::default()), Joined::New);
    }
    group
}

fn choice<'a>(publisher: &'a str, topic: &'a str, dice: u64) -> Choice<'a> {
    Choice { publisher, topic, dice }
}

fn all(_: &Client) -> bool {
    true
}

fn select(group: &Group<Client>, times: usize, live: fn(&Client) -> bool) -> Vec<u64> {
    let select = |_| group.select(&choice("c", "t", 0), live).unwrap().subscriber.0;
    (0..times).map(select).collect()
}

fn by_key(group: &Group<Client>) -> BTreeMap<String, u64> {
    let select = |key: String| {
        let member = group.select(&choice(&key, &key, 0), all).unwrap();
        (key, member.subscriber.0)
    };
    (0..1_000).map(|key| select(format!("key-{key}"))).collect()
}
