use std::time::Duration;

use avocet_mqtt::{Codec, Packet};

use super::*;
use crate::{
    bench::{load::Until, processes::Role, shape::Shape, source::Sources},
    client::stream::Target,
};

fn load(version: ProtocolVersion, qos: QoS) -> Load {
    Load {
        shape: Shape::Pair,
        count: 3,
        target: Target::tcp("", 0),
        username: None,
        password: None,
        pid: None,
        window: 2,
        rate: Rate::Unlimited,
        payload_bytes: 16,
        qos,
        version,
        is_fastlane: false,
        is_lasting: false,
        warm_up: Duration::ZERO,
        until: Until::Delivered(1),
        patience: Duration::ZERO,
        sources: Sources::default(),
        role: Role::Alone,
        is_json: false,
    }
}

#[test]
fn frames_are_good_and_carry_their_number() {
    for version in [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1, ProtocolVersion::V5] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut publisher = Publisher::new(&load(version, qos), 2);
            let mut bytes = Vec::new();
            assert!(publisher.fill(0, &mut bytes));
            assert!(!publisher.fill(0, &mut bytes));
            let mut codec = Codec::with_version(version, u32::MAX);
            let mut rest = &bytes[..];
            for sequence in 0..2 {
                let Some((Packet::Publish(publish), len)) = codec.decode(rest).unwrap() else {
                    panic!("no PUBLISH");
                };
                assert_eq!(stamp(publish.payload), Some((2, sequence)));
                assert_eq!((publish.topic, publish.payload.len()), ("bench/pair/2", 16));
                let packet_id = publish.packet_id.map(PacketId::get);
                let expected = (qos != QoS::AtMostOnce).then_some(sequence as u16 + 1);
                assert_eq!(packet_id, expected);
                rest = &rest[len..];
            }
            assert!(rest.is_empty());
        }
    }
}

#[test]
fn no_more_is_stored_than_was_asked_for() {
    let mut load = load(ProtocolVersion::V5, QoS::AtLeastOnce);
    load.shape = Shape::Store { sessions: 2 };
    load.until = Until::Delivered(8);
    let allowed = [0, 1, 2].map(|index| Publisher::new(&load, index).allowed);
    assert_eq!(allowed, [3, 3, 2]);
}
