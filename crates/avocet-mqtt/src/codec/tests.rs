//! The codec against arbitrary packets, arbitrary bytes, and a codec that is not ours.

mod arbitrary;
mod oracle;

use proptest::prelude::*;

use super::*;

const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1, ProtocolVersion::V5];

/// A codec that has seen CONNECT, except for CONNECT itself.
fn codec_for(version: ProtocolVersion, bytes: &[u8]) -> Codec {
    if bytes.first().is_some_and(|first| first >> 4 == kind::CONNECT) {
        Codec::new(u32::MAX)
    } else {
        Codec::with_version(version, u32::MAX)
    }
}

fn encoded(version: ProtocolVersion, packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(version, packet, &mut out);
    out
}

fn decoded(version: ProtocolVersion, bytes: &[u8]) -> Packet<'_> {
    let (packet, used) = codec_for(version, bytes).decode(bytes).unwrap().unwrap();
    assert_eq!(used, bytes.len());
    packet
}

/// Whatever the bytes are: no panic, nothing taken that is not there, and what was taken can be
/// written and read again.
fn check_any_bytes(version: ProtocolVersion, bytes: &[u8]) -> Result<(), TestCaseError> {
    for mut codec in [Codec::new(u32::MAX), Codec::with_version(version, u32::MAX)] {
        let frame_len = codec.frame_len(bytes);
        match codec.decode(bytes) {
            Ok(Some((packet, used))) => {
                prop_assert!(used <= bytes.len());
                prop_assert_eq!(frame_len, Ok(Some(used)));
                let version = codec.version().unwrap();
                let again = encoded(version, &packet);
                prop_assert_eq!(encoded_len(version, &packet), again.len());
                prop_assert_eq!(codec.decode(&again), Ok(Some((packet, again.len()))));
            }
            Ok(None) => prop_assert!(!matches!(frame_len, Ok(Some(len)) if len <= bytes.len())),
            Err(error) => prop_assert!(error.reason().is_error() && !error.to_string().is_empty()),
        }
    }
    Ok(())
}

/// A packet that says of itself how long it is.
fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    Writer::append(&mut bytes).variable(body.len());
    bytes.extend_from_slice(body);
    bytes
}

/// Where the body begins.
fn body_at(bytes: &[u8]) -> usize {
    1 + bytes[1..].iter().position(|byte| *byte < 0x80).unwrap() + 1
}

/// Bytes to put in the place of others: small numbers and what is special somewhere.
fn interesting_byte() -> impl Strategy<Value = u8> {
    let odd = prop::sample::select(vec![0x80, 0xFF, b'#', b'+']);
    prop_oneof![3 => 0_u8..0x30, 1 => any::<u8>(), 1 => odd]
}

/// One to three changes of the body; the length is then put right.
fn mutated(bytes: &[u8], changes: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    let mut body = bytes[body_at(bytes)..].to_vec();
    for (index, what, byte) in changes {
        let at = index.index(body.len() + 1);
        match what {
            0 => body.truncate(at),
            1 => body.insert(at, *byte),
            2 if at < body.len() => drop(body.remove(at)),
            _ if at < body.len() => body[at] = *byte,
            _ => body.push(*byte),
        }
    }
    framed(bytes[0], &body)
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8, interesting_byte()), 1..4)
}

/// How many acknowledgements the row has that these bytes begin with.
fn row(version: ProtocolVersion, bytes: &[u8]) -> Option<(AckKind, Vec<u16>)> {
    let codec = Codec::with_version(version, u32::MAX);
    let row = codec.split(bytes).unwrap().unwrap().short_acks(bytes)?;
    let ids: Vec<u16> = row.packet_ids().map(PacketId::get).collect();
    assert_eq!((row.len(), row.bytes()), (ids.len(), 4 * ids.len()));
    Some((row.kind(), ids))
}

#[test]
fn acknowledgements_alike_are_a_row() {
    for version in VERSIONS {
        for (kind, first) in [
            (AckKind::Puback, 0x40),
            (AckKind::Pubrec, 0x50),
            (AckKind::Pubrel, 0x62),
            (AckKind::Pubcomp, 0x70),
        ] {
            let ack = |id: u16| [[first, 2], id.to_be_bytes()].concat();
            let whole = [ack(1), ack(65_535), ack(256), ack(1)].concat();
            assert_eq!(row(version, &whole), Some((kind, vec![1, 65_535, 256, 1])));
            for cut in 1..4 {
                assert_eq!(row(version, &whole[..12 + cut]), Some((kind, vec![1, 65_535, 256])));
            }
            for other in [[0x30, 2, 0, 9], [first, 2, 0, 0], [first, 3, 0, 9], [first | 1, 2, 0, 9]]
            {
                let bytes = [&whole[..8], &other, &ack(3)].concat();
                assert_eq!(row(version, &bytes), Some((kind, vec![1, 65_535])), "{other:x?}");
            }
            // Identifier zero is an error; more than an identifier has to be looked into.
            assert_eq!(row(version, &[first, 2, 0, 0]), None);
            assert_eq!(row(version, &[first, 3, 0, 1, 0]), None);
        }
        assert_eq!(row(version, &[0xC0, 0]), None);
        assert_eq!(row(version, &[0x82, 2, 0, 1]), None);
    }
    // 3.1.1 lets a length take more bytes than it needs.
    assert_eq!(row(ProtocolVersion::V3_1_1, &[0x40, 0x82, 0, 0, 1]), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_of_5_come_back_as_they_were(packet in arbitrary::packet(ProtocolVersion::V5)) {
        let version = ProtocolVersion::V5;
        let bytes = encoded(version, &packet);
        prop_assert_eq!(encoded_len(version, &packet), bytes.len());
        prop_assert_eq!(&decoded(version, &bytes), &packet);
        for len in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            prop_assert_eq!(codec_for(version, &bytes).decode(&bytes[..len]), Ok(None));
        }
    }

    #[test]
    fn packets_before_5_lose_once_what_cannot_be_said(
        version in prop::sample::select(&VERSIONS[..2]),
        packet in prop::sample::select(&VERSIONS[..2]).prop_flat_map(arbitrary::packet),
    ) {
        let bytes = encoded(version, &packet);
        prop_assert_eq!(encoded_len(version, &packet), bytes.len());
        let once = decoded(version, &bytes);
        prop_assert_eq!(encoded(version, &once), bytes);
    }

    #[test]
    fn no_bytes_do_harm(
        version in prop::sample::select(&VERSIONS[..]),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        check_any_bytes(version, &bytes)?;
    }

    #[test]
    fn no_body_does_harm(
        version in prop::sample::select(&VERSIONS[..]),
        first in any::<u8>(),
        body in prop::collection::vec(interesting_byte(), 0..60),
    ) {
        check_any_bytes(version, &framed(first, &body))?;
    }

    #[test]
    fn no_damage_does_harm(
        (version, packet) in prop::sample::select(&VERSIONS[..])
            .prop_flat_map(|version| (Just(version), arbitrary::packet(version))),
        changes in changes(),
    ) {
        check_any_bytes(version, &mutated(&encoded(version, &packet), &changes))?;
    }
}
