use std::{future::poll_fn, io::ErrorKind, task::Waker};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::Accepted;

const PEERS: [Peer; 2] = [Peer::Local, Peer::Unknown];

#[tokio::test]
async fn bytes_come_in_order_and_no_more_than_there_is_room_for() {
    let (end, far) = pipe(10, PEERS);
    let socket = Accepted::from(end).own().unwrap();
    assert_eq!(socket.peer(), Peer::Local);
    assert_eq!(socket.write(b"0123456").unwrap(), 7);
    let pieces = [io::IoSlice::new(b"78"), io::IoSlice::new(b"9ab")];
    assert_eq!(socket.write_vectored(&pieces).unwrap(), 3);
    assert_eq!(socket.write(b"ab").unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut bytes = [0; 4];
    (&far).read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"0123");
    poll_fn(|cx| socket.poll_writable(cx)).await.unwrap();
    assert_eq!(socket.write(b"abcdef").unwrap(), 4);
    let mut bytes = [0; 10];
    (&far).read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"456789abcd");
}

#[tokio::test]
async fn reader_and_writer_wait_for_each_other() {
    let (end, far) = pipe(3, PEERS);
    let socket = Accepted::from(end).own().unwrap();
    let sent: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let expected = sent.clone();
    let writing = tokio::spawn(async move { (&far).write_all(&sent).await.map(|()| far) });
    let mut received: Vec<u8> = Vec::new();
    let mut buffer = [0; 7];
    while received.len() < expected.len() {
        let count = poll_fn(|cx| socket.poll_read(cx, &mut buffer)).await.unwrap();
        received.extend(&buffer[..count]);
    }
    assert!(received == expected, "the stream differs");
    drop(writing.await.unwrap().unwrap());
    assert_eq!(poll_fn(|cx| socket.poll_read(cx, &mut buffer)).await.unwrap(), 0);
    assert_eq!(socket.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn shutdown_leaves_what_was_written_and_wakes_who_waits() {
    let (end, far) = pipe(100, PEERS);
    let socket = Accepted::from(end).own().unwrap();
    socket.write(b"last").unwrap();
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(socket.poll_read(cx, &mut [0; 4]).is_pending());
    (&far).write_all(b"unread").await.unwrap();
    socket.shutdown();
    let mut bytes = Vec::new();
    (&far).read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"last");
    assert_eq!((&far).write_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}
