//! CONNECT (section 3.1).

use std::num::{NonZeroU16, NonZeroU32};

use crate::{ProtocolVersion, QoS, UserProperties, property::OwnedProperties};

/// A client's request to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The version the client speaks, from protocol name and level.
    pub version: ProtocolVersion,
    /// The bridge bit of mosquitto and RSMB: the level was sent with 0x80 added. Such a client
    /// relays for another broker.
    pub bridge: bool,
    /// Clean Session in 3.1.1, Clean Start in 5.0.
    pub clean_start: bool,
    /// Seconds; zero turns keep alive off.
    pub keep_alive: u16,
    /// May be empty: the server then assigns one, where the version allows.
    pub client_id: String,
    /// The message to publish should the connection end without DISCONNECT.
    pub will: Option<Will>,
    /// User name.
    pub username: Option<String>,
    /// Password: any bytes.
    pub password: Option<Vec<u8>>,
    /// Seconds the session outlives the connection; 0xFFFF_FFFF is for ever. `None` = not sent.
    pub session_expiry_interval: Option<u32>,
    /// How many QoS 1 and 2 messages the client takes at once; `None` = 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The largest packet the client takes, in bytes; `None` = no limit but the protocol's.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The highest topic alias the server may use towards the client; zero: none.
    pub topic_alias_maximum: u16,
    /// Whether the client wants Response Information in CONNACK.
    pub request_response_information: bool,
    /// Whether reason strings and user properties may come on packets other than PUBLISH,
    /// CONNACK and DISCONNECT; true if not sent.
    pub request_problem_information: bool,
    /// Enhanced authentication's method.
    pub authentication_method: Option<String>,
    /// Enhanced authentication's first data.
    pub authentication_data: Option<Vec<u8>>,
    /// Whatever the client wished to add.
    pub user_properties: UserProperties,
}

impl Connect {
    /// A CONNECT with everything optional left out.
    #[must_use]
    pub fn new(version: ProtocolVersion, client_id: &str) -> Self {
        Self {
            version,
            bridge: false,
            clean_start: true,
            keep_alive: 0,
            client_id: client_id.to_owned(),
            will: None,
            username: None,
            password: None,
            session_expiry_interval: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            authentication_method: None,
            authentication_data: None,
            user_properties: UserProperties::default(),
        }
    }
}

/// The will message and how to publish it (sections 3.1.2.5 and 3.1.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// With which quality.
    pub qos: QoS,
    /// Whether to keep it.
    pub retain: bool,
    /// Seconds to wait after the connection ended, in case the client comes back.
    pub delay_interval: u32,
    /// Seconds the message lives once published.
    pub message_expiry_interval: Option<u32>,
    /// Payload format, content type, response topic, correlation data and user properties.
    pub properties: OwnedProperties,
}
