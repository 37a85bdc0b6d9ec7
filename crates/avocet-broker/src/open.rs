//! A CONNECT becomes a mailbox: a new session, one that is resumed, or one taken over from an
//! older connection (section 3.1.4).
//!
//! A session that has a connection is not taken from under it: the older connection is told to go,
//! and the newer one waits until it has, so that no packet of the one is taken for the other's.

use std::{
    num::NonZeroU64,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use avocet_mqtt::{Connect, ReasonCode};
use avocet_net::Peer;
use avocet_router::SubscriberId;
use avocet_session::{Admission, Refusal, Session, StoredId, handshake};
use avocet_storage::command::{Command, Purpose, SessionNumber, Standing, Time};

use crate::{
    broker::{Listening, Shared},
    envelope::Envelope,
    leave,
    mailbox::{FlushList, Inner, Link, Mailbox},
    metrics::Metrics,
    output::Output,
    publish,
    records::{Content, Plan, Step},
    subscribe,
    sync::MutexGuard,
    sys,
    wire::{BLOCKED, DETACHED, Wire},
};

/// A connection that asks for a session.
pub(crate) struct Entrance<'e> {
    pub(crate) shared: &'e Arc<Shared>,
    pub(crate) wire: &'e Arc<Wire>,
    /// Of the client's connections who has come later has a higher one.
    pub(crate) rank: u64,
    pub(crate) peer: Peer,
    /// What lies around the connection's bytes; the mailbox takes it over.
    pub(crate) envelope: &'e mut Option<Box<Envelope>>,
    pub(crate) now: Instant,
    pub(crate) list: &'e mut FlushList,
}

/// What became of a client that may come in.
pub(crate) enum Opening {
    /// It has its session.
    Opened {
        mailbox: Mailbox,
        /// How long it may be silent.
        silence_max: Option<Duration>,
    },
    /// Its older connection has been told to go, or what it began anew is not over for good; to
    /// ask again when the wire has `CHANGED`.
    Wait(Admission),
    /// It has been outrun: a newer connection has the session, or waits for it.
    Outrun,
}

/// Whether a client may come in, and as whom. `is_verified`: it has shown a good certificate.
pub(crate) fn admit(
    shared: &Shared,
    listening: &Listening,
    connect: Box<Connect>,
    is_verified: bool,
) -> Result<Admission, Refusal> {
    if !listening.allow_anonymous && !is_verified {
        return Err(Refusal::new(
            ReasonCode::NotAuthorized,
            "this listener lets in no client without credentials, and there is no authenticator",
        )
        .to(&connect));
    }
    let mut admission = handshake::admit(connect, &shared.limits, || shared.assign_client_id())?;
    if let Some(template) = &listening.mountpoint {
        admission.mount(template)?;
    }
    if let Some(will) = &admission.connect.will
        && let Some((reason, _)) = publish::refuses(shared, &will.topic)
    {
        return Err(Refusal::new(reason, "the will topic is not one that clients publish to")
            .to(&admission.connect));
    }
    let sessions = shared.metrics.sessions.load(Ordering::Relaxed);
    if sessions >= shared.options.sessions_max
        && shared.registry.get(&admission.client_id).is_none()
    {
        return Err(Refusal::new(ReasonCode::QuotaExceeded, "there are too many sessions")
            .to(&admission.connect));
    }
    if shared.is_blind && !admission.connect.clean_start {
        let detail = "the sessions that are stored cannot be read now";
        return Err(Refusal::new(ReasonCode::ServerUnavailable, detail).to(&admission.connect));
    }
    // What is promised to a session has to be stored first.
    let is_new = || shared.registry.get(&admission.client_id).is_none();
    if admission.expiry_interval > 0 && ((shared.is_failing() && is_new()) || is_burdened(shared)) {
        let detail = "a session that outlives its connection cannot be stored now";
        return Err(Refusal::new(ReasonCode::ServerUnavailable, detail).to(&admission.connect));
    }
    Ok(admission)
}

/// Whether so much waits to be stored that nothing more is begun.
fn is_burdened(shared: &Shared) -> bool {
    shared.keeper.as_ref().is_some_and(|keeper| keeper.store().is_burdened())
}

impl Entrance<'_> {
    /// Gives the client its session and answers its CONNECT.
    pub(crate) fn open(mut self, admission: Admission) -> Opening {
        loop {
            let Some(mailbox) = self.shared.registry.get(&admission.client_id) else {
                if self.has_to_wait(&admission) {
                    self.list.records.push_sure(Step::Ended(Arc::clone(self.wire)));
                    return Opening::Wait(admission);
                }
                let mailbox = self.reserve(&admission);
                if self.shared.registry.insert_new(mailbox.clone()).is_err() {
                    continue;
                }
                Metrics::add(&self.shared.metrics.sessions, 1);
                let mut inner = mailbox.lock();
                // [MQTT3-3.2.2-1] [MQTT3-3.2.2-3] [MQTT5-3.2.2-2] [MQTT5-3.2.2-3]
                self.attach(&mailbox, &mut inner, admission, false);
                drop(inner);
                return self.opened(mailbox);
            };
            let mut inner = mailbox.lock();
            if inner.ended {
                drop(inner);
                self.shared.registry.remove(&mailbox);
            } else if inner.is_outrun(self.rank) {
                return Opening::Outrun;
            } else if inner.reserved || inner.link.is_some() {
                self.tell_to_go(&mailbox, &mut inner);
                inner.wait(self.wire, self.rank);
                return Opening::Wait(admission);
            } else if admission.connect.clean_start {
                // [MQTT3-3.1.4-3] [MQTT5-3.1.4-4]
                // [MQTT3-3.1.2-6] [MQTT5-3.1.2-4]
                let ended = leave::end(self.shared, self.list, &mailbox, &mut inner);
                drop(inner);
                leave::bury(self.shared, self.list, &mailbox, ended, self.now);
            } else {
                // [MQTT3-3.1.2-4] [MQTT5-3.1.2-5] [MQTT5-3.1.2-6]
                return self.resume(admission, &mailbox, inner);
            }
        }
    }

    /// Whether the session that the client had before would be there again after a crash: then it
    /// is not to be told that it begins anew.
    fn has_to_wait(&self, admission: &Admission) -> bool {
        let keeper = self.shared.keeper.as_ref();
        keeper.is_some_and(|it| it.is_leaving(&admission.client_id)) && !self.shared.is_failing()
    }

    fn resume(
        &mut self,
        admission: Admission,
        mailbox: &Mailbox,
        mut inner: MutexGuard<'_, Inner>,
    ) -> Opening {
        // The client is back before its will's delay was over ([MQTT5-3.1.3-9]).
        inner.will = None;
        if let Some(plan) = inner.will_plan.take() {
            self.list.records.note(&Command::Unplan { plan: plan.get() });
        }
        let timers = inner.timers.take();
        // [MQTT3-3.2.2-2] [MQTT5-3.2.2-3]
        self.attach(mailbox, &mut inner, admission, true);
        drop(inner);
        if let Some(timers) = timers {
            self.shared.timers.cancel(&timers);
        }
        subscribe::collect_shared(self.shared, self.list, mailbox, self.now);
        self.opened(mailbox.clone())
    }

    fn opened(&mut self, mailbox: Mailbox) -> Opening {
        let silence_max = mailbox.lock().session.silence_max();
        sys::connected(self.shared, self.list, &mailbox, self.now);
        Opening::Opened { mailbox, silence_max }
    }

    /// A mailbox that nobody else enters before its first connection has.
    fn reserve(&self, admission: &Admission) -> Mailbox {
        Mailbox::new(
            SubscriberId(self.shared.next_number()),
            Session::new(Arc::clone(&admission.client_id), Arc::clone(&self.shared.limits)),
        )
    }

    /// Ends the connection a client has, because it has come again ([MQTT3-3.1.4-2],
    /// [MQTT5-3.1.4-3]).
    fn tell_to_go(&self, mailbox: &Mailbox, inner: &mut Inner) {
        let detail = "the client has connected again";
        let reason = ReasonCode::SessionTakenOver;
        inner.close(self.shared, mailbox, reason, detail);
        if let Some(link) = &inner.link {
            link.wire.signal(DETACHED);
        }
    }

    fn attach(
        &mut self,
        mailbox: &Mailbox,
        inner: &mut Inner,
        admission: Admission,
        session_present: bool,
    ) {
        let mut output = Output::new(
            admission.connect.version,
            admission.connect.maximum_packet_size,
            Arc::clone(&self.shared.limits),
            self.envelope.take_if(|envelope| !envelope.is_gone()),
        );
        if output.waiting() > 0 {
            // The system did not take all that the layers have answered.
            output.block();
            self.wire.signal(BLOCKED);
        }
        inner.link = Some(Link {
            rank: self.rank,
            wire: Arc::clone(self.wire),
            output,
            closing: None,
            peer: self.peer,
            username: admission.connect.username.as_deref().map(Box::from),
            waits: false,
        });
        inner.epoch += 1;
        inner.reserved = false;
        inner.forget_heir(self.wire);
        let is_new = !session_present;
        let expiry = admission.expiry_interval;
        if let Some(keeper) = self.shared.keeper.as_ref().filter(|_| is_new && expiry > 0) {
            let stored = StoredId(self.shared.next_number());
            inner.session.store_as(stored);
            keeper.enter(stored, mailbox);
        }
        inner.with_exit(&self.shared.drops, mailbox, self.list, |session, exit| {
            session.attach(admission, session_present, self.now, exit);
        });
        self.record(inner, is_new, expiry);
        mailbox.set_online(true);
        mailbox.enlist(inner, self.list);
    }

    /// Has the store know of a session that has come to be, or has its client back, and of its
    /// will.
    fn record(&mut self, inner: &mut Inner, is_new: bool, expiry: u32) {
        let Some(stored) = inner.session.stored_id() else { return };
        let session = SessionNumber(stored.0);
        let records = &mut self.list.records;
        if is_new {
            let client_id = inner.session.client_id().to_string();
            let standing = Standing { client_id, expiry, ..Standing::default() };
            records.note(&Command::Stand { session, standing: Box::new(standing) });
        } else {
            records.note(&Command::Leave { session, expiry, left_at: None, was_cut: false });
        }
        if let Some(will) = inner.session.will() {
            let number = self.shared.next_number();
            let plan = Plan {
                number,
                due_at: Time::NEVER,
                purpose: Purpose::Will(session, will.delay_interval),
                content: Content::Will(Box::new(will.clone())),
            };
            records.push_sure(Step::Plan(plan));
            inner.will_plan = NonZeroU64::new(number);
        }
        if is_new {
            // Before anybody may have something for it.
            self.list.submit(self.shared);
        }
    }
}
