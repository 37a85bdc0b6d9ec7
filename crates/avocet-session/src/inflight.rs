//! QoS 1 and 2 messages sent and not yet acknowledged, in the order sent.
//!
//! Packet identifiers are given in sequence, so an entry is found by its distance from the first:
//! a ring in which acknowledged entries leave holes until the front is acknowledged too.

use std::{collections::VecDeque, sync::Arc};

use avocet_mqtt::{ApplicationMessage, PacketId, QoS, SubscriptionIdentifier};

use crate::Terms;

/// How many identifiers there are: 1 to 65,535.
const IDS: usize = 65_535;

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

#[derive(Clone, Debug)]
struct Rare {
    identifiers: Box<[SubscriptionIdentifier]>,
    shared: Option<Arc<str>>,
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
            Box::new(Rare { identifiers, shared: terms.shared.cloned() })
        });
        Self { message, qos, retain, rare }
    }

    /// Of the subscriptions that brought it.
    pub(crate) fn identifiers(&self) -> &[SubscriptionIdentifier] {
        self.rare.as_ref().map_or(&[], |rare| &rare.identifiers)
    }

    /// The shared subscription that brought it.
    pub(crate) fn shared(&self) -> Option<&Arc<str>> {
        self.rare.as_ref()?.shared.as_ref()
    }
}

/// How far an outbound message has come.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// PUBLISH was sent; PUBACK or PUBREC is awaited.
    Published(Waiting),
    /// PUBREL was sent; PUBCOMP is awaited. The message is the client's.
    Released,
}

#[derive(Debug)]
struct Entry {
    stage: Stage,
    /// Sent on the present connection, not only on an earlier one.
    sent_here: bool,
}

impl Entry {
    /// Whether another member of such a shared subscription may have it.
    fn is_anyones(&self, wanted: impl Fn(&str) -> bool) -> bool {
        match &self.stage {
            Stage::Published(waiting) => {
                waiting.qos < QoS::ExactlyOnce
                    && waiting.shared().is_some_and(|shared| wanted(shared))
            }
            Stage::Released => false,
        }
    }
}

/// What the broker has sent and the client has not acknowledged.
#[derive(Debug)]
pub(crate) struct Inflight {
    ring: VecDeque<Option<Entry>>,
    /// The identifier of the ring's first entry.
    first_id: u16,
    /// Entries that are not holes.
    count: usize,
    /// Entries sent on the present connection: what the client's Receive Maximum bounds.
    outstanding: usize,
    /// Of the messages that may have to be sent again.
    bytes: usize,
    /// All entries before this index are holes or sent on the present connection.
    resend_from: usize,
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
        Self {
            ring: VecDeque::new(),
            first_id: 1,
            count: 0,
            outstanding: 0,
            bytes: 0,
            resend_from: 0,
        }
    }
}

impl Inflight {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Whether something was sent only on an earlier connection.
    pub(crate) fn has_unsent(&self) -> bool {
        self.count != self.outstanding
    }

    /// Whether the client may be sent one more message: the window is open, and what is kept for
    /// it has not come to `bytes_max`. The ring's length is bounded too, so that a client that
    /// acknowledges all but one message does not make it grow.
    pub(crate) fn has_window(&self, window: u16, bytes_max: usize) -> bool {
        let ring_max = (usize::from(window) * 16).clamp(256, IDS);
        self.count == self.outstanding
            && self.outstanding < usize::from(window)
            && self.bytes < bytes_max
            && self.ring.len() < ring_max
    }

    /// The identifier that the next message gets.
    pub(crate) fn next_id(&self) -> PacketId {
        self.id_at(self.ring.len()) // [MQTT3-2.3.1-4] [MQTT5-2.2.1-4]
    }

    /// Enters a message that was sent as [`Self::next_id`].
    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.message.len();
        self.ring.push_back(Some(Entry { stage: Stage::Published(waiting), sent_here: true }));
        self.count += 1;
        self.outstanding += 1;
    }

    /// PUBACK, or a PUBREC that refuses: the message is done.
    pub(crate) fn complete(&mut self, id: PacketId, qos: QoS) -> Result<Waiting, Mismatch> {
        let index = self.published(id, qos)?;
        match self.remove(index) {
            Some(Stage::Published(waiting)) => Ok(waiting),
            Some(Stage::Released) | None => Err(Mismatch::WrongStage),
        }
    }

    /// PUBREC: the message is the client's now. `Ok(None)` if it was already.
    pub(crate) fn release(&mut self, id: PacketId) -> Result<Option<Waiting>, Mismatch> {
        let index = self.index_of(id).ok_or(Mismatch::Unknown)?;
        let entry = self.ring[index].as_mut().ok_or(Mismatch::Unknown)?;
        match &entry.stage {
            Stage::Published(waiting) if waiting.qos == QoS::ExactlyOnce => {}
            Stage::Published(_) => return Err(Mismatch::WrongStage),
            Stage::Released => return Ok(None),
        }
        // The PUBREL goes out on this connection, even if the PUBLISH was of an earlier one.
        self.outstanding += usize::from(!entry.sent_here);
        entry.sent_here = true;
        match std::mem::replace(&mut entry.stage, Stage::Released) {
            Stage::Published(waiting) => {
                self.bytes -= waiting.message.len();
                Ok(Some(waiting))
            }
            Stage::Released => Ok(None),
        }
    }

    /// PUBCOMP: the exchange is over.
    pub(crate) fn finish(&mut self, id: PacketId) -> Result<(), Mismatch> {
        let index = self.index_of(id).ok_or(Mismatch::Unknown)?;
        match &self.ring[index].as_ref().ok_or(Mismatch::Unknown)?.stage {
            Stage::Released => {}
            Stage::Published(_) => return Err(Mismatch::WrongStage),
        }
        self.remove(index);
        Ok(())
    }

    /// The connection is gone: everything has to be sent again on the next one.
    pub(crate) fn disconnected(&mut self) {
        self.outstanding = 0;
        self.resend_from = 0;
        for entry in self.ring.iter_mut().flatten() {
            entry.sent_here = false;
        }
        self.ring.shrink_to_fit();
    }

    /// The next entry that was sent only on an earlier connection, now counted as sent again.
    /// PUBRELs do not wait for the window.
    pub(crate) fn resend(&mut self, window: u16) -> Option<(PacketId, &Stage)> {
        if self.count == self.outstanding {
            return None;
        }
        let sent = |entry: &Option<Entry>| entry.as_ref().is_none_or(|entry| entry.sent_here);
        while sent(self.ring.get(self.resend_from)?) {
            self.resend_from += 1;
        }
        let id = self.id_at(self.resend_from);
        let entry = self.ring[self.resend_from].as_mut()?;
        let full = self.outstanding >= usize::from(window);
        if full && matches!(entry.stage, Stage::Published(_)) {
            return None;
        }
        entry.sent_here = true;
        self.outstanding += 1;
        self.resend_from += 1;
        Some((id, &entry.stage))
    }

    /// Takes out a message that cannot be sent.
    pub(crate) fn discard(&mut self, id: PacketId) {
        if let Some(index) = self.index_of(id) {
            self.remove(index);
        }
    }

    /// Takes all messages out, in order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Waiting> {
        let ring = std::mem::take(self).ring;
        ring.into_iter().flatten().filter_map(|entry| match entry.stage {
            Stage::Published(waiting) => Some(waiting),
            Stage::Released => None,
        })
    }

    /// Takes out the QoS 1 messages that such a shared subscription brought; another member gets
    /// them. QoS 2 is completed with this client or not at all ([MQTT5-4.8.2-4],
    /// [MQTT5-4.8.2-5]).
    pub(crate) fn drain_shared(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<Waiting> {
        let mut taken = Vec::new();
        for index in (0..self.ring.len()).rev() {
            if self.ring[index].as_ref().is_some_and(|entry| entry.is_anyones(&wanted))
                && let Some(Stage::Published(waiting)) = self.remove(index)
            {
                taken.push(waiting);
            }
        }
        taken.reverse();
        taken
    }

    fn published(&self, id: PacketId, qos: QoS) -> Result<usize, Mismatch> {
        let index = self.index_of(id).ok_or(Mismatch::Unknown)?;
        match &self.ring[index].as_ref().ok_or(Mismatch::Unknown)?.stage {
            Stage::Published(waiting) if waiting.qos == qos => Ok(index),
            Stage::Published(_) | Stage::Released => Err(Mismatch::WrongStage),
        }
    }

    fn remove(&mut self, index: usize) -> Option<Stage> {
        let entry = self.ring[index].take()?;
        self.count -= 1;
        self.outstanding -= usize::from(entry.sent_here);
        if let Stage::Published(waiting) = &entry.stage {
            self.bytes -= waiting.message.len();
        }
        while let Some(None) = self.ring.front() {
            self.first_id = self.id_at(1).get();
            self.ring.pop_front();
            self.resend_from = self.resend_from.saturating_sub(1);
        }
        Some(entry.stage)
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
