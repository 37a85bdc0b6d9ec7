//! MQTT's words and bytes.
//!
//! - [`packet`]: one type, [`Packet`], and one file for each control packet;
//! - [`codec`]: bytes to [`Packet`] and back, the protocol version being a value;
//! - [`property`]: the properties of 5.0, their identifiers, and those of a PUBLISH that are passed
//!   on;
//! - [`message`]: an application message, borrowed while in transit and owned once it has to wait;
//! - [`topic`]: the rules of topic names and topic filters;
//! - [`reason`], [`qos`], [`version`], [`id`]: the small words.
//!
//! This crate knows no socket, no clock and no session.
#![warn(missing_docs)]

pub mod codec;
pub mod id;
pub mod message;
pub mod packet;
pub mod property;
pub mod qos;
pub mod reason;
pub mod topic;
pub mod version;

pub use codec::{
    Codec, DecodeError, WholePacket, encode, encode_publish, encoded_len, publish_len,
};
pub use id::{PacketId, SubscriptionIdentifier};
pub use message::{ApplicationMessage, Expiry, Frame, Frames, Run, Transit};
pub use packet::{
    Ack, AckKind, Auth, Connack, Connect, Disconnect, Packet, Publish, RetainHandling, Suback,
    Subscribe, Subscription, SubscriptionOptions, Unsuback, Unsubscribe, Will,
};
pub use property::{ForwardedProperties, ForwardedProperty, OwnedProperties, UserProperties};
pub use qos::QoS;
pub use reason::ReasonCode;
pub use topic::TopicError;
pub use version::ProtocolVersion;
