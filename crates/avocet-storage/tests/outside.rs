//! A store that is written with nothing but what this crate makes public: it does what every store
//! does.

use std::{
    fmt, io, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use avocet_storage::{
    command::{Claim, Command, Message, Place, Purpose, SessionNumber, Standing, Time},
    conformance::{self, Subject},
    store::{Amount, Batch, Contents, Done, Queued, Refusal, Store},
};
use parking_lot::{Condvar, Mutex};

/// Enough for whoever submits, and little enough to be seen.
const JOURNAL_BYTES_MAX: usize = 64 << 20;

/// What lies behind the store, and outlives it: all batches, in order.
#[derive(Clone, Debug, Default)]
struct Medium {
    journal: Arc<Mutex<Vec<Batch>>>,
    is_failing: Arc<AtomicBool>,
}

/// What the journal has come to.
struct Journaled {
    medium: Medium,
    contents: Mutex<(Contents, Place)>,
    /// What is to be done while somebody is told of something else.
    waiting: Mutex<(Vec<(Batch, Done)>, bool)>,
    told: Condvar,
    is_closed: AtomicBool,
}

impl fmt::Debug for Journaled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Journaled").finish_non_exhaustive()
    }
}

fn apply(contents: &mut Contents, next: &mut Place, batch: &Batch) -> Vec<Place> {
    let mut places = Vec::new();
    for command in batch.commands() {
        contents.apply(*next, &command);
        if let Command::Publish { .. } = command {
            places.push(*next);
            next.0 += 1;
        }
    }
    places
}

impl Journaled {
    fn open(medium: &Medium) -> Self {
        let (mut contents, mut next) = (Contents::default(), Place(1));
        for batch in &*medium.journal.lock() {
            apply(&mut contents, &mut next, batch);
        }
        let contents = Mutex::new((contents, next));
        let (waiting, told, is_closed) = Default::default();
        Self { medium: medium.clone(), contents, waiting, told, is_closed }
    }

    fn store(&self, batch: Batch) -> Result<Vec<Place>, Refusal> {
        if self.medium.is_failing.load(Ordering::Relaxed) && batch.is_refusable() {
            return Err(Refusal::Failed("it was told to".to_owned()));
        }
        let (contents, next) = &mut *self.contents.lock();
        let places = apply(contents, next, &batch);
        self.medium.journal.lock().push(batch);
        Ok(places)
    }

    fn contents(&self) -> Contents {
        self.contents.lock().0.clone()
    }
}

impl Store for Journaled {
    fn submit(&self, batch: Batch, done: Done) -> Result<(), Refusal> {
        let mut waiting = self.waiting.lock();
        if self.is_closed.load(Ordering::Relaxed) {
            let refused = Refusal::Failed("it is closed".to_owned());
            waiting.0.push((Batch::default(), Box::new(|_| done(Err(refused)))));
        } else {
            waiting.0.push((batch, done));
        }
        if mem::replace(&mut waiting.1, true) {
            return Ok(());
        }
        while !waiting.0.is_empty() {
            for (batch, done) in mem::take(&mut waiting.0) {
                drop(waiting);
                done(self.store(batch));
                waiting = self.waiting.lock();
            }
        }
        waiting.1 = false;
        self.told.notify_all();
        Ok(())
    }

    fn close(&self) {
        let mut waiting = self.waiting.lock();
        self.is_closed.store(true, Ordering::Relaxed);
        self.told.wait_while_for(&mut waiting, |waiting| waiting.1, Duration::from_secs(10));
    }

    fn is_burdened(&self) -> bool {
        let bytes = |batches: &[Batch]| -> usize { batches.iter().map(Batch::bytes).sum() };
        bytes(&self.medium.journal.lock()) > JOURNAL_BYTES_MAX
    }

    fn is_failing(&self) -> bool {
        self.medium.is_failing.load(Ordering::Relaxed)
    }

    fn failure(&self) -> Option<String> {
        self.is_failing().then(|| "it was told to".to_owned())
    }

    fn sessions(&self, visit: &mut dyn FnMut(SessionNumber, &Standing)) {
        self.contents().sessions.iter().for_each(|(number, it)| visit(*number, it));
    }

    fn queue(
        &self,
        session: SessionNumber,
        from: Place,
        most: Amount,
        visit: &mut dyn FnMut(Place, &Claim, Message<'_>),
    ) -> io::Result<Queued> {
        let queue = self.contents().queues.remove(&session).unwrap_or_default();
        let (mut told, mut has_more) = (Amount::default(), false);
        for (place, (claim, stored)) in queue.range(from..) {
            has_more = told.messages >= most.messages || told.bytes >= most.bytes;
            if has_more {
                break;
            }
            let message = stored.message();
            told += Amount { messages: 1, bytes: message.packet.len() as u64 };
            visit(*place, claim, message);
        }
        Ok(Queued { has_more, ..Queued::default() })
    }

    fn queued(&self, session: SessionNumber) -> Amount {
        let mut amount = Amount::default();
        for (_, stored) in self.contents().queues.remove(&session).unwrap_or_default().values() {
            amount += Amount { messages: 1, bytes: stored.message().packet.len() as u64 };
        }
        amount
    }

    fn expired(
        &self,
        now: Time,
        _: usize,
        visit: &mut dyn FnMut(SessionNumber, Place, &Claim, Message<'_>),
    ) -> io::Result<bool> {
        for (session, queue) in &self.contents().queues {
            for (place, (claim, stored)) in queue {
                let message = stored.message();
                if message.expires_at.is_some_and(|at| at <= now) {
                    visit(*session, *place, claim, message);
                }
            }
        }
        Ok(false)
    }

    fn retained(&self, visit: &mut dyn FnMut(&str, Message<'_>)) -> io::Result<()> {
        self.contents().retained.iter().for_each(|(topic, it)| visit(topic, it.message()));
        Ok(())
    }

    fn plans(&self, visit: &mut dyn FnMut(u64, Time, Purpose, Message<'_>)) -> io::Result<()> {
        for (number, (due_at, purpose, stored)) in &self.contents().plans {
            visit(*number, *due_at, *purpose, stored.message());
        }
        Ok(())
    }
}

impl Subject for Medium {
    fn open(&self) -> Box<dyn Store> {
        Box::new(Journaled::open(self))
    }

    fn fail(&self, is_failing: bool) -> bool {
        self.is_failing.store(is_failing, Ordering::Relaxed);
        true
    }
}

#[test]
fn store_of_somebody_else_conforms() {
    conformance::all(&Medium::default());
    assert!(conformance::what_is_refused_is_not_there(&Medium::default()));
    assert!(!conformance::crash_leaves_what_was_reported(&Medium::default()));
}

#[test]
fn store_of_somebody_else_refuses_what_may_be_refused() {
    let medium = Medium::default();
    let store = Journaled::open(&medium);
    let clear = |mut batch: Batch| {
        batch.push(&Command::Clear { topic: "t" });
        assert_eq!(batch.commands().collect::<Vec<_>>(), [Command::Clear { topic: "t" }]);
        conformance::submit(&store, batch)
    };
    medium.is_failing.store(true, Ordering::Relaxed);
    assert!(matches!(clear(Batch::refusable()), Err(Refusal::Failed(_))));
    assert_eq!(clear(Batch::default()), Ok(Vec::new()));
    medium.is_failing.store(false, Ordering::Relaxed);
    assert_eq!(clear(Batch::refusable()), Ok(Vec::new()));
    assert_eq!(medium.journal.lock().len(), 2);
}
