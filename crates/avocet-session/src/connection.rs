//! What a session knows of the connection it has: it ends with it.

use std::time::Duration;

use avocet_mqtt::{ProtocolVersion, Will};

use crate::alias::{InboundAliases, OutboundAliases};

/// The connection's half of a session.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) version: ProtocolVersion,
    /// The client relays for another broker: retained flags stay, nothing comes back.
    pub(crate) bridge: bool,
    /// The client's Receive Maximum, or ours if that is lower.
    pub(crate) window: u16,
    /// Bytes of the largest packet the client takes.
    pub(crate) packet_bytes_max: Option<usize>,
    /// The client wants reason strings.
    pub(crate) problem_information: bool,
    /// One and a half keep alive intervals; `None`: the client may be silent for ever.
    pub(crate) silence_max: Option<Duration>,
    pub(crate) inbound_aliases: InboundAliases,
    pub(crate) outbound_aliases: OutboundAliases,
    /// QoS 1 messages handed to the broker and not answered.
    pub(crate) publishes_pending: usize,
    /// The method of enhanced authentication the client began with.
    pub(crate) authentication_method: Option<Box<str>>,
    pub(crate) will: Option<Box<Will>>,
    /// DISCONNECT came or the broker closed: nothing more is taken.
    pub(crate) closing: bool,
}
