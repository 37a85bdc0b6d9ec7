//! What the tests compare with: short, slow and plainly right.

use proptest::prelude::*;

use crate::subscriber::{Subscriber, SubscriberId};

/// A subscriber that is its own id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Client(pub(crate) u64);

impl Subscriber for Client {
    fn id(&self) -> SubscriberId {
        SubscriberId(self.0)
    }
}

pub(crate) fn is_match(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            ([f, filter @ ..], [t, topic @ ..]) => (*f == "+" || f == t) && levels(filter, topic),
            ([], _) | (_, []) => false,
        }
    }
    let (f, t): (Vec<_>, Vec<_>) = (filter.split('/').collect(), topic.split('/').collect());
    !(topic.starts_with('$') && filter.starts_with(['+', '#'])) && levels(&f, &t)
}

/// Few levels from few words, so that filters and topics meet; some sort next to the separator.
pub(crate) fn topic() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "", "a!", "a0", "$x", "ä"]);
    prop::collection::vec(level, 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a topic has a character", |topic| !topic.is_empty())
}

pub(crate) fn topic_filter() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "", "a!", "$x", "+", "+", "ä"]);
    (prop::collection::vec(level, 0..4), any::<bool>())
        .prop_map(|(mut levels, hash)| {
            if hash {
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("a filter has a character", |filter| !filter.is_empty())
}
