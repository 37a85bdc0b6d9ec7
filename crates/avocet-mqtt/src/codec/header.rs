//! The fixed header (section 2.1 of 5.0, 2.2 of 3.1.1).

use crate::{DecodeError, ProtocolVersion};

/// Control packet types (5.0 section 2.1.2).
pub(crate) mod kind {
    pub(crate) const CONNECT: u8 = 1;
    pub(crate) const CONNACK: u8 = 2;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const PUBACK: u8 = 4;
    pub(crate) const PUBREC: u8 = 5;
    pub(crate) const PUBREL: u8 = 6;
    pub(crate) const PUBCOMP: u8 = 7;
    pub(crate) const SUBSCRIBE: u8 = 8;
    pub(crate) const SUBACK: u8 = 9;
    pub(crate) const UNSUBSCRIBE: u8 = 10;
    pub(crate) const UNSUBACK: u8 = 11;
    pub(crate) const PINGREQ: u8 = 12;
    pub(crate) const PINGRESP: u8 = 13;
    pub(crate) const DISCONNECT: u8 = 14;
    pub(crate) const AUTH: u8 = 15;
}

/// The DUP bit of the fixed header.
pub(crate) const DUP: u8 = 0b1000;

/// The two first fields of every packet, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedHeader {
    first: u8,
    /// Bytes of the header itself.
    pub(crate) len: usize,
    /// Bytes that follow.
    pub(crate) remaining: usize,
    /// Whether the length took no more bytes than it needs.
    pub(crate) minimal: bool,
}

impl FixedHeader {
    #[inline]
    pub(crate) fn kind(self) -> u8 {
        self.first >> 4
    }

    #[inline]
    pub(crate) fn flags(self) -> u8 {
        self.first & 0x0F
    }

    /// Bytes of the whole packet.
    #[inline]
    pub(crate) fn frame_len(self) -> usize {
        self.len + self.remaining
    }

    /// `None` while more bytes are needed. What is wrong is said as soon as it can be seen, the
    /// type and flags with the first byte.
    #[inline]
    pub(crate) fn decode(
        version: Option<ProtocolVersion>,
        bytes: &[u8],
    ) -> Result<Option<Self>, DecodeError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        // PUBLISH, and the acknowledgements with their flags.
        let frequent = matches!(first, 0x30..=0x40 | 0x50 | 0x62 | 0x70);
        if !frequent || version.is_none() {
            check_first_byte(version, first)?;
        }
        if let Some(&length @ ..0x80) = rest.first() {
            return Ok(Some(Self { first, len: 2, remaining: length.into(), minimal: true }));
        }
        Self::decode_long(version, first, rest)
    }

    fn decode_long(
        version: Option<ProtocolVersion>,
        first: u8,
        rest: &[u8],
    ) -> Result<Option<Self>, DecodeError> {
        let mut remaining = 0;
        for (i, &byte) in rest.iter().take(4).enumerate() {
            remaining |= usize::from(byte & 0x7F) << (7 * i);
            if byte & 0x80 == 0 {
                let minimal = i == 0 || byte != 0;
                if !minimal && version == Some(ProtocolVersion::V5) {
                    return Err(DecodeError::VariableByteIntegerNotMinimal);
                }
                return Ok(Some(Self { first, len: i + 2, remaining, minimal }));
            }
        }
        if rest.len() < 4 { Ok(None) } else { Err(DecodeError::VariableByteIntegerTooLong) }
    }
}

fn check_first_byte(version: Option<ProtocolVersion>, first: u8) -> Result<(), DecodeError> {
    let (kind, flags) = (first >> 4, first & 0x0F);
    let Some(version) = version else {
        if kind != kind::CONNECT {
            return Err(DecodeError::FirstPacketNotConnect); // [MQTT3-3.1.0-1] [MQTT5-3.1.0-1]
        }
        return if flags == 0 { Ok(()) } else { Err(DecodeError::FixedHeaderFlagsReserved) };
    };
    if kind == 0 || (kind == kind::AUTH && version < ProtocolVersion::V5) {
        return Err(DecodeError::PacketTypeReserved);
    }
    let with_flag_1 = matches!(kind, kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE);
    let expected = if with_flag_1 { 0b0010 } else { 0 };
    // 3.1 may mark these three as sent again.
    let ignored = if with_flag_1 && version == ProtocolVersion::V3_1 { DUP } else { 0 };
    if flags & !ignored == expected {
        Ok(())
    } else {
        // [MQTT3-3.14.1-1] [MQTT5-3.14.1-1] [MQTT5-3.15.1-1]
        Err(DecodeError::FixedHeaderFlagsReserved) // [MQTT3-2.2.2-1] [MQTT3-2.2.2-2] [MQTT5-2.1.3-1]
    }
}
