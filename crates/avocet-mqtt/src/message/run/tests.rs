use super::*;
use crate::{Codec, OwnedProperties, Packet, SubscriptionIdentifier, codec};

const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1, ProtocolVersion::V5];
const V5: ProtocolVersion = ProtocolVersion::V5;
const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

fn publish<'a>(qos: QoS, number: u16, topic: &'a str, payload: &'a [u8]) -> Publish<'a> {
    let packet_id = PacketId::new(number).filter(|_| qos > QoS::AtMostOnce);
    Publish { qos, packet_id, ..Publish::new(topic, payload) }
}

fn encoded(version: ProtocolVersion, publishes: &[Publish<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    publishes.iter().for_each(|publish| codec::encode_publish(version, publish, &mut bytes));
    bytes
}

/// The run that these bytes begin with.
fn run(version: ProtocolVersion, bytes: &[u8], packet_bytes_max: u32) -> Option<Run<'_>> {
    let mut codec = Codec::with_version(version, packet_bytes_max);
    let Ok(Some((Packet::Publish(publish), _))) = codec.decode(bytes) else {
        panic!("no PUBLISH: {bytes:?}")
    };
    let mut run = Run::of(bytes, &publish, version)?;
    while let Some(frame) = codec.follower(run.frames()) {
        run.extend(&frame);
    }
    Some(run)
}

/// How many messages these bytes begin with that go together.
fn together(version: ProtocolVersion, bytes: &[u8]) -> usize {
    run(version, bytes, u32::MAX).map_or(0, |run| run.frames().len())
}

fn decoded(version: ProtocolVersion, mut bytes: &[u8]) -> Vec<Publish<'_>> {
    let mut codec = Codec::with_version(version, u32::MAX);
    let mut publishes = Vec::new();
    while let Some((packet, len)) = codec.decode(bytes).unwrap() {
        let Packet::Publish(publish) = packet else { panic!("no PUBLISH: {packet:?}") };
        publishes.push(publish);
        bytes = &bytes[len..];
    }
    assert_eq!(bytes, b"");
    publishes
}

fn properties() -> OwnedProperties {
    OwnedProperties::builder().content_type("text").user_property("k", "v").build().unwrap()
}

#[test]
fn message_that_has_to_be_written_anew_is_no_run() {
    let plain = || publish(QoS::AtLeastOnce, 7, "t", b"x");
    let large = vec![0; LARGE_PAYLOAD_BYTES];
    let identifier = SubscriptionIdentifier::new(1).unwrap();
    for version in VERSIONS {
        let retained = Publish { retain: true, ..plain() };
        let large = publish(QoS::AtMostOnce, 0, "t", &large);
        let nearly = Publish { payload: &large.payload[1..], ..large.clone() };
        for (publish, count) in [(plain(), 1), (nearly, 1), (retained, 0), (large, 0)] {
            assert_eq!(together(version, &encoded(version, &[publish])), count);
        }
    }
    let own = properties();
    let alias = PacketId::new(3);
    for (publish, count) in [
        (Publish { properties: own.borrow(), ..plain() }, 1),
        (Publish { message_expiry_interval: Some(9), ..plain() }, 0),
        (Publish { topic_alias: alias, ..plain() }, 0),
        (Publish { topic_alias: alias, topic: "", ..plain() }, 0),
        (Publish { subscription_identifiers: vec![identifier].into(), ..plain() }, 0),
        (Publish { properties: own.borrow(), topic_alias: alias, ..plain() }, 0),
    ] {
        assert_eq!(
            together(V5, &encoded(V5, std::slice::from_ref(&publish))),
            count,
            "{publish:?}"
        );
    }
    // Nothing came as bytes.
    assert!(Run::of(&[], &plain(), V5).is_none());
}

/// 3.1.1 lets a length take more bytes than it needs; 5.0 does not, and may get the message.
#[test]
fn length_in_more_bytes_than_it_needs_is_not_passed_on() {
    let version = ProtocolVersion::V3_1_1;
    let long = [0x30, 0x84, 0x00, 0, 1, b't', b'x'];
    assert_eq!(together(version, &long), 0);
    let short = encoded(version, &[publish(QoS::AtMostOnce, 0, "t", b"x")]);
    assert_eq!(together(version, &[&short[..], &long[..], &short[..]].concat()), 1);
}

#[test]
fn messages_alike_go_together() {
    for version in VERSIONS {
        for qos in QOS {
            let payloads =
                [vec![1; 5], vec![2; 5], vec![], vec![3; 200], vec![4; 8191], vec![5; 5]];
            let publishes: Vec<_> =
                (1..).zip(&payloads).map(|(id, it)| publish(qos, id, "a/b", it)).collect();
            let bytes = encoded(version, &publishes);
            let run = run(version, &bytes, u32::MAX).unwrap();
            let frames = run.frames();
            assert_eq!((run.topic(), run.qos(), frames.len()), ("a/b", qos, 6));
            assert_eq!(frames.bytes(), bytes);
            let lengths: Vec<_> =
                publishes.iter().map(|it| codec::publish_len(version, it)).collect();
            assert_eq!(frames.longest(), lengths[4]);
            assert!(frames.iter().map(|frame| frame.bytes().len()).eq(lengths));
            assert!(
                frames.iter().map(|it| it.packet_id()).eq(publishes.iter().map(|it| it.packet_id))
            );
            assert!(frames.iter().map(|it| it.payload()).eq(payloads.iter().map(Vec::as_slice)));
            assert!(frames.iter().all(|frame| frame.topic() == "a/b"));
            assert_eq!(run.transits().len(), 6);
            for (transit, payload) in run.transits().iter().zip(&payloads) {
                assert_eq!((transit.topic(), transit.payload()), ("a/b", &payload[..]));
                assert_eq!((transit.qos(), transit.retain()), (qos, false));
                assert_eq!(transit.expires_at(), None);
            }
            assert!(std::ptr::eq(run.transits(), run.transits()));
        }
    }
}

/// Each is held against a first message of QoS 1 to the topic `ab` with `xy` in it.
#[test]
fn message_unlike_the_first_does_not_follow() {
    let own = properties();
    let plain = || publish(QoS::AtLeastOnce, 8, "ab", b"xy");
    let large = vec![0; LARGE_PAYLOAD_BYTES];
    for version in VERSIONS {
        let first = encoded(version, &[Publish { packet_id: PacketId::new(7), ..plain() }]);
        let followed_by = |bytes: &[u8]| together(version, &[&first[..], bytes].concat());
        for (what, count, publish) in [
            ("the like", 2, plain()),
            ("shorter", 2, Publish { payload: b"", ..plain() }),
            ("longer", 2, Publish { payload: b"xyz", ..plain() }),
            ("QoS 0", 1, publish(QoS::AtMostOnce, 0, "ab", b"xy")),
            ("QoS 0 of the same length", 1, publish(QoS::AtMostOnce, 0, "ab", b"wxyz")),
            ("QoS 2", 1, publish(QoS::ExactlyOnce, 8, "ab", b"xy")),
            ("sent again", 1, Publish { dup: true, ..plain() }),
            ("to be retained", 1, Publish { retain: true, ..plain() }),
            ("another topic of the same length", 1, Publish { topic: "ac", ..plain() }),
            (
                "a longer topic, all else the same",
                1,
                Publish { topic: "abx", payload: b"y", ..plain() },
            ),
            ("a shorter topic", 1, Publish { topic: "a", ..plain() }),
            ("a large payload", 1, Publish { payload: &large, ..plain() }),
        ] {
            assert_eq!(followed_by(&encoded(version, &[publish])), count, "{version:?} {what}");
        }
        let like = encoded(version, &[plain()]);
        for cut in 0..like.len() {
            assert_eq!(followed_by(&like[..cut]), 1, "{version:?} {cut} bytes of it");
        }
        let mut zero = like.clone();
        zero[6..8].fill(0);
        assert_eq!(followed_by(&zero), 1, "{version:?} packet identifier zero");
        let mut zero = encoded(version, &[Publish { payload: b"", ..plain() }]);
        zero[6..8].fill(0);
        assert_eq!(followed_by(&zero), 1, "{version:?} packet identifier zero, shorter");
        for malformed in
            ["32 00", "32 02 0000", "32 04 0002 6162", "32 05 0002 6162 00", "32 ff ff ff ff"]
        {
            let malformed: Vec<u8> = malformed
                .split(' ')
                .flat_map(|word| (0..word.len()).step_by(2).map(|at| &word[at..at + 2]))
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect();
            assert_eq!(followed_by(&malformed), 1, "{version:?} {malformed:?}");
        }
    }
    // Without payload 5.0 lacks the length of the properties where 3.1.1 is whole.
    let first = encoded(V5, &[plain()]);
    let truncated = [0x32, 6, 0, 2, b'a', b'b', 0, 9];
    assert_eq!(together(V5, &[&first[..], &truncated].concat()), 1);
    // Properties are looked into by the one who reads the packet.
    let with = encoded(V5, &[Publish { properties: own.borrow(), ..plain() }]);
    assert_eq!(together(V5, &[&first[..], &with[..]].concat()), 1);
    assert_eq!(together(V5, &[&with[..], &first[..]].concat()), 1);
    assert_eq!(together(V5, &[&with[..], &with[..]].concat()), 1);
    // The same length with other bytes where the properties are.
    let mut lying = encoded(V5, &[plain()]);
    lying[8] = 1;
    assert_eq!(together(V5, &[&first[..], &lying[..]].concat()), 1);
}

#[test]
fn follower_keeps_to_the_largest_packet() {
    for version in VERSIONS {
        let of = |len| vec![b'x'; len];
        let payloads = [of(1), of(9), of(10), of(1)];
        let publishes: Vec<_> =
            payloads.iter().map(|it| publish(QoS::AtMostOnce, 0, "t", it)).collect();
        let bytes = encoded(version, &publishes);
        let max = u32::try_from(codec::publish_len(version, &publishes[1])).unwrap();
        assert_eq!(run(version, &bytes, max).unwrap().frames().len(), 2);
        assert_eq!(run(version, &bytes, max + 1).unwrap().frames().len(), 4);
    }
}

#[test]
fn frames_are_for_clients_that_read_the_same() {
    let written = |version, qos| encoded(version, &[publish(qos, 7, "t", b"x")]);
    for from in VERSIONS {
        for to in VERSIONS {
            for published in QOS {
                for granted in QOS {
                    let bytes = written(from, published);
                    let frames = *run(from, &bytes, u32::MAX).unwrap().frames();
                    let alike = (from == V5) == (to == V5);
                    let ids = (published == QoS::AtMostOnce) == (granted == QoS::AtMostOnce);
                    assert_eq!(frames.is_for(to, granted), alike && ids);
                }
            }
        }
    }
}

#[test]
fn frames_are_written_with_the_receivers_qos_and_identifiers() {
    let own = properties();
    let long = vec![b'y'; 300];
    for version in VERSIONS {
        for dup in [false, true] {
            for published in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let one =
                    |number, payload| Publish { dup, ..publish(published, number, "t", payload) };
                let publishes = [one(9, b"x"), one(2, &long), one(5, b""), one(9, b"z")];
                let bytes = encoded(version, &publishes);
                let frames = *run(version, &bytes, u32::MAX).unwrap().frames();
                assert_eq!(frames.len(), 4);
                for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    let mut out = b"before".to_vec();
                    frames.write_as(qos, PacketId::new(65_534).unwrap(), &mut out);
                    assert_eq!(out[..6], *b"before");
                    let expected = publishes.iter().zip([65_534, 65_535, 1, 2]).map(|(it, id)| {
                        Publish { dup: false, qos, packet_id: PacketId::new(id), ..it.clone() }
                    });
                    assert!(expected.eq(decoded(version, &out[6..])), "{version:?} {qos:?}");
                }
            }
        }
    }
    let with = Publish { properties: own.borrow(), ..publish(QoS::ExactlyOnce, 9, "t", b"x") };
    let bytes = encoded(V5, std::slice::from_ref(&with));
    let mut out = Vec::new();
    let frames = *run(V5, &bytes, u32::MAX).unwrap().frames();
    frames.write_as(QoS::AtLeastOnce, PacketId::MIN, &mut out);
    let expected = Publish { qos: QoS::AtLeastOnce, packet_id: Some(PacketId::MIN), ..with };
    assert_eq!(decoded(V5, &out), [expected]);
}

#[test]
fn first_frames_are_those_and_no_more() {
    let payloads = [&b"1"[..], b"22", b"1", b"333"];
    for version in VERSIONS {
        let publishes = payloads.map(|it| publish(QoS::AtLeastOnce, 7, "t", it));
        let bytes = encoded(version, &publishes);
        let frames = *run(version, &bytes, u32::MAX).unwrap().frames();
        for count in 1..=5 {
            let first = frames.first(count);
            assert_eq!(first.len(), count.min(4));
            assert_eq!(first.bytes(), encoded(version, &publishes[..count.min(4)]));
            assert_eq!(first.iter().count(), count.min(4));
        }
    }
}

#[test]
fn frames_that_were_kept_are_the_same() {
    let own = properties();
    for version in VERSIONS {
        for qos in QOS {
            let plain = publish(qos, 7, "t", b"x");
            let with = Publish { properties: own.borrow(), ..plain.clone() };
            let longer = Publish { payload: b"xyz", ..plain.clone() };
            for publishes in [vec![plain.clone(), longer, plain], vec![with]] {
                let bytes = [encoded(version, &publishes), b"\x32rest".to_vec()].concat();
                let run = run(version, &bytes, u32::MAX).unwrap();
                let kept = run.frames().keep();
                let shared: Vec<_> = run.transits().iter().map(|it| it.share().clone()).collect();
                let transits = shared.iter().map(Transit::from_shared).collect();
                let again = Run::kept(kept.borrow(), transits);
                assert_eq!((again.topic(), again.qos()), ("t", qos));
                let (old, new) = (run.frames(), again.frames());
                assert_eq!((new.len(), new.bytes()), (old.len(), old.bytes()));
                assert_eq!(new.longest(), old.longest());
                assert!(new.iter().eq(old.iter()));
                for ((transit, message), publish) in
                    again.transits().iter().zip(&shared).zip(&publishes)
                {
                    assert!(std::sync::Arc::ptr_eq(transit.share(), message));
                    assert_eq!((message.topic(), message.payload()), ("t", publish.payload));
                    if version == V5 {
                        assert_eq!(message.properties(), publish.properties);
                    }
                }
                // One by one, as they lie in a log.
                for frame in old.iter() {
                    let one = Frame::kept(frame.bytes(), frame.shape());
                    assert_eq!(one, frame);
                    let transit = one.transit(one.topic());
                    assert_eq!((transit.topic(), transit.payload()), ("t", frame.payload()));
                    assert_eq!(transit.qos(), qos);
                }
            }
        }
    }
}
