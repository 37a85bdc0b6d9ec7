use std::{
    collections::BTreeMap,
    env,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use avocet_mqtt::{Publish, QoS, ReasonCode, Transit};
use shuttle::{
    Config, MaxSteps, Runner,
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler},
    thread::{self, JoinHandle},
};

use super::{
    client::{CLIENT_ID, Client, Message, Received, payload},
    shard,
    stream::Stream,
};
use crate::{
    Options,
    broker::Shared,
    mailbox::{FlushList, Inner, Mailbox},
    publish::publish_message,
    wire::{BLOCKED, CLOSING},
};

/// Schedules of each kind for a scenario; `AVOCET_SCHEDULES` says otherwise.
const SCHEDULES: usize = 500;
const SEED: u64 = 0x00a7_0ce7;
/// Changes of priority in a schedule of the second kind.
const DEPTH: usize = 4;
/// A schedule that goes on for longer turns in circles.
const STEPS_MAX: usize = 100_000;
/// Connections run deep without optimisation.
const STACK_BYTES: usize = 512 * 1024;
const PUBLISHERS: u8 = 3;
const MESSAGES: u8 = 4;

#[test]
fn messages_arrive_in_order_each_once_and_none_is_forgotten() {
    explore(SCHEDULES, || {
        let world = World::new();
        let stream = Stream::new(thread_rng().gen_range(16..64));
        let shard = shard::serve(&world.shared, &stream);
        let mut client = world.enter(&stream, false);
        let threads = world.publish_and_look(MESSAGES, 2);
        let mut arrived = Arrived::default();
        while arrived.count < usize::from(PUBLISHERS * MESSAGES) {
            arrived.take(client.next());
        }
        client.disconnect();
        assert_eq!(client.next(), Received::End(0));
        join(threads);
        join([shard]);
    });
}

#[test]
fn last_word_of_a_connection_that_is_closed_is_disconnect() {
    explore(SCHEDULES, || {
        let world = World::new();
        let stream = Stream::new(thread_rng().gen_range(16..64));
        let shard = shard::serve(&world.shared, &stream);
        let mut client = world.enter(&stream, false);
        let threads = world.publish_and_look(MESSAGES, 2);
        let closing = world.spawn(|shared, mailbox| {
            let reason = ReasonCode::ServerShuttingDown;
            mailbox.lock().close(shared, mailbox, reason, "");
        });
        let mut arrived = Arrived::default();
        while !arrived.take(client.next()) {}
        assert_eq!(arrived.disconnect, Some(ReasonCode::ServerShuttingDown), "DISCONNECT is lost");
        assert_eq!(arrived.cut, 0, "a packet is cut");
        join(threads);
        join([closing, shard]);
    });
}

#[test]
fn client_that_breaks_the_protocol_is_told_before_the_end() {
    explore(SCHEDULES, || {
        let world = World::new();
        let stream = Stream::new(thread_rng().gen_range(16..64));
        let shard = shard::serve(&world.shared, &stream);
        let mut client = world.enter(&stream, false);
        let threads = world.publish_and_look(MESSAGES, 2);
        client.send_nonsense();
        let mut arrived = Arrived::default();
        while !arrived.take(client.next()) {}
        assert_eq!(arrived.disconnect, Some(ReasonCode::MalformedPacket), "DISCONNECT is lost");
        assert_eq!(arrived.cut, 0, "a packet is cut");
        join(threads);
        join([shard]);
    });
}

#[test]
fn takeover_loses_no_message_of_the_session_and_repeats_none_unmarked() {
    explore(SCHEDULES, || {
        let world = World::new();
        let older_stream = Stream::new(thread_rng().gen_range(16..64));
        let older_shard = shard::serve(&world.shared, &older_stream);
        let mut older = world.enter(&older_stream, true);
        let threads = world.publish_and_look(MESSAGES, 2);
        let older = thread::spawn(move || {
            let mut arrived = Arrived::default();
            while !arrived.take(older.next()) {}
            arrived
        });
        let stream = Stream::new(thread_rng().gen_range(16..64));
        let shard = shard::serve(&world.shared, &stream);
        let mut client = Client::connect(&stream, 100, true);
        assert_eq!(client.next(), Received::Connack);
        let client = thread::spawn(move || {
            let mut arrived = Arrived::default();
            loop {
                arrived.take(client.next());
                if arrived.newest.contains_key(&PUBLISHERS) {
                    client.disconnect();
                    assert_eq!(client.next(), Received::End(0));
                    return arrived;
                }
            }
        });
        join(threads);
        join([older_shard]);
        let older = older.join().expect("it reads to the end");
        // What comes after all others in the session.
        join([world.publish(PUBLISHERS, "m/last", QoS::AtLeastOnce, 1, 2)]);
        let newer = client.join().expect("it has all");
        join([shard]);
        let said = older.disconnect;
        assert!(matches!(said, None | Some(ReasonCode::SessionTakenOver)), "{said:?}");
        for publisher in 0..PUBLISHERS {
            for number in 0..MESSAGES {
                older.and_then(&newer, publisher, number);
            }
        }
    });
}

#[test]
fn connection_that_breaks_leaves_nobody_waiting() {
    explore(SCHEDULES, || {
        let world = World::new();
        let stream = Stream::new(thread_rng().gen_range(16..64));
        let shard = shard::serve(&world.shared, &stream);
        let mut client = world.enter(&stream, false);
        let threads = world.publish_and_look(MESSAGES, 2);
        let breaking = {
            let stream = Arc::clone(&stream);
            thread::spawn(move || stream.reset())
        };
        let mut arrived = Arrived::default();
        while !arrived.take(client.next()) {}
        assert_eq!(arrived.disconnect, None);
        join(threads);
        join([breaking, shard]);
        assert!(world.shared.registry.get(CLIENT_ID).is_none(), "its session is over");
    });
}

/// More than an output holds, and more than one flush may write.
#[test]
fn queue_longer_than_an_output_arrives_whole() {
    const LENGTH: usize = 100 * 1024;
    const LONG: u8 = 16;
    explore(SCHEDULES / 5, || {
        let world = World::new();
        let capacity = [LENGTH, 4 * LENGTH, usize::MAX][thread_rng().gen_range(0..3)];
        let stream = Stream::new(capacity);
        let shard = shard::serve(&world.shared, &stream);
        let mut client = world.enter(&stream, false);
        client.reads(4 * LENGTH);
        let threads = [
            world.publish(0, "m/0", QoS::AtMostOnce, LONG, LENGTH),
            world.publish(1, "m/1", QoS::AtLeastOnce, MESSAGES, LENGTH),
            world.look(),
        ];
        let mut arrived = Arrived::default();
        while arrived.count < usize::from(LONG + MESSAGES) {
            arrived.take(client.next());
        }
        client.disconnect();
        assert_eq!(client.next(), Received::End(0));
        join(threads);
        join([shard]);
    });
}

/// Runs a scenario under many schedules: random ones, then ones with few changes of priority
/// ("probabilistic concurrency testing"). `AVOCET_SCHEDULE` names one that failed.
fn explore(schedules: usize, scenario: impl Fn() + Clone + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    if let Ok(schedule) = env::var("AVOCET_SCHEDULE") {
        let scheduler = ReplayScheduler::new_from_encoded(&schedule);
        Runner::new(scheduler, config).run(scenario);
        return;
    }
    let asked = env::var("AVOCET_SCHEDULES").ok();
    let schedules = asked.map_or(schedules, |n| n.parse().expect("AVOCET_SCHEDULES is a number"));
    let random = RandomScheduler::new_from_seed(SEED, schedules);
    Runner::new(random, config.clone()).run(scenario.clone());
    let priorities = PctScheduler::new_from_seed(SEED, DEPTH, schedules);
    Runner::new(priorities, config).run(scenario);
}

/// A broker without listeners and timers.
struct World {
    shared: Arc<Shared>,
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // A panic in a connection's turn or in a flush is caught there.
            let panicked = &self.shared.metrics.connections_panicked;
            assert_eq!(panicked.load(Ordering::Relaxed), 0, "see above");
        }
    }
}

impl World {
    fn new() -> Self {
        Self { shared: Arc::new(Shared::new(Options::small())) }
    }

    /// A client that has its session and its subscriptions.
    fn enter(&self, stream: &Arc<Stream>, stays: bool) -> Client {
        let mut client = Client::connect(stream, 100, stays);
        client.subscribe();
        assert_eq!(client.next(), Received::Connack);
        assert_eq!(client.next(), Received::Suback);
        client
    }

    fn mailbox(&self) -> Mailbox {
        self.shared.registry.get(CLIENT_ID).expect("the client has its session")
    }

    fn spawn(&self, work: impl FnOnce(&Shared, &Mailbox) + Send + 'static) -> JoinHandle<()> {
        let (shared, mailbox) = (Arc::clone(&self.shared), self.mailbox());
        thread::spawn(move || work(&shared, &mailbox))
    }

    /// A thread for each of the publishers, past the session, at QoS 0 and at QoS 1, and one that
    /// looks whether all is in order.
    fn publish_and_look(&self, messages: u8, length: usize) -> [JoinHandle<()>; 4] {
        [
            self.publish(0, "f/0", QoS::AtMostOnce, messages, length),
            self.publish(1, "m/1", QoS::AtMostOnce, messages, length),
            self.publish(2, "m/2", QoS::AtLeastOnce, messages, length),
            self.look(),
        ]
    }

    /// Turns that leave some messages each, and write what they left.
    fn publish(
        &self,
        publisher: u8,
        topic: &'static str,
        qos: QoS,
        messages: u8,
        length: usize,
    ) -> JoinHandle<()> {
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            let now = Instant::now();
            let mut next = 0;
            while next < messages {
                let mut list = FlushList::default();
                let last = thread_rng().gen_range(next..messages);
                for number in next..=last {
                    let payload = payload(publisher, number, length);
                    let mut publish = Publish::new(topic, &payload);
                    publish.qos = qos;
                    let message = Arc::clone(Transit::new(&publish, now).share());
                    publish_message(&shared, &mut list, &message, None, now);
                }
                next = last + 1;
                list.flush(&shared, now);
            }
        })
    }

    /// Looks at the output between the turns of others.
    fn look(&self) -> JoinHandle<()> {
        self.spawn(|_, mailbox| {
            for _ in 0..5 {
                check(&mailbox.lock());
            }
        })
    }
}

/// What holds whenever nobody has the lock: an output with waiting bytes is somebody's business.
fn check(inner: &Inner) {
    let Some(link) = &inner.link else { return };
    let (output, signals) = (&link.output, link.wire.signals());
    let (waits, blocked) = (output.waiting() > 0, output.is_blocked());
    assert!(!waits || blocked || output.queued, "bytes wait, and are nobody's business");
    assert!(waits || !blocked, "blocked without anything to write");
    assert!(!blocked || signals & BLOCKED != 0, "blocked, and its owner does not know");
    let ending = signals & CLOSING != 0;
    assert!(blocked || ending || signals & BLOCKED == 0, "written, and its owner does not know");
}

/// What a client has got.
#[derive(Debug, Default)]
struct Arrived {
    count: usize,
    /// By publisher.
    newest: BTreeMap<u8, u8>,
    messages: BTreeMap<(u8, u8), Message>,
    disconnect: Option<ReasonCode>,
    cut: usize,
}

impl Arrived {
    /// Each publisher's messages come in order, each once, and nothing after DISCONNECT. True at
    /// the end of the stream.
    fn take(&mut self, received: Received) -> bool {
        let ended = self.disconnect.is_some();
        match received {
            Received::Message(message) => {
                assert!(!ended, "{message:?} after DISCONNECT");
                let Message { publisher, number, .. } = message;
                let newest = self.newest.insert(publisher, number);
                assert!(newest.is_none_or(|newest| newest < number), "{message:?} out of order");
                self.messages.insert((publisher, number), message);
                self.count += 1;
                false
            }
            Received::Disconnect(reason) => {
                assert!(!ended, "DISCONNECT twice");
                self.disconnect = Some(reason);
                false
            }
            Received::End(cut) => {
                self.cut = cut;
                true
            }
            Received::Connack | Received::Suback => panic!("{received:?} was not asked for"),
        }
    }

    /// What becomes of a message when another connection takes the session over.
    fn and_then(&self, newer: &Self, publisher: u8, number: u8) {
        let key = (publisher, number);
        match (self.messages.get(&key), newer.messages.get(&key)) {
            (Some(_), Some(again)) => assert!(again.dup, "{again:?} came before"),
            (None, None) => assert!(publisher != 2, "{key:?} is lost"),
            (Some(_), None) | (None, Some(_)) => {}
        }
    }
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("no thread fails");
    }
}
