mod model;

use avocet_mqtt::{QoS, SubscriptionIdentifier, SubscriptionOptions};

use super::*;
use crate::RouteCache;
use crate::naive::Client;

/// [MQTT3-3.3.2-3] [MQTT5-3.3.2-3]
#[test]
fn topic_finds_the_filters_that_match() {
    let filters = ["#", "+", "+/b", "a/#", "a/+", "a/b", "a/b/#", "a/+/c", "a/b/c", "/+", "b"];
    check(&filters, "a", &["#", "+", "a/#"]);
    check(&filters, "a/b", &["#", "+/b", "a/#", "a/+", "a/b", "a/b/#"]);
    check(&filters, "a/b/c", &["#", "a/#", "a/b/#", "a/+/c", "a/b/c"]);
    check(&filters, "a/b/c/d", &["#", "a/#", "a/b/#"]);
    check(&filters, "/b", &["#", "+/b", "/+"]);
    check(&filters, "a/", &["#", "a/#", "a/+"]);
    check(&filters, "b", &["#", "+", "b"]);
}

/// [MQTT3-4.7.2-1] [MQTT5-4.7.2-1]
#[test]
fn leading_wildcard_matches_no_dollar_topic() {
    let filters = ["#", "+/a", "+/#", "$SYS/#", "$SYS/+", "$SYS/a"];
    check(&filters, "$SYS/a", &["$SYS/#", "$SYS/+", "$SYS/a"]);
    check(&filters, "$SYS", &["$SYS/#"]);
    check(&filters, "$/a", &[]);
    check(&filters, "x/a", &["#", "+/a", "+/#"]);
}

/// [MQTT3-4.7.3-4] [MQTT5-4.7.3-4]
#[test]
fn nothing_is_normalised() {
    check(&["A", "a", "\u{e9}", "e\u{301}", "a/", "/a", "a//b"], "\u{e9}", &["\u{e9}"]);
    check(&["A", "a", "a/", "/a"], "a", &["a"]);
    check(&["a//b", "a/b", "a/+/b"], "a//b", &["a//b", "a/+/b"]);
}

/// [MQTT3-4.7.3-3] [MQTT5-4.7.3-3]
#[test]
fn longest_topics_and_filters_do_no_harm() {
    let separators = "/".repeat(65_535);
    let plus = "+/".repeat(32_767);
    let text = "a".repeat(65_535);
    check(&[&separators, &plus, &text, "#"], &separators, &[&separators, "#"]);
    check(&[&separators, &plus, &text, "#"], &"/".repeat(32_767), &[&plus, "#"]);
    check(&[&separators, &plus, &text, "#"], &text, &[&text, "#"]);
}

/// [MQTT3-3.3.5-1] [MQTT5-3.3.4-2] [MQTT5-3.3.4-3] [MQTT5-3.3.4-4]
#[test]
fn overlapping_subscriptions_are_one_destination() {
    let router = router(Overlap::Merge);
    subscribe(&router, "a/#", 1, entry(1, Some(7)));
    subscribe(&router, "a/b", 1, entry(2, Some(3)));
    subscribe(&router, "+/b", 1, entry(0, None));
    subscribe(&router, "$local/a/b", 1, entry(0, Some(7)));
    let answer = router.matches("a/b");
    let [destination] = &*answer.plain else { panic!("{answer:?}") };
    assert_eq!(destination.id(), SubscriberId(1));
    assert_eq!(destination.terms.qos, QoS::ExactlyOnce);
    assert_eq!(identifiers(&destination.terms), [3, 7, 7]);
}

/// [MQTT5-3.3.4-5]
#[test]
fn overlapping_subscriptions_may_be_a_destination_each() {
    let router = router(Overlap::PerSubscription);
    subscribe(&router, "a/#", 1, entry(1, Some(7)));
    subscribe(&router, "a/b", 1, entry(2, Some(3)));
    let answer = router.matches("a/b");
    let terms: Vec<_> =
        answer.plain.iter().map(|to| (to.terms.qos, identifiers(&to.terms))).collect();
    assert_eq!(terms, [(QoS::ExactlyOnce, vec![3]), (QoS::AtLeastOnce, vec![7])]);
}

/// [MQTT5-3.8.3-3]
#[test]
fn no_local_holds_back_only_by_the_subscriptions_that_have_it() {
    let router = router(Overlap::Merge);
    let mut no_local = entry(2, Some(1));
    no_local.options.no_local = true;
    subscribe(&router, "a", 1, no_local);
    let of = |publisher: Option<u64>| {
        let answer = router.matches("a");
        let terms = answer.plain[0].for_publisher(publisher.map(SubscriberId)).cloned();
        terms.map(|terms| (terms.qos, identifiers(&terms)))
    };
    assert_eq!(of(Some(1)), None);
    assert_eq!(of(Some(2)), Some((QoS::ExactlyOnce, vec![1])));
    assert_eq!(of(None), Some((QoS::ExactlyOnce, vec![1])));
    subscribe(&router, "#", 1, entry(1, Some(2)));
    assert_eq!(of(Some(1)), Some((QoS::AtLeastOnce, vec![2])));
    assert_eq!(of(None), Some((QoS::ExactlyOnce, vec![1, 2])));
}

/// [MQTT3-3.8.4-3] [MQTT5-3.8.4-3]
#[test]
fn same_filter_replaces_and_other_prefixes_do_not() {
    let router = router(Overlap::Merge);
    assert_eq!(subscribe(&router, "t", 1, entry(1, None)), Inserted::New);
    assert_eq!(subscribe(&router, "t", 1, entry(0, None)), Inserted::Replaced);
    assert_eq!(router.matches("t").plain[0].terms.qos, QoS::AtMostOnce);
    for other in ["$local/t", "$fastlane/t", "$share/g/t", "$share/h/t", "$local/$share/g/t"] {
        assert_eq!(subscribe(&router, other, 1, entry(1, None)), Inserted::New, "{other}");
        assert_eq!(subscribe(&router, other, 1, entry(1, None)), Inserted::Replaced, "{other}");
    }
    assert_eq!(router.stats(), Stats { filters: 1, subscriptions: 6, groups: 2 });
    let answer = router.matches("t");
    assert_eq!((answer.plain.len(), answer.fastlane.len(), answer.groups.len()), (1, 1, 2));
    assert_eq!(answer.fastlane[0].terms.qos, QoS::AtMostOnce);
}

/// [MQTT3-3.10.4-1] [MQTT5-3.10.4-1] [MQTT3-3.10.4-2] [MQTT5-3.10.4-2]
#[test]
fn unsubscribing_deletes_only_the_same_filter() {
    let router = router(Overlap::Merge);
    subscribe(&router, "a/+", 1, entry(1, None));
    for other in ["a/b", "a/#", "A/+", "$local/a/+", "$share/g/a/+", "a/+/"] {
        assert!(!unsubscribe(&router, other, 1), "{other}");
    }
    assert!(!unsubscribe(&router, "a/+", 2));
    assert_eq!(router.matches("a/b").plain.len(), 1);
    assert!(unsubscribe(&router, "a/+", 1));
    assert!(!unsubscribe(&router, "a/+", 1));
    assert!(router.matches("a/b").is_empty());
    check_is_empty(&router);
}

#[test]
fn group_stands_while_it_has_members() {
    let router = router(Overlap::Merge);
    let mut cache = RouteCache::new(4);
    subscribe(&router, "$share/g/t/#", 1, entry(1, None));
    subscribe(&router, "$share/g/t/#", 2, entry(1, None));
    let group = Arc::clone(&cache.lookup(&router, "t/a").groups[0]);
    assert_eq!((group.name(), group.topic_filter()), ("g", "t/#"));
    assert!(unsubscribe(&router, "$share/g/t/#", 1));
    assert_eq!(group.members().len(), 1);
    assert!(Arc::ptr_eq(&group, &cache.lookup(&router, "t/a").groups[0]));
    assert!(unsubscribe(&router, "$share/g/t/#", 2));
    assert!(cache.lookup(&router, "t/a").is_empty());
    check_is_empty(&router);
}

#[test]
fn group_has_the_strategy_of_its_name() {
    let group_strategies = BTreeMap::from([("s".to_owned(), Strategy::Sticky)]);
    let strategy = Strategy::HashTopic;
    let router = Router::new(Config { strategy, group_strategies, ..Config::default() });
    subscribe(&router, "$share/s/t", 1, entry(0, None));
    subscribe(&router, "$queue/t", 1, entry(0, None));
    let mut found: Vec<_> =
        router.matches("t").groups.iter().map(|g| (g.name().to_owned(), g.strategy())).collect();
    found.sort_by(|left, right| left.0.cmp(&right.0));
    assert_eq!(
        found,
        [("$queue".to_owned(), Strategy::HashTopic), ("s".to_owned(), Strategy::Sticky)]
    );
}

#[test]
fn a_filter_may_have_many_subscribers() {
    let router = router(Overlap::Merge);
    for client in 0..10_000 {
        subscribe(&router, "all", client, entry(1, None));
    }
    assert_eq!(router.matches("all").width(), 10_000);
    for client in 0..10_000 {
        assert!(unsubscribe(&router, "all", client));
    }
    check_is_empty(&router);
}

/// What a look-up costs is counted in handles that it clones.
#[test]
fn a_look_up_copies_no_more_however_many_subscribe() {
    let handles: Vec<_> = (0..100_000).map(|id| Handle(Arc::new(id))).collect();
    let router = Router::new(Config::default());
    let filter = Filter::parse("all/#").unwrap();
    for handle in &handles {
        router.subscribe(&filter, handle.clone(), entry(1, None));
    }
    router.subscribe(&Filter::parse("all/+").unwrap(), handles[7].clone(), entry(2, None));
    let mut cache = RouteCache::new(4);
    let references = || handles.iter().map(|it| Arc::strong_count(&it.0)).sum::<usize>();
    let mut before = references();
    for id in 0..100 {
        let answer = Arc::clone(cache.lookup(&router, "all/a"));
        assert_eq!(answer.width(), 100_001 - id);
        assert!(references() <= before + 1, "{} copied", references() - before);
        assert!(router.unsubscribe(&filter, SubscriberId(id as u64 * 64)));
        assert_eq!(answer.width(), 100_001 - id, "the answer is of its time");
        drop(answer);
        cache.clear();
        before = references();
    }
    let slice =
        router.matches("all/a").slice(crate::destination::Position(7), 1).plain.into_owned();
    assert_eq!(slice[0].terms.qos, QoS::ExactlyOnce, "overlapping subscriptions are merged");
}

#[derive(Clone, Debug)]
struct Handle(Arc<u64>);

impl Subscriber for Handle {
    fn id(&self) -> SubscriberId {
        SubscriberId(*self.0)
    }
}

#[test]
fn a_filter_with_one_subscriber_needs_16_bytes_for_it() {
    assert_eq!(size_of::<Terminal<Arc<str>>>(), 24);
    assert_eq!(size_of::<Terminal<Arc<u64>>>(), 16);
}

#[test]
fn threads_find_what_they_subscribed_to_and_leave_nothing() {
    let router = router(Overlap::Merge);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let router = &router;
            scope.spawn(move || come_and_go(router, thread));
        }
    });
    check_is_empty(&router);
}

/// All threads share filters and one group, so that the group opens and closes all the time.
fn come_and_go(router: &Router<Client>, thread: u64) {
    let mut cache = RouteCache::new(16);
    let filters = ["a/b", "a/+", "#", "a/b/#", "$share/g/a/b", "$fastlane/a/b"];
    for round in 0..500 {
        let client = thread * 1_000 + round;
        for filter in filters {
            assert_eq!(subscribe(router, filter, client, entry(1, None)), Inserted::New);
        }
        let answer = cache.lookup(router, "a/b");
        assert_eq!(answer.plain.iter().filter(|to| to.subscriber.0 == client).count(), 1);
        assert_eq!(answer.fastlane.iter().filter(|to| to.subscriber.0 == client).count(), 1);
        let [group] = &*answer.groups else { panic!("one group") };
        assert!(group.members().iter().any(|member| member.subscriber.0 == client));
        for filter in filters {
            assert!(unsubscribe(router, filter, client));
        }
        let answer = cache.lookup(router, "a/b");
        assert!(answer.plain.iter().all(|to| to.subscriber.0 != client));
    }
}

#[track_caller]
fn check(filters: &[&str], topic: &str, expected: &[&str]) {
    let router = router(Overlap::Merge);
    for (client, filter) in filters.iter().enumerate() {
        subscribe(&router, filter, client as u64, entry(0, None));
    }
    let answer = router.matches(topic);
    let found: Vec<_> = answer.plain.iter().map(|to| filters[to.subscriber.0 as usize]).collect();
    assert_eq!(found, expected);
    for (client, filter) in filters.iter().enumerate() {
        assert!(unsubscribe(&router, filter, client as u64));
    }
    check_is_empty(&router);
}

#[track_caller]
fn check_is_empty(router: &Router<Client>) {
    assert_eq!(router.stats(), Stats::default());
    for bucket in &router.buckets {
        assert!(match &*bucket.read() {
            Bucket::Exact(exact) => exact.is_empty(),
            Bucket::Trie(trie) => trie.is_empty(),
        });
    }
}

fn router(overlap: Overlap) -> Router<Client> {
    Router::new(Config { overlap, ..Config::default() })
}

fn subscribe(router: &Router<Client>, filter: &str, client: u64, entry: Entry) -> Inserted {
    router.subscribe(&Filter::parse(filter).unwrap(), Client(client), entry)
}

fn unsubscribe(router: &Router<Client>, filter: &str, client: u64) -> bool {
    router.unsubscribe(&Filter::parse(filter).unwrap(), SubscriberId(client))
}

fn entry(qos: u8, identifier: Option<u32>) -> Entry {
    let qos = QoS::from_bits(qos).unwrap();
    Entry {
        options: SubscriptionOptions { qos, ..SubscriptionOptions::default() },
        identifier: identifier.and_then(SubscriptionIdentifier::new),
    }
}

fn identifiers(terms: &crate::Terms) -> Vec<u32> {
    terms.identifiers.iter().map(|identifier| identifier.value()).collect()
}
