//! What outlives the broker: it is killed with SIGKILL, or stopped, and started again on the same
//! folder.
//!
//! - [`session`]: sessions, their subscriptions and their wills;
//! - [`message`]: messages that wait, are retained or delayed, and open handshakes;
//! - [`queue`]: thousands of messages that wait;
//! - [`shared`]: members of shared subscriptions that come and go;
//! - [`damage`]: files that are not as the broker left them;
//! - [`full`]: a disk that has no space left;
//! - [`start`]: disks that cannot be read or written to when it starts;
//! - [`foreign`]: clients that nobody here wrote;
//! - here is what does not outlive it.

mod damage;
mod foreign;
mod full;
mod message;
mod queue;
mod session;
mod shared;
mod start;

use std::{ops::Deref, path::PathBuf};

use avocet_tests::{
    Broker, Connect, Publish, Raw, Version,
    process::{Folder, run},
    received::Message,
};

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
