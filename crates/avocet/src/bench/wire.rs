//! As much of MQTT's frames as the hot loops of relay and load generator look at. What is rare goes
//! through the codec.

/// Kinds of packets, as the upper four bits of the first byte have them.
pub(super) mod kind {
    pub(in crate::bench) const PUBLISH: u8 = 3;
    pub(in crate::bench) const PUBACK: u8 = 4;
    pub(in crate::bench) const PUBREC: u8 = 5;
    pub(in crate::bench) const PUBREL: u8 = 6;
    pub(in crate::bench) const PUBCOMP: u8 = 7;
    pub(in crate::bench) const SUBACK: u8 = 9;
    pub(in crate::bench) const UNSUBACK: u8 = 11;
    pub(in crate::bench) const PINGRESP: u8 = 13;
    pub(in crate::bench) const DISCONNECT: u8 = 14;
}

/// A whole packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// Kind and flags.
    pub(super) first: u8,
    /// All after the fixed header.
    pub(super) body: &'a [u8],
    /// Bytes, fixed header included.
    pub(super) len: usize,
}

/// The bytes are no MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Frame<'_> {
    #[inline]
    pub(super) fn kind(&self) -> u8 {
        self.first >> 4
    }

    #[inline]
    pub(super) fn qos(&self) -> u8 {
        self.first >> 1 & 0b11
    }
}

/// The packet at the beginning of `bytes`; `None` while it is not wholly there.
#[inline]
pub(super) fn frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, Malformed> {
    let (Some(&first), Some((remaining, header))) = (bytes.first(), variable(bytes, 1)?) else {
        return Ok(None);
    };
    let len = header + remaining;
    Ok(bytes.get(header..len).map(|body| Frame { first, body, len }))
}

/// The variable byte integer at `at`, and where it ends.
#[inline]
fn variable(bytes: &[u8], at: usize) -> Result<Option<(usize, usize)>, Malformed> {
    let (mut value, mut shift) = (0, 0);
    for (index, &byte) in bytes.iter().enumerate().skip(at).take(4) {
        value |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
        shift += 7;
    }
    if bytes.len() >= at + 4 { Err(Malformed) } else { Ok(None) }
}

/// The parts of a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Published<'a> {
    pub(super) topic: &'a [u8],
    pub(super) packet_id: Option<[u8; 2]>,
    pub(super) payload: &'a [u8],
}

/// Takes a PUBLISH apart; `has_properties` is true of 5.0.
#[inline]
pub(super) fn published<'a>(
    frame: &Frame<'a>,
    has_properties: bool,
) -> Result<Published<'a>, Malformed> {
    let (length, rest) = frame.body.split_first_chunk::<2>().ok_or(Malformed)?;
    let (topic, rest) =
        rest.split_at_checked(u16::from_be_bytes(*length).into()).ok_or(Malformed)?;
    let (packet_id, rest) = if frame.qos() == 0 {
        (None, rest)
    } else {
        let (id, rest) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
        (Some(*id), rest)
    };
    let payload = if has_properties {
        let (length, end) = variable(rest, 0)?.ok_or(Malformed)?;
        rest.get(end + length..).ok_or(Malformed)?
    } else {
        rest
    };
    Ok(Published { topic, packet_id, payload })
}

/// An acknowledgement in its shortest form, right for every version.
#[inline]
pub(super) fn acknowledgement(kind: u8, packet_id: [u8; 2]) -> [u8; 4] {
    let flags = if kind == kind::PUBREL { 0b0010 } else { 0 };
    [kind << 4 | flags, 2, packet_id[0], packet_id[1]]
}

/// Packet identifier and reason code of an acknowledgement; no code is a success.
#[inline]
pub(super) fn acknowledged(frame: &Frame<'_>) -> Result<([u8; 2], u8), Malformed> {
    let (id, rest) = frame.body.split_first_chunk::<2>().ok_or(Malformed)?;
    Ok((*id, rest.first().copied().unwrap_or(0)))
}

/// Asks the broker for a PINGRESP.
pub(super) const PINGREQ: [u8; 2] = [12 << 4, 0];

#[cfg(test)]
mod tests;
