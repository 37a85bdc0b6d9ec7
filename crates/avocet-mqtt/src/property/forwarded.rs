//! The properties that a server passes on as they are.

use super::{Property, PropertyId, PropertyReader, Value, carrier};
use crate::{
    DecodeError,
    codec::{Reader, Writer},
};

/// The properties of a PUBLISH (or will) that a server passes on unaltered: payload format
/// indicator, content type, response topic, correlation data, user properties
/// (sections 3.3.2.3.2, .3.3.2.3.5 to 3.3.2.3.9). Checked when decoded, then kept as bytes.
///
/// The bytes may have other properties between them (`mixed`); these are passed over by everything
/// here.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardedProperties<'a> {
    raw: &'a [u8],
    len: usize,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedProperty<'a> {
    /// 1 if the payload is UTF-8 text (section 3.3.2.3.2), else 0.
    PayloadFormatIndicator(u8),
    /// What the payload is, in words the parties agreed on (section 3.3.2.3.9).
    ContentType(&'a str),
    /// Where an answer shall go (section 3.3.2.3.5).
    ResponseTopic(&'a str),
    /// What the answer shall carry back (section 3.3.2.3.6).
    CorrelationData(&'a [u8]),
    /// Name and value (section 3.3.2.3.7).
    UserProperty(&'a str, &'a str),
}

impl<'a> ForwardedProperties<'a> {
    /// Properties that [`Self::write_to`] wrote earlier, checked anew.
    ///
    /// # Errors
    ///
    /// The bytes are not properties, or not of those that are forwarded.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut properties = PropertyReader::new(bytes, carrier::FORWARDED);
        while properties.next()?.is_some() {}
        Ok(Self::from_checked(bytes))
    }

    /// What [`Self::write_to`] wrote, unchecked.
    #[inline]
    pub(crate) fn from_checked(bytes: &'a [u8]) -> Self {
        Self { raw: bytes, len: bytes.len() }
    }

    /// Reads all properties; those that are not forwarded are given to `other`.
    pub(crate) fn collect(
        properties: &mut PropertyReader<'a>,
        mut other: impl FnMut(PropertyId, Value<'a>),
    ) -> Result<Self, DecodeError> {
        let section = properties.rest();
        // Only the part from the first forwarded property to the last is kept, so that the common
        // case, all of them in a row, is one copy when sent on.
        let (mut start, mut end, mut len) = (0, 0, 0);
        loop {
            let before = section.len() - properties.rest().len();
            let Some((id, value)) = properties.next()? else { break };
            if !id.is_forwarded() {
                other(id, value);
                continue;
            }
            if len == 0 {
                start = before;
            }
            end = section.len() - properties.rest().len();
            len += end - before;
        }
        Ok(Self { raw: &section[start..end], len })
    }

    /// How many bytes [`Self::write_to`] writes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends them as they stand in a packet, without the property length.
    #[inline]
    pub fn write_to(&self, out: &mut Vec<u8>) {
        if self.len == self.raw.len() {
            out.extend_from_slice(self.raw); // [MQTT5-3.3.2-4] [MQTT5-3.3.2-15] [MQTT5-3.3.2-16] [MQTT5-3.3.2-17] [MQTT5-3.3.2-18] [MQTT5-3.3.2-20]
        } else {
            self.spans().for_each(|(_, span)| out.extend_from_slice(span));
        }
    }

    /// The same in the same order, but for the response topic, which is this one if there is any.
    #[must_use]
    pub fn with_response_topic(&self, topic: &str) -> OwnedProperties {
        let mut bytes = Vec::with_capacity(self.len + topic.len());
        for (property, span) in self.spans() {
            if property.id == PropertyId::ResponseTopic {
                Writer::append(&mut bytes).property(property.id, Value::Text(topic));
            } else {
                bytes.extend_from_slice(span);
            }
        }
        OwnedProperties(bytes.into_boxed_slice())
    }

    /// Identifier and bytes of each, the identifier being the first of the bytes.
    fn spans(&self) -> impl Iterator<Item = (Property, &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.raw);
        std::iter::from_fn(move || {
            loop {
                let start = reader.rest();
                let property = Property::from_byte(reader.u8().ok()?).ok()?;
                property.kind.skip(&mut reader).ok()?;
                if property.id.is_forwarded() {
                    return Some((property, &start[..start.len() - reader.len()]));
                }
            }
        })
    }

    /// All of them in the order sent.
    pub fn iter(&self) -> impl Iterator<Item = ForwardedProperty<'a>> + use<'a> {
        self.spans().filter_map(|(property, span)| {
            let mut reader = Reader::new(span.get(1..)?);
            match (property.id, property.kind.read(&mut reader).ok()?) {
                (PropertyId::PayloadFormatIndicator, Value::Byte(indicator)) => {
                    Some(ForwardedProperty::PayloadFormatIndicator(indicator))
                }
                (PropertyId::ContentType, Value::Text(text)) => {
                    Some(ForwardedProperty::ContentType(text))
                }
                (PropertyId::ResponseTopic, Value::Text(topic)) => {
                    Some(ForwardedProperty::ResponseTopic(topic))
                }
                (PropertyId::CorrelationData, Value::Binary(data)) => {
                    Some(ForwardedProperty::CorrelationData(data))
                }
                (PropertyId::UserProperty, Value::Pair(name, value)) => {
                    Some(ForwardedProperty::UserProperty(name, value))
                }
                _ => None,
            }
        })
    }

    fn find(&self, wanted: PropertyId) -> Option<Value<'a>> {
        let (property, span) = self.spans().find(|(property, _)| property.id == wanted)?;
        property.kind.read(&mut Reader::new(span.get(1..)?)).ok()
    }

    fn find_text(&self, wanted: PropertyId) -> Option<&'a str> {
        match self.find(wanted) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// 1 if the payload is UTF-8 text, 0 if it is not said to be.
    #[must_use]
    pub fn payload_format_indicator(&self) -> Option<u8> {
        match self.find(PropertyId::PayloadFormatIndicator) {
            Some(Value::Byte(indicator)) => Some(indicator),
            _ => None,
        }
    }

    /// What the payload is.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a str> {
        self.find_text(PropertyId::ContentType)
    }

    /// Where an answer shall go.
    #[must_use]
    pub fn response_topic(&self) -> Option<&'a str> {
        self.find_text(PropertyId::ResponseTopic)
    }

    /// What the answer shall carry back.
    #[must_use]
    pub fn correlation_data(&self) -> Option<&'a [u8]> {
        match self.find(PropertyId::CorrelationData) {
            Some(Value::Binary(data)) => Some(data),
            _ => None,
        }
    }

    /// Names and values in the order sent.
    pub fn user_properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.iter().filter_map(|property| match property {
            ForwardedProperty::UserProperty(name, value) => Some((name, value)),
            ForwardedProperty::PayloadFormatIndicator(_)
            | ForwardedProperty::ContentType(_)
            | ForwardedProperty::ResponseTopic(_)
            | ForwardedProperty::CorrelationData(_) => None,
        })
    }
}

/// Equal if the same properties are forwarded in the same order.
impl PartialEq for ForwardedProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for ForwardedProperties<'_> {}

/// [`ForwardedProperties`] that own their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedProperties(Box<[u8]>);

impl OwnedProperties {
    /// The same, borrowed.
    #[must_use]
    pub fn borrow(&self) -> ForwardedProperties<'_> {
        ForwardedProperties::from_checked(&self.0)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Makes some from scratch.
    #[must_use]
    pub fn builder() -> OwnedPropertiesBuilder {
        OwnedPropertiesBuilder::default()
    }
}

impl From<ForwardedProperties<'_>> for OwnedProperties {
    fn from(properties: ForwardedProperties<'_>) -> Self {
        let mut bytes = Vec::with_capacity(properties.len);
        properties.write_to(&mut bytes);
        Self(bytes.into_boxed_slice())
    }
}

/// Collects properties for [`OwnedProperties`]. Properties come out in the order they were given.
#[derive(Clone, Debug, Default)]
pub struct OwnedPropertiesBuilder(Vec<u8>);

impl OwnedPropertiesBuilder {
    fn with(mut self, id: PropertyId, value: Value<'_>) -> Self {
        Writer::append(&mut self.0).property(id, value);
        self
    }

    /// 1 says that the payload is UTF-8 text.
    #[must_use]
    pub fn payload_format_indicator(self, indicator: u8) -> Self {
        self.with(PropertyId::PayloadFormatIndicator, Value::Byte(indicator))
    }

    /// What the payload is.
    #[must_use]
    pub fn content_type(self, text: &str) -> Self {
        self.with(PropertyId::ContentType, Value::Text(text))
    }

    /// Where an answer shall go: a topic name.
    #[must_use]
    pub fn response_topic(self, topic: &str) -> Self {
        self.with(PropertyId::ResponseTopic, Value::Text(topic))
    }

    /// What the answer shall carry back.
    #[must_use]
    pub fn correlation_data(self, data: &[u8]) -> Self {
        self.with(PropertyId::CorrelationData, Value::Binary(data))
    }

    /// Adds a pair; names may repeat.
    #[must_use]
    pub fn user_property(self, name: &str, value: &str) -> Self {
        self.with(PropertyId::UserProperty, Value::Pair(name, value))
    }

    /// The properties, if a receiver would take them.
    ///
    /// # Errors
    ///
    /// One is given twice, a text contains U+0000, or the response topic is no topic name.
    pub fn build(self) -> Result<OwnedProperties, DecodeError> {
        ForwardedProperties::from_bytes(&self.0)?;
        Ok(OwnedProperties(self.0.into_boxed_slice()))
    }
}
