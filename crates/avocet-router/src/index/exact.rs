//! Filters without a wildcard: one hash of the whole topic.

use super::interner::Interner;
use super::terminal::Terminal;
use crate::subscriber::Subscriber;

/// Topics by text; `terminals` is parallel to the numbers the interner gives out.
#[derive(Debug)]
pub(crate) struct Exact<S> {
    topics: Interner,
    terminals: Vec<Terminal<S>>,
}

impl<S: Subscriber> Exact<S> {
    pub(crate) fn new() -> Self {
        Self { topics: Interner::default(), terminals: Vec::new() }
    }

    pub(crate) fn find(&self, topic: &str, hash: u64) -> Option<&Terminal<S>> {
        let id = self.topics.find(topic.as_bytes(), hash)?;
        self.terminals.get(id as usize)
    }

    pub(crate) fn find_mut(&mut self, topic: &str, hash: u64) -> Option<&mut Terminal<S>> {
        let id = self.topics.find(topic.as_bytes(), hash)?;
        self.terminals.get_mut(id as usize)
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
        } as usize;
        if id >= self.terminals.len() {
            super::interner::push_tightly(&mut self.terminals, Terminal::Empty);
        }
        &mut self.terminals[id]
    }

    /// Forgets the topic, whose terminal is empty.
    pub(crate) fn remove(&mut self, topic: &str, hash: u64, rehash: impl Fn(&[u8]) -> u64) {
        if let Some(id) = self.topics.find(topic.as_bytes(), hash) {
            self.terminals[id as usize] = Terminal::Empty;
            self.topics.release(id, rehash);
        }
        if self.topics.is_empty() {
            self.terminals = Vec::new();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }
}
