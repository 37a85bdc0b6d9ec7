//! Numbers that name things inside one connection.

use std::num::{NonZeroU16, NonZeroU32};

/// Names one exchange in flight between a client and the server (section 2.2.1); never zero.
pub type PacketId = NonZeroU16;

/// The identifier that comes after `id`: 1 after 65,535.
#[inline]
#[must_use]
pub fn following(id: PacketId) -> PacketId {
    id.checked_add(1).unwrap_or(PacketId::MIN)
}

/// What a client of 5.0 asks to see on every message that a subscription brought
/// (section 3.8.2.1.2): 1 to 268,435,455.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionIdentifier(NonZeroU32);

impl SubscriptionIdentifier {
    /// The largest value a variable byte integer can hold.
    pub const MAX: u32 = 268_435_455;

    /// `None` for zero and for what a variable byte integer cannot hold.
    #[must_use]
    pub fn new(value: u32) -> Option<Self> {
        NonZeroU32::new(value).filter(|v| v.get() <= Self::MAX).map(Self)
    }

    /// The number itself.
    #[must_use]
    pub fn value(self) -> u32 {
        self.0.get()
    }
}
