//! Looking at a store and copying it, while it goes on.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{OPTIONS, batch, bytes_on, message, open, open_with, publish, session};
use crate::{
    command::{Command, Place, SessionNumber},
    conformance::{dice::Dice, submit, told},
    disk::{Disk, Fault, File, Folder, Scratch, SimulatedDisk},
    inspect,
    store::{Amount, Batch, EmbeddedStore, Options, Store},
};

fn store_all(store: &EmbeddedStore, commands: &[Command<'_>]) -> Vec<Place> {
    submit(store, batch(commands)).expect("the disk is well")
}

fn fill(store: &EmbeddedStore, seed: u64, batches: usize) {
    let mut dice = Dice::new(seed);
    for _ in 0..batches {
        let mut batch = Batch::refusable();
        dice.batch(|command| batch.push(command));
        let places = submit(store, batch).expect("the disk is well");
        dice.place = places.last().copied().unwrap_or(dice.place);
    }
}

#[test]
fn inspection_tells_what_there_is_and_changes_nothing() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    let retain = Command::Retain { topic: "a", message: message(b"r") };
    store_all(&store, &[session(1), session(2), retain]);
    for _ in 0..30 {
        store_all(&store, &[publish(&[1; 200], &[1, 2])]);
    }
    drop(store);
    let changes = disk.changes();
    let report = inspect(&disk).expect("the disk is well");
    assert_eq!(disk.changes(), changes);
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.records, report.sessions, report.retained, report.plans), (33, 2, 1, 0));
    assert_eq!(report.queued, Amount { messages: 60, bytes: 12_000 });
    let (bytes, needed) = report.bytes();
    assert!(needed > 30 * 200 && needed < bytes, "{needed} of {bytes}");
    assert!(report.to_string().contains("queued messages: 60, 12000 bytes\n"), "{report}");
    drop(disk.create("0000000000.log.damaged"));
    disk.damage("0000000000.log", 1000);
    let changes = disk.changes();
    let report = inspect(&disk).expect("the disk is well");
    assert_eq!(disk.changes(), changes);
    assert_eq!(report.losses.len(), 1);
    assert_eq!(report.put_aside, ["0000000000.log.damaged"]);
    assert!(!report.is_sound());
    assert!(report.to_string().contains("damaged: 0000000000.log: 1 records"), "{report}");
}

#[test]
fn copy_of_a_store_has_what_it_has() {
    let scratch = Scratch::new();
    for seed in 0..5 {
        let disk = SimulatedDisk::default();
        let store = open(&disk);
        fill(&store, seed, 300);
        let folder = Folder::open(&scratch.0.join(seed.to_string())).expect("it can be made");
        let backup = store.backup(&folder).expect("the disk is well");
        assert!(backup.segments > 1 && backup.bytes > 4096, "{backup:?}");
        let again = store.backup(&folder).map_err(|error| error.kind());
        assert_eq!(again, Err(io::ErrorKind::AlreadyExists));
        let (copy, losses) = EmbeddedStore::open(Arc::new(folder), OPTIONS).expect("it opens");
        assert_eq!(losses, []);
        assert_eq!(told(&copy), told(&store));
        // Both go on.
        fill(&store, seed + 100, 30);
        fill(&copy, seed + 100, 30);
    }
}

/// What was stored before is in the copy, and of what is stored meanwhile whole batches, in order,
/// although much is cleaned.
#[test]
fn copy_of_a_busy_store_is_as_it_was_at_some_time() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    store_all(&store, &[session(1), session(2)]);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut places = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                // A message for one and for the other, together.
                let commands = [publish(&[1; 100], &[1]), publish(&[2; 100], &[2])];
                places.extend(store_all(&store, &commands));
                if let Some(to) = places.iter().rev().nth(40).copied() {
                    let release = |number| Command::Release {
                        session: SessionNumber(number),
                        from: Place(0),
                        to,
                    };
                    store_all(&store, &[release(1), release(2)]);
                }
            }
        });
        for _ in 0..30 {
            let waits = |number| store.queued(SessionNumber(number)).messages;
            let before = (waits(1), waits(2));
            let copy = SimulatedDisk::default();
            store.backup(&copy).expect("the disk is well");
            let found = told(&open(&copy));
            let [one, two] = [1, 2].map(|number| &found.queues[&SessionNumber(number)]);
            assert!(one.len().abs_diff(two.len()) <= 1, "{before:?}");
            let last = |queue: &std::collections::BTreeMap<Place, _>| {
                queue.keys().next_back().map_or(0, |place| place.0)
            };
            assert!(last(one) == 0 || last(two) == last(one) + 1, "half of a batch");
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

/// While a file is made on it, much is stored and released somewhere else.
#[derive(Debug)]
struct Slow<'a> {
    disk: SimulatedDisk,
    store: &'a EmbeddedStore,
}

impl Disk for Slow<'_> {
    fn names(&self) -> io::Result<Vec<String>> {
        self.disk.names()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        for _ in 0..100 {
            store_all(
                self.store,
                &[Command::Retain { topic: "churn", message: message(&[0; 300]) }],
            );
        }
        self.disk.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.disk.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
}

/// The cleaner waits for it, and goes on behind it.
#[test]
fn segments_stay_while_they_are_copied() {
    let disk = SimulatedDisk::default();
    let store = open_with(&disk, Options { retry_after: Duration::from_millis(1), ..OPTIONS });
    store_all(&store, &[session(1), publish(b"x", &[1])]);
    for _ in 0..30 {
        store_all(&store, &[Command::Retain { topic: "churn", message: message(&[0; 300]) }]);
    }
    let copy = SimulatedDisk::default();
    let slow = Slow { disk: copy.clone(), store: &store };
    store.backup(&slow).expect("the disk is well");
    let found = told(&open(&copy));
    assert_eq!(found.queues[&SessionNumber(1)].len(), 1);
    assert_eq!(found.retained.len(), 1);
    let start = Instant::now();
    while bytes_on(&disk) > 2 * OPTIONS.cleaned_from_bytes {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing is cleaned any more");
        store_all(&store, &[Command::Retain { topic: "churn", message: message(b"r") }]);
    }
}

#[test]
fn copy_that_fails_leaves_nothing_and_the_store_as_it_was() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    fill(&store, 1, 200);
    let before = told(&store);
    for failing in 0..6 {
        let copy = SimulatedDisk::default();
        copy.fail(failing..failing + 1, Fault::Full);
        assert!(store.backup(&copy).is_err());
        assert_eq!(copy.names().expect("the disk is well"), Vec::<String>::new());
        store.backup(&copy).expect("it fails once");
    }
    fill(&store, 2, 0);
    assert_eq!(told(&store), before);
}
