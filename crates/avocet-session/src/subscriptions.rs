//! What a session subscribes to, by the filter as the broker knows it: as it was sent, or mounted.

use avocet_mqtt::{SubscriptionIdentifier, SubscriptionOptions};
use hashbrown::HashMap;

/// Most sessions have a handful: below this many they are a list.
const FEW: usize = 16;

/// How a filter is subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) options: SubscriptionOptions,
    pub(crate) identifier: Option<SubscriptionIdentifier>,
}

/// The subscriptions of one session.
#[derive(Debug)]
pub(crate) enum Subscriptions {
    Few(Vec<(Box<str>, Held)>),
    /// Boxed: it is larger, and rare.
    Many(Box<HashMap<Box<str>, Held>>),
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(map) => map.len(),
        }
    }

    pub(crate) fn contains(&self, filter: &str) -> bool {
        self.get(filter).is_some()
    }

    pub(crate) fn get(&self, filter: &str) -> Option<&Held> {
        match self {
            Self::Few(list) => list.iter().find(|(f, _)| **f == *filter).map(|(_, held)| held),
            Self::Many(map) => map.get(filter),
        }
    }

    /// True if the filter was not subscribed before.
    pub(crate) fn insert(&mut self, filter: &str, held: Held) -> bool {
        match self {
            Self::Few(list) => {
                if let Some((_, old)) = list.iter_mut().find(|(f, _)| **f == *filter) {
                    *old = held; // [MQTT3-3.8.4-3] [MQTT5-3.8.4-3]
                    return false;
                }
                if list.len() < FEW {
                    list.reserve_exact(1);
                    list.push((Box::from(filter), held));
                    return true;
                }
                let mut map: Box<HashMap<_, _>> = Box::new(list.drain(..).collect());
                map.insert(Box::from(filter), held);
                *self = Self::Many(map);
                true
            }
            Self::Many(map) => map.insert(Box::from(filter), held).is_none(),
        }
    }

    /// True if it was subscribed.
    pub(crate) fn remove(&mut self, filter: &str) -> bool {
        match self {
            Self::Few(list) => match list.iter().position(|(f, _)| **f == *filter) {
                Some(index) => {
                    list.remove(index);
                    true
                }
                None => false,
            },
            Self::Many(map) => map.remove(filter).is_some(),
        }
    }

    /// All of them, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Held)> {
        let (few, many) = match self {
            Self::Few(list) => (Some(list.iter().map(|(f, h)| (&**f, h))), None),
            Self::Many(map) => (None, Some(map.iter().map(|(f, h)| (&**f, h)))),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }
}
