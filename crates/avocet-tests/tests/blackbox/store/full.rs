//! A disk that is full: what cannot be kept is refused, what was kept is there, and all goes on
//! once there is space.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use avocet_tests::{
    Broker, Connect, Kind, Properties, Publish, Raw, Version, deadline,
    packet::{disconnect_with, pingreq, subscribe},
    process::SmallDisk,
    received::Message,
};

use super::{is_ready, wait_until};
use crate::listener::metric;

const V5: Version = Version::V5;
const NO_ROOM: u8 = 0x97;
const MESSAGE_BYTES: usize = 20_000;

fn large(topic: &str, number: usize) -> Publish {
    let payload = format!("{number:MESSAGE_BYTES$}");
    Publish::new(topic, payload).qos(1, 1)
}

/// Publishes until that is refused; the numbers of what was taken.
fn fill(raw: &mut Raw, from: usize) -> BTreeSet<usize> {
    let mut taken = BTreeSet::new();
    for number in from..from + 5_000 {
        raw.send(&large("a", number).bytes(V5));
        match raw.expect_puback(1).code {
            NO_ROOM => return taken,
            code => assert!(code < 0x80, "{code:#x}"),
        }
        taken.insert(number);
    }
    panic!("the disk is never full");
}

fn number(message: &Message) -> usize {
    message.text().trim().parse().expect("a payload is a number")
}

/// Takes what was taken over, and nothing else.
fn take(broker: &Broker, expected: &BTreeSet<usize>) {
    let mut alice = broker.connect(&Connect::resume(V5, "alice"));
    let mut seen = BTreeSet::new();
    while seen.len() < expected.len() {
        seen.insert(number(&alice.take_message()));
    }
    assert_eq!(seen, *expected);
    // So that the acknowledgements are read.
    alice.send(&pingreq());
    alice.receive();
    alice.disconnect();
}

fn wait_until_ready(broker: &Broker) {
    wait_until("there is space, and the broker does not see it", || is_ready(broker));
}

/// With something in the way, so that there is something to take away.
fn disk_with(ballast: &str, bytes: usize) -> Option<SmallDisk> {
    let disk = SmallDisk::mount(64)?;
    fs::write(disk.path().join(ballast), vec![1; bytes]).expect("there is room for it");
    Some(disk)
}

fn start(disk: &Path) -> Broker {
    Broker::start_in(&disk.join("data"), &[])
}

#[test]
fn full_disk_refuses_what_it_cannot_keep_and_all_goes_on_once_there_is_space() {
    let Some(disk) = disk_with("ballast", 40 << 20) else { return };
    let mut broker = start(disk.path());
    let mut alice = broker.connect(&Connect::resume(V5, "alice"));
    alice.subscribe("a", 1);
    alice.disconnect();
    let mut watcher = broker.client(V5, "watcher");
    watcher.subscribe("$SYS/brokers/+/alarms/#", 0);
    let mut carol = broker.connect(&Connect::resume(V5, "carol"));
    carol.subscribe("b", 0);
    let mut dave = broker.connect(&Connect::resume(V5, "dave"));
    dave.subscribe("d", 0);
    let mut bob = broker.client(V5, "bob");
    let mut taken = fill(&mut bob, 0);
    assert!(taken.len() > 100, "{}", taken.len());
    assert!(watcher.take_message().topic.ends_with("/alarms/store_failed/alert"));
    assert!(!is_ready(&broker));
    // Who cannot be told is cut off.
    let mut old = broker.client(Version::V311, "old");
    old.send(&large("a", 1).bytes(Version::V311));
    old.expect_close();
    // A session that is not stored goes on, and so does QoS 0.
    let mut memory = broker.client(V5, "memory");
    memory.subscribe("m", 1);
    bob.publish(&Publish::new("m", "1").qos(1, 2));
    bob.publish(&Publish::new("m", "0"));
    let messages = [memory.take_message(), memory.take_message()];
    assert_eq!(messages.map(|it| it.text()), ["1", "0"]);
    // Nobody gets what is refused, as often as it comes.
    memory.subscribe("a", 1);
    for _ in 0..3 {
        bob.send(&large("a", 1).bytes(V5));
        assert_eq!(bob.expect_puback(1).code, NO_ROOM);
    }
    memory.expect_nothing_before_pong();
    // One that would be stored is not let in.
    let stored = Connect::resume(V5, "new").bytes();
    assert_eq!(broker.refusal(V5, &stored), Some(0x88));
    // A subscription stands as it stood before it was to be another.
    const NO_LOCAL: u8 = 4;
    carol.send(&subscribe(V5, 7, &[("b", NO_LOCAL)]));
    let Kind::Suback(answer) = carol.receive().kind else { panic!("expected SUBACK") };
    assert_eq!(answer.codes, [NO_ROOM]);
    carol.send(&Publish::new("b", "mine").bytes(V5));
    carol.expect_message("b", "mine", 0);
    // Of a session that is over nothing stands again.
    let subscribers = metric(&broker, "avocet_subscribers");
    let mut last_words = subscribe(V5, 7, &[("d", NO_LOCAL)]);
    last_words.extend(disconnect_with(0, &Properties::new().four(0x11, 0)));
    dave.send(&last_words);
    while dave.receive_or_close().is_some() {}
    bob.send(&large("a", 1).bytes(V5));
    assert_eq!(bob.expect_puback(1).code, NO_ROOM);
    assert_eq!(metric(&broker, "avocet_subscribers"), subscribers - 1);
    // What is refused has no effect.
    for topic in ["kept", "$delayed/1/m"] {
        bob.send(&large(topic, 1).retain().bytes(V5));
        assert_eq!(bob.expect_puback(1).code, NO_ROOM, "{topic}");
    }
    memory.subscribe("kept", 1);
    deadline::let_pass(Duration::from_millis(1_500));
    memory.expect_nothing_before_pong();
    fs::remove_file(disk.path().join("ballast")).expect("it is there");
    wait_until_ready(&broker);
    assert!(watcher.take_message().topic.ends_with("/alarms/store_failed/clear"));
    for number in 10_000..10_010 {
        bob.publish(&large("a", number));
        taken.insert(number);
    }
    broker.kill();
    let broker = start(disk.path());
    take(&broker, &taken);
}

/// Nobody takes anything away but the clients, by taking their messages.
#[test]
fn full_disk_has_space_again_once_what_waits_is_taken() {
    let Some(disk) = disk_with("ballast", 30 << 20) else { return };
    let mut broker = start(disk.path());
    let short = Connect::resume(V5, "alice").properties(Properties::new().four(0x11, u32::MAX));
    let mut alice = broker.connect(&short);
    alice.subscribe("a", 1);
    alice.disconnect();
    for round in 0..3 {
        let taken = fill(&mut broker.client(V5, "bob"), round * 10_000);
        assert!(taken.len() > 300, "round {round}: {}", taken.len());
        if round == 1 {
            broker.kill();
            broker = start(disk.path());
        }
        take(&broker, &taken);
        wait_until_ready(&broker);
    }
}
