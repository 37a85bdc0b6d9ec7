//! What a store does beyond what all of them do: it survives power cuts, failing and bad disks, and
//! gives space back.

mod copies;
mod full;
mod harm;
mod opening;
mod volume;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc},
    time::Duration,
};

use parking_lot::Mutex;

use super::{Batch, Contents, EmbeddedStore, Figures, MemoryStore, Options, Refusal, Store};
use crate::{
    command::{Claim, Command, Message, Place, SessionNumber, Standing, Time},
    conformance::{self, Subject, apply, dice::Dice, submit, told},
    disk::{Disk, Fault, Folder, Scratch, SimulatedDisk, seeds},
    log::Durability,
};

const OPTIONS: Options = Options {
    segment_bytes: 4096,
    waiting_bytes_max: 1 << 20,
    durability: Durability::Fsync,
    cleaned_from_bytes: 12_288,
    retry_after: Duration::from_millis(500),
    close_patience: Duration::from_secs(60),
};

fn message(packet: &[u8]) -> Message<'_> {
    Message { received_at: Time(0), expires_at: None, flags: 1, packet }
}

fn open(disk: &SimulatedDisk) -> EmbeddedStore {
    open_with(disk, OPTIONS)
}

fn open_with(disk: &SimulatedDisk, options: Options) -> EmbeddedStore {
    let (store, losses) = EmbeddedStore::open(Arc::new(disk.clone()), options).expect("it opens");
    assert_eq!(losses, []);
    store
}

fn session(number: u64) -> Command<'static> {
    let standing = Standing { client_id: format!("c{number}"), ..Standing::default() };
    Command::Stand { session: SessionNumber(number), standing: Box::new(standing) }
}

fn publish<'a>(packet: &'a [u8], sessions: &[u64]) -> Command<'a> {
    let claim = |number: &u64| {
        let session = SessionNumber(*number);
        Claim { session, flags: 1, identifiers: Vec::new(), shared: None }
    };
    let claims = sessions.iter().map(claim).collect();
    Command::Publish { message: message(packet), claims, from: None }
}

fn batch(commands: &[Command<'_>]) -> Batch {
    let mut batch = Batch::refusable();
    commands.iter().for_each(|command| batch.push(command));
    batch
}

/// Bytes of the log's files. One that is gone by the time it is looked at has none.
fn bytes_on(disk: &SimulatedDisk) -> u64 {
    let names = disk.names().expect("the disk is well");
    let logs = names.iter().filter(|name| name.ends_with(".log"));
    logs.filter_map(|name| disk.open(name).and_then(|it| it.size()).ok()).sum()
}

/// The same, with the places that come after this one given anew: which a store gives to
/// what it has not reported, nobody knows.
fn with_places_after(mut contents: Contents, known: Place) -> Contents {
    let later = contents.queues.values().flat_map(|queue| queue.keys().copied());
    let later: BTreeSet<Place> = later.filter(|place| *place > known).collect();
    let anew: BTreeMap<Place, Place> = later.into_iter().zip((known.0 + 1..).map(Place)).collect();
    for queue in contents.queues.values_mut() {
        let places = std::mem::take(queue).into_iter();
        *queue = places.map(|(it, what)| (*anew.get(&it).unwrap_or(&it), what)).collect();
    }
    contents
}

/// A disk, and how a store on it is kept.
struct OnDisk {
    disk: Mutex<SimulatedDisk>,
    options: Options,
}

impl Subject for OnDisk {
    fn open(&self) -> Box<dyn Store> {
        Box::new(open_with(&self.disk.lock(), self.options))
    }

    fn fail(&self, is_failing: bool) -> bool {
        let disk = self.disk.lock();
        disk.mend();
        if is_failing {
            disk.fail(0..u64::MAX, Fault::Broken);
        }
        true
    }

    /// The power goes; or the process, if that is all that can be survived.
    fn crash(&self, store: Box<dyn Store>) -> bool {
        let mut disk = self.disk.lock();
        let found = match self.options.durability {
            Durability::Fsync => disk.after_power_cut(7),
            Durability::Os => disk.copy(),
        };
        *disk = found;
        drop(store);
        true
    }
}

#[test]
fn embedded_store_on_a_simulated_disk_conforms() {
    for durability in [Durability::Fsync, Durability::Os] {
        let options = Options { durability, ..OPTIONS };
        let subject = OnDisk { disk: Mutex::default(), options };
        conformance::all(&subject);
        assert!(conformance::what_is_refused_is_not_there(&subject));
        assert!(conformance::crash_leaves_what_was_reported(&subject));
    }
}

#[test]
fn embedded_store_in_a_folder_conforms() {
    let scratch = Scratch::new();
    let open = || -> Box<dyn Store> {
        let folder = Folder::open(&scratch.0).expect("a folder can be made");
        let opened = EmbeddedStore::open(Arc::new(folder), OPTIONS);
        Box::new(opened.expect("it opens").0)
    };
    conformance::all(&open);
}

#[test]
fn memory_store_conforms() {
    let store = MemoryStore::default();
    conformance::all(&|| -> Box<dyn Store> { Box::new(store.reopen()) });
}

/// Whatever was needed once and is not any more leaves the disk.
#[test]
fn space_is_given_back() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    let standing = Box::new(Standing { client_id: "a".to_owned(), ..Standing::default() });
    let mut batch = Batch::refusable();
    batch.push(&Command::Stand { session: SessionNumber(1), standing });
    let message = message(&[1; 500]);
    batch.push(&Command::Retain { topic: "kept", message });
    submit(&store, batch).expect("the disk is well");
    let mut places = Vec::new();
    for _ in 0..2000 {
        let mut batch = Batch::refusable();
        let session = SessionNumber(1);
        let claims = vec![Claim { session, flags: 1, identifiers: Vec::new(), shared: None }];
        batch.push(&Command::Publish { message, claims, from: None });
        if let Some(to) = places.iter().rev().nth(4) {
            batch.push(&Command::Release { session, from: Place(0), to: *to });
        }
        places.extend(submit(&store, batch).expect("the disk is well"));
    }
    let before = told(&store);
    assert_eq!(before.queues[&SessionNumber(1)].len(), 5);
    assert_eq!(before.retained.len(), 1);
    drop(store);
    let bytes = bytes_on(&disk);
    assert!(bytes < 5 * u64::from(OPTIONS.segment_bytes), "{bytes} bytes");
    assert_eq!(told(&open(&disk)), before);
}

/// The power goes while batches are stored and segments are cleaned: what was done is there, and of
/// what was on its way the whole batch, if anything.
///
/// Answers how often the disk was changed.
fn cut_power(seed: u64) -> u64 {
    let mut disk = SimulatedDisk::default();
    let mut dice = Dice::new(seed);
    let (mut model, mut changes) = (Contents::default(), 0);
    for life in 0..4 {
        let fault = if dice.below(2) == 0 { Fault::Broken } else { Fault::Full };
        // No thread, so that a seed that fails does so again.
        let opened = EmbeddedStore::begin(Arc::new(disk.clone()), OPTIONS, seed);
        let (store, mut writer, losses) = opened.expect("it opens");
        assert_eq!(losses, [], "seed {seed}, life {life}");
        let failing = dice.below(120);
        disk.fail(failing..u64::MAX, fault);
        // What may be found: all that was done, with all of the batch that was not, or without.
        let mut possible = Vec::new();
        for _ in 0..40 {
            let mut batch = Batch::refusable();
            dice.batch(|command| batch.push(command));
            let (sender, receiver) = mpsc::sync_channel(1);
            let done = Box::new(move |outcome| drop(sender.send(outcome)));
            store.submit(batch.clone(), done).expect("there is room");
            (0..=dice.below(3)).for_each(|_| writer.turn());
            if let Ok(places) = receiver.try_recv().expect("it has an outcome") {
                dice.place = places.last().copied().unwrap_or(dice.place);
                apply(&mut model, &batch, places);
                continue;
            }
            possible.push(model.clone());
            apply(&mut model, &batch, (dice.place.0 + 1..).map(Place));
            break;
        }
        possible.push(model);
        let possible = possible.into_iter().map(|it| with_places_after(it, dice.place));
        let possible: Vec<Contents> = possible.collect();
        writer.end();
        changes += disk.changes();
        disk = disk.after_power_cut(dice.below(u64::MAX));
        let found =
            told(&EmbeddedStore::begin(Arc::new(disk.clone()), OPTIONS, seed).expect("it opens").0);
        let known = with_places_after(found.clone(), dice.place);
        assert!(possible.contains(&known), "seed {seed}, life {life}: {found:#?}\n{possible:#?}");
        // Who was not stored begins anew.
        for number in &mut dice.sessions {
            *number += if found.sessions.contains_key(&SessionNumber(*number)) { 0 } else { 4 };
        }
        let last = found.queues.values().filter_map(|queue| queue.keys().next_back()).max();
        dice.place = dice.place.max(last.copied().unwrap_or_default());
        model = found;
    }
    changes
}

#[test]
fn power_cut_loses_nothing_that_was_done() {
    seeds("power cuts of the store", 300, 1).for_each(|seed| _ = cut_power(seed));
}

#[test]
fn power_cut_is_the_same_each_time() {
    for seed in 0..20 {
        assert_eq!(cut_power(seed), cut_power(seed));
    }
}

#[test]
fn disk_that_takes_nothing_refuses_what_may_be_refused_and_keeps_the_rest_until_it_does() {
    for fault in [Fault::Broken, Fault::Full] {
        let disk = SimulatedDisk::default();
        let store = open(&disk);
        assert_eq!(store.failure(), None);
        let message = message(b"x");
        let retain = |topic, mut batch: Batch| {
            batch.push(&Command::Retain { topic, message });
            batch
        };
        disk.fail(0..u64::MAX, fault);
        let refused = submit(&store, retain("refused", Batch::refusable()));
        assert!(matches!(refused, Err(Refusal::Failed(_))), "{refused:?}");
        assert!(store.failure().is_some());
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Box::new(move |outcome| drop(sender.send(outcome)));
        store.submit(retain("kept", Batch::default()), done).expect("it is not refused");
        let refused = submit(&store, retain("refused", Batch::refusable()));
        assert!(matches!(refused, Err(Refusal::Failed(_))), "{refused:?}");
        assert!(receiver.try_recv().is_err());
        disk.mend();
        assert_eq!(receiver.recv().expect("it has an outcome"), Ok(Vec::new()));
        assert_eq!(store.failure(), None);
        let before = told(&store);
        assert_eq!(before.retained.keys().collect::<Vec<_>>(), ["kept"]);
        drop(store);
        assert_eq!(told(&open(&disk)), before);
    }
}

/// What waits is compared with the queues wherever a store is asked for all it has.
#[test]
fn figures_are_those_of_the_files() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    assert_eq!(store.figures(), Figures::default());
    let mut time = Duration::ZERO;
    for number in 1..=30 {
        let commands = [session(number), publish(&[1; 300], &[number])];
        submit(&store, batch(&commands)).expect("the disk is well");
        let figures = store.figures();
        assert_eq!(figures.commits, number);
        assert!(figures.commit_time > time, "{figures:?}");
        time = figures.commit_time;
    }
    let figures = store.figures();
    let bytes = bytes_on(&disk);
    assert_eq!((figures.sessions, figures.queued.messages, figures.log_bytes), (30, 30, bytes));
    assert!(figures.segments > 2);
    assert!((bytes / 2..bytes).contains(&figures.needed_bytes), "{figures:?}");
    drop(store);
    let again = open(&disk).figures();
    assert_eq!(again, Figures { commits: 0, commit_time: Duration::ZERO, ..figures });
}
