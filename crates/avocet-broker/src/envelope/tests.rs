use std::{io::Read, net::TcpStream, sync::Arc};

use avocet_net::{ClientWrapping, Listener, Place, WebSocketOptions, WebSocketRequest, Wrapping};

use super::*;
use crate::pending::tests::filled;

/// A connection in WebSocket frames, whose client does not read until the test does.
struct Ends {
    envelope: Envelope,
    wire: Wire,
    client: Box<Layers>,
    reader: TcpStream,
}

impl Ends {
    async fn open() -> Self {
        let options = WebSocketOptions::default();
        let request = WebSocketRequest::to("localhost");
        let wrapping = Wrapping { websocket: Some(Arc::new(options)), ..Wrapping::default() };
        let mut envelope = Envelope::new(Layers::accept(&wrapping).unwrap());
        let wrapping = ClientWrapping { websocket: Some(request), ..ClientWrapping::default() };
        let mut said = Vec::new();
        let client = Layers::connect(&wrapping, &mut said).unwrap().unwrap();

        let mut listener = Listener::bind(&Place::tcp("127.0.0.1:0"), None).unwrap();
        let reader = TcpStream::connect(listener.address().ip().unwrap()).unwrap();
        let wire = Wire::unheard(listener.accept().await.unwrap().stream().unwrap());
        envelope.open(&mut said, &mut Vec::new()).unwrap();
        assert!(envelope.waiting() > 0, "the request is answered");
        Self { envelope, wire, client, reader }
    }

    /// What came in so many bytes of the stream.
    fn receive(&mut self, count: usize) -> Vec<u8> {
        let (mut bytes, mut plain) = (vec![0; count], Vec::new());
        self.reader.read_exact(&mut bytes).unwrap();
        self.client.receive(&mut bytes, &mut plain, &mut Vec::new()).unwrap();
        plain
    }
}

#[tokio::test]
async fn everything_comes_out_in_order_however_the_system_cuts_it() {
    let mut ends = Ends::open().await;
    let (mut pending, expected) = filled(500_000);
    let (mut received, mut blocked) = (Vec::new(), 0);
    while received.len() < expected.len() {
        let (count, result) = ends.envelope.write(&mut pending, &ends.wire);
        if result.is_err() {
            blocked += 1;
            let waiting = ends.envelope.waiting();
            assert!((1..2 * SEALED_BYTES_MAX + 100).contains(&waiting), "{waiting} sealed ahead");
        }
        received.extend(ends.receive(count));
    }
    assert!(received == expected, "the stream differs");
    assert!(blocked > 0, "the system took everything at once: nothing was cut");
    assert_eq!(ends.envelope.sealed.capacity(), 0, "an empty one holds no buffer");
    assert_eq!(pending.buffer().len(), 0);
}

#[tokio::test]
async fn answers_of_the_layers_go_between_the_bytes_and_not_into_them() {
    let mut ends = Ends::open().await;
    let mut pending = Pending::default();
    let mut expected = Vec::new();
    let mut received = Vec::new();
    for round in 0..200_u8 {
        let bytes = [round; 40_000];
        pending.buffer().extend_from_slice(&bytes);
        expected.extend_from_slice(&bytes);
        // A ping: it is answered in a frame of its own.
        let mut ping = [0x89, 0x80, 0, 0, 0, 0];
        ends.envelope.open(&mut ping, &mut Vec::new()).unwrap();
        let (count, _) = ends.envelope.write(&mut pending, &ends.wire);
        if round % 2 > 0 {
            received.extend(ends.receive(count));
        } else {
            let plain = ends.receive(count / 2);
            received.extend(plain);
            received.extend(ends.receive(count - count / 2));
        }
    }
    while pending.len() > 0 || ends.envelope.waiting() > 0 {
        let (count, _) = ends.envelope.write(&mut pending, &ends.wire);
        received.extend(ends.receive(count));
    }
    assert!(received == expected, "the stream differs");
}

#[tokio::test]
async fn client_that_pings_and_reads_too_little_does_not_make_it_grow() {
    let mut ends = Ends::open().await;
    let mut read = vec![0; 8 * 1024];
    let (mut blocked, mut written) = (0, 0);
    // As the owner does: it reads while there is room, and writes when the system takes more.
    let ping = [[0x89, 0x80 | 125, 0, 0, 0, 0].as_slice(), &[0; 125]].concat();
    for _ in 0..3000 {
        let mut pings = ping.repeat(100);
        if ends.envelope.waiting() < 256 * 1024 {
            ends.envelope.open(&mut pings, &mut Vec::new()).unwrap();
        }
        let (count, result) = ends.envelope.write_sealed(&ends.wire);
        written += count;
        if result.is_err() {
            blocked += 1;
            written -= ends.reader.read(&mut read).unwrap();
        }
    }
    assert!(blocked > 100 && written > 0, "the client kept up: {blocked} times blocked");
    let capacity = ends.envelope.sealed.capacity();
    assert!(capacity <= 1024 * 1024, "{capacity}");
}
