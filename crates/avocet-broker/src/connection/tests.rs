use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::AtomicUsize,
    task::Waker,
};

use avocet_mqtt::Connect;
use avocet_net::{Accepted, Peer, Reactor};
use avocet_session::handshake;

use super::*;
use crate::{
    ListenerOptions, Options,
    broker::Shared,
    calls::{Call, Calls},
    driver::Driver,
    metrics::Tally,
    shard::SLICE,
};

const DEADLINE: Duration = Duration::from_secs(10);

fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(Options::small()))
}

fn listening() -> Arc<Listening> {
    Arc::new(Listening::small(ListenerOptions::small()))
}

fn shard() -> Shard {
    let calls = Arc::new(Calls::new(Waker::noop().clone()));
    Shard::new(shared(), calls, 0)
}

/// Both ends of a connection.
fn pair() -> (TcpStream, Accepted) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    (client, stream.into())
}

/// An open session whose connection nobody serves, as on a shard that is busy with others.
fn open(shard: &Shard, wire: &Arc<Wire>) -> Mailbox {
    open_as(shard, wire, "c")
}

fn open_as(shard: &Shard, wire: &Arc<Wire>, client_id: &str) -> Mailbox {
    let connect = Box::new(Connect::new(ProtocolVersion::V5, client_id));
    let admission = handshake::admit(connect, &shard.shared.limits, String::new).unwrap();
    let opening = shard.with_flush_list(|list| {
        let now = Instant::now();
        Entrance { shared: &shard.shared, wire, peer: Peer::Local, envelope: &mut None, now, list }
            .open(admission)
    });
    match opening {
        Opening::Opened { mailbox, .. } => mailbox,
        Opening::Wait(_) => panic!("nobody else is there"),
    }
}

#[test]
fn connection_that_waits_for_an_older_one_has_no_turn_until_that_goes() {
    let mut reactor = Reactor::new().unwrap();
    let mut driver = Driver::new(shard(), Arc::new(AtomicUsize::new(1)));
    let (_older_client, older) = pair();
    let older = Arc::new(Wire::unheard(older));
    let mailbox = open(driver.shard(), &older);
    let (mut client, newer) = pair();
    let (socket, key) = (newer.into_socket(), driver.take_key());
    reactor.watch(&socket, key as usize, || unreachable!("it is no pipe")).unwrap();
    driver.serve(key, socket, listening(), Duration::ZERO);
    let mut bytes = Vec::new();
    let connect = Packet::Connect(Box::new(Connect::new(ProtocolVersion::V5, "c")));
    codec::encode(ProtocolVersion::V5, &connect, &mut bytes);
    client.write_all(&bytes).unwrap();
    while older.signals() & DETACHED == 0 {
        reactor.wait(DEADLINE, |key, readiness| driver.note(key, readiness)).unwrap();
        driver.take_turns();
    }
    for _ in 0..2 {
        driver.take_turns();
    }
    assert!(driver.may_sleep(), "it has a turn while it waits");
    driver.shard().with_flush_list(|list| {
        let shared = &driver.shard().shared;
        leave::detach(shared, list, &mailbox, &older, "gone", Instant::now());
    });
    assert!(!driver.may_sleep(), "it is not called");
    for _ in 0..4 {
        driver.take_turns();
    }
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut first = [0];
    client.read_exact(&mut first).unwrap();
    assert_eq!(first, [0x20], "no CONNACK");
}

#[test]
fn broken_connection_takes_no_message_from_its_session() {
    let shard = shard();
    let (client, accepted) = pair();
    let wire = Arc::new(Wire::unheard(accepted));
    let mailbox = open(&shard, &wire);
    drop(client);
    let mut tally = Tally::default();
    let deadline = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < deadline, "the system takes what nobody reads");
        let mut inner = mailbox.lock();
        let output = &mut inner.link.as_mut().unwrap().output;
        assert!(output.has_room());
        output.append(&Packet::Pingresp, &mut tally);
        if output.flush(&wire, false, &mut tally) == Flushed::Broken {
            assert_eq!((output.waiting(), output.has_room()), (0, false));
            break;
        }
    }
}

#[test]
fn shard_does_not_sleep_while_there_is_something_to_flush() {
    let mut driver = Driver::new(shard(), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..=SLICE)
        .map(|number| {
            let (client, accepted) = pair();
            let wire = Arc::new(Wire::unheard(accepted));
            (client, open_as(driver.shard(), &wire, &number.to_string()))
        })
        .collect();
    assert!(!driver.may_sleep(), "there are {} CONNACKs", clients.len());
    driver.take_turns();
    assert!(!driver.may_sleep(), "there is one more");
    driver.take_turns();
    assert!(driver.may_sleep());
}

#[test]
fn who_signals_after_the_answer_calls_again_and_nobody_before() {
    let calls = Arc::new(Calls::new(Waker::noop().clone()));
    let wire = Wire::new(pair().1.into_socket(), &calls, 7);
    let called = || {
        let mut taken = Vec::new();
        calls.take(&mut taken);
        taken
    };
    wire.signal(CHANGED);
    wire.signal(CLOSING);
    assert_eq!(called(), [Call::Signalled(7)]);
    wire.signal(DETACHED);
    assert_eq!(called(), [], "the first call is not answered");
    wire.answer();
    assert_eq!(wire.signals(), CHANGED | CLOSING | DETACHED);
    wire.signal(BLOCKED);
    assert_eq!(called(), [Call::Signalled(7)]);
}

#[test]
fn connection_is_small() {
    assert_eq!(size_of::<Connection>(), 144);
}
