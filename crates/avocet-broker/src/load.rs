//! What waits in the store, read for those who get it: a page at a time, so that who has much does
//! not keep others waiting.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use avocet_mqtt::{QoS, SubscriptionIdentifier};
use avocet_session::{Claim, DropReason, Page, Place, Session, StoredId, Undelivered};
use avocet_storage::{
    command::{self, Message, SessionNumber},
    store::Amount,
};
use tracing::error;

use crate::{
    broker::Shared,
    keeper::Keeper,
    kept::{self, Clock},
    leave,
    mailbox::{FlushList, Mailbox},
    output::Exit,
    records::{Load, Rest, Sharing, Step},
    subscribe,
    timers::Timer,
};

/// Bytes that are read at once, and one message.
const PAGE_BYTES: u64 = 1 << 20;
/// Messages that are read at once to be given to others.
const PAGE_MESSAGES: usize = 256;
/// How long a store is left alone that could not be read.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is left of what was to be read.
enum Left {
    Nothing,
    /// To go on with, once others had their turn and the store has what this page has brought it:
    /// else pages would be read faster than that is stored, and who publishes would wait behind all
    /// of them.
    Some(Load),
    /// The same, when the store has had time.
    Later(Load),
}

/// Reads a page. What it brings about is in the list, even if it panics.
pub(crate) fn load(shared: &Arc<Shared>, keeper: &Keeper, list: &mut FlushList, wanted: Load) {
    let left = match wanted {
        Load::Queue(mailbox) => fill(shared, list, mailbox),
        Load::Shared(mailbox) => begin_sharing(shared, list, mailbox),
        // These bring the store more.
        wanted @ (Load::Sharing(_) | Load::End(_) | Load::Expired(_))
            if keeper.store().is_burdened() =>
        {
            Left::Later(wanted)
        }
        Load::Sharing(sharing) => share(shared, list, sharing),
        Load::End(rest) => end(shared, list, rest),
        Load::Expired(sweep) => {
            let _expiring = keeper.begin_expiring(shared, &sweep);
            if expire(shared, keeper, list) {
                Left::Some(Load::Expired(sweep))
            } else {
                Left::Nothing
            }
        }
    };
    match left {
        Left::Nothing => {}
        Left::Some(left) => list.records.push_sure(Step::Next(left)),
        Left::Later(left) => {
            _ = shared.timers.set(Instant::now() + RETRY_AFTER, Timer::Load(left));
        }
    }
}

/// Reads what a client has room for.
fn fill(shared: &Shared, list: &mut FlushList, mailbox: Mailbox) -> Left {
    let wanted = mailbox.lock().session.load_from();
    let Some((session, from, messages)) = wanted else { return Left::Nothing };
    let Ok(page) = read(shared, mailbox.client_id(), session, from, messages) else {
        // It waits for what it has asked for, unless it is over.
        after_reading(shared, list, &mailbox, |_, _| {});
        return Left::Later(Load::Queue(mailbox));
    };
    let now = Instant::now();
    after_reading(shared, list, &mailbox, |session, exit| {
        session.handle_loaded(from, page, now, exit);
    });
    Left::Nothing
}

/// Has a session hear that it was read. If it is over by now, others may have what it has left.
fn after_reading(
    shared: &Shared,
    list: &mut FlushList,
    mailbox: &Mailbox,
    hear: impl FnOnce(&mut Session, &mut Exit<'_>),
) {
    let mut inner = mailbox.lock();
    if inner.ended {
        inner.session.give_up_loading();
        leave::leave_rest(&mut inner, list);
        return;
    }
    inner.with_exit(&shared.drops, mailbox, list, hear);
    // What was to be shared meanwhile is to be now.
    if inner.session.is_to_share() {
        list.records.loads.push(Load::Shared(mailbox.clone()));
    }
    mailbox.enlist(&mut inner, list);
}

/// Gives what shared subscriptions have brought to a session without a connection to members that
/// have one: what is in memory first.
fn begin_sharing(shared: &Arc<Shared>, list: &mut FlushList, mailbox: Mailbox) -> Left {
    let Some((session, mut subscriptions)) = take_for_sharing(&mailbox) else {
        return Left::Nothing;
    };
    subscriptions.sort_unstable();
    subscriptions.dedup();
    let is_unshared = subscriptions.is_empty();
    subscriptions.retain(|subscription| subscribe::has_other(shared, subscription, &mailbox));
    give(shared, list, &mailbox, |session| {
        subscriptions.iter().flat_map(|it| session.take_shared_of(it)).collect()
    });
    Left::Some(Load::Sharing(Box::new(Sharing { mailbox, session, from: Place(0), is_unshared })))
}

fn take_for_sharing(mailbox: &Mailbox) -> Option<(StoredId, Vec<Arc<str>>)> {
    let mut inner = mailbox.lock();
    if inner.ended {
        return None;
    }
    Some((inner.session.begin_sharing()?, inner.session.shared_in_memory()))
}

/// A page of what is in the store.
fn share(shared: &Arc<Shared>, list: &mut FlushList, mut sharing: Box<Sharing>) -> Left {
    let Sharing { mailbox, session, from, is_unshared } = &mut *sharing;
    // However long the queue, no more is remembered than the store has not heard of.
    mailbox.lock().session.begin_page();
    let page = read(shared, mailbox.client_id(), *session, *from, PAGE_MESSAGES);
    let could_read = page.is_ok();
    let page = page.unwrap_or_default();
    let next = page.next();
    mailbox.with(&shared.drops, list, |session, exit| session.handle_lost(&page.lost, exit));
    let mut its = page.found;
    its.retain(|(_, claim)| claim.shared().is_some());
    *is_unshared &= its.is_empty() && could_read;
    // Who has asked once need not again.
    let mut known: HashMap<Arc<str>, bool> = HashMap::new();
    its.retain(|(_, claim)| {
        let look = |subscription: &Arc<str>| subscribe::has_other(shared, subscription, mailbox);
        claim.shared().is_some_and(|it| *known.entry(Arc::clone(it)).or_insert_with(|| look(it)))
    });
    let is_given = give(shared, list, mailbox, |session| {
        its.into_iter().filter_map(|(place, claim)| session.give_away(place, claim)).collect()
    });
    if let (Some(next), true) = (next, is_given) {
        *from = next;
        return Left::Some(Load::Sharing(sharing));
    }
    if *is_unshared && next.is_none() {
        mailbox.lock().session.note_unshared();
    }
    // Only then: what was given away must not be read again.
    list.records.push_sure(Step::Loaded(mailbox.clone()));
    if could_read { Left::Nothing } else { Left::Later(Load::Shared(mailbox.clone())) }
}

/// Gives what a session gives away to others. False if its client is back, or it is over.
fn give(
    shared: &Arc<Shared>,
    list: &mut FlushList,
    mailbox: &Mailbox,
    take: impl FnOnce(&mut Session) -> Vec<Undelivered>,
) -> bool {
    let undelivered = {
        let mut inner = mailbox.lock();
        if inner.link.is_some() || inner.ended {
            return false;
        }
        take(&mut inner.session)
    };
    leave::redeliver(shared, list, Some(mailbox), undelivered, Instant::now());
    true
}

/// A session was read, and what was given away of it is stored with others.
pub(crate) fn finish(shared: &Shared, list: &mut FlushList, mailbox: &Mailbox, now: Instant) {
    after_reading(shared, list, mailbox, |session, exit| session.end_loading(now, exit));
}

/// Gives what shared subscriptions have brought to a session that is over to others; all else is
/// dropped.
fn end(shared: &Arc<Shared>, list: &mut FlushList, mut rest: Box<Rest>) -> Left {
    let Rest { client_id, session, from, in_flight } = &mut *rest;
    let Ok(page) = read(shared, client_id, *session, *from, PAGE_MESSAGES) else {
        return Left::Later(Load::End(rest));
    };
    let next = page.next();
    let undelivered = |(place, claim): (Place, Claim)| {
        let message = Arc::clone(claim.message());
        // [MQTT5-4.8.2-5]
        let is_its = claim.qos() == QoS::ExactlyOnce && in_flight.contains(&place);
        if let Some(subscription) = claim.shared().filter(|_| !is_its).cloned() {
            let stored = Some((*session, place));
            return Some(Undelivered { subscription, message, stored });
        }
        shared.drops.note(client_id, message.topic(), claim.qos(), DropReason::SessionEnded);
        None
    };
    let undelivered = page.found.into_iter().filter_map(undelivered).collect();
    let (qos, why) = (QoS::AtLeastOnce, DropReason::Damaged);
    shared.drops.note_all(client_id, "", qos, why, page.lost.len() as u64);
    leave::redeliver(shared, list, None, undelivered, Instant::now());
    if let Some(next) = next {
        *from = next;
        return Left::Some(Load::End(rest));
    }
    list.records.push_sure(Step::End(*session));
    Left::Nothing
}

/// Drops messages whose time is over and that are not in memory: those are looked at when they are
/// sent. Whether there may be more.
fn expire(shared: &Shared, keeper: &Keeper, list: &mut FlushList) -> bool {
    let (mut found, mut lost, clock) = (Vec::new(), Vec::new(), Clock::read());
    let visit = &mut |number: SessionNumber,
                      place: command::Place,
                      claim: &command::Claim,
                      message: Message<'_>| {
        let place = Place(place.0);
        match kept::read(&message, &clock) {
            Some(message) => found.push((number, place, claim.flags, message)),
            None => lost.push((number, place)),
        }
    };
    let has_more =
        keeper.store().expired(clock.wall(), PAGE_MESSAGES, visit).unwrap_or_else(|error| {
            error!(%error, "Cannot read what has expired.");
            false
        });
    for (number, place, flags, message) in found {
        let (qos, retain) = kept::of_flags(flags);
        let claim = Claim::new(message, qos, retain, &[], None);
        let Some(mailbox) = keeper.mailbox(StoredId(number.0)) else { continue };
        mailbox.with(&shared.drops, list, |session, exit| {
            session.handle_expired(place, &claim, exit);
        });
    }
    for (number, place) in lost {
        let Some(mailbox) = keeper.mailbox(StoredId(number.0)) else { continue };
        mailbox.with(&shared.drops, list, |session, exit| session.handle_lost(&[place], exit));
    }
    has_more
}

/// # Errors
/// The store does not give it now; that was told.
fn read(
    shared: &Shared,
    client_id: &str,
    session: StoredId,
    from: Place,
    messages: usize,
) -> io::Result<Page> {
    let Some(keeper) = &shared.keeper else { return Ok(Page::default()) };
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    let clock = Clock::read();
    let visit = &mut |place: command::Place, claim: &command::Claim, message: Message<'_>| {
        let place = Place(place.0);
        let Some(message) = kept::read(&message, &clock) else { return lost.push(place) };
        let (qos, retain) = kept::of_flags(claim.flags);
        let identifiers = claim.identifiers.iter();
        let identifiers: Vec<_> =
            identifiers.filter_map(|it| SubscriptionIdentifier::new(*it)).collect();
        let shared = claim.shared.as_deref().map(Arc::from);
        found.push((place, Claim::new(message, qos, retain, &identifiers, shared.as_ref())));
    };
    let (number, start) = (SessionNumber(session.0), command::Place(from.0));
    let most = Amount { messages, bytes: PAGE_BYTES };
    let queued = keeper.store().queue(number, start, most, visit).inspect_err(|error| {
        error!(client_id, %error, "Cannot read what waits for a client.");
    })?;
    lost.extend(queued.unreadable.iter().map(|place| Place(place.0)));
    Ok(Page { found, lost, has_more: queued.has_more })
}
