//! PUBACK, PUBREC, PUBREL and PUBCOMP: four names for one shape (sections 3.4 to 3.7).

use crate::{
    DecodeError, PacketId, ProtocolVersion, ReasonCode, UserProperties,
    codec::{Reader, Writer, kind},
    property::{carrier, decode_diagnostics, encode_diagnostics},
};

/// What the four acknowledgements carry. 3.1.1 sends only the packet identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The exchange this belongs to.
    pub packet_id: PacketId,
    /// How it went; `Success` in versions that cannot say.
    pub reason: ReasonCode,
    /// A sentence for a human.
    pub reason_string: Option<Box<str>>,
    /// Whatever the sender wished to add.
    pub user_properties: UserProperties,
}

impl Ack {
    /// An acknowledgement without any property.
    #[must_use]
    pub fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, reason_string: None, user_properties: UserProperties::default() }
    }
}

impl Ack {
    pub(crate) fn decode(
        version: ProtocolVersion,
        kind: AckKind,
        body: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let mut ack = Self::new(body.packet_id()?, ReasonCode::Success);
        if version < ProtocolVersion::V5 || body.is_empty() {
            return Ok(ack);
        }
        ack.reason = decode_reason(kind.reasons(), body)?;
        if !body.is_empty() {
            let (reason_string, user_properties) = decode_diagnostics(body, carrier::ACK)?;
            ack.reason_string = reason_string.map(Box::from);
            ack.user_properties = user_properties;
        }
        Ok(ack)
    }

    /// In the shortest of the forms that 5.0 has.
    pub(crate) fn encode(&self, version: ProtocolVersion, writer: &mut Writer<'_>) {
        writer.u16(self.packet_id.get());
        if version < ProtocolVersion::V5 {
            return;
        }
        let bare = self.reason_string.is_none() && self.user_properties.is_empty();
        if !bare || self.reason != ReasonCode::Success {
            writer.u8(self.reason.byte());
        }
        if !bare {
            encode_diagnostics(self.reason_string.as_deref(), &self.user_properties, writer);
        }
    }
}

/// Which of the four it is; they differ in the reasons they may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AckKind {
    /// Answers a PUBLISH of QoS 1.
    Puback = kind::PUBACK,
    /// Answers a PUBLISH of QoS 2.
    Pubrec = kind::PUBREC,
    /// Answers PUBREC.
    Pubrel = kind::PUBREL,
    /// Answers PUBREL.
    Pubcomp = kind::PUBCOMP,
}

impl AckKind {
    /// The number of its type in the fixed header (5.0 section 2.1.2).
    #[inline(always)]
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    #[inline(always)]
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        match number {
            kind::PUBACK => Some(Self::Puback),
            kind::PUBREC => Some(Self::Pubrec),
            kind::PUBREL => Some(Self::Pubrel),
            kind::PUBCOMP => Some(Self::Pubcomp),
            _ => None,
        }
    }

    fn reasons(self) -> &'static [ReasonCode] {
        match self {
            Self::Puback | Self::Pubrec => &PUBLISH_REASONS, // [MQTT5-3.4.2-1] [MQTT5-3.5.2-1]
            Self::Pubrel | Self::Pubcomp => &RELEASE_REASONS, // [MQTT5-3.6.2-1] [MQTT5-3.7.2-1]
        }
    }
}

const PUBLISH_REASONS: [ReasonCode; 9] = [
    ReasonCode::Success,
    ReasonCode::NoMatchingSubscribers,
    ReasonCode::UnspecifiedError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::TopicNameInvalid,
    ReasonCode::PacketIdentifierInUse,
    ReasonCode::QuotaExceeded,
    ReasonCode::PayloadFormatInvalid,
];

const RELEASE_REASONS: [ReasonCode; 2] =
    [ReasonCode::Success, ReasonCode::PacketIdentifierNotFound];

/// A reason code that has to be one of `allowed`.
pub(crate) fn decode_reason(
    allowed: &[ReasonCode],
    body: &mut Reader<'_>,
) -> Result<ReasonCode, DecodeError> {
    ReasonCode::from_byte(body.u8()?)
        .filter(|reason| allowed.contains(reason))
        .ok_or(DecodeError::ReasonCodeInvalid)
}

/// The reason codes that fill the rest of SUBACK and UNSUBACK.
pub(crate) fn decode_reasons(
    allowed: &[ReasonCode],
    body: &mut Reader<'_>,
) -> Result<Vec<ReasonCode>, DecodeError> {
    let mut reasons = Vec::with_capacity(body.len());
    while !body.is_empty() {
        reasons.push(decode_reason(allowed, body)?);
    }
    if reasons.is_empty() { Err(DecodeError::NoReasonCode) } else { Ok(reasons) }
}
