use super::*;

fn feeder(qos: QoS, count: u64, window: u16) -> Feeder<'static> {
    let (topic, tempo) = (&|n| format!("t/{n}"), Tempo::new(None));
    let feed = Feed { count, topic, payload: b"p", retain: true, qos, window, tempo };
    Feeder::new(feed, 3, 1, ProtocolVersion::V3_1_1)
}

fn sent(feeder: &mut Feeder<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    while feeder.room(0) > 0 {
        feeder.send(0, &mut out);
    }
    let (mut kinds, mut at) = (Vec::new(), 0);
    while let Some(frame) = wire::frame(&out[at..]).unwrap() {
        kinds.push(frame.kind());
        at += frame.len;
    }
    kinds
}

fn answer(feeder: &mut Feeder<'_>, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let frame = Frame { first: kind << 4, body, len: body.len() + 2 };
    feeder.handle_frame(3, &frame, &mut out, 1).unwrap();
    out
}

#[test]
fn qos_0_is_answered_for_by_half_windows() {
    let mut feeder = feeder(QoS::AtMostOnce, 5, 4);
    assert_eq!(sent(&mut feeder), [3, 3, 12, 3, 3, 12]);
    answer(&mut feeder, kind::PINGRESP, &[]);
    assert_eq!((feeder.done, sent(&mut feeder)), (2, vec![3, 12]));
    answer(&mut feeder, kind::PINGRESP, &[]);
    answer(&mut feeder, kind::PINGRESP, &[]);
    // One for the keep alive answers for nothing.
    answer(&mut feeder, kind::PINGRESP, &[]);
    assert_eq!(feeder.done, 5);
}

#[test]
fn qos_1_has_its_window() {
    let mut feeder = feeder(QoS::AtLeastOnce, 3, 2);
    assert_eq!(sent(&mut feeder), [3, 3]);
    answer(&mut feeder, kind::PUBACK, &[0, 1]);
    assert_eq!((feeder.done, sent(&mut feeder)), (1, vec![3]));
    answer(&mut feeder, kind::PUBACK, &[0, 2, 0x97]);
    assert_eq!((feeder.done, feeder.refused), (2, 1));
}

#[test]
fn qos_2_is_over_with_pubcomp() {
    let mut feeder = feeder(QoS::ExactlyOnce, 1, 2);
    assert_eq!(sent(&mut feeder), [3]);
    assert_eq!(answer(&mut feeder, kind::PUBREC, &[0, 1]), [0x62, 2, 0, 1]);
    assert_eq!(feeder.done, 0);
    answer(&mut feeder, kind::PUBCOMP, &[0, 1]);
    assert_eq!(feeder.done, 1);
}

#[test]
fn no_more_is_sent_than_is_due() {
    let mut feeder = feeder(QoS::AtLeastOnce, 9, 4);
    for (due, kinds) in [(1, &[3][..]), (1, &[]), (3, &[3, 3]), (u64::MAX, &[3])] {
        feeder.due = due;
        assert_eq!(sent(&mut feeder), kinds, "{due} due");
    }
}
