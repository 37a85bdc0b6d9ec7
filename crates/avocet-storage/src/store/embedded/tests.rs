//! Records that are not what memory says of them.

use std::{sync::Arc, time::Duration};

use super::{EmbeddedStore, Lies, Options};
use crate::{
    command::{Claim, Command, Message, Place, SessionNumber, Standing, Time},
    conformance::submit,
    disk::{Fault, SimulatedDisk},
    log::Position,
    store::{Amount, Batch, Queued, Store},
};

const SESSION: SessionNumber = SessionNumber(1);

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
