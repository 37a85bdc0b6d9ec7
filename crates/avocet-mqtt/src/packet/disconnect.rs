//! DISCONNECT (section 3.14).

use crate::{ReasonCode, UserProperties};

/// The last packet of a conversation. All but the bare fact is 5.0's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Why.
    pub reason: ReasonCode,
    /// Seconds: a client may change what it asked for at CONNECT.
    pub session_expiry_interval: Option<u32>,
    /// A sentence for a human.
    pub reason_string: Option<String>,
    /// Another server to use.
    pub server_reference: Option<String>,
    /// Whatever the sender wished to add.
    pub user_properties: UserProperties,
}

impl Disconnect {
    /// A DISCONNECT without any property.
    #[must_use]
    pub fn new(reason: ReasonCode) -> Self {
        Self {
            reason,
            session_expiry_interval: None,
            reason_string: None,
            server_reference: None,
            user_properties: UserProperties::default(),
        }
    }
}
