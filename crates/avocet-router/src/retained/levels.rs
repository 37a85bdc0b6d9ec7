//! Topics by a level of theirs.
//!
//! `+/+/x` has to look below every pair of levels, if the order of topics is all there is. Few
//! topics have an `x` there, so they are found by it. A level that many topics share tells nothing
//! and is only counted.

use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::index::Hashing;

/// For each level at its depth the topics that have it there, while they are few.
#[derive(Debug)]
pub(super) struct Levels {
    hashing: Hashing,
    /// Parts, so that none of them takes long to grow.
    parts: Box<[HashTable<Level>]>,
    /// Up to how many topics are listed.
    pub(super) few_max: usize,
}

/// Two levels whose hashes are equal are one: who looks topics up compares them anyway.
#[derive(Debug)]
struct Level {
    hash: u64,
    topics: Topics,
}

#[derive(Debug)]
enum Topics {
    One(Arc<str>),
    /// In no order: to keep one would compare texts all over the memory.
    Few(Vec<Arc<str>>),
    /// So many.
    Many(usize),
}

/// Topics that share a level, up to which they are listed: so many each page of a filter looks at.
const FEW_MAX: usize = 512;
/// Levels of a topic that can be asked for, the first apart, behind which no wildcard can be.
const DEPTH_MAX: usize = 16;
const PARTS: usize = 256;

impl Levels {
    pub(super) fn new() -> Self {
        let parts = (0..PARTS).map(|_| HashTable::new()).collect();
        Self { hashing: Hashing::default(), parts, few_max: FEW_MAX }
    }

    /// The topic is new.
    pub(super) fn insert(&mut self, topic: &Arc<str>) {
        let few_max = self.few_max;
        for (depth, text) in levels(topic) {
            let hash = self.hash(depth, text);
            match self.part(hash).entry(hash, |level| level.hash == hash, |level| level.hash) {
                Entry::Occupied(mut level) => level.get_mut().topics.insert(topic, few_max),
                Entry::Vacant(free) => {
                    free.insert(Level { hash, topics: Topics::One(Arc::clone(topic)) });
                }
            }
        }
    }

    /// The topic was there.
    pub(super) fn remove(&mut self, topic: &Arc<str>) {
        for (depth, text) in levels(topic) {
            let hash = self.hash(depth, text);
            let part = self.part(hash);
            let Ok(mut level) = part.find_entry(hash, |level| level.hash == hash) else { continue };
            if level.get_mut().topics.remove(topic) {
                level.remove();
                if part.len() < part.capacity() / 8 {
                    part.shrink_to(part.len() * 2, |level| level.hash);
                }
            }
        }
    }

    /// The topics that can match the filter, and others, in no order: those that have the rarest of
    /// the levels that the filter names behind a wildcard. `None` if that does not make them few.
    pub(super) fn rarest(&self, filter: &str) -> Option<&[Arc<str>]> {
        let wildcard = filter.split('/').position(|level| level == "+")?;
        let named = levels(filter).filter(|(depth, _)| *depth > wildcard);
        let named = named.filter(|(_, text)| !matches!(*text, "+" | "#"));
        let lists = named.filter_map(|(depth, text)| {
            let hash = self.hash(depth, text);
            match self.parts[place(hash)].find(hash, |level| level.hash == hash) {
                None => Some(&[][..]),
                Some(level) => level.topics.list(),
            }
        });
        lists.min_by_key(|list| list.len())
    }

    fn hash(&self, depth: usize, text: &str) -> u64 {
        let hash = self.hashing.text(text.as_bytes());
        crate::group::spread(hash.wrapping_add(depth as u64))
    }

    fn part(&mut self, hash: u64) -> &mut HashTable<Level> {
        &mut self.parts[place(hash)]
    }
}

/// The hash table takes the other bits.
fn place(hash: u64) -> usize {
    (hash >> 32) as usize % PARTS
}

fn levels(topic: &str) -> impl Iterator<Item = (usize, &str)> {
    topic.split('/').enumerate().take(DEPTH_MAX).skip(1)
}

impl Topics {
    fn list(&self) -> Option<&[Arc<str>]> {
        match self {
            Self::One(topic) => Some(std::slice::from_ref(topic)),
            Self::Few(topics) => Some(topics),
            Self::Many(_) => None,
        }
    }

    fn insert(&mut self, topic: &Arc<str>, few_max: usize) {
        match self {
            Self::One(one) => *self = Self::Few(vec![Arc::clone(one), Arc::clone(topic)]),
            Self::Few(topics) if topics.len() < few_max => topics.push(Arc::clone(topic)),
            Self::Few(topics) => *self = Self::Many(topics.len() + 1),
            Self::Many(count) => *count += 1,
        }
    }

    /// Whether it was the last.
    fn remove(&mut self, topic: &Arc<str>) -> bool {
        match self {
            Self::One(_) => true,
            Self::Few(topics) => {
                if let Some(at) = topics.iter().position(|held| Arc::ptr_eq(held, topic)) {
                    topics.swap_remove(at);
                }
                if topics.len() < topics.capacity() / 4 {
                    topics.shrink_to(topics.len() * 2);
                }
                topics.is_empty()
            }
            Self::Many(count) => {
                *count -= 1;
                *count == 0
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Few(topics) => topics.len(),
            Self::Many(count) => *count,
        }
    }
}

#[cfg(test)]
mod tests;
