use std::{
    io::ErrorKind,
    sync::atomic::{AtomicBool, Ordering},
    task::Wake,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::Accepted;

const PEERS: [Peer; 2] = [Peer::Local, Peer::Unknown];

#[tokio::test]
async fn bytes_come_in_order_and_no_more_than_there_is_room_for() {
    let (end, far) = pipe(10, PEERS);
    let socket = Accepted::from(end).into_socket();
    assert_eq!(socket.peer(), Peer::Local);
    assert_eq!(socket.write(b"0123456").unwrap(), 7);
    let pieces = [io::IoSlice::new(b"78"), io::IoSlice::new(b"9ab")];
    assert_eq!(socket.write_vectored(&pieces).unwrap(), 3);
    assert_eq!(socket.write(b"ab").unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut bytes = [0; 4];
    (&far).read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"0123");
    assert_eq!(socket.write(b"abcdef").unwrap(), 4);
    let mut bytes = [0; 10];
    (&far).read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"456789abcd");
}

/// Remembers that it was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Woken {
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

#[tokio::test]
async fn watcher_is_woken_once_for_what_was_not_there_before() {
    let (end, far) = pipe(3, PEERS);
    let woken = Arc::new(Woken::default());
    end.watch(Arc::clone(&woken).into());
    assert!(woken.take(), "what is there already is told at once");
    let mut buffer = [0; 7];
    assert_eq!(end.receive(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    (&far).write_all(b"ab").await.unwrap();
    assert!(woken.take());
    (&far).write_all(b"c").await.unwrap();
    assert!(!woken.take(), "it knows of something it has not read");
    assert_eq!(end.receive(&mut buffer).unwrap(), 3);
    (&far).write_all(b"d").await.unwrap();
    assert!(woken.take());
    assert_eq!(end.send(&[io::IoSlice::new(b"wxyz")]).unwrap(), 3);
    assert!(!woken.take());
    (&far).read_exact(&mut [0; 1]).await.unwrap();
    assert!(woken.take(), "there is room");
    assert_eq!(end.receive(&mut buffer).unwrap(), 1);
    drop(far);
    assert!(woken.take());
    assert_eq!(end.receive(&mut buffer).unwrap(), 0);
    assert_eq!(end.send(&[io::IoSlice::new(b"x")]).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn shutdown_leaves_what_was_written_and_wakes_who_waits() {
    let (end, far) = pipe(100, PEERS);
    let socket = Accepted::from(end).into_socket();
    socket.write(b"last").unwrap();
    assert_eq!(socket.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    (&far).write_all(b"unread").await.unwrap();
    socket.shutdown();
    let mut bytes = Vec::new();
    (&far).read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"last");
    assert_eq!((&far).write_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}
