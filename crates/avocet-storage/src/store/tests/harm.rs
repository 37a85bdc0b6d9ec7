//! Disks that fail, bytes that cannot be read, and what is stored meanwhile.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use super::{OPTIONS, batch, bytes_on, message, open, open_with, publish, session};
use crate::{
    command::{Command, Message, Place, SessionNumber, Standing, Time},
    conformance::{apply, dice::Dice, submit, told},
    disk::{Disk, Fault, SimulatedDisk},
    log::Loss,
    store::{Amount, Batch, Contents, EmbeddedStore, FailedStore, Options, Queued, Refusal, Store},
};

const FOREVER: std::ops::Range<u64> = 0..u64::MAX;
const PATIENCE: Duration = Duration::from_secs(30);

fn store_all(store: &EmbeddedStore, commands: &[Command<'_>]) -> Vec<Place> {
    submit(store, batch(commands)).expect("the disk is well")
}

/// The log is full of what is said about packet identifiers; little of it is needed, and in each
/// segment there is something.
#[test]
fn little_that_is_needed_does_not_keep_a_log_of_what_is_not() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    store_all(&store, &[session(1)]);
    for round in 0..400 {
        let (session, packet_id) = (SessionNumber(1), round as u16 + 1);
        let mut commands = Vec::new();
        for _ in 0..20 {
            commands.push(Command::Receive { session, packet_id });
            commands.push(Command::Forget { session, packet_id });
        }
        if round % 4 == 0 {
            commands.push(publish(b"survivor", &[1]));
        }
        store_all(&store, &commands);
    }
    let before = told(&store);
    assert_eq!(before.queues[&SessionNumber(1)].len(), 100);
    drop(store);
    let bytes = bytes_on(&disk);
    assert!(bytes < 2 * OPTIONS.cleaned_from_bytes, "{bytes} bytes");
    assert_eq!(told(&open(&disk)), before);
}

/// A disk that has failed is left alone for a while, however much comes.
#[test]
fn disk_that_fails_is_not_asked_for_each_batch() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    store_all(&store, &[session(1)]);
    disk.fail(FOREVER, Fault::Broken);
    let (start, changes) = (Instant::now(), disk.changes());
    for _ in 0..200 {
        let refused = submit(&store, batch(&[publish(b"x", &[1])]));
        assert!(matches!(refused, Err(Refusal::Failed(_))), "{refused:?}");
    }
    // An attempt is a handful of changes, and there is one in half a second.
    let attempts = start.elapsed().as_millis() as u64 / 500 + 2;
    let changes = disk.changes() - changes;
    assert!(changes <= 12 * attempts, "{changes} in {attempts} attempts");
}

/// Each change fails once, and so do the next ones, in both ways: what is refused is not there, all
/// else is, and the store goes on by itself.
#[test]
fn store_goes_on_by_itself_whatever_fails_once() {
    let options = Options { retry_after: Duration::from_millis(1), ..OPTIONS };
    for fault in [Fault::Broken, Fault::Full] {
        for failing in 0..120 {
            let disk = SimulatedDisk::default();
            let store = open_with(&disk, options);
            let mut model = told(&store);
            let mut dice = Dice::new(failing);
            disk.fail(failing..failing + 1 + failing % 3, fault);
            for number in 0..60 {
                let mut batch = if number % 4 == 0 { Batch::default() } else { Batch::refusable() };
                dice.batch(|command| batch.push(command));
                if let Ok(places) = submit(&store, batch.clone()) {
                    dice.place = places.last().copied().unwrap_or(dice.place);
                    apply(&mut model, &batch, places);
                } else {
                    // Who was not stored begins anew.
                    dice.sessions = dice.sessions.map(|number| number + 4);
                }
            }
            submit(&store, Batch::default()).expect("it waits until the disk is well");
            assert_eq!(told(&store), model, "{fault:?} at {failing}");
            drop(store);
            let disk = disk.after_power_cut(failing);
            assert_eq!(told(&open(&disk)), model, "{fault:?} at {failing}");
        }
    }
}

/// What may not be refused and could never be stored is told so at the end.
#[test]
fn every_batch_has_an_outcome_when_the_store_ends() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    disk.fail(FOREVER, Fault::Full);
    let (sender, receiver) = mpsc::sync_channel(10);
    for number in 0..10 {
        let mut batch = Batch::default();
        batch.push(&session(number));
        let sender = sender.clone();
        let done = Box::new(move |outcome| drop(sender.send((number, outcome))));
        store.submit(batch, done).expect("it is not refused");
    }
    drop(store);
    for number in 0..10 {
        let (told, outcome) = receiver.try_recv().expect("it has an outcome");
        assert_eq!(told, number);
        assert!(matches!(outcome, Err(Refusal::Failed(_))), "{outcome:?}");
    }
}

/// The last attempt stores what it can.
#[test]
fn disk_that_is_mended_takes_what_waits_when_the_store_ends() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    disk.fail(FOREVER, Fault::Full);
    let refused = submit(&store, batch(&[session(7)]));
    assert!(refused.is_err());
    let mut batch = Batch::default();
    batch.push(&session(8));
    store.submit(batch, Box::new(|_| {})).expect("it is not refused");
    disk.mend();
    drop(store);
    let sessions: Vec<SessionNumber> = told(&open(&disk)).sessions.into_keys().collect();
    assert_eq!(sessions, [SessionNumber(8)]);
}

/// What has gathered while the disk failed is not one write, and all is told in order.
#[test]
fn much_that_waits_is_stored_in_several_groups() {
    let disk = SimulatedDisk::default();
    let opened = EmbeddedStore::begin(Arc::new(disk.clone()), OPTIONS, 1);
    let (store, mut writer, _) = opened.expect("it opens");
    let (sender, receiver) = mpsc::sync_channel(20);
    for number in 0..20 {
        let mut batch = Batch::default();
        let topic = format!("large/{number}");
        batch.push(&Command::Retain { topic: &topic, message: message(&vec![1; 1 << 20]) });
        let sender = sender.clone();
        let done = Box::new(move |outcome| drop(sender.send((number, outcome))));
        store.submit(batch, done).expect("it is not refused");
    }
    disk.fail(FOREVER, Fault::Full);
    writer.turn();
    assert!(receiver.try_recv().is_err());
    disk.mend();
    writer.end();
    for number in 0..20 {
        assert_eq!(receiver.try_recv(), Ok((number, Ok(Vec::new()))));
    }
    let names = disk.names().expect("the disk is well");
    let logs = names.iter().filter(|name| name.ends_with(".log"));
    // A group does not begin in a segment that is full.
    let sizes: Vec<u64> = logs
        .map(|name| disk.open(name).and_then(|file| file.size()).expect("it is there"))
        .collect();
    assert!(sizes.len() <= 4 && sizes.iter().all(|size| *size < 9 << 20), "{sizes:?}");
}

/// Stores, with nothing but what does not matter, until something holds.
fn churn_until(store: &EmbeddedStore, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it does not come about");
        let message = message(&[0; 300]);
        store_all(store, &[Command::Retain { topic: "churn", message }]);
    }
}

#[test]
fn what_cannot_be_read_is_told_and_does_not_stop_the_cleaner() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    let standing = Standing { client_id: "kept".to_owned(), ..Standing::default() };
    let retain = |topic| Command::Retain { topic, message: message(b"retained") };
    store_all(
        &store,
        &[Command::Stand { session: SessionNumber(1), standing: Box::new(standing.clone()) }],
    );
    let places: Vec<Place> =
        (0..3).flat_map(|_| store_all(&store, &[publish(&[1; 200], &[1])])).collect();
    store_all(&store, &[retain("a"), retain("b")]);
    // The standing, and the second message.
    for offset in [560, 1000] {
        disk.damage("0000000000.log", offset);
    }
    let read = || {
        let mut found = Vec::new();
        let visit = &mut |place, _: &_, _: Message<'_>| found.push(place);
        let queued = store.queue(SessionNumber(1), Place(0), Amount::ALL, visit);
        (found, queued.expect("it can be read"))
    };
    let lost = Queued { has_more: false, unreadable: vec![places[1]] };
    assert_eq!(read(), (vec![places[0], places[2]], lost.clone()));
    assert_eq!(store.unreadable(), 1);
    let names = || disk.names().expect("the disk is well");
    churn_until(&store, || !names().contains(&"0000000000.log".to_owned()));
    assert!(names().contains(&"0000000000.log.damaged".to_owned()), "{:?}", names());
    assert_eq!(read(), (vec![places[0], places[2]], lost));
    assert_eq!(store.failure(), None);
    let session = SessionNumber(1);
    store_all(&store, &[Command::Release { session, from: places[1], to: places[1] }]);
    assert_eq!(read().0, [places[0], places[2]]);
    let mut retained = 0;
    store.retained(&mut |_, _| retained += 1).expect("it can be read");
    assert_eq!(retained, 3);
    drop(store);
    let found = told(&open(&disk));
    assert_eq!(found.sessions[&SessionNumber(1)], standing);
    assert_eq!(found.queues[&SessionNumber(1)].len(), 2);
}

/// The cleaner has moved them, and the log was opened again.
#[test]
fn messages_that_expire_are_found_wherever_they_lie() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    store_all(&store, &[session(1)]);
    let Command::Publish { message: kept, claims, from } = publish(b"x", &[1]) else {
        unreachable!("it publishes");
    };
    let expires_at = Some(Time(1000));
    let message = Message { expires_at, ..kept };
    let place = store_all(&store, &[Command::Publish { message, claims, from }]);
    churn_until(&store, || {
        !disk.names().expect("the disk is well").contains(&"0000000000.log".to_owned())
    });
    let expired = |store: &EmbeddedStore, now| {
        let mut found = Vec::new();
        let visit = &mut |_, place, _: &_, _: Message<'_>| found.push(place);
        while store.expired(Time(now), 1, visit).expect("it can be read") {}
        found
    };
    assert_eq!(expired(&store, 999), []);
    assert_eq!(expired(&store, 100_000), place);
    drop(store);
    assert_eq!(expired(&open(&disk), 1000), place);
}

/// They are looked at again later, all of them.
#[test]
fn messages_that_expire_where_the_disk_fails_are_found_once_it_does_not() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    store_all(&store, &[session(1)]);
    let Command::Publish { message: kept, claims, from } = publish(b"x", &[1]) else {
        unreachable!("it publishes");
    };
    let message = Message { expires_at: Some(Time(1000)), ..kept };
    let places = store_all(&store, &[Command::Publish { message, claims, from }]);
    let mut found = Vec::new();
    let visit = &mut |_, place, _: &_, _: Message<'_>| found.push(place);
    disk.withhold("0000000000.log", 0..usize::MAX);
    while store.expired(Time(1000), 1, visit).expect("what can be read is") {}
    disk.mend();
    while store.expired(Time(100_000), 1, visit).expect("it can be read") {}
    assert_eq!(found, places);
}

/// A session with much ends, or much is released at once: nobody waits for it.
#[test]
fn much_that_leaves_at_once_gives_its_space_back() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    store_all(&store, &[session(1), session(2)]);
    let mut places = Vec::new();
    for _ in 0..60 {
        places.extend(store_all(&store, &vec![publish(b"x", &[1, 2]); 100]));
    }
    let (session, from, to) = (SessionNumber(1), Place(0), places[places.len() - 1]);
    store_all(&store, &[Command::Release { session, from, to }]);
    assert_eq!(store.queued(SessionNumber(1)), Amount::default());
    store_all(&store, &[Command::End { session: SessionNumber(2) }]);
    churn_until(&store, || bytes_on(&disk) < 2 * OPTIONS.cleaned_from_bytes);
    let before = told(&store);
    assert_eq!(before.sessions.len(), 1);
    drop(store);
    assert_eq!(told(&open(&disk)), before);
}

/// Space cannot be given back while the disk fails for the cleaner alone; the store says so until
/// it can.
#[test]
fn failing_cleaner_is_told_of_steadily() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    store_all(&store, &[session(1)]);
    let start = Instant::now();
    disk.fail(FOREVER, Fault::Broken);
    while store.failure().is_none() {
        assert!(start.elapsed() < PATIENCE);
        drop(submit(&store, batch(&[publish(b"x", &[1])])));
    }
    for _ in 0..100 {
        drop(submit(&store, batch(&[publish(b"x", &[1])])));
        assert!(store.failure().is_some());
    }
    disk.mend();
    let (sender, receiver) = mpsc::sync_channel(1);
    let mut kept = Batch::default();
    kept.push(&session(2));
    let done = Box::new(move |outcome| drop(sender.send(outcome)));
    store.submit(kept, done).expect("it is not refused");
    assert_eq!(receiver.recv().expect("it has an outcome"), Ok(Vec::new()));
    assert_eq!(store.failure(), None);
}

/// Space cannot be given back, but all that comes is stored: that is told, and nobody is refused.
#[test]
fn store_whose_cleaner_fails_is_not_failing() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    store_all(&store, &[session(1)]);
    (0..200).for_each(|_| drop(store_all(&store, &[publish(b"x", &[1])])));
    disk.withhold("queues.scratch", 0..usize::MAX);
    churn_until(&store, || {
        assert!(!store.is_failing());
        store.failure().is_some()
    });
    let failure = store.failure().expect("it was told");
    assert!(failure.starts_with("space cannot be given back"), "{failure}");
    store_all(&store, &[publish(b"x", &[1])]);
    assert!(!store.is_failing());
    disk.mend();
    churn_until(&store, || store.failure().is_none());
}

/// Whoever is told of a refusal finds that the store fails, and whoever is told of a success finds
/// that it does not.
#[test]
fn store_fails_from_before_the_first_refusal_is_told_until_before_the_next_success_is() {
    let options = Options { retry_after: Duration::ZERO, ..OPTIONS };
    for fault in [Fault::Broken, Fault::Full] {
        let disk = SimulatedDisk::default();
        let opened = EmbeddedStore::begin(Arc::new(disk.clone()), options, 1);
        let (store, mut writer, _) = opened.expect("it opens");
        let store = Arc::new(store);
        let mut told = |number| {
            let (sender, receiver) = mpsc::sync_channel(1);
            let asked = Arc::clone(&store);
            let tell = move |outcome: Result<_, _>| {
                sender.send((outcome.is_ok(), asked.is_failing())).expect("it is waited for");
            };
            store.submit(batch(&[session(number)]), Box::new(tell)).expect("there is room");
            writer.turn();
            receiver.try_recv().expect("it has an outcome")
        };
        assert_eq!(told(1), (true, false));
        disk.fail(FOREVER, fault);
        assert_eq!([told(2), told(3)], [(false, true); 2], "{fault:?}");
        disk.mend();
        // A disk that was full is looked at before anything is refused.
        assert_eq!([told(4), told(5)], [(true, false); 2], "{fault:?}");
    }
}

/// What is lost with the standing of a session is told with it, and its number is free: who gets it
/// has nothing of what waited for the one before.
#[test]
fn session_that_cannot_be_read_is_told_with_what_waited_for_it() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    store_all(&store, &[session(1)]);
    store_all(&store, &[session(2)]);
    store_all(&store, &vec![publish(b"x", &[1, 2]); 7]);
    // Steps behind an end are no loss.
    store_all(&store, &[session(3), Command::End { session: SessionNumber(3) }]);
    store_all(&store, &[publish(b"x", &[3])]);
    drop(store);
    disk.damage("0000000000.log", 560);
    let report = crate::inspect(&disk).expect("the disk is well");
    let lost = Loss::Sessions { sessions: 1, messages: 7 };
    assert_eq!(report.losses.last(), Some(&lost));
    let (store, losses) =
        EmbeddedStore::open(Arc::new(disk.clone()), OPTIONS).expect("the disk is well");
    assert!(matches!(&losses[..], [Loss::Records { records: 1, .. }, last] if *last == lost));
    assert!(lost.to_string().contains("1 sessions cannot be read, and end with the 7 messages"));
    assert_eq!(store.unreadable(), 7);
    assert_eq!(told(&store).sessions.keys().collect::<Vec<_>>(), [&SessionNumber(2)]);
    store_all(&store, &[session(1), session(3)]);
    drop(store);
    let store = open(&disk);
    assert_eq!(store.unreadable(), 0);
    let found = told(&store);
    let waiting = |number| found.queues[&SessionNumber(number)].len();
    assert_eq!([1, 2, 3].map(waiting), [0, 7, 0]);
}

/// Nothing waits in it, whatever may be refused.
#[test]
fn store_that_could_not_be_opened_has_an_outcome_for_every_batch_and_nothing_else() {
    let store = FailedStore::new("there is no disk".to_owned());
    let refused = Err(Refusal::Failed("there is no disk".to_owned()));
    let mut sure = Batch::default();
    sure.push(&session(1));
    for batch in [batch(&[session(1)]), sure] {
        assert_eq!(submit(&store, batch), refused);
    }
    for batch in [Batch::default(), Batch::refusable()] {
        assert_eq!(submit(&store, batch), Ok(Vec::new()));
    }
    assert_eq!(told(&store), Contents::default());
    assert_eq!(store.failure().as_deref(), Some("there is no disk"));
    assert!(store.is_burdened());
}
