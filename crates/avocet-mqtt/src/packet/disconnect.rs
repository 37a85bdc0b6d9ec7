//! DISCONNECT (section 3.14).

use super::decode_reason;
use crate::{
    DecodeError, ProtocolVersion, ReasonCode, UserProperties,
    codec::{Reader, Writer},
    property::{PropertyId, PropertyReader, Value, carrier},
};

/// The last packet of a conversation. All but the bare fact is 5.0's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Why.
    pub reason: ReasonCode,
    /// Seconds: a client may change what it asked for at CONNECT.
    pub session_expiry_interval: Option<u32>,
    /// A sentence for a human.
    pub reason_string: Option<String>,
    /// Another server to use.
    pub server_reference: Option<String>,
    /// Whatever the sender wished to add.
    pub user_properties: UserProperties,
}

impl Disconnect {
    /// A DISCONNECT without any property.
    #[must_use]
    pub fn new(reason: ReasonCode) -> Self {
        Self {
            reason,
            session_expiry_interval: None,
            reason_string: None,
            server_reference: None,
            user_properties: UserProperties::default(),
        }
    }
}

impl Disconnect {
    pub(crate) fn decode(
        version: ProtocolVersion,
        body: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let mut disconnect = Self::new(ReasonCode::Success);
        if version < ProtocolVersion::V5 || body.is_empty() {
            return Ok(disconnect);
        }
        disconnect.reason = decode_reason(&REASONS, body)?;
        if body.is_empty() {
            return Ok(disconnect);
        }
        let mut properties = PropertyReader::take(body, carrier::DISCONNECT)?;
        while let Some(property) = properties.next()? {
            match property {
                (PropertyId::SessionExpiryInterval, Value::FourByte(seconds)) => {
                    disconnect.session_expiry_interval = Some(seconds);
                }
                (PropertyId::ReasonString, Value::Text(text)) => {
                    disconnect.reason_string = Some(text.to_owned());
                }
                (PropertyId::ServerReference, Value::Text(text)) => {
                    disconnect.server_reference = Some(text.to_owned());
                }
                (PropertyId::UserProperty, Value::Pair(name, value)) => {
                    disconnect.user_properties.add((name, value));
                }
                _ => return Err(DecodeError::PropertyNotAllowed),
            }
        }
        Ok(disconnect)
    }

    /// In the shortest of the forms that 5.0 has; without a body before 5.0.
    pub(crate) fn encode(&self, version: ProtocolVersion, writer: &mut Writer<'_>) {
        if version < ProtocolVersion::V5 {
            return;
        }
        let properties = |writer: &mut Writer<'_>| self.encode_properties(writer);
        let bare = Writer::count(properties) == 0;
        if !bare || self.reason != ReasonCode::Success {
            writer.u8(self.reason.byte());
        }
        if !bare {
            writer.counted(properties);
        }
    }

    fn encode_properties(&self, writer: &mut Writer<'_>) {
        let expiry = self.session_expiry_interval;
        writer.optional(PropertyId::SessionExpiryInterval, expiry.map(Value::FourByte));
        writer.optional(PropertyId::ReasonString, self.reason_string.as_deref().map(Value::Text));
        let reference = self.server_reference.as_deref();
        writer.optional(PropertyId::ServerReference, reference.map(Value::Text));
        self.user_properties.encode(writer);
    }
}

/// Those of either side ([MQTT5-3.14.2-1]), and "bad authentication method", which only the table
/// of section 2.4 gives to DISCONNECT.
const REASONS: [ReasonCode; 30] = [
    ReasonCode::Success,
    ReasonCode::DisconnectWithWill,
    ReasonCode::UnspecifiedError,
    ReasonCode::MalformedPacket,
    ReasonCode::ProtocolError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::ServerBusy,
    ReasonCode::ServerShuttingDown,
    ReasonCode::BadAuthenticationMethod,
    ReasonCode::KeepAliveTimeout,
    ReasonCode::SessionTakenOver,
    ReasonCode::TopicFilterInvalid,
    ReasonCode::TopicNameInvalid,
    ReasonCode::ReceiveMaximumExceeded,
    ReasonCode::TopicAliasInvalid,
    ReasonCode::PacketTooLarge,
    ReasonCode::MessageRateTooHigh,
    ReasonCode::QuotaExceeded,
    ReasonCode::AdministrativeAction,
    ReasonCode::PayloadFormatInvalid,
    ReasonCode::RetainNotSupported,
    ReasonCode::QoSNotSupported,
    ReasonCode::UseAnotherServer,
    ReasonCode::ServerMoved,
    ReasonCode::SharedSubscriptionsNotSupported,
    ReasonCode::ConnectionRateExceeded,
    ReasonCode::MaximumConnectTime,
    ReasonCode::SubscriptionIdentifiersNotSupported,
    ReasonCode::WildcardSubscriptionsNotSupported,
];
