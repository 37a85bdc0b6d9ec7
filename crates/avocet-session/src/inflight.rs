//! QoS 1 and 2 messages sent and not yet acknowledged, in the order sent.
//!
//! Packet identifiers are given in sequence, so an entry is found by its distance from the first:
//! a ring in which acknowledged entries leave holes until the front is acknowledged too.

use std::{
    collections::{HashMap, VecDeque},
    iter::Peekable,
    sync::Arc,
};

use avocet_mqtt::{Frame, Frames, PacketId, QoS, SubscriptionIdentifier, Transit, message::Shape};

use crate::{Limits, Place, log::Log, seldom::Empty, waiting::Waiting};

/// How many identifiers there are: 1 to 65,535.
const IDS: usize = 65_535;

/// Fewer bytes are not charged to the node.
const CHARGED_STEP_BYTES: u64 = 16 * 1024;

/// Longer frames are kept as messages, which all receivers share.
pub(crate) const LOGGED_BYTES_MAX: usize = 512;

/// How far an outbound message has come.
#[derive(Debug)]
enum Stage {
    /// PUBLISH was sent; PUBACK or PUBREC is awaited.
    Published(Waiting),
    /// The same, for a message whose bytes are in the log.
    Logged(Logged),
    /// The same, for a message that is only in the store so far.
    Absent(Place),
    /// PUBREL was sent; PUBCOMP is awaited. The message is the client's.
    Released,
    /// It is over: a hole.
    Done,
}

#[derive(Clone, Copy, Debug)]
struct Logged {
    position: u64,
    shape: Shape,
    qos: QoS,
}

#[derive(Debug)]
struct Entry {
    stage: Stage,
    /// What it has in the log, until it is at the ring's front and over.
    log_bytes: u32,
    /// Sent on the present connection, not only on an earlier one.
    sent_here: bool,
    /// The client may have got it once.
    was_sent: bool,
    /// Whatever is to be stored before it is sent, is.
    is_recorded: bool,
}

impl Entry {
    /// The QoS, while the client has not taken the message.
    #[inline]
    fn published(&self) -> Option<QoS> {
        match &self.stage {
            Stage::Published(waiting) => Some(waiting.qos),
            Stage::Logged(logged) => Some(logged.qos),
            Stage::Absent(_) | Stage::Released | Stage::Done => None,
        }
    }

    /// What the store has of it.
    fn stored(&self, is_oldest: bool) -> Option<Gone> {
        let (place, bytes) = match &self.stage {
            Stage::Published(waiting) => (waiting.place()?, waiting.message.len()),
            Stage::Absent(place) => (*place, 0),
            Stage::Logged(_) | Stage::Released | Stage::Done => return None,
        };
        let was_absent = matches!(self.stage, Stage::Absent(_));
        Some(Gone { place, bytes, is_oldest, was_absent })
    }

    #[inline]
    fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// The shared subscription, if another of its members may have the message: QoS 2 that was sent
    /// is its client's.
    fn shared(&self) -> Option<&Arc<str>> {
        match &self.stage {
            Stage::Published(waiting) if waiting.qos < QoS::ExactlyOnce || !self.was_sent => {
                waiting.shared()
            }
            Stage::Published(_)
            | Stage::Logged(_)
            | Stage::Absent(_)
            | Stage::Released
            | Stage::Done => None,
        }
    }
}

/// What is to be sent again on a new connection.
#[derive(Debug)]
pub(crate) enum Again<'i> {
    /// A PUBLISH.
    Publish {
        transit: Transit<'i>,
        qos: QoS,
        retain: bool,
        dup: bool,
        identifiers: &'i [SubscriptionIdentifier],
    },
    /// A PUBREL.
    Release,
}

/// What the broker has sent and the client has not acknowledged.
#[derive(Debug)]
pub(crate) struct Inflight {
    ring: VecDeque<Entry>,
    log: Log,
    /// The identifier of the ring's first entry.
    first_id: u16,
    /// Entries that are not holes.
    count: usize,
    /// Entries sent on the present connection: what the client's Receive Maximum bounds.
    outstanding: usize,
    /// Of the messages that may have to be sent again and are not in the log.
    bytes: usize,
    /// All entries before this index are holes or sent on the present connection.
    resend_from: usize,
    /// What the node's budget was last told.
    charged: u64,
    /// Messages that are only in the store.
    absent: usize,
}

/// What the store has of a message that is not in flight any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) place: Place,
    /// What it had in memory.
    pub(crate) bytes: usize,
    /// All that was sent before it is gone, too.
    pub(crate) is_oldest: bool,
    /// It was only in the store.
    pub(crate) was_absent: bool,
}

/// What PUBREC has brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// PUBREL may be sent.
    Now,
    /// The store has to know first that this message waits no longer.
    Stored(Gone),
    /// The same, and it is about to.
    Pending,
}

/// An acknowledgement that fits no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// No message has this identifier.
    Unknown,
    /// The message with this identifier is at another point of its exchange.
    WrongStage,
}

impl Default for Inflight {
    fn default() -> Self {
        Self::new()
    }
}

impl Empty for Inflight {
    fn empty() -> &'static Self {
        static EMPTY: Inflight = Inflight::new();
        &EMPTY
    }
}

impl Inflight {
    const fn new() -> Self {
        Self {
            ring: VecDeque::new(),
            log: Log::new(),
            first_id: 1,
            count: 0,
            outstanding: 0,
            bytes: 0,
            resend_from: 0,
            charged: 0,
            absent: 0,
        }
    }

    /// What was in flight when it was stored: identifiers with the place of their message, or
    /// without it if PUBREC has come.
    pub(crate) fn restore(sent: &[(PacketId, Option<Place>)]) -> Self {
        let mut sent: Vec<_> = sent.iter().map(|(id, place)| (id.get(), *place)).collect();
        sent.sort_unstable_by_key(|(id, _)| *id);
        // Identifiers were given one after the other: the first is behind the widest gap.
        let gap = |index: usize| {
            let before = sent[(index + sent.len() - 1) % sent.len()].0;
            (usize::from(sent[index].0) + IDS - usize::from(before) - 1) % IDS
        };
        let first = (0..sent.len()).max_by_key(|index| gap(*index)).unwrap_or(0);
        sent.rotate_left(first);
        // A message that was sent anew has the last of its identifiers.
        let last: HashMap<_, _> = sent.iter().filter_map(|(id, at)| Some(((*at)?, *id))).collect();
        sent.retain(|(id, at)| at.is_none_or(|at| last[&at] == *id));
        let mut inflight = Self::new();
        inflight.first_id = sent.first().map_or(1, |(id, _)| *id);
        for (id, place) in sent {
            let entry = |stage| Entry {
                stage,
                log_bytes: 0,
                sent_here: false,
                was_sent: true,
                is_recorded: true,
            };
            while inflight.next_id().get() != id {
                inflight.ring.push_back(entry(Stage::Done));
            }
            inflight.ring.push_back(entry(place.map_or(Stage::Released, Stage::Absent)));
            inflight.count += 1;
            inflight.absent += usize::from(place.is_some());
        }
        inflight
    }

    /// Where messages are that are only in the store.
    pub(crate) fn absent(&self) -> impl Iterator<Item = Place> {
        let absent = |entry: &Entry| match entry.stage {
            Stage::Absent(place) => Some(place),
            Stage::Published(_) | Stage::Logged(_) | Stage::Released | Stage::Done => None,
        };
        self.ring.iter().filter(|_| self.absent > 0).filter_map(absent)
    }

    pub(crate) fn has_absent(&self) -> bool {
        self.absent > 0
    }

    fn index_at(&self, place: Option<Place>) -> Option<usize> {
        let place = place?;
        self.ring.iter().position(|it| matches!(it.stage, Stage::Absent(its) if its == place))
    }

    /// A message has come from the store: if it was in flight, it is to be sent again. Answers it
    /// if it was not.
    pub(crate) fn fill(&mut self, waiting: Waiting) -> Result<(), Waiting> {
        let Some(index) = self.index_at(waiting.place()) else { return Err(waiting) };
        self.absent -= 1;
        self.bytes += waiting.message.len();
        self.ring[index].stage = Stage::Published(waiting);
        Ok(())
    }

    /// A message that has come from the store is not in flight any more. False if it was not.
    pub(crate) fn give_up(&mut self, waiting: &Waiting) -> bool {
        let index = self.index_at(waiting.place());
        index.map(|index| self.remove(index)).is_some()
    }

    /// Takes out a message, one of these, that the store should have had by now.
    pub(crate) fn discard_absent(&mut self, is_it: impl Fn(Place) -> bool) -> Option<Gone> {
        if self.absent == 0 {
            return None;
        }
        let index = self
            .ring
            .iter()
            .position(|entry| matches!(entry.stage, Stage::Absent(place) if is_it(place)))?;
        let gone = self.ring[index].stored(false);
        self.remove(index);
        gone
    }

    /// What is to be stored before an entry is sent, is stored.
    pub(crate) fn recorded(&mut self, id: PacketId) {
        let Some(index) = self.index_of(id) else { return };
        let entry = &mut self.ring[index];
        if entry.is_done() {
            return;
        }
        entry.is_recorded = true;
        if entry.sent_here {
            // It had a place in the window only.
            entry.sent_here = false;
            self.outstanding -= 1;
            self.resend_from = self.resend_from.min(index);
        }
    }

    /// [`push`](Self::push) of a message that is sent once that is stored.
    pub(crate) fn push_unrecorded(&mut self, waiting: Waiting) {
        self.push(waiting);
        if let Some(entry) = self.ring.back_mut() {
            (entry.was_sent, entry.is_recorded) = (false, false);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Bytes kept for the client.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.log.len()
    }

    /// Whether something was sent only on an earlier connection.
    #[inline]
    pub(crate) fn has_unsent(&self) -> bool {
        self.count != self.outstanding
    }

    /// Tells the node's budget what is kept, in steps: most sessions never come to the first.
    #[inline]
    pub(crate) fn charge(&mut self, limits: &Limits) {
        let held = self.bytes() as u64;
        let step = held.abs_diff(self.charged) >= CHARGED_STEP_BYTES;
        if step || (held == 0 && self.charged > 0) {
            limits.budget.settle(&mut self.charged, held);
        }
    }

    /// Gives back what was charged.
    pub(crate) fn uncharge(&mut self, limits: &Limits) {
        limits.budget.settle(&mut self.charged, 0);
    }

    /// Whether the client may be sent one more message: the window is open, and what is kept for
    /// it has not come to the bound for a queue, nor to that of the node. The ring's length is
    /// bounded too, so that a client that acknowledges all but one message does not make it grow.
    ///
    /// All that was in flight goes first, but for what the store has not given yet: that lies
    /// behind whatever it has given.
    #[inline]
    pub(crate) fn has_window(&self, window: u16, limits: &Limits) -> bool {
        self.count == self.outstanding + self.absent
            // [MQTT5-3.3.4-9] [MQTT5-4.9.0-2]
            && self.outstanding < usize::from(window)
            && self.bytes() < limits.queue_bytes_max
            && self.ring.len() < ring_max(window)
            && (self.charged == 0 || !limits.budget.is_spent())
    }

    /// How many more messages the client may be sent, as far as their number says: each counts in
    /// bytes too once it is sent.
    #[inline]
    pub(crate) fn window_left(&self, window: u16, limits: &Limits) -> usize {
        if !self.has_window(window, limits) {
            return 0;
        }
        (usize::from(window) - self.outstanding).min(ring_max(window) - self.ring.len())
    }

    /// How many of these frames the client may be sent, one after the other.
    pub(crate) fn room_for(&self, frames: &Frames<'_>, window: u16, limits: &Limits) -> usize {
        let count = self.window_left(window, limits).min(frames.len());
        if count == 0 {
            return 0;
        }
        let mut bytes_left = limits.queue_bytes_max - self.bytes();
        if frames.bytes().len() <= bytes_left {
            return count;
        }
        let fits = |frame: &Frame<'_>| {
            let fits = bytes_left > 0;
            bytes_left = bytes_left.saturating_sub(frame.bytes().len());
            fits
        };
        frames.iter().take(count).take_while(fits).count()
    }

    /// The identifier that the next message gets.
    #[inline]
    pub(crate) fn next_id(&self) -> PacketId {
        self.id_at(self.ring.len()) // [MQTT3-2.3.1-4] [MQTT5-2.2.1-4]
    }

    /// Enters a message that was sent as [`Self::next_id`].
    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.message.len();
        self.enter(Stage::Published(waiting), 0);
    }

    /// [`push`](Self::push) for frames of at most [`LOGGED_BYTES_MAX`] that were sent with this QoS
    /// and brought by no shared subscription.
    pub(crate) fn push_frames(&mut self, frames: &Frames<'_>, qos: QoS) {
        let mut position = self.log.push(frames.bytes());
        for frame in frames.iter() {
            let stage = Stage::Logged(Logged { position, shape: frame.shape(), qos });
            let log_bytes = frame.bytes().len();
            self.enter(stage, u32::try_from(log_bytes).unwrap_or(u32::MAX));
            position += log_bytes as u64;
        }
    }

    #[inline]
    fn enter(&mut self, stage: Stage, log_bytes: u32) {
        self.ring.push_back(Entry {
            stage,
            log_bytes,
            sent_here: true,
            was_sent: true,
            is_recorded: true,
        });
        self.count += 1;
        self.outstanding += 1;
    }

    /// PUBACK, or a PUBREC that refuses: the message is done. Tells what the store has of it.
    #[inline]
    pub(crate) fn complete(&mut self, id: PacketId, qos: QoS) -> Result<Option<Gone>, Mismatch> {
        let index = self.index_of(id).ok_or(Mismatch::Unknown)?;
        let entry = &self.ring[index];
        let stored = entry.stored(index == 0);
        match entry.published() {
            Some(published) if published == qos => {
                drop(self.remove(index));
                Ok(stored)
            }
            None if stored.is_some() => {
                drop(self.remove(index));
                Ok(stored)
            }
            None if entry.is_done() => Err(Mismatch::Unknown),
            Some(_) | None => Err(Mismatch::WrongStage),
        }
    }

    /// [`complete`](Self::complete) for those of the identifiers that stand for the oldest messages
    /// one after the other, as nearly always. Leaves the others.
    pub(crate) fn complete_oldest<I>(&mut self, ids: &mut Peekable<I>, qos: QoS)
    where
        I: Iterator<Item = PacketId>,
    {
        self.take_oldest(ids, |entry| {
            entry.published() == Some(qos) && entry.stored(false).is_none()
        });
    }

    /// The same for [`finish`](Self::finish).
    pub(crate) fn finish_oldest<I>(&mut self, ids: &mut Peekable<I>)
    where
        I: Iterator<Item = PacketId>,
    {
        self.take_oldest(ids, |entry| matches!(entry.stage, Stage::Released));
    }

    #[inline]
    fn take_oldest<I>(&mut self, ids: &mut Peekable<I>, is_over: impl Fn(&Entry) -> bool)
    where
        I: Iterator<Item = PacketId>,
    {
        let (mut count, mut sent_here, mut log_bytes, mut bytes) = (0, 0, 0, 0);
        let mut first_id = self.first_id;
        for entry in &self.ring {
            if !is_over(entry) || ids.next_if(|id| id.get() == first_id).is_none() {
                break;
            }
            count += 1;
            sent_here += usize::from(entry.sent_here);
            log_bytes += entry.log_bytes as usize;
            if let Stage::Published(waiting) = &entry.stage {
                bytes += waiting.message.len();
            }
            first_id = first_id.checked_add(1).unwrap_or(1);
        }
        self.ring.drain(..count);
        self.log.give_up(log_bytes);
        self.first_id = first_id;
        self.bytes -= bytes;
        self.count -= count;
        self.outstanding -= sent_here;
        self.resend_from = self.resend_from.saturating_sub(count);
        self.pop_holes();
    }

    /// PUBREC: the message is the client's now, if it was not already.
    pub(crate) fn release(&mut self, id: PacketId) -> Result<Release, Mismatch> {
        let index = self.index_of(id).ok_or(Mismatch::Unknown)?;
        let entry = &mut self.ring[index];
        let stored = entry.stored(false);
        match entry.published() {
            Some(QoS::ExactlyOnce) => {}
            Some(QoS::AtLeastOnce | QoS::AtMostOnce) => return Err(Mismatch::WrongStage),
            None if entry.is_done() => return Err(Mismatch::Unknown),
            None if stored.is_some() => self.absent -= 1,
            None if entry.is_recorded => return Ok(Release::Now),
            None => return Ok(Release::Pending),
        }
        // The PUBREL goes out on this connection, even if the PUBLISH was of an earlier one.
        self.outstanding += usize::from(!entry.sent_here);
        entry.sent_here = true;
        // [MQTT5-4.3.3-5]
        if let Stage::Published(waiting) = std::mem::replace(&mut entry.stage, Stage::Released) {
            self.bytes -= waiting.message.len();
        }
        entry.is_recorded = stored.is_none();
        Ok(stored.map_or(Release::Now, Release::Stored))
    }

    /// PUBCOMP: the exchange is over.
    pub(crate) fn finish(&mut self, id: PacketId) -> Result<(), Mismatch> {
        let index = self.index_of(id).ok_or(Mismatch::Unknown)?;
        match &self.ring[index].stage {
            Stage::Released => {}
            Stage::Published(_) | Stage::Logged(_) | Stage::Absent(_) => {
                return Err(Mismatch::WrongStage);
            }
            Stage::Done => return Err(Mismatch::Unknown),
        }
        self.remove(index);
        Ok(())
    }

    /// The connection is gone: everything has to be sent again on the next one.
    pub(crate) fn disconnected(&mut self) {
        self.outstanding = 0;
        self.resend_from = 0;
        for entry in &mut self.ring {
            entry.sent_here = false;
        }
        self.ring.shrink_to_fit();
        self.log.shrink();
    }

    /// The next entry that was sent only on an earlier connection, now counted as sent again.
    /// PUBRELs do not wait for the window.
    pub(crate) fn resend(&mut self, window: u16) -> Option<(PacketId, Again<'_>)> {
        if self.count == self.outstanding {
            return None;
        }
        // A message that the store does not know of yet is not overtaken by those behind it.
        let sent = |entry: &Entry| {
            entry.is_done()
                || (entry.sent_here && (entry.is_recorded || entry.published().is_none()))
        };
        // [MQTT3-4.6.0-1] [MQTT5-4.6.0-1]
        while sent(self.ring.get(self.resend_from)?) {
            self.resend_from += 1;
        }
        // What the store has not given yet lies behind what it has given.
        let is_next = |entry: &Entry| !sent(entry) && !matches!(entry.stage, Stage::Absent(_));
        let index = self.resend_from + self.ring.range(self.resend_from..).position(is_next)?;
        let id = self.id_at(index);
        let full = self.outstanding >= usize::from(window);
        let entry = self.ring.get_mut(index)?;
        if (full && entry.published().is_some()) || !entry.is_recorded {
            return None;
        }
        let dup = std::mem::replace(&mut entry.was_sent, true);
        entry.sent_here = true;
        self.outstanding += 1;
        let again = match &entry.stage {
            Stage::Published(waiting) => Again::Publish {
                transit: Transit::from_shared(&waiting.message),
                qos: waiting.qos,
                retain: waiting.retain,
                dup,
                identifiers: waiting.identifiers(),
            },
            Stage::Logged(logged) => Again::Publish {
                transit: transit(&self.log, *logged, entry.log_bytes),
                qos: logged.qos,
                retain: false,
                dup,
                identifiers: &[],
            },
            // [MQTT5-4.3.3-6]
            Stage::Absent(_) | Stage::Released | Stage::Done => Again::Release,
        };
        Some((id, again))
    }

    /// Takes out a message that cannot be sent. Tells what the store has of it.
    pub(crate) fn discard(&mut self, id: PacketId) -> Option<Gone> {
        let index = self.index_of(id).filter(|index| !self.ring[*index].is_done())?;
        let gone = self.ring[index].stored(index == 0);
        self.remove(index);
        gone
    }

    /// Takes all messages out, in order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Waiting> {
        let Self { ring, log, charged, .. } = std::mem::take(self);
        self.charged = charged;
        ring.into_iter().filter_map(move |entry| match entry.stage {
            Stage::Published(waiting) => Some(waiting),
            Stage::Logged(logged) => {
                let message = Arc::clone(transit(&log, logged, entry.log_bytes).share());
                Some(Waiting::plain(message, logged.qos))
            }
            Stage::Absent(_) | Stage::Released | Stage::Done => None,
        })
    }

    /// The shared subscriptions of what another member may have.
    pub(crate) fn shared(&self) -> impl Iterator<Item = &Arc<str>> {
        self.ring.iter().filter_map(Entry::shared)
    }

    /// Takes out the QoS 1 messages that such a shared subscription brought, and what was not sent;
    /// another member gets them. QoS 2 is completed with this client or not at all
    /// ([MQTT5-4.8.2-4], [MQTT5-4.8.2-5]).
    pub(crate) fn drain_shared(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<Waiting> {
        let mut taken = Vec::new();
        for index in (0..self.ring.len()).rev() {
            if self.ring[index].shared().is_some_and(|it| wanted(it))
                && let Stage::Published(waiting) = self.remove(index)
            {
                taken.push(waiting);
            }
        }
        taken.reverse();
        taken
    }

    /// Takes out an entry that is not over; it leaves a hole unless it is the first.
    #[inline]
    fn remove(&mut self, index: usize) -> Stage {
        let entry = &mut self.ring[index];
        let stage = std::mem::replace(&mut entry.stage, Stage::Done);
        self.count -= 1;
        self.outstanding -= usize::from(entry.sent_here);
        match &stage {
            Stage::Published(waiting) => self.bytes -= waiting.message.len(),
            Stage::Absent(_) => self.absent -= 1,
            Stage::Logged(_) | Stage::Released | Stage::Done => {}
        }
        self.pop_holes();
        stage
    }

    #[inline]
    fn pop_holes(&mut self) {
        while let Some(Entry { stage: Stage::Done, log_bytes, .. }) = self.ring.front() {
            self.log.give_up(*log_bytes as usize);
            self.ring.pop_front();
            self.first_id = self.first_id.checked_add(1).unwrap_or(1);
            self.resend_from = self.resend_from.saturating_sub(1);
        }
    }

    /// `index` is at most the ring's length, so at most [`IDS`].
    #[inline]
    fn id_at(&self, index: usize) -> PacketId {
        let id = usize::from(self.first_id) + index;
        let id = if id > IDS { id - IDS } else { id };
        u16::try_from(id).ok().and_then(PacketId::new).expect("1 to 65,535")
    }

    #[inline]
    fn index_of(&self, id: PacketId) -> Option<usize> {
        let (id, first) = (usize::from(id.get()), usize::from(self.first_id));
        let index = if id >= first { id - first } else { id + IDS - first };
        (index < self.ring.len()).then_some(index)
    }
}

fn ring_max(window: u16) -> usize {
    (usize::from(window) * 16).clamp(256, IDS)
}

fn transit(log: &Log, logged: Logged, log_bytes: u32) -> Transit<'_> {
    let frame = Frame::kept(log.get(logged.position, log_bytes as usize), logged.shape);
    frame.transit(frame.topic())
}

#[cfg(test)]
mod tests;
