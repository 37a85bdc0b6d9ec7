//! SUBSCRIBE and SUBACK (sections 3.8 and 3.9).

use super::decode_reasons;
use crate::{
    DecodeError, PacketId, ProtocolVersion, QoS, ReasonCode, SubscriptionIdentifier,
    UserProperties,
    codec::{Reader, Writer},
    property::{
        PropertyId, PropertyReader, Value, carrier, decode_diagnostics, encode_diagnostics,
    },
};

/// A client's wish to receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The exchange this opens.
    pub packet_id: PacketId,
    /// To come back on every message these subscriptions bring.
    pub subscription_identifier: Option<SubscriptionIdentifier>,
    /// Whatever the client wished to add.
    pub user_properties: UserProperties,
    /// At least one.
    pub subscriptions: Vec<Subscription>,
}

/// One line of a SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topic filter as sent, prefixes such as `$share/group/` included. The codec has checked
    /// it as UTF-8; whether it is a valid filter the session decides.
    pub filter: String,
    /// How to deliver.
    pub options: SubscriptionOptions,
}

/// How messages of a subscription are delivered (5.0 section 3.8.3.1). 3.1.1 has only the QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// The highest QoS to deliver with.
    pub qos: QoS,
    /// Not what this client published itself.
    pub no_local: bool,
    /// Leave the RETAIN flag as the publisher set it.
    pub retain_as_published: bool,
    /// Which retained messages to send now.
    pub retain_handling: RetainHandling,
}

/// Which retained messages a new subscription brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// All that match.
    #[default]
    Send = 0,
    /// All that match, if the subscription is a new one.
    SendIfNew = 1,
    /// None.
    DoNotSend = 2,
}

/// The server's answer: one reason code for each line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suback {
    /// The exchange this ends.
    pub packet_id: PacketId,
    /// A sentence for a human.
    pub reason_string: Option<String>,
    /// Whatever the server wished to add.
    pub user_properties: UserProperties,
    /// In the order asked. 3.1.1 knows 0, 1, 2 and 0x80.
    pub reasons: Vec<ReasonCode>,
}

impl Subscribe {
    pub(crate) fn decode(
        version: ProtocolVersion,
        body: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let mut subscribe = Self {
            packet_id: body.packet_id()?,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            subscriptions: Vec::new(),
        };
        if version >= ProtocolVersion::V5 {
            let mut properties = PropertyReader::take(body, carrier::SUBSCRIBE)?;
            while let Some(property) = properties.next()? {
                match property {
                    (PropertyId::SubscriptionIdentifier, Value::Variable(value)) => {
                        subscribe.subscription_identifier = SubscriptionIdentifier::new(value);
                    }
                    (PropertyId::UserProperty, Value::Pair(name, value)) => {
                        subscribe.user_properties.add((name, value));
                    }
                    _ => return Err(DecodeError::PropertyNotAllowed),
                }
            }
        }
        while !body.is_empty() {
            let filter = body.text()?.to_owned(); // [MQTT3-3.8.3-1] [MQTT5-3.8.3-1]
            let options = SubscriptionOptions::decode(version, body.u8()?)?;
            subscribe.subscriptions.push(Subscription { filter, options });
        }
        if subscribe.subscriptions.is_empty() {
            return Err(DecodeError::NoTopicFilter); // [MQTT3-3.8.3-3] [MQTT5-3.8.3-2]
        }
        Ok(subscribe)
    }

    pub(crate) fn encode(&self, version: ProtocolVersion, writer: &mut Writer<'_>) {
        writer.u16(self.packet_id.get());
        if version >= ProtocolVersion::V5 {
            writer.counted(|writer| {
                let id = self.subscription_identifier.map(|id| Value::Variable(id.value()));
                writer.optional(PropertyId::SubscriptionIdentifier, id);
                self.user_properties.encode(writer);
            });
        }
        for subscription in &self.subscriptions {
            writer.text(&subscription.filter);
            writer.u8(subscription.options.encode(version));
        }
    }
}

impl SubscriptionOptions {
    /// The byte of them in a SUBSCRIBE of 5.0.
    #[must_use]
    pub fn byte(self) -> u8 {
        self.encode(ProtocolVersion::V5)
    }

    /// `None` if no SUBSCRIBE of 5.0 may have this byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::decode(ProtocolVersion::V5, byte).ok()
    }

    fn decode(version: ProtocolVersion, byte: u8) -> Result<Self, DecodeError> {
        let reserved = if version >= ProtocolVersion::V5 { 0b1100_0000 } else { 0b1111_1100 };
        if byte & reserved != 0 {
            return Err(DecodeError::SubscriptionOptionsReserved); // [MQTT3-3.8.3-4] [MQTT5-3.8.3-5]
        }
        Ok(Self {
            qos: QoS::from_bits(byte & 0b11).ok_or(DecodeError::SubscriptionQoSInvalid)?,
            no_local: byte & NO_LOCAL != 0,
            retain_as_published: byte & RETAIN_AS_PUBLISHED != 0,
            retain_handling: match byte >> 4 {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::DoNotSend,
                _ => return Err(DecodeError::RetainHandlingInvalid),
            },
        })
    }

    fn encode(self, version: ProtocolVersion) -> u8 {
        if version < ProtocolVersion::V5 {
            return self.qos.bits();
        }
        self.qos.bits()
            | if self.no_local { NO_LOCAL } else { 0 }
            | if self.retain_as_published { RETAIN_AS_PUBLISHED } else { 0 }
            | (self.retain_handling as u8) << 4
    }
}

const NO_LOCAL: u8 = 0b0100;
const RETAIN_AS_PUBLISHED: u8 = 0b1000;

impl Suback {
    pub(crate) fn decode(
        version: ProtocolVersion,
        body: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let packet_id = body.packet_id()?;
        if version < ProtocolVersion::V5 {
            let reasons = decode_reasons(&REASONS[..4], body)?;
            let user_properties = UserProperties::default();
            return Ok(Self { packet_id, reason_string: None, user_properties, reasons });
        }
        let (reason_string, user_properties) = decode_diagnostics(body, carrier::SUBACK)?;
        let reasons = decode_reasons(&REASONS, body)?;
        Ok(Self {
            packet_id,
            reason_string: reason_string.map(str::to_owned),
            user_properties,
            reasons,
        })
    }

    /// Before 5.0 every failure is 0x80.
    pub(crate) fn encode(&self, version: ProtocolVersion, writer: &mut Writer<'_>) {
        writer.u16(self.packet_id.get());
        if version >= ProtocolVersion::V5 {
            encode_diagnostics(self.reason_string.as_deref(), &self.user_properties, writer);
        }
        for reason in &self.reasons {
            let failed_before_5 = version < ProtocolVersion::V5 && reason.is_error();
            writer.u8(if failed_before_5 { 0x80 } else { reason.byte() }); // [MQTT3-3.9.3-2]
        }
    }
}

/// All of 5.0 ([MQTT5-3.9.3-2]); the first four are those of 3.1.1.
const REASONS: [ReasonCode; 12] = [
    ReasonCode::Success,
    ReasonCode::GrantedQoS1,
    ReasonCode::GrantedQoS2,
    ReasonCode::UnspecifiedError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::TopicFilterInvalid,
    ReasonCode::PacketIdentifierInUse,
    ReasonCode::QuotaExceeded,
    ReasonCode::SharedSubscriptionsNotSupported,
    ReasonCode::SubscriptionIdentifiersNotSupported,
    ReasonCode::WildcardSubscriptionsNotSupported,
];
