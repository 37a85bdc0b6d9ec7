//! PUBACK, PUBREC, PUBREL and PUBCOMP: four names for one shape (sections 3.4 to 3.7).

use crate::{PacketId, ReasonCode, UserProperties};

/// What the four acknowledgements carry. 3.1.1 sends only the packet identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The exchange this belongs to.
    pub packet_id: PacketId,
    /// How it went; `Success` in versions that cannot say.
    pub reason: ReasonCode,
    /// A sentence for a human.
    pub reason_string: Option<Box<str>>,
    /// Whatever the sender wished to add.
    pub user_properties: UserProperties,
}

impl Ack {
    /// An acknowledgement without any property.
    #[must_use]
    pub fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, reason_string: None, user_properties: UserProperties::default() }
    }
}
