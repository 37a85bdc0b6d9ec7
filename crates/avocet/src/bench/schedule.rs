//! When messages are due: so many a second in all, spread evenly in time over the publishers.

const NANOSECONDS: u64 = 1_000_000_000;

/// Times are nanoseconds since the first message was due.
#[derive(Debug)]
pub(super) struct Schedule {
    rate: u64,
    publishers: u64,
    /// How many messages have been taken.
    taken: u64,
}

impl Schedule {
    /// `rate`: messages a second, at least one, as there is at least one publisher.
    pub(super) fn new(rate: u32, publishers: u32) -> Self {
        Self { rate: rate.max(1).into(), publishers: publishers.max(1).into(), taken: 0 }
    }

    /// When a publisher's message is due.
    #[inline]
    pub(super) fn due_at(&self, publisher: usize, sequence: u64) -> u64 {
        self.time(sequence * self.publishers + publisher as u64)
    }

    /// When the next message is due that has not been taken.
    #[inline]
    pub(super) fn next_due_at(&self) -> u64 {
        self.time(self.taken)
    }

    /// The publisher of the next message, if that is due.
    #[inline]
    pub(super) fn take(&mut self, now: u64) -> Option<usize> {
        if self.next_due_at() > now {
            return None;
        }
        let publisher = self.taken % self.publishers;
        self.taken += 1;
        Some(publisher as usize)
    }

    /// How many messages have been taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Whole seconds and their rest apart, so that the product does not overflow.
    #[inline]
    fn time(&self, number: u64) -> u64 {
        let (seconds, rest) = (number / self.rate, number % self.rate);
        seconds * NANOSECONDS + rest * NANOSECONDS / self.rate
    }
}

#[cfg(test)]
mod tests;
