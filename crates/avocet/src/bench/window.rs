//! What one publisher may have outstanding, and what is missing until it may send more.

/// The most messages outstanding; each has its own packet identifier.
pub(super) const WINDOW_MAX: u16 = 32_768;

/// The messages of one publisher that are on their way. A message leaves when every receiver has it
/// and, for QoS 1 and 2, the broker has acknowledged it; the window moves on over the oldest.
#[derive(Debug)]
pub(super) struct Window {
    size: u64,
    slots: Box<[Slot]>,
    /// The oldest message not yet complete, and the next to be sent.
    first: u64,
    next: u64,
    receivers: u32,
    is_acknowledged: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    sent_at: u64,
    receivers_left: u32,
    is_acknowledgement_due: bool,
}

impl Slot {
    fn is_complete(self) -> bool {
        self.receivers_left == 0 && !self.is_acknowledgement_due
    }
}

/// Nothing of that kind was awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unexpected;

impl Window {
    /// `size` is at most [`WINDOW_MAX`]. Without receivers it holds what is not yet acknowledged.
    pub(super) fn new(size: u16, receivers: u32, is_acknowledged: bool) -> Self {
        let slots = usize::from(size.clamp(1, WINDOW_MAX)).next_power_of_two();
        Self {
            size: size.into(),
            slots: vec![Slot::default(); slots].into(),
            first: 0,
            next: 0,
            receivers,
            is_acknowledged,
        }
    }

    /// Lets no more than `size` be outstanding.
    pub(super) fn limit(&mut self, size: u16) {
        self.size = self.size.min(size.into());
    }

    /// Whether another message may be sent.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.next - self.first < self.size
    }

    /// How many messages were sent.
    pub(super) fn sent(&self) -> u64 {
        self.next
    }

    /// Whether nothing is outstanding.
    pub(super) fn is_idle(&self) -> bool {
        self.first == self.next
    }

    /// What the broker has not acknowledged: sequence numbers and packet identifiers, oldest first.
    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = (u64, u16)> {
        let numbers = (self.first..self.next).map(|sequence| (sequence, self.slot(sequence)));
        let due = numbers.filter(|(_, slot)| self.slots[*slot].is_acknowledgement_due);
        due.map(|(sequence, slot)| (sequence, slot as u16 + 1))
    }

    /// Deliveries that are missing.
    pub(super) fn undelivered(&self) -> u64 {
        let slots = (self.first..self.next).map(|sequence| self.slots[self.slot(sequence)]);
        slots.map(|slot| u64::from(slot.receivers_left)).sum()
    }

    #[inline]
    fn slot(&self, sequence: u64) -> usize {
        // The mask is below 2^16.
        (sequence & (self.slots.len() as u64 - 1)) as usize
    }

    /// Sends one: its sequence number and packet identifier.
    #[inline]
    pub(super) fn send(&mut self, now: u64) -> (u64, u16) {
        let sequence = self.next;
        let slot = self.slot(sequence);
        self.slots[slot] = Slot {
            sent_at: now,
            receivers_left: self.receivers,
            is_acknowledgement_due: self.is_acknowledged,
        };
        self.next += 1;
        if self.receivers == 0 {
            self.advance();
        }
        (sequence, slot as u16 + 1)
    }

    /// A receiver has it: when it was sent.
    #[inline]
    pub(super) fn handle_delivery(&mut self, sequence: u64) -> Result<u64, Unexpected> {
        if !(self.first..self.next).contains(&sequence) {
            return Err(Unexpected);
        }
        let slot = self.slot(sequence);
        let slot = &mut self.slots[slot];
        slot.receivers_left = slot.receivers_left.checked_sub(1).ok_or(Unexpected)?;
        let sent_at = slot.sent_at;
        self.advance();
        Ok(sent_at)
    }

    /// Whether the broker has yet to acknowledge it.
    pub(super) fn is_awaited(&self, packet_id: u16) -> bool {
        let slot = usize::from(packet_id).checked_sub(1).and_then(|slot| self.slots.get(slot));
        slot.is_some_and(|slot| slot.is_acknowledgement_due)
    }

    /// The broker has taken it over: when it was sent.
    #[inline]
    pub(super) fn handle_acknowledgement(&mut self, packet_id: u16) -> Result<u64, Unexpected> {
        let slot = usize::from(packet_id).checked_sub(1).and_then(|slot| self.slots.get_mut(slot));
        let slot = slot.filter(|slot| slot.is_acknowledgement_due).ok_or(Unexpected)?;
        slot.is_acknowledgement_due = false;
        let sent_at = slot.sent_at;
        self.advance();
        Ok(sent_at)
    }

    #[inline]
    fn advance(&mut self) {
        while self.first < self.next && self.slots[self.slot(self.first)].is_complete() {
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests;
