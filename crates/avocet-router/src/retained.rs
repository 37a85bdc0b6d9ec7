//! Topics found by a filter.
//!
//! The topics lie in one ordered map. Levels that share a prefix lie together in it, so a filter is
//! answered by leaping from one place where a match can be to the next: each leap costs what a
//! step through a trie would, and the order of the map makes pages that need no snapshot.
//!
//! A filter that names a level behind a wildcard may have to leap over much that does not match.
//! If few topics have that level, they are looked through instead (`levels.rs`), in the same order.

mod leap;
mod levels;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;

use self::leap::{Step, step};
use self::levels::Levels;

/// For each topic one thing, such as its retained message.
#[derive(Debug)]
pub struct RetainedIndex<T> {
    shelf: RwLock<Shelf<T>>,
}

#[derive(Debug)]
struct Shelf<T> {
    topics: BTreeMap<Arc<str>, T>,
    levels: Levels,
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

/// How much a page may pass by for each thing it may hold: this bounds the time under the lock.
const MISSES_PER_FOUND: usize = 4;
/// So that a page of one gets somewhere.
const MISSES_MIN: usize = 64;

impl<T: Clone> RetainedIndex<T> {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        let (topics, levels) = (BTreeMap::new(), Levels::new());
        Self { shelf: RwLock::new(Shelf { topics, levels }) }
    }

    /// What stood there before.
    pub fn insert(&self, topic: &str, thing: T) -> Option<T> {
        let mut shelf = self.shelf.write();
        let Shelf { topics, levels } = &mut *shelf;
        // To go down the tree twice would cost more than a text that is dropped again.
        match topics.entry(topic.into()) {
            Entry::Occupied(mut held) => Some(held.insert(thing)),
            Entry::Vacant(free) => {
                levels.insert(free.key());
                free.insert(thing);
                None
            }
        }
    }

    /// What stood there.
    pub fn remove(&self, topic: &str) -> Option<T> {
        self.shelf.write().remove(topic)
    }

    /// Takes away what a topic has, if it is what is meant: another may stand there meanwhile.
    pub fn remove_if(&self, topic: &str, is_meant: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut shelf = self.shelf.write();
        if shelf.topics.get(topic).is_some_and(is_meant) { shelf.remove(topic) } else { None }
    }

    /// What stands there.
    #[must_use]
    pub fn get(&self, topic: &str) -> Option<T> {
        self.shelf.read().topics.get(topic).cloned()
    }

    /// How many topics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shelf.read().topics.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `limit` things whose topics match a valid topic filter (without prefixes), from the
    /// first on or from where the last page ended.
    ///
    /// A topic that stands all the time is on exactly one page, whatever changes between them.
    #[must_use]
    pub fn matching(&self, topic_filter: &str, after: Option<&Cursor>, limit: usize) -> Page<T> {
        let limit = limit.max(1);
        let from = after.map_or_else(|| leap::first(topic_filter), |Cursor(from)| from.clone());
        self.shelf.read().matching(topic_filter, from, limit)
    }
}

impl<T: Clone> Shelf<T> {
    fn remove(&mut self, topic: &str) -> Option<T> {
        let (topic, removed) = self.topics.remove_entry(topic)?;
        self.levels.remove(&topic);
        Some(removed)
    }

    fn matching(&self, topic_filter: &str, from: Box<str>, limit: usize) -> Page<T> {
        let misses = limit.saturating_mul(MISSES_PER_FOUND).max(MISSES_MIN);
        match self.levels.rarest(topic_filter) {
            Some(few) => self.matching_of(few, topic_filter, &from, limit),
            None => self.matching_of_all(topic_filter, from, limit, misses),
        }
    }

    /// They are few: all of them are looked at for each page.
    fn matching_of(
        &self,
        few: &[Arc<str>],
        topic_filter: &str,
        from: &str,
        limit: usize,
    ) -> Page<T> {
        let is_wanted =
            |topic: &&Arc<str>| ***topic >= *from && leap::is_match(topic_filter, topic);
        let mut matching: Vec<_> = few.iter().filter(is_wanted).collect();
        matching.sort_unstable();
        let next = matching.get(limit).map(|topic| Cursor::at(topic));
        let found = matching.into_iter().take(limit);
        Page { found: found.filter_map(|topic| self.topics.get(topic).cloned()).collect(), next }
    }

    fn matching_of_all(
        &self,
        topic_filter: &str,
        mut from: Box<str>,
        limit: usize,
        mut misses: usize,
    ) -> Page<T> {
        let mut found = Vec::new();
        let range =
            |from: &str| self.topics.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        let mut ahead = range(&from);
        while let Some((topic, thing)) = ahead.next() {
            if found.len() == limit || misses == 0 {
                return Page { found, next: Some(Cursor::at(topic)) };
            }
            match step(topic_filter, topic) {
                Step::Match => found.push(thing.clone()),
                Step::Next => misses -= 1,
                Step::Leap(to) => {
                    misses -= 1;
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
