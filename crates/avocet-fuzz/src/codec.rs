//! Packets: what was decoded can be written and read again; bytes that come in pieces are the same
//! packets and the same error; nothing is taken that is larger than allowed.

use avocet_mqtt::{Codec, DecodeError, Packet, ProtocolVersion, encode, encoded_len};

use crate::pieces::{Pieces, lengths};

/// A byte that chooses the version, one for the largest packet, four for the lengths of the pieces,
/// then the stream.
pub fn run(data: &[u8]) {
    let Some((&[version, max], rest)) = data.split_first_chunk() else { return };
    let Some((lengths, stream)) = lengths(rest) else { return };
    let packet_bytes_max = if max == 0 { u32::MAX } else { u32::from(max) * 4 };
    let codec = match version % 4 {
        0 => Codec::new(packet_bytes_max),
        1 => Codec::with_version(ProtocolVersion::V3_1, packet_bytes_max),
        2 => Codec::with_version(ProtocolVersion::V3_1_1, packet_bytes_max),
        _ => Codec::with_version(ProtocolVersion::V5, packet_bytes_max),
    };
    let whole = decode_whole(codec.clone(), stream, packet_bytes_max);
    let pieces = decode_pieces(codec, Pieces::of(stream, lengths));
    assert_eq!(whole, pieces, "in pieces it is something else");
}

/// What a stream is: packets as they print, how many bytes they took, and the error that ended it.
type Decoded = (Vec<String>, usize, Option<DecodeError>);

fn decode_whole(mut codec: Codec, stream: &[u8], packet_bytes_max: u32) -> Decoded {
    let (mut packets, mut used) = (Vec::new(), 0);
    loop {
        let rest = &stream[used..];
        let frame_len = codec.frame_len(rest);
        match codec.decode(rest) {
            Ok(None) => {
                assert!(!matches!(frame_len, Ok(Some(len)) if len <= rest.len()), "{frame_len:?}");
                return (packets, used, None);
            }
            Ok(Some((packet, len))) => {
                assert_eq!(frame_len, Ok(Some(len)));
                assert!(len <= packet_bytes_max as usize, "{len} bytes are too many");
                check_again(&codec, &packet);
                packets.push(format!("{packet:?}"));
                used += len;
            }
            Err(error) => {
                assert!(error.reason().is_error() && !error.to_string().is_empty());
                return (packets, used, Some(error));
            }
        }
    }
}

/// Written and read again it is the same packet, and as long as was said before.
fn check_again(codec: &Codec, packet: &Packet<'_>) {
    let version = codec.version().expect("a packet was decoded");
    let mut bytes = Vec::new();
    encode(version, packet, &mut bytes);
    assert_eq!(encoded_len(version, packet), bytes.len(), "{packet:?}");
    let is_first = matches!(packet, Packet::Connect(_));
    let known = Codec::with_version(version, u32::MAX);
    let mut codec = if is_first { Codec::new(u32::MAX) } else { known };
    let len = bytes.len();
    assert_eq!(codec.decode(&bytes).as_ref(), Ok(&Some((packet.clone(), len))));
}

fn decode_pieces(mut codec: Codec, pieces: Pieces<'_>) -> Decoded {
    let (mut packets, mut used) = (Vec::new(), 0);
    let mut held = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            match codec.decode(&held) {
                Ok(None) => break,
                Ok(Some((packet, len))) => {
                    packets.push(format!("{packet:?}"));
                    used += len;
                    held.drain(..len);
                }
                Err(error) => return (packets, used, Some(error)),
            }
        }
    }
    (packets, used, None)
}
