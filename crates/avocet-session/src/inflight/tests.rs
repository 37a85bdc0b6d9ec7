use avocet_mqtt::{ProtocolVersion, Publish, Run, codec};

use super::*;

const Q1: QoS = QoS::AtLeastOnce;
const Q2: QoS = QoS::ExactlyOnce;

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

/// Frames of QoS 1 with payloads of these lengths; each is 7 bytes longer than its payload.
fn frames_of(lengths: &[usize], work: impl FnOnce(&Frames<'_>)) {
    let payload = vec![b'x'; lengths.iter().copied().max().unwrap()];
    let publish = |length: &usize| {
        let plain = Publish::new("t", &payload[..*length]);
        Publish { qos: Q1, packet_id: Some(id(9)), ..plain }
    };
    let mut bytes = Vec::new();
    for length in lengths {
        codec::encode_publish(ProtocolVersion::V3_1_1, &publish(length), &mut bytes);
    }
    let mut run = Run::of(&bytes, &publish(&lengths[0]), ProtocolVersion::V3_1_1).unwrap();
    while let Some(frame) = run.frames().follower(usize::MAX) {
        run.extend(&frame);
    }
    assert_eq!(run.frames().len(), lengths.len());
    work(run.frames());
}

fn room_for(inflight: &Inflight, frames: &Frames<'_>, window: u16, bytes_max: usize) -> usize {
    let limits = Limits { queue_bytes_max: bytes_max, ..Limits::default() };
    inflight.room_for(frames, window, &limits)
}

/// So many messages of one byte.
fn enter(inflight: &mut Inflight, count: usize, qos: QoS) {
    frames_of(&vec![1; count], |frames| inflight.push_frames(frames, qos));
}

/// The message as one that is kept by itself.
fn one(qos: QoS) -> Waiting {
    let publish = Publish { qos, ..Publish::new("t", b"x") };
    let transit = Transit::new(&publish, crate::tests::script::origin());
    Waiting::plain(Arc::clone(transit.share()), qos)
}

fn enter_one(inflight: &mut Inflight, qos: QoS) {
    inflight.push(one(qos));
}

/// What is left of these acknowledgements.
fn complete(inflight: &mut Inflight, qos: QoS, ids: &[u16]) -> Vec<u16> {
    let mut ids = ids.iter().map(|number| id(*number)).peekable();
    inflight.complete_oldest(&mut ids, qos);
    ids.map(PacketId::get).collect()
}

fn finish(inflight: &mut Inflight, ids: &[u16]) -> Vec<u16> {
    let mut ids = ids.iter().map(|number| id(*number)).peekable();
    inflight.finish_oldest(&mut ids);
    ids.map(PacketId::get).collect()
}

/// Messages, those sent here, places in the ring, bytes in the log, and the first identifier.
fn state(inflight: &Inflight) -> (usize, usize, usize, usize, u16) {
    let Inflight { ring, log, first_id, count, outstanding, .. } = inflight;
    (*count, *outstanding, ring.len(), log.len(), *first_id)
}

#[test]
fn oldest_are_completed_as_long_as_the_identifiers_are_theirs() {
    for (ids, left, gone) in [
        (&[1, 2, 3][..], &[][..], 3),
        (&[1, 2], &[], 2),
        (&[1, 3], &[3], 1),
        (&[1, 1], &[1], 1),
        (&[2, 1], &[2, 1], 0),
        (&[1, 2, 3, 4], &[4], 3),
        (&[], &[], 0),
        (&[9, 1], &[9, 1], 0),
    ] {
        let mut inflight = Inflight::default();
        enter(&mut inflight, 3, Q1);
        assert_eq!(complete(&mut inflight, Q1, ids), left);
        let rest = 3 - gone;
        assert_eq!(
            state(&inflight),
            (rest, rest, rest, rest * 8, 1 + u16::try_from(gone).unwrap())
        );
    }
}

#[test]
fn oldest_are_completed_up_to_one_that_is_not_to_be() {
    // Of another QoS.
    let mut inflight = Inflight::default();
    enter(&mut inflight, 2, Q1);
    enter(&mut inflight, 1, Q2);
    enter(&mut inflight, 1, Q1);
    assert_eq!(complete(&mut inflight, Q2, &[1, 2]), [1, 2]);
    assert_eq!(complete(&mut inflight, Q1, &[1, 2, 3, 4]), [3, 4]);
    assert_eq!(state(&inflight), (2, 2, 2, 16, 3));
    // Kept by themselves, and one of them in the store, which is to hear of it.
    let mut inflight = Inflight::default();
    enter(&mut inflight, 1, Q1);
    enter_one(&mut inflight, Q1);
    let bytes = inflight.bytes;
    inflight.push(one(Q1).at(Place(7)));
    enter_one(&mut inflight, Q1);
    enter(&mut inflight, 1, Q1);
    assert_eq!(complete(&mut inflight, Q1, &[1, 2, 3, 4]), [3, 4]);
    assert_eq!(inflight.bytes, bytes * 2);
    let gone = Gone { place: Place(7), bytes, is_oldest: true, was_absent: false };
    assert_eq!(inflight.complete(id(3), Q1), Ok(Some(gone)));
    assert_eq!(complete(&mut inflight, Q1, &[4]), []);
    assert_eq!(state(&inflight), (1, 1, 1, 8, 5));
    assert_eq!(inflight.bytes, 0);
    // Over already: the places behind the hole go as soon as it is the first.
    let mut inflight = Inflight::default();
    enter(&mut inflight, 4, Q1);
    assert_eq!(inflight.complete(id(2), Q1), Ok(None));
    assert_eq!(state(&inflight), (3, 3, 4, 32, 1));
    assert_eq!(complete(&mut inflight, Q1, &[1, 3]), [3]);
    assert_eq!(state(&inflight), (2, 2, 2, 16, 3));
}

#[test]
fn oldest_are_finished_once_they_are_released() {
    let mut inflight = Inflight::default();
    enter(&mut inflight, 2, Q2);
    enter_one(&mut inflight, Q2);
    enter(&mut inflight, 2, Q2);
    assert_eq!(finish(&mut inflight, &[1]), [1]);
    for number in 1..=4 {
        assert_eq!(inflight.release(id(number)), Ok(Release::Now));
        assert_eq!(inflight.release(id(number)), Ok(Release::Now), "again");
    }
    // What was released stays in the log until it is at the front and over.
    assert_eq!((state(&inflight), inflight.bytes), ((5, 5, 5, 32, 1), 0));
    assert_eq!(complete(&mut inflight, Q2, &[1]), [1]);
    assert_eq!(finish(&mut inflight, &[1, 2, 3, 4, 5]), [5]);
    assert_eq!(state(&inflight), (1, 1, 1, 8, 5));
    assert_eq!(inflight.finish(id(5)), Err(Mismatch::WrongStage));
}

#[test]
fn identifiers_go_round() {
    let mut inflight = Inflight { first_id: 65_534, ..Inflight::default() };
    enter(&mut inflight, 4, Q1);
    assert_eq!(inflight.next_id(), id(3));
    assert_eq!(complete(&mut inflight, Q1, &[65_534, 65_535, 1, 3]), [3]);
    assert_eq!(state(&inflight), (1, 1, 1, 8, 2));
    // One that is over lies at the border.
    let mut inflight = Inflight { first_id: 65_534, ..Inflight::default() };
    enter(&mut inflight, 3, Q1);
    assert_eq!(inflight.complete(id(65_535), Q1), Ok(None));
    assert_eq!(complete(&mut inflight, Q1, &[65_534, 1]), [1]);
    assert_eq!(state(&inflight), (1, 1, 1, 8, 1));
    assert_eq!(complete(&mut inflight, Q1, &[1]), [] as [u16; 0]);
    assert_eq!(state(&inflight), (0, 0, 0, 0, 2));
}

#[test]
fn room_is_what_the_window_leaves() {
    let mut inflight = Inflight::default();
    let room = |inflight: &Inflight, count, window| {
        let mut room = 0;
        frames_of(&vec![1; count], |frames| room = room_for(inflight, frames, window, usize::MAX));
        room
    };
    assert_eq!((room(&inflight, 3, 5), room(&inflight, 9, 5)), (3, 5));
    enter(&mut inflight, 4, Q1);
    assert_eq!((room(&inflight, 9, 5), room(&inflight, 9, 4), room(&inflight, 9, 3)), (1, 0, 0));
    // What is released counts until it is over.
    enter(&mut inflight, 1, Q2);
    inflight.release(id(5)).unwrap();
    assert_eq!((room(&inflight, 9, 5), room(&inflight, 9, 6)), (0, 1));
    // Nothing new before all that an earlier connection left is sent again.
    inflight.disconnected();
    assert_eq!(room(&inflight, 9, 99), 0);
    while inflight.resend(99).is_some() {}
    assert_eq!(room(&inflight, 99, 99), 94);
}

#[test]
fn room_ends_with_the_ring() {
    let mut inflight = Inflight::default();
    enter(&mut inflight, 255, Q1);
    // All but the first are over: 255 places of 256 are taken by one message.
    for number in 2..=255 {
        inflight.complete(id(number), Q1).unwrap();
    }
    frames_of(&[1; 9], |frames| assert_eq!(room_for(&inflight, frames, 16, usize::MAX), 1));
    enter(&mut inflight, 1, Q1);
    frames_of(&[1; 9], |frames| assert_eq!(room_for(&inflight, frames, 16, usize::MAX), 0));
    frames_of(&[1; 9], |frames| assert_eq!(room_for(&inflight, frames, 17, usize::MAX), 9));
}

/// The last one may go beyond: what is sent is bounded by what was there before it.
#[test]
fn room_ends_with_the_bytes() {
    frames_of(&[3, 13, 3, 3], |frames| {
        for (bytes_max, room) in
            [(0, 0), (1, 1), (10, 1), (11, 2), (30, 2), (31, 3), (40, 3), (41, 4), (50, 4), (99, 4)]
        {
            let inflight = Inflight::default();
            assert_eq!(room_for(&inflight, frames, 99, bytes_max), room, "{bytes_max}");
            let mut inflight = Inflight::default();
            enter(&mut inflight, 1, Q1);
            assert_eq!(room_for(&inflight, frames, 99, bytes_max + 8), room, "{bytes_max}");
            let mut inflight = Inflight::default();
            enter_one(&mut inflight, Q1);
            assert_eq!(room_for(&inflight, frames, 99, bytes_max + 2), room, "{bytes_max}");
        }
    });
}

#[test]
fn what_is_over_before_it_is_sent_again_is_passed_over() {
    let mut inflight = Inflight::default();
    enter(&mut inflight, 4, Q1);
    inflight.disconnected();
    assert_eq!(inflight.resend(9).map(|(id, _)| id), Some(id(1)));
    assert_eq!(complete(&mut inflight, Q1, &[1, 2]), [] as [u16; 0]);
    assert_eq!(state(&inflight), (2, 0, 2, 16, 3));
    assert_eq!(inflight.resend(9).map(|(id, _)| id), Some(id(3)));
    assert_eq!(inflight.resend(1).map(|(id, _)| id), None, "the window is full");
    assert_eq!(inflight.resend(9).map(|(id, _)| id), Some(id(4)));
    assert!(inflight.resend(9).is_none() && !inflight.has_unsent());
}

#[test]
fn messages_in_the_log_come_out_in_order_with_the_others() {
    let mut inflight = Inflight::default();
    enter(&mut inflight, 2, Q1);
    enter_one(&mut inflight, Q2);
    frames_of(&[3, 5], |frames| inflight.push_frames(frames, Q2));
    enter(&mut inflight, 1, Q1);
    inflight.complete(id(2), Q1).unwrap();
    inflight.release(id(4)).unwrap();
    let drained: Vec<_> = inflight
        .drain()
        .map(|waiting| {
            (waiting.qos, waiting.message.topic().len(), waiting.message.payload().len())
        })
        .collect();
    assert_eq!(drained, [(Q1, 1, 1), (Q2, 1, 1), (Q2, 1, 5), (Q1, 1, 1)]);
    assert_eq!(state(&inflight), (0, 0, 0, 0, 1));
}
