//! What waits in the store, read for those who get it.

use std::{sync::Arc, time::Instant};

use avocet_mqtt::SubscriptionIdentifier;
use avocet_session::{Claim, Place, StoredId, Undelivered};
use avocet_storage::{
    command::{self, Command, Message, SessionNumber},
    store::{Amount, Queued},
};
use tracing::error;

use crate::{
    broker::Shared,
    kept::{self, Clock},
    leave,
    mailbox::{FlushList, Mailbox},
    records::{Load, Step},
};

/// Bytes that are read at once, and one message.
const PAGE_BYTES: u64 = 1 << 20;
/// Messages that are read at once to be given to others.
const PAGE_MESSAGES: usize = 256;

/// Some of what waits for a session.
#[derive(Default)]
struct Page {
    found: Vec<(Place, Claim)>,
    /// Where messages are that cannot be read.
    lost: Vec<Place>,
    has_more: bool,
}

impl Page {
    /// Where the next one begins, if there is one.
    fn next(&self) -> Option<Place> {
        let found = self.found.last().map(|(place, _)| *place);
        let last = found.max(self.lost.last().copied());
        last.filter(|_| self.has_more).map(|last| Place(last.0 + 1))
    }
}

pub(crate) fn load(shared: &Arc<Shared>, wanted: &Load) {
    let mut list = FlushList::default();
    match wanted {
        Load::Queue(mailbox) => fill(shared, &mut list, mailbox),
        Load::Shared(mailbox, subscription) => share(shared, &mut list, mailbox, subscription),
        Load::End(mailbox, session) => end(shared, &mut list, mailbox, *session),
    }
    list.flush(shared, Instant::now());
}

/// Reads what a client has room for.
fn fill(shared: &Shared, list: &mut FlushList, mailbox: &Mailbox) {
    let wanted = mailbox.lock().session.load_from();
    let Some((session, from, messages)) = wanted else { return };
    let Page { found, lost, has_more } = read(shared, mailbox, session, from, messages);
    mailbox.with(&shared.drops, list, |session, exit| {
        session.handle_lost(&lost, exit);
        session.handle_loaded(from, found, has_more, Instant::now(), exit);
    });
}

/// Gives what a shared subscription has brought to a session without a connection to the others.
fn share(shared: &Arc<Shared>, list: &mut FlushList, mailbox: &Mailbox, subscription: &str) {
    let Some(session) = mailbox.lock().session.begin_loading() else { return };
    let mut next = Some(Place(0));
    while let Some(from) = next {
        let page = read(shared, mailbox, session, from, PAGE_MESSAGES);
        next = page.next();
        let is_its = |claim: &Claim| claim.shared().is_some_and(|it| **it == *subscription);
        let its = page.found.into_iter().filter(|(_, claim)| is_its(claim));
        let undelivered = {
            let mut inner = mailbox.lock();
            if inner.link.is_some() || inner.ended {
                break;
            }
            its.filter_map(|(place, claim)| inner.session.give_away(place, claim)).collect()
        };
        leave::redeliver(shared, list, undelivered, Instant::now());
    }
    // Only then: what was given away must not be read again.
    list.records.push_sure(Step::Loaded(mailbox.clone()));
}

/// Gives what shared subscriptions have brought to a session that is over to others.
fn end(shared: &Arc<Shared>, list: &mut FlushList, mailbox: &Mailbox, session: StoredId) {
    let mut next = Some(Place(0));
    while let Some(from) = next {
        let page = read(shared, mailbox, session, from, PAGE_MESSAGES);
        next = page.next();
        let undelivered = |(place, claim): (Place, Claim)| {
            let (subscription, message) =
                (Arc::clone(claim.shared()?), Arc::clone(claim.message()));
            Some(Undelivered { subscription, message, stored: Some((session, place)) })
        };
        let undelivered = page.found.into_iter().filter_map(undelivered).collect();
        leave::redeliver(shared, list, undelivered, Instant::now());
    }
    list.submit(shared);
    list.records.note(&Command::End { session: SessionNumber(session.0) });
}

fn read(
    shared: &Shared,
    mailbox: &Mailbox,
    session: StoredId,
    from: Place,
    messages: usize,
) -> Page {
    let mut page = Page::default();
    let Some(keeper) = &shared.keeper else { return page };
    let clock = Clock::read();
    let found = &mut page.found;
    let visit = &mut |place: command::Place, claim: &command::Claim, message: Message<'_>| {
        if let Some(message) = kept::read(&message, &clock) {
            let (qos, retain) = kept::of_flags(claim.flags);
            let identifiers = claim.identifiers.iter();
            let identifiers: Vec<_> =
                identifiers.filter_map(|it| SubscriptionIdentifier::new(*it)).collect();
            let shared = claim.shared.as_deref().map(Arc::from);
            let claim = Claim::new(message, qos, retain, &identifiers, shared.as_ref());
            found.push((Place(place.0), claim));
        }
    };
    let (number, start) = (SessionNumber(session.0), command::Place(from.0));
    let most = Amount { messages, bytes: PAGE_BYTES };
    match keeper.store().queue(number, start, most, visit) {
        Ok(Queued { has_more, unreadable }) => {
            page.has_more = has_more;
            page.lost = unreadable.iter().map(|place| Place(place.0)).collect();
        }
        Err(error) => {
            error!(client_id = %mailbox.client_id(), %error, "Cannot read what waits for a client.");
        }
    }
    page
}
