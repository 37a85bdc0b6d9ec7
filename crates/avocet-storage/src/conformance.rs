//! What every store does, whatever it keeps things in: one suite for all of them.
//!
//! Whoever has a store runs [`all`] in a test, with something that opens it: again and again, and
//! the same one each time. That is a closure, or a [`Subject`] if it can do more than open it.

pub mod dice;
mod ends;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::mpsc,
};

use self::dice::Dice;
pub use self::ends::{
    closed_store_refuses, crash_leaves_what_was_reported, threads_keep_their_order,
    what_is_refused_is_not_there,
};
use crate::{
    command::{Claim, Command, Message, Place, SessionNumber, Standing, Time},
    store::{Amount, Batch, Contents, Figures, Queued, Refusal, Store, Stored},
};

/// Opens a store, which has what it had when it was closed.
pub type Open<'a> = &'a dyn Fn() -> Box<dyn Store>;

/// A store that is tried, and what can be done to it.
pub trait Subject {
    /// As [`Open`].
    fn open(&self) -> Box<dyn Store>;

    /// Has what lies behind the store take nothing from now on, or everything again. False if that
    /// cannot be done: then nothing was.
    fn fail(&self, _is_failing: bool) -> bool {
        false
    }

    /// Ends a store as the process does that is killed. False if that cannot be done: then it is
    /// closed.
    fn crash(&self, store: Box<dyn Store>) -> bool {
        store.close();
        false
    }
}

impl<F: Fn() -> Box<dyn Store>> Subject for F {
    fn open(&self) -> Box<dyn Store> {
        self()
    }
}

/// The whole suite.
///
/// # Panics
/// If the store does not do what it has to.
pub fn all(subject: &dyn Subject) {
    let open: Open<'_> = &|| subject.open();
    (0..8).for_each(|seed| it_tells_what_was_done(open, seed));
    batches_are_reported_in_order(open);
    queue_is_told_in_pieces(open);
    expired_messages_are_told(open);
    visitor_may_ask_the_store(open);
    threads_keep_their_order(subject);
    what_is_refused_is_not_there(subject);
    crash_leaves_what_was_reported(subject);
    closed_store_refuses(subject);
}

/// Everything a store tells.
///
/// # Panics
/// If something cannot be read, or amounts are wrong.
#[must_use]
pub fn told(store: &dyn Store) -> Contents {
    let mut told = Contents::default();
    store.sessions(&mut |number, standing| {
        told.sessions.insert(number, standing.clone());
    });
    for number in told.sessions.keys() {
        let queue = told.queues.entry(*number).or_default();
        let mut amount = Amount::default();
        let visit = &mut |place, claim: &Claim, message: Message<'_>| {
            amount.messages += 1;
            amount.bytes += message.packet.len() as u64;
            queue.insert(place, (claim.clone(), Stored::from(&message)));
        };
        let found = store.queue(*number, Place(0), Amount::ALL, visit).expect("it is read");
        assert_eq!(found, Queued::default());
        assert_eq!(store.queued(*number), amount);
    }
    let visit = &mut |topic: &str, message: Message<'_>| {
        told.retained.insert(topic.to_owned(), Stored::from(&message));
    };
    store.retained(visit).expect("it can be read");
    let visit = &mut |plan, due_at, purpose, message: Message<'_>| {
        told.plans.insert(plan, (due_at, purpose, Stored::from(&message)));
    };
    store.plans(visit).expect("it can be read");
    check_figures(store.figures(), &told);
    told
}

/// A store may have no figures at all.
fn check_figures(figures: Figures, told: &Contents) {
    if figures == Figures::default() {
        return;
    }
    let mut queued = Amount::default();
    for (_, stored) in told.queues.values().flat_map(BTreeMap::values) {
        queued += Amount { messages: 1, bytes: stored.message().packet.len() as u64 };
    }
    assert_eq!(figures.queued, queued);
    let counts = (figures.sessions, figures.retained, figures.plans);
    assert_eq!(counts, (told.sessions.len(), told.retained.len(), told.plans.len()));
}

/// As [`Contents::apply`] of a whole batch, whose messages have these places.
///
/// # Panics
/// If there are less places than messages.
pub fn apply(contents: &mut Contents, batch: &Batch, places: impl IntoIterator<Item = Place>) {
    let mut places = places.into_iter();
    for command in batch.commands() {
        let publishes = matches!(command, Command::Publish { .. });
        let place = publishes.then(|| places.next().expect("each message has a place"));
        contents.apply(place.unwrap_or_default(), &command);
    }
}

/// Submits a batch and waits for what becomes of it.
///
/// # Errors
/// What becomes of it.
///
/// # Panics
/// If nothing becomes of it.
pub fn submit(store: &dyn Store, batch: Batch) -> Result<Vec<Place>, Refusal> {
    let (sender, receiver) = mpsc::sync_channel(1);
    store.submit(batch, Box::new(move |outcome| drop(sender.send(outcome))))?;
    receiver.recv().expect("every batch has an outcome")
}

fn do_all(store: &dyn Store, commands: &[Command<'_>]) -> Vec<Place> {
    let mut batch = Batch::refusable();
    commands.iter().for_each(|command| batch.push(command));
    submit(store, batch).expect("it is stored")
}

/// What is done by chance is told, at once and when it is opened again.
///
/// # Panics
/// If it is not.
pub fn it_tells_what_was_done(open: Open<'_>, seed: u64) {
    let mut dice = Dice::new(seed);
    dice.sessions = dice.sessions.map(|number| number + (seed + 1) * 1_000);
    let mut model = told(&*open());
    for life in 0..3 {
        let store = open();
        assert_eq!(told(&*store), model, "seed {seed}, life {life}");
        for _ in 0..150 {
            let mut batch = Batch::refusable();
            dice.batch(|command| batch.push(command));
            let places = submit(&*store, batch.clone()).expect("it is stored");
            dice.place = places.last().copied().unwrap_or(dice.place);
            apply(&mut model, &batch, places);
        }
        assert_eq!(told(&*store), model, "seed {seed}, life {life}");
    }
}

/// Each batch, empty or not, may be refused or not, is told of in its turn.
///
/// # Panics
/// If it is not.
pub fn batches_are_reported_in_order(open: Open<'_>) {
    let store = open();
    let (sender, receiver) = mpsc::sync_channel(100);
    for number in 0..100 {
        let mut batch = if number % 3 == 0 { Batch::refusable() } else { Batch::default() };
        if number % 4 != 0 {
            batch.push(&Command::Clear { topic: "in order" });
        }
        let sender = sender.clone();
        let done = Box::new(move |outcome| drop(sender.send((number, outcome))));
        store.submit(batch, done).expect("there is room");
    }
    for number in 0..100 {
        assert_eq!(receiver.recv().expect("it has an outcome"), (number, Ok(Vec::new())));
    }
    submit(&*store, Batch::default()).expect("it is told in its turn");
    assert!(!store.is_burdened(), "nothing waits");
    assert!(!store.is_failing(), "it has stored all of them");
}

const SESSION: SessionNumber = SessionNumber(1 << 40);

fn stand(client_id: &str) -> Command<'static> {
    let standing = Standing { client_id: client_id.to_owned(), ..Standing::default() };
    Command::Stand { session: SESSION, standing: Box::new(standing) }
}

fn publish(packet: &[u8], expires_at: Option<Time>) -> Command<'_> {
    let message = Message { received_at: Time(1), expires_at, flags: 1, packet };
    let claims = vec![Claim { session: SESSION, flags: 1, identifiers: vec![3], shared: None }];
    Command::Publish { message, claims, from: None }
}

/// A long queue is told piece by piece, by messages and by bytes, and what is released of it is
/// gone: its beginning, its end, and what lies between.
///
/// # Panics
/// If it is not.
pub fn queue_is_told_in_pieces(open: Open<'_>) {
    let store = open();
    do_all(&*store, &[stand("pieces")]);
    let places: Vec<Place> =
        (0..20).flat_map(|_| do_all(&*store, &vec![publish(&[7; 10], None); 50])).collect();
    drop(store);
    let store = open();
    let read = |from, messages, bytes| {
        let mut found = Vec::new();
        let visit = &mut |place, _: &Claim, message: Message<'_>| {
            assert_eq!(message.packet, [7; 10]);
            found.push(place);
        };
        let most = Amount { messages, bytes };
        let queued = store.queue(SESSION, from, most, visit).expect("it can be read");
        (found, queued.has_more)
    };
    assert_eq!(read(Place(0), 2000, 20_000), (places.clone(), false));
    assert_eq!(read(Place(0), 1000, 10_000), (places.clone(), false));
    assert_eq!(read(places[500], 100, 20_000), (places[500..600].to_vec(), true));
    assert_eq!(read(places[500], 100, 45), (places[500..505].to_vec(), true));
    assert_eq!(read(places[990], 100, 2000), (places[990..].to_vec(), false));
    let release = |range: std::ops::RangeInclusive<usize>| Command::Release {
        session: SESSION,
        from: places[*range.start()],
        to: places[*range.end()],
    };
    do_all(&*store, &[release(0..=9), release(100..=299), release(305..=305), release(990..=999)]);
    let left: Vec<Place> = [&places[10..100], &places[300..305], &places[306..990]].concat();
    assert_eq!(read(Place(0), 2000, 20_000), (left, false));
    assert_eq!(store.queued(SESSION), Amount { messages: 779, bytes: 7790 });
    assert_eq!(walk(&*store), 779);
    do_all(&*store, &[release(0..=999)]);
    assert_eq!(read(Place(0), 2000, 20_000), (Vec::new(), false));
    do_all(&*store, &[Command::End { session: SESSION }]);
    assert_eq!(store.queued(SESSION), Amount::default());
}

/// Reads a queue piece by piece, as who delivers it does: each place is told, as a message or as
/// one that cannot be read, so that it comes to an end. Answers how many.
fn walk(store: &dyn Store) -> usize {
    let (mut from, mut told, most) = (Place(0), 0, Amount { messages: 7, bytes: u64::MAX });
    loop {
        let mut last = None;
        let visit = &mut |place, _: &Claim, _: Message<'_>| {
            assert!(Some(place) > last, "they are told in order");
            (last, told) = (Some(place), told + 1);
        };
        let queued = store.queue(SESSION, from, most, visit).expect("it can be read");
        told += queued.unreadable.len();
        let last = last.max(queued.unreadable.last().copied());
        if !queued.has_more {
            return told;
        }
        from = Place(last.expect("something was told, since there is more").0 + 1);
    }
}

/// Messages whose time is over are told, unless they were released, and no others.
///
/// # Panics
/// If they are not.
pub fn expired_messages_are_told(open: Open<'_>) {
    let store = open();
    do_all(&*store, &[stand("expiry")]);
    let expiring = [None, Some(Time(50_000)), Some(Time(500_000)), Some(Time(50_000))];
    let commands: Vec<Command<'_>> =
        (0..40).map(|number| publish(b"x", expiring[number % 4])).collect();
    let places = do_all(&*store, &commands);
    do_all(&*store, &[Command::Release { session: SESSION, from: places[1], to: places[1] }]);
    let expired = |store: &dyn Store, now| {
        let mut found = BTreeSet::new();
        let visit = &mut |session, place, claim: &Claim, message: Message<'_>| {
            if session == SESSION {
                assert_eq!((message.packet, claim.identifiers.len()), (&b"x"[..], 1));
                found.insert(place);
            }
        };
        while store.expired(now, 1_000, visit).expect("it can be read") {}
        found
    };
    let of = |numbers: &dyn Fn(usize) -> bool| -> BTreeSet<Place> {
        let places = places.iter().enumerate();
        places.filter(|(number, _)| numbers(*number)).map(|(_, place)| *place).collect()
    };
    assert_eq!(expired(&*store, Time(49_999)), BTreeSet::new());
    let early = expired(&*store, Time(150_000));
    assert_eq!(early, of(&|number| number % 2 == 1 && number != 1));
    for place in early {
        do_all(&*store, &[Command::Release { session: SESSION, from: place, to: place }]);
    }
    drop(store);
    let store = open();
    assert_eq!(expired(&*store, Time(499_999)), BTreeSet::new());
    assert_eq!(expired(&*store, Time(700_000)), of(&|number| number % 4 == 2));
    do_all(&*store, &[Command::End { session: SESSION }]);
    assert_eq!(expired(&*store, Time(900_000)), BTreeSet::new());
}

/// Who is shown something may ask the store for more.
///
/// # Panics
/// If it cannot.
pub fn visitor_may_ask_the_store(open: Open<'_>) {
    let store = open();
    do_all(&*store, &[stand("curious"), publish(b"x", None)]);
    let mut asked = 0;
    store.sessions(&mut |number, _| asked += store.queued(number).messages);
    assert!(asked > 0);
    let visit = &mut |_, _: &Claim, _: Message<'_>| {
        assert_eq!(store.queued(SESSION).messages, 1);
    };
    store.queue(SESSION, Place(0), Amount::ALL, visit).expect("it can be read");
    do_all(&*store, &[Command::End { session: SESSION }]);
}
