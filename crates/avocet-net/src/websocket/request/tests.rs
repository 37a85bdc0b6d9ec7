use super::*;
use crate::{Layer, websocket::WebSocket};

/// Each request is one of these lines left out, put in place of another, or added.
const GOOD: [&str; 7] = [
    "GET /mqtt HTTP/1.1",
    "Host: example.org",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: mqtt",
];

/// The key and what answers it are those of RFC 6455, section 1.3.
const GRANTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                       Connection: Upgrade\r\n\
                       Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// [MQTT3-6.0.0-4] [MQTT5-6.0.0-4]
#[test]
fn good_requests_are_granted() {
    let mqtt = format!("{GRANTED}Sec-WebSocket-Protocol: mqtt\r\n\r\n");
    let v31 = format!("{GRANTED}Sec-WebSocket-Protocol: mqttv3.1\r\n\r\n");
    let none = format!("{GRANTED}\r\n");
    for (name, change, expected) in [
        ("as it is", vec![], &mqtt),
        ("a query", vec![(0, "GET /mqtt?token=/x HTTP/1.1")], &mqtt),
        ("many spaces", vec![(2, "Upgrade:   websocket  ")], &mqtt),
        ("small letters", vec![(5, "sec-websocket-version: 13")], &mqtt),
        ("capitals", vec![(2, "UPGRADE: WebSocket")], &mqtt),
        (
            "lists",
            vec![(3, "Connection: keep-alive, upgrade"), (2, "Upgrade: h2c, websocket")],
            &mqtt,
        ),
        ("two fields", vec![(3, "Connection: keep-alive\r\nConnection: Upgrade")], &mqtt),
        ("ours first", vec![(6, "Sec-WebSocket-Protocol: x, mqttv3.1,mqtt")], &mqtt),
        (
            "two fields of ours",
            vec![(6, "Sec-WebSocket-Protocol: mqttv3.1\r\nSec-WebSocket-Protocol: mqtt")],
            &mqtt,
        ),
        ("the second", vec![(6, "Sec-WebSocket-Protocol: mqttv3.1, x")], &v31),
        ("another", vec![(6, "Sec-WebSocket-Protocol: amqp")], &none),
        ("in capitals it is another", vec![(6, "Sec-WebSocket-Protocol: MQTT")], &none),
        ("none", vec![(6, "")], &none),
        (
            "extensions are not taken",
            vec![(6, "Sec-WebSocket-Extensions: permessage-deflate")],
            &none,
        ),
        ("a page of the same host", vec![(6, "Origin: http://EXAMPLE.org:3000")], &none),
    ] {
        let (raw, result) = answered(&request(&change), &options());
        assert_eq!(raw, *expected, "{name}");
        assert!(result.is_ok(), "{name}");
    }
}

#[test]
fn bad_requests_are_answered_and_refused() {
    let long = format!("X: {}", "x".repeat(HEAD_BYTES_MAX));
    let many = (0..HEADERS_MAX).map(|n| format!("X{n}: x")).collect::<Vec<_>>().join("\r\n");
    for (name, change, status, text) in [
        ("POST", vec![(0, "POST /mqtt HTTP/1.1")], "405 Method Not Allowed", "by GET"),
        ("HTTP/1.0", vec![(0, "GET /mqtt HTTP/1.0")], "400 Bad Request", "by HTTP/1.1"),
        ("HTTP/2.0", vec![(0, "GET /mqtt HTTP/2.0")], "400 Bad Request", "not an HTTP request"),
        ("another path", vec![(0, "GET /mqtt/ HTTP/1.1")], "404 Not Found", "is at /mqtt"),
        ("no path", vec![(0, "GET ?x HTTP/1.1")], "404 Not Found", "is at /mqtt"),
        ("no host", vec![(1, "")], "400 Bad Request", "one Host"),
        ("two hosts", vec![(1, "Host: a\r\nHost: b")], "400 Bad Request", "one Host"),
        ("no upgrade", vec![(2, "")], "426 Upgrade Required", "Upgrade: websocket"),
        ("another upgrade", vec![(2, "Upgrade: websocket2")], "426 Upgrade Required", "Upgrade"),
        ("no connection", vec![(3, "")], "400 Bad Request", "Connection: Upgrade"),
        ("another connection", vec![(3, "Connection: close")], "400 Bad Request", "Connection"),
        ("no version", vec![(5, "")], "426 Upgrade Required", "is 13"),
        ("another version", vec![(5, "Sec-WebSocket-Version: 8")], "426 Upgrade Required", "is 13"),
        ("no key", vec![(4, "")], "400 Bad Request", "one Sec-WebSocket-Key"),
        ("two keys", vec![(6, GOOD[4])], "400 Bad Request", "one Sec-WebSocket-Key"),
        ("a short key", vec![(4, "Sec-WebSocket-Key: dGhl")], "400 Bad Request", "16 bytes"),
        ("no base64", vec![(4, "Sec-WebSocket-Key: !")], "400 Bad Request", "16 bytes"),
        ("a hidden empty line", vec![(6, "X: x\n\nY: y")], "400 Bad Request", "in CR LF"),
        ("no field", vec![(6, "no colon")], "400 Bad Request", "not an HTTP request"),
        ("too long", vec![(6, &long)], "431 Request Header Fields Too Large", "16384 bytes"),
        ("too many", vec![(6, &many)], "431 Request Header Fields Too Large", "64 header"),
        ("a packet", vec![(0, "\x10\x0c\0\x04MQTT")], "400 Bad Request", "not an HTTP request"),
    ] {
        let (raw, result) = answered(&request(&change), &options());
        let body = raw.split_once("\r\n\r\n").expect(name).1;
        assert!(raw.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{name}: {raw}");
        assert!(raw.contains("\r\nConnection: close\r\n"), "{name}: {raw}");
        assert!(raw.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{name}: {raw}");
        assert!(body.contains(text) && body.ends_with('\n'), "{name}: {body}");
        assert_eq!(status.starts_with("426"), raw.contains("\r\nSec-WebSocket-Version: 13\r\n"));
        assert_eq!(status.starts_with("405"), raw.contains("\r\nAllow: GET\r\n"));
        assert_eq!(result.expect_err(name).layer, Layer::WebSocket);
    }
}

#[test]
fn pages_of_other_hosts_are_let_in_only_if_they_are_named() {
    let mut options = options();
    for origin in ["https://evil.example", "http://example.org.evil.example", "null", "example.org"]
    {
        let line = format!("Origin: {origin}");
        let (raw, _) = answered(&request(&[(6, &line)]), &options);
        assert_eq!(&raw[9..12], "403", "{origin}");
        assert!(raw.ends_with(&format!("pages of {origin} may not connect\n")), "{raw}");
    }
    options.origins = vec!["*".to_owned()];
    let (raw, _) = answered(&request(&[(6, "Origin: https://evil.example")]), &options);
    assert_eq!(&raw[9..12], "101");
}

#[test]
fn only_the_origins_that_are_set_are_let_in() {
    let mut options = options();
    options.origins = vec!["https://example.org".to_owned(), "http://localhost:8080".to_owned()];
    for (origin, expected) in [
        ("Origin: https://example.org", "101"),
        ("origin: HTTP://localhost:8080", "101"),
        ("Origin: http://example.org", "403"),
        ("Origin: https://example.org.evil.example", "403"),
        ("Origin: null", "403"),
        ("", "101"),
    ] {
        let (raw, _) = answered(&request(&[(6, origin)]), &options);
        assert_eq!(&raw[9..12], expected, "{origin}");
    }
}

#[test]
fn subprotocol_may_be_required() {
    let options = WebSocketOptions { subprotocol_required: true, ..options() };
    let (raw, _) = answered(&request(&[]), &options);
    assert!(raw.starts_with("HTTP/1.1 101"));
    for line in ["", "Sec-WebSocket-Protocol: amqp"] {
        let (raw, _) = answered(&request(&[(6, line)]), &options);
        assert!(raw.starts_with("HTTP/1.1 400"), "{line}");
        assert!(raw.ends_with("has to offer one of: mqtt, mqttv3.1\n"), "{raw}");
    }
}

#[test]
fn proxy_in_front_tells_the_address() {
    let mut options = options();
    for (value, expected) in [
        ("192.0.2.7", Some("192.0.2.7:0")),
        ("192.0.2.7:4711", Some("192.0.2.7:4711")),
        ("127.0.0.1, 10.0.0.2 , 192.0.2.7 ", Some("192.0.2.7:0")),
        ("10.0.0.1,2001:db8::1", Some("[2001:db8::1]:0")),
        ("[2001:db8::1]", Some("[2001:db8::1]:0")),
        ("[2001:db8::1]:4711", Some("[2001:db8::1]:4711")),
        ("\"[2001:db8::1]:4711\"", Some("[2001:db8::1]:4711")),
        ("unknown", None),
        ("", None),
        ("192.0.2.7,", None),
        ("[192.0.2.7", None),
    ] {
        let line = format!("X-Forwarded-For: 198.51.100.1\r\nx-forwarded-for: {value}");
        let (_, result) = answered(&request(&[(6, &line)]), &options);
        let expected = expected.map(|address| address.parse().unwrap());
        assert_eq!(result.unwrap(), expected, "{value}");
    }
    options.proxy_address_header = None;
    let (_, result) = answered(&request(&[(6, "X-Forwarded-For: 192.0.2.7")]), &options);
    assert_eq!(result.unwrap(), None, "nobody is believed who was not asked");
}

#[test]
fn what_is_not_http_is_refused_at_its_first_byte() {
    let mut raw = Vec::new();
    assert!(take_head(&mut Vec::new(), &[0x10], &mut raw).is_err());
    assert!(raw.starts_with(b"HTTP/1.1 400 "));
}

/// What a whole request is answered with, in pieces of several sizes, which must not matter.
fn answered(
    request: &str,
    options: &WebSocketOptions,
) -> (String, Result<Option<SocketAddr>, LayerError>) {
    let in_pieces = |size: usize| {
        let mut socket = WebSocket::accept(options.clone().into());
        let (mut plain, mut raw) = (Vec::new(), Vec::new());
        let result = request
            .as_bytes()
            .chunks(size)
            .try_for_each(|piece| socket.receive(piece, &mut plain, &mut raw).map(drop));
        assert!(plain.is_empty());
        let result = result.map(|()| {
            assert!(socket.is_open());
            socket.peer()
        });
        (String::from_utf8(raw).unwrap(), result)
    };
    let whole = in_pieces(request.len());
    for size in [1, 100] {
        let (raw, result) = in_pieces(size);
        assert_eq!((raw.as_str(), result.is_ok()), (whole.0.as_str(), whole.1.is_ok()));
    }
    whole
}

fn request(changes: &[(usize, &str)]) -> String {
    let mut lines = GOOD;
    for (at, line) in changes {
        lines[*at] = line;
    }
    lines
        .iter()
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\r\n"))
        .collect::<String>()
        + "\r\n"
}

fn options() -> WebSocketOptions {
    WebSocketOptions {
        path: "/mqtt".to_owned(),
        subprotocols: vec!["mqtt".to_owned(), "mqttv3.1".to_owned()],
        subprotocol_required: false,
        origins: vec![],
        proxy_address_header: Some("X-Forwarded-For".to_owned()),
        frame_bytes_max: 1000,
    }
}
