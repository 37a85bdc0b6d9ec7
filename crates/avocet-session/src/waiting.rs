//! A message on its way to one client that is not sent, or not acknowledged.

use std::sync::Arc;

use avocet_mqtt::{ApplicationMessage, QoS, SubscriptionIdentifier};

use crate::{Place, Terms};

/// A message with all that is needed to send it to this client.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) message: Arc<ApplicationMessage>,
    /// The quality of this hop.
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// What few messages have.
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Debug, Default)]
struct Rare {
    identifiers: Box<[SubscriptionIdentifier]>,
    shared: Option<Arc<str>>,
    place: Option<Place>,
}

impl Waiting {
    /// A message that one client is to have under these terms, with this QoS and RETAIN flag.
    pub(crate) fn new(
        message: Arc<ApplicationMessage>,
        qos: QoS,
        retain: bool,
        terms: &Terms<'_>,
    ) -> Self {
        let rare = !terms.identifiers.is_empty() || terms.shared.is_some();
        let rare = rare.then(|| {
            let identifiers = Box::from(terms.identifiers);
            Box::new(Rare { identifiers, shared: terms.shared.cloned(), place: None })
        });
        Self { message, qos, retain, rare }
    }

    /// A message that nothing is special about.
    pub(crate) fn plain(message: Arc<ApplicationMessage>, qos: QoS) -> Self {
        Self { message, qos, retain: false, rare: None }
    }

    /// Of the subscriptions that brought it.
    pub(crate) fn identifiers(&self) -> &[SubscriptionIdentifier] {
        self.rare.as_ref().map_or(&[], |rare| &rare.identifiers)
    }

    /// The same, that waits at this place in the store.
    pub(crate) fn at(mut self, place: Place) -> Self {
        self.rare.get_or_insert_default().place = Some(place);
        self
    }

    /// Where the store has it, if it does.
    #[inline]
    pub(crate) fn place(&self) -> Option<Place> {
        self.rare.as_ref()?.place
    }

    /// The shared subscription that brought it.
    pub(crate) fn shared(&self) -> Option<&Arc<str>> {
        self.rare.as_ref()?.shared.as_ref()
    }
}
