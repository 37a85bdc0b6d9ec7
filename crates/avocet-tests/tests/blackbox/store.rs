//! What outlives the broker: it is killed with SIGKILL, or stopped, and started again on the same
//! folder.
//!
//! - [`session`]: sessions, their subscriptions and their wills;
//! - [`message`]: messages that wait, are retained or delayed, and open handshakes;
//! - [`queue`]: thousands of messages that wait;
//! - [`order`]: they come in order, through all that may happen;
//! - [`expiry`]: what has expired leaves the disk by itself;
//! - [`figures`]: what is told of it;
//! - [`turns`]: who has much does not keep others waiting;
//! - [`shared`]: members of shared subscriptions that come and go;
//! - [`damage`]: files that are not as the broker left them;
//! - [`full`]: a disk that has no space left;
//! - [`start`]: disks that cannot be read or written to when it starts;
//! - [`foreign`]: clients that nobody here wrote;
//! - here is what does not outlive it.

mod damage;
mod expiry;
mod figures;
mod foreign;
mod full;
mod message;
mod order;
mod queue;
mod session;
mod shared;
mod start;
mod turns;

use std::{ops::Deref, path::PathBuf};

use avocet_tests::{
    Broker, Connect, Properties, Publish, Raw, Version, Will, deadline,
    process::{Folder, run},
    received::Message,
};

use crate::{http::Asking, listener::metrics};

/// What the broker has said at the level of an error until it was ready.
fn errors(broker: &Broker) -> Vec<String> {
    // The log is read by another thread than the line that says that it is.
    let is_read = || broker.log().contains("Listening").then_some(());
    assert_eq!(deadline::poll(deadline::ANSWER, is_read), Some(()), "{}", broker.log());
    broker.log().lines().filter(|line| line.contains(" ERROR ")).map(str::to_owned).collect()
}

fn is_ready(broker: &Broker) -> bool {
    Asking::open(broker).ask("/readyz") == Some(200)
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let so = deadline::poll(deadline::SCENARIO, || Some(()).filter(|()| is_so()));
    assert!(so.is_some(), "{what}");
}

/// How a broker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kill,
    Stop,
}

/// A broker on a folder that outlives it.
struct Node {
    broker: Broker,
    settings: Vec<String>,
    folder: Folder,
}

impl Deref for Node {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        &self.broker
    }
}

impl Node {
    fn start(settings: &[&str]) -> Self {
        let folder = Folder::new();
        let broker = Broker::start_in(&folder.path().join("data"), settings);
        let settings = settings.iter().map(ToString::to_string).collect();
        Self { broker, settings, folder }
    }

    fn end(&mut self, end: End) {
        match end {
            End::Kill => self.broker.kill(),
            End::Stop => {
                self.broker.terminate();
                assert_eq!(self.broker.exit_code(), Some(0));
            }
        }
    }

    /// To be called when the one before has ended.
    fn begin(&mut self) {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        self.broker = Broker::start_in(&self.folder.path().join("data"), &settings);
    }

    fn restart(&mut self, end: End) {
        self.end(end);
        self.begin();
    }

    /// The client's session, which has to be there.
    #[track_caller]
    fn resume(&self, version: Version, client_id: &str) -> Raw {
        let (raw, connack) = self.connect_with(&Connect::resume(version, client_id));
        assert!(connack.session_present, "{client_id} has no session");
        raw
    }

    /// A client with this subscription that is away.
    fn leave_subscribed(&self, version: Version, client_id: &str, filter: &str) {
        let mut raw = self.connect(&Connect::resume(version, client_id));
        raw.subscribe(filter, 2);
        raw.disconnect();
    }

    /// Returns when what was done before is stored, also if nobody was told so: a CONNACK and the
    /// end of a connection do not wait for the store, and SUBACK comes behind them.
    #[track_caller]
    fn settle(&self, version: Version) {
        self.leave_subscribed(version, "last", "last");
    }

    /// Acknowledges and returns the payloads of all that waits for a client.
    #[track_caller]
    fn take_texts(&self, raw: &mut Raw) -> Vec<String> {
        texts(&raw.take_all(&mut self.client(raw.version(), "barrier")))
    }

    /// What `avocet store stats` tells under a name, of a broker that has ended.
    #[track_caller]
    fn stored(&self, name: &str) -> u64 {
        let data_dir = format!("node.data_dir={}", self.folder.path().join("data").display());
        let told = run(&self.folder, &[], &["store", "stats", "--set", &data_dir]);
        let number =
            told.stdout.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        number.unwrap_or_else(|| panic!("no {name}: {told:?}"))
    }

    /// All bytes of the store's log.
    fn log_bytes(&self) -> Vec<u8> {
        let read = |file| std::fs::read(file).expect("a file of the log is there");
        self.files().iter().flat_map(read).collect()
    }

    /// Waits until so many messages were dropped for this reason.
    #[track_caller]
    fn expect_dropped(&self, reason: &str, count: u64) {
        self.expect_metric(&format!("avocet_messages_dropped_total{{reason=\"{reason}\"}}"), count);
    }

    /// Waits, longer than the broker takes to look for what has expired.
    #[track_caller]
    fn expect_metric(&self, name: &str, number: u64) {
        let line = format!("{name} {number}");
        let is_told = || metrics(self).lines().any(|it| it == line).then_some(());
        let told = deadline::poll(deadline::SCENARIO, is_told);
        assert!(told.is_some(), "no {line:?} in\n{}", metrics(self));
    }

    /// The files of the store's log, the last one last.
    fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join("data/store")) else {
            return Vec::new();
        };
        let mut files: Vec<_> =
            entries.map(|entry| entry.expect("the folder is readable").path()).collect();
        files.retain(|file| file.extension().is_some_and(|it| it == "log"));
        files.sort();
        files
    }
}

fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(Message::text).collect()
}

/// A scenario for both versions that have stored sessions with all of their answers, and for both
/// ends. The last one named in a failing test's output is at fault.
fn each_end(scenario: impl Fn(Version, End)) {
    for version in [Version::V311, Version::V5] {
        for end in [End::Kill, End::Stop] {
            #[expect(clippy::print_stderr, reason = "shown by the test runner for a failed test")]
            {
                eprintln!("--- MQTT {version}, {end:?}");
            }
            scenario(version, end);
        }
    }
}

#[test]
fn clean_session_leaves_nothing_behind() {
    each_end(|version, end| {
        let mut node = Node::start(&[]);
        let mut alice = node.client(version, "alice");
        alice.subscribe("a", 1);
        node.leave_subscribed(version, "carol", "a");
        node.client(version, "carol").disconnect();
        let mut bob = node.client(version, "bob");
        bob.publish(&Publish::new("a", "x").qos(1, 1));
        alice.expect_message("a", "x", 1);
        node.settle(version);
        node.restart(end);
        for name in ["alice", "carol"] {
            let (mut raw, connack) = node.connect_with(&Connect::resume(version, name));
            assert!(!connack.session_present, "{name}");
            node.client(version, "bob").publish(&Publish::new("a", "y").qos(1, 1));
            assert_eq!(node.take_texts(&mut raw), [""; 0], "{name}");
        }
    });
}

/// What sessions without expiry do is nothing for the disk, whatever it is: of all bytes that were
/// there none changes and none is added.
#[test]
fn sessions_without_expiry_write_nothing() {
    for version in [Version::V311, Version::V5] {
        let node = Node::start(&[]);
        // Stays, so that nothing is to be written of her when what is stored is looked at.
        let mut fence = node.connect(&Connect::resume(version, "fence"));
        fence.subscribe("fence", 1);
        let before = node.log_bytes();
        assert!(!before.is_empty());
        let mut alice = node.client(version, "unwritten-alice");
        alice.subscribe("unwritten/+", 2);
        alice.subscribe("$share/g/unwritten-work", 2);
        let mut carol = node.client(version, "unwritten-carol");
        carol.subscribe("$share/g/unwritten-work", 1);
        for (number, qos) in [(1, 0), (2, 1), (3, 2)].repeat(20) {
            let will = Will::new("unwritten/will", "unwritten").qos(qos);
            let connect = Connect::new(version, format!("unwritten-bob-{qos}")).will(will);
            let mut bob = node.connect(&connect);
            for topic in ["unwritten/a", "unwritten-work", "unwritten-for-nobody"] {
                bob.publish(&Publish::new(topic, "unwritten").qos(qos, number));
            }
            bob.cut();
        }
        // All but three have gone, with their wills.
        node.expect_metric("avocet_connections", 3);
        let mut dave = node.client(version, "unwritten-dave");
        let (hers, theirs) = (alice.take_all(&mut dave), carol.take_all(&mut dave));
        let count = |topic| hers.iter().chain(&theirs).filter(|it| it.topic == topic).count();
        let topics = ["unwritten/a", "unwritten-work", "unwritten/will"];
        assert_eq!(topics.map(count), [60; 3]);
        alice.unsubscribe("unwritten/+");
        alice.disconnect();
        carol.cut();
        assert!(node.log_bytes() == before, "MQTT {version}: the log has changed");
        // What is stored late would be there before this is.
        fence.subscribe("fence", 2);
        let after = node.log_bytes();
        assert!(after.len() > before.len() && after.starts_with(&before));
        let has_word = after.windows(9).any(|bytes| bytes == b"unwritten");
        assert!(!has_word, "MQTT {version}: something of it is in the log");
    }
}

/// What was acknowledged is with the system, which outlives the broker.
#[test]
fn with_durability_os_what_was_acknowledged_outlives_a_kill() {
    for version in [Version::V311, Version::V5] {
        let mut node = Node::start(&["session.durability=os"]);
        node.leave_subscribed(version, "alice", "a");
        let mut expected = Vec::new();
        for round in 0..5 {
            let mut bob = node.client(version, "bob");
            for id in 1..=50 {
                let (qos, text) = (1 + u8::from(id > 25), format!("{round} {id}"));
                bob.publish(&Publish::new("a", &text).qos(qos, id));
                expected.push((qos, text));
            }
            bob.publish(&Publish::new("kept", round.to_string()).qos(1, 51).retain());
            node.restart(End::Kill);
        }
        let mut alice = node.resume(version, "alice");
        let mut messages = alice.take_all(&mut node.client(version, "bob"));
        // Of two QoS there is no order.
        messages.sort_by_key(|message| message.qos);
        expected.sort_by_key(|(qos, _)| *qos);
        let expected: Vec<String> = expected.into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts(&messages), expected);
        alice.subscribe("kept", 1);
        alice.expect_message("kept", "4", 1);
    }
}

/// Sessions with an expiry live in memory: what waits for them comes, as long as the broker lives.
#[test]
fn with_durability_memory_a_session_outlives_its_connection_and_not_its_expiry() {
    let node = Node::start(&["session.durability=memory"]);
    for version in [Version::V311, Version::V5] {
        node.leave_subscribed(version, "alice", "a");
        let mut bob = node.client(version, "bob");
        bob.publish(&Publish::new("a", "x").qos(1, 1));
        bob.publish(&Publish::new("a", "y").qos(2, 2));
        let mut alice = node.resume(version, "alice");
        assert_eq!(node.take_texts(&mut alice), ["x", "y"]);
        // Else its last PUBCOMP may come behind its next connection, which then gets PUBREL.
        alice.disconnect();
    }
    let mut short = Connect::resume(Version::V5, "carol");
    short.properties = Properties::new().four(0x11, 1);
    let mut carol = node.connect(&short);
    carol.subscribe("a", 1);
    carol.disconnect();
    node.client(Version::V5, "bob").publish(&Publish::new("a", "z").qos(1, 1));
    node.expect_dropped("session_ended", 1);
    let (_, connack) = node.connect_with(&short);
    assert!(!connack.session_present);
    assert_eq!(node.files(), [""; 0].map(PathBuf::from));
}

#[test]
fn with_durability_memory_nothing_is_written_and_nothing_outlives_the_broker() {
    each_end(|version, end| {
        let mut node = Node::start(&["session.durability=memory"]);
        node.leave_subscribed(version, "alice", "a");
        let mut bob = node.client(version, "bob");
        bob.publish(&Publish::new("a", "x").qos(1, 1).retain());
        bob.publish(&Publish::new("$delayed/1/a", "x").qos(1, 1));
        assert_eq!(node.files(), [""; 0].map(PathBuf::from));
        node.restart(end);
        let (mut alice, connack) = node.connect_with(&Connect::resume(version, "alice"));
        assert!(!connack.session_present);
        alice.subscribe("a", 1);
        assert_eq!(node.take_texts(&mut alice), [""; 0]);
        assert_eq!(node.files(), [""; 0].map(PathBuf::from));
    });
}

#[test]
fn second_broker_on_the_same_folder_is_refused() {
    let node = Node::start(&[]);
    node.leave_subscribed(Version::V5, "alice", "a");
    let data_dir = format!("node.data_dir={}", node.data_dir().display());
    let listeners = ["listeners.tcp.default.bind=127.0.0.1:0", "http.bind=127.0.0.1:0"];
    let words = ["start", "--set", &data_dir, "--set", listeners[0], "--set", listeners[1]];
    let ended = run(&node.folder, &[], &words);
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.contains("is in use by another process"), "{ended:?}");
    // The first one goes on.
    let mut bob = node.client(Version::V5, "bob");
    bob.publish(&Publish::new("a", "x").qos(1, 1));
    assert_eq!(node.take_texts(&mut node.resume(Version::V5, "alice")), ["x"]);
}
