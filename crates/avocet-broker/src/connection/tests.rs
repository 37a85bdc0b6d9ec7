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
    match ask(shard, wire, client_id, 1) {
        Opening::Opened { mailbox, .. } => mailbox,
        Opening::Wait(_) | Opening::Outrun => panic!("nobody else is there"),
    }
}

/// Asks for a session.
fn ask(shard: &Shard, wire: &Arc<Wire>, client_id: &str, rank: u64) -> Opening {
    let mut connect = Box::new(Connect::new(ProtocolVersion::V5, client_id));
    connect.session_expiry_interval = Some(100);
    let admission = handshake::admit(connect, &shard.shared.limits, String::new).unwrap();
    shard.with_flush_list(|list| {
        let (now, peer, envelope) = (Instant::now(), Peer::Local, &mut None);
        Entrance { shared: &shard.shared, wire, rank, peer, envelope, now, list }.open(admission)
    })
}

fn connect_bytes(client_id: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let connect = Packet::Connect(Box::new(Connect::new(ProtocolVersion::V5, client_id)));
    codec::encode(ProtocolVersion::V5, &connect, &mut bytes);
    bytes
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
    client.write_all(&connect_bytes("c")).unwrap();
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
fn newest_of_those_who_wait_gets_the_session_whoever_asks_first() {
    let shard = shard();
    let ends: Vec<_> = (0..3).map(|_| pair()).collect();
    let wires: Vec<_> =
        ends.into_iter().map(|(_, accepted)| Arc::new(Wire::unheard(accepted))).collect();
    let mailbox = open(&shard, &wires[0]);
    assert!(matches!(ask(&shard, &wires[1], "c", 2), Opening::Wait(_)));
    assert!(matches!(ask(&shard, &wires[2], "c", 3), Opening::Wait(_)));
    assert_eq!(wires[1].signals() & DETACHED, DETACHED, "it has been outrun");
    shard.with_flush_list(|list| {
        leave::detach(&shard.shared, list, &mailbox, &wires[0], "gone", Instant::now());
    });
    assert_eq!(wires[2].signals() & CHANGED, CHANGED);
    assert!(matches!(ask(&shard, &wires[1], "c", 2), Opening::Outrun));
    assert!(matches!(ask(&shard, &wires[2], "c", 3), Opening::Opened { .. }));
    assert!(matches!(ask(&shard, &wires[1], "c", 2), Opening::Outrun));
    assert_eq!(wires[2].signals() & DETACHED, 0);
}

#[test]
fn client_that_does_not_read_its_answers_gets_no_turns() {
    let mut reactor = Reactor::new().unwrap();
    let mut driver = Driver::new(shard(), Arc::new(AtomicUsize::new(1)));
    let (mut client, accepted) = pair();
    let (socket, key) = (accepted.into_socket(), driver.take_key());
    reactor.watch(&socket, key as usize, || unreachable!("it is no pipe")).unwrap();
    driver.serve(key, socket, listening(), Duration::ZERO);
    client.write_all(&connect_bytes("c")).unwrap();
    client.set_nonblocking(true).unwrap();
    let pings = [0xC0, 0].repeat(32 * 1024);
    let deadline = Instant::now() + DEADLINE;
    let mut idle = 0;
    while idle < 10 {
        assert!(Instant::now() < deadline, "it has turns for ever");
        let sent = client.write(&pings);
        reactor.wait(Duration::ZERO, |key, readiness| driver.note(key, readiness)).unwrap();
        driver.take_turns();
        idle = if sent.is_err() && driver.may_sleep() { idle + 1 } else { 0 };
    }
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
