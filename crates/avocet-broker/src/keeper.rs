//! The broker and its store: what turns have recorded goes there, what waits for it is done when it
//! is there, and what waits in it is fetched for clients that take it.
//!
//! One thread does what waits, in the order in which the store has taken it, so that each session
//! hears of its messages in the order of their places; others fetch.

use std::{
    collections::{HashMap, VecDeque},
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use avocet_mqtt::ReasonCode;
use avocet_session::{DropReason, Place, StoredId, Then};
use avocet_storage::store::{Batch, Refusal, Store};
use parking_lot::{Condvar, Mutex};

use crate::{
    broker::Shared,
    kept::Clock,
    leave, load,
    mailbox::{FlushList, Mailbox},
    metrics::Metrics,
    records::{
        Answer, Content, Group, Load, Outcome, Plan, Published, Records, Step, Subscribed, Sweep,
        Unsubscribed,
    },
    retained,
    subscribe::{self, Feed},
    timers,
    wire::{CALL, CHANGED},
};

/// Threads that read the store for clients that have waited.
const LOADERS: usize = 2;
/// How long the store may take for what is left at the end.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// The way to the store.
#[derive(Debug)]
pub(crate) struct Keeper {
    store: Arc<dyn Store>,
    commits: Arc<Lane<Commit>>,
    loads: Arc<Lane<Load>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// By their names in the store.
    sessions: Mutex<HashMap<StoredId, Mailbox>>,
    /// Clients whose sessions are over, as the store is about to know: how many each has.
    ending: Mutex<HashMap<Arc<str>, usize>>,
    /// While it is read what has expired: what the store has heard meanwhile that was released. It
    /// may have been found before.
    released_meanwhile: Mutex<Option<Vec<Released>>>,
    /// Whether what has expired is being read, or about to be.
    is_expiring: Arc<AtomicBool>,
    /// Of the last SUBSCRIBE that it was asked to store.
    subscribe_number: AtomicU64,
}

/// What a session has released, and the store has heard of it.
#[derive(Debug)]
struct Released {
    mailbox: Mailbox,
    from: Place,
    to: Place,
}

/// Somebody reads what has expired.
pub(crate) struct Expiring<'k> {
    keeper: &'k Keeper,
    shared: &'k Arc<Shared>,
}

/// Steps whose turn has come.
#[derive(Debug)]
struct Commit {
    steps: Vec<Step>,
    outcome: Outcome,
}

/// What waits for a thread. It is bounded by what may wait in the store, or by the sessions.
#[derive(Debug)]
struct Lane<T> {
    waiting: Mutex<Waiting<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Waiting<T> {
    items: VecDeque<T>,
    is_over: bool,
}

impl<T> Lane<T> {
    fn new() -> Self {
        let waiting = Waiting { items: VecDeque::new(), is_over: false };
        Self { waiting: Mutex::new(waiting), arrived: Condvar::new() }
    }

    fn push(&self, item: T) {
        self.waiting.lock().items.push_back(item);
        self.arrived.notify_one();
    }

    /// All there is, or the first; waits for it. `None` once it is over: nobody begins anew then
    /// what comes one by one.
    fn take(&self, all: bool) -> Option<VecDeque<T>> {
        let mut waiting = self.waiting.lock();
        loop {
            if waiting.is_over && (!all || waiting.items.is_empty()) {
                return None;
            }
            if !waiting.items.is_empty() {
                break;
            }
            self.arrived.wait(&mut waiting);
        }
        if all {
            return Some(mem::take(&mut waiting.items));
        }
        waiting.items.pop_front().map(|first| VecDeque::from([first]))
    }

    fn close(&self) {
        self.waiting.lock().is_over = true;
        self.arrived.notify_all();
    }
}

impl Keeper {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            commits: Arc::new(Lane::new()),
            loads: Arc::new(Lane::new()),
            threads: Mutex::default(),
            sessions: Mutex::default(),
            ending: Mutex::default(),
            released_meanwhile: Mutex::default(),
            is_expiring: Arc::default(),
            subscribe_number: AtomicU64::new(0),
        }
    }

    /// For a SUBSCRIBE: larger than any before.
    pub(crate) fn number_subscribe(&self) -> u64 {
        self.subscribe_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A session is stored from now on.
    pub(crate) fn enter(&self, session: StoredId, mailbox: &Mailbox) {
        self.sessions.lock().insert(session, mailbox.clone());
    }

    /// A session is over; [`Step::Over`] follows.
    pub(crate) fn leave(&self, session: StoredId, client_id: &Arc<str>) {
        self.sessions.lock().remove(&session);
        *self.ending.lock().entry(Arc::clone(client_id)).or_default() += 1;
    }

    fn end_leaving(&self, client_id: &str) {
        let mut ending = self.ending.lock();
        if let Some(count) = ending.get_mut(client_id) {
            *count -= 1;
            if *count == 0 {
                ending.remove(client_id);
            }
        }
    }

    /// Whether a session that the client had would be there again after a crash.
    pub(crate) fn is_leaving(&self, client_id: &str) -> bool {
        self.ending.lock().contains_key(client_id)
    }

    /// A stored session that is not over.
    pub(crate) fn mailbox(&self, session: StoredId) -> Option<Mailbox> {
        self.sessions.lock().get(&session).cloned()
    }

    /// Some of what has expired is about to be read.
    pub(crate) fn begin_expiring<'k>(
        &'k self,
        shared: &'k Arc<Shared>,
        _only_one: &Sweep,
    ) -> Expiring<'k> {
        *self.released_meanwhile.lock() = Some(Vec::new());
        Expiring { keeper: self, shared }
    }

    /// Answers what was released if its session may hear of it now.
    fn put_off(&self, released: Released) -> Option<Released> {
        match &mut *self.released_meanwhile.lock() {
            None => Some(released),
            Some(meanwhile) => {
                meanwhile.push(released);
                None
            }
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// # Errors
    ///
    /// The system gives no thread.
    pub(crate) fn start(&self, shared: &Arc<Shared>) -> io::Result<()> {
        let mut threads = self.threads.lock();
        let (commits, of) = (Arc::clone(&self.commits), Arc::clone(shared));
        let run = move || {
            while let Some(taken) = commits.take(true) {
                let (mut list, now) = (FlushList::default(), Instant::now());
                for Commit { steps, outcome } in taken {
                    guard(&of, || finish(&of, &mut list, steps, outcome, now));
                }
                guard(&of, || list.flush(&of, now));
            }
        };
        threads.push(thread::Builder::new().name("stored".to_owned()).spawn(run)?);
        for number in 0..LOADERS {
            let (loads, of) = (Arc::clone(&self.loads), Arc::clone(shared));
            let run = move || {
                while let Some(taken) = loads.take(false) {
                    let Some(keeper) = &of.keeper else { return };
                    for wanted in taken {
                        let mut list = FlushList::default();
                        guard(&of, || load::load(&of, keeper, &mut list, wanted));
                        guard(&of, || list.flush(&of, Instant::now()));
                    }
                }
            };
            threads.push(thread::Builder::new().name(format!("load-{number}")).spawn(run)?);
        }
        Ok(())
    }

    /// Has the store keep what a turn has recorded.
    pub(crate) fn submit(&self, records: &mut Records) {
        for wanted in mem::take(&mut records.loads) {
            self.loads.push(wanted);
        }
        for group in records.groups(&Clock::read()) {
            self.submit_group(group);
        }
    }

    /// Has read what has expired, unless it is being read.
    pub(crate) fn expire(&self) {
        if let Some(sweep) = Sweep::begin(&self.is_expiring) {
            self.loads.push(Load::Expired(sweep));
        }
    }

    fn submit_group(&self, group: Group) {
        let steps = Arc::new(Mutex::new(group.steps));
        let finish = |known: Option<Refusal>| {
            let (commits, steps) = (Arc::clone(&self.commits), Arc::clone(&steps));
            Box::new(move |outcome: Outcome| {
                let steps = mem::take(&mut *steps.lock());
                commits.push(Commit { steps, outcome: known.map_or(outcome, Err) });
            })
        };
        if let Err(refusal) = self.store.submit(group.batch, finish(None)) {
            // In its turn, so that answers are in order.
            let told = self.store.submit(Batch::default(), finish(Some(refusal)));
            debug_assert!(told.is_ok(), "an empty batch cannot be refused");
        }
    }

    /// Ends its threads, once the store has taken what there is, or does not for a while. What it
    /// tells from then on nobody waits for.
    pub(crate) fn stop(&self) {
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Box::new(move |_| {
            sender.try_send(()).ok();
        });
        if self.store.submit(Batch::default(), done).is_ok() {
            receiver.recv_timeout(STOP_PATIENCE).ok();
        }
        self.commits.close();
        self.loads.close();
        for thread in mem::take(&mut *self.threads.lock()) {
            // A panic was told when it happened.
            drop(thread.join());
        }
    }
}

/// A bug of ours in what is done for one client is not the end of the thread that does it for all.
fn guard(shared: &Shared, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        Metrics::add(&shared.metrics.connections_panicked, 1);
    }
}

/// Does what has waited for the store.
fn finish(
    shared: &Arc<Shared>,
    list: &mut FlushList,
    steps: Vec<Step>,
    outcome: Outcome,
    now: Instant,
) {
    let is_stored = outcome.is_ok();
    let mut places = outcome.unwrap_or_default().into_iter();
    for step in steps {
        match step {
            Step::Publish(published) => match places.next() {
                Some(place) => deliver(shared, list, published, Place(place.0), now),
                None => refuse(shared, list, published),
            },
            Step::Retain(message, from) => {
                retained::settle(shared, &message, from.as_ref(), is_stored);
            }
            Step::Plan(Plan { number, content: Content::Message(message, at), .. }) => {
                timers::settle(shared, message, number, at, is_stored);
            }
            Step::Answer(answer) => self::answer(shared, list, answer, is_stored),
            Step::Changed(mailbox, then) => change(shared, list, mailbox, then, now),
            Step::Release(Some(mailbox), _, place) => {
                change(shared, list, mailbox, Then::Released(place, place), now);
            }
            Step::Loaded(mailbox) => load::finish(shared, list, &mailbox, now),
            Step::Next(wanted) => list.records.loads.push(wanted),
            Step::Subscribed(subscribed) => {
                subscribed.mailbox.lock().note_stored();
                finish_subscribe(shared, list, *subscribed, is_stored);
            }
            Step::Unsubscribed(it) => {
                it.mailbox.lock().note_stored();
                finish_unsubscribe(shared, list, *it);
            }
            Step::Over(client_id) => {
                shared.keeper.iter().for_each(|keeper| keeper.end_leaving(&client_id));
            }
            Step::Ended(wire) => wire.signal(CHANGED),
            Step::Receive(..)
            | Step::Plan(Plan { content: Content::Will(_), .. })
            | Step::Unplan(_)
            | Step::End(_)
            | Step::Release(None, ..) => {}
        }
    }
}

fn deliver(
    shared: &Shared,
    list: &mut FlushList,
    published: Published,
    place: Place,
    now: Instant,
) {
    for (mailbox, _, claim) in published.claims {
        let mut inner = mailbox.lock();
        if inner.ended {
            inner.session.handle_stored_late();
            let is_left = leave::leave_rest(&mut inner, list);
            drop(inner);
            if !is_left {
                let (topic, why) = (published.message.topic(), DropReason::SessionEnded);
                shared.drops.note(mailbox.client_id(), topic, claim.qos(), why);
            }
            continue;
        }
        let group = claim.shared().filter(|_| inner.link.is_none()).cloned();
        inner.with_exit(&shared.drops, &mailbox, list, |session, exit| {
            session.handle_stored(place, claim, now, exit);
        });
        // Its client has gone since it was chosen, or another's has come.
        if group.is_some_and(|group| subscribe::has_other(shared, &group, &mailbox))
            && inner.session.share()
        {
            list.records.loads.push(Load::Shared(mailbox.clone()));
        }
        mailbox.enlist(&mut inner, list);
    }
}

fn refuse(shared: &Shared, list: &mut FlushList, published: Published) {
    for (mailbox, _, claim) in published.claims {
        {
            let mut inner = mailbox.lock();
            inner.session.handle_refused(&claim);
            if inner.ended {
                leave::leave_rest(&mut inner, list);
            }
        }
        let (topic, why) = (published.message.topic(), DropReason::StoreFailed);
        shared.drops.note(mailbox.client_id(), topic, claim.qos(), why);
    }
}

fn answer(shared: &Shared, list: &mut FlushList, answer: Answer, is_stored: bool) {
    let Answer { mailbox, wire, packet_ids, qos, mut reason, is_stored: needs } = answer;
    if needs && !is_stored && !reason.is_error() {
        reason = ReasonCode::QuotaExceeded;
    }
    let mut inner = mailbox.lock();
    if inner.ended {
        return;
    }
    let is_its = inner.link.as_ref().is_some_and(|link| link.is(&wire));
    let close = inner.with_exit(&shared.drops, &mailbox, list, |session, exit| {
        if is_its {
            return session.handle_published(packet_ids, qos, reason, exit);
        }
        session.handle_published_late(packet_ids, qos, reason, exit);
        None
    });
    if let (Some(close), Some(link)) = (close, &mut inner.link) {
        link.end(close);
    }
    // Its owner may wait until there are fewer messages to be answered.
    inner.call_waiting_owner();
    mailbox.enlist(&mut inner, list);
}

fn change(shared: &Shared, list: &mut FlushList, mailbox: Mailbox, then: Then, now: Instant) {
    match then {
        Then::Released(from, to) => {
            let Some(keeper) = &shared.keeper else { return };
            if let Some(released) = keeper.put_off(Released { mailbox, from, to }) {
                released.tell(list);
            }
        }
        Then::Send(_) | Then::Complete(_) => {
            mailbox.with(&shared.drops, list, |session, exit| {
                session.handle_recorded(then, now, exit)
            });
        }
    }
}

impl Released {
    fn tell(self, list: &mut FlushList) {
        let mut inner = self.mailbox.lock();
        inner.session.handle_released(self.from, self.to);
        if inner.ended {
            leave::leave_rest(&mut inner, list);
        }
    }
}

impl Drop for Expiring<'_> {
    fn drop(&mut self) {
        let mut list = FlushList::default();
        let released = self.keeper.released_meanwhile.lock().take();
        released.into_iter().flatten().for_each(|it| it.tell(&mut list));
        list.submit(self.shared);
    }
}

fn finish_subscribe(
    shared: &Shared,
    list: &mut FlushList,
    subscribed: Subscribed,
    is_stored: bool,
) {
    let Subscribed { mailbox, wire, request, mut reasons, number, feeds, .. } = subscribed;
    if is_stored {
        mailbox.lock().session.confirm_asked(number);
    } else {
        subscribe::take_back(shared, &mailbox, number);
        reasons.iter_mut().filter(|reason| !reason.is_error()).for_each(|reason| {
            *reason = ReasonCode::QuotaExceeded;
        });
    }
    let told = mailbox.with_link(&wire, &shared.drops, list, |session, exit| {
        session.answer_subscribe(&request, &reasons, exit);
    });
    if told.is_some() && is_stored {
        let mut inner = mailbox.lock();
        if inner.link.as_ref().is_some_and(|link| link.is(&wire)) {
            let is_wanted = |feed: &Feed| feed.is_wanted(&inner.session);
            let feeds = feeds.into_iter().filter(is_wanted).collect();
            inner.feeds.add(feeds);
            wire.signal(CALL);
        }
    }
}

fn finish_unsubscribe(shared: &Shared, list: &mut FlushList, unsubscribed: Unsubscribed) {
    let Unsubscribed { mailbox, wire, packet_id, reasons, .. } = unsubscribed;
    mailbox.with_link(&wire, &shared.drops, list, |session, exit| {
        session.handle_unsubscribed(packet_id, reasons, exit);
    });
}

#[cfg(test)]
#[cfg(not(feature = "interleavings"))]
mod tests;
