//! Who holds an `$exclusive/` subscription.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::Mutex;

use crate::subscriber::SubscriberId;

/// One holder a topic at a time. The claim is on the text behind the prefix, letter by letter: a
/// wildcard there, which is allowed, is not compared with other claims.
#[derive(Debug, Default)]
pub struct ExclusiveClaims {
    holders: Mutex<HashMap<Box<str>, SubscriberId>>,
}

impl ExclusiveClaims {
    /// Nobody holds anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `id` holds the topic after this, because it was free or its own already.
    pub fn claim(&self, topic: &str, id: SubscriberId) -> bool {
        match self.holders.lock().entry(topic.into()) {
            Entry::Occupied(held) => *held.get() == id,
            Entry::Vacant(free) => {
                free.insert(id);
                true
            }
        }
    }

    /// Gives the topic back; false if `id` did not hold it.
    pub fn release(&self, topic: &str, id: SubscriberId) -> bool {
        let mut holders = self.holders.lock();
        let held = holders.get(topic) == Some(&id);
        if held {
            holders.remove(topic);
        }
        held
    }

    /// Who holds the topic.
    #[must_use]
    pub fn holder(&self, topic: &str) -> Option<SubscriberId> {
        self.holders.lock().get(topic).copied()
    }
}

#[cfg(test)]
mod tests;
