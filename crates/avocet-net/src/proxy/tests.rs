use proptest::{prelude::*, test_runner::Config};

use super::*;

const PEER_4: &str = "192.168.0.1:56324";
const PEER_6: &str = "[2001:db8::1]:4711";

#[test]
fn headers_tell_who_is_there() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
    assert_eq!(longest.len(), V1_BYTES_MAX);
    for (name, header, peer) in [
        ("v1, IPv4", b"PROXY TCP4 192.168.0.1 10.0.0.2 56324 443\r\n".to_vec(), Some(PEER_4)),
        ("v1, IPv6", b"PROXY TCP6 2001:db8::1 ::1 4711 0\r\n".to_vec(), Some(PEER_6)),
        ("v1, unknown", b"PROXY UNKNOWN\r\n".to_vec(), None),
        ("v1, unknown with more", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
        ("v1, unknown with anything", b"PROXY UNKNOWN \x01\n\xff\r\n".to_vec(), None),
        ("v1, the longest", longest.into_bytes(), None),
        ("v2, IPv4", v2(0x21, 0x11, &ipv4()), Some(PEER_4)),
        ("v2, IPv6", v2(0x21, 0x21, &ipv6()), Some(PEER_6)),
        (
            "v2, TLVs",
            v2(0x21, 0x11, &[&ipv4()[..], &[4, 0, 2, 9, 9, 1, 0, 0]].concat()),
            Some(PEER_4),
        ),
        ("v2, a UNIX socket", v2(0x21, 0x31, &[7; 216]), None),
        ("v2, UDP", v2(0x21, 0x12, &ipv4()), None),
        ("v2, unspecified", v2(0x21, 0x00, &[]), None),
        ("v2, unspecified, with a block", v2(0x21, 0x00, &[1, 2, 3]), None),
        ("v2, local", v2(0x20, 0x00, &[]), None),
        ("v2, local, with addresses", v2(0x20, 0x11, &ipv4()), None),
        ("v2, local, with half an address", v2(0x20, 0x11, &[1, 2]), None),
        ("v2, the longest", v2(0x20, 0x00, &[0; V2_BLOCK_BYTES_MAX]), None),
        ("v2, a good checksum", with_checksum(0), Some(PEER_4)),
    ] {
        let expected = Proxied { used: header.len(), peer: peer.map(|p| p.parse().unwrap()) };
        check(name, &header, expected);
    }
}

#[test]
fn what_cannot_be_a_header_is_refused_at_the_first_byte_that_shows_it() {
    let longer = format!("PROXY UNKNOWN {}", "f".repeat(100));
    for (name, bytes, good) in [
        ("a CONNECT packet", b"\x10\x0c\0\x04MQTT".to_vec(), 0),
        ("a TLS hello", b"\x16\x03\x01\x02\0".to_vec(), 0),
        ("HTTP", b"GET / HTTP/1.1\r\n".to_vec(), 0),
        ("nearly version 1", b"PROXYTCP4".to_vec(), 5),
        ("another protocol", b"PROXY UDP4 1.2.3.4".to_vec(), 7),
        ("nearly version 2", b"\r\n\r\n\0\r\nQUIZ\n".to_vec(), 10),
        ("version 3", v2(0x31, 0x11, &ipv4()), 12),
        ("another command", v2(0x22, 0x11, &ipv4()), 12),
        ("another family", v2(0x21, 0x41, &ipv4()), 13),
        ("another protocol of version 2", v2(0x21, 0x13, &ipv4()), 13),
        ("too long", v2(0x21, 0x11, &[0; V2_BLOCK_BYTES_MAX + 1]), 15),
        ("too short for its addresses", v2(0x21, 0x11, &[0; 11]), 15),
        ("too short for IPv6", v2(0x21, 0x21, &[0; 35]), 15),
        ("no end of line", longer.into_bytes(), V1_BYTES_MAX - 1),
        ("an odd character", b"PROXY TCP4 \x01".to_vec(), 11),
        ("an end of line alone", b"PROXY TCP4 1.2.3.4\n".to_vec(), 18),
        ("a port missing", b"PROXY TCP4 1.2.3.4 1.2.3.4 5\r\n".to_vec(), 29),
        ("a word too many", b"PROXY TCP4 1.2.3.4 1.2.3.4 5 6 7\r\n".to_vec(), 33),
        ("two spaces", b"PROXY TCP4  1.2.3.4 1.2.3.4 5 6\r\n".to_vec(), 32),
        ("IPv6 as TCP4", b"PROXY TCP4 ::1 ::1 5 6\r\n".to_vec(), 23),
        ("IPv4 as TCP6", b"PROXY TCP6 1.2.3.4 1.2.3.4 5 6\r\n".to_vec(), 31),
        ("a port with a sign", b"PROXY TCP4 1.2.3.4 1.2.3.4 +5 6\r\n".to_vec(), 32),
        ("a port with a zero before", b"PROXY TCP4 1.2.3.4 1.2.3.4 05 6\r\n".to_vec(), 32),
        ("a port too high", b"PROXY TCP4 1.2.3.4 1.2.3.4 5 65536\r\n".to_vec(), 35),
        ("half a TLV", v2(0x21, 0x11, &[&ipv4()[..], &[4, 0]].concat()), 29),
        ("a TLV too long", v2(0x21, 0x11, &[&ipv4()[..], &[4, 0, 2, 9]].concat()), 31),
        (
            "a checksum of three bytes",
            v2(0x21, 0x11, &[&ipv4()[..], &[3, 0, 3, 9, 9, 9]].concat()),
            33,
        ),
        ("another checksum", with_checksum(1), 34),
    ] {
        let mut header = ProxyHeader::default();
        let failed = bytes.iter().position(|byte| header.receive(&[*byte]).is_err());
        assert_eq!(failed, Some(good), "{name}");
        assert!(ProxyHeader::default().receive(&bytes).is_err(), "{name} at once");
    }
}

/// The checksum of RFC 3720, appendix B.4, over 32 bytes of zeros.
#[test]
fn checksum_is_that_of_the_standard() {
    assert_eq!(crc32c([0; 32].iter()), 0x8a91_36aa);
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_bytes_are_taken_without_panic(
        start in prop::sample::select(vec![b"PROXY TCP4 ".to_vec(), v2(0x21, 0x11, &[]), vec![]]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
        at in 0..12_usize,
        pieces in 1..40_usize,
    ) {
        let mut bytes = [start, rest].concat();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = byte.wrapping_add(u8::try_from(pieces % 2).unwrap());
        }
        let mut header = ProxyHeader::default();
        let mut taken = 0;
        for piece in bytes.chunks(pieces) {
            match header.receive(piece) {
                Ok(None) => taken += piece.len(),
                Ok(Some(proxied)) => {
                    prop_assert!(proxied.used <= piece.len());
                    prop_assert_eq!(parse(&bytes).unwrap().unwrap().used, taken + proxied.used);
                    break;
                }
                Err(_) => {
                    prop_assert!(parse(&bytes).is_err());
                    break;
                }
            }
        }
    }
}

/// Hands a header in at once and in pieces of every size, with bytes of others behind it.
#[track_caller]
fn check(name: &str, bytes: &[u8], expected: Proxied) {
    let stream = [bytes, b"PROXY behind"].concat();
    for size in [1, 2, 3, 5, 11, 16, 50, stream.len()] {
        let mut header = ProxyHeader::default();
        let mut before = 0;
        for piece in stream.chunks(size) {
            let Some(proxied) = header.receive(piece).expect(name) else {
                before += piece.len();
                continue;
            };
            let used = before + proxied.used;
            assert_eq!(Proxied { used, ..proxied }, expected, "{name} in pieces of {size}");
            assert_eq!(header.held.capacity(), 0, "{name}: nothing is held");
            break;
        }
        assert!(before < bytes.len(), "{name} in pieces of {size} was not seen");
    }
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [&V2_SIGNATURE[..], &[command, family], &length, block].concat()
}

fn ipv4() -> [u8; 12] {
    [192, 168, 0, 1, 10, 0, 0, 2, 0xdc, 0x04, 0x01, 0xbb]
}

fn ipv6() -> [u8; 36] {
    let mut block = [0; 36];
    block[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    block[15] = 1;
    block[31] = 1;
    block[32..].copy_from_slice(&[0x12, 0x67, 0x07, 0x5b]);
    block
}

fn with_checksum(off_by: u32) -> Vec<u8> {
    let mut header = v2(0x21, 0x11, &[&ipv4()[..], &[3, 0, 4, 0, 0, 0, 0]].concat());
    let checksum = crc32c(header.iter()) + off_by;
    let at = header.len() - 4;
    header[at..].copy_from_slice(&checksum.to_be_bytes());
    header
}
