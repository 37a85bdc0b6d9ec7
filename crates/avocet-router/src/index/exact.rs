//! Filters without a wildcard: one hash of the whole topic.

use super::table::{Hashed, Place, Table};
use super::terminal::Terminal;
use super::texts::{Owner, Text, Texts};
use crate::subscriber::Subscriber;

/// Topics by text.
#[derive(Debug)]
pub(crate) struct Exact<S> {
    topics: Table<Topic<S>>,
    texts: Texts,
}

/// Half a cache line.
#[derive(Debug)]
struct Topic<S> {
    hash: u32,
    text: Text,
    terminal: Terminal<S>,
}

const _: () = assert!(size_of::<Option<Topic<std::sync::Arc<()>>>>() == 32);

impl<S: Subscriber> Exact<S> {
    pub(crate) fn new() -> Self {
        Self { topics: Table::default(), texts: Texts::default() }
    }

    #[inline]
    pub(crate) fn find(&self, topic: &str, hash: u64) -> Option<&Terminal<S>> {
        let is_it = |held: &Topic<S>| self.texts.get(held.text) == topic.as_bytes();
        Some(&self.topics.find(short(hash), is_it)?.terminal)
    }

    pub(crate) fn find_mut(&mut self, topic: &str, hash: u64) -> Option<&mut Terminal<S>> {
        let place = self.locate(topic, short(hash))?;
        Some(&mut self.topics[place].terminal)
    }

    /// The topic's terminal, empty if the topic is new.
    pub(crate) fn insert(&mut self, topic: &str, hash: u64) -> &mut Terminal<S> {
        let hash = short(hash);
        let place = match self.locate(topic, hash) {
            Some(place) => place,
            None => {
                let text = self.texts.write(hash, topic.as_bytes());
                self.topics.insert(Topic { hash, text, terminal: Terminal::Empty })
            }
        };
        &mut self.topics[place].terminal
    }

    /// Forgets the topic, whose terminal is empty.
    pub(crate) fn remove(&mut self, topic: &str, hash: u64) {
        let Self { topics, texts } = self;
        let is_it = |held: &Topic<S>| texts.get(held.text) == topic.as_bytes();
        if let Some(removed) = topics.remove(short(hash), is_it) {
            texts.release(removed.text, topics);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    fn locate(&self, topic: &str, hash: u32) -> Option<Place> {
        self.topics.locate(hash, |held| self.texts.get(held.text) == topic.as_bytes())
    }
}

impl<S> Hashed for Topic<S> {
    #[inline]
    fn hash(&self) -> u32 {
        self.hash
    }
}

impl<S> Owner for Topic<S> {
    fn text_mut(&mut self) -> Option<&mut Text> {
        Some(&mut self.text)
    }

    fn has(&self, text: Text) -> bool {
        self.text == text
    }
}

/// The higher half chose the bucket.
fn short(hash: u64) -> u32 {
    hash as u32
}
