use std::{io::Read, net::TcpStream};

use avocet_mqtt::{Publish, Transit};
use avocet_net::Place;

use super::*;

/// A stream that does not read until the test does, and the pending bytes written to it.
async fn pair() -> (TcpStream, Wire) {
    let mut listener = avocet_net::Listener::bind(&Place::tcp("127.0.0.1:0"), None).unwrap();
    let reader = TcpStream::connect(listener.address().ip().unwrap()).unwrap();
    let accepted = listener.accept().await.unwrap().stream().unwrap();
    (reader, Wire::unheard(accepted))
}

fn message(byte: u8, length: usize) -> Arc<ApplicationMessage> {
    let payload = vec![byte; length];
    let publish = Publish::new("t", &payload);
    Arc::clone(Transit::new(&publish, std::time::Instant::now()).share())
}

/// Small bytes, with payloads of this length and a little more between them; and all of it as it is
/// to come out.
pub(crate) fn filled(length: usize) -> (Pending, Vec<u8>) {
    let mut pending = Pending::default();
    let mut expected = Vec::new();
    for round in 0..40_u8 {
        let small = [round; 100];
        pending.buffer().extend_from_slice(&small);
        expected.extend_from_slice(&small);
        if round % 3 > 0 {
            let length = length + usize::from(round);
            pending.append_payload(message(round, length));
            expected.extend(std::iter::repeat_n(round, length));
        }
    }
    (pending, expected)
}

#[tokio::test]
async fn buffer_and_payloads_come_out_in_order_however_the_system_cuts_them() {
    let (mut reader, wire) = pair().await;
    let (mut pending, expected) = filled(700_000);
    assert_eq!(pending.len(), expected.len());
    let mut received = Vec::new();
    let mut blocked = 0;
    while received.len() < expected.len() {
        let before = pending.len();
        let (count, result) = pending.write(&wire);
        assert_eq!(pending.len(), before - count);
        blocked += u32::from(result.is_err());
        let wanted = expected.len() - pending.len() - received.len();
        let mut bytes = vec![0; wanted];
        reader.read_exact(&mut bytes).unwrap();
        received.extend(bytes);
    }
    assert!(received == expected, "the stream differs");
    assert!(blocked > 0, "the system took everything at once: nothing was cut");
    assert_eq!(pending.bytes.capacity(), 0, "an empty one holds no buffer");
}

#[tokio::test]
async fn buffer_of_a_connection_that_never_catches_up_does_not_grow() {
    const WAITING: usize = 256 * 1024;
    let (mut reader, wire) = pair().await;
    let mut pending = Pending::default();
    let mut chunk = vec![0; 64 * 1024];
    for round in 0..2000_u32 {
        while pending.len() < WAITING {
            pending.buffer().extend_from_slice(&round.to_be_bytes().repeat(1024));
        }
        if pending.write(&wire).1.is_err() {
            reader.read_exact(&mut chunk).unwrap();
        }
    }
    assert!(pending.bytes.capacity() < 8 * WAITING, "{}", pending.bytes.capacity());
}
