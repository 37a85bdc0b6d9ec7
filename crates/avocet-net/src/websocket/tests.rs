use std::{
    cell::RefCell,
    io::{self, Read, Write},
    rc::Rc,
};

use proptest::{prelude::*, test_runner::Config};
use tungstenite::{
    ClientRequestBuilder, Error, HandshakeError, Message,
    client::IntoClientRequest,
    handshake::client::ClientHandshake,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::*;
use crate::{
    ClientWrapping, Wrapping,
    testing::{End, exchange, pattern},
};

/// An ordinary client, in memory: the stream is our server.
#[test]
fn ordinary_client_of_tungstenite_talks_with_us() {
    for size in [1, 5, 100_000] {
        let stream = Stream::new(size);
        let request = ClientRequestBuilder::new("ws://localhost/mqtt".parse().unwrap())
            .with_sub_protocol("mqtt")
            .into_client_request()
            .unwrap();
        let mut handshake = ClientHandshake::start(stream.clone(), request, None).unwrap();
        let (mut client, response) = loop {
            match handshake.handshake() {
                Ok(done) => break done,
                Err(HandshakeError::Interrupted(next)) => {
                    assert!(!stream.end().raw.is_empty(), "there is no answer");
                    handshake = next;
                }
                Err(HandshakeError::Failure(error)) => panic!("{error}"),
            }
        };
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");
        let mut expected = Vec::new();
        for len in [0, 1, 125, 126, 65_535, 65_536, 90_000] {
            client.send(Message::binary(pattern(len))).unwrap();
            expected.extend(pattern(len));
        }
        assert_eq!(stream.end().take_plain(), expected);

        for len in [1, 125, 126, 65_535, 65_536, 90_000] {
            stream.end().seal(&pattern(len));
            assert_eq!(client.read().unwrap(), Message::binary(pattern(len)));
        }

        client.send(Message::Ping(b"there?".as_slice().into())).unwrap();
        assert_eq!(client.read().unwrap(), Message::Pong(b"there?".as_slice().into()));

        client.close(Some(CloseFrame { code: CloseCode::Normal, reason: "bye".into() })).unwrap();
        let answer = client.read().unwrap();
        assert!(matches!(answer, Message::Close(Some(frame)) if frame.code == CloseCode::Normal));
        assert_eq!(stream.end().incoming, Incoming::End);
    }
}

#[test]
fn our_close_is_answered_by_tungstenite() {
    let stream = Stream::new(10);
    let (mut client, _) = tungstenite::client("ws://localhost/mqtt", stream.clone()).unwrap();
    stream.end().seal(b"last words");
    stream.end().close();
    assert_eq!(client.read().unwrap(), Message::binary(b"last words".as_slice()));
    assert!(matches!(client.read(), Ok(Message::Close(Some(f))) if f.code == CloseCode::Normal));
    // It sends its answer with the next look.
    assert!(matches!(client.read(), Err(Error::ConnectionClosed | Error::Io(_))));
    assert_eq!(stream.end().incoming, Incoming::End);
}

#[test]
fn text_of_tungstenite_is_refused() {
    let stream = Stream::new(10);
    let (mut client, _) = tungstenite::client("ws://localhost/mqtt", stream.clone()).unwrap();
    client.send(Message::text("no MQTT")).unwrap();
    assert!(stream.end().error.is_some());
    let answer = client.read().unwrap();
    assert!(matches!(answer, Message::Close(Some(f)) if f.code == CloseCode::Unsupported));
}

#[test]
fn our_client_and_server_talk() {
    for size in [1, 13, 100_000] {
        let mut server = End::server(&wrapping());
        let mut client = End::client(&client_wrapping());
        assert!(client.layers.seal(b"too early", &mut Vec::new()).is_err());
        exchange(&mut client, &mut server, size);
        assert!(client.layers.is_open() && server.layers.is_open());
        client.seal(&pattern(70_000));
        client.seal(b"x");
        server.seal(&pattern(300));
        exchange(&mut client, &mut server, size);
        assert_eq!(server.plain, [pattern(70_000), b"x".to_vec()].concat());
        assert_eq!(client.plain, pattern(300));
        client.close();
        exchange(&mut client, &mut server, size);
        assert_eq!((client.incoming, server.incoming), (Incoming::End, Incoming::End));
    }
}

#[test]
fn frames_in_the_same_read_as_the_request_are_taken() {
    let request = "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                   Sec-WebSocket-Version: 13\r\n\r\n";
    let mut server = End::server(&wrapping());
    server.receive(&[request.as_bytes(), b"\x82\x83\0\0\0\0one"].concat(), 1000);
    assert_eq!(server.plain, b"one");
}

#[test]
fn refused_client_is_told_and_nothing_more_is_taken() {
    let mut server = End::server(&wrapping());
    let mut wanted = client_wrapping();
    wanted.websocket.as_mut().unwrap().path = "/other".to_owned();
    let mut client = End::client(&wanted);
    exchange(&mut client, &mut server, 10);
    assert!(client.error.unwrap().to_string().contains("404 Not Found"));
    server.error = None;
    server.receive(b"GET", 10);
    assert!(server.error.is_some() && server.raw.is_empty() && !server.layers.is_open());
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    /// A byte changed, a part left out, others put in: from either side, in any pieces.
    #[test]
    fn changed_streams_end_without_panic(
        at in 0..400_usize,
        cut in 0..4_usize,
        junk in prop::collection::vec(any::<u8>(), 0..6),
        size in 1..300_usize,
        of_client: bool,
    ) {
        let (mut server, mut client) = (End::server(&wrapping()), End::client(&client_wrapping()));
        let change = |bytes: Vec<u8>| {
            let (start, end) = (at.min(bytes.len()), (at + cut).min(bytes.len()));
            [&bytes[..start], &junk, &bytes[end..]].concat()
        };
        for _ in 0..4 {
            let bytes = client.take_raw();
            server.receive(&if of_client { change(bytes) } else { bytes }, size);
            let bytes = server.take_raw();
            client.receive(&if of_client { bytes } else { change(bytes) }, size);
            for end in [&mut server, &mut client] {
                if end.error.is_none() && end.layers.is_open() {
                    drop(end.layers.seal(&pattern(300), &mut end.raw));
                }
            }
        }
        let mut fresh = End::server(&wrapping());
        fresh.receive(&[b"GET ".as_slice(), &junk, b"\r\n\r\n"].concat(), size);
        prop_assert!(!fresh.layers.is_open());
    }
}

/// Our server at the other end of what is written, as `tungstenite` wants a stream.
#[derive(Clone, Debug)]
struct Stream {
    end: Rc<RefCell<End>>,
    size: usize,
}

impl Stream {
    fn new(size: usize) -> Self {
        Self { end: Rc::new(RefCell::new(End::server(&wrapping()))), size }
    }

    fn end(&self) -> std::cell::RefMut<'_, End> {
        self.end.borrow_mut()
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let raw = &mut self.end().raw;
        let len = raw.len().min(into.len());
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        into[..len].copy_from_slice(&raw[..len]);
        raw.drain(..len);
        Ok(len)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = self.size;
        self.end().receive(bytes, size);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn wrapping() -> Wrapping {
    let websocket = WebSocketOptions {
        path: "/mqtt".to_owned(),
        subprotocols: vec!["mqtt".to_owned()],
        subprotocol_required: false,
        origins: vec![],
        proxy_address_header: None,
        frame_bytes_max: 100_000,
    };
    Wrapping { websocket: Some(Arc::new(websocket)), ..Wrapping::default() }
}

fn client_wrapping() -> ClientWrapping {
    let websocket = WebSocketRequest {
        host: "localhost".to_owned(),
        path: "/mqtt".to_owned(),
        subprotocol: "mqtt".to_owned(),
        frame_bytes_max: 100_000,
    };
    ClientWrapping { websocket: Some(websocket), tls: None }
}
