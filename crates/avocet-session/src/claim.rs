//! A right to a message that waits in the store, as it is handed to the store and read from it.

use std::sync::Arc;

use avocet_mqtt::{ApplicationMessage, QoS, SubscriptionIdentifier};

use crate::{Terms, waiting::Waiting};

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
