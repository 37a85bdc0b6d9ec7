//! What a session asks the broker to do.

use std::sync::Arc;

use avocet_mqtt::{Auth, PacketId, Publish, QoS, ReasonCode, Subscribe, Unsubscribe};

/// Something only the broker can do. The session has checked it as far as one client can.
#[derive(Debug, PartialEq)]
pub enum Action<'a> {
    /// Route this message, then call
    /// [`Session::handle_published`](crate::Session::handle_published) if it has a packet
    /// identifier.
    Publish(Inbound<'a>),
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

/// A PUBLISH as received, with the topic its alias stands for.
#[derive(Debug, PartialEq)]
pub struct Inbound<'a> {
    /// The packet. Its topic is empty if an alias stood for it.
    pub publish: Publish<'a>,
    /// The topic behind the alias.
    pub aliased_topic: Option<Arc<str>>,
}

impl Inbound<'_> {
    /// The topic name, however it was sent.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.aliased_topic.as_deref().unwrap_or(self.publish.topic)
    }

    /// What to give back to `handle_published`, if an answer is due.
    #[must_use]
    pub fn receipt(&self) -> Option<(PacketId, QoS)> {
        self.publish.packet_id.map(|id| (id, self.publish.qos))
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
