use proptest::{prelude::*, test_runner::Config};

use super::*;
use crate::testing::pattern;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const LIMIT: u64 = 70_000;

#[test]
fn messages_are_taken_whatever_their_frames() {
    let hello = [0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let two = [masked(0x82, b"one"), masked(0x82, b"two")];
    let empty = [masked(0x82, b""), masked(0x82, b"x")];
    let pieces = [
        masked(0x02, b"a"),
        masked(0x00, b""),
        masked(0x00, b"b"),
        masked(0x80, b"c"),
        masked(0x82, b"d"),
    ];
    for (name, frames, plain) in [
        ("Hello of RFC 6455, section 5.7, in binary", hello.to_vec(), b"Hello".to_vec()),
        ("two", two.concat(), b"onetwo".to_vec()),
        ("an empty one", empty.concat(), b"x".to_vec()),
        ("126 bytes", masked(0x82, &pattern(126)), pattern(126)),
        ("65536 bytes", masked(0x82, &pattern(65_536)), pattern(65_536)),
        ("a message in pieces", pieces.concat(), b"abcd".to_vec()),
    ] {
        check(name, &frames, &plain, b"", Incoming::More);
    }
}

#[test]
fn control_frames_are_answered() {
    let ping = masked(0x89, b"there?");
    let within = [masked(0x02, b"a"), ping.clone(), masked(0x80, b"b")].concat();
    let long = [&[0x8a, 125][..], &[7; 125]].concat();
    let late = [masked(0x88, b"\x03\xe8bye"), masked(0x82, b"late")].concat();
    for (name, frames, plain, raw, incoming) in [
        ("a ping", ping, "", &b"\x8a\x06there?"[..], Incoming::More),
        ("a long ping", masked(0x89, &[7; 125]), "", &long, Incoming::More),
        ("an empty ping", masked(0x89, b""), "", b"\x8a\0", Incoming::More),
        ("a ping within a message", within, "ab", b"\x8a\x06there?", Incoming::More),
        ("a pong", masked(0x8a, b"x"), "", b"", Incoming::More),
        ("a Close, and more", late, "", b"\x88\x02\x03\xe8", Incoming::End),
        ("a Close without a code", masked(0x88, b""), "", b"\x88\0", Incoming::End),
        ("another code", masked(0x88, b"\x0f\xa0"), "", b"\x88\x02\x0f\xa0", Incoming::End),
    ] {
        check(name, &frames, plain.as_bytes(), raw, incoming);
    }
}

/// [MQTT3-6.0.0-1] [MQTT5-6.0.0-1]
#[test]
fn bad_frames_are_answered_by_a_close_with_a_code() {
    let big = masked(0x82, &pattern(1001));
    for (name, frames, code) in [
        ("text", masked(0x81, b"x"), 1003),
        ("empty text", masked(0x81, b""), 1003),
        ("the first of a text in pieces", masked(0x01, b"x"), 1003),
        ("no mask", vec![0x82, 0x01, 0x00], 1002),
        ("reserved bit 1", masked(0xc2, b"x"), 1002),
        ("reserved bit 2", masked(0xa2, b"x"), 1002),
        ("reserved bit 3", masked(0x92, b"x"), 1002),
        ("opcode 3", masked(0x83, b"x"), 1002),
        ("opcode 7", masked(0x87, b"x"), 1002),
        ("opcode 11", masked(0x8b, b"x"), 1002),
        ("opcode 15", masked(0x8f, b"x"), 1002),
        ("a continuation of nothing", masked(0x80, b"x"), 1002),
        ("a continuation behind the end", [masked(0x82, b""), masked(0x80, b"x")].concat(), 1002),
        ("a message in another", [masked(0x02, b""), masked(0x82, b"x")].concat(), 1002),
        ("a ping in pieces", masked(0x09, b"x"), 1002),
        ("a Close in pieces", masked(0x08, b""), 1002),
        ("a ping too long", masked(0x89, &[0; 126]), 1002),
        ("a ping with a long length", vec![0x89, 0xff], 1002),
        ("half a code", masked(0x88, b"\x03"), 1002),
        ("a code not to be sent", masked(0x88, b"\x03\xed"), 1002),
        ("a code of nobody", masked(0x88, b"\x00\x01"), 1002),
        ("a reason that is not UTF-8", masked(0x88, b"\x03\xe8\xff"), 1007),
        ("too big", big, 1009),
        ("far too big", [&[0x82, 0xff][..], &[0xff; 8], &MASK].concat(), 1009),
    ] {
        for size in [1, 2, 3, 1000] {
            let mut server = Frames::of_server(1000);
            let (result, (plain, raw)) = received(&mut server, &frames, size);
            assert!(result.is_err(), "{name}");
            assert_eq!(raw, [0x88, 2, (code >> 8) as u8, code as u8], "{name}");
            assert!(plain.is_empty(), "{name}");
        }
    }
    let fits = masked(0x82, &pattern(1000));
    assert!(received(&mut Frames::of_server(1000), &fits, 100).0.is_ok());
}

#[test]
fn what_came_before_a_bad_frame_counts() {
    let frames = [masked(0x82, b"good"), masked(0x81, b"bad"), masked(0x82, b"late")].concat();
    let (result, (plain, _)) = received(&mut Frames::of_server(LIMIT), &frames, 1000);
    assert!(result.is_err());
    assert_eq!(plain, b"good");
}

#[test]
fn server_frames_have_the_shortest_length_and_no_mask() {
    for (len, head) in [
        (0, vec![0x82, 0]),
        (125, vec![0x82, 125]),
        (126, vec![0x82, 126, 0, 126]),
        (65_535, vec![0x82, 126, 0xff, 0xff]),
        (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let mut raw = b"before".to_vec();
        Frames::of_server(LIMIT).seal(&pattern(len), &mut raw).unwrap();
        assert_eq!(raw, [b"before", &head[..], &pattern(len)].concat());
    }
}

#[test]
fn client_frames_are_masked_each_anew() {
    let mut client = Frames::of_client(LIMIT);
    let mut server = Frames::of_server(LIMIT);
    let mut masks = std::collections::BTreeSet::new();
    for len in [0, 1, 125, 126, 65_536].into_iter().cycle().take(50) {
        let mut raw = Vec::new();
        client.seal(&pattern(len), &mut raw).unwrap();
        let mask = raw.len() - len - 4;
        masks.insert(raw[mask..mask + 4].to_vec());
        let (result, (plain, _)) = received(&mut server, &raw, 1000);
        assert!(result.is_ok());
        assert_eq!(plain, pattern(len));
    }
    assert!(masks.len() > 45, "{}", masks.len());
    let (result, (_, raw)) = received(&mut client, &masked(0x82, b"x"), 100);
    assert!(result.unwrap_err().detail.contains("is masked"));
    assert_eq!(raw[..2], [0x88, 0x82]);
}

#[test]
fn nothing_follows_a_close() {
    let mut server = Frames::of_server(LIMIT);
    let mut raw = Vec::new();
    server.close(NORMAL, &mut raw);
    server.close(NORMAL, &mut raw);
    assert_eq!(raw, b"\x88\x02\x03\xe8");
    assert!(server.seal(b"x", &mut raw).is_err());
    let frames = [masked(0x89, b"ping"), masked(0x82, b"late"), masked(0x88, b"\x03\xe8")].concat();
    let (result, (plain, raw)) = received(&mut server, &frames, 100);
    assert_eq!(result.unwrap(), Incoming::End);
    assert_eq!((plain, raw), (b"late".to_vec(), vec![]));
    // What comes behind a Close is not looked at.
    assert_eq!(received(&mut server, b"rubbish", 100).0.unwrap(), Incoming::End);
}

/// [MQTT3-6.0.0-2] [MQTT5-6.0.0-2]
#[test]
fn frames_end_anywhere_in_a_packet() {
    let frames = [masked(0x82, b"\xc0"), masked(0x82, b"\0\xc0\0\xc0"), masked(0x82, b"\0")];
    let (_, (plain, _)) = received(&mut Frames::of_server(LIMIT), &frames.concat(), 4);
    assert_eq!(plain, b"\xc0\0\xc0\0\xc0\0");
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn pieces_of_any_size_are_unmasked(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..5),
        sizes in prop::collection::vec(1..90_usize, 1..20),
    ) {
        let frames: Vec<_> = payloads.iter().flat_map(|payload| masked(0x82, payload)).collect();
        let mut server = Frames::of_server(LIMIT);
        let (mut plain, mut raw) = (Vec::new(), Vec::new());
        let mut rest = &frames[..];
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            if now.is_empty() {
                break;
            }
            prop_assert!(server.receive(now, &mut plain, &mut raw).is_ok());
            rest = later;
        }
        prop_assert_eq!(plain, payloads.concat());
        prop_assert!(raw.is_empty());
    }

    #[test]
    fn any_bytes_are_taken_without_panic(
        start in prop::option::of(0x80..=0x8a_u8),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        size in 1..100_usize,
    ) {
        let bytes = [start.map_or(vec![], |start| masked(start, &[3, 0xe8])), bytes].concat();
        for mut frames in [Frames::of_server(LIMIT), Frames::of_client(LIMIT)] {
            let whole = received(&mut frames, &bytes, bytes.len().max(1));
            prop_assert!(whole.1.0.len() <= bytes.len());
        }
        let whole = received(&mut Frames::of_server(LIMIT), &bytes, bytes.len().max(1));
        let pieces = received(&mut Frames::of_server(LIMIT), &bytes, size);
        prop_assert_eq!(whole.0.is_ok(), pieces.0.is_ok());
        prop_assert_eq!(whole.1, pieces.1);
    }
}

/// Hands frames in, in pieces of several sizes: what they carry, what is answered.
#[track_caller]
fn check(name: &str, frames: &[u8], plain: &[u8], raw: &[u8], incoming: Incoming) {
    for size in [1, 2, 3, 5, 7, 64, 1000, frames.len()] {
        let mut server = Frames::of_server(LIMIT);
        let (result, out) = received(&mut server, frames, size);
        assert_eq!(result.expect(name), incoming, "{name} in pieces of {size}");
        assert_eq!(out, (plain.to_vec(), raw.to_vec()), "{name} in pieces of {size}");
        assert_eq!(server.control.capacity(), 0, "{name}: nothing is held");
    }
}

/// What bytes in pieces lead to: plain, and the answers.
fn received(
    frames: &mut Frames,
    bytes: &[u8],
    size: usize,
) -> (Result<Incoming, LayerError>, (Vec<u8>, Vec<u8>)) {
    let (mut plain, mut raw) = (Vec::new(), Vec::new());
    let mut result = Ok(Incoming::More);
    for piece in bytes.chunks(size) {
        result = frames.receive(piece, &mut plain, &mut raw);
        if result.is_err() {
            break;
        }
    }
    (result, (plain, raw))
}

/// A frame of a client, with a mask; written apart from what is tested.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=65_535 => frame.extend([0xfe, (len >> 8) as u8, len as u8]),
        len => {
            frame.push(0xff);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
