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

#[cfg(test)]
mod tests;
