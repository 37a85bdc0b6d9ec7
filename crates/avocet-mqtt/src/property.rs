//! The properties of 5.0 (section 2.2.2): the table that says of each what it is and where it may
//! stand, reading and writing by that table, and those that a server passes on.

mod forwarded;

pub use forwarded::{
    ForwardedProperties, ForwardedProperty, OwnedProperties, OwnedPropertiesBuilder,
};

use crate::{
    DecodeError,
    codec::{Reader, Writer},
};

/// User properties in the order sent (section 2.2.2.2): names may repeat, order is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserProperties(Vec<(String, String)>);

impl UserProperties {
    /// Adds one at the end.
    pub fn push(&mut self, name: String, value: String) {
        self.0.push((name, value));
    }

    /// The pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none; no memory is held then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, (name, value): (&str, &str)) {
        self.push(name.to_owned(), value.to_owned());
    }

    pub(crate) fn encode(&self, writer: &mut Writer<'_>) {
        for (name, value) in self.iter() {
            writer.property(PropertyId::UserProperty, Value::Pair(name, value));
        }
    }
}

impl FromIterator<(String, String)> for UserProperties {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// The packets that carry properties, and the will, which has its own; one bit each.
pub(crate) mod carrier {
    pub(crate) const CONNECT: u16 = 1 << 0;
    pub(crate) const CONNACK: u16 = 1 << 1;
    pub(crate) const PUBLISH: u16 = 1 << 2;
    pub(crate) const WILL: u16 = 1 << 3;
    /// PUBACK, PUBREC, PUBREL, PUBCOMP.
    pub(crate) const ACK: u16 = 1 << 4;
    pub(crate) const SUBSCRIBE: u16 = 1 << 5;
    pub(crate) const SUBACK: u16 = 1 << 6;
    pub(crate) const UNSUBSCRIBE: u16 = 1 << 7;
    pub(crate) const UNSUBACK: u16 = 1 << 8;
    pub(crate) const DISCONNECT: u16 = 1 << 9;
    pub(crate) const AUTH: u16 = 1 << 10;
    /// PUBLISH and will: the properties that a server passes on.
    pub(crate) const FORWARDED: u16 = 1 << 11;
    pub(crate) const ANSWER: u16 = CONNACK | ACK | SUBACK | UNSUBACK | DISCONNECT | AUTH;
    pub(crate) const ANY: u16 = ANSWER | CONNECT | PUBLISH | WILL | SUBSCRIBE | UNSUBSCRIBE;
}
use carrier::{
    ANSWER, ANY, AUTH, CONNACK, CONNECT, DISCONNECT, FORWARDED, PUBLISH, SUBSCRIBE, WILL,
};

/// The data type of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Byte,
    TwoByte,
    FourByte,
    Variable,
    Text,
    Binary,
    Pair,
}

impl Kind {
    #[inline]
    pub(crate) fn read<'a>(self, reader: &mut Reader<'a>) -> Result<Value<'a>, DecodeError> {
        Ok(match self {
            Self::Byte => Value::Byte(reader.u8()?),
            Self::TwoByte => Value::TwoByte(reader.u16()?),
            Self::FourByte => Value::FourByte(reader.u32()?),
            Self::Variable => Value::Variable(reader.variable()?),
            Self::Text => Value::Text(reader.text()?), // [MQTT5-3.3.2-13] [MQTT5-3.3.2-19]
            Self::Binary => Value::Binary(reader.binary()?),
            Self::Pair => Value::Pair(reader.text()?, reader.text()?), // [MQTT5-1.5.7-1]
        })
    }

    /// [`Self::read`] without a look at what is inside.
    #[inline]
    pub(crate) fn skip(self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        match self {
            Self::Byte => reader.take(1).map(drop),
            Self::TwoByte => reader.take(2).map(drop),
            Self::FourByte => reader.take(4).map(drop),
            Self::Variable => reader.variable().map(drop),
            Self::Text | Self::Binary => reader.binary().map(drop),
            Self::Pair => reader.binary().and_then(|_| reader.binary()).map(drop),
        }
    }
}

/// The value of a property, by its data type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Byte(u8),
    TwoByte(u16),
    FourByte(u32),
    Variable(u32),
    Text(&'a str),
    Binary(&'a [u8]),
    Pair(&'a str, &'a str),
}

impl Value<'_> {
    pub(crate) fn flag(value: bool) -> Self {
        Self::Byte(value.into())
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Property {
    pub(crate) id: PropertyId,
    pub(crate) kind: Kind,
    pub(crate) carriers: u16,
}

macro_rules! properties {
    ($($name:ident = $id:literal, $kind:ident, $carriers:expr;)*) => {
        /// Property identifiers (5.0 section 2.2.2.2).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum PropertyId { $($name = $id,)* }

        impl Property {
            /// The row of an identifier. It is a variable byte integer, but all take one byte.
            #[inline]
            pub(crate) fn from_byte(id: u8) -> Result<Self, DecodeError> {
                match id {
                    $($id => Ok(Self {
                        id: PropertyId::$name,
                        kind: Kind::$kind,
                        carriers: $carriers,
                    }),)*
                    _ => Err(DecodeError::PropertyUnknown),
                }
            }
        }
    };
}

properties! {
    PayloadFormatIndicator = 0x01, Byte, PUBLISH | WILL | FORWARDED;
    MessageExpiryInterval = 0x02, FourByte, PUBLISH | WILL;
    ContentType = 0x03, Text, PUBLISH | WILL | FORWARDED;
    ResponseTopic = 0x08, Text, PUBLISH | WILL | FORWARDED;
    CorrelationData = 0x09, Binary, PUBLISH | WILL | FORWARDED;
    SubscriptionIdentifier = 0x0B, Variable, PUBLISH | SUBSCRIBE;
    SessionExpiryInterval = 0x11, FourByte, CONNECT | CONNACK | DISCONNECT;
    AssignedClientIdentifier = 0x12, Text, CONNACK;
    ServerKeepAlive = 0x13, TwoByte, CONNACK;
    AuthenticationMethod = 0x15, Text, CONNECT | CONNACK | AUTH;
    AuthenticationData = 0x16, Binary, CONNECT | CONNACK | AUTH;
    RequestProblemInformation = 0x17, Byte, CONNECT;
    WillDelayInterval = 0x18, FourByte, WILL;
    RequestResponseInformation = 0x19, Byte, CONNECT;
    ResponseInformation = 0x1A, Text, CONNACK;
    ServerReference = 0x1C, Text, CONNACK | DISCONNECT;
    ReasonString = 0x1F, Text, ANSWER;
    ReceiveMaximum = 0x21, TwoByte, CONNECT | CONNACK;
    TopicAliasMaximum = 0x22, TwoByte, CONNECT | CONNACK;
    TopicAlias = 0x23, TwoByte, PUBLISH;
    MaximumQoS = 0x24, Byte, CONNACK;
    RetainAvailable = 0x25, Byte, CONNACK;
    UserProperty = 0x26, Pair, ANY | FORWARDED;
    MaximumPacketSize = 0x27, FourByte, CONNECT | CONNACK;
    WildcardSubscriptionAvailable = 0x28, Byte, CONNACK;
    SubscriptionIdentifierAvailable = 0x29, Byte, CONNACK;
    SharedSubscriptionAvailable = 0x2A, Byte, CONNACK;
}

impl PropertyId {
    /// Whether a server passes it on with the message.
    #[inline]
    pub(crate) fn is_forwarded(self) -> bool {
        Property::from_byte(self as u8).is_ok_and(|row| row.carriers & FORWARDED != 0)
    }
}

/// Reads the properties of one packet by the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PropertyReader<'a> {
    reader: Reader<'a>,
    carrier: u16,
    /// A bit for each identifier met.
    seen: u64,
}

impl<'a> PropertyReader<'a> {
    /// Takes property length and properties off `body`.
    #[inline]
    pub(crate) fn take(body: &mut Reader<'a>, carrier: u16) -> Result<Self, DecodeError> {
        let length = body.variable()?;
        Ok(Self::new(body.take(length as usize)?, carrier))
    }

    #[inline]
    pub(crate) fn new(section: &'a [u8], carrier: u16) -> Self {
        Self { reader: Reader::new(section), carrier, seen: 0 }
    }

    /// Bytes not yet read.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }

    /// `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(PropertyId, Value<'a>)>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let id = self.reader.u8()?;
        let property = Property::from_byte(id)?;
        if property.carriers & self.carrier == 0 {
            return Err(DecodeError::PropertyNotAllowed);
        }
        let bit = 1 << id;
        if self.seen & bit != 0 && !self.may_repeat(property.id) {
            return Err(DecodeError::PropertyTwice);
        }
        self.seen |= bit;
        let value = property.kind.read(&mut self.reader)?;
        check(property.id, value)?;
        Ok(Some((property.id, value)))
    }

    fn may_repeat(&self, id: PropertyId) -> bool {
        id == PropertyId::UserProperty
            || (id == PropertyId::SubscriptionIdentifier && self.carrier == PUBLISH)
    }
}

/// The limits of values, where the data type does not say it all.
#[inline]
fn check(id: PropertyId, value: Value<'_>) -> Result<(), DecodeError> {
    use PropertyId as P;
    let error = match (id, value) {
        (P::PayloadFormatIndicator, Value::Byte(2..)) => DecodeError::PayloadFormatIndicatorInvalid,
        (P::MaximumQoS, Value::Byte(2..)) => DecodeError::MaximumQoSInvalid,
        (_, Value::Byte(2..)) => DecodeError::BooleanInvalid,
        (P::ReceiveMaximum, Value::TwoByte(0)) => DecodeError::ReceiveMaximumZero,
        (P::TopicAlias, Value::TwoByte(0)) => DecodeError::TopicAliasZero, // [MQTT5-3.3.2-8]
        (P::MaximumPacketSize, Value::FourByte(0)) => DecodeError::MaximumPacketSizeZero,
        (P::SubscriptionIdentifier, Value::Variable(0)) => DecodeError::SubscriptionIdentifierZero,
        (P::ResponseTopic, Value::Text(topic))
            if topic.is_empty() || topic.contains(['+', '#']) =>
        {
            DecodeError::ResponseTopicInvalid // [MQTT5-3.3.2-14]
        }
        _ => return Ok(()),
    };
    Err(error)
}

/// Reason string and user properties, which are all that most answers carry.
pub(crate) fn decode_diagnostics<'a>(
    body: &mut Reader<'a>,
    carrier: u16,
) -> Result<(Option<&'a str>, UserProperties), DecodeError> {
    let mut properties = PropertyReader::take(body, carrier)?;
    let mut reason_string = None;
    let mut user_properties = UserProperties::default();
    while let Some(property) = properties.next()? {
        match property {
            (PropertyId::ReasonString, Value::Text(text)) => reason_string = Some(text),
            (PropertyId::UserProperty, Value::Pair(name, value)) => {
                user_properties.add((name, value));
            }
            _ => return Err(DecodeError::PropertyNotAllowed),
        }
    }
    Ok((reason_string, user_properties))
}

/// The other way, property length included.
pub(crate) fn encode_diagnostics(
    reason_string: Option<&str>,
    user_properties: &UserProperties,
    writer: &mut Writer<'_>,
) {
    writer.counted(|writer| {
        writer.optional(PropertyId::ReasonString, reason_string.map(Value::Text));
        user_properties.encode(writer);
    });
}

impl Writer<'_> {
    pub(crate) fn property(&mut self, id: PropertyId, value: Value<'_>) {
        self.u8(id as u8);
        match value {
            Value::Byte(value) => self.u8(value),
            Value::TwoByte(value) => self.u16(value),
            Value::FourByte(value) => self.u32(value),
            Value::Variable(value) => self.variable(value as usize),
            Value::Text(text) => self.text(text),
            Value::Binary(bytes) => self.binary(bytes),
            Value::Pair(name, value) => {
                self.text(name);
                self.text(value);
            }
        }
    }

    pub(crate) fn optional(&mut self, id: PropertyId, value: Option<Value<'_>>) {
        if let Some(value) = value {
            self.property(id, value);
        }
    }
}
