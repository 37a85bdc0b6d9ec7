//! Looking at a store and copying it, while it goes on.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use parking_lot::Mutex;

use super::{OPTIONS, batch, message, open, publish, session};
use crate::{
    backup,
    command::{Command, Place, SessionNumber},
    conformance::{dice::Dice, submit, told},
    disk::{Disk, Fault, File, Folder, Scratch, SimulatedDisk},
    inspect,
    log::segment_names,
    store::{Amount, Batch, Contents, EmbeddedStore, Stored},
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
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.records, report.sessions, report.retained, report.plans), (33, 2, 1, 0));
    assert_eq!(report.queued, Amount { messages: 60, bytes: 12_000 });
    let (bytes, needed) = report.bytes();
    assert!(needed > 30 * 200 && needed < bytes, "{needed} of {bytes}");
    drop(disk.create("0000000000.log.damaged"));
    disk.damage("0000000000.log", 1000);
    let changes = disk.changes();
    let report = inspect(&disk).expect("the disk is well");
    assert_eq!(disk.changes(), changes);
    assert_eq!(report.losses.len(), 1);
    assert_eq!(report.put_aside, ["0000000000.log.damaged"]);
    assert!(!report.is_sound());
    assert_eq!(report.losses[0].to_string(), "0000000000.log: 1 records cannot be read");
}

#[test]
fn copy_of_a_store_has_what_it_has() {
    let scratch = Scratch::new();
    for seed in 0..5 {
        let disk = SimulatedDisk::default();
        let store = open(&disk);
        fill(&store, seed, 300);
        let folder = Folder::open(&scratch.0.join(seed.to_string())).expect("it can be made");
        let changes = disk.changes();
        let report = backup(&disk, &folder).expect("the disk is well");
        assert_eq!(disk.changes(), changes, "nothing is written where the store lies");
        assert!(report.is_sound() && report.segments.len() > 1, "{report:?}");
        assert_eq!(report, inspect(&disk).expect("the disk is well"));
        assert_eq!(kind(backup(&disk, &folder)), Some(ErrorKind::AlreadyExists));
        let (copy, losses) = EmbeddedStore::open(Arc::new(folder), OPTIONS).expect("it opens");
        assert_eq!(losses, []);
        assert_eq!(told(&copy), told(&store));
        // Both go on.
        fill(&store, seed + 100, 30);
        fill(&copy, seed + 100, 30);
    }
}

/// The store goes on, and cleans, between whatever the copying does.
#[test]
fn copy_of_a_busy_store_has_all_that_was_done_before() {
    let mut cleaned = 0;
    for seed in 0..200 {
        let disk = SimulatedDisk::default();
        let busy = Arc::new(Busy::new(&disk, seed));
        (0..60).for_each(|_| busy.work());
        let from = Beside { disk: disk.clone(), busy: Arc::clone(&busy) };
        let oldest = segment_names(&disk).expect("the disk is well")[0].clone();
        let before = busy.span();
        let copy = SimulatedDisk::default();
        let report = backup(&from, &copy).expect("the disks are well");
        let after = busy.span();
        assert!(report.is_sound(), "seed {seed}: {report:?}");
        cleaned += u32::from(segment_names(&copy).expect("the disk is well")[0] != oldest);
        let found = told(&open(&copy));
        let [one, two] = [1, 2].map(|number| numbers(&found, number));
        assert_eq!(one, two, "seed {seed}: half of a batch");
        let (first, end) = (one[0], one[one.len() - 1] + 1);
        assert_eq!(one, (first..end).collect::<Vec<u64>>(), "seed {seed}");
        assert!(before.start <= first && first <= after.start, "seed {seed}: from {first}");
        assert!(before.end <= end && end <= after.end, "seed {seed}: to {end}");
        assert_eq!(number(&found.retained["kept"]), end - 1, "seed {seed}");
    }
    assert!(cleaned > 20, "only {cleaned} copies met the cleaner");
}

/// As above, with whatever order the system's threads take.
#[test]
fn copy_beside_another_thread_has_all_that_was_done_before() {
    let scratch = Scratch::new();
    let disk = SimulatedDisk::default();
    let busy = Busy::new(&disk, 1);
    busy.work();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                busy.work();
            }
        });
        let _over = Over(&is_over);
        for round in 0..30 {
            let before = busy.span();
            let folder = Folder::open(&scratch.0.join(round.to_string())).expect("it can be made");
            let report = backup(&disk, &folder).expect("the disk is well");
            assert!(report.is_sound(), "{report:?}");
            let (copy, _) = EmbeddedStore::open(Arc::new(folder), OPTIONS).expect("it opens");
            let one = numbers(&told(&copy), 1);
            assert!(before.start <= one[0] && before.end <= one[one.len() - 1] + 1, "{before:?}");
        }
    });
}

#[test]
fn copy_that_fails_leaves_nothing_and_the_store_as_it_was() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    fill(&store, 1, 200);
    for failing in 0..12 {
        let copy = SimulatedDisk::default();
        copy.fail(failing..failing + 1, Fault::Full);
        assert!(backup(&disk, &copy).is_err(), "{failing}");
        assert_eq!(copy.names().expect("the disk is well"), Vec::<String>::new());
        backup(&disk, &copy).expect("it fails once");
    }
}

/// The power goes while a copy is made, or right behind.
#[test]
fn copy_that_was_cut_off_is_known_by_it() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    fill(&store, 1, 100);
    let whole = inspect(&disk).expect("the disk is well");
    for failing in 0..20 {
        let copy = SimulatedDisk::default();
        copy.fail(failing..u64::MAX, Fault::Broken);
        let made = backup(&disk, &copy).is_ok();
        for seed in 0..10 {
            let found = copy.after_power_cut(seed);
            match backup(&found, &SimulatedDisk::default()) {
                Ok(report) => assert_eq!(report, whole, "{failing}, seed {seed}"),
                Err(_) => assert!(!made, "{failing}, seed {seed}"),
            }
        }
    }
}

#[test]
fn copy_of_a_damaged_store_says_so() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    fill(&store, 1, 100);
    let names = segment_names(&disk).expect("the disk is well");
    disk.damage(&names[names.len() / 2], 1000);
    let copy = SimulatedDisk::default();
    let report = backup(&disk, &copy).expect("the disk is well");
    assert_eq!(report.losses.len(), 1);
    assert_eq!(report, inspect(&disk).expect("the disk is well"));
}

/// What can be copied is, and what is left out is told.
#[test]
fn copy_lacks_what_cannot_be_opened_and_says_so() {
    // It cannot be opened, or nobody tells how long it is.
    for refuse in [SimulatedDisk::shut, SimulatedDisk::mute] {
        check_left_out(refuse);
    }
}

#[track_caller]
fn check_left_out(refuse: fn(&SimulatedDisk, &str)) {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    fill(&store, 1, 100);
    drop(store);
    let names = segment_names(&disk).expect("the disk is well");
    let sound = inspect(&disk).expect("the disk is well");
    refuse(&disk, &names[1]);
    let copy = SimulatedDisk::default();
    let report = backup(&disk, &copy).expect("the rest can be read");
    assert_eq!(report.left_out, [(names[1].clone(), "the disk is broken".to_owned())]);
    assert!(!report.is_sound());
    assert_eq!(report.segments.len(), sound.segments.len() - 1);
    let copied = segment_names(&copy).expect("the disk is well");
    assert!(copied.len() == names.len() - 1 && !copied.contains(&names[1]), "{copied:?}");
    names.iter().for_each(|name| refuse(&disk, name));
    let copy = SimulatedDisk::default();
    assert_eq!(kind(backup(&disk, &copy)), Some(ErrorKind::Other));
    assert_eq!(copy.names().expect("the disk is well"), [""; 0]);
    // What a salvage has brought is copied under the name that it is to have.
    disk.mend();
    disk.rename(&names[1], &format!("{}.salvaging", names[1])).expect("it is there");
    disk.create(&format!("{}.damaged", names[1])).expect("the disk is well");
    let report = backup(&disk, &copy).expect("the disk is well");
    assert_eq!(report, sound);
    assert_eq!(segment_names(&copy).expect("the disk is well"), names);
}

#[test]
fn nothing_is_not_copied() {
    let (disk, copy) = (SimulatedDisk::default(), SimulatedDisk::default());
    assert_eq!(kind(backup(&disk, &copy)), Some(ErrorKind::NotFound));
    assert_eq!(copy.changes(), 0);
}

/// Ends the other thread, also if the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn number(stored: &Stored) -> u64 {
    let (number, _) = stored.message().packet.split_first_chunk().expect("it begins with one");
    u64::from_le_bytes(*number)
}

/// The numbers of the messages that wait for a session.
fn numbers(contents: &Contents, session: u64) -> Vec<u64> {
    contents.queues[&SessionNumber(session)].values().map(|(_, stored)| number(stored)).collect()
}

/// A store of two sessions that get each message, numbered one after the other, and release it.
#[derive(Debug)]
struct Busy {
    store: EmbeddedStore,
    work: Mutex<Work>,
}

#[derive(Debug)]
struct Work {
    dice: Dice,
    /// Where the messages lie that were not released; never empty once there was one.
    places: VecDeque<Place>,
    /// What was published, and done.
    published: u64,
}

impl Busy {
    fn new(disk: &SimulatedDisk, seed: u64) -> Self {
        let store = open(disk);
        store_all(&store, &[session(1), session(2)]);
        let work = Work { dice: Dice::new(seed), places: VecDeque::new(), published: 0 };
        Self { store, work: Mutex::new(work) }
    }

    /// What was published and not released.
    fn span(&self) -> Range<u64> {
        let work = self.work.lock();
        work.published - work.places.len() as u64..work.published
    }

    fn work(&self) {
        let mut work = self.work.lock();
        for _ in 0..work.dice.below(4) {
            let mut packet = work.published.to_le_bytes().to_vec();
            packet.resize(8 + work.dice.below(600) as usize, 0);
            let retain = Command::Retain { topic: "kept", message: message(&packet) };
            let commands = [publish(&packet, &[1, 2]), retain];
            let placed = store_all(&self.store, &commands);
            work.places.extend(placed);
            work.published += 1;
            let most = work.dice.below(60) as usize + 1;
            let Some(gone) = work.places.len().checked_sub(most + 1) else { continue };
            let to = work.places[gone];
            let release = |number| {
                let session = SessionNumber(number);
                Command::Release { session, from: Place(0), to }
            };
            store_all(&self.store, &[release(1), release(2)]);
            work.places.drain(..=gone);
        }
    }
}

/// A disk of a store that works whenever somebody looks.
#[derive(Debug)]
struct Beside {
    disk: SimulatedDisk,
    busy: Arc<Busy>,
}

#[derive(Debug)]
struct FileBeside {
    file: Arc<dyn File>,
    busy: Arc<Busy>,
}

impl Disk for Beside {
    fn names(&self) -> io::Result<Vec<String>> {
        self.busy.work();
        self.disk.names().inspect(|_| self.busy.work())
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn File>> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.busy.work();
        Ok(Arc::new(FileBeside { file: self.disk.open(name)?, busy: Arc::clone(&self.busy) }))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

impl File for FileBeside {
    fn size(&self) -> io::Result<u64> {
        self.file.size().inspect(|_| self.busy.work())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.busy.work();
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }
}
