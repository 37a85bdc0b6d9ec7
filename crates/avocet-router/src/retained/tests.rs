use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::naive;

/// [MQTT3-3.3.1-6] [MQTT5-3.3.1-9]
#[test]
fn filter_finds_the_topics_that_it_matches() {
    let topics = ["a", "a/b", "a/b/c", "a!/b", "a/b!", "a0", "/", "$SYS/a", "b/b"];
    check(&topics, "a/#", &["a", "a/b", "a/b!", "a/b/c"]);
    check(&topics, "a/+", &["a/b", "a/b!"]);
    check(&topics, "+/b", &["a!/b", "a/b", "b/b"]);
    check(&topics, "+/b/#", &["a!/b", "a/b", "a/b/c", "b/b"]);
    check(&topics, "a/b", &["a/b"]);
    check(&topics, "a/b/#", &["a/b", "a/b/c"]);
    check(&topics, "+", &["a", "a0"]);
    check(&topics, "/+", &["/"]);
    check(&topics, "+/+", &["/", "a!/b", "a/b", "a/b!", "b/b"]);
    check(&topics, "c/#", &[]);
}

/// [MQTT3-4.7.2-1] [MQTT5-4.7.2-1]
#[test]
fn leading_wildcard_finds_no_dollar_topic() {
    let topics = ["!", "$", "$SYS/a", "%", "a"];
    check(&topics, "#", &["!", "%", "a"]);
    check(&topics, "+/a", &[]);
    check(&topics, "$SYS/#", &["$SYS/a"]);
    check(&topics, "$SYS/+", &["$SYS/a"]);
}

#[test]
fn insert_replaces_and_remove_takes_away() {
    let index = RetainedIndex::new();
    assert_eq!(index.insert("t", 1), None);
    assert_eq!(index.insert("t", 2), Some(1));
    assert_eq!((index.get("t"), index.len()), (Some(2), 1));
    assert_eq!(index.remove("t"), Some(2));
    assert_eq!(index.remove("t"), None);
    assert!(index.is_empty());
}

#[test]
fn time_under_the_lock_is_bounded_when_nothing_matches() {
    let index = RetainedIndex::new();
    for number in 0..1_000 {
        index.insert(&format!("{number}/a"), number);
    }
    let page = index.matching("+/+/#", None, 1);
    assert_eq!(page.found, [0]);
    let page = index.matching("+/a/+", None, 1);
    assert!(page.found.is_empty());
    assert!(page.next.is_some(), "it has not come through");
    assert_eq!(all(&index, "+/a/+", 1), [0; 0]);
    assert_eq!(index.matching("+/b", None, 1), Page { found: Vec::new(), next: None });
}

#[test]
fn a_rare_level_is_found_without_passing_by_all_others() {
    let index = RetainedIndex::new();
    for number in 0..20_000 {
        index.insert(&format!("site/{number}/common"), number);
    }
    for number in (0..20_000).step_by(2_000) {
        index.insert(&format!("site/{number}/rare"), number);
    }
    let page = index.matching("+/+/rare", None, 64);
    assert_eq!((page.found.len(), page.next), (10, None), "in one page");
    assert_eq!(index.matching("+/+/none/#", None, 1), Page { found: Vec::new(), next: None });
    for number in (0..20_000).step_by(2_000) {
        index.remove(&format!("site/{number}/rare"));
    }
    assert_eq!(index.matching("site/+/rare", None, 1), Page { found: Vec::new(), next: None });
}

#[test]
fn page_begins_at_a_topic_even_if_it_is_gone() {
    let index = RetainedIndex::new();
    for topic in ["a/1", "a/2", "a/3", "b"] {
        index.insert(topic, topic);
    }
    let at = Cursor::at("a/2");
    assert_eq!(index.matching("a/+", Some(&at), 9).found, ["a/2", "a/3"]);
    index.remove("a/2");
    assert_eq!(index.matching("a/+", Some(&at), 9), Page { found: vec!["a/3"], next: None });
}

#[test]
fn leaps_pass_by_what_lies_below_a_sibling() {
    let index = RetainedIndex::new();
    for number in 0..10_000 {
        index.insert(&format!("a/x/{number}"), "deep");
    }
    index.insert("a/y", "found");
    assert_eq!(index.matching("a/+", None, 1).found, ["found"]);
}

proptest! {
    #[test]
    fn same_as_asking_each_topic(
        topics in prop::collection::btree_set(naive::topic(), 0..60),
        filter in naive::topic_filter(),
        limit in 1_usize..5,
        few_max in 1_usize..10,
    ) {
        let index = index_of(&topics, few_max);
        let expected: Vec<_> =
            topics.iter().filter(|topic| naive::is_match(&filter, topic)).cloned().collect();
        prop_assert_eq!(all(&index, &filter, limit), expected);
    }

    #[test]
    fn what_stands_all_the_time_is_on_exactly_one_page(
        standing in prop::collection::btree_set(naive::topic(), 0..40),
        passing in prop::collection::vec((naive::topic(), any::<bool>()), 0..40),
        filter in naive::topic_filter(),
        few_max in 1_usize..10,
    ) {
        let index = index_of(&standing, few_max);
        let mut passing = passing.into_iter().filter(|(topic, _)| !standing.contains(topic));
        let (mut seen, mut next) = (Vec::new(), None);
        loop {
            let page = index.matching(&filter, next.as_ref(), 1);
            seen.extend(page.found.into_iter().filter(|topic| standing.contains(topic)));
            next = page.next;
            if next.is_none() {
                break;
            }
            match passing.next() {
                Some((topic, true)) => drop(index.insert(&topic, topic.clone())),
                Some((topic, false)) => drop(index.remove(&topic)),
                None => {}
            }
        }
        let expected: Vec<_> =
            standing.iter().filter(|topic| naive::is_match(&filter, topic)).cloned().collect();
        prop_assert_eq!(seen, expected);
    }
}

#[track_caller]
fn check(topics: &[&str], filter: &str, expected: &[&str]) {
    for (limit, few_max) in [(1, 1), (2, 2), (100, 1), (100, 100)] {
        let index = index_of(&topics.iter().map(|&topic| topic.to_owned()).collect(), few_max);
        assert_eq!(all(&index, filter, limit), expected, "{filter}");
    }
}

/// Levels of more topics than `few_max` are not listed.
fn index_of(topics: &BTreeSet<String>, few_max: usize) -> RetainedIndex<String> {
    let index = RetainedIndex::new();
    index.shelf.write().levels.few_max = few_max;
    for topic in topics {
        index.insert(topic, topic.clone());
    }
    index
}

fn all<T: Clone>(index: &RetainedIndex<T>, filter: &str, limit: usize) -> Vec<T> {
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let page = index.matching(filter, next.as_ref(), limit);
        assert!(page.found.len() <= limit);
        found.extend(page.found);
        next = page.next;
        if next.is_none() {
            return found;
        }
    }
}
