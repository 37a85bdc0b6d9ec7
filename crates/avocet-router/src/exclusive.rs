//! Who holds an `$exclusive/` subscription.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::Mutex;

use crate::filter::{Filter, Marks};
use crate::subscriber::SubscriberId;

/// One holder a topic at a time. The claim is on the text behind the prefixes, letter by letter: a
/// wildcard there, which is allowed, is not compared with other claims.
#[derive(Debug, Default)]
pub struct ExclusiveClaims {
    holders: Mutex<HashMap<Box<str>, Holder>>,
}

/// Who holds a topic, and by which of its subscriptions: the prefixes may stand with others, and in
/// any order.
#[derive(Debug)]
struct Holder {
    id: SubscriberId,
    by: Vec<Marks>,
}

impl ExclusiveClaims {
    /// Nobody holds anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `id` holds the filter's topic after this, because it was free or its own already.
    pub fn claim(&self, filter: &Filter, id: SubscriberId) -> bool {
        let marks = filter.marks();
        match self.holders.lock().entry(filter.topic_filter().into()) {
            Entry::Occupied(mut held) => {
                let Holder { id: holder, by } = held.get_mut();
                if *holder == id && !by.contains(&marks) {
                    by.push(marks);
                }
                *holder == id
            }
            Entry::Vacant(free) => {
                free.insert(Holder { id, by: vec![marks] });
                true
            }
        }
    }

    /// Takes this subscription away from the claim, and gives the topic back with the last of them;
    /// false if `id` did not hold the topic by it.
    pub fn release(&self, filter: &Filter, id: SubscriberId) -> bool {
        let topic = filter.topic_filter();
        let mut holders = self.holders.lock();
        let Some(holder) = holders.get_mut(topic).filter(|holder| holder.id == id) else {
            return false;
        };
        let Some(index) = holder.by.iter().position(|marks| *marks == filter.marks()) else {
            return false;
        };
        holder.by.swap_remove(index);
        if holder.by.is_empty() {
            holders.remove(topic);
        }
        true
    }

    /// Who holds the topic.
    #[must_use]
    pub fn holder(&self, topic: &str) -> Option<SubscriberId> {
        self.holders.lock().get(topic).map(|holder| holder.id)
    }
}

#[cfg(test)]
mod tests;
