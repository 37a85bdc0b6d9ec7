//! PROXY headers: where a client is, as a proxy in front of the broker says.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use avocet_tests::{
    Authority, Broker, Connect, Raw, Stream,
    authority::BOTH,
    stream::{self, Tls, Web},
};

use super::{NAME, V5, enter, expect_metric, secure, start};

const ENDED: &str = "avocet_connections_ended_total{reason=\"bad PROXY header\"}";

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2: command and family, then what follows with its length.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("a block is short").to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

fn v4_block() -> Vec<u8> {
    vec![192, 0, 2, 7, 198, 51, 100, 1, 0xdd, 0xd5, 0x07, 0x5b]
}

fn v6_block() -> Vec<u8> {
    let mut block = vec![0; 36];
    block[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    block[15] = 7;
    block
}

fn plain() -> Broker {
    Broker::start(&[
        "listeners.tcp.p.bind=127.0.0.1:0",
        "listeners.tcp.p.proxy_protocol=true",
        "listeners.tcp.p.allow_anonymous=true",
    ])
}

/// A client without a proxy, that is told who connects.
fn watcher(broker: &Broker) -> Raw {
    let mut watcher = broker.client(V5, "watcher");
    watcher.subscribe("$SYS/brokers/+/clients/+/connected", 0);
    watcher
}

#[track_caller]
fn expect_address(watcher: &mut Raw, address: &str) {
    let told = watcher.expect_publish().text();
    let wanted = match address {
        "" => "\"ipaddress\":null".to_owned(),
        address => format!("\"ipaddress\":\"{address}\""),
    };
    assert!(told.contains(&wanted), "no {wanted} in {told}");
}

fn after(header: &[u8], mut socket: TcpStream) -> TcpStream {
    socket.write_all(header).expect("the listener is open");
    socket
}

#[test]
fn address_of_the_header_is_that_of_the_client() {
    let broker = plain();
    let mut watcher = watcher(&broker);
    let tlv = [&v4_block()[..], &[4, 0, 3, 1, 2, 3]].concat();
    let cases: [(&[u8], &str); 9] = [
        (b"PROXY TCP4 192.0.2.1 198.51.100.1 56789 1883\r\n", "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 56789 1883\r\n", "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n", ""),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ""),
        (&v2(0x21, 0x11, &v4_block()), "192.0.2.7"),
        (&v2(0x21, 0x21, &v6_block()), "2001:db8::7"),
        (&v2(0x21, 0x11, &tlv), "192.0.2.7"),
        // The proxy itself, which asks whether somebody is there, and tells of no client.
        (&v2(0x20, 0x00, &[]), ""),
        (&v2(0x20, 0x11, &v4_block()), ""),
    ];
    for (header, address) in cases {
        let socket = stream::tcp(broker.listener("tcp.p"));
        let mut raw = enter(Box::new(after(header, socket)), &Connect::new(V5, "alice"));
        expect_address(&mut watcher, address);
        raw.expect_nothing_before_pong();
        raw.disconnect();
        // Byte by byte, and the last with CONNECT behind it.
        let mut socket = stream::tcp(broker.listener("tcp.p"));
        let (last, first) = header.split_last().expect("a header is not empty");
        for byte in first {
            socket.write_all(&[*byte]).expect("the listener is open");
        }
        let mut raw = Raw::over(Box::new(socket), V5);
        raw.send(&[&[*last], &Connect::new(V5, "alice").bytes()[..]].concat());
        assert_eq!(raw.expect_connack().code, 0);
        expect_address(&mut watcher, address);
        raw.disconnect();
    }
}

#[test]
fn connection_without_a_good_header_is_closed_and_counted() {
    let broker = plain();
    let wrong_version = v2(0x11, 0x11, &v4_block());
    let short = v2(0x21, 0x11, &v4_block()[..11]);
    let checksum = v2(0x21, 0x11, &[&v4_block()[..], &[3, 0, 4, 1, 2, 3, 4]].concat());
    let long = [&b"PROXY TCP4 "[..], &[b'1'; 120]].concat();
    let connect = Connect::new(V5, "alice").bytes();
    let cases: [&[u8]; 8] = [
        b"",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 56789\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 56789 1883\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.1 56789 1883\r\n",
        &wrong_version,
        &short,
        &checksum,
        &long,
    ];
    for (header, count) in cases.into_iter().zip(1..) {
        let mut socket = stream::tcp(broker.listener("tcp.p"));
        drop(socket.write_all(&[header, &connect].concat()));
        let mut answer = Vec::new();
        // Closed; what was not read may make a reset of it.
        drop(socket.read_to_end(&mut answer));
        assert_eq!(answer, [], "after {header:x?}");
        expect_metric(&broker, ENDED, count);
    }
}

#[test]
fn header_that_is_not_asked_for_is_no_mqtt() {
    let broker = Broker::start(&[]);
    let mut raw = broker.open(V5);
    raw.send(b"PROXY TCP4 192.0.2.1 198.51.100.1 56789 1883\r\n");
    assert_eq!(raw.receive_bytes_to_the_end(), []);
    expect_metric(&broker, ENDED, 0);
}

#[test]
fn header_stands_before_tls_and_websocket() {
    let authority = Authority::new();
    let server = authority.server("server", &[NAME]);
    let mut settings = secure("tls.p", &server).to_vec();
    settings.extend(secure("wss.p", &server));
    settings.push("listeners.ws.p.bind=127.0.0.1:0".to_owned());
    for kind in ["tls", "wss", "ws"] {
        settings.push(format!("listeners.{kind}.p.proxy_protocol=true"));
        settings.push(format!("listeners.{kind}.p.allow_anonymous=true"));
    }
    let broker = start(&settings);
    let mut watcher = watcher(&broker);
    let header = b"PROXY TCP4 192.0.2.1 198.51.100.1 56789 1883\r\n";
    let socket = |kind| after(header, stream::tcp(broker.listener(kind)));
    let tls = |kind| -> Box<dyn Stream> {
        let opened = Tls::open(socket(kind), &authority.trust(&BOTH, None), NAME);
        Box::new(opened.expect("a handshake"))
    };
    let streams: [Box<dyn Stream>; 3] = [
        tls("tls.p"),
        Box::new(Web::open(tls("wss.p"))),
        Box::new(Web::open(Box::new(socket("ws.p")))),
    ];
    for stream in streams {
        let mut raw = enter(stream, &Connect::new(V5, "alice"));
        expect_address(&mut watcher, "192.0.2.1");
        raw.expect_nothing_before_pong();
        raw.disconnect();
    }
    let bare = stream::tcp(broker.listener("tls.p"));
    let refused = Tls::open(bare, &authority.trust(&BOTH, None), NAME);
    assert!(refused.is_err(), "let in without a header");
    expect_metric(&broker, ENDED, 1);
}

/// What a client may see is asked of where it is, not of where its proxy is.
#[test]
fn client_behind_a_proxy_is_not_on_this_machine() {
    let broker = plain();
    let connect = |address: &str| {
        let header = format!("PROXY TCP4 {address} 198.51.100.1 56789 1883\r\n");
        let socket = stream::tcp(broker.listener("tcp.p"));
        enter(Box::new(after(header.as_bytes(), socket)), &Connect::new(V5, "alice"))
    };
    assert_eq!(connect("192.0.2.1").try_subscribe("$SYS/#", 0), 0x87);
    assert_eq!(connect("127.0.0.1").try_subscribe("$SYS/#", 0), 0);
    let socket = after(b"PROXY UNKNOWN\r\n", stream::tcp(broker.listener("tcp.p")));
    let mut untold = enter(Box::new(socket), &Connect::new(V5, "alice"));
    assert_eq!(untold.try_subscribe("$SYS/#", 0), 0x87);
}

/// It hides where clients come from: that it is on this machine says nothing about them.
#[test]
fn proxy_on_this_machine_does_not_let_clients_without_credentials_in() {
    let broker =
        Broker::start(&["listeners.tcp.p.bind=127.0.0.1:0", "listeners.tcp.p.proxy_protocol=true"]);
    let header = b"PROXY TCP4 192.0.2.1 198.51.100.1 56789 1883\r\n";
    let mut raw = Raw::over(Box::new(after(header, stream::tcp(broker.listener("tcp.p")))), V5);
    raw.send(&Connect::new(V5, "alice").bytes());
    assert_eq!(raw.expect_connack().code, 0x87);
}

#[test]
fn half_a_header_ends_at_the_deadline_of_connect() {
    let broker = Broker::start(&[
        "listeners.tcp.p.bind=127.0.0.1:0",
        "listeners.tcp.p.proxy_protocol=true",
        "listeners.tcp.p.connect_timeout=500ms",
    ]);
    for half in [&b"PROXY TCP4 192.0.2.1"[..], &v2(0x21, 0x11, &v4_block())[..20]] {
        let mut socket = after(half, stream::tcp(broker.listener("tcp.p")));
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).expect("it ends within a deadline");
        assert_eq!(answer, []);
    }
    expect_metric(&broker, "avocet_connections_ended_total{reason=\"no CONNECT in time\"}", 2);
}
