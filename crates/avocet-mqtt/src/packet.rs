//! The control packets: one type, one file for each. No version branches here; the codec knows
//! which version carries what.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod subscribe;
mod unsubscribe;

pub use ack::{Ack, AckKind};
pub(crate) use ack::{decode_reason, decode_reasons};
pub use auth::Auth;
pub use connack::Connack;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use publish::Publish;
pub(crate) use publish::PublishHead;
pub use subscribe::{RetainHandling, Suback, Subscribe, Subscription, SubscriptionOptions};
pub use unsubscribe::{Unsuback, Unsubscribe};

/// A control packet. Only PUBLISH borrows from the bytes it was read from; the others own theirs.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet<'a> {
    /// Client to server: opens the conversation.
    Connect(Box<Connect>),
    /// Server to client: answers CONNECT.
    Connack(Box<Connack>),
    /// Either way: an application message.
    Publish(Publish<'a>),
    /// Answers a PUBLISH of QoS 1.
    Puback(Ack),
    /// Answers a PUBLISH of QoS 2.
    Pubrec(Ack),
    /// Answers PUBREC.
    Pubrel(Ack),
    /// Answers PUBREL.
    Pubcomp(Ack),
    /// Client to server: wants messages.
    Subscribe(Subscribe),
    /// Server to client: answers SUBSCRIBE.
    Suback(Suback),
    /// Client to server: wants them no more.
    Unsubscribe(Unsubscribe),
    /// Server to client: answers UNSUBSCRIBE.
    Unsuback(Unsuback),
    /// Client to server: still there.
    Pingreq,
    /// Server to client: so am I.
    Pingresp,
    /// Ends the conversation: a client in every version, a server in 5.0 only.
    Disconnect(Box<Disconnect>),
    /// A step of enhanced authentication, 5.0 only.
    Auth(Box<Auth>),
}

impl Packet<'_> {
    /// The acknowledgement, if it is one of PUBACK, PUBREC, PUBREL and PUBCOMP.
    #[inline]
    #[must_use]
    pub fn as_ack(&self) -> Option<(AckKind, &Ack)> {
        match self {
            Self::Puback(ack) => Some((AckKind::Puback, ack)),
            Self::Pubrec(ack) => Some((AckKind::Pubrec, ack)),
            Self::Pubrel(ack) => Some((AckKind::Pubrel, ack)),
            Self::Pubcomp(ack) => Some((AckKind::Pubcomp, ack)),
            Self::Connect(_)
            | Self::Connack(_)
            | Self::Publish(_)
            | Self::Subscribe(_)
            | Self::Suback(_)
            | Self::Unsubscribe(_)
            | Self::Unsuback(_)
            | Self::Pingreq
            | Self::Pingresp
            | Self::Disconnect(_)
            | Self::Auth(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
