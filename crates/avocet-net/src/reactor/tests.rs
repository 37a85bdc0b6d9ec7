use std::{
    io::{ErrorKind, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::{Accepted, Peer, pipe};

const LONG: Duration = Duration::from_secs(10);

fn pair() -> (TcpStream, Socket) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stream = listener.accept().unwrap().0;
    stream.set_nonblocking(true).unwrap();
    (client, Accepted::from(stream).into_socket())
}

/// The first news that are like this.
fn news(reactor: &mut Reactor, wanted: impl Fn(usize, Readiness) -> bool) {
    let mut found = false;
    while !found {
        let mut told = 0;
        let tell = |key, readiness| {
            told += 1;
            found |= wanted(key, readiness);
        };
        reactor.wait(LONG, tell).unwrap();
        assert!(told > 0, "there is no news");
    }
}

#[test]
fn socket_tells_what_has_become_possible() {
    let mut reactor = Reactor::new().unwrap();
    let (mut client, socket) = pair();
    reactor.watch(&socket, 7, || unreachable!("it is no pipe")).unwrap();
    news(&mut reactor, |key, readiness| key == 7 && readiness.writable);
    assert_eq!(socket.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::WouldBlock);
    client.write_all(b"abc").unwrap();
    news(&mut reactor, |key, readiness| key == 7 && readiness.readable && !readiness.finished);
    assert_eq!(socket.read(&mut [0; 10]).unwrap(), 3);
    drop(client);
    news(&mut reactor, |key, readiness| key == 7 && readiness.readable && readiness.finished);
    assert_eq!(socket.read(&mut [0; 10]).unwrap(), 0);
}

#[test]
fn waker_ends_the_wait_and_is_no_news() {
    let mut reactor = Reactor::new().unwrap();
    let waker = reactor.waker();
    let waking = std::thread::spawn(move || waker.wake());
    reactor.wait(LONG, |key, _| panic!("news of {key}")).unwrap();
    waking.join().unwrap();
}

#[test]
fn pipe_calls_its_waker() {
    struct Counted(AtomicUsize);
    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let reactor = Reactor::new().unwrap();
    let counted = Arc::new(Counted(AtomicUsize::new(0)));
    let (end, _far) = pipe(10, [Peer::Local, Peer::Local]);
    let socket = Accepted::from(end).into_socket();
    reactor.watch(&socket, 0, || Arc::clone(&counted).into()).unwrap();
    assert_eq!(counted.0.load(Ordering::Relaxed), 1);
}
