//! WebSocket, its requests and frames put together by hand.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use avocet_tests::{
    Broker, Connect, Publish, Raw, Received, Version, Will, packet,
    received::{Kind, hex},
    stream,
};

use super::{V5, expect_metric, start};

const FIN: u8 = 0x80;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const FAILED: &str = "avocet_connections_ended_total{reason=\"WebSocket failed\"}";

/// The example of RFC 6455, whose answer stands there as well.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request as it should be, line by line.
const REQUEST: [&str; 7] = [
    "GET /mqtt HTTP/1.1",
    "Host: broker.test",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: mqtt",
];

/// The request with lines replaced: those that begin alike, and new ones at the end.
fn request(changes: &[&str]) -> String {
    let word = |line: &str| line.split([' ', ':']).next().unwrap_or_default().to_lowercase();
    let mut lines: Vec<&str> = REQUEST.to_vec();
    for change in changes {
        match lines.iter().position(|line| word(line) == word(change)) {
            Some(at) if change.ends_with(':') => drop(lines.remove(at)),
            Some(at) => lines[at] = change,
            None => lines.push(change),
        }
    }
    format!("{}\r\n\r\n", lines.join("\r\n"))
}

/// A WebSocket in frames.
struct Frames {
    socket: TcpStream,
    version: Version,
}

impl Frames {
    fn open(broker: &Broker) -> Self {
        Self::open_with(broker, &request(&[]))
    }

    #[track_caller]
    fn open_with(broker: &Broker, request: &str) -> Self {
        let mut socket = stream::tcp(broker.listener("ws.a"));
        socket.write_all(request.as_bytes()).expect("the listener is open");
        let head = head(&mut socket);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self { socket, version: V5 }
    }

    /// Connected.
    #[track_caller]
    fn client(broker: &Broker, connect: &Connect) -> Self {
        let mut frames = Self::open(broker);
        frames.version = connect.version;
        frames.send(&connect.bytes());
        frames.expect_connack();
        frames
    }

    #[track_caller]
    fn expect_connack(&mut self) {
        let Kind::Connack(connack) = self.packet().kind else { panic!("no CONNACK") };
        assert_eq!(connack.code, 0, "{connack:?}");
    }

    /// That the broker has closed meanwhile is seen when reading.
    fn send_bytes(&mut self, bytes: &[u8]) {
        drop(self.socket.write_all(bytes));
    }

    /// One binary message in one frame.
    fn send(&mut self, payload: &[u8]) {
        self.send_bytes(&frame(FIN | BINARY, payload));
    }

    /// The next frame: its first byte and payload; nothing at the end.
    #[track_caller]
    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        match self.socket.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
            Err(error) => panic!("no frame: {error}"),
        }
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let mut more = [0; 2];
        let length = match head[1] {
            126 => {
                self.socket.read_exact(&mut more).expect("the length is whole");
                usize::from(u16::from_be_bytes(more))
            }
            127 => panic!("longer than what is asked for here"),
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload).expect("the frame is whole");
        Some((head[0], payload))
    }

    /// The next is a binary message that is one packet.
    #[track_caller]
    fn packet(&mut self) -> Received {
        let (first, payload) = self.next().expect("a frame, not the end");
        assert_eq!(first, FIN | BINARY, "{}", hex(&payload));
        Received::parse(self.version, &payload)
    }

    /// The next is a Close with this code, and then the end.
    #[track_caller]
    fn expect_close(&mut self, code: u16) {
        let frame = self.next();
        assert_eq!(frame, Some((FIN | CLOSE, code.to_be_bytes().to_vec())));
        let mut rest = Vec::new();
        // What we sent behind the mistake was not read, and that may make a reset of the end.
        drop(self.socket.read_to_end(&mut rest));
        assert_eq!(hex(&rest), "", "after a Close");
    }

    #[track_caller]
    fn expect_pong(&mut self, payload: &[u8]) {
        assert_eq!(self.next(), Some((FIN | PONG, payload.to_vec())));
    }
}

/// A frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x33, 0x44];
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ ..126) => bytes.push(0x80 | u8::try_from(length).expect("it is below 126")),
        Ok(length) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The head of an answer.
#[track_caller]
fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte).expect("an answer with an empty line");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("an answer is text")
}

fn broker(settings: &[&str]) -> Broker {
    let mut all = vec!["listeners.ws.a.bind=127.0.0.1:0".to_owned()];
    all.extend(settings.iter().map(|setting| format!("listeners.ws.a.{setting}")));
    start(&all)
}

/// Asks, and returns the head of the answer. One that refuses is the last.
#[track_caller]
fn ask(broker: &Broker, request: &str) -> String {
    let mut socket = stream::tcp(broker.listener("ws.a"));
    socket.write_all(request.as_bytes()).expect("the listener is open");
    let head = head(&mut socket);
    if !head.starts_with("HTTP/1.1 101 ") {
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.and_then(|text| text.parse().ok()).expect("a length");
        let mut body = Vec::new();
        // It may be cut off where more was sent than was read.
        drop(socket.read_to_end(&mut body));
        assert_eq!(body.len(), length, "{head}{}", String::from_utf8_lossy(&body));
    }
    head
}

#[track_caller]
fn expect_status(broker: &Broker, changes: &[&str], status: u16) -> String {
    let head = ask(broker, &request(changes));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{changes:?}: {head}");
    head
}

/// [MQTT3-6.0.0-4] [MQTT5-6.0.0-4]
#[test]
fn request_is_granted_with_the_subprotocol_mqtt_and_no_extension() {
    let broker = broker(&[]);
    for changes in [
        &[][..],
        &["GET /mqtt?token=1 HTTP/1.1"],
        &["upgrade: WebSocket", "connection: keep-alive, upgrade"],
        &["Sec-WebSocket-Protocol: soap, mqtt"],
        &["Sec-WebSocket-Protocol: soap", "X-Other: 1\r\nSec-WebSocket-Protocol: mqtt"],
        &["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"],
        &["Origin: https://BROKER.test:3000"],
    ] {
        let head = expect_status(&broker, changes, 101);
        assert!(head.contains(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n")), "{head}");
        assert!(head.contains("Sec-WebSocket-Protocol: mqtt\r\n"), "{head}");
        assert!(!head.contains("Extensions"), "{head}");
    }
    assert!(REQUEST[4].ends_with(KEY));
    let head = expect_status(&broker, &["Sec-WebSocket-Protocol: mqttv3.1"], 101);
    assert!(head.contains("Sec-WebSocket-Protocol: mqttv3.1\r\n"), "{head}");
}

#[test]
fn request_for_something_else_gets_a_status_that_says_so() {
    let broker = broker(&[]);
    let long = format!("X-Long: {}", "x".repeat(20_000));
    let many: Vec<String> = (0..100).map(|number| format!("X-{number}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases: [(&[&str], u16); 18] = [
        (&["GET / HTTP/1.1"], 404),
        (&["GET /mqtt/ HTTP/1.1"], 404),
        (&["GET /MQTT HTTP/1.1"], 404),
        (&["GET /mqtt HTTP/1.0"], 400),
        (&["GET /mqtt"], 400),
        (&["Host:"], 400),
        (&["Upgrade:"], 426),
        (&["Upgrade: h2c"], 426),
        (&["Connection: keep-alive"], 400),
        (&["Sec-WebSocket-Key:"], 400),
        (&["Sec-WebSocket-Key: c2hvcnQ="], 400),
        (&["Sec-WebSocket-Version:"], 426),
        (&["Sec-WebSocket-Version: 8"], 426),
        (&["Sec-WebSocket-Protocol:"], 400),
        (&["Sec-WebSocket-Protocol: soap, MQTT"], 400),
        (&["X-Broken header"], 400),
        (&[&long], 431),
        (&many, 431),
    ];
    let mut count = 0;
    for (changes, status) in cases {
        let head = expect_status(&broker, changes, status);
        assert_eq!(head.contains("Sec-WebSocket-Version: 13\r\n"), status == 426, "{head}");
        count += 1;
    }
    for method in ["POST", "HEAD", "OPTIONS"] {
        let head = ask(&broker, &request(&[]).replacen("GET", method, 1));
        assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("Allow: GET\r\n"), "{head}");
        count += 1;
    }
    // A client of MQTT that takes the port for another.
    let mut raw = Raw::open(broker.listener("ws.a"), V5);
    raw.send(&Connect::new(V5, "alice").bytes());
    let answer = raw.receive_bytes_to_the_end();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
    expect_metric(&broker, FAILED, count + 1);
}

#[test]
fn pages_of_other_origins_are_kept_out_if_the_listener_says_so() {
    let broker = broker(&["check_origins=[\"https://good.test\", \"https://better.test\"]"]);
    // No browser, then, which would say whose page it is.
    expect_status(&broker, &[], 101);
    expect_status(&broker, &["Origin: https://bad.test"], 403);
    expect_status(&broker, &["Origin: https://good.test.bad.test"], 403);
    expect_status(&broker, &["Origin: http://good.test"], 403);
    expect_status(&broker, &["Origin: https://good.test"], 101);
    expect_status(&broker, &["Origin: https://Better.test"], 101);
}

#[test]
fn pages_of_other_hosts_are_kept_out_unless_the_listener_says_otherwise() {
    let closed = broker(&[]);
    expect_status(&closed, &["Origin: https://anywhere.test"], 403);
    expect_status(&closed, &["Origin: null"], 403);
    let open = broker(&["check_origins=[\"*\"]"]);
    expect_status(&open, &["Origin: https://anywhere.test"], 101);
}

#[test]
fn path_and_subprotocols_are_the_listeners() {
    let broker = broker(&[
        "path=/deep/down",
        "supported_subprotocols=[\"mqtt\", \"mine\"]",
        "fail_if_no_subprotocol=false",
    ]);
    expect_status(&broker, &[], 404);
    let path = "GET /deep/down HTTP/1.1";
    for (offered, granted) in [
        ("Sec-WebSocket-Protocol: mine", Some("mine")),
        ("Sec-WebSocket-Protocol: mine, mqtt", Some("mqtt")),
        ("Sec-WebSocket-Protocol: soap", None),
        ("Sec-WebSocket-Protocol:", None),
    ] {
        let head = expect_status(&broker, &[path, offered], 101);
        let seen = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        assert_eq!(seen, granted, "{offered}");
    }
    let mut frames = Frames::open_with(&broker, &request(&[path, "Sec-WebSocket-Protocol:"]));
    frames.send(&Connect::new(V5, "alice").bytes());
    frames.expect_connack();
}

#[test]
fn header_of_a_proxy_says_where_the_client_is_if_the_listener_believes_it() {
    let header = "X-Forwarded-For: 127.0.0.1, 192.0.2.9";
    for (settings, address) in [
        (&["proxy_address_header=x-forwarded-for", "allow_anonymous=true"][..], "192.0.2.9"),
        (&[], "127.0.0.1"),
    ] {
        let broker = broker(settings);
        let mut watcher = broker.client(V5, "watcher");
        watcher.subscribe("$SYS/brokers/+/clients/+/connected", 0);
        let mut frames = Frames::open_with(&broker, &request(&[header]));
        frames.send(&Connect::new(V5, "alice").bytes());
        frames.expect_connack();
        let told = watcher.expect_publish().text();
        assert!(told.contains(&format!("\"ipaddress\":\"{address}\"")), "{told}");
    }
}

/// [MQTT3-6.0.0-1] [MQTT5-6.0.0-1]: the first of these; the others are RFC 6455's.
#[test]
fn frame_that_is_not_as_it_should_be_ends_the_connection_with_a_code() {
    let broker = broker(&["max_frame_size=1KiB"]);
    let mut watcher = broker.client(V5, "watcher");
    watcher.subscribe("gone/#", 1);
    let ping = packet::pingreq();
    let mut unmasked = frame(FIN | BINARY, &ping);
    unmasked[1] &= 0x7f;
    let begun = frame(BINARY, &ping[..1]);
    let cases: [(&str, Vec<u8>, u16); 13] = [
        ("text", frame(FIN | 1, &ping), 1003),
        ("text that goes on", frame(1, &ping), 1003),
        ("unmasked", unmasked, 1002),
        ("too long", frame(FIN | BINARY, &[0xc0; 1025]), 1009),
        ("far too long", vec![FIN | BINARY, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1009),
        ("reserved bit", frame(FIN | 0x40 | BINARY, &ping), 1002),
        ("unknown opcode", frame(FIN | 3, &ping), 1002),
        ("unknown control opcode", frame(FIN | 11, &[]), 1002),
        ("continuation of nothing", frame(FIN, &ping), 1002),
        ("message in another", [begun, frame(FIN | BINARY, &ping)].concat(), 1002),
        ("ping in pieces", frame(PING, b"x"), 1002),
        ("long ping", frame(FIN | PING, &[0; 126]), 1002),
        ("Close with a code for nobody", frame(FIN | CLOSE, &1005_u16.to_be_bytes()), 1002),
    ];
    let mut count = 0;
    for ((name, bytes, code), version) in
        cases.iter().flat_map(|case| [(case, Version::V311), (case, V5)])
    {
        #[expect(clippy::print_stderr, reason = "shown by the test runner when it fails")]
        {
            eprintln!("--- {name}, MQTT {version}");
        }
        let will = Will::new("gone/alice", name).qos(1);
        let mut frames = Frames::client(&broker, &Connect::new(version, "alice").will(will));
        frames.send_bytes(bytes);
        frames.expect_close(*code);
        let seen = watcher.expect_message("gone/alice", name, 1);
        watcher.acknowledge(&seen);
        count += 1;
        expect_metric(&broker, FAILED, count);
    }
    // As long as it may be, and longer packets in several of them.
    let mut frames = Frames::client(&broker, &Connect::new(V5, "alice"));
    let publish = Publish::new("gone/far", [b'x'; 3000]).qos(1, 1).bytes(V5);
    for chunk in publish.chunks(1024) {
        frames.send(chunk);
    }
    assert!(matches!(frames.packet().kind, Kind::Puback(ack) if ack.code == 0));
    assert_eq!(watcher.expect_publish().payload.len(), 3000);
}

#[test]
fn ping_is_answered_with_its_payload_at_any_time() {
    let broker = broker(&[]);
    let mut frames = Frames::open(&broker);
    frames.send_bytes(&frame(FIN | PING, b"before CONNECT"));
    frames.expect_pong(b"before CONNECT");
    frames.send(&Connect::new(V5, "alice").bytes());
    frames.expect_connack();
    frames.send_bytes(&frame(FIN | PING, &[7; 125]));
    frames.expect_pong(&[7; 125]);
    // An answer to nothing is no mistake.
    frames.send_bytes(&frame(FIN | PONG, b"unasked"));
    frames.send_bytes(&frame(FIN | PING, b""));
    frames.expect_pong(b"");
}

/// Without a DISCONNECT before, it is the end of a connection that was lost.
#[test]
fn close_is_answered_with_a_close_and_publishes_the_will() {
    let broker = broker(&[]);
    let mut watcher = broker.client(V5, "watcher");
    watcher.subscribe("gone", 0);
    let connect = Connect::new(V5, "alice").will(Will::new("gone", "lost"));
    for code in [1000_u16, 1001, 4000] {
        let mut frames = Frames::client(&broker, &connect);
        let reason = [&code.to_be_bytes()[..], b"bye"].concat();
        frames.send_bytes(&frame(FIN | CLOSE, &reason));
        frames.expect_close(code);
        watcher.expect_message("gone", "lost", 0);
    }
    let mut frames = Frames::client(&broker, &connect);
    frames.send_bytes(&frame(FIN | CLOSE, &[]));
    assert_eq!(frames.next(), Some((FIN | CLOSE, Vec::new())));
    assert_eq!(frames.next(), None);
    watcher.expect_message("gone", "lost", 0);
    let mut frames = Frames::client(&broker, &connect);
    frames.send(&packet::disconnect());
    frames.expect_close(1000);
    watcher.expect_nothing_before_pong();
}

/// [MQTT3-6.0.0-2] [MQTT5-6.0.0-2]
#[test]
fn packets_and_frames_need_not_end_together() {
    check_boundaries(Version::V311);
    check_boundaries(V5);
}

fn check_boundaries(version: Version) {
    let broker = broker(&[]);
    let mut alice = broker.client(V5, "alice");
    alice.subscribe("a", 1);
    let publish = |id: u16| Publish::new("a", id.to_string()).qos(1, id).bytes(version);
    let expect = |frames: &mut Frames, alice: &mut Raw, ids: std::ops::RangeInclusive<u16>| {
        let mut acks = Vec::new();
        for id in ids.clone() {
            let seen = alice.expect_message("a", &id.to_string(), 1);
            alice.acknowledge(&seen);
        }
        while acks.len() < 4 * ids.clone().count() {
            let (first, payload) = frames.next().expect("a frame, not the end");
            assert_eq!(first, FIN | BINARY);
            acks.extend(payload);
        }
        assert_eq!(hex(&acks), hex(&ids.flat_map(packet::puback).collect::<Vec<u8>>()));
    };
    // CONNECT in frames of a byte each, with empty ones between.
    let mut frames = Frames::open(&broker);
    frames.version = version;
    for byte in Connect::new(version, "bob").bytes() {
        frames.send(&[byte]);
        frames.send(&[]);
    }
    frames.expect_connack();
    // Many packets in one frame, and the beginning of another; the rest in the next.
    let all: Vec<u8> = (1..=100).flat_map(publish).collect();
    let (most, rest) = all.split_at(all.len() - 3);
    frames.send(most);
    frames.send(rest);
    expect(&mut frames, &mut alice, 1..=100);
    // A message in pieces, with a ping between them, which is answered at once.
    let bytes: Vec<u8> = (101..=103).flat_map(publish).collect();
    frames.send_bytes(&frame(BINARY, &bytes[..5]));
    frames.send_bytes(&frame(FIN | PING, b"between"));
    frames.expect_pong(b"between");
    frames.send_bytes(&frame(0, &[]));
    frames.send_bytes(&frame(0, &bytes[5..20]));
    frames.send_bytes(&frame(FIN, &bytes[20..]));
    expect(&mut frames, &mut alice, 101..=103);
    // A frame in pieces of a byte.
    for byte in frame(FIN | BINARY, &publish(104)) {
        frames.send_bytes(&[byte]);
    }
    expect(&mut frames, &mut alice, 104..=104);
}

#[test]
fn request_and_first_frames_may_come_in_one_write_or_byte_by_byte() {
    let broker = broker(&[]);
    let connect = frame(FIN | BINARY, &Connect::new(V5, "alice").bytes());
    let ping = frame(FIN | BINARY, &packet::pingreq());
    let all = [request(&[]).as_bytes(), &connect, &ping].concat();
    for piece in [1, 7, all.len()] {
        let mut socket = stream::tcp(broker.listener("ws.a"));
        for chunk in all.chunks(piece) {
            socket.write_all(chunk).expect("the listener is open");
        }
        assert!(head(&mut socket).starts_with("HTTP/1.1 101 "));
        let mut frames = Frames { socket, version: V5 };
        let mut answers = Vec::new();
        while !answers.ends_with(&[0xd0, 0]) {
            let (first, payload) = frames.next().expect("a frame, not the end");
            assert_eq!(first, FIN | BINARY);
            answers.extend(payload);
        }
        assert_eq!(answers[0], 0x20, "{}", hex(&answers));
    }
}

#[test]
fn last_word_of_the_broker_comes_before_its_close() {
    let broker = broker(&[]);
    let expect = |frames: &mut Frames, code: Option<u8>| {
        if let Some(code) = code {
            let packet = frames.packet();
            assert!(
                matches!(packet.kind, Kind::Disconnect(ref ending) if ending.code == code),
                "{packet:?}"
            );
        }
        frames.expect_close(1000);
    };
    for (version, is_told) in [(Version::V311, false), (V5, true)] {
        let connect = Connect::new(version, "alice");
        let mut first = Frames::client(&broker, &connect);
        let mut second = Frames::client(&broker, &connect);
        expect(&mut first, is_told.then_some(0x8e));
        second.send(&packet::frame(0x30, &[]));
        expect(&mut second, is_told.then_some(0x81));
        let mut refused = Frames::open(&broker);
        refused.version = version;
        refused.send(&connect.bytes_as("MQTT", if version == V5 { 9 } else { 6 }));
        // The answer depends on what is known of the client; its end does not.
        let (mut frame, mut last) = (refused.next(), None);
        while let Some((first, payload)) = frame {
            last = Some((first, payload));
            frame = refused.next();
        }
        assert_eq!(last, Some((FIN | CLOSE, vec![0x03, 0xe8])));
    }
    let mut third = Frames::client(&broker, &Connect::new(V5, "alice"));
    broker.terminate();
    expect(&mut third, Some(0x8b));
}

#[test]
fn half_a_request_ends_at_the_deadline_of_connect() {
    let broker = broker(&["connect_timeout=500ms"]);
    let mut socket = stream::tcp(broker.listener("ws.a"));
    socket.write_all(&request(&[]).as_bytes()[..50]).expect("the listener is open");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("it ends within a deadline");
    assert_eq!(hex(&answer), "");
    expect_metric(&broker, "avocet_connections_ended_total{reason=\"no CONNECT in time\"}", 1);
}

/// As with any answer: who does not read them is not read from.
#[test]
fn answers_to_pings_that_nobody_reads_do_not_pile_up() {
    const PINGS: usize = 400_000;
    let broker = broker(&[]);
    let mut alice = broker.client(V5, "alice");
    for is_connected in [false, true] {
        let mut frames = Frames::open(&broker);
        if is_connected {
            frames.send(&Connect::new(V5, "bob").bytes());
            frames.expect_connack();
        }
        let before = broker.resident_bytes();
        let ping = frame(FIN | PING, &[7; 125]);
        let pause = Duration::from_millis(500);
        frames.socket.set_write_timeout(Some(pause)).expect("a socket takes its options");
        let is_stuck =
            (0..PINGS / 100).any(|_| frames.socket.write_all(&ping.repeat(100)).is_err());
        let growth = broker.resident_bytes().saturating_sub(before);
        assert!(is_stuck, "50 MB are taken; grown by {growth} bytes");
        assert!(growth < 16 << 20, "grown by {growth} bytes");
        alice.expect_nothing_before_pong();
        // Once it reads, it goes on.
        for _ in 0..1000 {
            frames.expect_pong(&[7; 125]);
        }
    }
}
