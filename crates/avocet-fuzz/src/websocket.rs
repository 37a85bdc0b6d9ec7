//! WebSocket: bytes that come in pieces are the same messages, answers and errors; what one side
//! seals the other opens; nobody is made to hold more than came.

use std::sync::Arc;

use avocet_net::{ClientWrapping, Incoming, Layers, WebSocketOptions, WebSocketRequest, Wrapping};

use crate::pieces::{Pieces, lengths};

/// A byte that chooses what is played, four for the lengths of the pieces, then the stream.
pub fn run(data: &[u8]) {
    let Some((&what, rest)) = data.split_first() else { return };
    let Some((lengths, stream)) = lengths(rest) else { return };
    match what % 4 {
        0 => check_pieces(server, &[], stream, lengths),
        1 => check_pieces(server, REQUEST.as_bytes(), stream, lengths),
        2 => check_pieces(|| open_pair().0, &[], stream, lengths),
        _ => check_conversation(stream, lengths),
    }
}

const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

fn server() -> Layers {
    let websocket = WebSocketOptions { frame_bytes_max: 4096, ..WebSocketOptions::default() };
    let wrapping = Wrapping { websocket: Some(Arc::new(websocket)), ..Wrapping::default() };
    *Layers::accept(&wrapping).expect("one layer")
}

/// A client and a server whose handshake is over.
fn open_pair() -> (Layers, Layers) {
    let websocket = WebSocketRequest { frame_bytes_max: 4096, ..WebSocketRequest::to("server") };
    let wrapping = ClientWrapping { websocket: Some(websocket), ..ClientWrapping::default() };
    let (mut request, mut response, mut none) = (Vec::new(), Vec::new(), Vec::new());
    let client = Layers::connect(&wrapping, &mut request).expect("there is randomness");
    let (mut client, mut server) = (*client.expect("one layer"), server());
    server.receive(&mut request, &mut none, &mut response).expect("a good request");
    client.receive(&mut response, &mut none, &mut request).expect("a good response");
    assert!(client.is_open() && server.is_open() && none.is_empty());
    (client, server)
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    plain: Vec<u8>,
    /// How many bytes were answered: a client's mask is by chance.
    answered: usize,
    is_failed: bool,
    is_ended: bool,
}

fn receive<'a>(mut layers: Layers, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let (mut plain, mut raw) = (Vec::new(), Vec::new());
    let (mut is_failed, mut is_ended) = (false, false);
    for piece in pieces {
        match layers.receive(&mut piece.to_vec(), &mut plain, &mut raw) {
            Ok(Incoming::More) => {}
            Ok(Incoming::End) => is_ended = true,
            Err(_) => is_failed = true,
        }
        if is_failed || is_ended {
            break;
        }
    }
    Outcome { plain, answered: raw.len(), is_failed, is_ended }
}

fn check_pieces(start: impl Fn() -> Layers, before: &[u8], stream: &[u8], lengths: [u8; 4]) {
    let stream = [before, stream].concat();
    let whole = receive(start(), std::iter::once(&stream[..]));
    let pieces = receive(start(), Pieces::of(&stream, lengths));
    assert_eq!(whole, pieces, "in pieces it is something else");
    assert!(whole.plain.len() <= stream.len(), "more than came");
    // The answer to a request, a Pong for each Ping with what it brought, and one Close.
    assert!(whole.answered <= 1024 + 3 * stream.len(), "{} bytes answered", whole.answered);
}

/// What is sealed on one side, in messages and pieces of any length, comes out on the other.
fn check_conversation(stream: &[u8], lengths: [u8; 4]) {
    let (mut client, mut server) = open_pair();
    let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
    for (number, message) in Pieces::of(stream, lengths).enumerate() {
        let (side, raw) = match number % 2 {
            0 => (&mut client, &mut from_client),
            _ => (&mut server, &mut from_server),
        };
        side.seal(message, raw).expect("it is open");
    }
    client.close(&mut from_client);
    let (mut answer, mut at_server, mut at_client) = (Vec::new(), Vec::new(), Vec::new());
    for piece in Pieces::of(&from_server, lengths) {
        let end = client.receive(&mut piece.to_vec(), &mut at_client, &mut answer);
        assert_eq!(end.expect("what a server of ours sends"), Incoming::More);
    }
    let mut ended = Incoming::More;
    for piece in Pieces::of(&from_client, lengths) {
        ended = server
            .receive(&mut piece.to_vec(), &mut at_server, &mut answer)
            .expect("what a client of ours sends");
    }
    assert_eq!(ended, Incoming::End, "a Close ends it");
    let messages = |first: usize| -> Vec<u8> {
        Pieces::of(stream, lengths).skip(first).step_by(2).flatten().copied().collect()
    };
    assert!(at_server == messages(0) && at_client == messages(1), "something else came out");
}
