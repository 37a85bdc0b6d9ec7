use avocet_mqtt::{PacketId, ProtocolVersion, Publish, QoS, encode_publish};

use super::*;

fn encoded(version: ProtocolVersion, qos: QoS, payload: &[u8]) -> Vec<u8> {
    let mut publish = Publish::new("bench/pair/7", payload);
    publish.qos = qos;
    publish.packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MAX);
    let mut bytes = Vec::new();
    encode_publish(version, &publish, &mut bytes);
    bytes
}

#[test]
fn publish_comes_apart_as_the_codec_put_it_together() {
    for version in [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1, ProtocolVersion::V5] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for payload in [&b""[..], b"sixteen bytes ..", &[7; 300]] {
                let bytes = encoded(version, qos, payload);
                let frame = frame(&bytes).unwrap().unwrap();
                assert_eq!((frame.kind(), frame.len), (kind::PUBLISH, bytes.len()));
                assert_eq!(frame.qos(), qos.bits());
                let published = published(&frame, version == ProtocolVersion::V5).unwrap();
                let packet_id = (qos != QoS::AtMostOnce).then_some([0xFF, 0xFF]);
                assert_eq!(published, Published { topic: b"bench/pair/7", packet_id, payload });
            }
        }
    }
}

#[test]
fn part_of_a_frame_is_no_frame_yet() {
    let bytes = encoded(ProtocolVersion::V5, QoS::AtLeastOnce, &[7; 300]);
    for len in 0..bytes.len() {
        assert!(frame(&bytes[..len]).unwrap().is_none(), "{len} bytes");
    }
}

#[test]
fn length_of_five_bytes_is_malformed() {
    assert_eq!(frame(&[0x30, 0x80, 0x80, 0x80, 0x80, 0x01]).map(|_| ()), Err(Malformed));
}

#[test]
fn acknowledgements_have_their_flags_and_their_reason() {
    assert_eq!(acknowledgement(kind::PUBACK, [1, 2]), [0x40, 2, 1, 2]);
    assert_eq!(acknowledgement(kind::PUBREL, [1, 2]), [0x62, 2, 1, 2]);
    let with_reason = [0x40, 3, 1, 2, 0x97];
    let frame = frame(&with_reason).unwrap().unwrap();
    assert_eq!(acknowledged(&frame), Ok(([1, 2], 0x97)));
}
