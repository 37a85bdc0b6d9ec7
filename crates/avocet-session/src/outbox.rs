//! Messages that wait for the window or for the connection. Bounded in messages and in bytes, for
//! this session and for the node.
//!
//! QoS 0 and QoS 1/2 wait in two queues, merged by a sequence number: when there is no room the
//! oldest QoS 0 goes first, whatever lies between.

use std::{collections::VecDeque, sync::Arc};

use avocet_mqtt::QoS;

use crate::{Limits, Place, QueueFull, seldom::Empty, waiting::Waiting};

/// What an entry costs beside its message's bytes: this record, roughly.
const ENTRY_BYTES: usize = 64;

/// Below this many places memory is not given back each time the queue runs empty.
const CAPACITY_KEPT: usize = 16;

/// Waiting messages.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    qos0: VecDeque<(u64, Waiting)>,
    acknowledged: VecDeque<(u64, Waiting)>,
    sequence: u64,
    bytes: usize,
    /// Of these, the bytes of QoS 0.
    qos0_bytes: usize,
}

/// What became of a message that should have waited.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// It waits.
    Queued,
    /// It does not: there is no room.
    Full(Waiting),
}

impl Empty for Outbox {
    fn empty() -> &'static Self {
        static EMPTY: Outbox = Outbox {
            qos0: VecDeque::new(),
            acknowledged: VecDeque::new(),
            sequence: 0,
            bytes: 0,
            qos0_bytes: 0,
        };
        &EMPTY
    }
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.qos0.len() + self.acknowledged.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn has_qos0(&self) -> bool {
        !self.qos0.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a QoS 1/2 message of so many bytes would be refused.
    pub(crate) fn would_refuse(&self, bytes: usize, limits: &Limits) -> bool {
        limits.queue_full == QueueFull::Refuse
            && !self.can_hold(QoS::AtLeastOnce, bytes + ENTRY_BYTES, limits)
    }

    /// Adds at the end. `evicted` is called for each message that makes room.
    pub(crate) fn push(
        &mut self,
        waiting: Waiting,
        limits: &Limits,
        mut evicted: impl FnMut(&Waiting),
    ) -> Pushed {
        let bytes = cost(&waiting);
        // Nothing is evicted for a message that does not fit even so.
        if !self.can_hold(waiting.qos, bytes, limits) {
            return Pushed::Full(waiting);
        }
        while !(self.fits(bytes, limits) && limits.budget.take(bytes as u64)) {
            match self.make_room(waiting.qos, limits) {
                Some(gone) => evicted(&gone),
                None => return Pushed::Full(waiting),
            }
        }
        self.bytes += bytes;
        self.sequence += 1;
        if waiting.qos == QoS::AtMostOnce {
            self.qos0_bytes += bytes;
            self.qos0.push_back((self.sequence, waiting));
        } else {
            self.acknowledged.push_back((self.sequence, waiting));
        }
        Pushed::Queued
    }

    /// Adds a message that the store has, whatever the bounds: the window on the store is one.
    pub(crate) fn push_stored(&mut self, waiting: Waiting, limits: &Limits) {
        let bytes = cost(&waiting);
        limits.budget.settle(&mut 0, bytes as u64);
        self.bytes += bytes;
        self.sequence += 1;
        self.acknowledged.push_back((self.sequence, waiting));
    }

    /// Takes out the oldest message that the store has.
    pub(crate) fn pop_stored(&mut self, limits: &Limits) -> Option<Waiting> {
        let index = self.acknowledged.iter().position(|(_, it)| it.place().is_some())?;
        let (_, waiting) = self.acknowledged.remove(index)?;
        self.took(&waiting, limits);
        Some(waiting)
    }

    /// Takes out what waits at this place in the store.
    pub(crate) fn take_stored(&mut self, place: Place, limits: &Limits) -> Option<Waiting> {
        let is_its = |(_, waiting): &(u64, Waiting)| waiting.place() == Some(place);
        let index = self.acknowledged.iter().position(is_its)?;
        let (_, waiting) = self.acknowledged.remove(index)?;
        self.took(&waiting, limits);
        Some(waiting)
    }

    /// Takes out the oldest of QoS 0.
    pub(crate) fn pop_qos0(&mut self, limits: &Limits) -> Option<Waiting> {
        let (_, waiting) = self.qos0.pop_front()?;
        self.took(&waiting, limits);
        Some(waiting)
    }

    pub(crate) fn qos0_len(&self) -> usize {
        self.qos0.len()
    }

    pub(crate) fn qos0_bytes(&self) -> usize {
        self.qos0_bytes
    }

    /// How many there may be that the store has.
    pub(crate) fn stored_len(&self) -> usize {
        self.acknowledged.len()
    }

    /// Takes out what the store has, but for the first so many and what lies up to the floor; tells
    /// the first of their places.
    pub(crate) fn unload(&mut self, kept: usize, floor: Place, limits: &Limits) -> Option<Place> {
        let mut stored = 0;
        let (gone, left): (VecDeque<_>, _) =
            std::mem::take(&mut self.acknowledged).into_iter().partition(|(_, waiting)| {
                stored += usize::from(waiting.place().is_some());
                waiting.place().is_some_and(|place| place > floor) && stored > kept
            });
        self.acknowledged = left;
        for (_, waiting) in &gone {
            self.took(waiting, limits);
        }
        gone.iter().filter_map(|(_, waiting)| waiting.place()).min()
    }

    /// The next message to send; QoS 1/2 only if `window` is open. Order within a QoS is kept.
    pub(crate) fn pop(&mut self, window: bool, limits: &Limits) -> Option<Waiting> {
        let qos0 = self.qos0.front().map(|(sequence, _)| *sequence);
        let other = self.acknowledged.front().map(|(sequence, _)| *sequence).filter(|_| window);
        let queue = match (qos0, other) {
            (Some(a), Some(b)) if a < b => &mut self.qos0,
            (Some(_), None) => &mut self.qos0,
            (_, Some(_)) => &mut self.acknowledged,
            (None, None) => return None,
        };
        let (_, waiting) = queue.pop_front()?;
        self.took(&waiting, limits);
        Some(waiting)
    }

    /// Takes everything out, in order.
    pub(crate) fn drain(&mut self, limits: &Limits) -> Vec<Waiting> {
        let mut all = Vec::with_capacity(self.len());
        while let Some(waiting) = self.pop(true, limits) {
            all.push(waiting);
        }
        *self = Self::default();
        all
    }

    /// The shared subscriptions that have brought what waits.
    pub(crate) fn shared(&self) -> impl Iterator<Item = &Arc<str>> {
        let all = self.qos0.iter().chain(&self.acknowledged);
        all.filter_map(|(_, waiting)| waiting.shared())
    }

    /// Takes out what such a shared subscription brought, in order.
    pub(crate) fn drain_shared(
        &mut self,
        limits: &Limits,
        wanted: impl Fn(&str) -> bool,
    ) -> Vec<Waiting> {
        let is_wanted =
            |(_, waiting): &(u64, Waiting)| waiting.shared().is_some_and(|shared| wanted(shared));
        let mut shared = Vec::new();
        for queue in [&mut self.qos0, &mut self.acknowledged] {
            if queue.iter().any(is_wanted) {
                let (taken, left): (VecDeque<_>, _) =
                    std::mem::take(queue).into_iter().partition(is_wanted);
                *queue = left;
                shared.extend(taken);
            }
        }
        for (_, waiting) in &shared {
            self.took(waiting, limits);
        }
        shared.sort_by_key(|(sequence, _)| *sequence);
        shared.into_iter().map(|(_, waiting)| waiting).collect()
    }

    /// Takes out all QoS 0.
    pub(crate) fn drain_qos0(&mut self, limits: &Limits) -> VecDeque<(u64, Waiting)> {
        let taken = std::mem::take(&mut self.qos0);
        for (_, waiting) in &taken {
            self.took(waiting, limits);
        }
        taken
    }

    /// Gives all of the budget back.
    pub(crate) fn clear(&mut self, limits: &Limits) {
        limits.budget.give_back(self.bytes as u64);
        *self = Self::default();
    }

    /// Whether there is room, or can be made, for a message of this QoS.
    fn can_hold(&self, qos: QoS, bytes: usize, limits: &Limits) -> bool {
        let (len, freed) = match (qos, limits.queue_full) {
            (QoS::AtMostOnce, _) => (self.len(), 0),
            (_, QueueFull::Refuse) => (self.acknowledged.len(), self.qos0_bytes),
            (_, QueueFull::DropOldest) => (0, self.bytes),
        };
        len < limits.queue_messages_max
            && self.bytes - freed + bytes <= limits.queue_bytes_max
            && limits.budget.has((bytes as u64).saturating_sub(freed as u64))
    }

    fn fits(&self, bytes: usize, limits: &Limits) -> bool {
        self.len() < limits.queue_messages_max && self.bytes + bytes <= limits.queue_bytes_max
    }

    fn make_room(&mut self, newcomer: QoS, limits: &Limits) -> Option<Waiting> {
        if newcomer == QoS::AtMostOnce {
            return None;
        }
        let gone = match self.qos0.pop_front() {
            Some((_, waiting)) => waiting,
            None if limits.queue_full == QueueFull::DropOldest => self.acknowledged.pop_front()?.1,
            None => return None,
        };
        self.took(&gone, limits);
        Some(gone)
    }

    fn took(&mut self, waiting: &Waiting, limits: &Limits) {
        let bytes = cost(waiting);
        self.bytes -= bytes;
        if waiting.qos == QoS::AtMostOnce {
            self.qos0_bytes -= bytes;
        }
        limits.budget.give_back(bytes as u64);
        if self.is_empty() && self.qos0.capacity() + self.acknowledged.capacity() > CAPACITY_KEPT {
            self.shrink();
        }
    }

    /// Gives memory back that is not needed.
    pub(crate) fn shrink(&mut self) {
        self.qos0.shrink_to_fit();
        self.acknowledged.shrink_to_fit();
    }
}

fn cost(waiting: &Waiting) -> usize {
    waiting.message.len() + ENTRY_BYTES
}
