//! What a session asks the broker to do.

use std::sync::Arc;

use avocet_mqtt::{
    ApplicationMessage, Auth, PacketId, QoS, ReasonCode, Run, Subscribe, Transit, Unsubscribe,
    message::OwnedFrames,
};
use smallvec::SmallVec;

/// What a session asks of the broker: messages to route, then at most one thing more, before which
/// no other packet may be handled. The session has checked it as far as one client can.
#[derive(Debug, Default)]
pub struct Actions<'a> {
    /// Route these in order, then call
    /// [`Session::handle_published`](crate::Session::handle_published) for each that has a packet
    /// identifier.
    pub inbound: SmallVec<[Inbound<'a>; 2]>,
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

/// Messages as received, and how they have to be answered.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// What came.
    pub messages: Messages<'a>,
    /// The broker's to set: what the publisher will be told of each.
    pub reason: ReasonCode,
}

/// One message, or several of one topic that can be handled alike.
#[derive(Debug)]
pub enum Messages<'a> {
    /// A message that has to be written anew for each receiver, with its topic even if an alias
    /// stood for it; and its packet identifier, if it is of QoS 1 or 2.
    One(Transit<'a>, Option<PacketId>),
    /// Messages that go on as they came.
    Run(Run<'a>),
}

impl<'a> Messages<'a> {
    /// Their topic name.
    #[inline]
    #[must_use]
    pub fn topic(&self) -> &str {
        match self {
            Self::One(transit, _) => transit.topic(),
            Self::Run(run) => run.topic(),
        }
    }

    /// The QoS they were published with.
    #[inline]
    #[must_use]
    pub fn qos(&self) -> QoS {
        match self {
            Self::One(transit, _) => transit.qos(),
            Self::Run(run) => run.qos(),
        }
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is one at least")]
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::One(..) => 1,
            Self::Run(run) => run.frames().len(),
        }
    }

    /// Whether it is to be retained.
    #[inline]
    #[must_use]
    pub fn retain(&self) -> bool {
        match self {
            Self::One(transit, _) => transit.retain(),
            Self::Run(_) => false,
        }
    }

    /// One by one.
    #[must_use]
    pub fn transits(&self) -> &[Transit<'a>] {
        match self {
            Self::One(transit, _) => std::slice::from_ref(transit),
            Self::Run(run) => run.transits(),
        }
    }

    /// The identifiers to give back to `handle_published`, in order.
    pub fn packet_ids(&self) -> impl Iterator<Item = PacketId> {
        let (mut one, mut run) = match self {
            Self::One(_, packet_id) => (*packet_id, None),
            Self::Run(run) if run.qos() == QoS::AtMostOnce => (None, None),
            Self::Run(run) => (None, Some(run.frames().iter())),
        };
        std::iter::from_fn(move || match &mut run {
            Some(frames) => frames.next()?.packet_id(),
            None => one.take(),
        })
    }
}

/// [`Messages`] that own their bytes.
#[derive(Debug)]
pub enum OwnedMessages {
    /// One message.
    One(Arc<ApplicationMessage>),
    /// As they came and, for whoever has to keep one, each by itself.
    Run(OwnedFrames, Vec<Arc<ApplicationMessage>>),
}

impl OwnedMessages {
    /// The same messages, able to wait.
    #[must_use]
    pub fn of(messages: &Messages<'_>) -> Self {
        let share = |transit: &Transit<'_>| Arc::clone(transit.share());
        match messages {
            Messages::One(transit, _) => Self::One(share(transit)),
            Messages::Run(run) => {
                Self::Run(run.frames().keep(), run.transits().iter().map(share).collect())
            }
        }
    }

    /// Borrowed again.
    #[must_use]
    pub fn borrow(&self) -> Messages<'_> {
        match self {
            Self::One(message) => Messages::One(Transit::from_shared(message), None),
            Self::Run(frames, messages) => {
                let transits = messages.iter().map(Transit::from_shared).collect();
                Messages::Run(Run::kept(frames.borrow(), transits))
            }
        }
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
