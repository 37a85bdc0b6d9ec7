//! The place where messages for one client go: its session, and the connection it may have.
//!
//! One lock guards both. Whoever delivers takes it alone, with no other lock held, appends, and
//! lets go; so a client subscribed to its own topic cannot lock itself out.

use std::{
    fmt,
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use avocet_mqtt::{ReasonCode, Will};
use avocet_net::{Incoming, LayerError, Peer};
use avocet_router::{Subscriber, SubscriberId};
use avocet_session::{CloseReason, Session};

use crate::{
    broker::Shared,
    drops::Drops,
    metrics::Tally,
    output::{Exit, Flushed, Output},
    records::{Records, Rest},
    subscribe::Feeds,
    sync::{Mutex, MutexGuard},
    timers::TimerKey,
    wire::{BLOCKED, CALL, CHANGED, CLOSING, DETACHED, Wire},
};

/// What a turn leaves behind: mailboxes with something to write, each once, what it counted, and
/// what is to be stored.
#[derive(Debug, Default)]
pub(crate) struct FlushList {
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) tally: Tally,
    pub(crate) records: Records,
}

impl FlushList {
    /// Writes it all now, for turns outside the shards.
    pub(crate) fn flush(mut self, shared: &Shared, now: Instant) {
        self.submit(shared);
        for mailbox in std::mem::take(&mut self.mailboxes) {
            mailbox.flush(shared, &mut self, now);
        }
        self.submit(shared);
        shared.metrics.take(&mut self.tally);
    }

    /// Gives what is to be stored to the store: before anybody who hears of this turn goes on.
    pub(crate) fn submit(&mut self, shared: &Shared) {
        if let Some(keeper) = &shared.keeper
            && !self.records.is_empty()
        {
            keeper.submit(&mut self.records);
        }
    }
}

/// How often a queue fills the output again before others get their turn.
const ROUNDS_MAX: usize = 4;

/// A handle to one client's mailbox; cheap to clone.
#[derive(Clone)]
pub(crate) struct Mailbox(Arc<Seat>);

struct Seat {
    id: SubscriberId,
    client_id: Arc<str>,
    /// Whether a connection is attached, and whether the session is over: copies of what the lock
    /// guards, for shared subscriptions, which ask many and lock none.
    online: AtomicBool,
    ended: AtomicBool,
    changing: Mutex<()>,
    inner: Mutex<Inner>,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) session: Session,
    pub(crate) link: Option<Link>,
    /// The session is over: nothing may be put in any more.
    pub(crate) ended: bool,
    /// Its first connection is about to be attached, or its last one is not gone yet: nobody else
    /// is let in.
    pub(crate) reserved: bool,
    /// Retained messages on their way to the client.
    pub(crate) feeds: Feeds,
    /// The will of a connection that is gone, until its delay is over.
    pub(crate) will: Option<Box<Will>>,
    /// By which the store has the will of the connection that is there, or of the last one.
    pub(crate) will_plan: Option<NonZeroU64>,
    /// What a session that is over has left in the store, until others may have it.
    pub(crate) rest: Option<Box<Rest>>,
    /// Counts comings and goings, so that a timer set in between knows it is stale.
    pub(crate) epoch: u64,
    /// Timers set when the last connection ended; void once the client is back.
    #[expect(clippy::box_collection, reason = "a session with a connection is to be small")]
    pub(crate) timers: Option<Box<Vec<TimerKey>>>,
    /// The newest connection of the same client, which waits for this one to go.
    heir: Option<Box<Heir>>,
}

/// A connection that waits.
#[derive(Debug)]
struct Heir {
    wire: Arc<Wire>,
    rank: u64,
}

/// The attached connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// Of the client's connections who has come later has a higher one.
    pub(crate) rank: u64,
    pub(crate) wire: Arc<Wire>,
    pub(crate) output: Output,
    pub(crate) closing: Option<CloseReason>,
    pub(crate) peer: Peer,
    pub(crate) username: Option<Box<str>>,
    /// The owner takes no more before some of the client's messages are answered.
    pub(crate) waits: bool,
}

impl Link {
    pub(crate) fn is(&self, wire: &Arc<Wire>) -> bool {
        Arc::ptr_eq(&self.wire, wire)
    }

    /// Has the owner end it.
    pub(crate) fn end(&mut self, close: CloseReason) {
        self.closing = self.closing.or(Some(close));
        self.wire.signal(CLOSING);
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({})", self.0.client_id)
    }
}

impl Subscriber for Mailbox {
    fn id(&self) -> SubscriberId {
        self.0.id
    }
}

impl Mailbox {
    pub(crate) fn new(id: SubscriberId, session: Session) -> Self {
        let client_id = Arc::clone(session.client_id());
        let inner = Inner {
            session,
            link: None,
            ended: false,
            reserved: true,
            feeds: Feeds::default(),
            will: None,
            will_plan: None,
            rest: None,
            epoch: 0,
            timers: None,
            heir: None,
        };
        Self(Arc::new(Seat {
            id,
            client_id,
            online: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            changing: Mutex::new(()),
            inner: Mutex::new(inner),
        }))
    }

    pub(crate) fn client_id(&self) -> &Arc<str> {
        &self.0.client_id
    }

    /// Keeps others from changing what is subscribed: the session and the router are told of it one
    /// after the other, and are to agree. Taken before any other lock.
    pub(crate) fn change_subscriptions(&self) -> MutexGuard<'_, ()> {
        self.0.changing.lock()
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn is_online(&self) -> bool {
        self.0.online.load(Ordering::Relaxed)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.0.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn set_ended(&self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_online(&self, online: bool) {
        self.0.online.store(online, Ordering::Relaxed);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock()
    }

    /// Does something with the session under the lock, and enters the mailbox on the flush list if
    /// that left something to write. `None` if the session is over.
    #[inline]
    pub(crate) fn with<R>(
        &self,
        drops: &Drops,
        flush_list: &mut FlushList,
        work: impl FnOnce(&mut Session, &mut Exit<'_>) -> R,
    ) -> Option<R> {
        self.with_if(|_| true, drops, flush_list, work)
    }

    /// [`with`](Self::with) for the owner of a connection: `None` also if the session has another
    /// connection by now, which must not be taken for this one.
    #[inline]
    pub(crate) fn with_link<R>(
        &self,
        wire: &Arc<Wire>,
        drops: &Drops,
        flush_list: &mut FlushList,
        work: impl FnOnce(&mut Session, &mut Exit<'_>) -> R,
    ) -> Option<R> {
        let is_its = |link: Option<&Link>| link.is_some_and(|link| link.is(wire));
        self.with_if(is_its, drops, flush_list, work)
    }

    /// [`with`](Self::with) if the connection, or that there is none, is what was expected.
    #[inline]
    pub(crate) fn with_if<R>(
        &self,
        is_expected: impl FnOnce(Option<&Link>) -> bool,
        drops: &Drops,
        flush_list: &mut FlushList,
        work: impl FnOnce(&mut Session, &mut Exit<'_>) -> R,
    ) -> Option<R> {
        let mut inner = self.lock();
        if inner.ended || !is_expected(inner.link.as_ref()) {
            return None;
        }
        let result = inner.with_exit(drops, self, flush_list, work);
        self.enlist(&mut inner, flush_list);
        Some(result)
    }

    /// Enters the mailbox on the flush list, once, if there is something to write.
    #[inline]
    pub(crate) fn enlist(&self, inner: &mut Inner, flush_list: &mut FlushList) {
        if let Some(link) = &mut inner.link
            && link.output.waiting() > 0
            && !link.output.queued
        {
            link.output.queued = true;
            flush_list.mailboxes.push(self.clone());
        }
    }

    /// Writes what waits, and lets the session fill up what became free. Called by whoever has the
    /// mailbox on its flush list.
    pub(crate) fn flush(&self, shared: &Shared, list: &mut FlushList, now: Instant) -> Flushed {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let Some(link) = &mut inner.link else { return Flushed::Empty };
        link.output.queued = false;
        inner.write(shared, self, list, now, false)
    }

    /// Takes bytes of a connection out of their envelope: what they carry is appended to `plain`.
    /// They are nobody's if the session has another connection by now.
    pub(crate) fn open_envelope(
        &self,
        wire: &Arc<Wire>,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        flush_list: &mut FlushList,
    ) -> Result<Incoming, LayerError> {
        let mut inner = self.lock();
        let Some(link) = inner.link.as_mut().filter(|link| link.is(wire)) else {
            return Ok(Incoming::End);
        };
        let opened = link.output.open(bytes, plain);
        self.enlist(&mut inner, flush_list);
        opened
    }

    /// The last word on a connection whose end is decided.
    pub(crate) fn say_goodbye(&self, wire: &Arc<Wire>) {
        let mut inner = self.lock();
        if let Some(link) = inner.link.as_mut().filter(|link| link.is(wire)) {
            link.output.say_goodbye(wire);
        }
    }

    /// The owner's turn to write, after the socket became writable again.
    pub(crate) fn flush_as_owner(
        &self,
        shared: &Shared,
        wire: &Arc<Wire>,
        now: Instant,
    ) -> Flushed {
        let mut inner = self.lock();
        match &inner.link {
            Some(link) if link.is(wire) => {}
            Some(_) | None => return Flushed::Broken,
        }
        let mut list = FlushList::default();
        let flushed = inner.write(shared, self, &mut list, now, true);
        drop(inner);
        list.submit(shared);
        shared.metrics.take(&mut list.tally);
        flushed
    }
}

impl Inner {
    /// Whether a newer connection than this has the session or waits for it.
    pub(crate) fn is_outrun(&self, rank: u64) -> bool {
        self.link.as_ref().is_some_and(|link| link.rank > rank)
            || self.heir.as_ref().is_some_and(|heir| heir.rank > rank)
    }

    /// A newer connection waits for the session: it is called by [`call_heir`](Self::call_heir). An
    /// older one that has waited is told to go.
    pub(crate) fn wait(&mut self, wire: &Arc<Wire>, rank: u64) {
        let heir = Box::new(Heir { wire: Arc::clone(wire), rank });
        if let Some(older) = self.heir.replace(heir)
            && !Arc::ptr_eq(&older.wire, wire)
        {
            older.wire.signal(DETACHED);
        }
    }

    /// A connection has come or gone, or the session is over: who waits for it is to ask again.
    pub(crate) fn call_heir(&mut self) {
        if let Some(heir) = &self.heir {
            heir.wire.signal(CHANGED);
        }
    }

    /// The heir is there, or nobody is to wait for this any more.
    pub(crate) fn forget_heir(&mut self, wire: &Arc<Wire>) {
        if let Some(heir) = self.heir.take()
            && !Arc::ptr_eq(&heir.wire, wire)
        {
            heir.wire.signal(DETACHED);
        }
    }

    /// The session, and its way out.
    #[inline]
    pub(crate) fn with_exit<R>(
        &mut self,
        drops: &Drops,
        mailbox: &Mailbox,
        list: &mut FlushList,
        work: impl FnOnce(&mut Session, &mut Exit<'_>) -> R,
    ) -> R {
        let output = self.link.as_mut().map(|link| &mut link.output);
        let FlushList { tally, records, .. } = list;
        work(&mut self.session, &mut Exit { output, drops, mailbox, tally, records })
    }

    /// Something the client has sent is stored, or refused.
    pub(crate) fn note_stored(&mut self) {
        self.session.note_stored();
        self.call_waiting_owner();
    }

    /// The owner of the connection, if it waits for answers, is to have a turn.
    pub(crate) fn call_waiting_owner(&mut self) {
        if let Some(link) = &mut self.link
            && std::mem::take(&mut link.waits)
        {
            link.wire.signal(CALL);
        }
    }

    fn write(
        &mut self,
        shared: &Shared,
        mailbox: &Mailbox,
        list: &mut FlushList,
        now: Instant,
        owner: bool,
    ) -> Flushed {
        for _ in 0..ROUNDS_MAX {
            let Some(link) = &mut self.link else { return Flushed::Empty };
            let flushed = link.output.flush(&link.wire, owner, &mut list.tally);
            match flushed {
                Flushed::Empty => link.wire.clear(BLOCKED),
                Flushed::Blocked | Flushed::More => {
                    // An owner who knows is not called again.
                    if link.wire.signals() & BLOCKED == 0 {
                        link.wire.signal(BLOCKED);
                    }
                    return flushed;
                }
                Flushed::Broken => {
                    link.wire.signal(CLOSING);
                    return flushed;
                }
            }
            if !self.session.has_waiting() {
                return flushed;
            }
            self.with_exit(&shared.drops, mailbox, list, |session, exit| session.pump(now, exit));
            if self.link.as_ref().is_none_or(|link| link.output.waiting() == 0) {
                return flushed;
            }
        }
        // A long queue on a fast connection: the rest is the owner's, so that others get a turn.
        let Some(link) = &mut self.link else { return Flushed::Empty };
        link.output.block();
        link.wire.signal(BLOCKED);
        Flushed::More
    }

    /// Ends the connection from our side, after what is written.
    pub(crate) fn close(
        &mut self,
        shared: &Shared,
        mailbox: &Mailbox,
        reason: ReasonCode,
        detail: &'static str,
    ) {
        // Nothing of what a session stores comes of its connection's end being told.
        let mut list = FlushList::default();
        let close = self.with_exit(&shared.drops, mailbox, &mut list, |session, exit| {
            session.close(reason, detail, exit)
        });
        let Some(link) = &mut self.link else { return };
        link.closing = link.closing.or(close);
        let blocked = link.output.flush(&link.wire, false, &mut list.tally) == Flushed::Blocked;
        shared.metrics.take(&mut list.tally);
        link.wire.signal(if blocked { BLOCKED | CLOSING } else { CLOSING });
    }
}
