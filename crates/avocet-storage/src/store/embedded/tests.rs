//! Records that are not what memory says of them.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use super::{EmbeddedStore, Lies, Options};
use crate::{
    command::{Claim, Command, Message, Place, SessionNumber, Standing, Time},
    conformance::{submit, told},
    disk::{Fault, SimulatedDisk},
    log::Position,
    store::{Amount, Batch, Contents, MemoryStore, Queued, Refusal, Store},
};

const SESSION: SessionNumber = SessionNumber(1);
const MESSAGE: Message<'_> =
    Message { received_at: Time(7), expires_at: None, flags: 1, packet: b"last" };

fn publish(session: SessionNumber) -> Command<'static> {
    let message = Message { received_at: Time(0), expires_at: None, flags: 1, packet: b"x" };
    let claims = vec![Claim { session, flags: 1, identifiers: Vec::new(), shared: None }];
    Command::Publish { message, claims, from: None }
}

fn store_one(store: &EmbeddedStore, command: &Command<'_>) -> Vec<Place> {
    let mut batch = Batch::refusable();
    batch.push(command);
    submit(store, batch).expect("the disk is well")
}

/// A record that is no message, one that is a message of another session, and one that is not
/// there: each of them is told, once, and what is released of them is gone.
#[test]
fn place_whose_record_says_something_else_is_told_as_unreadable() {
    let disk = SimulatedDisk::default();
    let (store, _) = EmbeddedStore::open(Arc::new(disk), Options::default()).expect("it opens");
    let standing = Box::<Standing>::default();
    store_one(&store, &Command::Stand { session: SESSION, standing: standing.clone() });
    store_one(&store, &Command::Stand { session: SessionNumber(2), standing });
    let first = store_one(&store, &publish(SESSION))[0];
    let others = store_one(&store, &publish(SessionNumber(2)))[0];
    let at = |state: &mut super::State, session, place| {
        state.claim(session, place).expect("it is read").expect("it waits")
    };
    let wrong = {
        let mut state = store.shared.state.lock();
        let elsewhere = at(&mut state, SessionNumber(2), others);
        let standing = Position { segment: elsewhere.segment, offset: 548 };
        let nowhere = Position { segment: 9, offset: 0 };
        [standing, elsewhere, nowhere].map(|at| {
            let number = others.0 + 10 + u64::from(at.segment + at.offset);
            state.apply(Lies { at, number, bytes: 30 }, &publish(SESSION));
            Place(number)
        })
    };
    let read = || {
        let mut found = Vec::new();
        let visit = &mut |place, _: &_, _: Message<'_>| found.push(place);
        let queued = store.queue(SESSION, Place(0), Amount::ALL, visit).expect("it can be read");
        (found, queued)
    };
    let mut unreadable = wrong.to_vec();
    unreadable.sort();
    assert_eq!(read(), (vec![first], Queued { has_more: false, unreadable: unreadable.clone() }));
    assert_eq!(store.unreadable(), 3);
    for place in unreadable {
        store_one(&store, &Command::Release { session: SESSION, from: place, to: place });
    }
    assert_eq!(read(), (vec![first], Queued::default()));
}

/// Whatever waits in memory is counted, and no more when it is stored.
#[test]
fn store_with_much_that_waits_is_burdened_until_it_is_stored() {
    let disk = SimulatedDisk::default();
    let options =
        Options { waiting_bytes_max: 100, retry_after: Duration::ZERO, ..Options::default() };
    let opened = EmbeddedStore::begin(Arc::new(disk.clone()), options, 1);
    let (store, mut writer, _) = opened.expect("it opens");
    disk.fail(0..u64::MAX, Fault::Broken);
    let mut batch = Batch::default();
    batch.push(&Command::Clear { topic: &"t".repeat(50) });
    assert!(!store.is_burdened());
    store.submit(batch.clone(), Box::new(|_| {})).expect("it is not refused");
    writer.turn();
    assert!(!store.is_burdened());
    store.submit(batch, Box::new(|_| {})).expect("it is not refused");
    assert!(store.is_burdened());
    writer.turn();
    assert!(store.is_burdened(), "the disk takes nothing");
    assert!(store.submit(Batch::refusable(), Box::new(|_| {})).is_err());
    disk.mend();
    writer.turn();
    assert!(!store.is_burdened());
}

/// Only what was closed in order knows all that was done.
#[test]
fn store_that_was_not_closed_in_order_says_so() {
    let disk = SimulatedDisk::default();
    let open = || {
        let opened = EmbeddedStore::open(Arc::new(disk.clone()), Options::default());
        opened.expect("it opens").0
    };
    let was_closed = |store: EmbeddedStore| store.was_closed();
    assert!(!was_closed(open()), "it is new");
    assert!(was_closed(open()));
    let store = open();
    // As a process does that is killed.
    let files = disk.clone();
    let killed = EmbeddedStore::open(Arc::new(files), Options::default()).expect("it opens").0;
    assert!(!killed.was_closed());
    std::mem::forget(store);
    disk.fail(0..u64::MAX, Fault::Full);
    let mut batch = Batch::refusable();
    batch.push(&Command::Clear { topic: "a" });
    assert!(submit(&killed, batch).is_err());
    drop(killed);
    disk.mend();
    assert!(!was_closed(open()), "something was refused");
}

/// What becomes of a batch, and of an empty one behind it, with groups that are small; and what is
/// there then.
fn with_small_groups(batch: Batch) -> (Result<Vec<Place>, Refusal>, Contents) {
    let disk = SimulatedDisk::default();
    let opened = EmbeddedStore::begin(Arc::new(disk.clone()), Options::default(), 1);
    let (store, mut writer, _) = opened.expect("it opens");
    writer.limit_groups(1000);
    let (sender, receiver) = mpsc::sync_channel(2);
    for (number, batch) in [(0, batch), (1, Batch::default())] {
        let sender = sender.clone();
        let done = Box::new(move |outcome| drop(sender.send((number, outcome))));
        store.submit(batch, done).expect("it is not refused");
    }
    writer.turn();
    let (first, outcome) = receiver.try_recv().expect("it has an outcome");
    assert_eq!((first, receiver.try_recv()), (0, Ok((1, Ok(Vec::new())))));
    assert_eq!(store.shared.inbound.lock().bytes, 0);
    let before = told(&store);
    drop((store, writer));
    let (store, losses) =
        EmbeddedStore::open(Arc::new(disk), Options::default()).expect("it opens");
    assert_eq!((told(&store), losses), (before.clone(), Vec::new()));
    (outcome, before)
}

fn retain<'a>(topic: &'a str, packet: &'a [u8]) -> Command<'a> {
    let message = Message { received_at: Time(0), expires_at: None, flags: 1, packet };
    Command::Retain { topic, message }
}

/// It is stored in several groups, and told once, with the places of all messages.
#[test]
fn batch_that_is_larger_than_a_group_and_may_not_be_refused_is_stored() {
    for is_refusable in [false, true] {
        let mut batch = if is_refusable { Batch::refusable() } else { Batch::default() };
        batch.push(&Command::Stand { session: SESSION, standing: Box::default() });
        (0..100).for_each(|_| batch.push(&publish(SESSION)));
        let (outcome, found) = with_small_groups(batch);
        if is_refusable {
            assert!(matches!(outcome, Err(Refusal::Failed(_))), "{outcome:?}");
            assert_eq!(found, Contents::default());
            continue;
        }
        let places = outcome.expect("it may not be refused");
        let waiting: Vec<Place> = found.queues[&SESSION].keys().copied().collect();
        assert_eq!((places.len(), &waiting), (100, &places));
    }
}

/// All others of its batch are stored, in their order, if the batch may not be refused; the batch
/// is told as failed all the same, since it has one outcome, and the reason is the command's.
#[test]
fn command_that_is_larger_than_a_group_is_refused_alone() {
    for is_refusable in [false, true] {
        let mut batch = if is_refusable { Batch::refusable() } else { Batch::default() };
        batch.push(&Command::Stand { session: SESSION, standing: Box::default() });
        batch.push(&retain("before", b"x"));
        (0..30).for_each(|_| batch.push(&publish(SESSION)));
        batch.push(&retain("large", &[1; 1000]));
        batch.push(&publish(SESSION));
        // Of two that are too large the first is told.
        batch.push(&retain("larger", &[1; 2000]));
        batch.push(&retain("behind", b"x"));
        batch.push(&Command::Retain { topic: "before", message: MESSAGE });
        let whole = batch.bytes();
        let (outcome, found) = with_small_groups(batch);
        let Err(Refusal::Failed(why)) = outcome else { panic!("it was stored: {outcome:?}") };
        if is_refusable {
            assert_eq!(why, format!("it has {whole} bytes, which is too large"));
            assert_eq!(found, Contents::default());
            continue;
        }
        assert!((1000..1100).any(|it| why == format!("it has {it} bytes, which is too large")));
        assert_eq!(found.queues[&SESSION].len(), 31);
        assert_eq!(found.retained.keys().collect::<Vec<_>>(), ["before", "behind"]);
        assert_eq!(found.retained["before"].message(), MESSAGE);
    }
}

/// Somebody who is told does not return, as a disk that stands still.
#[test]
fn closing_waits_no_longer_than_it_is_to() {
    let options = Options { close_patience: Duration::from_millis(1), ..Options::default() };
    let disk = SimulatedDisk::default();
    let store = EmbeddedStore::open(Arc::new(disk), options).expect("it opens").0;
    let (go, gone) = mpsc::sync_channel::<()>(0);
    let (begun, has_begun) = mpsc::sync_channel(1);
    let done = Box::new(move |_| {
        begun.send(()).expect("it is waited for");
        gone.recv().expect_err("nothing is sent");
    });
    store.submit(Batch::default(), done).expect("there is room");
    has_begun.recv().expect("it is told");
    store.close();
    let (sender, receiver) = mpsc::sync_channel(1);
    let done = Box::new(move |outcome| drop(sender.send(outcome)));
    store.submit(Batch::default(), done).expect("there is room");
    assert!(receiver.try_recv().is_err(), "it is not its turn");
    drop(store);
    drop(go);
    assert!(receiver.recv().expect("it has an outcome").is_err());
}

/// It waits neither for itself nor for who waits for it.
#[test]
fn whoever_is_told_may_close_the_store() {
    let disk = SimulatedDisk::default();
    let options = Options { close_patience: Duration::from_secs(60), ..Options::default() };
    let store = EmbeddedStore::open(Arc::new(disk), options).expect("it opens").0;
    let store: Arc<dyn Store> = Arc::new(store);
    let start = Instant::now();
    for store in [store, Arc::new(MemoryStore::default())] {
        let (sender, receiver) = mpsc::sync_channel(1);
        let closed = Arc::clone(&store);
        let done = Box::new(move |_| {
            closed.close();
            drop(closed);
            sender.send(()).expect("it is waited for");
        });
        store.submit(Batch::default(), done).expect("there is room");
        receiver.recv().expect("it is told");
        store.close();
        assert!(submit(&*store, Batch::refusable()).is_err());
    }
    assert!(start.elapsed() < options.close_patience / 10);
}
