//! UNSUBSCRIBE and UNSUBACK (sections 3.10 and 3.11).

use super::decode_reasons;
use crate::{
    DecodeError, PacketId, ProtocolVersion, ReasonCode, UserProperties,
    codec::{Reader, Writer},
    property::{carrier, decode_diagnostics, encode_diagnostics},
};

/// A client's wish to receive no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The exchange this opens.
    pub packet_id: PacketId,
    /// Whatever the client wished to add.
    pub user_properties: UserProperties,
    /// At least one, as they were subscribed.
    pub filters: Vec<String>,
}

/// The server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsuback {
    /// The exchange this ends.
    pub packet_id: PacketId,
    /// A sentence for a human.
    pub reason_string: Option<String>,
    /// Whatever the server wished to add.
    pub user_properties: UserProperties,
    /// One for each filter, in the order asked; 3.1.1 sends none.
    pub reasons: Vec<ReasonCode>,
}

impl Unsubscribe {
    pub(crate) fn decode(
        version: ProtocolVersion,
        body: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let packet_id = body.packet_id()?;
        let user_properties = if version >= ProtocolVersion::V5 {
            decode_diagnostics(body, carrier::UNSUBSCRIBE)?.1
        } else {
            UserProperties::default()
        };
        let mut filters = Vec::new();
        while !body.is_empty() {
            filters.push(body.text()?.to_owned()); // [MQTT3-3.10.3-1] [MQTT5-3.10.3-1]
        }
        if filters.is_empty() {
            return Err(DecodeError::NoTopicFilter); // [MQTT3-3.10.3-2] [MQTT5-3.10.3-2]
        }
        Ok(Self { packet_id, user_properties, filters })
    }

    pub(crate) fn encode(&self, version: ProtocolVersion, writer: &mut Writer<'_>) {
        writer.u16(self.packet_id.get());
        if version >= ProtocolVersion::V5 {
            encode_diagnostics(None, &self.user_properties, writer);
        }
        self.filters.iter().for_each(|filter| writer.text(filter));
    }
}

impl Unsuback {
    pub(crate) fn decode(
        version: ProtocolVersion,
        body: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let mut unsuback = Self {
            packet_id: body.packet_id()?,
            reason_string: None,
            user_properties: UserProperties::default(),
            reasons: Vec::new(),
        };
        if version >= ProtocolVersion::V5 {
            let (reason_string, user_properties) = decode_diagnostics(body, carrier::UNSUBACK)?;
            unsuback.reason_string = reason_string.map(str::to_owned);
            unsuback.user_properties = user_properties;
            unsuback.reasons = decode_reasons(&REASONS, body)?;
        }
        Ok(unsuback)
    }

    pub(crate) fn encode(&self, version: ProtocolVersion, writer: &mut Writer<'_>) {
        writer.u16(self.packet_id.get());
        if version >= ProtocolVersion::V5 {
            encode_diagnostics(self.reason_string.as_deref(), &self.user_properties, writer);
            self.reasons.iter().for_each(|reason| writer.u8(reason.byte()));
        }
    }
}

// [MQTT5-3.11.3-2]
const REASONS: [ReasonCode; 7] = [
    ReasonCode::Success,
    ReasonCode::NoSubscriptionExisted,
    ReasonCode::UnspecifiedError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::TopicFilterInvalid,
    ReasonCode::PacketIdentifierInUse,
];
