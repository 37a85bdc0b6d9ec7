//! Reading the data types of section 1.5 out of a packet that is wholly there.

use crate::{DecodeError, PacketId};

/// What is left of a packet, or of a part of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    #[inline]
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    #[inline]
    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Refuses bytes after the last field.
    #[inline]
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (first, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(first)
    }

    /// Variable byte integer (5.0 section 1.5.5).
    #[inline]
    pub(crate) fn variable(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(DecodeError::VariableByteIntegerNotMinimal); // [MQTT5-1.5.5-1]
                }
                return Ok(value);
            }
        }
        Err(DecodeError::VariableByteIntegerTooLong)
    }

    /// Binary data: two bytes of length, then so many bytes.
    #[inline]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// UTF-8 encoded string. A byte order mark is a character like any other
    /// ([MQTT3-1.5.3-3] [MQTT5-1.5.4-3]).
    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8Invalid)?; // [MQTT3-1.5.3-1] [MQTT5-1.5.4-1]
        if bytes.contains(&0) {
            return Err(DecodeError::NulCharacter); // [MQTT3-1.5.3-2] [MQTT5-1.5.4-2]
        }
        Ok(text)
    }

    /// Topic name, possibly empty. One pass looks for all that must not be in it, and none if it
    /// is `known`, a topic name that was looked at before.
    #[inline(always)]
    pub(crate) fn topic_name(&mut self, known: &'a str) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        if bytes == known.as_bytes() {
            return Ok(known);
        }
        checked_topic_name(bytes)
    }

    #[inline]
    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16()?).ok_or(DecodeError::PacketIdZero) // [MQTT3-2.3.1-1] [MQTT5-2.2.1-3]
    }
}

fn checked_topic_name(bytes: &[u8]) -> Result<&str, DecodeError> {
    let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8Invalid)?;
    if has_forbidden(bytes) {
        return Err(topic_name_error(bytes));
    }
    Ok(text)
}

/// Whether U+0000, `+` or `#` is among the bytes; eight are looked at in one step.
#[inline]
fn has_forbidden(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut found = 0;
    for word in words {
        let word = u64::from_ne_bytes(*word);
        let (plus, hash) = (ONES * u64::from(b'+'), ONES * u64::from(b'#'));
        found |= has_zero(word) | has_zero(word ^ plus) | has_zero(word ^ hash);
    }
    found != 0 || rest.iter().any(|byte| matches!(byte, 0 | b'+' | b'#'))
}

#[cold]
fn topic_name_error(bytes: &[u8]) -> DecodeError {
    if bytes.contains(&0) {
        DecodeError::NulCharacter
    } else {
        DecodeError::TopicNameWildcard // [MQTT3-3.3.2-2] [MQTT5-3.3.2-2] [MQTT3-4.7.1-1] [MQTT5-4.7.0-1]
    }
}
