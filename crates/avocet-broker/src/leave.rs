//! A connection ends; its will is published, now or later; its session ends with it or goes on
//! without it (sections 3.1.2.5, 4.1).

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use avocet_mqtt::{ApplicationMessage, Publish, QoS, Transit, Will};
use avocet_router::{Filter, Subscriber};
use avocet_session::{DropReason, Place, StoredId, Undelivered};
use avocet_storage::command::{Command, Purpose, SessionNumber, Time};

use crate::{
    broker::Shared,
    deliver::Way,
    kept::Clock,
    mailbox::{FlushList, Inner, Mailbox},
    publish,
    records::{Content, Load, Plan, Rest, Step},
    subscribe::Feeds,
    sys,
    timers::{self, Timer, TimerKey},
    wire::{DETACHED, Wire},
};

/// The connection is gone, for whatever reason. Nothing happens if the session has another one.
pub(crate) fn detach(
    shared: &Arc<Shared>,
    list: &mut FlushList,
    mailbox: &Mailbox,
    wire: &Arc<Wire>,
    reason: &str,
    now: Instant,
) {
    let Some(left) = unlink(shared, list, mailbox, wire) else { return };
    let reserved = Reserved(mailbox);
    sys::disconnected(shared, list, mailbox, reason, now);
    settle(shared, list, mailbox, left, now);
    // Its successor may be on another shard, and be faster.
    list.submit(shared);
    // Only now: its end is told, its will is sent and what it has recorded is on its way before its
    // successor comes in.
    drop(reserved);
}

/// Keeps a session for whoever has just left it; its client may come in when this ends, however
/// that is.
struct Reserved<'m>(&'m Mailbox);

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.reserved = false;
        inner.call_heir();
    }
}

/// What a connection leaves to be dealt with outside the lock.
struct Left {
    epoch: u64,
    /// To be published at once: nobody who comes back in between takes it away.
    will: Option<Box<Will>>,
    /// How long the will waits that lies in the mailbox.
    will_delay: Option<Duration>,
    /// `None` = for ever.
    expires_after: Option<Duration>,
    undelivered: Vec<Undelivered>,
    /// What the store has for shared subscriptions may be for others.
    is_to_share: bool,
    /// Set if the session ended with its connection.
    ended: Option<Ended>,
}

/// What a session that is over leaves.
pub(crate) struct Ended {
    filters: Vec<String>,
    undelivered: Vec<Undelivered>,
    timers: Vec<TimerKey>,
    was_stored: bool,
    /// Nothing of it is to stay in the store.
    forgotten: Option<StoredId>,
}

/// Takes the connection off. A session without expiry ends under the same lock: a client that comes
/// again at this moment must not find a session that is about to end.
fn unlink(
    shared: &Shared,
    list: &mut FlushList,
    mailbox: &Mailbox,
    wire: &Arc<Wire>,
) -> Option<Left> {
    let mut inner = mailbox.lock();
    if inner.ended || !inner.link.as_ref().is_some_and(|link| link.is(wire)) {
        return None;
    }
    inner.link = None;
    inner.reserved = true;
    inner.epoch += 1;
    mailbox.set_online(false);
    let detached = inner.session.detach();
    // [MQTT3-4.1.0-1]
    let ends_now = detached.expires_after.is_some_and(|after| after.is_zero());
    let is_due = |will: &mut Box<Will>| will.delay_interval == 0 || ends_now;
    let mut waiting = detached.will;
    let will = waiting.take_if(is_due);
    let will_delay = waiting.as_ref().map(|will| Duration::from_secs(will.delay_interval.into()));
    if !ends_now {
        record(list, &mut inner, waiting.as_deref(), will.is_some());
    }
    inner.will = waiting;
    let is_to_share = !ends_now && inner.session.may_be_shared() && inner.session.share();
    let ended = ends_now.then(|| end(shared, list, mailbox, &mut inner));
    Some(Left {
        is_to_share,
        epoch: inner.epoch,
        will,
        will_delay,
        expires_after: detached.expires_after,
        undelivered: detached.undelivered,
        ended,
    })
}

/// Has the store know that a client has gone whose session stays, and when its will is due.
fn record(list: &mut FlushList, inner: &mut Inner, waiting: Option<&Will>, is_due: bool) {
    let Some(stored) = inner.session.stored_id() else { return };
    let (session, clock) = (SessionNumber(stored.0), Clock::read());
    let (expiry, left_at) = (inner.session.expiry_interval(), Some(clock.wall()));
    let was_cut = inner.session.is_uncertain();
    list.records.note(&Command::Leave { session, expiry, left_at, was_cut });
    match (waiting, inner.will_plan) {
        (Some(will), Some(plan)) => {
            plan_will(list, plan.get(), session, will, &clock);
        }
        (None, Some(plan)) if !is_due => {
            inner.will_plan = None;
            list.records.note(&Command::Unplan { plan: plan.get() });
        }
        (Some(_) | None, _) => {}
    }
}

/// Has the store know that a will's delay begins.
pub(crate) fn plan_will(
    list: &mut FlushList,
    number: u64,
    session: SessionNumber,
    will: &Will,
    clock: &Clock,
) {
    let delay = will.delay_interval;
    let due_at = Time(clock.wall().0.saturating_add(u64::from(delay) * 1000));
    let (purpose, content) = (Purpose::Will(session, delay), Content::Will(Box::new(will.clone())));
    list.records.push_sure(Step::Plan(Plan { number, due_at, purpose, content }));
}

fn settle(shared: &Arc<Shared>, list: &mut FlushList, mailbox: &Mailbox, left: Left, now: Instant) {
    redeliver(shared, list, Some(mailbox), left.undelivered, now);
    if left.is_to_share {
        list.records.loads.push(Load::Shared(mailbox.clone()));
    }
    // [MQTT3-3.1.2-12]
    if let Some(will) = left.will {
        publish_this_will(shared, list, mailbox, &will, now); // [MQTT3-3.1.2-8] [MQTT5-3.1.2-8]
    }
    if let Some(ended) = left.ended {
        return bury(shared, list, mailbox, ended, now);
    }
    if let Some(delay) = left.will_delay {
        let timer = Timer::Will(mailbox.clone(), left.epoch);
        set_timer(shared, mailbox, left.epoch, now + delay, timer);
    }
    if let Some(after) = left.expires_after {
        let timer = Timer::Session(mailbox.clone(), left.epoch);
        set_timer(shared, mailbox, left.epoch, now + after, timer);
    }
}

/// Sets a timer and notes it in the mailbox, unless the client is back already.
pub(crate) fn set_timer(shared: &Shared, mailbox: &Mailbox, epoch: u64, at: Instant, timer: Timer) {
    let key = shared.timers.set(at, timer);
    let noted = {
        let mut inner = mailbox.lock();
        let stands = inner.epoch == epoch;
        if stands {
            inner.timers.get_or_insert_default().push(key);
        }
        stands
    };
    if !noted {
        shared.timers.cancel(&[key]);
    }
}

/// Publishes the will that waits in a mailbox, if one does.
pub(crate) fn publish_will(shared: &Shared, list: &mut FlushList, mailbox: &Mailbox, now: Instant) {
    let will = mailbox.lock().will.take(); // [MQTT3-3.1.2-10] [MQTT5-3.1.2-10]
    if let Some(will) = will {
        publish_this_will(shared, list, mailbox, &will, now);
    } else {
        forget_will(list, mailbox);
    }
}

/// Whatever the store has of a will is done with.
fn forget_will(list: &mut FlushList, mailbox: &Mailbox) {
    let plan = mailbox.lock().will_plan.take();
    if let Some(plan) = plan {
        // Behind the message itself.
        list.records.push_sure(Step::Unplan(plan.get()));
    }
}

fn publish_this_will(
    shared: &Shared,
    list: &mut FlushList,
    mailbox: &Mailbox,
    will: &Will,
    now: Instant,
) {
    let message = message_of(will, now);
    publish_now_or_later(shared, list, &message, Some(mailbox), now);
    forget_will(list, mailbox);
}

/// Publishes what its client has not to be told of.
pub(crate) fn publish_now_or_later(
    shared: &Shared,
    list: &mut FlushList,
    message: &Arc<ApplicationMessage>,
    from: Option<&Mailbox>,
    now: Instant,
) {
    list.records.is_sure = true;
    if message.topic().starts_with("$delayed/") {
        let client_id = from.map_or("", |mailbox| mailbox.client_id());
        timers::delay(shared, list, client_id, &Transit::from_shared(message), now);
    } else {
        publish::publish_message(shared, list, message, from, now);
    }
    list.records.is_sure = false;
}

fn message_of(will: &Will, now: Instant) -> Arc<ApplicationMessage> {
    let mut publish = Publish::new(&will.topic, &will.payload);
    publish.qos = will.qos;
    // [MQTT5-3.1.2-15]
    publish.retain = will.retain; // [MQTT3-3.1.2-16] [MQTT3-3.1.2-17] [MQTT5-3.1.2-14]
    publish.message_expiry_interval = will.message_expiry_interval;
    publish.properties = will.properties.borrow(); // [MQTT5-3.1.3-10]
    Arc::clone(Transit::new(&publish, now).share())
}

/// Ends a session. With an `epoch`, only if the client has not been back since.
pub(crate) fn end_session(
    shared: &Shared,
    list: &mut FlushList,
    mailbox: &Mailbox,
    epoch: Option<u64>,
    now: Instant,
) {
    let ended = {
        let mut inner = mailbox.lock();
        // [MQTT3-4.1.0-2]
        if inner.ended || epoch.is_some_and(|epoch| epoch != inner.epoch) {
            return;
        }
        end(shared, list, mailbox, &mut inner)
    };
    bury(shared, list, mailbox, ended, now);
}

/// Nothing may be put into the mailbox any more; what waited is dropped or given back.
pub(crate) fn end(
    shared: &Shared,
    list: &mut FlushList,
    mailbox: &Mailbox,
    inner: &mut Inner,
) -> Ended {
    inner.ended = true;
    inner.feeds = Feeds::default();
    mailbox.set_ended();
    inner.epoch += 1;
    if let Some(link) = inner.link.take() {
        link.wire.signal(DETACHED);
        mailbox.set_online(false);
        inner.will = inner.session.detach().will;
    }
    shared.metrics.note_subscriber(inner.session.has_subscriptions(), false);
    let filters: Vec<String> = inner.session.filters().map(str::to_owned).collect();
    let in_store = inner.session.left_in_store();
    let may_be_shared = inner.session.may_be_shared();
    let undelivered =
        inner.with_exit(&shared.drops, mailbox, list, |session, exit| session.end(exit));
    let mut forgotten = None;
    if let Some(stored) = inner.session.stored_id() {
        shared.keeper.iter().for_each(|keeper| keeper.leave(stored, mailbox.client_id()));
        let (left, _) = inner.session.stored_amount();
        if may_be_shared {
            keep_rest(list, inner, stored, in_store);
        } else {
            let (qos, why) = (QoS::AtLeastOnce, DropReason::SessionEnded);
            // What is about to be stored is dropped when it is.
            let left = left.saturating_sub(inner.session.claimed());
            shared.drops.note_all(mailbox.client_id(), "", qos, why, left);
            forgotten = Some(stored);
        }
    }
    let timers = inner.timers.take().map_or_else(Vec::new, |it| *it);
    let was_stored = inner.session.stored_id().is_some();
    Ended { filters, undelivered, timers, was_stored, forgotten }
}

/// What shared subscriptions have brought to a session that is over is for others. Until they have
/// it, it stays in the store, where nobody finds the session as one that goes on.
fn keep_rest(
    list: &mut FlushList,
    inner: &mut Inner,
    stored: StoredId,
    (from, in_flight): (Place, Vec<Place>),
) {
    let (session, left_at) = (SessionNumber(stored.0), Some(Clock::read().wall()));
    list.records.note(&Command::Leave { session, expiry: 0, left_at, was_cut: false });
    let client_id = Arc::clone(inner.session.client_id());
    inner.rest = Some(Box::new(Rest { client_id, session: stored, from, in_flight }));
    leave_rest(inner, list);
}

/// Gives what a session that is over has in the store to others, once all it had a right to is
/// there and nobody reads it. False if it leaves nothing.
pub(crate) fn leave_rest(inner: &mut Inner, list: &mut FlushList) -> bool {
    let is_left = inner.rest.is_some();
    if inner.session.is_settled()
        && let Some(rest) = inner.rest.take()
    {
        list.records.loads.push(Load::End(rest));
    }
    is_left
}

/// What follows from a session's end: its subscriptions go, its will is published, shared work is
/// given to others ([MQTT5-4.1.0-2]).
pub(crate) fn bury(
    shared: &Shared,
    list: &mut FlushList,
    mailbox: &Mailbox,
    ended: Ended,
    now: Instant,
) {
    shared.timers.cancel(&ended.timers);
    shared.registry.remove(mailbox);
    shared.metrics.sessions.fetch_sub(1, Ordering::Relaxed);
    for filter in ended.filters {
        if let Ok(filter) = Filter::parse(&filter) {
            shared.unsubscribe(&filter, mailbox.id());
        }
    }
    publish_will(shared, list, mailbox, now);
    redeliver(shared, list, Some(mailbox), ended.undelivered, now);
    ended.forgotten.into_iter().for_each(|it| list.records.push_sure(Step::End(it)));
    if ended.was_stored {
        list.records.push_sure(Step::Over(Arc::clone(mailbox.client_id())));
    }
    mailbox.lock().call_heir();
}

/// Gives messages of shared subscriptions to other members (section 4.8.2). `of`: who has had them,
/// if that session has still to hear that the store has them no longer.
pub(crate) fn redeliver(
    shared: &Shared,
    list: &mut FlushList,
    of: Option<&Mailbox>,
    undelivered: Vec<Undelivered>,
    now: Instant,
) {
    let way = Way { shared, from: None, now };
    let first = shared.dice();
    list.records.is_sure = true;
    list.records.begin();
    for (turn, undelivered) in undelivered.into_iter().enumerate() {
        let Undelivered { subscription, message, stored } = undelivered;
        let transit = Transit::from_shared(&message);
        let dice = first.wrapping_add(turn as u64);
        way.deliver_to_subscription(&transit, &subscription, dice, list);
        if let Some((session, place)) = stored {
            list.records.push(Step::Release(of.cloned(), session, place));
        }
    }
    list.records.is_sure = false;
}
