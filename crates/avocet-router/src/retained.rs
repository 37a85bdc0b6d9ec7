//! Topics found by a filter.
//!
//! The topics lie in one ordered map. Levels that share a prefix lie together in it, so a filter is
//! answered by leaping from one place where a match can be to the next: each leap costs what a
//! step through a trie would, and the order of the map makes pages that need no snapshot.

mod leap;

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::RwLock;

use self::leap::{Step, step};

/// For each topic one thing, such as its retained message.
#[derive(Debug)]
pub struct RetainedIndex<T> {
    topics: RwLock<BTreeMap<Box<str>, T>>,
}

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Box<str>);

impl Cursor {
    /// At this topic: what stands there is the first that the page may have.
    #[must_use]
    pub fn at(topic: &str) -> Self {
        Self(topic.into())
    }
}

/// Some of what matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// By the order of their topics; possibly none although there is a next page.
    pub found: Vec<T>,
    /// `None` after the last page.
    pub next: Option<Cursor>,
}

/// How many leaps a page may take for each thing it may hold: this bounds the time under the lock
/// when a filter has much to pass by.
const LEAPS_PER_FOUND: usize = 4;
/// So that a page of one gets somewhere.
const LEAPS_MIN: usize = 64;

impl<T: Clone> RetainedIndex<T> {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { topics: RwLock::new(BTreeMap::new()) }
    }

    /// What stood there before.
    pub fn insert(&self, topic: &str, thing: T) -> Option<T> {
        self.topics.write().insert(topic.into(), thing)
    }

    /// What stood there.
    pub fn remove(&self, topic: &str) -> Option<T> {
        self.topics.write().remove(topic)
    }

    /// Takes away what a topic has, if it is what is meant: another may stand there meanwhile.
    pub fn remove_if(&self, topic: &str, is_meant: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut topics = self.topics.write();
        if topics.get(topic).is_some_and(is_meant) { topics.remove(topic) } else { None }
    }

    /// What stands there.
    #[must_use]
    pub fn get(&self, topic: &str) -> Option<T> {
        self.topics.read().get(topic).cloned()
    }

    /// How many topics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.read().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.read().is_empty()
    }

    /// Up to `limit` things whose topics match a valid topic filter (without prefixes), from the
    /// first on or from where the last page ended.
    ///
    /// A topic that stands all the time is on exactly one page, whatever changes between them.
    #[must_use]
    pub fn matching(&self, topic_filter: &str, after: Option<&Cursor>, limit: usize) -> Page<T> {
        let limit = limit.max(1);
        let mut leaps = limit.saturating_mul(LEAPS_PER_FOUND).max(LEAPS_MIN);
        let mut found = Vec::new();
        let mut from = after.map_or_else(|| leap::first(topic_filter), |Cursor(from)| from.clone());
        let topics = self.topics.read();
        let range = |from: &str| topics.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        let mut ahead = range(&from);
        while let Some((topic, thing)) = ahead.next() {
            if found.len() == limit || leaps == 0 {
                return Page { found, next: Some(Cursor(topic.clone())) };
            }
            match step(topic_filter, topic) {
                Step::Match => found.push(thing.clone()),
                Step::Next => leaps -= 1,
                Step::Leap(to) => {
                    leaps -= 1;
                    from = to.into();
                    ahead = range(&from);
                }
                Step::End => break,
            }
        }
        Page { found, next: None }
    }
}

impl<T: Clone> Default for RetainedIndex<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
