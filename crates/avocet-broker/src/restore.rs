//! What the store has, as the broker finds it when it starts: sessions with their subscriptions,
//! retained messages, and what is to be published later. Messages that wait stay where they are.

use std::{
    collections::HashMap,
    num::NonZeroU64,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use avocet_mqtt::{PacketId, SubscriptionIdentifier, SubscriptionOptions};
use avocet_router::{Entry, Filter, Subscriber, SubscriberId};
use avocet_session::{Place, Restored, Session, StoredId};
use avocet_storage::{
    command::{Command, Message, Purpose, SessionNumber, Standing, Time},
    store::Store,
};
use tracing::{error, info};

use crate::{
    broker::Shared,
    kept::{self, Clock},
    leave,
    mailbox::{FlushList, Mailbox},
    records::{Load, Rest, Step},
    timers::Timer,
};

/// Sessions by their numbers in the store.
type Sessions = HashMap<SessionNumber, Mailbox>;

/// Takes over all there is. To be called before a client is let in.
pub(crate) fn restore(shared: &Arc<Shared>, store: &dyn Store) {
    let (begun, clock) = (Instant::now(), Clock::read());
    let mut list = FlushList::default();
    let mut standings = Vec::new();
    store.sessions(&mut |number, standing| standings.push((number, standing.clone())));
    let mut plans = Vec::new();
    let visited = store.plans(&mut |number, due_at, purpose, message| {
        plans.push((number, due_at, purpose, OwnedMessage::of(&message)));
    });
    if let Err(error) = visited {
        error!(%error, "Cannot read all messages that are to be published later.");
    }
    let numbers = standings.iter().map(|(number, _)| number.0);
    let numbers = numbers.chain(plans.iter().map(|(number, ..)| *number));
    shared.number_from(numbers.max().unwrap_or(0));
    let mut sessions = Sessions::new();
    for (number, standing) in &standings {
        if let Some(mailbox) = restore_session(shared, store, &mut list, *number, standing, &clock)
        {
            sessions.insert(*number, mailbox);
        }
    }
    restore_retained(shared, store, &mut list, &clock);
    for (number, due_at, purpose, message) in plans {
        restore_plan(shared, &sessions, &mut list, (number, due_at, purpose), &message, &clock);
    }
    if !sessions.is_empty() || shared.retained.len() > 0 {
        info!(
            sessions = sessions.len(),
            retained = shared.retained.len(),
            seconds = begun.elapsed().as_secs_f32(),
            "Read what was stored."
        );
    }
    // What is to be read is read once clients may come.
    list.flush(shared, Instant::now());
}

/// A message of which nothing lies in the store's memory.
struct OwnedMessage {
    received_at: Time,
    expires_at: Option<Time>,
    flags: u8,
    packet: Vec<u8>,
}

impl OwnedMessage {
    fn of(message: &Message<'_>) -> Self {
        let Message { received_at, expires_at, flags, packet } = *message;
        Self { received_at, expires_at, flags, packet: packet.to_owned() }
    }

    fn borrow(&self) -> Message<'_> {
        let Self { received_at, expires_at, flags, packet } = self;
        Message { received_at: *received_at, expires_at: *expires_at, flags: *flags, packet }
    }
}

/// `None` if its time is over.
fn restore_session(
    shared: &Shared,
    store: &dyn Store,
    list: &mut FlushList,
    number: SessionNumber,
    standing: &Standing,
    clock: &Clock,
) -> Option<Mailbox> {
    let left = left(standing, clock);
    if left.is_some_and(|left| left.is_zero()) {
        end_session(store, list, number, standing);
        return None;
    }
    let amount = store.queued(number);
    // The client may have come and gone without the store having heard of it.
    let may_be_cut = standing.left_at.is_none() || (!store.was_closed() && amount.messages > 0);
    let was_cut = standing.was_cut || may_be_cut;
    if standing.left_at.is_none() || was_cut != standing.was_cut {
        let (session, expiry) = (number, standing.expiry);
        let left_at = Some(standing.left_at.unwrap_or(clock.wall()));
        list.records.note(&Command::Leave { session, expiry, left_at, was_cut });
    }
    let ids = |id: &u16| PacketId::new(*id);
    let received: Vec<PacketId> = standing.received.iter().filter_map(ids).collect();
    let sent = standing.sent.iter();
    let sent = sent.filter_map(|(id, place)| Some((ids(id)?, place.map(|it| Place(it.0)))));
    let restored = Restored {
        expiry_interval: standing.expiry,
        received: &received,
        sent: &sent.collect::<Vec<_>>(),
        waiting: (amount.messages as u64, amount.bytes),
        was_cut,
    };
    let client_id = Arc::from(&*standing.client_id);
    let limits = Arc::clone(&shared.limits);
    let session = Session::restore(client_id, limits, StoredId(number.0), &restored);
    let mailbox = Mailbox::new(SubscriberId(shared.next_number()), session);
    if shared.registry.insert_new(mailbox.clone()).is_err() {
        error!(client_id = standing.client_id, "Stored twice; the second session is dropped.");
        list.records.push_sure(Step::End(StoredId(number.0)));
        return None;
    }
    shared.metrics.sessions.fetch_add(1, Ordering::Relaxed);
    shared.keeper.iter().for_each(|keeper| keeper.enter(StoredId(number.0), &mailbox));
    mailbox.lock().reserved = false;
    for (text, terms) in &standing.subscriptions {
        let (Ok(filter), Some(options)) =
            (Filter::parse(text), SubscriptionOptions::from_byte(terms.options))
        else {
            continue;
        };
        if filter.is_exclusive() && !shared.exclusive.claim(&filter, mailbox.id()) {
            continue;
        }
        let identifier = SubscriptionIdentifier::new(terms.identifier);
        shared.router.subscribe(&filter, mailbox.clone(), Entry { options, identifier });
        let mut inner = mailbox.lock();
        let before = inner.session.has_subscriptions();
        inner.session.restore_subscription(text, options, identifier);
        shared.metrics.note_subscriber(before, true);
    }
    if let Some(left) = left {
        let at = Instant::now() + left;
        leave::set_timer(shared, &mailbox, 0, at, Timer::Session(mailbox.clone(), 0));
    }
    Some(mailbox)
}

/// What shared subscriptions have brought to a session whose time is over is for others, who are
/// there by when it is read.
fn end_session(
    store: &dyn Store,
    list: &mut FlushList,
    number: SessionNumber,
    standing: &Standing,
) {
    let session = StoredId(number.0);
    if store.queued(number).messages == 0 {
        return list.records.push_sure(Step::End(session));
    }
    let in_flight = standing.sent.values().flatten().map(|place| Place(place.0)).collect();
    let client_id = Arc::from(&*standing.client_id);
    let rest = Rest { client_id, session, from: Place(0), in_flight };
    list.records.loads.push(Load::End(Box::new(rest)));
}

/// How long a session lives on; `None`: for ever.
fn left(standing: &Standing, clock: &Clock) -> Option<Duration> {
    let expiry = match standing.expiry {
        u32::MAX => return None,
        seconds => Duration::from_secs(seconds.into()),
    };
    // Who was there when the broker ended has gone by that.
    let away = standing.left_at.map_or(Duration::ZERO, |at| clock.since(at));
    Some(expiry.saturating_sub(away))
}

fn restore_retained(shared: &Shared, store: &dyn Store, list: &mut FlushList, clock: &Clock) {
    let visited = store.retained(&mut |topic, message| {
        let is_over = message.expires_at.is_some_and(|at| at <= clock.wall());
        match kept::read(&message, clock) {
            Some(message) if !is_over => shared.retained.restore(message),
            Some(_) => list.records.note(&Command::Expire { topic, by: clock.wall() }),
            None => list.records.note(&Command::Clear { topic }),
        }
    });
    if let Err(error) = visited {
        error!(%error, "Cannot read all retained messages.");
    }
}

fn restore_plan(
    shared: &Shared,
    sessions: &Sessions,
    list: &mut FlushList,
    (number, due_at, purpose): (u64, Time, Purpose),
    message: &OwnedMessage,
    clock: &Clock,
) {
    let message = message.borrow();
    let its = match purpose {
        // The connection has ended: what was due then is, whoever is back. [MQTT5-3.1.2-8]
        Purpose::Will(_, 0) => None,
        Purpose::Will(..) if due_at <= clock.wall() => None,
        Purpose::Will(session, delay) => sessions.get(&session).zip(Some((session, delay))),
        Purpose::Delayed => None,
    };
    let Some((mailbox, (session, delay))) = its else {
        // The end of its session makes a will due, too.
        let at = match purpose {
            Purpose::Delayed => clock.at(due_at),
            Purpose::Will(..) => Instant::now(),
        };
        if let Some(message) = kept::read(&message, clock) {
            shared.timers.restore(at, message, number);
        }
        return;
    };
    let Some(will) = kept::read_will(&message, delay) else { return };
    let at = match due_at {
        // The client has gone, and its will's delay is not to begin anew with each start.
        Time::NEVER => {
            leave::plan_will(list, number, session, &will, clock);
            Instant::now() + Duration::from_secs(delay.into())
        }
        due_at => clock.at(due_at),
    };
    {
        let mut inner = mailbox.lock();
        inner.will = Some(Box::new(will));
        inner.will_plan = NonZeroU64::new(number);
    }
    leave::set_timer(shared, mailbox, 0, at, Timer::Will(mailbox.clone(), 0));
}
