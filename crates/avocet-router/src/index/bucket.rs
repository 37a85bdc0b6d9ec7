//! One of the buckets: what kind of index it has depends on its place.

use super::exact::Exact;
use super::route::{EXACT, Route};
use super::terminal::Terminal;
use super::trie::Trie;
use crate::subscriber::Subscriber;

/// The filters of one bucket.
#[derive(Debug)]
pub(super) enum Bucket<S> {
    Exact(Exact<S>),
    Trie(Trie<S>),
}

impl<S: Subscriber> Bucket<S> {
    pub(super) fn new(place: usize) -> Self {
        if place < usize::from(EXACT) { Self::Trie(Trie::new()) } else { Self::Exact(Exact::new()) }
    }

    pub(super) fn find(&self, filter: &Route<'_>) -> Option<&Terminal<S>> {
        match self {
            Self::Exact(exact) => exact.find(filter.text, filter.hash),
            Self::Trie(trie) => trie.find(filter),
        }
    }

    pub(super) fn find_mut(&mut self, filter: &Route<'_>) -> Option<&mut Terminal<S>> {
        match self {
            Self::Exact(exact) => exact.find_mut(filter.text, filter.hash),
            Self::Trie(trie) => trie.find_mut(filter),
        }
    }

    pub(super) fn insert(&mut self, filter: &Route<'_>) -> &mut Terminal<S> {
        match self {
            Self::Exact(exact) => exact.insert(filter.text, filter.hash),
            Self::Trie(trie) => trie.insert(filter),
        }
    }

    /// Forgets the filter, whose terminal is empty. After the last it gives back all that the
    /// bucket held, which may be much, to be dropped outside its lock.
    pub(super) fn remove(&mut self, filter: &Route<'_>) -> Option<Self> {
        let empty = match self {
            Self::Exact(exact) => {
                exact.remove(filter.text, filter.hash);
                exact.is_empty().then(|| Self::Exact(Exact::new()))
            }
            Self::Trie(trie) => {
                trie.remove(filter);
                trie.is_empty().then(|| Self::Trie(Trie::new()))
            }
        };
        empty.map(|empty| std::mem::replace(self, empty))
    }

    pub(super) fn for_each_match(&self, topic: &Route<'_>, mut visit: impl FnMut(&Terminal<S>)) {
        match self {
            Self::Exact(exact) => {
                if let Some(terminal) = exact.find(topic.text, topic.hash) {
                    visit(terminal);
                }
            }
            Self::Trie(trie) => trie.for_each_match(topic, visit),
        }
    }
}
