//! AUTH (5.0 section 3.15).

use crate::{ReasonCode, UserProperties};

/// A step of enhanced authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// `Success`, `ContinueAuthentication` or `Reauthenticate`.
    pub reason: ReasonCode,
    /// The method; the codec refuses an AUTH without one.
    pub authentication_method: Option<String>,
    /// What the method wants to say.
    pub authentication_data: Option<Vec<u8>>,
    /// A sentence for a human.
    pub reason_string: Option<String>,
    /// Whatever the sender wished to add.
    pub user_properties: UserProperties,
}
