//! Bytes to packets and back. The byte work of a packet is in the packet's own file; here are the
//! frame around it and the choice among the packets. What the bytes mean for the conversation is
//! the session's business.

mod error;
mod header;
mod read;
mod write;

pub use error::DecodeError;
pub(crate) use header::DUP;
use header::FixedHeader;
pub(crate) use header::kind;
pub(crate) use read::Reader;
pub(crate) use write::{Writer, cut, length_u16, variable_bytes, variable_len};

use crate::{
    Ack, Auth, Connack, Connect, Disconnect, Frame, Frames, Packet, PacketId, ProtocolVersion,
    Publish, ReasonCode, Suback, Subscribe, Unsuback, Unsubscribe,
    packet::{AckKind, PublishHead},
};

/// The largest packet the protocol can express, in bytes, fixed header included.
pub const PACKET_BYTES_MAX: usize = 1 + 4 + REMAINING_BYTES_MAX;

const REMAINING_BYTES_MAX: usize = 268_435_455;

/// Decodes the packets of one connection, of either direction.
#[derive(Clone, Debug)]
pub struct Codec {
    version: Option<ProtocolVersion>,
    packet_bytes_max: u32,
}

impl Codec {
    /// For a server: the version comes with CONNECT, which has to be the first packet.
    /// `packet_bytes_max` counts whole packets, fixed header included.
    #[must_use]
    pub fn new(packet_bytes_max: u32) -> Self {
        Self { version: None, packet_bytes_max }
    }

    /// For a client, or wherever the version is known.
    #[must_use]
    pub fn with_version(version: ProtocolVersion, packet_bytes_max: u32) -> Self {
        Self { version: Some(version), packet_bytes_max }
    }

    /// The version of the conversation. Known as soon as a CONNECT has named it, even if the rest
    /// of that CONNECT is refused; a second CONNECT does not change it.
    #[must_use]
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// How many bytes the packet at the beginning of `bytes` takes; `None` while not even that can
    /// be seen. At most five bytes are needed.
    ///
    /// # Errors
    ///
    /// What the fixed header alone betrays: too large, wrong flags, not a CONNECT at first.
    #[inline]
    pub fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        Ok(self.header(bytes)?.map(FixedHeader::frame_len))
    }

    #[inline]
    fn header(&self, bytes: &[u8]) -> Result<Option<FixedHeader>, DecodeError> {
        let header = FixedHeader::decode(self.version, bytes)?;
        match header {
            Some(header) if header.frame_len() > self.packet_bytes_max as usize => {
                // [MQTT5-3.2.2-15]
                Err(DecodeError::PacketTooLarge)
            }
            Some(_) | None => Ok(header),
        }
    }

    /// The packet at the beginning of `bytes` and how many bytes it took; `None` while it is not
    /// wholly there.
    ///
    /// # Errors
    ///
    /// The bytes are no packet of this version: the connection has to end.
    pub fn decode<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> Result<Option<(Packet<'a>, usize)>, DecodeError> {
        let Some(whole) = self.split(bytes)? else { return Ok(None) };
        Ok(Some((self.open(&whole)?, whole.bytes.len())))
    }

    /// [`decode`](Self::decode) in two steps, for a reader that looks at what comes most often
    /// without making a [`Packet`] of it: moving one costs more than all the rest.
    ///
    /// # Errors
    ///
    /// As of [`frame_len`](Self::frame_len).
    #[inline(always)]
    pub fn split<'a>(&self, bytes: &'a [u8]) -> Result<Option<WholePacket<'a>>, DecodeError> {
        let Some(header) = self.header(bytes)? else { return Ok(None) };
        let Some(bytes) = bytes.get(..header.frame_len()) else { return Ok(None) };
        Ok(Some(WholePacket { version: self.version, header, bytes }))
    }

    /// The frame behind a run, if it is one more of it.
    #[inline(always)]
    #[must_use]
    pub fn follower<'a>(&self, frames: &Frames<'a>) -> Option<Frame<'a>> {
        frames.follower(self.packet_bytes_max as usize)
    }

    /// The second step.
    ///
    /// # Errors
    ///
    /// As of [`decode`](Self::decode).
    pub fn open<'a>(&mut self, whole: &WholePacket<'a>) -> Result<Packet<'a>, DecodeError> {
        if whole.is_publish() {
            return whole.publish("").map(Packet::Publish);
        }
        let body = Reader::new(&whole.bytes[whole.header.len..]);
        self.decode_body(whole.header, body)
    }

    fn decode_body<'a>(
        &mut self,
        header: FixedHeader,
        mut body: Reader<'a>,
    ) -> Result<Packet<'a>, DecodeError> {
        let Some(version) = self.version.filter(|_| header.kind() != kind::CONNECT) else {
            return self.decode_connect(header, body);
        };
        let body = &mut body;
        let packet = match header.kind() {
            kind::CONNACK => Packet::Connack(Box::new(Connack::decode(version, body)?)),
            kind::PUBACK => Packet::Puback(Ack::decode(version, AckKind::Puback, body)?),
            kind::PUBREC => Packet::Pubrec(Ack::decode(version, AckKind::Pubrec, body)?),
            kind::PUBREL => Packet::Pubrel(Ack::decode(version, AckKind::Pubrel, body)?),
            kind::PUBCOMP => Packet::Pubcomp(Ack::decode(version, AckKind::Pubcomp, body)?),
            kind::SUBSCRIBE => Packet::Subscribe(Subscribe::decode(version, body)?),
            kind::SUBACK => Packet::Suback(Suback::decode(version, body)?),
            kind::UNSUBSCRIBE => Packet::Unsubscribe(Unsubscribe::decode(version, body)?),
            kind::UNSUBACK => Packet::Unsuback(Unsuback::decode(version, body)?),
            kind::PINGREQ => Packet::Pingreq,
            kind::PINGRESP => Packet::Pingresp,
            kind::DISCONNECT => Packet::Disconnect(Box::new(Disconnect::decode(version, body)?)),
            kind::AUTH => Packet::Auth(Box::new(Auth::decode(body)?)),
            _ => return Err(DecodeError::PacketTypeReserved),
        };
        body.finish()?;
        Ok(packet)
    }

    fn decode_connect<'a>(
        &mut self,
        header: FixedHeader,
        mut body: Reader<'_>,
    ) -> Result<Packet<'a>, DecodeError> {
        let (version, bridge) = Connect::decode_version(&mut body)?;
        self.version.get_or_insert(version);
        if version == ProtocolVersion::V5 && !header.minimal {
            return Err(DecodeError::VariableByteIntegerNotMinimal);
        }
        let connect = Connect::decode(version, bridge, &mut body)?;
        body.finish()?; // [MQTT3-3.1.2-18] [MQTT3-3.1.2-20] [MQTT5-3.1.2-16] [MQTT5-3.1.2-18]
        Ok(Packet::Connect(Box::new(connect)))
    }
}

/// The bytes of a packet that is wholly there, its header looked at and its body not.
#[derive(Clone, Copy, Debug)]
pub struct WholePacket<'a> {
    version: Option<ProtocolVersion>,
    header: FixedHeader,
    bytes: &'a [u8],
}

impl<'a> WholePacket<'a> {
    /// All of its bytes, fixed header included.
    #[inline(always)]
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The number of its type in the fixed header (5.0 section 2.1.2).
    #[inline(always)]
    #[must_use]
    pub fn number(&self) -> u8 {
        self.header.kind()
    }

    /// Whether it is a PUBLISH.
    #[inline(always)]
    #[must_use]
    pub fn is_publish(&self) -> bool {
        self.number() == kind::PUBLISH
    }

    /// It as a PUBLISH, which it has to be. `known_topic` is the topic of one that was read just
    /// before: the same bytes need not be looked at twice. Empty if there was none.
    ///
    /// # Errors
    ///
    /// As of [`Codec::decode`].
    #[inline(always)]
    pub fn publish(&self, known_topic: &'a str) -> Result<Publish<'a>, DecodeError> {
        debug_assert!(self.is_publish());
        let version = self.version.ok_or(DecodeError::FirstPacketNotConnect)?;
        let body = &self.bytes[self.header.len..];
        let head = PublishHead::decode(version, self.header.flags(), body, known_topic)?;
        if head.has_properties() { head.with_properties() } else { Ok(head.plain()) }
    }

    /// It as an acknowledgement that says no more than success, as nearly all do, with those of the
    /// same kind that follow. `bytes` begin with it and go on with what was read behind it.
    #[inline(always)]
    #[must_use]
    pub fn short_acks<'b>(&self, bytes: &'b [u8]) -> Option<ShortAcks<'b>> {
        let kind = AckKind::from_number(self.number())?;
        let head = *self.bytes.first_chunk::<2>()?;
        let alike = |ack: &&[u8; 4]| ack.starts_with(&head) && ack[2..] != [0, 0];
        let (acks, _) = bytes.as_chunks::<4>();
        let count = acks.iter().take_while(alike).count();
        (head[1] == 2 && count > 0).then(|| ShortAcks { kind, acks: &acks[..count] })
    }
}

/// Acknowledgements of one kind that say no more than success, one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct ShortAcks<'a> {
    kind: AckKind,
    acks: &'a [[u8; 4]],
}

impl ShortAcks<'_> {
    /// Their kind.
    #[must_use]
    pub fn kind(&self) -> AckKind {
        self.kind
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is one at least")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.acks.len()
    }

    /// How many bytes they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.acks.as_flattened().len()
    }

    /// What they acknowledge.
    #[inline]
    pub fn packet_ids(&self) -> impl Iterator<Item = PacketId> {
        self.acks.iter().filter_map(|ack| PacketId::new(u16::from_be_bytes([ack[2], ack[3]])))
    }
}

/// The kind of acknowledgement this is, if it is one that says no more than success.
#[inline]
fn short_ack(version: ProtocolVersion, packet: &Packet<'_>) -> Option<(AckKind, PacketId)> {
    let (kind, ack) = packet.as_ack()?;
    let short = version < ProtocolVersion::V5
        || (ack.reason == ReasonCode::Success
            && ack.reason_string.is_none()
            && ack.user_properties.is_empty());
    short.then_some((kind, ack.packet_id))
}

/// The acknowledgement that says no more than success: these bytes in every version.
#[inline(always)]
#[must_use]
pub fn short_ack_bytes(kind: AckKind, packet_id: PacketId) -> [u8; 4] {
    let [high, low] = packet_id.get().to_be_bytes();
    // [MQTT3-3.6.1-1] [MQTT5-3.6.1-1]
    let flags = if matches!(kind, AckKind::Pubrel) { 0b0010 } else { 0 };
    [kind.number() << 4 | flags, 2, high, low]
}

/// Appends the packet as `version` has it; what that version cannot say is left out (AUTH before
/// 5.0 wholly). Strings and binary data are cut at 65,535 bytes; of a packet larger than
/// [`PACKET_BYTES_MAX`] nothing is written.
pub fn encode(version: ProtocolVersion, packet: &Packet<'_>, out: &mut Vec<u8>) {
    if let Packet::Publish(publish) = packet {
        return encode_publish(version, publish, out);
    }
    if let Some((kind, packet_id)) = short_ack(version, packet) {
        return out.extend_from_slice(&short_ack_bytes(kind, packet_id));
    }
    let Some(first) = first_byte(version, packet) else { return };
    let remaining = Writer::count(|writer| write_body(version, packet, writer));
    if remaining > REMAINING_BYTES_MAX {
        return;
    }
    out.reserve(1 + variable_len(remaining) + remaining);
    let mut writer = Writer::append(out);
    writer.u8(first);
    writer.variable(remaining);
    write_body(version, packet, &mut writer);
}

/// How many bytes [`encode`] appends, to be held against the receiver's Maximum Packet Size. More
/// than [`PACKET_BYTES_MAX`] tells that the packet cannot be sent to anyone.
#[must_use]
pub fn encoded_len(version: ProtocolVersion, packet: &Packet<'_>) -> usize {
    if let Packet::Publish(publish) = packet {
        return publish_len(version, publish);
    }
    if first_byte(version, packet).is_none() {
        return 0;
    }
    let remaining = Writer::count(|writer| write_body(version, packet, writer));
    1 + variable_len(remaining) + remaining
}

/// [`encode`] for PUBLISH, where speed matters.
#[inline]
pub fn encode_publish(version: ProtocolVersion, publish: &Publish<'_>, out: &mut Vec<u8>) {
    let lengths = publish.lengths(version);
    if lengths.remaining <= REMAINING_BYTES_MAX {
        publish.encode(version, lengths, out);
    }
}

/// [`encode_publish`] without the payload, which the caller sends behind it from where it lies.
pub fn encode_publish_head(version: ProtocolVersion, publish: &Publish<'_>, out: &mut Vec<u8>) {
    publish.encode_head(version, publish.lengths(version), out);
}

/// [`encoded_len`] for PUBLISH.
#[inline]
#[must_use]
pub fn publish_len(version: ProtocolVersion, publish: &Publish<'_>) -> usize {
    let remaining = publish.lengths(version).remaining;
    1 + variable_len(remaining) + remaining
}

/// `None` for what the version does not have.
fn first_byte(version: ProtocolVersion, packet: &Packet<'_>) -> Option<u8> {
    Some(match packet {
        Packet::Connect(_) => kind::CONNECT << 4,
        Packet::Connack(_) => kind::CONNACK << 4,
        Packet::Publish(publish) => publish.first_byte(),
        Packet::Puback(_) => kind::PUBACK << 4,
        Packet::Pubrec(_) => kind::PUBREC << 4,
        Packet::Pubrel(_) => kind::PUBREL << 4 | 0b0010, // [MQTT3-3.6.1-1] [MQTT5-3.6.1-1]
        Packet::Pubcomp(_) => kind::PUBCOMP << 4,
        Packet::Subscribe(_) => kind::SUBSCRIBE << 4 | 0b0010, // [MQTT3-3.8.1-1] [MQTT5-3.8.1-1]
        Packet::Suback(_) => kind::SUBACK << 4,
        Packet::Unsubscribe(_) => kind::UNSUBSCRIBE << 4 | 0b0010, // [MQTT3-3.10.1-1] [MQTT5-3.10.1-1]
        Packet::Unsuback(_) => kind::UNSUBACK << 4,
        Packet::Pingreq => kind::PINGREQ << 4,
        Packet::Pingresp => kind::PINGRESP << 4,
        Packet::Disconnect(_) => kind::DISCONNECT << 4,
        Packet::Auth(_) if version < ProtocolVersion::V5 => return None,
        Packet::Auth(_) => kind::AUTH << 4,
    })
}

fn write_body(version: ProtocolVersion, packet: &Packet<'_>, writer: &mut Writer<'_>) {
    match packet {
        Packet::Connect(connect) => connect.encode(writer),
        Packet::Connack(connack) => connack.encode(version, writer),
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            ack.encode(version, writer);
        }
        Packet::Subscribe(subscribe) => subscribe.encode(version, writer),
        Packet::Suback(suback) => suback.encode(version, writer),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.encode(version, writer),
        Packet::Unsuback(unsuback) => unsuback.encode(version, writer),
        Packet::Publish(_) | Packet::Pingreq | Packet::Pingresp => {}
        Packet::Disconnect(disconnect) => disconnect.encode(version, writer),
        Packet::Auth(auth) => auth.encode(writer),
    }
}

#[cfg(test)]
mod tests;
