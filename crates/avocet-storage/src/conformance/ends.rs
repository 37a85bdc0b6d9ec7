//! How a store ends, fails and is used by many at once.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{SESSION, Subject, do_all, publish, stand, submit, told};
use crate::{
    command::{Claim, Command, Message, Place, Time},
    store::{Amount, Batch, Contents, Refusal, Store},
};

const THREADS: usize = 8;
/// Batches of each thread.
const EACH: usize = 40;
/// A store that is well has answered by then.
const PATIENCE: Duration = Duration::from_secs(60);

fn retain(topic: &str, mut batch: Batch) -> Batch {
    let message = Message { received_at: Time(1), expires_at: None, flags: 1, packet: b"x" };
    batch.push(&Command::Retain { topic, message });
    batch
}

/// The topics below this one that have a retained message.
fn topics_below(contents: &Contents, root: &str) -> BTreeSet<String> {
    contents.retained.keys().filter(|topic| topic.starts_with(root)).cloned().collect()
}

fn clear(store: &dyn Store, topics: &BTreeSet<String>) {
    let commands: Vec<Command<'_>> = topics.iter().map(|topic| Command::Clear { topic }).collect();
    do_all(store, &commands);
}

/// What each of many threads submits is stored and told in the order in which it submits it.
///
/// # Panics
/// If it is not.
pub fn threads_keep_their_order(subject: &dyn Subject) {
    let store = &*subject.open();
    do_all(store, &[stand("threads")]);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let (sender, receiver) = mpsc::sync_channel(EACH);
                for number in 0..EACH {
                    let mut batch = Batch::refusable();
                    batch.push(&publish(&[thread as u8, number as u8], None));
                    let sender = sender.clone();
                    let done = Box::new(move |outcome| drop(sender.send((number, outcome))));
                    store.submit(batch, done).expect("there is room");
                }
                let mut last = None;
                for number in 0..EACH {
                    let (told, outcome) = receiver.recv().expect("it has an outcome");
                    let places = outcome.expect("it is stored");
                    assert!(last < places.first().copied(), "places grow");
                    assert_eq!((told, places.len()), (number, 1));
                    last = places.first().copied();
                }
            });
        }
    });
    let mut next = [0; THREADS];
    let visit = &mut |_, _: &Claim, message: Message<'_>| {
        let [thread, number] = *message.packet else { panic!("it was not submitted") };
        assert_eq!(number, next[usize::from(thread)], "of thread {thread}");
        next[usize::from(thread)] += 1;
    };
    store.queue(SESSION, Place(0), Amount::ALL, visit).expect("it can be read");
    assert_eq!(next, [EACH as u8; THREADS]);
    do_all(store, &[Command::End { session: SESSION }]);
}

/// Of what is refused nothing is there, what may not be is stored when it can be, and whoever is
/// told finds the store failing or not. Tells whether the store could be made to fail.
///
/// # Panics
/// If it is not so.
pub fn what_is_refused_is_not_there(subject: &dyn Subject) -> bool {
    let store: Arc<dyn Store> = subject.open().into();
    let before = told(&*store);
    assert!(!store.is_failing());
    if !subject.fail(true) {
        return false;
    }
    let try_one = |topic| {
        let (sender, receiver) = mpsc::sync_channel(1);
        let asked = Arc::clone(&store);
        let done = move |outcome: Result<_, _>| {
            sender.send((outcome, asked.is_failing())).expect("it is waited for");
        };
        store.submit(retain(topic, Batch::refusable()), Box::new(done)).expect("there is room");
        receiver.recv().expect("it has an outcome")
    };
    let check_refused = || {
        let (outcome, is_failing) = try_one("failing/refused");
        assert!(matches!(outcome, Err(Refusal::Failed(_))), "{outcome:?}");
        assert!(is_failing && store.is_failing() && store.failure().is_some());
    };
    check_refused();
    assert_eq!(told(&*store), before);
    let (sender, receiver) = mpsc::sync_channel(1);
    let done = Box::new(move |outcome| drop(sender.send(outcome)));
    store.submit(retain("failing/kept", Batch::default()), done).expect("it may not be refused");
    check_refused();
    assert!(subject.fail(false));
    assert_eq!(receiver.recv().expect("it has an outcome"), Ok(Vec::new()));
    let since = Instant::now();
    let mut outcome = try_one("failing/accepted");
    while outcome.0.is_err() {
        assert!(since.elapsed() < PATIENCE, "it goes on refusing: {outcome:?}");
        thread::yield_now();
        outcome = try_one("failing/accepted");
    }
    assert_eq!(outcome, (Ok(Vec::new()), false));
    assert!(!store.is_failing());
    let expected = ["failing/accepted", "failing/kept"].map(str::to_owned).into();
    assert_eq!(topics_below(&told(&*store), "failing/"), expected);
    drop(store);
    let store = subject.open();
    assert_eq!(topics_below(&told(&*store), "failing/"), expected);
    clear(&*store, &expected);
    assert_eq!(told(&*store), before);
    true
}

/// What was reported is there after a crash, and of the rest what came first, batch by batch. Tells
/// whether the store could be made to crash; it was closed if not.
///
/// # Panics
/// If it is not so.
pub fn crash_leaves_what_was_reported(subject: &dyn Subject) -> bool {
    const BATCHES: usize = 100;
    let store = subject.open();
    let before = told(&*store);
    let topics = |number| [format!("crash/{number:03}/a"), format!("crash/{number:03}/b")];
    let (sender, receiver) = mpsc::sync_channel(BATCHES);
    for number in 0..BATCHES {
        let batch = topics(number).iter().fold(Batch::refusable(), |it, topic| retain(topic, it));
        let sender = sender.clone();
        let done = Box::new(move |outcome| drop(sender.send((number, outcome))));
        store.submit(batch, done).expect("there is room");
    }
    for number in 0..BATCHES / 2 {
        assert_eq!(receiver.recv().expect("it has an outcome"), (number, Ok(Vec::new())));
    }
    let has_crashed = subject.crash(store);
    let least = if has_crashed { BATCHES / 2 } else { BATCHES };
    let store = subject.open();
    let found = topics_below(&told(&*store), "crash/");
    assert!(found.len() >= 2 * least, "{} of {least} batches", found.len());
    let expected: BTreeSet<String> = (0..found.len() / 2).flat_map(topics).collect();
    assert_eq!(found, expected);
    clear(&*store, &found);
    assert_eq!(told(&*store), before);
    has_crashed
}

/// Whatever is submitted while a store is closed has one outcome, which is true; what is submitted
/// behind it is refused, and what there is can be asked for still. It can be closed again.
///
/// # Panics
/// If it is not so.
pub fn closed_store_refuses(subject: &dyn Subject) {
    let store = &*subject.open();
    let (sender, receiver) = mpsc::sync_channel(THREADS * EACH);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let sender = sender.clone();
            scope.spawn(move || {
                for number in 0..EACH {
                    if thread < 2 && number == EACH / 2 {
                        store.close();
                    }
                    let topic = format!("closed/{thread}/{number}");
                    let is_refusable = number % 2 == 0;
                    let empty = if is_refusable { Batch::refusable() } else { Batch::default() };
                    let (sender, batch) = (sender.clone(), retain(&topic, empty));
                    let done = Box::new(move |outcome| drop(sender.send((topic, outcome))));
                    store.submit(batch, done).expect("there is room");
                }
            });
        }
    });
    store.close();
    for batch in [Batch::default(), Batch::refusable()] {
        let refused = submit(store, retain("closed/behind", batch));
        assert!(matches!(refused, Err(Refusal::Failed(_))), "{refused:?}");
    }
    let mut stored = BTreeSet::new();
    for _ in 0..THREADS * EACH {
        let (topic, outcome) = receiver.recv_timeout(PATIENCE).expect("each has an outcome");
        match outcome {
            Ok(_) => assert!(stored.insert(topic), "it was told before"),
            Err(Refusal::Failed(_)) => {}
            Err(Refusal::Busy) => panic!("nothing is told as busy that was let in"),
        }
    }
    assert!(receiver.try_recv().is_err(), "something was told twice");
    // Who closed it had submitted half of theirs before.
    assert!(stored.len() >= EACH / 2, "{} were stored", stored.len());
    assert_eq!(topics_below(&told(store), "closed/"), stored);
    let store = subject.open();
    assert_eq!(topics_below(&told(&*store), "closed/"), stored);
    clear(&*store, &stored);
}
