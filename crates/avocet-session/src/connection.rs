//! What a session knows of the connection it has: it ends with it.

use std::num::NonZeroU32;

use avocet_mqtt::{Frames, ProtocolVersion, QoS, Will};

use crate::{
    Mountpoint,
    alias::{InboundAliases, OutboundAliases},
    answer::Answers,
};

/// The connection's half of a session.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) version: ProtocolVersion,
    /// The client relays for another broker: retained flags stay, nothing comes back.
    pub(crate) bridge: bool,
    /// The client's Receive Maximum, or ours if that is lower.
    pub(crate) window: u16,
    /// Bytes of the largest packet the client takes.
    pub(crate) packet_bytes_max: Option<NonZeroU32>,
    /// The client wants reason strings.
    pub(crate) problem_information: bool,
    /// Seconds; 0: the client may be silent for ever.
    pub(crate) keep_alive: u16,
    pub(crate) inbound_aliases: InboundAliases,
    pub(crate) outbound_aliases: OutboundAliases,
    pub(crate) answers: Answers,
    /// The method of enhanced authentication the client began with.
    pub(crate) authentication_method: Option<Box<str>>,
    pub(crate) will: Option<Box<Will>>,
    /// What stands before every topic of this client, to all others.
    pub(crate) mountpoint: Option<Box<Mountpoint>>,
    /// CONNECT asked for a session that outlives the connection, whatever was granted.
    pub(crate) outlives: bool,
    pub(crate) phase: Phase,
}

/// How far a connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It goes on.
    Open,
    /// The client has sent DISCONNECT: nothing more is taken, and no new message sent.
    ClientLeft,
    /// The server has ended it: nothing more is sent at all ([MQTT5-3.14.4-1]).
    ServerClosed,
}

impl Connection {
    /// Whether PUBLISHes may go to the client as they came, with this QoS: nothing of the
    /// connection's own is to be put in, and none is too large.
    #[inline]
    pub(crate) fn takes(&self, frames: &Frames<'_>, qos: QoS) -> bool {
        self.is_open()
            && frames.is_for(self.version, qos)
            && !self.outbound_aliases.in_use()
            && self.mountpoint.is_none()
            && self.packet_bytes_max().is_none_or(|max| frames.longest() <= max) // [MQTT5-3.1.2-24]
    }

    /// Bytes of the largest packet the client takes.
    #[inline]
    pub(crate) fn packet_bytes_max(&self) -> Option<usize> {
        self.packet_bytes_max.map(|max| usize::try_from(max.get()).unwrap_or(usize::MAX))
    }

    /// Whether acknowledgements may be sent without a look at each.
    pub(crate) fn takes_all_acks(&self) -> bool {
        self.packet_bytes_max.is_none() && self.phase != Phase::ServerClosed
    }

    /// Whether packets are taken and messages sent.
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }
}
