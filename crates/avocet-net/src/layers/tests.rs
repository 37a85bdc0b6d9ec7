use proptest::{prelude::*, test_runner::Config};

use super::*;
use crate::testing::{End, World, exchange, pattern};

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 10.0.0.2 56324 443\r\n";

#[test]
fn nothing_asked_for_is_no_layers() {
    assert!(Layers::accept(&Wrapping::default()).is_none());
    assert!(Layers::connect(&ClientWrapping::default(), &mut Vec::new()).unwrap().is_none());
}

#[test]
fn proxy_header_alone_leaves_nothing_behind() {
    let wrapping = Wrapping { proxy_protocol: true, ..Wrapping::default() };
    for size in [1, 10, 100] {
        let mut end = End::server(&wrapping);
        assert!(!end.layers.is_open() && !end.layers.is_gone());
        assert_eq!(end.layers.seal(b"x", &mut Vec::new()).unwrap_err().layer, Layer::Proxy);
        end.receive(&[HEADER, b"packets"].concat(), size);
        assert!(end.layers.is_open() && end.layers.is_gone());
        assert_eq!(end.layers.peer(), Some("192.0.2.1:56324".parse().unwrap()));
        assert_eq!(end.plain, b"packets");
        end.seal(b"answer");
        assert_eq!(end.raw, b"answer");
    }
}

#[test]
fn bad_proxy_header_is_an_error_once_and_for_all() {
    let mut end = End::server(&Wrapping { proxy_protocol: true, ..Wrapping::default() });
    end.receive(b"CONNECT", 100);
    assert_eq!(end.error.take().unwrap().layer, Layer::Proxy);
    end.receive(HEADER, 100);
    let error = end.error.unwrap();
    assert_eq!(error.to_string(), "PROXY header: it has failed before");
    assert!(end.plain.is_empty() && !end.layers.is_open() && !end.layers.is_gone());
    assert!(end.layers.seal(b"x", &mut end.raw).is_err());
    end.layers.close(&mut end.raw);
    assert!(end.raw.is_empty());
}

#[test]
fn all_layers_work_together() {
    let world = World::new();
    for size in [1, 13, 100_000] {
        let mut server = End::server(&wrapping(&world));
        let mut client = End::client(&client_wrapping(&world));
        server.receive(&[HEADER, &client.take_raw()].concat(), size);
        exchange(&mut client, &mut server, size);
        assert!(client.layers.is_open() && server.layers.is_open() && !server.layers.is_gone());
        assert_eq!(server.layers.peer(), Some("192.0.2.1:56324".parse().unwrap()));
        let bytes = pattern(20_000);
        client.seal(&bytes);
        client.seal(b"and more");
        server.seal(&bytes);
        exchange(&mut client, &mut server, size);
        assert_eq!(server.take_plain(), [&bytes[..], b"and more"].concat());
        assert_eq!(client.take_plain(), bytes);

        server.close();
        exchange(&mut client, &mut server, size);
        assert_eq!((client.incoming, server.incoming), (Incoming::End, Incoming::End));
        assert!(client.layers.seal(b"x", &mut Vec::new()).is_err(), "a Close was answered");
        assert!(server.layers.seal(b"x", &mut Vec::new()).is_err());
        client.close();
        server.close();
        exchange(&mut client, &mut server, size);
        assert!(client.error.is_none() && server.error.is_none());
    }
}

#[test]
fn address_of_a_request_counts_more_than_that_of_a_proxy_header() {
    let mut wrapping = Wrapping { proxy_protocol: true, ..Wrapping::default() };
    wrapping.websocket = Some(Arc::new(options()));
    let request = "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\
                   X-Forwarded-For: 198.51.100.7\r\n\r\n";
    let mut end = End::server(&wrapping);
    end.receive(&[HEADER, request.as_bytes()].concat(), 1000);
    assert!(end.layers.is_open());
    assert_eq!(end.layers.peer(), Some("198.51.100.7:0".parse().unwrap()));
    end.receive(b"no frame", 1000);
    assert!(end.error.is_some());
    assert_eq!(end.layers.peer(), Some("198.51.100.7:0".parse().unwrap()), "for the log");
}

/// A refusal goes through TLS, and TLS is ended in order.
#[test]
fn refusal_of_a_websocket_comes_through_tls() {
    let world = World::new();
    let mut server = End::server(&Wrapping { proxy_protocol: false, ..wrapping(&world) });
    let mut client = End::client(&world.client());
    exchange(&mut client, &mut server, 1000);
    client.seal(b"GET /elsewhere HTTP/1.1\r\n\r\n");
    exchange(&mut client, &mut server, 1000);
    assert_eq!(server.error.unwrap().layer, Layer::WebSocket);
    assert!(client.plain.starts_with(b"HTTP/1.1 404 Not Found\r\n"));
    assert_eq!(client.incoming, Incoming::End);
}

/// The error counts although TLS was ended in order behind it.
#[test]
fn bad_frame_is_an_error_even_if_the_client_ends_at_once() {
    let world = World::new();
    let wrapping = wrapping(&world);
    let mut server = End::server(&wrapping);
    let mut client = End::client(&client_wrapping(&world));
    server.receive(&[HEADER, &client.take_raw()].concat(), 1000);
    exchange(&mut client, &mut server, 1000);
    let tls = client.layers.tls.as_mut().unwrap();
    tls.seal(&[0x81, 0x80, 0, 0, 0, 0], &mut client.raw).unwrap();
    tls.close(&mut client.raw).unwrap();
    server.receive(&client.take_raw(), 100_000);
    assert_eq!(server.error.unwrap().to_string(), "WebSocket: a text frame");
    assert_eq!(server.layers.peer(), Some("192.0.2.1:56324".parse().unwrap()), "still known");
    assert!(!server.raw.is_empty());
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, cases: 24, ..Config::default() })]

    #[test]
    fn pieces_and_changes_do_no_harm(
        size in 1..3000_usize,
        change in prop::option::of((0..3000_usize, any::<u8>())),
        lens in prop::collection::vec(1..5000_usize, 1..5),
    ) {
        let world = World::new();
        let mut server = End::server(&wrapping(&world));
        let mut client = End::client(&client_wrapping(&world));
        let mut sent = 0;
        let mut flight = [HEADER, &client.take_raw()].concat();
        let mut lens_left = lens.iter();
        let mut expected = Vec::new();
        while !flight.is_empty() {
            if let Some((at, to)) = change && (sent..sent + flight.len()).contains(&at) {
                flight[at - sent] = to;
            }
            sent += flight.len();
            server.receive(&flight, size);
            client.receive(&server.take_raw(), size);
            if client.layers.is_open() && let Some(len) = lens_left.next() {
                client.seal(&pattern(*len));
                expected.extend(pattern(*len));
            }
            flight = client.take_raw();
        }
        prop_assert!(expected.starts_with(&server.plain));
        if change.is_none() {
            prop_assert_eq!(server.plain, expected);
            prop_assert!(lens_left.next().is_none());
        }
    }
}

fn wrapping(world: &World) -> Wrapping {
    let websocket = Some(Arc::new(options()));
    Wrapping { proxy_protocol: true, tls: Some(world.server()), websocket }
}

fn options() -> WebSocketOptions {
    WebSocketOptions {
        path: "/mqtt".to_owned(),
        subprotocols: vec!["mqtt".to_owned()],
        subprotocol_required: false,
        origins: vec![],
        proxy_address_header: Some("X-Forwarded-For".to_owned()),
        frame_bytes_max: 100_000,
    }
}

fn client_wrapping(world: &World) -> ClientWrapping {
    let websocket = WebSocketRequest {
        host: "localhost:443".to_owned(),
        path: "/mqtt".to_owned(),
        subprotocol: "mqtt".to_owned(),
        frame_bytes_max: 100_000,
    };
    ClientWrapping { websocket: Some(websocket), ..world.client() }
}
