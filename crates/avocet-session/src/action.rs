//! What a session asks the broker to do.

use avocet_mqtt::{Auth, PacketId, QoS, ReasonCode, Subscribe, Transit, Unsubscribe};

/// What a session asks of the broker: messages to route, then at most one thing more, before which
/// no other packet may be handled. The session has checked it as far as one client can.
#[derive(Debug, Default)]
pub struct Actions<'a> {
    /// Route these in order, then call
    /// [`Session::handle_published`](crate::Session::handle_published) for each that has a packet
    /// identifier.
    pub inbound: Vec<Inbound<'a>>,
    /// Do this after them.
    pub then: Option<Action>,
}

/// Something only the broker can do.
#[derive(Debug)]
pub enum Action {
    /// Enter these subscriptions, then call
    /// [`Session::handle_subscribed`](crate::Session::handle_subscribed).
    Subscribe(Subscribe),
    /// Remove these, then call
    /// [`Session::handle_unsubscribed`](crate::Session::handle_unsubscribed).
    Unsubscribe(Unsubscribe),
    /// A step of re-authentication.
    Authenticate(Box<Auth>),
    /// Write what there is, then end the connection. Nothing more is taken from it.
    Close(CloseReason),
}

/// A message as received, and how it has to be answered.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// The message, with its topic even if an alias stood for it.
    pub transit: Transit<'a>,
    /// Of QoS 1 and 2.
    pub packet_id: Option<PacketId>,
    /// The broker's to set: what the publisher will be told.
    pub reason: ReasonCode,
}

impl Inbound<'_> {
    /// What to give back to `handle_published`, if an answer is due.
    #[must_use]
    pub fn receipt(&self) -> Option<(PacketId, QoS)> {
        self.packet_id.map(|id| (id, self.transit.qos()))
    }
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client sent DISCONNECT with this reason.
    Client(ReasonCode),
    /// The client did what it must not, or the broker wills it. A client of 5.0 has been sent a
    /// DISCONNECT with this reason.
    Server {
        /// The code.
        reason: ReasonCode,
        /// What exactly, for the log and for the client's Reason String.
        detail: &'static str,
    },
}

impl CloseReason {
    /// The code, whoever closed.
    #[must_use]
    pub fn reason(self) -> ReasonCode {
        match self {
            Self::Client(reason) | Self::Server { reason, .. } => reason,
        }
    }
}
