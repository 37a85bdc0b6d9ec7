//! From the subscriptions that matched to one destination for each receiver.

use std::sync::Arc;

use avocet_mqtt::QoS;
use smallvec::SmallVec;

use super::Overlap;
use super::crowd::{Crowd, Member, Walk};
use super::slot::Slot;
use super::terminal::Terminal;
use crate::destination::{Destination, Destinations, Own, Terms};
use crate::filter::Marks;
use crate::group::Group;
use crate::subscriber::{Subscriber, SubscriberId};

/// A topic is mostly of a few.
type Members<S> = SmallVec<[Member<S>; 4]>;

/// What matched so far, from whichever bucket.
#[derive(Debug)]
pub(crate) struct Matched<S> {
    plain: Members<S>,
    fastlane: Members<S>,
    groups: Vec<Arc<Group<S>>>,
    crowds: Vec<Crowd<S>>,
    crowd_min: usize,
}

impl<S: Subscriber> Matched<S> {
    pub(crate) fn new(crowd_min: usize) -> Self {
        let (plain, fastlane) = (SmallVec::new(), SmallVec::new());
        Self { plain, fastlane, groups: Vec::new(), crowds: Vec::new(), crowd_min }
    }

    pub(crate) fn add(&mut self, terminal: &Terminal<S>) {
        self.groups.extend(terminal.groups().iter().cloned());
        if let Some(crowd) = terminal.crowd().filter(|crowd| crowd.len() >= self.crowd_min) {
            self.crowds.push(crowd.clone());
            return;
        }
        terminal.for_each(|id, slot| {
            let fastlane = slot.marks().has(Marks::FASTLANE);
            let list = if fastlane { &mut self.fastlane } else { &mut self.plain };
            list.push(Member { id, slot: slot.clone() });
        });
    }

    pub(crate) fn merge(mut self, overlap: Overlap) -> Destinations<S> {
        if self.plain.is_empty() && self.fastlane.is_empty() && self.crowds.is_empty() {
            return Destinations { groups: self.groups.into(), ..Destinations::default() };
        }
        let groups = self.groups.into();
        if self.crowds.is_empty() {
            let (plain, fastlane) = (self.plain, self.fastlane);
            let (plain, fastlane) = (destinations(plain, overlap), destinations(fastlane, overlap));
            return Destinations { plain, fastlane, groups, throng: None };
        }
        self.plain.append(&mut self.fastlane);
        self.plain.sort_unstable_by_key(|member| member.id);
        let throng =
            Throng { crowds: self.crowds.into(), others: self.plain.into_boxed_slice(), overlap };
        Destinations { groups, throng: Some(Box::new(throng)), ..Destinations::default() }
    }
}

/// The subscriptions of a topic that are too many to be copied: the lists of filters with many
/// subscribers as they were at the look-up, and all others beside them.
#[derive(Debug)]
pub(crate) struct Throng<S> {
    crowds: Box<[Crowd<S>]>,
    /// In the order of their subscribers.
    others: Box<[Member<S>]>,
    overlap: Overlap,
}

impl<S> Throng<S> {
    /// How many subscriptions.
    pub(crate) fn len(&self) -> usize {
        self.crowds.iter().map(Crowd::len).sum::<usize>() + self.others.len()
    }
}

impl<S: Subscriber> Throng<S> {
    /// The receivers from this subscriber on, those of `limit` subscribers at most, and who is
    /// next.
    pub(crate) fn slice(&self, from: SubscriberId, limit: usize) -> Part<S> {
        let mut sources: SmallVec<[Walk<'_, S>; 2]> =
            self.crowds.iter().map(|crowd| crowd.walk(from)).collect();
        sources.push(Walk::of(&self.others, from));
        let mut part = Part { plain: Vec::with_capacity(limit), fastlane: Vec::new(), next: None };
        let (mut plain, mut fastlane) = (SmallVec::new(), SmallVec::new());
        for left in (0..=limit).rev() {
            let ids = sources.iter_mut().filter_map(|source| source.peek().map(|it| it.id));
            let Some(id) = ids.min() else { break };
            if left == 0 {
                part.next = Some(id);
                break;
            }
            for source in &mut sources {
                while let Some(member) = source.peek().filter(|member| member.id == id) {
                    let is_fastlane = member.slot.marks().has(Marks::FASTLANE);
                    if is_fastlane { &mut fastlane } else { &mut plain }.push(member.slot.clone());
                    source.next();
                }
            }
            receive(id, &mut plain, self.overlap, &mut part.plain);
            receive(id, &mut fastlane, self.overlap, &mut part.fastlane);
        }
        part
    }
}

/// What all subscriptions of one subscriber bring it.
fn receive<S: Subscriber>(
    id: SubscriberId,
    slots: &mut SmallVec<[Slot<S>; 4]>,
    overlap: Overlap,
    found: &mut Vec<Destination<S>>,
) {
    if slots.is_empty() {
        return;
    }
    if slots.len() > 1 {
        slots.sort_unstable_by_key(|slot| slot.identifier);
        if overlap == Overlap::PerSubscription {
            let each = slots.drain(..).map(|slot| SmallVec::from_iter([slot]));
            found.extend(each.filter_map(|mut slot| destination(id, &mut slot)));
            return;
        }
    }
    found.extend(destination(id, slots));
}

/// Some of a throng.
#[derive(Debug)]
pub(crate) struct Part<S> {
    pub(crate) plain: Vec<Destination<S>>,
    pub(crate) fastlane: Vec<Destination<S>>,
    pub(crate) next: Option<SubscriberId>,
}

fn destinations<S: Subscriber>(mut members: Members<S>, overlap: Overlap) -> Box<[Destination<S>]> {
    if members.is_empty() {
        return Box::default();
    }
    members.sort_unstable_by_key(|member| (member.id, member.slot.identifier));
    let mut found: Vec<Destination<S>> = Vec::with_capacity(members.len());
    let mut members = members.into_iter().peekable();
    let mut overlapping: SmallVec<[Slot<S>; 4]> = SmallVec::new();
    while let Some(Member { id, slot }) = members.next() {
        overlapping.push(slot);
        let more = members.peek().is_some_and(|next| next.id == id);
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
