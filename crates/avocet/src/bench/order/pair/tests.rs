use std::time::Duration;

use avocet_mqtt::{PacketId, Publish, encode_publish};

use super::*;
use crate::{
    bench::{
        load::{Rate, Until},
        order::checker::Faults,
        processes::Role,
        shape::Shape,
        source::Sources,
    },
    client::stream::Target,
};

fn pair(qos: QoS) -> Pair {
    let load = Load {
        shape: Shape::Pair,
        count: 1,
        target: Target::tcp("", 0),
        username: None,
        password: None,
        pid: None,
        window: 2,
        rate: Rate::Unlimited,
        payload_bytes: 16,
        qos,
        version: ProtocolVersion::V3_1_1,
        is_fastlane: false,
        is_lasting: false,
        warm_up: Duration::ZERO,
        until: Until::Delivered(1),
        patience: Duration::ZERO,
        sources: Sources::default(),
        role: Role::Alone,
        is_json: false,
    };
    Pair::new(&load, 0)
}

/// Kind, DUP and packet identifier of each packet.
fn packets(mut bytes: &[u8]) -> Vec<(u8, bool, u16)> {
    let mut packets = Vec::new();
    while let Some(frame) = wire::frame(bytes).unwrap() {
        let packet_id = match frame.kind() {
            kind::PUBLISH => wire::published(&frame, false).unwrap().packet_id.unwrap(),
            _ => wire::acknowledged(&frame).unwrap().0,
        };
        let is_dup = frame.kind() == kind::PUBLISH && frame.first & DUP != 0;
        packets.push((frame.kind(), is_dup, u16::from_be_bytes(packet_id)));
        bytes = &bytes[frame.len..];
    }
    packets
}

fn acknowledge(pair: &mut Pair, kind: u8, packet_id: u16) -> Vec<u8> {
    let bytes = wire::acknowledgement(kind, packet_id.to_be_bytes());
    let mut out = Vec::new();
    pair.handle_at_publisher(&wire::frame(&bytes).unwrap().unwrap(), &mut out).unwrap();
    out
}

fn deliver(pair: &mut Pair, qos: QoS, sequence: u64) -> Vec<u8> {
    let mut payload = [0; 16];
    payload[4..12].copy_from_slice(&sequence.to_be_bytes());
    let mut publish = Publish::new("bench/pair/0", &payload);
    (publish.qos, publish.packet_id) = (qos, Some(PacketId::MIN));
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    encode_publish(ProtocolVersion::V3_1_1, &publish, &mut bytes);
    let frame = wire::frame(&bytes).unwrap().unwrap();
    pair.handle_at_subscriber(&frame, &mut out).unwrap();
    out
}

fn filled(qos: QoS) -> Pair {
    let mut pair = pair(qos);
    let mut out = Vec::new();
    assert_eq!(pair.fill(&mut out), 2);
    assert_eq!(packets(&out), [(kind::PUBLISH, false, 1), (kind::PUBLISH, false, 2)]);
    pair
}

fn resumed(pair: &mut Pair, is_session_present: bool) -> Vec<(u8, bool, u16)> {
    let mut out = Vec::new();
    pair.resume_publisher(is_session_present, &mut out);
    packets(&out)
}

#[test]
fn what_is_not_acknowledged_is_published_again_with_dup() {
    let mut pair = filled(QoS::AtLeastOnce);
    acknowledge(&mut pair, kind::PUBACK, 1);
    assert_eq!(resumed(&mut pair, true), [(kind::PUBLISH, true, 2)]);
    assert_eq!(resumed(&mut pair, false), [(kind::PUBLISH, false, 2)]);
}

#[test]
fn what_the_broker_received_is_released_again() {
    let mut pair = filled(QoS::ExactlyOnce);
    let answer = acknowledge(&mut pair, kind::PUBREC, 1);
    assert_eq!(packets(&answer), [(kind::PUBREL, false, 1)]);
    assert_eq!(resumed(&mut pair, true), [(kind::PUBREL, false, 1), (kind::PUBLISH, true, 2)]);
    acknowledge(&mut pair, kind::PUBCOMP, 1);
    assert_eq!(resumed(&mut pair, true), [(kind::PUBLISH, true, 2)]);
    assert!(pair.findings().faults.lost == 1, "acknowledged and not delivered");
}

#[test]
fn message_is_lost_only_if_it_was_acknowledged() {
    let mut pair = filled(QoS::AtLeastOnce);
    acknowledge(&mut pair, kind::PUBACK, 2);
    let faults = Faults { lost: 1, unacknowledged: 1, ..Faults::default() };
    assert_eq!(pair.findings().faults, faults);
    assert!(!pair.is_waiting_for_subscriber() && !pair.is_settled());
    acknowledge(&mut pair, kind::PUBACK, 1);
    assert!(pair.is_waiting_for_subscriber());
    for sequence in 0..2 {
        let answer = deliver(&mut pair, QoS::AtLeastOnce, sequence);
        assert_eq!(packets(&answer), [(kind::PUBACK, false, 1)]);
    }
    assert!(pair.is_settled() && pair.findings().faults.is_none());
    assert_eq!(pair.delivered, 2);
}

#[test]
fn what_nobody_waited_for_is_unexpected() {
    let mut pair = filled(QoS::AtLeastOnce);
    for (kind, packet_id) in [(kind::PUBACK, 9), (kind::PUBREC, 1), (kind::PUBCOMP, 1)] {
        acknowledge(&mut pair, kind, packet_id);
    }
    deliver(&mut pair, QoS::AtLeastOnce, 2);
    deliver(&mut pair, QoS::ExactlyOnce, 0);
    assert_eq!(pair.findings().faults.unexpected, 5);
}

#[test]
fn refused_message_is_not_lost() {
    let mut pair = filled(QoS::AtLeastOnce);
    let bytes = [kind::PUBACK << 4, 3, 0, 1, 0x97];
    let frame = wire::frame(&bytes).unwrap().unwrap();
    pair.handle_at_publisher(&frame, &mut Vec::new()).unwrap();
    let faults = Faults { refused: 1, unacknowledged: 1, ..Faults::default() };
    assert_eq!(pair.findings().faults, faults);
}

#[test]
fn sessions_are_where_they_should_be() {
    let mut pair = pair(QoS::AtLeastOnce);
    for (is_present, is_expected) in [(false, false), (true, true), (false, true), (true, false)] {
        pair.note_session(is_present, is_expected);
    }
    let faults = Faults { sessions_missing: 1, sessions_unexpected: 1, ..Faults::default() };
    assert_eq!(pair.findings().faults, faults);
}
