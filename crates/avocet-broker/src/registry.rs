//! Client identifier to mailbox, for the sessions of this node.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};
use parking_lot::Mutex;

use crate::mailbox::Mailbox;

/// Parts with a lock of their own.
const PARTS: usize = 64;

/// All sessions, by their client's identifier, which each mailbox knows.
#[derive(Debug)]
pub(crate) struct Registry {
    hasher: DefaultHashBuilder,
    // [MQTT3-3.1.3-2] [MQTT5-3.1.3-2]
    parts: Vec<Mutex<HashTable<Mailbox>>>,
}

impl Default for Registry {
    fn default() -> Self {
        let parts = (0..PARTS).map(|_| Mutex::new(HashTable::new())).collect();
        Self { hasher: DefaultHashBuilder::default(), parts }
    }
}

impl Registry {
    fn hash(&self, client_id: &str) -> u64 {
        self.hasher.hash_one(client_id)
    }

    fn part(&self, hash: u64) -> &Mutex<HashTable<Mailbox>> {
        // Neither the lowest bits nor the highest: these are what a table goes by.
        &self.parts[(hash >> 32) as usize % PARTS]
    }

    pub(crate) fn get(&self, client_id: &str) -> Option<Mailbox> {
        let hash = self.hash(client_id);
        let part = self.part(hash).lock();
        part.find(hash, |held| **held.client_id() == *client_id).cloned()
    }

    /// Enters a mailbox unless there is one.
    pub(crate) fn insert_new(&self, mailbox: Mailbox) -> Result<(), Mailbox> {
        let hash = self.hash(mailbox.client_id());
        let is_its = |held: &Mailbox| held.client_id() == mailbox.client_id();
        let hash_of = |held: &Mailbox| self.hash(held.client_id());
        match self.part(hash).lock().entry(hash, is_its, hash_of) {
            Entry::Occupied(entry) => Err(entry.get().clone()),
            Entry::Vacant(entry) => {
                entry.insert(mailbox.clone());
                Ok(())
            }
        }
    }

    /// Removes this very mailbox, not one that has taken its place.
    pub(crate) fn remove(&self, mailbox: &Mailbox) {
        let hash = self.hash(mailbox.client_id());
        let mut part = self.part(hash).lock();
        if let Ok(entry) = part.find_entry(hash, |held| held.is(mailbox)) {
            let removed = entry.remove().0;
            drop(part);
            drop(removed);
        }
    }

    /// All mailboxes, as of some moment during the call.
    pub(crate) fn all(&self) -> Vec<Mailbox> {
        self.parts.iter().flat_map(|part| part.lock().iter().cloned().collect::<Vec<_>>()).collect()
    }
}
