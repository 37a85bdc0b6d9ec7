//! What a look-up answers.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use avocet_mqtt::{QoS, SubscriptionIdentifier};

use crate::group::Group;
use crate::index::Throng;
use crate::subscriber::{Subscriber, SubscriberId};

/// Everyone who is to get messages of one topic.
///
/// Few receivers lie in it one by one. Where a filter with many subscribers matches, it refers to
/// their list as it was at the look-up, and [`slice`](Self::slice) names them some at a time.
#[derive(Debug)]
pub struct Destinations<S> {
    pub(crate) plain: Box<[Destination<S>]>,
    pub(crate) fastlane: Box<[Destination<S>]>,
    /// The shared subscriptions, each to give the message to one member.
    pub groups: Box<[Arc<Group<S>>]>,
    /// In place of `plain` and `fastlane`.
    pub(crate) throng: Option<Box<Throng<S>>>,
}

/// Where a slice begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position(pub(crate) u64);

/// Some of the receivers.
#[derive(Debug)]
pub struct Slice<'a, S: Clone> {
    /// The sessions.
    pub plain: Cow<'a, [Destination<S>]>,
    /// The connections that asked for `$fastlane/`; their QoS is 0.
    pub fastlane: Cow<'a, [Destination<S>]>,
    /// Where the next one begins; `None` after the last.
    pub next: Option<Position>,
}

impl<S> Destinations<S> {
    /// Whether nobody gets it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.width() == 0 && self.groups.is_empty()
    }

    /// How many receivers there are beside the groups. A receiver with several subscriptions may
    /// count several times where there are many.
    #[inline]
    #[must_use]
    pub fn width(&self) -> usize {
        let others = self.throng.as_ref().map_or(0, |throng| throng.len());
        self.plain.len() + self.fastlane.len() + others
    }

    /// Whether it refers to lists of others.
    pub(crate) fn is_throng(&self) -> bool {
        self.throng.is_some()
    }
}

impl<S: Subscriber> Destinations<S> {
    /// The receivers from a position on: `limit` of them, or those of so many subscribers.
    #[inline]
    #[must_use]
    pub fn slice(&self, from: Position, limit: usize) -> Slice<'_, S> {
        let Some(throng) = &self.throng else { return self.flat_slice(from, limit) };
        let part = throng.slice(SubscriberId(from.0), limit.max(1));
        let next = part.next.map(|SubscriberId(id)| Position(id));
        Slice { plain: part.plain.into(), fastlane: part.fastlane.into(), next }
    }

    #[inline]
    fn flat_slice(&self, from: Position, limit: usize) -> Slice<'_, S> {
        let (plain, width) = (self.plain.len(), self.plain.len() + self.fastlane.len());
        let start = (from.0 as usize).min(width);
        let end = start.saturating_add(limit.max(1)).min(width);
        let fastlane = start.saturating_sub(plain)..end.saturating_sub(plain);
        let plain = start.min(plain)..end.min(plain);
        let of = |list, range: Range<usize>| -> Cow<'_, [Destination<S>]> {
            <[Destination<S>]>::get(list, range).unwrap_or_default().into()
        };
        let next = (end < width).then_some(Position(end as u64));
        Slice { plain: of(&self.plain, plain), fastlane: of(&self.fastlane, fastlane), next }
    }
}

impl<S> Default for Destinations<S> {
    fn default() -> Self {
        let (plain, fastlane) = (Box::default(), Box::default());
        Self { plain, fastlane, groups: Box::default(), throng: None }
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
