//! What opening a store changes, and what it leaves as it is.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{OPTIONS, batch, open, open_with, publish, session};
use crate::{
    conformance::{submit, told},
    disk::{Disk, Fault, File, SimulatedDisk},
    inspect,
    log::{Durability, UnknownFormat},
    store::{EmbeddedStore, Options, Refusal, Store},
};

/// Every file, and what it has.
fn image(disk: &SimulatedDisk) -> BTreeMap<String, Vec<u8>> {
    let names = disk.names().expect("the disk is well");
    let bytes = |name: &String| {
        let file = disk.open(name).expect("it is there");
        let mut bytes = vec![0; file.size().expect("the disk is well") as usize];
        file.read_at(&mut bytes, 0).expect("the disk is well");
        bytes
    };
    names.into_iter().map(|name| (name.clone(), bytes(&name))).collect()
}

/// As a later version writes it.
fn make_newer(file: &dyn File) {
    let mut copy = [0; 36];
    for at in [0, 512] {
        file.read_at(&mut copy, at).expect("the disk is well");
        copy[8] = 2;
        let checksum = crc32fast::hash(&copy[..32]);
        copy[32..].copy_from_slice(&checksum.to_le_bytes());
        file.write_at(&copy, at).expect("the disk is well");
    }
}

#[test]
fn store_of_a_later_version_is_left_as_it_is() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    submit(&store, batch(&[session(1)])).expect("the disk is well");
    for _ in 0..20 {
        submit(&store, batch(&[publish(&[1; 500], &[1])])).expect("the disk is well");
    }
    drop(store);
    assert!(disk.names().expect("the disk is well").contains(&"closed".to_owned()));
    // All that an opening would take away, put elsewhere or make.
    disk.remove("reserve").expect("it is there");
    disk.rename("0000000000.log", "0000000000.log.salvaging").expect("it is there");
    disk.create("0000000000.log.damaged").expect("the disk is well");
    disk.create("0000000001.log.salvaging").expect("the disk is well");
    disk.damage("0000000001.log", 700);
    assert!(disk.names().expect("the disk is well").contains(&"queues.scratch".to_owned()));
    let names = disk.names().expect("the disk is well");
    let last = names.iter().rfind(|name| name.ends_with(".log")).expect("there is a log");
    make_newer(&*disk.open(last).expect("it is there"));
    let (before, changes) = (image(&disk), disk.changes());
    let refused = EmbeddedStore::open(Arc::new(disk.clone()), OPTIONS);
    assert!(UnknownFormat::is_cause(&refused.expect_err("it is of a later version")));
    assert_eq!((image(&disk), disk.changes()), (before, changes));
}

/// A disk that has failed is tried again at once.
const AT_ONCE: Options = Options { retry_after: Duration::ZERO, ..OPTIONS };
const CLOSED: &str = "closed";

fn is_closed(disk: &SimulatedDisk) -> bool {
    disk.names().expect("it can be read").iter().any(|name| name == CLOSED)
}

/// Nothing is stored while the next process would take it for all that was done, whatever kept the
/// file there when the store was opened.
#[test]
fn what_says_that_all_was_done_is_gone_before_anything_is_stored() {
    for durability in [Durability::Fsync, Durability::Os] {
        // Neither can it be removed, or it is and that is not known to last.
        (0..2).for_each(|failing| check_removed_first(failing, durability));
    }
}

#[track_caller]
fn check_removed_first(failing: u64, durability: Durability) {
    let options = Options { durability, ..AT_ONCE };
    let disk = SimulatedDisk::default();
    drop(open_with(&disk, options));
    assert!(is_closed(&disk));
    disk.fail(failing..u64::MAX, Fault::Broken);
    let opened = EmbeddedStore::begin(Arc::new(disk.clone()), options, 1);
    let (store, mut writer, _) = opened.expect("it opens");
    assert!(store.was_closed());
    let mut stored = |number| {
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Box::new(move |outcome| drop(sender.send(outcome)));
        store.submit(batch(&[session(number)]), done).expect("there is room");
        writer.turn();
        receiver.try_recv().expect("it has an outcome")
    };
    // It is the disk that keeps it, and then nothing else.
    assert!(matches!(stored(1), Err(Refusal::Failed(_))));
    disk.mend();
    disk.fail(0..1, Fault::Broken);
    assert!(matches!(stored(2), Err(Refusal::Failed(_))));
    disk.mend();
    assert_eq!(stored(3), Ok(Vec::new()));
    for seed in 0..20 {
        let found = disk.after_power_cut(seed);
        assert!(!is_closed(&found), "{durability:?}, {failing}, {seed}");
        if durability == Durability::Fsync {
            let sessions = told(&open(&found)).sessions;
            assert_eq!(sessions.keys().map(|it| it.0).collect::<Vec<_>>(), [3]);
        }
    }
}

/// Whichever look at the folder it is: either it is not opened, or the file is found.
#[test]
fn what_says_that_all_was_done_is_found_though_the_folder_cannot_always_be_listed() {
    for concealed in 0..6 {
        let disk = SimulatedDisk::default();
        drop(open(&disk));
        let before = image(&disk);
        disk.conceal(concealed..concealed + 1);
        let opened = EmbeddedStore::begin(Arc::new(disk.clone()), AT_ONCE, 1);
        disk.mend();
        let Ok((store, mut writer, _)) = opened else {
            assert_eq!(image(&disk), before, "{concealed}");
            continue;
        };
        assert!(store.was_closed(), "{concealed}");
        store.submit(batch(&[session(1)]), Box::new(|_| {})).expect("there is room");
        writer.turn();
        assert!(!is_closed(&disk), "{concealed}");
    }
}

/// A disk that takes nothing is known before anybody has something to store, and nothing is
/// recorded for that, whether it takes it or not.
#[test]
fn disk_is_tried_without_a_record() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    submit(&store, batch(&[session(1)])).expect("the disk is well");
    drop(store);
    let records = || inspect(&disk).expect("the disk is well").records;
    let before = records();
    let opened = EmbeddedStore::begin(Arc::new(disk.clone()), AT_ONCE, 1);
    let (store, mut writer, _) = opened.expect("it opens");
    writer.turn();
    disk.fail(0..u64::MAX, Fault::Broken);
    writer.turn();
    assert!(!store.is_failing(), "nobody has asked");
    store.try_disk();
    writer.turn();
    assert!(store.is_failing() && store.failure().is_some());
    assert_eq!(records(), before);
    disk.mend();
    writer.turn();
    assert!(!store.is_failing() && store.failure().is_none());
    store.try_disk();
    writer.turn();
    assert!(!store.is_failing());
    assert_eq!(records(), before);
}

/// Whoever runs the writer hears of it.
#[test]
fn disk_is_tried_while_the_writer_waits() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    let before = store.figures().commits;
    store.try_disk();
    let since = Instant::now();
    while store.figures().commits == before {
        assert!(since.elapsed() < Duration::from_secs(60), "the disk is not tried");
        thread::yield_now();
    }
}

/// Something was refused, so not all that was done is there.
#[test]
fn store_that_fails_when_it_is_closed_does_not_say_that_all_was_done() {
    let disk = SimulatedDisk::default();
    drop(open(&disk));
    disk.fail(0..u64::MAX, Fault::Broken);
    let opened = EmbeddedStore::open(Arc::new(disk.clone()), OPTIONS).expect("it opens");
    assert!(submit(&opened.0, batch(&[session(1)])).is_err());
    assert!(is_closed(&disk));
    disk.mend();
    drop(opened);
    assert!(!is_closed(&disk));
}

/// What does not wait for stable storage is there all the same once the store says so.
#[test]
fn power_cut_that_leaves_what_says_that_all_was_done_leaves_all() {
    for durability in [Durability::Fsync, Durability::Os] {
        let disk = SimulatedDisk::default();
        for life in 0..2 {
            let store = open_with(&disk, Options { durability, ..OPTIONS });
            submit(&store, batch(&[session(life), publish(&[1; 300], &[life])]))
                .expect("it is well");
            let before = told(&store);
            drop(store);
            for seed in 0..20 {
                let found = disk.after_power_cut(seed);
                assert!(is_closed(&found), "{durability:?}, {seed}");
                assert_eq!(told(&open(&found)), before, "{durability:?}, {seed}");
            }
        }
    }
}
