//! What hangs at the end of a filter.

use std::sync::Arc;

use super::crowd::Crowd;
use super::slot::Slot;
use crate::filter::Marks;
use crate::group::Group;
use crate::subscriber::{Subscriber, SubscriberId};

/// The subscriptions of one filter. Nearly always there is one, and it costs no allocation.
#[derive(Debug, Default)]
pub(crate) enum Terminal<S> {
    /// Nobody; the filter is about to go.
    #[default]
    Empty,
    /// One, not shared.
    One(Slot<S>),
    /// Anything else.
    Many(Box<Many<S>>),
}

#[derive(Debug)]
pub(crate) struct Many<S> {
    /// A million may hang here, and each must find its own again.
    slots: Crowd<S>,
    groups: Vec<Arc<Group<S>>>,
}

impl<S> Default for Many<S> {
    fn default() -> Self {
        Self { slots: Crowd::default(), groups: Vec::new() }
    }
}

impl<S: Subscriber> Terminal<S> {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::One(_) => false,
            Self::Many(many) => many.slots.is_empty() && many.groups.is_empty(),
        }
    }

    /// The subscription that was there before.
    pub(crate) fn insert(&mut self, slot: Slot<S>) -> Option<Slot<S>> {
        match self {
            Self::Empty => {
                *self = Self::One(slot);
                None
            }
            // [MQTT3-3.8.4-3] [MQTT5-3.8.4-3]
            Self::One(held) if held.is(slot.subscriber.id(), slot.marks()) => {
                Some(std::mem::replace(held, slot))
            }
            Self::One(_) | Self::Many(_) => self.with_many(|many| many.slots.insert(slot)),
        }
    }

    pub(crate) fn remove(&mut self, id: SubscriberId, marks: Marks) -> Option<Slot<S>> {
        match self {
            Self::Empty => None,
            Self::One(held) => {
                if !held.is(id, marks) {
                    return None;
                }
                match std::mem::take(self) {
                    Self::One(slot) => Some(slot),
                    Self::Empty | Self::Many(_) => None,
                }
            }
            Self::Many(many) => {
                let removed = many.slots.remove(id, marks);
                self.simplify();
                removed
            }
        }
    }

    pub(crate) fn group(&self, name: &str) -> Option<&Arc<Group<S>>> {
        self.groups().iter().find(|group| group.name() == name)
    }

    pub(crate) fn groups(&self) -> &[Arc<Group<S>>] {
        match self {
            Self::Empty | Self::One(_) => &[],
            Self::Many(many) => &many.groups,
        }
    }

    /// The caller has seen that no group of this name is there, `replaced` apart.
    pub(crate) fn insert_group(&mut self, group: Arc<Group<S>>, replaced: Option<&Arc<Group<S>>>) {
        if let Some(replaced) = replaced {
            self.remove_group(replaced);
        }
        self.with_many(|many| many.groups.push(group));
    }

    /// Whether this very group was there.
    pub(crate) fn remove_group(&mut self, group: &Arc<Group<S>>) -> bool {
        let Self::Many(many) = self else { return false };
        let before = many.groups.len();
        many.groups.retain(|held| !Arc::ptr_eq(held, group));
        let removed = many.groups.len() < before;
        self.simplify();
        removed
    }

    pub(crate) fn for_each(&self, mut visit: impl FnMut(SubscriberId, &Slot<S>)) {
        match self {
            Self::Empty => {}
            Self::One(slot) => visit(slot.subscriber.id(), slot),
            Self::Many(many) => {
                many.slots.walk(SubscriberId(0)).for_each(|member| visit(member.id, &member.slot));
            }
        }
    }

    /// Those that are not shared, if there are several.
    pub(crate) fn crowd(&self) -> Option<&Crowd<S>> {
        match self {
            Self::Empty | Self::One(_) => None,
            Self::Many(many) => Some(&many.slots),
        }
    }

    fn with_many<R>(&mut self, change: impl FnOnce(&mut Many<S>) -> R) -> R {
        let mut many = match std::mem::take(self) {
            Self::Empty => Box::default(),
            Self::Many(many) => many,
            Self::One(slot) => {
                let mut many = Box::new(Many::default());
                many.slots.insert(slot);
                many
            }
        };
        let result = change(&mut many);
        *self = Self::Many(many);
        result
    }

    fn simplify(&mut self) {
        if let Self::Many(many) = self
            && many.groups.is_empty()
            && many.slots.len() <= 1
        {
            let last = many.slots.walk(SubscriberId(0)).next().map(|member| member.slot.clone());
            *self = last.map_or(Self::Empty, Self::One);
        }
    }
}
