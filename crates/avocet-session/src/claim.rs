//! A right to a message that waits in the store, as it is handed to the store and read from it.

use std::sync::Arc;

use avocet_mqtt::{ApplicationMessage, QoS, SubscriptionIdentifier};

use crate::{Place, Terms, waiting::Waiting};

/// A message that a stored session has a right to.
#[derive(Clone, Debug)]
pub struct Claim(pub(crate) Waiting);

impl Claim {
    /// A right that was read from the store.
    #[must_use]
    pub fn new(
        message: Arc<ApplicationMessage>,
        qos: QoS,
        retain: bool,
        identifiers: &[SubscriptionIdentifier],
        shared: Option<&Arc<str>>,
    ) -> Self {
        let retain_as_published = false; // it is said by `retain`
        let (retained, promised) = (false, true);
        let terms = Terms { qos, retain_as_published, identifiers, shared, retained, promised };
        Self(Waiting::new(message, qos, retain, &terms))
    }

    /// What was published.
    #[must_use]
    pub fn message(&self) -> &Arc<ApplicationMessage> {
        &self.0.message
    }

    /// The QoS it is sent with.
    #[must_use]
    pub fn qos(&self) -> QoS {
        self.0.qos
    }

    /// Whether it is sent with RETAIN.
    #[must_use]
    pub fn retain(&self) -> bool {
        self.0.retain
    }

    /// The subscription identifiers that are sent with it.
    #[must_use]
    pub fn identifiers(&self) -> &[SubscriptionIdentifier] {
        self.0.identifiers()
    }

    /// The shared subscription that brought it.
    #[must_use]
    pub fn shared(&self) -> Option<&Arc<str>> {
        self.0.shared()
    }
}

/// Some of what waits for a session, read from the store.
#[derive(Debug, Default)]
pub struct Page {
    /// Messages, in the order of their places.
    pub found: Vec<(Place, Claim)>,
    /// Where messages are that cannot be read.
    pub lost: Vec<Place>,
    /// Whether there are others behind.
    pub has_more: bool,
}

impl Page {
    /// The last place that was read. `None`: there was nothing.
    #[must_use]
    pub fn last(&self) -> Option<Place> {
        let found = self.found.last().map(|(place, _)| *place);
        found.max(self.lost.iter().max().copied())
    }

    /// Where the next one begins, if there is one.
    #[must_use]
    pub fn next(&self) -> Option<Place> {
        self.last().filter(|_| self.has_more).map(|last| Place(last.0 + 1))
    }
}
