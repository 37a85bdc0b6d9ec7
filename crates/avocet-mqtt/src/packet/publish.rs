//! PUBLISH (section 3.3).

use std::{borrow::Cow, num::NonZeroU16};

use crate::{
    DecodeError, ForwardedProperties, PacketId, ProtocolVersion, QoS, SubscriptionIdentifier,
    codec::{DUP, Reader, cut, kind, length_u16, variable_bytes, variable_len},
    property::{PropertyId, PropertyReader, Value, carrier},
};

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

const RETAIN: u8 = 0b0001;

/// Numbers of bytes that have to be known before the first is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    /// All after the fixed header.
    pub(crate) remaining: usize,
    /// Of that, the properties without their length; zero before 5.0.
    properties: usize,
}

/// A PUBLISH whose properties are yet to be looked into. It lives in registers only: moving a
/// whole [`Publish`] about before it is complete took twice as long as all the rest.
pub(crate) struct PublishHead<'a> {
    dup: bool,
    qos: QoS,
    retain: bool,
    topic: &'a str,
    packet_id: Option<PacketId>,
    /// Without their length.
    properties: &'a [u8],
    payload: &'a [u8],
}

impl<'a> PublishHead<'a> {
    #[inline(always)]
    pub(crate) fn decode(
        version: ProtocolVersion,
        flags: u8,
        body: &'a [u8],
        known_topic: &'a str,
    ) -> Result<Self, DecodeError> {
        let mut body = Reader::new(body);
        let dup = flags & DUP != 0;
        let qos = QoS::from_bits(flags >> 1 & 0b11).ok_or(DecodeError::PublishQoSInvalid)?; // [MQTT3-3.3.1-4] [MQTT5-3.3.1-4]
        let topic = body.topic_name(known_topic)?; // [MQTT3-3.3.2-1] [MQTT5-3.3.2-1]
        let packet_id = if qos != QoS::AtMostOnce {
            Some(body.packet_id()?)
        } else if dup {
            return Err(DecodeError::DupWithQoS0); // [MQTT3-3.3.1-2] [MQTT5-3.3.1-2]
        } else {
            None // [MQTT3-2.3.1-5] [MQTT5-2.2.1-2]
        };
        let properties = if version >= ProtocolVersion::V5 {
            let length = body.variable()?;
            body.take(length as usize)?
        } else {
            &[]
        };
        if topic.is_empty() && properties.is_empty() {
            return Err(empty_topic(version));
        }
        let retain = flags & RETAIN != 0;
        Ok(Self { dup, qos, retain, topic, packet_id, properties, payload: body.rest() })
    }

    #[inline(always)]
    pub(crate) fn has_properties(&self) -> bool {
        !self.properties.is_empty()
    }

    /// What it is when it has no properties.
    #[inline(always)]
    pub(crate) fn plain(self) -> Publish<'a> {
        Publish {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: self.topic,
            packet_id: self.packet_id,
            message_expiry_interval: None,
            topic_alias: None,
            subscription_identifiers: Cow::Borrowed(&[]),
            properties: ForwardedProperties::default(),
            payload: self.payload,
        }
    }

    pub(crate) fn with_properties(self) -> Result<Publish<'a>, DecodeError> {
        let mut properties = PropertyReader::new(self.properties, carrier::PUBLISH);
        let mut publish = self.plain();
        publish.properties =
            ForwardedProperties::collect(&mut properties, |id, value| match (id, value) {
                (PropertyId::MessageExpiryInterval, Value::FourByte(seconds)) => {
                    publish.message_expiry_interval = Some(seconds);
                }
                (PropertyId::TopicAlias, Value::TwoByte(alias)) => {
                    publish.topic_alias = NonZeroU16::new(alias);
                }
                (PropertyId::SubscriptionIdentifier, Value::Variable(id)) => {
                    publish
                        .subscription_identifiers
                        .to_mut()
                        .extend(SubscriptionIdentifier::new(id));
                }
                _ => {}
            })?;
        if publish.topic.is_empty() && publish.topic_alias.is_none() {
            return Err(DecodeError::TopicEmptyWithoutAlias);
        }
        Ok(publish)
    }
}

impl Publish<'_> {
    /// The DUP flag stays out of QoS 0.
    #[inline]
    pub(crate) fn first_byte(&self) -> u8 {
        // [MQTT3-4.3.1-1] [MQTT5-4.3.1-1]
        let dup = if self.dup && self.qos != QoS::AtMostOnce { DUP } else { 0 }; // [MQTT3-3.3.1-2] [MQTT5-3.3.1-2]
        kind::PUBLISH << 4 | dup | self.qos.bits() << 1 | u8::from(self.retain)
    }

    #[inline]
    pub(crate) fn lengths(&self, version: ProtocolVersion) -> Lengths {
        let packet_id = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let remaining = 2 + cut(self.topic).len() + packet_id + self.payload.len();
        if version < ProtocolVersion::V5 {
            return Lengths { remaining, properties: 0 };
        }
        let mut properties = self.properties.len();
        if self.message_expiry_interval.is_some() {
            properties += 5;
        }
        if self.topic_alias.is_some() {
            properties += 3;
        }
        for id in &*self.subscription_identifiers {
            properties += 1 + variable_len(id.value() as usize);
        }
        Lengths { remaining: remaining + variable_len(properties) + properties, properties }
    }

    #[inline]
    pub(crate) fn encode(&self, version: ProtocolVersion, lengths: Lengths, out: &mut Vec<u8>) {
        out.reserve(5 + lengths.remaining);
        self.encode_head(version, lengths, out);
        out.extend_from_slice(self.payload);
    }

    /// All but the payload.
    #[inline]
    pub(crate) fn encode_head(
        &self,
        version: ProtocolVersion,
        lengths: Lengths,
        out: &mut Vec<u8>,
    ) {
        let (bytes, len) = variable_bytes(lengths.remaining);
        out.push(self.first_byte());
        out.extend_from_slice(&bytes[..len]);
        let topic = cut(self.topic).as_bytes();
        out.extend_from_slice(&length_u16(topic).to_be_bytes());
        out.extend_from_slice(topic);
        if self.qos != QoS::AtMostOnce {
            debug_assert!(self.packet_id.is_some(), "QoS 1 and 2 need a packet identifier");
            let packet_id = self.packet_id.map_or(0, PacketId::get);
            out.extend_from_slice(&packet_id.to_be_bytes());
        }
        if version >= ProtocolVersion::V5 {
            if lengths.properties == 0 {
                out.push(0); // [MQTT5-2.2.2-1]
            } else {
                self.encode_properties(lengths.properties, out);
            }
        }
    }

    fn encode_properties(&self, length: usize, out: &mut Vec<u8>) {
        let (bytes, len) = variable_bytes(length);
        out.extend_from_slice(&bytes[..len]);
        if let Some(seconds) = self.message_expiry_interval {
            out.push(PropertyId::MessageExpiryInterval as u8);
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        if let Some(alias) = self.topic_alias {
            out.push(PropertyId::TopicAlias as u8);
            out.extend_from_slice(&alias.get().to_be_bytes());
        }
        for id in &*self.subscription_identifiers {
            let (bytes, len) = variable_bytes(id.value() as usize);
            out.push(PropertyId::SubscriptionIdentifier as u8);
            out.extend_from_slice(&bytes[..len]);
        }
        self.properties.write_to(out);
    }
}

#[cold]
fn empty_topic(version: ProtocolVersion) -> DecodeError {
    if version >= ProtocolVersion::V5 {
        DecodeError::TopicEmptyWithoutAlias
    } else {
        DecodeError::TopicNameEmpty // [MQTT3-4.7.3-1]
    }
}
