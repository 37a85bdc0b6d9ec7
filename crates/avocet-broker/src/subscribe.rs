//! SUBSCRIBE and UNSUBSCRIBE: filters go into the router and out of it, and what is retained goes
//! to who asks for it (sections 3.8, 3.10, 3.3.1.3).

use std::{collections::VecDeque, sync::Arc, time::Instant};

use avocet_mqtt::{
    QoS, ReasonCode, Subscribe, Subscription, SubscriptionIdentifier, SubscriptionOptions, Transit,
    Unsubscribe, packet::RetainHandling, topic,
};
use avocet_router::{Cursor, Entry, Filter, Inserted, Subscriber};
use avocet_session::{CloseReason, Mountpoint, Outlet, Session, TakenBack, Terms};

use crate::{
    broker::Shared,
    keeper::Keeper,
    leave,
    mailbox::{FlushList, Mailbox},
    mountpoint,
    records::{self, Load, Step, Unsubscribed},
    retained::PAGE,
    wire::Wire,
};

/// Retained messages that a new subscription brings, sent as the client takes them.
#[derive(Debug)]
pub(crate) struct Feed {
    filter: Filter,
    /// As the session has it.
    subscription: Box<str>,
    options: SubscriptionOptions,
    identifier: Option<SubscriptionIdentifier>,
    cursor: Option<Cursor>,
}

/// Those of one session, in the order in which they were asked for. Most have none.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "rare, and an idle session is to be small")]
pub(crate) struct Feeds(Option<Box<VecDeque<Feed>>>);

impl Feeds {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whoever subscribes again has what is retained sent anew, not twice.
    pub(crate) fn add(&mut self, feeds: Vec<Feed>) {
        for feed in feeds {
            self.forget(&feed.filter);
            self.0.get_or_insert_default().push_back(feed);
        }
    }

    pub(crate) fn push_front(&mut self, feed: Feed) {
        self.0.get_or_insert_default().push_front(feed);
    }

    pub(crate) fn pop_front(&mut self) -> Option<Feed> {
        let feed = self.0.as_mut()?.pop_front();
        self.release();
        feed
    }

    /// Forgets what a filter has brought.
    pub(crate) fn forget(&mut self, filter: &Filter) {
        if let Some(feeds) = &mut self.0 {
            feeds.retain(|feed| !feed.is_of(filter));
            self.release();
        }
    }

    /// Holds nothing while there is none.
    fn release(&mut self) {
        self.0.take_if(|feeds| feeds.is_empty());
    }
}

/// How far a feed came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// There is nothing more to send.
    All,
    /// There may be more that the client takes.
    Some,
    /// There is more, and the client takes none of it now.
    Nothing,
}

/// Who asks: a session, by this very connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'c> {
    pub(crate) mailbox: &'c Mailbox,
    pub(crate) wire: &'c Arc<Wire>,
}

impl Client<'_> {
    /// What stands before its topics to all others. The session has no newer connection: that one
    /// waits until this one has done with what it was asked.
    pub(crate) fn mountpoint(&self) -> Option<Mountpoint> {
        self.mailbox.lock().session.mountpoint().cloned()
    }
}

/// What came of a SUBSCRIBE.
#[derive(Debug, Default)]
pub(crate) struct Subscribed {
    /// Ends the connection.
    pub(crate) close: Option<CloseReason>,
    /// One for each line that brings retained messages.
    pub(crate) feeds: Vec<Feed>,
}

/// Enters subscriptions and answers.
pub(crate) fn subscribe(
    shared: &Arc<Shared>,
    list: &mut FlushList,
    client: Client<'_>,
    mut request: Subscribe,
) -> Subscribed {
    let Client { mailbox, wire } = client;
    let _changing = mailbox.change_subscriptions();
    let filters = match parse(client, &mut request) {
        Ok(filters) => filters,
        Err((reason, detail)) => {
            let close = mailbox.with_link(wire, &shared.drops, list, |session, exit| {
                session.close(reason, detail, exit)
            });
            return Subscribed { close: close.flatten(), feeds: Vec::new() };
        }
    };
    let mut reasons = Vec::with_capacity(filters.len());
    let mut entered = Vec::with_capacity(filters.len());
    let mut added = 0;
    // [MQTT3-3.8.4-4] [MQTT5-3.8.4-5]
    for (filter, subscription) in filters.into_iter().zip(&request.subscriptions) {
        let line = filter.and_then(|filter| {
            let terms = enter(shared, mailbox, &request, subscription, &filter, added)?;
            Ok((filter, terms))
        });
        match line {
            Ok((filter, (options, inserted))) => {
                // [MQTT3-3.8.4-5] [MQTT5-3.8.4-6] [MQTT5-3.8.4-7]
                reasons.push(ReasonCode::granted(options.qos));
                added += usize::from(inserted == Inserted::New);
                entered.push((filter, options, inserted));
            }
            Err(reason) => reasons.push(reason),
        }
    }
    let number = shared.keeper.as_ref().map_or(0, Keeper::number_subscribe);
    let alive = mailbox.with_link(wire, &shared.drops, list, |session, exit| {
        let before = session.has_subscriptions();
        let stored = session.stored_id();
        match stored {
            Some(_) => {
                session.note_asked(number, &request, &reasons);
                session.note_to_store();
            }
            None => session.handle_subscribed(&request, &reasons, exit),
        }
        shared.metrics.note_subscriber(before, session.has_subscriptions());
        stored
    });
    let Some(stored) = alive else {
        // The connection lost its session meanwhile, and the session does not know of these.
        for (filter, ..) in entered.iter().filter(|(.., inserted)| *inserted == Inserted::New) {
            shared.unsubscribe(filter, mailbox.id());
        }
        return Subscribed::default();
    };
    let feeds = feeds(shared, &request, &reasons, &entered);
    let Some(session) = stored else { return Subscribed { close: None, feeds } };
    list.records.push(Step::Subscribed(Box::new(records::Subscribed {
        mailbox: mailbox.clone(),
        wire: Arc::clone(wire),
        session,
        request,
        reasons,
        number,
        feeds,
    })));
    Subscribed::default()
}

/// The store has refused a SUBSCRIBE: what it has brought stands no more.
pub(crate) fn take_back(shared: &Shared, mailbox: &Mailbox, number: u64) {
    let _changing = mailbox.change_subscriptions();
    let mut inner = mailbox.lock();
    if inner.ended {
        return; // All that it had was taken out with it.
    }
    let before = inner.session.has_subscriptions();
    let undone = inner.session.take_back(number);
    shared.metrics.note_subscriber(before, inner.session.has_subscriptions());
    drop(inner);
    for TakenBack { filter, stands } in undone {
        let Ok(filter) = Filter::parse(&filter) else { continue };
        match stands {
            None => _ = shared.unsubscribe(&filter, mailbox.id()),
            Some((options, identifier)) => {
                let entry = Entry { options, identifier };
                shared.router.subscribe(&filter, mailbox.clone(), entry);
                if mailbox.is_ended() {
                    // Nobody else takes it out any more.
                    shared.unsubscribe(&filter, mailbox.id());
                }
            }
        }
    }
}

/// All filters of a request, or why the connection has to end. Nothing is entered before all are
/// known to be well formed. The filters, in the request too, are mounted; where that cannot be, the
/// reason stands for the filter.
fn parse(
    client: Client<'_>,
    request: &mut Subscribe,
) -> Result<Vec<Result<Filter, ReasonCode>>, (ReasonCode, &'static str)> {
    let is_bridge = client.mailbox.lock().session.is_bridge();
    let mounted_at = client.mountpoint();
    let mut filters = Vec::with_capacity(request.subscriptions.len());
    for subscription in &mut request.subscriptions {
        // [MQTT3-4.7.1-2] [MQTT3-4.7.1-3] [MQTT5-4.7.1-1] [MQTT5-4.7.1-2]
        let filter = Filter::parse(&subscription.filter)
            .map_err(|error| (ReasonCode::TopicFilterInvalid, error.text()))?;
        let options = &mut subscription.options;
        if filter.group().is_some() && options.no_local {
            if !is_bridge {
                // [MQTT5-3.8.3-4], whatever prefixes stand before the group.
                return Err((ReasonCode::ProtocolError, "No Local on a shared subscription"));
            }
            options.no_local = false;
        }
        filters.push(match &mounted_at {
            None => Ok(filter),
            Some(it) => mountpoint::mount(it, &filter, &mut subscription.filter),
        });
    }
    Ok(filters)
}

/// Enters one line; tells the terms it stands on.
fn enter(
    shared: &Shared,
    mailbox: &Mailbox,
    request: &Subscribe,
    subscription: &Subscription,
    filter: &Filter,
    added: usize,
) -> Result<(SubscriptionOptions, Inserted), ReasonCode> {
    if let Some(reason) = shared.refuses_filter(mailbox, filter) {
        return Err(reason);
    }
    {
        let inner = mailbox.lock();
        if inner.session.subscriptions_full(added)
            && !inner.session.is_subscribed(&subscription.filter)
        {
            return Err(ReasonCode::QuotaExceeded);
        }
        // The connection is the subscriber: there must be no session to outlive it.
        if filter.is_fastlane() && !inner.session.is_clean() {
            return Err(ReasonCode::ImplementationSpecificError);
        }
    }
    if filter.is_exclusive() && !shared.exclusive.claim(filter, mailbox.id()) {
        return Err(ReasonCode::QuotaExceeded);
    }
    // Whatever the highest QoS for publishing: [MQTT5-3.2.2-10]
    let mut options = subscription.options;
    if filter.is_fastlane() {
        options.qos = QoS::AtMostOnce;
    }
    let entry = Entry { options, identifier: request.subscription_identifier };
    Ok((options, shared.router.subscribe(filter, mailbox.clone(), entry)))
}

/// What the lines that were entered bring that is retained.
fn feeds(
    shared: &Shared,
    request: &Subscribe,
    reasons: &[ReasonCode],
    entered: &[(Filter, SubscriptionOptions, Inserted)],
) -> Vec<Feed> {
    let lines = request.subscriptions.iter().zip(reasons);
    let lines = lines.filter(|(_, reason)| !reason.is_error()).map(|(line, _)| &line.filter);
    // Most filters find nothing retained: these leave nothing behind.
    let may_match = |filter: &Filter| shared.retained.may_match(filter.topic_filter());
    let wanted = entered.iter().zip(lines).filter(|((filter, options, inserted), _)| {
        brings_retained(filter, options.retain_handling, *inserted) && may_match(filter)
    });
    let feed = |((filter, options, _), line): (&(Filter, _, _), &String)| Feed {
        filter: filter.clone(),
        subscription: line.as_str().into(),
        options: *options,
        identifier: request.subscription_identifier,
        cursor: None,
    };
    wanted.map(feed).collect()
}

/// [MQTT3-3.3.1-6] [MQTT5-3.3.1-9] [MQTT5-3.3.1-10] [MQTT5-3.3.1-11]
fn brings_retained(filter: &Filter, handling: RetainHandling, inserted: Inserted) -> bool {
    // A shared subscription is sent none (5.0 section 4.8.2).
    filter.group().is_none()
        && match handling {
            // [MQTT5-3.8.4-4]
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => inserted == Inserted::New,
            RetainHandling::DoNotSend => false,
        }
}

impl Feed {
    /// Whether the session still has the subscription that has brought it.
    pub(crate) fn is_wanted(&self, session: &Session) -> bool {
        session.is_subscribed(&self.subscription)
    }

    /// Whether it belongs to this subscription.
    pub(crate) fn is_of(&self, filter: &Filter) -> bool {
        self.filter == *filter
    }

    /// Sends what the client takes at once, a page at most. Nothing is left to wait in the session,
    /// whose queue is for what is published: what is not taken is looked up again.
    pub(crate) fn send_page(
        &mut self,
        shared: &Shared,
        list: &mut FlushList,
        mailbox: &Mailbox,
        wire: &Arc<Wire>,
        now: Instant,
    ) -> Fed {
        // At least one: what is retained with QoS 0 needs no window.
        let limit = mailbox.lock().session.would_send(self.options.qos).clamp(1, PAGE);
        let filter = self.filter.topic_filter();
        let page = shared.retained.page(filter, self.cursor.as_ref(), limit, now);
        let terms = Terms {
            qos: self.options.qos,
            retain_as_published: true,
            identifiers: self.identifier.as_slice(),
            shared: None,
            retained: true, // [MQTT3-3.3.1-8] [MQTT5-3.3.1-8]
            promised: false,
        };
        let stopped = mailbox.with_link(wire, &shared.drops, list, |session, exit| {
            for (sent, message) in page.found.iter().enumerate() {
                let transit = Transit::from_shared(message);
                let no_room = !exit.has_room();
                if no_room || session.would_send(transit.qos().min(terms.qos)) == 0 {
                    // Who waits for room has to see to it himself that it is made.
                    let fed = if no_room || sent > 0 { Fed::Some } else { Fed::Nothing };
                    return Some((fed, Cursor::at(message.topic())));
                }
                session.handle_delivery(&transit, &terms, now, exit);
            }
            None
        });
        let (fed, cursor) = match stopped {
            None => (Fed::All, None),
            Some(Some((fed, cursor))) => (fed, Some(cursor)),
            Some(None) if page.next.is_some() => (Fed::Some, page.next),
            Some(None) => (Fed::All, None),
        };
        self.cursor = cursor;
        fed
    }
}

/// Removes subscriptions and answers.
pub(crate) fn unsubscribe(
    shared: &Arc<Shared>,
    list: &mut FlushList,
    client: Client<'_>,
    request: Unsubscribe,
) {
    let Client { mailbox, wire } = client;
    let _changing = mailbox.change_subscriptions();
    let mut reasons = Vec::with_capacity(request.filters.len());
    // [MQTT3-3.10.4-6] [MQTT5-3.10.4-6]
    for text in &request.filters {
        let removed =
            Filter::parse(text).is_ok_and(|filter| shared.unsubscribe(&filter, mailbox.id()));
        // [MQTT5-3.11.3-1]
        reasons.push(if removed { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted });
    }
    let mut stored = None;
    mailbox.with_link(wire, &shared.drops, list, |session, exit| {
        let before = session.has_subscriptions();
        for filter in &request.filters {
            session.forget(filter);
        }
        shared.metrics.note_subscriber(before, session.has_subscriptions());
        stored = session.stored_id();
        match stored {
            Some(_) => session.note_to_store(),
            // [MQTT3-3.10.4-5] [MQTT5-3.10.4-5]
            None => {
                session.handle_unsubscribed(request.packet_id, std::mem::take(&mut reasons), exit);
            }
        }
    });
    if let Some(session) = stored {
        list.records.push_sure(Step::Unsubscribed(Box::new(Unsubscribed {
            mailbox: mailbox.clone(),
            wire: Arc::clone(wire),
            session,
            filters: request.filters,
            packet_id: request.packet_id,
            reasons,
        })));
    }
}

/// A member of shared subscriptions is connected: it gets what waits with members that are not.
pub(crate) fn collect_shared(
    shared: &Arc<Shared>,
    list: &mut FlushList,
    mailbox: &Mailbox,
    now: Instant,
) {
    let filters: Vec<Filter> = {
        let inner = mailbox.lock();
        inner.session.filters().filter_map(|filter| Filter::parse(filter).ok()).collect()
    };
    for filter in filters.iter().filter(|filter| filter.group().is_some()) {
        let Some(group) = shared.router.group(filter) else { continue };
        for member in group.members() {
            if member.subscriber.is(mailbox) || member.subscriber.is_online() {
                continue;
            }
            let waiting = {
                let mut inner = member.subscriber.lock();
                if inner.link.is_some() {
                    continue;
                }
                if inner.session.share() {
                    list.records.loads.push(Load::Shared(member.subscriber.clone()));
                }
                inner.session.take_shared_of(group.subscription())
            };
            leave::redeliver(shared, list, Some(&member.subscriber), waiting, now);
        }
    }
}

/// Whether the client of another member of a shared subscription is there.
pub(crate) fn has_other(shared: &Shared, subscription: &str, mailbox: &Mailbox) -> bool {
    let group = Filter::parse(subscription).ok().and_then(|filter| shared.router.group(&filter));
    group.is_some_and(|group| {
        let members = group.members();
        members.iter().any(|it| it.subscriber.is_online() && !it.subscriber.is(mailbox))
    })
}

/// How many levels a filter may have.
pub(crate) fn too_deep(filter: &Filter, levels_max: usize) -> bool {
    topic::level_count(filter.topic_filter()) > levels_max
}
