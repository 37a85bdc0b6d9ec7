//! CONNACK (section 3.2).

use std::num::{NonZeroU16, NonZeroU32};

use crate::{QoS, ReasonCode, UserProperties};

/// The server's answer to CONNECT. All but the first two fields are 5.0's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connack {
    /// Whether the server kept state of this client.
    pub session_present: bool,
    /// `Success`, or why not. The codec gives 3.1.1 the nearest of its return codes.
    pub reason: ReasonCode,
    /// Seconds, if the server does not grant what the client asked for.
    pub session_expiry_interval: Option<u32>,
    /// How many QoS 1 and 2 messages the server takes at once; `None` = 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The highest QoS the server supports; `None` = 2.
    pub maximum_qos: Option<QoS>,
    /// `Some(false)` if the server keeps no retained messages.
    pub retain_available: Option<bool>,
    /// The largest packet the server takes, in bytes.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The identifier the server gave a client that sent none.
    pub assigned_client_identifier: Option<String>,
    /// The highest topic alias the client may use; zero: none.
    pub topic_alias_maximum: u16,
    /// A sentence for a human.
    pub reason_string: Option<String>,
    /// Whatever the server wished to add.
    pub user_properties: UserProperties,
    /// `Some(false)` if wildcards are not supported.
    pub wildcard_subscription_available: Option<bool>,
    /// `Some(false)` if subscription identifiers are not supported.
    pub subscription_identifier_available: Option<bool>,
    /// `Some(false)` if shared subscriptions are not supported.
    pub shared_subscription_available: Option<bool>,
    /// Seconds, if the client has to use another keep alive than it asked for.
    pub server_keep_alive: Option<u16>,
    /// A basis for response topics.
    pub response_information: Option<String>,
    /// Another server to use.
    pub server_reference: Option<String>,
    /// Enhanced authentication's method.
    pub authentication_method: Option<String>,
    /// Enhanced authentication's data.
    pub authentication_data: Option<Vec<u8>>,
}

impl Connack {
    /// An answer without any property.
    #[must_use]
    pub fn new(session_present: bool, reason: ReasonCode) -> Self {
        Self {
            session_present,
            reason,
            session_expiry_interval: None,
            receive_maximum: None,
            maximum_qos: None,
            retain_available: None,
            maximum_packet_size: None,
            assigned_client_identifier: None,
            topic_alias_maximum: 0,
            reason_string: None,
            user_properties: UserProperties::default(),
            wildcard_subscription_available: None,
            subscription_identifier_available: None,
            shared_subscription_available: None,
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        }
    }
}
