//! Filters without a wildcard: one hash of the whole topic.

use super::chunks::Chunks;
use super::interner::Interner;
use super::terminal::Terminal;
use crate::subscriber::Subscriber;

/// Topics by text; `terminals` is parallel to the numbers the interner gives out.
#[derive(Debug)]
pub(crate) struct Exact<S> {
    topics: Interner,
    terminals: Chunks<Terminal<S>>,
}

impl<S: Subscriber> Exact<S> {
    pub(crate) fn new() -> Self {
        Self { topics: Interner::default(), terminals: Chunks::default() }
    }

    pub(crate) fn find(&self, topic: &str, hash: u64) -> Option<&Terminal<S>> {
        let id = self.topics.find(topic.as_bytes(), hash)?;
        self.terminals.get(id)
    }

    pub(crate) fn find_mut(&mut self, topic: &str, hash: u64) -> Option<&mut Terminal<S>> {
        let id = self.topics.find(topic.as_bytes(), hash)?;
        self.terminals.get_mut(id)
    }

    /// The topic's terminal, empty if the topic is new.
    pub(crate) fn insert(
        &mut self,
        topic: &str,
        hash: u64,
        rehash: impl Fn(&[u8]) -> u64,
    ) -> &mut Terminal<S> {
        let id = match self.topics.find(topic.as_bytes(), hash) {
            Some(id) => id,
            None => self.topics.intern(topic.as_bytes(), hash, rehash),
        };
        if id as usize == self.terminals.len() {
            self.terminals.push(Terminal::Empty);
        }
        &mut self.terminals[id]
    }

    /// Forgets the topic, whose terminal is empty.
    pub(crate) fn remove(&mut self, topic: &str, hash: u64, rehash: impl Fn(&[u8]) -> u64) {
        if let Some(id) = self.topics.find(topic.as_bytes(), hash) {
            self.terminals[id] = Terminal::Empty;
            self.topics.release(id, rehash);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }
}
