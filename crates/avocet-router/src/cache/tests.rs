use std::sync::Arc;

use super::*;
use crate::{Config, Entry, Filter, SubscriberId};

#[test]
fn an_answer_stands_until_something_changes_where_it_came_from() {
    let router = Router::new(Config::default());
    let mut cache = RouteCache::new(8);
    subscribe(&router, "a/+", &Handle::new(1));
    let mut renewals = 0;
    for number in 0..100 {
        let first = Arc::clone(cache.lookup(&router, "a/b"));
        subscribe(&router, &format!("{number}/+"), &Handle::new(2));
        subscribe(&router, &format!("{number}/b/+"), &Handle::new(2));
        subscribe(&router, &format!("{number}/b"), &Handle::new(2));
        renewals += usize::from(!Arc::ptr_eq(&first, cache.lookup(&router, "a/b")));
    }
    assert!(renewals < 20, "{renewals} changes of 300 were in one of its buckets");
    for filter in ["a/b", "a/#", "a/b/#", "#"] {
        subscribe(&router, filter, &Handle::new(3));
        assert_eq!(cache.lookup(&router, "a/b").plain.len(), 2, "{filter}");
        assert!(router.unsubscribe(&Filter::parse(filter).unwrap(), SubscriberId(3)));
        assert_eq!(cache.lookup(&router, "a/b").plain.len(), 1, "{filter}");
    }
}

#[test]
fn a_storm_below_one_place_empties_few_lines() {
    const TOPICS: usize = 2_048;
    let router = Router::new(Config::default());
    let mut cache = RouteCache::new(4 * TOPICS);
    let topics: Vec<_> = (0..TOPICS).map(|n| format!("site/{n}/device/{n}/state")).collect();
    subscribe(&router, "site/+/device/+/state", &Handle::new(1));
    for topic in &topics {
        subscribe(&router, topic, &Handle::new(2));
    }
    let mut keep = |router: &Router<Handle>| -> Vec<_> {
        topics.iter().map(|topic| Arc::clone(cache.lookup(router, topic))).collect()
    };
    keep(&router);
    let before = keep(&router);
    for client in 0..1_000 {
        let filters = ["storm/1/+".to_owned(), format!("storm/1/{client}/#")];
        for filter in filters {
            subscribe(&router, &filter, &Handle::new(client));
            assert!(router.unsubscribe(&Filter::parse(&filter).unwrap(), SubscriberId(client)));
        }
    }
    let kept = before.iter().zip(&keep(&router)).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
    // One bucket of 256 has moved; which topics come from it is up to the hash.
    assert!(kept > TOPICS * 9 / 10, "{kept} of {TOPICS} stand");
}

#[test]
fn dollar_topic_does_not_care_for_leading_wildcards() {
    let router = Router::new(Config::default());
    let mut cache = RouteCache::new(8);
    let first = Arc::clone(cache.lookup(&router, "$SYS/a"));
    subscribe(&router, "#", &Handle::new(1));
    assert!(Arc::ptr_eq(&first, cache.lookup(&router, "$SYS/a")));
}

#[test]
fn a_member_more_changes_no_answer() {
    let router = Router::new(Config::default());
    let mut cache = RouteCache::new(8);
    subscribe(&router, "$queue/t", &Handle::new(1));
    let first = Arc::clone(cache.lookup(&router, "t"));
    subscribe(&router, "$queue/t", &Handle::new(2));
    assert!(Arc::ptr_eq(&first, cache.lookup(&router, "t")));
    assert_eq!(first.groups[0].members().len(), 2);
}

#[test]
fn sweep_lets_go_of_subscribers_that_are_gone() {
    let router = Router::new(Config::default());
    let mut cache = RouteCache::new(8);
    let handle = Handle::new(1);
    let long = "t".repeat(CACHED_TOPIC_BYTES_MAX + 1);
    for filter in ["t", long.as_str()] {
        subscribe(&router, filter, &handle);
        assert_eq!(cache.lookup(&router, filter).plain.len(), 1);
        assert!(router.unsubscribe(&Filter::parse(filter).unwrap(), SubscriberId(1)));
    }
    assert_eq!(Arc::strong_count(&handle.0), 3, "the two answers");
    cache.sweep(&router);
    assert_eq!(Arc::strong_count(&handle.0), 1);
}

#[test]
fn sweep_keeps_what_stands_and_clear_does_not() {
    let router = Router::new(Config::default());
    let mut cache = RouteCache::new(8);
    let handle = Handle::new(1);
    subscribe(&router, "t", &handle);
    let first = Arc::clone(cache.lookup(&router, "t"));
    cache.sweep(&router);
    assert!(Arc::ptr_eq(&first, cache.lookup(&router, "t")));
    cache.clear();
    assert!(!Arc::ptr_eq(&first, cache.lookup(&router, "t")));
}

#[test]
fn what_it_keeps_is_bounded() {
    let router = Router::new(Config::default());
    let mut cache = RouteCache::new(16);
    let handle = Handle::new(1);
    subscribe(&router, "#", &handle);
    for topic in 0..1_000 {
        assert_eq!(cache.lookup(&router, &format!("topic/{topic}")).plain.len(), 1);
    }
    assert!(Arc::strong_count(&handle.0) <= 2 + 16);
}

#[derive(Clone, Debug)]
struct Handle(Arc<u64>);

impl Handle {
    fn new(id: u64) -> Self {
        Self(Arc::new(id))
    }
}

impl Subscriber for Handle {
    fn id(&self) -> SubscriberId {
        SubscriberId(*self.0)
    }
}

fn subscribe(router: &Router<Handle>, filter: &str, handle: &Handle) {
    router.subscribe(&Filter::parse(filter).unwrap(), handle.clone(), Entry::default());
}
