//! What a look-up answers.

use std::sync::Arc;

use avocet_mqtt::{QoS, SubscriptionIdentifier};

use crate::group::Group;
use crate::subscriber::SubscriberId;

/// Everyone who is to get messages of one topic.
#[derive(Debug)]
pub struct Destinations<S> {
    /// The sessions.
    pub plain: Box<[Destination<S>]>,
    /// The connections that asked for `$fastlane/`; their QoS is 0.
    pub fastlane: Box<[Destination<S>]>,
    /// The shared subscriptions, each to give the message to one member.
    pub groups: Box<[Arc<Group<S>>]>,
}

impl<S> Destinations<S> {
    /// Whether nobody gets it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.fastlane.is_empty() && self.groups.is_empty()
    }
}

impl<S> Default for Destinations<S> {
    fn default() -> Self {
        Self { plain: Box::default(), fastlane: Box::default(), groups: Box::default() }
    }
}

/// One receiver, whatever number of its subscriptions match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination<S> {
    /// The receiver.
    pub subscriber: S,
    /// How to deliver what somebody else published.
    pub terms: Terms,
    /// How to deliver what the receiver published itself.
    pub own: Own,
    pub(crate) id: SubscriberId,
}

/// How one message is delivered to one receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The highest that a matching subscription was granted.
    pub qos: QoS,
    /// Leave RETAIN as it came, because at least one subscription asked so.
    pub retain_as_published: bool,
    /// Of all matching subscriptions that have one.
    pub identifiers: Box<[SubscriptionIdentifier]>,
}

/// What No Local leaves of the terms for the receiver's own messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// The same terms: no subscription has No Local.
    All,
    /// No delivery: every subscription has it.
    None,
    /// The terms of those subscriptions that do not have it.
    Merged(Box<Terms>),
}

impl<S> Destination<S> {
    /// The receiver's id.
    #[must_use]
    pub fn id(&self) -> SubscriberId {
        self.id
    }

    /// How to deliver a message of this publisher, `None` being one that is no subscriber; or not
    /// at all.
    #[must_use]
    pub fn for_publisher(&self, publisher: Option<SubscriberId>) -> Option<&Terms> {
        if publisher != Some(self.id) {
            return Some(&self.terms);
        }
        // [MQTT5-3.8.3-3]
        match &self.own {
            Own::All => Some(&self.terms),
            Own::None => None,
            Own::Merged(terms) => Some(terms),
        }
    }
}
