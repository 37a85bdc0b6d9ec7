//! A disk that has no space left: what makes room is stored all the same, what is not needed any
//! more gives its space back, and then all goes on.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use super::{OPTIONS, batch, bytes_on, message, open_with, publish, session, until_well};
use crate::{
    command::{Command, Place, SessionNumber},
    conformance::{dice::Dice, submit, told},
    disk::{Fault, SimulatedDisk},
    store::{Amount, Batch, EmbeddedStore, Options, Store},
};

/// A disk of this size.
const BYTES: usize = 120 * 512;
const KEPT: [&str; 3] = ["a", "b", "c"];

/// The disk is tried again soon.
fn open(disk: &SimulatedDisk) -> EmbeddedStore {
    open_with(disk, Options { retry_after: Duration::from_millis(1), ..OPTIONS })
}

fn limited() -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    disk.limit(BYTES);
    disk
}

fn begin(store: &EmbeddedStore) {
    let mut commands = vec![session(1), session(2)];
    commands
        .extend(KEPT.map(|topic| Command::Retain { topic, message: message(topic.as_bytes()) }));
    submit(store, batch(&commands)).expect("the disk is empty");
}

/// Publishes until that is refused; answers the places.
fn fill(store: &EmbeddedStore, sessions: &[u64]) -> Vec<Place> {
    let mut places = Vec::new();
    while let Ok(place) = submit(store, batch(&[publish(&[7; 100], sessions)])) {
        places.extend(place);
        assert!(places.len() < BYTES / 100, "the disk is never full");
    }
    places
}

/// Stores what may not be refused.
fn insist(store: &EmbeddedStore, command: &Command<'_>) {
    let (sender, receiver) = mpsc::sync_channel(1);
    let mut sure = Batch::default();
    sure.push(command);
    let done = Box::new(move |outcome| drop(sender.send(outcome)));
    store.submit(sure, done).expect("it is not refused");
    assert_eq!(receiver.recv().expect("it has an outcome"), Ok(Vec::new()));
}

#[test]
fn full_disk_is_used_again_once_what_was_stored_is_released() {
    let disk = limited();
    let store = open(&disk);
    begin(&store);
    for _ in 0..10 {
        let places = fill(&store, &[1]);
        assert!(places.len() > 20, "{}", places.len());
        assert!(store.failure().is_some());
        // One after the other, as a client acknowledges.
        for place in places {
            let session = SessionNumber(1);
            insist(&store, &Command::Release { session, from: place, to: place });
        }
        until_well(&store);
        assert!(bytes_on(&disk) < BYTES as u64 / 2, "{}", bytes_on(&disk));
    }
    drop(store);
    let found = told(&open(&disk));
    assert_eq!(found.retained.keys().collect::<Vec<_>>(), KEPT);
    assert_eq!(found.sessions.len(), 2);
}

/// What one session still needs is moved, as far as there is space for it.
#[test]
fn space_between_what_is_needed_is_given_back() {
    let disk = limited();
    let store = open(&disk);
    begin(&store);
    let kept = submit(&store, batch(&[publish(b"kept", &[2])])).expect("the disk is well");
    let places = fill(&store, &[1]);
    let (session, to) = (SessionNumber(1), places[places.len() - 1]);
    insist(&store, &Command::Release { session, from: Place(0), to });
    until_well(&store);
    let again = fill(&store, &[1]);
    assert!(again.len() > places.len() / 2, "{} after {}", again.len(), places.len());
    assert_eq!(told(&store).queues[&SessionNumber(2)].keys().collect::<Vec<_>>(), [&kept[0]]);
}

#[test]
fn disk_that_others_fill_is_used_again_once_they_do_not() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    begin(&store);
    disk.limit(0);
    assert_eq!(fill(&store, &[1]), []);
    disk.limit(BYTES);
    until_well(&store);
    submit(&store, batch(&[publish(b"x", &[1])])).expect("there is space again");
}

/// Whenever the power goes, what was stored is there, and the disk can be used.
#[test]
fn power_cut_on_a_full_disk_loses_nothing() {
    for seed in 0..30 {
        let mut dice = Dice::new(seed);
        let disk = limited();
        let options = Options { retry_after: Duration::ZERO, ..OPTIONS };
        let opened = EmbeddedStore::begin(Arc::new(disk.clone()), options, seed);
        let (store, mut writer, _) = opened.expect("it opens");
        let mut outcome = |batch: Batch| {
            let (sender, receiver) = mpsc::sync_channel(1);
            let done = Box::new(move |outcome| drop(sender.send(outcome)));
            store.submit(batch, done).expect("there is room");
            (0..4).for_each(|_| writer.turn());
            receiver.try_recv().ok()
        };
        let mut commands = vec![session(1), session(2)];
        commands.extend(KEPT.map(|topic| Command::Retain { topic, message: message(b"x") }));
        outcome(batch(&commands)).expect("it is told").expect("the disk is empty");
        disk.fail(dice.below(1500)..u64::MAX, Fault::Broken);
        let mut waiting = Vec::<Place>::new();
        for _ in 0..6 {
            while let Some(Ok(places)) = outcome(batch(&[publish(&[7; 100], &[1, 2])])) {
                waiting.extend(places);
            }
            let released = dice.below(waiting.len() as u64 + 1) as usize;
            for place in waiting.drain(..released) {
                let mut sure = Batch::default();
                let session = SessionNumber(1);
                sure.push(&Command::Release { session, from: place, to: place });
                let session = SessionNumber(2);
                sure.push(&Command::Release { session, from: place, to: place });
                // What is not stored may be there or not.
                outcome(sure);
            }
        }
        let found = disk.after_power_cut(seed);
        let store = open(&found);
        let told = told(&store);
        assert_eq!(told.retained.keys().collect::<Vec<_>>(), KEPT, "seed {seed}");
        for session in [1, 2] {
            let queue = told.queues.get(&SessionNumber(session));
            let missing = waiting.iter().find(|it| !queue.is_some_and(|all| all.contains_key(it)));
            assert_eq!(missing, None, "seed {seed}");
        }
        for session in [1, 2] {
            insist(&store, &Command::End { session: SessionNumber(session) });
        }
        assert_eq!(store.queued(SessionNumber(1)), Amount::default());
        until_well(&store);
    }
}
