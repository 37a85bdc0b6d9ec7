//! Order within a shared subscription: what a member gets of one publisher comes in order. What is
//! lost or doubled is a matter of the whole group, and found by the publisher's window.

/// The most ways from a publisher to a member.
pub(super) const WAYS_MAX: u64 = 10_000_000;

#[derive(Debug)]
pub(super) struct Group {
    members: usize,
    /// The lowest sequence number in order, for each publisher and member.
    expected: Box<[u64]>,
}

impl Group {
    /// `publishers` times `members` is at most [`WAYS_MAX`].
    pub(super) fn new(publishers: u32, members: u32) -> Self {
        let (publishers, members) = (publishers as usize, members as usize);
        Self { members, expected: vec![0; publishers * members].into() }
    }

    /// Whether a message comes after all that this member had of this publisher; `None` if there
    /// are no such two.
    #[inline]
    pub(super) fn handle_arrival(
        &mut self,
        publisher: usize,
        member: usize,
        sequence: u64,
    ) -> Option<bool> {
        let way = publisher.checked_mul(self.members)? + member;
        let expected = self.expected.get_mut(way).filter(|_| member < self.members)?;
        let is_in_order = sequence >= *expected;
        if is_in_order {
            *expected = sequence + 1;
        }
        Some(is_in_order)
    }
}

#[cfg(test)]
mod tests;
