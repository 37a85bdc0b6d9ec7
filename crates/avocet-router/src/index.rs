//! The concurrent index from topic filters to subscribers.
//!
//! Filters lie in buckets, each with a lock and a generation that every change moves. The answer to
//! a topic comes from four buckets at most: the one of its whole text, the one of filters that
//! begin with a wildcard, and those of its first level and its first two levels. An answer stands
//! while the generations of these stand. No lock is taken while another is held.
//!
//! A filter with many subscribers is not copied into an answer: the answer shares its list
//! (`crowd.rs`), which is walked as it is delivered.

mod bucket;
mod chunks;
pub(crate) mod crowd;
mod exact;
mod merge;
mod route;
mod slot;
mod table;
mod terminal;
mod texts;
mod trie;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;

use self::bucket::Bucket;
use self::merge::Matched;
pub(crate) use self::merge::Throng;
pub(crate) use self::route::{BucketNumber, Hashing};
use self::route::{NOWHERE, PLACES, Route};
use self::slot::Slot;
use self::terminal::Terminal;
use crate::destination::Destinations;
use crate::filter::Filter;
use crate::group::{Group, Joined, Left, Strategy};
use crate::subscriber::{Entry, Subscriber, SubscriberId};

/// What an operator may choose.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Several subscriptions of one client match: one copy or several.
    pub overlap: Overlap,
    /// How shared groups choose.
    pub strategy: Strategy,
    /// By share name, where it differs.
    pub group_strategies: BTreeMap<String, Strategy>,
}

/// What a client gets when several of its subscriptions match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// One copy.
    #[default]
    Merge,
    /// One copy for each.
    PerSubscription,
}

/// What subscribing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// There was no such subscription.
    New,
    /// There was, and the new one stands in its place.
    Replaced,
}

impl Inserted {
    /// Whether there was none before.
    #[must_use]
    pub fn is_new(self) -> bool {
        self == Self::New
    }
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Different topic filters.
    pub filters: usize,
    /// Pairs of subscription and subscriber, members of groups included.
    pub subscriptions: usize,
    /// Shared groups.
    pub groups: usize,
}

/// Who subscribes to what on this node.
#[derive(Debug)]
pub struct Router<S> {
    buckets: Box<[RwLock<Bucket<S>>]>,
    /// One for each bucket and one that never moves; apart from the locks, which readers write to.
    signs: Box<[Sign]>,
    hashing: Hashing,
    config: Config,
    /// So many subscribers of one filter, and answers share its list.
    crowd_min: usize,
    subscriptions: AtomicUsize,
    groups: AtomicUsize,
}

/// What one sees of a bucket without its lock. Written under the lock, the generation last.
#[derive(Debug, Default)]
struct Sign {
    /// How many, so that nobody waits for the lock of an empty bucket.
    filters: AtomicUsize,
    generation: AtomicU64,
}

/// From here on the list of a filter is shared: what a look-up copies under the bucket's lock is
/// bounded by it, for each filter that matches.
const CROWD_MIN: usize = 256;

/// An answer, and what it needs to be recognised as stale.
#[derive(Debug)]
pub(crate) struct Answer<S> {
    pub(crate) destinations: Arc<Destinations<S>>,
    pub(crate) places: [BucketNumber; 4],
    pub(crate) stamp: u64,
}

impl<S> Answer<S> {
    /// For ever nobody.
    pub(crate) fn nobody(destinations: Arc<Destinations<S>>) -> Self {
        Self { destinations, places: [NOWHERE; 4], stamp: 0 }
    }
}

impl<S: Subscriber> Router<S> {
    /// Nobody subscribes to anything.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let bucket = |place| RwLock::new(Bucket::new(place));
        Self {
            buckets: (0..PLACES).map(bucket).collect(),
            signs: (0..=PLACES).map(|_| Sign::default()).collect(),
            hashing: Hashing::default(),
            config,
            crowd_min: CROWD_MIN,
            subscriptions: AtomicUsize::new(0),
            groups: AtomicUsize::new(0),
        }
    }

    /// Adds a subscription, or replaces the one of the same subscriber and filter, prefixes
    /// included.
    pub fn subscribe(&self, filter: &Filter, subscriber: S, entry: Entry) -> Inserted {
        let route = self.route(filter.topic_filter());
        let inserted = if filter.group().is_some() {
            self.join(&route, filter, subscriber, entry)
        } else {
            let slot = Slot::new(subscriber, filter.marks(), entry);
            // Dropped outside the lock: the handle's drop is not ours to know.
            let replaced = self.change(&route, filter, |terminal| terminal.insert(slot));
            if replaced.is_some() { Inserted::Replaced } else { Inserted::New }
        };
        if inserted == Inserted::New {
            self.subscriptions.fetch_add(1, Ordering::Relaxed);
        }
        inserted
    }

    /// Takes a subscription away; false if there was none.
    ///
    /// [MQTT3-3.10.4-1] [MQTT5-3.10.4-1] [MQTT3-3.10.4-2] [MQTT5-3.10.4-2]
    pub fn unsubscribe(&self, filter: &Filter, id: SubscriberId) -> bool {
        let route = self.route(filter.topic_filter());
        let removed = if filter.group().is_some() {
            self.leave(&route, filter, id)
        } else {
            let remove = |terminal: &mut Terminal<S>| terminal.remove(id, filter.marks());
            self.change_existing(&route, filter, remove).flatten().is_some()
        };
        if removed {
            self.subscriptions.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    /// The group that shares this filter, if it has members.
    #[must_use]
    pub fn group(&self, filter: &Filter) -> Option<Arc<Group<S>>> {
        self.open_group(&self.route(filter.topic_filter()), filter, None)
    }

    /// Who gets a message of this topic. [`RouteCache`](crate::RouteCache) answers faster.
    #[must_use]
    pub fn matches(&self, topic: &str) -> Arc<Destinations<S>> {
        self.answer(topic, self.hash(topic)).destinations
    }

    /// Counters, each exact, not taken at one moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            filters: self.signs.iter().map(|sign| sign.filters.load(Ordering::Relaxed)).sum(),
            subscriptions: self.subscriptions.load(Ordering::Relaxed),
            groups: self.groups.load(Ordering::Relaxed),
        }
    }

    #[inline]
    pub(crate) fn hash(&self, topic: &str) -> u64 {
        self.hashing.text(topic.as_bytes())
    }

    /// Whether nothing has changed where the answer came from.
    #[inline]
    pub(crate) fn stands(&self, answer: &Answer<S>) -> bool {
        self.stamp(&answer.places) == answer.stamp
    }

    /// The sum of the generations: they only grow, so an equal sum means that each is equal.
    #[inline]
    fn stamp(&self, places: &[BucketNumber; 4]) -> u64 {
        places
            .iter()
            .filter_map(|&place| self.signs.get(usize::from(place)))
            .fold(0, |sum, sign| sum.wrapping_add(sign.generation.load(Ordering::Acquire)))
    }

    /// [MQTT3-3.3.2-3] [MQTT5-3.3.2-3]
    pub(crate) fn answer(&self, topic: &str, hash: u64) -> Answer<S> {
        let route = Route::new(topic, hash, &self.hashing);
        let places = route.haunts();
        let mut matched = Matched::new(self.crowd_min);
        // Before the buckets are read: what changes meanwhile makes the answer stale, not wrong.
        let stamp = self.stamp(&places);
        for place in places.into_iter().filter(|&place| self.has_filters(place)) {
            self.bucket(place).read().for_each_match(&route, |terminal| matched.add(terminal));
        }
        let destinations = Arc::new(matched.merge(self.config.overlap));
        Answer { destinations, places, stamp }
    }

    fn route<'a>(&self, text: &'a str) -> Route<'a> {
        Route::new(text, self.hash(text), &self.hashing)
    }

    fn bucket(&self, place: BucketNumber) -> &RwLock<Bucket<S>> {
        &self.buckets[usize::from(place)]
    }

    fn sign(&self, place: BucketNumber) -> &Sign {
        &self.signs[usize::from(place)]
    }

    /// Never nowhere.
    fn has_filters(&self, place: BucketNumber) -> bool {
        self.sign(place).filters.load(Ordering::Relaxed) > 0
    }

    /// To be called under the bucket's lock, after the change.
    fn move_generation(&self, place: BucketNumber) {
        self.sign(place).generation.fetch_add(1, Ordering::Release);
    }

    /// Changes the terminal of a filter that may be new.
    fn change<R>(
        &self,
        route: &Route<'_>,
        filter: &Filter,
        change: impl FnOnce(&mut Terminal<S>) -> R,
    ) -> R {
        let place = route.home(filter.has_wildcard());
        let mut bucket = self.bucket(place).write();
        let terminal = bucket.insert(route);
        if terminal.is_empty() {
            self.sign(place).filters.fetch_add(1, Ordering::Relaxed);
        }
        let result = change(terminal);
        self.move_generation(place);
        result
    }

    /// Changes the terminal of a filter if it is there, and forgets the filter when nobody is left.
    fn change_existing<R>(
        &self,
        route: &Route<'_>,
        filter: &Filter,
        change: impl FnOnce(&mut Terminal<S>) -> R,
    ) -> Option<R> {
        let place = route.home(filter.has_wildcard());
        let mut bucket = self.bucket(place).write();
        let terminal = bucket.find_mut(route)?;
        let result = change(terminal);
        let mut empty = None;
        if terminal.is_empty() {
            empty = bucket.remove(route);
            self.sign(place).filters.fetch_sub(1, Ordering::Relaxed);
        }
        self.move_generation(place);
        drop(bucket);
        drop(empty);
        Some(result)
    }

    /// A member more in a group that stands changes no answer, since answers name the group. The
    /// bucket's lock is given back before the group's is taken, so the group may close in between.
    fn join(&self, route: &Route<'_>, filter: &Filter, subscriber: S, entry: Entry) -> Inserted {
        let mut closed = None;
        loop {
            let group = match self.open_group(route, filter, closed.as_ref()) {
                Some(group) => group,
                None => {
                    match self.open_new_group(route, filter, &subscriber, entry, closed.as_ref()) {
                        Some(group) => group,
                        None => return Inserted::New,
                    }
                }
            };
            match group.join(filter, subscriber.clone(), entry) {
                Joined::New => return Inserted::New,
                Joined::Replaced => return Inserted::Replaced,
                Joined::Closed => closed = Some(group),
            }
        }
    }

    /// The group, unless it is the one that is known to be closed.
    fn open_group(
        &self,
        route: &Route<'_>,
        filter: &Filter,
        closed: Option<&Arc<Group<S>>>,
    ) -> Option<Arc<Group<S>>> {
        let bucket = self.bucket(route.home(filter.has_wildcard())).read();
        let group = bucket.find(route)?.group(filter.group()?)?;
        (!is_same(group, closed)).then(|| Arc::clone(group))
    }

    /// Puts a new group of one member in place; if somebody else was faster, it is their group.
    fn open_new_group(
        &self,
        route: &Route<'_>,
        filter: &Filter,
        subscriber: &S,
        entry: Entry,
        closed: Option<&Arc<Group<S>>>,
    ) -> Option<Arc<Group<S>>> {
        let name = filter.group().unwrap_or_default();
        let strategy = self.config.group_strategies.get(name).unwrap_or(&self.config.strategy);
        let new = Arc::new(Group::new(filter, *strategy, subscriber.clone(), entry));
        self.change(route, filter, |terminal| match terminal.group(name) {
            Some(other) if !is_same(other, closed) => Some(Arc::clone(other)),
            Some(_) => {
                terminal.insert_group(new, closed);
                None
            }
            None => {
                terminal.insert_group(new, None);
                self.groups.fetch_add(1, Ordering::Relaxed);
                None
            }
        })
    }

    fn leave(&self, route: &Route<'_>, filter: &Filter, id: SubscriberId) -> bool {
        let Some(group) = self.open_group(route, filter, None) else { return false };
        match group.leave(filter, id) {
            Left::Absent => false,
            Left::OthersStay => true,
            Left::Empty => {
                let forget = |terminal: &mut Terminal<S>| terminal.remove_group(&group);
                if self.change_existing(route, filter, forget) == Some(true) {
                    self.groups.fetch_sub(1, Ordering::Relaxed);
                }
                true
            }
        }
    }
}

fn is_same<S>(group: &Arc<Group<S>>, other: Option<&Arc<Group<S>>>) -> bool {
    other.is_some_and(|other| Arc::ptr_eq(group, other))
}

#[cfg(test)]
mod tests;
