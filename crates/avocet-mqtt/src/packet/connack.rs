//! CONNACK (section 3.2).

use std::num::{NonZeroU16, NonZeroU32};

use super::decode_reason;
use crate::{
    DecodeError, ProtocolVersion, QoS, ReasonCode, UserProperties,
    codec::{Reader, Writer},
    property::{PropertyId, PropertyReader, Value, carrier},
};

/// The server's answer to CONNECT. All but the first two fields are 5.0's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connack {
    /// Whether the server kept state of this client.
    pub session_present: bool,
    /// `Success`, or why not. The codec gives 3.1.1 the nearest of its return codes.
    pub reason: ReasonCode,
    /// Seconds, if the server does not grant what the client asked for.
    pub session_expiry_interval: Option<u32>,
    /// How many QoS 1 and 2 messages the server takes at once; `None` = 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The highest QoS the server supports; `None` = 2.
    pub maximum_qos: Option<QoS>,
    /// `Some(false)` if the server keeps no retained messages.
    pub retain_available: Option<bool>,
    /// The largest packet the server takes, in bytes.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The identifier the server gave a client that sent none.
    pub assigned_client_identifier: Option<String>,
    /// The highest topic alias the client may use; zero: none.
    pub topic_alias_maximum: u16,
    /// A sentence for a human.
    pub reason_string: Option<String>,
    /// Whatever the server wished to add.
    pub user_properties: UserProperties,
    /// `Some(false)` if wildcards are not supported.
    pub wildcard_subscription_available: Option<bool>,
    /// `Some(false)` if subscription identifiers are not supported.
    pub subscription_identifier_available: Option<bool>,
    /// `Some(false)` if shared subscriptions are not supported.
    pub shared_subscription_available: Option<bool>,
    /// Seconds, if the client has to use another keep alive than it asked for.
    pub server_keep_alive: Option<u16>,
    /// A basis for response topics.
    pub response_information: Option<String>,
    /// Another server to use.
    pub server_reference: Option<String>,
    /// Enhanced authentication's method.
    pub authentication_method: Option<String>,
    /// Enhanced authentication's data.
    pub authentication_data: Option<Vec<u8>>,
}

impl Connack {
    /// An answer without any property.
    #[must_use]
    pub fn new(session_present: bool, reason: ReasonCode) -> Self {
        Self {
            session_present,
            reason,
            session_expiry_interval: None,
            receive_maximum: None,
            maximum_qos: None,
            retain_available: None,
            maximum_packet_size: None,
            assigned_client_identifier: None,
            topic_alias_maximum: 0,
            reason_string: None,
            user_properties: UserProperties::default(),
            wildcard_subscription_available: None,
            subscription_identifier_available: None,
            shared_subscription_available: None,
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        }
    }
}

impl Connack {
    pub(crate) fn decode(
        version: ProtocolVersion,
        body: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let flags = body.u8()?;
        if version == ProtocolVersion::V3_1 {
            return Ok(Self::new(false, decode_return_code(body)?));
        }
        if flags & !SESSION_PRESENT != 0 {
            return Err(DecodeError::ConnackFlagsReserved); // [MQTT5-3.2.2-1]
        }
        if version == ProtocolVersion::V3_1_1 {
            return Ok(Self::answer(flags, decode_return_code(body)?));
        }
        let mut connack = Self::answer(flags, decode_reason(&REASONS, body)?);
        let mut properties = PropertyReader::take(body, carrier::CONNACK)?;
        while let Some((id, value)) = properties.next()? {
            connack.set_property(id, value)?;
        }
        if connack.authentication_data.is_some() && connack.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationDataWithoutMethod);
        }
        Ok(connack)
    }

    /// A refusal is worth more than its wrong Session Present, which is passed over.
    fn answer(flags: u8, reason: ReasonCode) -> Self {
        Self::new(flags != 0 && reason == ReasonCode::Success, reason)
    }

    fn set_property(&mut self, id: PropertyId, value: Value<'_>) -> Result<(), DecodeError> {
        use PropertyId as P;
        match (id, value) {
            (P::SessionExpiryInterval, Value::FourByte(seconds)) => {
                self.session_expiry_interval = Some(seconds);
            }
            (P::ReceiveMaximum, Value::TwoByte(count)) => {
                self.receive_maximum = NonZeroU16::new(count);
            }
            (P::MaximumQoS, Value::Byte(bits)) => self.maximum_qos = QoS::from_bits(bits),
            (P::RetainAvailable, Value::Byte(flag)) => self.retain_available = Some(flag == 1),
            (P::MaximumPacketSize, Value::FourByte(bytes)) => {
                self.maximum_packet_size = NonZeroU32::new(bytes);
            }
            (P::AssignedClientIdentifier, Value::Text(text)) => {
                self.assigned_client_identifier = Some(text.to_owned());
            }
            (P::TopicAliasMaximum, Value::TwoByte(maximum)) => self.topic_alias_maximum = maximum,
            (P::ReasonString, Value::Text(text)) => self.reason_string = Some(text.to_owned()),
            (P::UserProperty, Value::Pair(name, value)) => self.user_properties.add((name, value)),
            (P::WildcardSubscriptionAvailable, Value::Byte(flag)) => {
                self.wildcard_subscription_available = Some(flag == 1);
            }
            (P::SubscriptionIdentifierAvailable, Value::Byte(flag)) => {
                self.subscription_identifier_available = Some(flag == 1);
            }
            (P::SharedSubscriptionAvailable, Value::Byte(flag)) => {
                self.shared_subscription_available = Some(flag == 1);
            }
            (P::ServerKeepAlive, Value::TwoByte(seconds)) => {
                self.server_keep_alive = Some(seconds);
            }
            (P::ResponseInformation, Value::Text(text)) => {
                self.response_information = Some(text.to_owned());
            }
            (P::ServerReference, Value::Text(text)) => {
                self.server_reference = Some(text.to_owned());
            }
            (P::AuthenticationMethod, Value::Text(method)) => {
                self.authentication_method = Some(method.to_owned());
            }
            (P::AuthenticationData, Value::Binary(data)) => {
                self.authentication_data = Some(data.to_vec());
            }
            _ => return Err(DecodeError::PropertyNotAllowed),
        }
        Ok(())
    }

    /// Session Present goes with success only, and does not exist in 3.1.
    pub(crate) fn encode(&self, version: ProtocolVersion, writer: &mut Writer<'_>) {
        let present = self.session_present
            && self.reason == ReasonCode::Success // [MQTT3-3.2.2-4] [MQTT5-3.2.2-6]
            && version > ProtocolVersion::V3_1;
        writer.u8(if present { SESSION_PRESENT } else { 0 });
        if version < ProtocolVersion::V5 {
            writer.u8(return_code(self.reason));
        } else {
            writer.u8(self.reason.byte());
            writer.counted(|writer| self.encode_properties(writer));
        }
    }

    fn encode_properties(&self, writer: &mut Writer<'_>) {
        use PropertyId as P;
        writer
            .optional(P::SessionExpiryInterval, self.session_expiry_interval.map(Value::FourByte));
        let receive_maximum = self.receive_maximum.map(|count| Value::TwoByte(count.get()));
        writer.optional(P::ReceiveMaximum, receive_maximum);
        // 2 is what is meant when nothing is said, and may not be said.
        let maximum_qos = self.maximum_qos.filter(|qos| *qos < QoS::ExactlyOnce);
        writer.optional(P::MaximumQoS, maximum_qos.map(|qos| Value::Byte(qos.bits())));
        writer.optional(P::RetainAvailable, self.retain_available.map(Value::flag));
        let maximum_packet_size =
            self.maximum_packet_size.map(|bytes| Value::FourByte(bytes.get()));
        writer.optional(P::MaximumPacketSize, maximum_packet_size);
        writer.optional(P::AssignedClientIdentifier, text(&self.assigned_client_identifier));
        let aliases = Some(self.topic_alias_maximum).filter(|maximum| *maximum > 0);
        writer.optional(P::TopicAliasMaximum, aliases.map(Value::TwoByte));
        writer.optional(P::ReasonString, text(&self.reason_string));
        self.user_properties.encode(writer);
        let flag = |flag: Option<bool>| flag.map(Value::flag);
        writer
            .optional(P::WildcardSubscriptionAvailable, flag(self.wildcard_subscription_available));
        writer.optional(
            P::SubscriptionIdentifierAvailable,
            flag(self.subscription_identifier_available),
        );
        writer.optional(P::SharedSubscriptionAvailable, flag(self.shared_subscription_available));
        writer.optional(P::ServerKeepAlive, self.server_keep_alive.map(Value::TwoByte));
        writer.optional(P::ResponseInformation, text(&self.response_information));
        writer.optional(P::ServerReference, text(&self.server_reference));
        writer.optional(P::AuthenticationMethod, text(&self.authentication_method));
        let data = self.authentication_data.as_deref();
        writer.optional(P::AuthenticationData, data.map(Value::Binary));
    }
}

const SESSION_PRESENT: u8 = 1;

/// The return codes of 3.1.1 (section 3.2.2.3) in the words of 5.0.
fn decode_return_code(body: &mut Reader<'_>) -> Result<ReasonCode, DecodeError> {
    Ok(match body.u8()? {
        0 => ReasonCode::Success,
        1 => ReasonCode::UnsupportedProtocolVersion,
        2 => ReasonCode::ClientIdentifierNotValid,
        3 => ReasonCode::ServerUnavailable,
        4 => ReasonCode::BadUserNameOrPassword,
        5 => ReasonCode::NotAuthorized,
        _ => return Err(DecodeError::ReasonCodeInvalid),
    })
}

/// The return code of 3.1.1 that comes nearest. What it has no word for is "server unavailable".
fn return_code(reason: ReasonCode) -> u8 {
    const NEAREST: [(ReasonCode, u8); 6] = [
        (ReasonCode::UnsupportedProtocolVersion, 1),
        (ReasonCode::ClientIdentifierNotValid, 2),
        (ReasonCode::BadUserNameOrPassword, 4),
        (ReasonCode::BadAuthenticationMethod, 4),
        (ReasonCode::NotAuthorized, 5),
        (ReasonCode::Banned, 5),
    ];
    if !reason.is_error() {
        return 0;
    }
    NEAREST.iter().find(|(nearest, _)| *nearest == reason).map_or(3, |(_, code)| *code)
}

// [MQTT5-3.2.2-8]
const REASONS: [ReasonCode; 22] = [
    ReasonCode::Success,
    ReasonCode::UnspecifiedError,
    ReasonCode::MalformedPacket,
    ReasonCode::ProtocolError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::UnsupportedProtocolVersion,
    ReasonCode::ClientIdentifierNotValid,
    ReasonCode::BadUserNameOrPassword,
    ReasonCode::NotAuthorized,
    ReasonCode::ServerUnavailable,
    ReasonCode::ServerBusy,
    ReasonCode::Banned,
    ReasonCode::BadAuthenticationMethod,
    ReasonCode::TopicNameInvalid,
    ReasonCode::PacketTooLarge,
    ReasonCode::QuotaExceeded,
    ReasonCode::PayloadFormatInvalid,
    ReasonCode::RetainNotSupported,
    ReasonCode::QoSNotSupported,
    ReasonCode::UseAnotherServer,
    ReasonCode::ServerMoved,
    ReasonCode::ConnectionRateExceeded,
];

fn text(text: &Option<String>) -> Option<Value<'_>> {
    text.as_deref().map(Value::Text)
}
