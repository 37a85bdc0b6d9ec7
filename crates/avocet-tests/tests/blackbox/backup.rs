//! What is stored, as its operator looks at it, copies it and brings it back.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use avocet_tests::{
    Broker, Connect, Publish, Version,
    process::{Ended, Folder, run},
};

/// Runs a command on the data directory `data` of a folder.
fn on(folder: &Folder, data: &Path, words: &[&str]) -> Ended {
    let place = format!("node.data_dir={}", data.display());
    let words: Vec<&str> = words.iter().copied().chain(["--set", &place]).collect();
    run(folder, &[], &words)
}

#[track_caller]
fn check_good(ended: &Ended, words: &[&str]) {
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    assert!(words.iter().all(|word| ended.stdout.contains(word)), "no {words:?} in {ended:?}");
}

#[track_caller]
fn check_failure(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(words.iter().all(|word| ended.stderr.contains(word)), "no {words:?} in {ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// A retained message and one that waits, in a data directory that no broker has, and its folder.
/// Nothing if the broker under test is not Avocet.
fn stored() -> Option<(Folder, PathBuf)> {
    if Broker::is_foreign() {
        return None;
    }
    let folder = Folder::new();
    let data = folder.path().join("data");
    let mut broker = Broker::start_in(&data, &[]);
    let resume = Connect::resume(Version::V5, "alice");
    let mut alice = broker.connect(&resume);
    alice.subscribe("queue/#", 1);
    alice.disconnect();
    let mut bob = broker.client(Version::V5, "bob");
    bob.publish(&Publish::new("kept", "x").qos(1, 1).retain());
    bob.publish(&Publish::new("queue/a", "y").qos(1, 2));
    broker.kill();
    Some((folder, data))
}

/// One that cannot be opened: the rest is backed up, and one line says what is not.
#[test]
fn backup_without_a_file_says_so() {
    let Some((folder, data)) = stored() else { return };
    let file = data.join("store/0000000009.log");
    symlink("nowhere", &file).expect("a link can be made");
    let ended = on(&folder, &data, &["backup", "copy"]);
    check_failure(&ended, 1, &["the backup lacks 0000000009.log, which cannot be opened"]);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    let ended = on(&folder, &folder.path().join("other"), &["restore", "copy"]);
    check_good(&ended, &["retained messages  1", "queued messages    1"]);
}

#[test]
fn backup_of_a_running_broker_serves_what_was_acknowledged_before() {
    if Broker::is_foreign() {
        return;
    }
    let broker = Broker::start(&[]);
    let resume = Connect::resume(Version::V5, "alice");
    let mut alice = broker.connect(&resume);
    alice.subscribe("queue/#", 1);
    alice.disconnect();
    let mut bob = broker.client(Version::V5, "bob");
    bob.publish(&Publish::new("kept", "x").qos(1, 1).retain());
    let (acknowledged, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let folder = Folder::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let number = acknowledged.load(Ordering::Relaxed).to_string();
                bob.publish(&Publish::new("queue/n", number).qos(1, 1));
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _over = Over(&is_over);
        for round in 0..5 {
            let dir = format!("backups/{round}");
            let before = acknowledged.load(Ordering::Relaxed);
            check_good(&on(&folder, broker.data_dir(), &["backup", &dir]), &["backed up"]);
            let data = folder.path().join(format!("data{round}"));
            let restored = on(&folder, &data, &["restore", &dir]);
            check_good(
                &restored,
                &["restored", "retained messages  1\n", "sessions           1\n"],
            );
            let queued = queued(&restored);
            assert!(queued >= before, "{queued} of {before}");
            check_served(&data, queued);
        }
    });
    let checked = on(&folder, broker.data_dir(), &["store", "check"]);
    check_good(&checked, &["0000000000.log: sound", "all is well"]);
}

/// Ends the publisher, also if the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How many messages wait, as a command has told.
fn queued(ended: &Ended) -> u64 {
    let mut lines = ended.stdout.lines();
    let figure = lines.find_map(|line| line.strip_prefix("queued messages "));
    figure.and_then(|figure| figure.trim().parse().ok()).expect("it tells how many")
}

/// A broker on this folder serves as many messages as the command has told of.
fn check_served(data: &Path, messages: u64) {
    let broker = Broker::start_in(data, &[]);
    let (mut alice, connack) = broker.connect_with(&Connect::resume(Version::V5, "alice"));
    assert!(connack.session_present);
    for number in 0..messages {
        let message = alice.expect_message("queue/n", &number.to_string(), 1);
        alice.acknowledge(&message);
    }
    alice.expect_nothing_before_pong();
    let mut carol = broker.client(Version::V5, "carol");
    carol.subscribe("kept", 1);
    carol.expect_message("kept", "x", 1);
}

#[test]
fn store_is_looked_at_with_and_without_a_broker() {
    let Some((folder, data)) = stored() else { return };
    let before = fs::read_dir(data.join("store")).expect("it is there").count();
    let told = on(&folder, &data, &["store", "stats"]);
    check_good(&told, &["segments           1\n", "queued messages    1\n"]);
    let told = on(&folder, &data, &["store", "stats", "--json"]);
    check_good(&told, &["\"sessions\": 1", "\"retained_messages\": 1", "\"is_sound\": true"]);
    check_good(&on(&folder, &data, &["store", "check", "--json"]), &["\"is_sound\": true"]);
    assert_eq!(fs::read_dir(data.join("store")).expect("it is there").count(), before);
    let broker = Broker::start_in(&data, &[]);
    check_good(&on(&folder, &data, &["store", "check"]), &["all is well"]);
    check_good(&on(&folder, &data, &["store", "stats"]), &["retained messages  1\n"]);
    drop(broker);
}

#[test]
fn damage_is_told_and_not_restored_unless_asked_for() {
    let Some((folder, data)) = stored() else { return };
    let log = data.join("store/0000000000.log");
    let mut bytes = fs::read(&log).expect("it is there");
    // In the first record: what comes behind it shows that it was committed.
    bytes[570] ^= 0x55;
    fs::write(&log, bytes).expect("it is ours");
    let checked = on(&folder, &data, &["store", "check"]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.stdout.contains("0000000000.log: damaged"), "{checked:?}");
    let checked = on(&folder, &data, &["store", "check", "--json"]);
    assert!(checked.stdout.contains("\"is_sound\": false"), "{checked:?}");
    check_failure(&on(&folder, &data, &["backup", "copy"]), 1, &["only what can be read"]);
    let other = folder.path().join("other");
    check_failure(&on(&folder, &other, &["restore", "copy"]), 1, &["damaged"]);
    assert!(!other.join("store").exists());
    let restored = on(&folder, &other, &["restore", "--damaged", "copy"]);
    check_good(&restored, &["restored", "retained messages  1\n"]);
    drop(Broker::start_in(&other, &[]));
    let checked = on(&folder, &other, &["store", "check"]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.stdout.contains("0000000000.log.damaged: set aside"), "{checked:?}");
}

#[test]
fn restore_takes_nothing_away() {
    let Some((folder, data)) = stored() else { return };
    check_good(&on(&folder, &data, &["backup", "copy"]), &[]);
    let old = fs::read(data.join("store/0000000000.log")).expect("it is there");
    check_failure(&on(&folder, &data, &["restore", "copy"]), 1, &["--replace"]);
    for aside in ["store.replaced", "store.replaced-2"] {
        let restored = on(&folder, &data, &["restore", "--replace", "copy"]);
        check_good(&restored, &[aside]);
        assert_eq!(fs::read(data.join(aside).join("0000000000.log")).expect("it is there"), old);
    }
    let broker = Broker::start_in(&data, &[]);
    let refused = on(&folder, &data, &["restore", "--replace", "copy"]);
    check_failure(&refused, 1, &["in use by another process"]);
    drop(broker);
    fs::write(folder.path().join("copy/incomplete"), "").expect("it is ours");
    let refused = on(&folder, &data, &["restore", "--replace", "copy"]);
    check_failure(&refused, 1, &["not completed"]);
    assert!(data.join("store").exists() && !data.join("store.restoring").exists());
}

#[test]
fn wrong_use_is_told() {
    let folder = Folder::new();
    let data = folder.path().join("data");
    for words in [&["backup"][..], &["restore"], &["store"], &["store", "mend"]] {
        check_failure(&run(&folder, &[], words), 2, &["Usage"]);
    }
    let words = ["store", "check", "--set", "node.data=1"];
    check_failure(&run(&folder, &[], &words), 2, &["node.data"]);
    for words in [&["store", "check"][..], &["store", "stats"], &["backup", "copy"]] {
        check_failure(&on(&folder, &data, words), 1, &["there is no folder"]);
    }
    check_failure(&on(&folder, &data, &["restore", "absent"]), 1, &["absent"]);
    fs::create_dir_all(data.join("store")).expect("it is ours");
    check_failure(&on(&folder, &data, &["backup", "copy"]), 1, &["nothing in it"]);
    check_failure(&on(&folder, &data, &["backup", "data/store/copy"]), 2, &["goes elsewhere"]);
    assert!(!folder.path().join("copy").exists() && !data.join("store/copy").exists());
    check_failure(&on(&folder, &data, &["restore", "data/store"]), 1, &["no backup"]);
    fs::create_dir(folder.path().join("full")).expect("it is ours");
    folder.write("full/note", "mine");
    fs::write(data.join("store/0000000000.log"), "").expect("it is ours");
    check_failure(&on(&folder, &data, &["backup", "full"]), 1, &["something already"]);
    assert!(folder.path().join("full/note").exists());
}
