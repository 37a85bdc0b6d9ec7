//! PUBLISH (section 3.3).

use std::{borrow::Cow, num::NonZeroU16};

use crate::{ForwardedProperties, PacketId, QoS, SubscriptionIdentifier};

/// An application message on the wire, borrowed from the bytes it was read from or is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether this is a retransmission.
    pub dup: bool,
    /// The quality of this hop.
    pub qos: QoS,
    /// Client to server: keep it. Server to client: it was kept.
    pub retain: bool,
    /// Empty only where a topic alias stands for it.
    pub topic: &'a str,
    /// Present exactly with QoS 1 and 2.
    pub packet_id: Option<PacketId>,
    /// Seconds left to live.
    pub message_expiry_interval: Option<u32>,
    /// A number for the topic.
    pub topic_alias: Option<NonZeroU16>,
    /// Which of the client's subscriptions brought it; only from a server.
    pub subscription_identifiers: Cow<'a, [SubscriptionIdentifier]>,
    /// The properties that a server passes on as they are.
    pub properties: ForwardedProperties<'a>,
    /// Any bytes.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// A message without properties.
    #[must_use]
    pub fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        Self {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            packet_id: None,
            message_expiry_interval: None,
            topic_alias: None,
            subscription_identifiers: Cow::Borrowed(&[]),
            properties: ForwardedProperties::default(),
            payload,
        }
    }
}
