//! A shared subscription, and which member gets the message.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use avocet_mqtt::QoS;
use parking_lot::RwLock;

use crate::filter::{Filter, Marks};
use crate::subscriber::{Entry, Subscriber, SubscriberId};

/// How a group chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// By the dice.
    Random,
    /// The same until it leaves or is not live.
    Sticky,
    /// All messages of one publisher to the same member.
    HashClientId,
    /// All messages of one topic to the same member.
    HashTopic,
}

/// What a choice may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// The publisher's client id.
    pub publisher: &'a str,
    /// The message's topic name.
    pub topic: &'a str,
    /// Any number, each as likely as the next.
    pub dice: u64,
}

/// Who was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<S> {
    /// The receiver.
    pub subscriber: S,
    /// What its SUBSCRIBE said. The QoS of a fastlane member is 0.
    pub entry: Entry,
    /// Whether the connection gets it, past the session.
    pub fastlane: bool,
    /// Whether other nodes do not know of it.
    pub local: bool,
}

/// All who subscribed to one topic filter under one share name.
///
/// Members come and go while answers that name the group stand.
#[derive(Debug)]
pub struct Group<S> {
    subscription: Arc<str>,
    name: Box<str>,
    topic_filter: Box<str>,
    strategy: Strategy,
    roster: RwLock<Roster<S>>,
    /// The seat whose turn it is, or the one that is stuck to. Not below the number of seats: none.
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Roster<S> {
    seats: Vec<Seat<S>>,
    /// The last member left; the index forgets this group, and nobody joins it again.
    closed: bool,
}

#[derive(Debug)]
struct Seat<S> {
    id: SubscriberId,
    marks: Marks,
    subscriber: S,
    entry: Entry,
}

/// What came of joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    New,
    Replaced,
    Closed,
}

/// What came of leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Absent,
    OthersStay,
    Empty,
}

impl<S: Subscriber> Group<S> {
    pub(crate) fn new(filter: &Filter, strategy: Strategy, subscriber: S, entry: Entry) -> Self {
        let seat = Seat::new(filter, subscriber, entry);
        let name = filter.group().unwrap_or_default();
        Self {
            subscription: format!("$share/{name}/{}", filter.topic_filter()).into(),
            name: name.into(),
            topic_filter: filter.topic_filter().into(),
            strategy,
            roster: RwLock::new(Roster { seats: vec![seat], closed: false }),
            turn: AtomicUsize::new(if strategy == Strategy::Sticky { usize::MAX } else { 0 }),
        }
    }

    /// The shared subscription as a text, without the prefixes in which members may differ:
    /// parsing it gives a filter of this group.
    #[must_use]
    pub fn subscription(&self) -> &Arc<str> {
        &self.subscription
    }

    /// The share name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The filter shared.
    #[must_use]
    pub fn topic_filter(&self) -> &str {
        &self.topic_filter
    }

    /// How it chooses.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The member to get this message: one for which `is_live` holds.
    ///
    /// `is_live` is asked under the group's lock: it must be quick and take no lock.
    pub fn select(&self, choice: &Choice<'_>, is_live: impl Fn(&S) -> bool) -> Option<Member<S>> {
        let roster = self.roster.read();
        let seats = roster.seats.as_slice();
        let live = |index: usize| seats.get(index).is_some_and(|seat| is_live(&seat.subscriber));
        let index = match self.strategy {
            Strategy::RoundRobin => self.take_turn(seats.len(), live),
            Strategy::Random => random(seats.len(), choice.dice, live),
            Strategy::Sticky => self.stick(seats.len(), choice.dice, live),
            Strategy::HashClientId => rendezvous(seats, choice.publisher, live),
            Strategy::HashTopic => rendezvous(seats, choice.topic, live),
        }?;
        seats.get(index).map(Seat::member)
    }

    /// Everyone in it, in the order of joining.
    #[must_use]
    pub fn members(&self) -> Vec<Member<S>> {
        self.roster.read().seats.iter().map(Seat::member).collect()
    }

    pub(crate) fn join(&self, filter: &Filter, subscriber: S, entry: Entry) -> Joined {
        let seat = Seat::new(filter, subscriber, entry);
        let mut roster = self.roster.write();
        if roster.closed {
            return Joined::Closed;
        }
        let held = roster.seats.iter_mut().find(|s| s.id == seat.id && s.marks == seat.marks);
        let Some(held) = held else {
            roster.seats.push(seat);
            return Joined::New;
        };
        let replaced = std::mem::replace(held, seat);
        // A handle's drop is not ours to know: not under the lock.
        drop(roster);
        drop(replaced);
        Joined::Replaced
    }

    pub(crate) fn leave(&self, filter: &Filter, id: SubscriberId) -> Left {
        let mut roster = self.roster.write();
        let mut seats = roster.seats.iter();
        let Some(index) = seats.position(|s| s.id == id && s.marks == filter.marks()) else {
            return Left::Absent;
        };
        let left = roster.seats.remove(index);
        // The others keep their places: whoever is next stays next.
        let turn = self.turn.load(Ordering::Relaxed);
        if turn != usize::MAX && index < turn {
            self.turn.store(turn - 1, Ordering::Relaxed);
        } else if index == turn && self.strategy == Strategy::Sticky {
            self.turn.store(usize::MAX, Ordering::Relaxed);
        }
        roster.closed = roster.seats.is_empty();
        let result = if roster.closed { Left::Empty } else { Left::OthersStay };
        drop(roster);
        drop(left);
        result
    }

    /// Each success moves the turn exactly once, so that two threads never spend the same turn.
    fn take_turn(&self, seats: usize, live: impl Fn(usize) -> bool) -> Option<usize> {
        let mut turn = self.turn.load(Ordering::Relaxed);
        loop {
            let first = if turn < seats { turn } else { 0 };
            let index = (first..seats).chain(0..first).find(|&index| live(index))?;
            // Not wrapped here: who joins behind the last is next.
            match self.turn.compare_exchange_weak(
                turn,
                index + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(index),
                Err(moved) => turn = moved,
            }
        }
    }

    fn stick(&self, seats: usize, dice: u64, live: impl Fn(usize) -> bool) -> Option<usize> {
        loop {
            let kept = self.turn.load(Ordering::Relaxed);
            if live(kept) {
                return Some(kept);
            }
            let index = random(seats, dice, &live)?;
            if self.turn.compare_exchange(kept, index, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            {
                return Some(index);
            }
        }
    }
}

impl<S: Subscriber> Seat<S> {
    fn new(filter: &Filter, subscriber: S, mut entry: Entry) -> Self {
        if filter.is_fastlane() {
            entry.options.qos = QoS::AtMostOnce;
        }
        Self { id: subscriber.id(), marks: filter.marks(), subscriber, entry }
    }

    /// [MQTT5-4.8.2-3]
    fn member(&self) -> Member<S> {
        Member {
            subscriber: self.subscriber.clone(),
            entry: self.entry,
            fastlane: self.marks.has(Marks::FASTLANE),
            local: self.marks.has(Marks::LOCAL),
        }
    }
}

/// Each live seat equally likely.
fn random(seats: usize, dice: u64, live: impl Fn(usize) -> bool) -> Option<usize> {
    let first = pick(dice, seats)?;
    if live(first) {
        return Some(first);
    }
    let alive = (0..seats).filter(|&index| live(index)).count();
    let nth = pick(spread(dice), alive)?;
    (0..seats).filter(|&index| live(index)).nth(nth)
}

fn pick(dice: u64, count: usize) -> Option<usize> {
    let scaled = (u128::from(dice) * count as u128) >> 64;
    (count > 0).then_some(scaled as usize)
}

/// The live seat that weighs most for this key: whoever leaves moves its own keys only.
fn rendezvous<S>(seats: &[Seat<S>], key: &str, live: impl Fn(usize) -> bool) -> Option<usize> {
    let key = key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let weight = |seat: &Seat<S>| spread(spread(key) ^ spread(seat.id.0));
    seats
        .iter()
        .enumerate()
        .filter(|(index, _)| live(*index))
        .max_by_key(|(_, seat)| (weight(seat), seat.id, seat.marks))
        .map(|(index, _)| index)
}

/// A bijection that leaves no pattern (the finisher of splitmix64).
pub(crate) fn spread(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;
