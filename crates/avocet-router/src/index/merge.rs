//! From the subscriptions that matched to one destination for each receiver.

use std::sync::Arc;

use avocet_mqtt::QoS;
use smallvec::SmallVec;

use super::Overlap;
use super::slot::Slot;
use super::terminal::Terminal;
use crate::destination::{Destination, Destinations, Own, Terms};
use crate::filter::Marks;
use crate::group::Group;
use crate::subscriber::{Subscriber, SubscriberId};

/// What matched so far, from whichever bucket.
#[derive(Debug)]
pub(crate) struct Matched<S> {
    plain: Vec<(SubscriberId, Slot<S>)>,
    fastlane: Vec<(SubscriberId, Slot<S>)>,
    groups: Vec<Arc<Group<S>>>,
}

impl<S: Subscriber> Matched<S> {
    pub(crate) fn new() -> Self {
        Self { plain: Vec::new(), fastlane: Vec::new(), groups: Vec::new() }
    }

    pub(crate) fn add(&mut self, terminal: &Terminal<S>) {
        terminal.for_each(|slot| {
            let fastlane = slot.marks().has(Marks::FASTLANE);
            let list = if fastlane { &mut self.fastlane } else { &mut self.plain };
            list.push((slot.subscriber.id(), slot.clone()));
        });
        self.groups.extend(terminal.groups().iter().cloned());
    }

    pub(crate) fn merge(self, overlap: Overlap) -> Destinations<S> {
        Destinations {
            plain: destinations(self.plain, overlap),
            fastlane: destinations(self.fastlane, overlap),
            groups: self.groups.into(),
        }
    }
}

fn destinations<S: Subscriber>(
    mut slots: Vec<(SubscriberId, Slot<S>)>,
    overlap: Overlap,
) -> Box<[Destination<S>]> {
    slots.sort_unstable_by_key(|(id, slot)| (*id, slot.identifier));
    let mut found: Vec<Destination<S>> = Vec::with_capacity(slots.len());
    let mut slots = slots.into_iter().peekable();
    let mut overlapping: SmallVec<[Slot<S>; 4]> = SmallVec::new();
    while let Some((id, slot)) = slots.next() {
        overlapping.push(slot);
        let more = slots.peek().is_some_and(|(next, _)| *next == id);
        if !more || overlap == Overlap::PerSubscription {
            found.extend(destination(id, &mut overlapping));
        }
    }
    found.into()
}

/// [MQTT3-3.3.5-1] [MQTT5-3.3.4-2]
fn destination<S: Subscriber>(
    id: SubscriberId,
    slots: &mut SmallVec<[Slot<S>; 4]>,
) -> Option<Destination<S>> {
    let foreign = slots.iter().filter(|slot| !slot.no_local()).count();
    // [MQTT5-3.8.3-3]
    let own = if foreign == slots.len() {
        Own::All
    } else if foreign == 0 {
        Own::None
    } else {
        Own::Merged(Box::new(terms(slots.iter().filter(|slot| !slot.no_local()))))
    };
    let terms = terms(slots.iter());
    let subscriber = slots.drain(..).next()?.subscriber;
    Some(Destination { subscriber, terms, own, id })
}

fn terms<'a, S: Subscriber + 'a>(slots: impl Iterator<Item = &'a Slot<S>>) -> Terms {
    let mut qos = QoS::AtMostOnce;
    let mut retain_as_published = false;
    let mut identifiers = Vec::new();
    for slot in slots {
        qos = qos.max(slot.qos);
        retain_as_published |= slot.retain_as_published();
        // Equal ones are all sent: section 3.3.4 wants one for each subscription.
        // [MQTT5-3.3.4-3] [MQTT5-3.3.4-4] [MQTT5-3.3.4-5]
        identifiers.extend(slot.identifier);
    }
    Terms { qos, retain_as_published, identifiers: identifiers.into() }
}
