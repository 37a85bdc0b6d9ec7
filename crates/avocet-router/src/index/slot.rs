//! One subscription as it is stored: 16 bytes when the handle has 8.

use avocet_mqtt::{QoS, SubscriptionIdentifier, SubscriptionOptions};

use crate::filter::Marks;
use crate::subscriber::{Entry, Subscriber, SubscriberId};

/// Who, on which terms.
#[derive(Clone, Debug)]
pub(crate) struct Slot<S> {
    pub(crate) subscriber: S,
    pub(crate) identifier: Option<SubscriptionIdentifier>,
    /// An enum of its own, for its unused values tell the variants of `Terminal` apart.
    pub(crate) qos: QoS,
    marks: Marks,
    /// From bit 0: No Local, Retain As Published, Retain Handling (2).
    bits: u8,
}

const NO_LOCAL: u8 = 1;
const RETAIN_AS_PUBLISHED: u8 = 1 << 1;
const RETAIN_HANDLING: u8 = 2;

impl<S: Subscriber> Slot<S> {
    pub(crate) fn new(subscriber: S, marks: Marks, entry: Entry) -> Self {
        let Entry { options, identifier } = entry;
        let SubscriptionOptions { mut qos, no_local, retain_as_published, retain_handling } =
            options;
        if marks.has(Marks::FASTLANE) {
            qos = QoS::AtMostOnce;
        }
        let bits = if no_local { NO_LOCAL } else { 0 }
            | if retain_as_published { RETAIN_AS_PUBLISHED } else { 0 }
            | (retain_handling as u8) << RETAIN_HANDLING;
        Self { subscriber, identifier, qos, marks, bits }
    }

    pub(crate) fn marks(&self) -> Marks {
        self.marks
    }

    pub(crate) fn is(&self, id: SubscriberId, marks: Marks) -> bool {
        self.marks() == marks && self.subscriber.id() == id
    }

    pub(crate) fn no_local(&self) -> bool {
        self.bits & NO_LOCAL != 0
    }

    pub(crate) fn retain_as_published(&self) -> bool {
        self.bits & RETAIN_AS_PUBLISHED != 0
    }
}
