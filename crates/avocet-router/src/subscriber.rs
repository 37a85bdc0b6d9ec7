//! Who subscribes, and on which terms.

use avocet_mqtt::{SubscriptionIdentifier, SubscriptionOptions};

/// A number that names a subscriber for as long as the router knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberId(pub u64);

/// A handle to whoever receives; the router stores it, hands out clones and asks only for its id.
pub trait Subscriber: Clone {
    /// The same for every clone.
    fn id(&self) -> SubscriberId;
}

/// What a SUBSCRIBE said beside the filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// How to deliver.
    pub options: SubscriptionOptions,
    /// To come back on every message the subscription brings.
    pub identifier: Option<SubscriptionIdentifier>,
}
