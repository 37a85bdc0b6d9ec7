//! UNSUBSCRIBE and UNSUBACK (sections 3.10 and 3.11).

use crate::{PacketId, ReasonCode, UserProperties};

/// A client's wish to receive no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The exchange this opens.
    pub packet_id: PacketId,
    /// Whatever the client wished to add.
    pub user_properties: UserProperties,
    /// At least one, as they were subscribed.
    pub filters: Vec<String>,
}

/// The server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsuback {
    /// The exchange this ends.
    pub packet_id: PacketId,
    /// A sentence for a human.
    pub reason_string: Option<String>,
    /// Whatever the server wished to add.
    pub user_properties: UserProperties,
    /// One for each filter, in the order asked; 3.1.1 sends none.
    pub reasons: Vec<ReasonCode>,
}
