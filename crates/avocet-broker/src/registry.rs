//! Client identifier to mailbox, for the sessions of this node.

use std::{hash::BuildHasher, sync::Arc};

use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::Mutex;

use crate::mailbox::Mailbox;

/// Parts with a lock of their own.
const PARTS: usize = 64;

/// All sessions, by their client's identifier.
#[derive(Debug)]
pub(crate) struct Registry {
    hasher: DefaultHashBuilder,
    // [MQTT3-3.1.3-2] [MQTT5-3.1.3-2]
    parts: Vec<Mutex<HashMap<Arc<str>, Mailbox>>>,
}

impl Default for Registry {
    fn default() -> Self {
        let parts = (0..PARTS).map(|_| Mutex::new(HashMap::new())).collect();
        Self { hasher: DefaultHashBuilder::default(), parts }
    }
}

impl Registry {
    fn part(&self, client_id: &str) -> &Mutex<HashMap<Arc<str>, Mailbox>> {
        let hash = self.hasher.hash_one(client_id);
        &self.parts[(hash as usize) % PARTS]
    }

    pub(crate) fn get(&self, client_id: &str) -> Option<Mailbox> {
        self.part(client_id).lock().get(client_id).cloned()
    }

    /// Enters a mailbox unless there is one.
    pub(crate) fn insert_new(&self, mailbox: Mailbox) -> Result<(), Mailbox> {
        let client_id = Arc::clone(mailbox.client_id());
        match self.part(&client_id).lock().entry(client_id) {
            hashbrown::hash_map::Entry::Occupied(entry) => Err(entry.get().clone()),
            hashbrown::hash_map::Entry::Vacant(entry) => {
                entry.insert(mailbox);
                Ok(())
            }
        }
    }

    /// Removes this very mailbox, not one that has taken its place.
    pub(crate) fn remove(&self, mailbox: &Mailbox) {
        let mut part = self.part(mailbox.client_id()).lock();
        if part.get(mailbox.client_id()).is_some_and(|held| held.is(mailbox)) {
            part.remove(mailbox.client_id());
        }
    }

    /// All mailboxes, as of some moment during the call.
    pub(crate) fn all(&self) -> Vec<Mailbox> {
        self.parts
            .iter()
            .flat_map(|part| part.lock().values().cloned().collect::<Vec<_>>())
            .collect()
    }
}
