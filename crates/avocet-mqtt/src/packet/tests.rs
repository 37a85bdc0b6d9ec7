//! The codec's table: rows of name, bytes, version, and the packet or the mistake.

mod connect;
mod other;
mod publish;
mod subscribe;

use crate::{
    Codec, DecodeError, Packet, PacketId,
    ProtocolVersion::{self, V3_1, V3_1_1, V5},
    ReasonCode, UserProperties, encode, encoded_len,
};

type Row = (&'static str, &'static str, ProtocolVersion, Result<Packet<'static>, DecodeError>);

/// Every good row is decoded, encoded again to the same bytes, and cut at every length; every bad
/// one gives exactly its mistake.
fn check(rows: &[Row]) {
    for (name, text, version, expected) in rows {
        let bytes = bytes(text);
        let decoded = decode(*version, &bytes).map(|found| found.expect(name));
        match expected {
            Ok(packet) => {
                assert_eq!(decoded, Ok((packet.clone(), bytes.len())), "{name}");
                check_encoding(name, *version, packet, &bytes);
                check_cuts(name, *version, &bytes);
            }
            Err(error) => assert_eq!(decoded, Err(*error), "{name}"),
        }
    }
}

/// Rows that are taken as they are but would be written otherwise.
fn check_accepted(rows: &[Row]) {
    for (name, text, version, expected) in rows {
        let bytes = bytes(text);
        let decoded = decode(*version, &bytes).map(|found| found.expect(name).0);
        assert_eq!(decoded, *expected, "{name}");
        check_cuts(name, *version, &bytes);
    }
}

fn check_encoding(name: &str, version: ProtocolVersion, packet: &Packet<'_>, bytes: &[u8]) {
    let mut out = b"before".to_vec();
    encode(version, packet, &mut out);
    assert_eq!(hex(&out[6..]), hex(bytes), "{name}: encoded");
    assert_eq!(encoded_len(version, packet), bytes.len(), "{name}: length");
}

fn check_cuts(name: &str, version: ProtocolVersion, bytes: &[u8]) {
    for len in 0..bytes.len() {
        assert_eq!(decode(version, &bytes[..len]), Ok(None), "{name}: cut at {len}");
    }
    let mut more = bytes.to_vec();
    more.extend_from_slice(&[0xFF; 3]);
    let used = decode(version, &more).map(|found| found.expect(name).1);
    assert_eq!(used, Ok(bytes.len()), "{name}: with more behind it");
}

type Decoded<'a> = Result<Option<(Packet<'a>, usize)>, DecodeError>;

/// As the second packet of a conversation, CONNECT as the first.
fn decode(version: ProtocolVersion, bytes: &[u8]) -> Decoded<'_> {
    let is_connect = bytes.first().is_some_and(|first| first >> 4 == 1);
    let mut codec =
        if is_connect { Codec::new(100_000) } else { Codec::with_version(version, 100_000) };
    let decoded = codec.decode(bytes);
    if is_connect && matches!(decoded, Ok(Some(_))) {
        assert_eq!(codec.version(), Some(version));
    }
    decoded
}

/// Hexadecimal digits, texts in `'quotes'`, and `_` for the remaining length.
fn bytes(text: &str) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = vec![Vec::new()];
    for (i, part) in text.split('\'').enumerate() {
        let last = parts.last_mut().unwrap();
        if i % 2 == 1 {
            last.extend_from_slice(part.as_bytes());
            continue;
        }
        for token in part.split_whitespace() {
            if token == "_" {
                parts.push(Vec::new());
                continue;
            }
            let last = parts.last_mut().unwrap();
            for at in (0..token.len()).step_by(2) {
                last.push(u8::from_str_radix(&token[at..at + 2], 16).expect(text));
            }
        }
    }
    let mut bytes = parts.remove(0);
    for part in parts {
        bytes.push(u8::try_from(part.len()).unwrap());
        assert!(part.len() < 128, "short packets only");
        bytes.extend(part);
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn pairs(pairs: &[(&str, &str)]) -> UserProperties {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// [MQTT3-3.1.0-1] [MQTT5-3.1.0-1]
#[test]
fn first_packet_has_to_be_connect() {
    for first in (0..=0xFF).filter(|first| first >> 4 != 1) {
        let error = Codec::new(100).decode(&[first]).unwrap_err();
        assert_eq!(error, DecodeError::FirstPacketNotConnect);
        assert_eq!(error.reason(), ReasonCode::ProtocolError);
    }
}

/// [MQTT3-2.2.2-1] [MQTT3-2.2.2-2] [MQTT5-2.1.3-1] [MQTT3-3.6.1-1] [MQTT5-3.6.1-1]
/// [MQTT3-3.8.1-1] [MQTT5-3.8.1-1] [MQTT3-3.10.1-1] [MQTT5-3.10.1-1] [MQTT3-3.14.1-1]
/// [MQTT5-3.14.1-1] [MQTT5-3.15.1-1]
#[test]
fn reserved_flags_of_the_fixed_header_are_refused_with_the_first_byte() {
    for version in [V3_1, V3_1_1, V5] {
        for first in 0..=0xFF_u8 {
            let (kind, flags) = (first >> 4, first & 0x0F);
            let right = match kind {
                3 => flags,
                6 | 8 | 10 if version == V3_1 => 0b0010 | flags & 0b1000,
                6 | 8 | 10 => 0b0010,
                _ => 0,
            };
            let expected = match kind {
                0 => Err(DecodeError::PacketTypeReserved),
                15 if version < V5 => Err(DecodeError::PacketTypeReserved),
                _ if flags == right => Ok(None),
                _ => Err(DecodeError::FixedHeaderFlagsReserved),
            };
            let decoded = Codec::with_version(version, 100).frame_len(&[first]);
            assert_eq!(decoded, expected, "{first:02X}");
        }
    }
    assert_eq!(Codec::new(100).frame_len(&[0x11]), Err(DecodeError::FixedHeaderFlagsReserved));
}

#[test]
fn too_large_is_seen_before_the_body_is_there() {
    let mut codec = Codec::with_version(V5, 129);
    assert_eq!(codec.frame_len(&[0x30, 0x7F]), Ok(Some(129)));
    assert_eq!(codec.frame_len(&[0x30, 0x80]), Ok(None));
    assert_eq!(codec.decode(&[0x30, 0x80, 0x01]), Err(DecodeError::PacketTooLarge));
    assert_eq!(DecodeError::PacketTooLarge.reason(), ReasonCode::PacketTooLarge);
    let whole = Codec::with_version(V5, u32::MAX).frame_len(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    assert_eq!(whole, Ok(Some(crate::codec::PACKET_BYTES_MAX)));
}

/// [MQTT5-1.5.5-1]
#[test]
fn remaining_length_is_minimal_in_5_and_has_four_bytes_at_most() {
    let long = [0x30, 0x80, 0x80, 0x80, 0x80];
    let not_minimal = [0xC0, 0x80, 0x00];
    for version in [V3_1, V3_1_1, V5] {
        assert_eq!(decode(version, &long), Err(DecodeError::VariableByteIntegerTooLong));
        assert_eq!(decode(version, &long[..4]), Ok(None));
    }
    assert_eq!(decode(V5, &not_minimal), Err(DecodeError::VariableByteIntegerNotMinimal));
    assert_eq!(decode(V3_1_1, &not_minimal), Ok(Some((Packet::Pingreq, 3))));
    let connect = bytes("10 8D00 0004'MQTT'05 02 0000 00 0000");
    assert_eq!(decode(V5, &connect), Err(DecodeError::VariableByteIntegerNotMinimal));
    let connect = bytes("10 8C00 0004'MQTT'04 02 0000 0000");
    assert!(matches!(decode(V3_1_1, &connect), Ok(Some((Packet::Connect(_), 15)))));
}

/// [MQTT5-1.5.5-1]
#[test]
fn lengths_grow_with_what_they_count() {
    for (payload, header) in
        [(123, 2), (124, 3), (16_379, 3), (16_380, 4), (2_097_147, 4), (2_097_148, 5)]
    {
        let payload = vec![b'x'; payload];
        let packet = Packet::Publish(crate::Publish::new("t", &payload));
        let mut out = Vec::new();
        encode(V5, &packet, &mut out);
        assert_eq!(out.len(), header + 4 + payload.len());
        assert_eq!(encoded_len(V5, &packet), out.len());
        let mut codec = Codec::with_version(V5, u32::MAX);
        assert_eq!(codec.decode(&out), Ok(Some((packet, out.len()))));
    }
}

#[test]
fn what_no_packet_can_hold_is_not_written() {
    let huge = vec![0; crate::codec::PACKET_BYTES_MAX];
    let packet = Packet::Publish(crate::Publish::new("t", &huge));
    let mut out = Vec::new();
    encode(V5, &packet, &mut out);
    assert!(out.is_empty());
    assert!(encoded_len(V5, &packet) > crate::codec::PACKET_BYTES_MAX);
}

#[test]
fn long_text_is_cut_between_characters() {
    let long = "ä".repeat(40_000);
    let packet = Packet::Publish(crate::Publish::new(&long, b"x"));
    let mut out = Vec::new();
    encode(V3_1_1, &packet, &mut out);
    assert_eq!(encoded_len(V3_1_1, &packet), out.len());
    let mut codec = Codec::with_version(V3_1_1, u32::MAX);
    let Ok(Some((Packet::Publish(publish), _))) = codec.decode(&out) else { panic!("no PUBLISH") };
    assert_eq!(publish.topic, &long[..65_534]);
    assert_eq!(publish.payload, b"x");
}

#[test]
fn version_is_known_even_if_the_rest_of_connect_is_refused() {
    let mut codec = Codec::new(100);
    let refused = codec.decode(&[0x10, 8, 0, 4, b'M', b'Q', b'T', b'T', 5, 1]);
    assert_eq!(refused, Err(DecodeError::ConnectFlagReserved));
    assert_eq!(codec.version(), Some(V5));
}

#[test]
fn second_connect_is_decoded_and_changes_nothing() {
    let mut codec = Codec::with_version(V5, 100);
    let connect = bytes("10 _ 0004'MQTT'04 02 0000 0000");
    assert!(matches!(codec.decode(&connect), Ok(Some((Packet::Connect(_), 14)))));
    assert_eq!(codec.version(), Some(V5));
}
