use std::cell::Cell;

use avocet_mqtt::Connect;
use avocet_net::{Listener, Peer, Place};
use avocet_session::handshake;
use tokio::{net::TcpStream, runtime::LocalRuntime, task::spawn_local, time::timeout};

use super::*;
use crate::{ListenerOptions, Options, broker::Shared, metrics::Tally, shard};

const DEADLINE: Duration = Duration::from_secs(10);

fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(Options::small()))
}

fn listening() -> Arc<Listening> {
    Arc::new(Listening::small(ListenerOptions::small()))
}

/// Both ends of a connection.
async fn pair(listener: &mut Listener) -> (TcpStream, Arc<Wire>) {
    let address = listener.address().ip().unwrap();
    let client = TcpStream::connect(address);
    let (client, accepted) = tokio::join!(client, listener.accept());
    (client.unwrap(), Arc::new(Wire::new(accepted.unwrap().stream().unwrap().own().unwrap())))
}

/// An open session whose connection nobody serves, as on a shard that is busy with others.
fn open(shard: &Shard, wire: &Arc<Wire>) -> Mailbox {
    let connect = Box::new(Connect::new(ProtocolVersion::V5, "c"));
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

/// What the system does for a shard, with a look at how often a connection has a turn.
fn serve_counted(shard: &Rc<Shard>, wire: Arc<Wire>) -> Rc<Cell<usize>> {
    let turns = Rc::new(Cell::new(0));
    let mut serving = Box::pin(serve(Rc::clone(shard), wire, listening(), Duration::ZERO));
    let counted = {
        let turns = Rc::clone(&turns);
        poll_fn(move |cx| {
            turns.set(turns.get() + 1);
            serving.as_mut().poll(cx)
        })
    };
    drop(spawn_local(counted));
    drop(spawn_local(shard::run_flusher(Rc::clone(shard))));
    turns
}

#[test]
fn connection_that_waits_for_an_older_one_has_no_turn_until_that_goes() {
    LocalRuntime::new().unwrap().block_on(async {
        let mut listener = Listener::bind(&Place::tcp("127.0.0.1:0"), None).unwrap();
        let shard = Rc::new(Shard::new(shared(), 0));
        let (_older_client, older) = pair(&mut listener).await;
        let mailbox = open(&shard, &older);
        let (client, newer) = pair(&mut listener).await;
        let turns = serve_counted(&shard, newer);
        let mut bytes = Vec::new();
        let connect = Packet::Connect(Box::new(Connect::new(ProtocolVersion::V5, "c")));
        codec::encode(ProtocolVersion::V5, &connect, &mut bytes);
        client.writable().await.unwrap();
        assert_eq!(client.try_write(&bytes).unwrap(), bytes.len());
        let told = async {
            while older.signals() & DETACHED == 0 {
                yield_now().await;
            }
        };
        timeout(DEADLINE, told).await.expect("the older one is told to go");
        let before = turns.get();
        for _ in 0..1000 {
            yield_now().await;
        }
        assert!(turns.get() <= before + 2, "{} turns while it waits", turns.get() - before);
        shard.with_flush_list(|list| {
            leave::detach(&shard.shared, list, &mailbox, &older, "gone", Instant::now());
        });
        timeout(DEADLINE, client.readable()).await.expect("it is woken").unwrap();
        let mut first = [0];
        assert_eq!((client.try_read(&mut first).unwrap(), first), (1, [0x20]), "no CONNACK");
    });
}

#[test]
fn broken_connection_takes_no_message_from_its_session() {
    LocalRuntime::new().unwrap().block_on(async {
        let mut listener = Listener::bind(&Place::tcp("127.0.0.1:0"), None).unwrap();
        let shard = Rc::new(Shard::new(shared(), 0));
        let (client, wire) = pair(&mut listener).await;
        let mailbox = open(&shard, &wire);
        drop(client);
        let broken = async {
            let mut tally = Tally::default();
            let mut write = || {
                let mut inner = mailbox.lock();
                let output = &mut inner.link.as_mut().unwrap().output;
                assert!(output.has_room());
                output.append(&Packet::Pingresp, &mut tally);
                let flushed = output.flush(&wire, false, &mut tally);
                (flushed == Flushed::Broken).then(|| (output.waiting(), output.has_room()))
            };
            loop {
                match write() {
                    Some(found) => return found,
                    None => yield_now().await,
                }
            }
        };
        assert_eq!(timeout(DEADLINE, broken).await, Ok((0, false)));
    });
}
