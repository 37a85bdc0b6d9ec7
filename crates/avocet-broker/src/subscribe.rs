//! SUBSCRIBE and UNSUBSCRIBE: filters go into the router and out of it, and what is retained goes
//! to who asks for it (sections 3.8, 3.10, 3.3.1.3).

use std::{sync::Arc, time::Instant};

use avocet_mqtt::{
    QoS, ReasonCode, Subscribe, Subscription, Transit, Unsubscribe, packet::RetainHandling, topic,
};
use avocet_router::{Entry, Filter, Inserted, Subscriber};
use avocet_session::{CloseReason, Terms};

use crate::{
    broker::Shared,
    leave,
    mailbox::{FlushList, Mailbox},
};

/// What one line of a SUBSCRIBE became.
struct Line<'s> {
    subscription: &'s Subscription,
    reason: ReasonCode,
    /// Set where the subscription stands: what retained messages are looked up by.
    entered: Option<(Filter, Inserted)>,
}

/// Enters subscriptions, answers, and sends what is retained. What it returns ends the connection.
pub(crate) fn subscribe(
    shared: &Arc<Shared>,
    list: &mut FlushList,
    mailbox: &Mailbox,
    request: &Subscribe,
    now: Instant,
) -> Option<CloseReason> {
    let mut lines = Vec::with_capacity(request.subscriptions.len());
    for subscription in &request.subscriptions {
        match enter(shared, mailbox, request, subscription) {
            Ok(line) => lines.push(line),
            // [MQTT3-4.7.1-2] [MQTT3-4.7.1-3] [MQTT5-4.7.1-1] [MQTT5-4.7.1-2]
            Err(detail) => {
                let close = mailbox.with(&shared.drops, list, |session, exit| {
                    session.close(ReasonCode::TopicFilterInvalid, detail, exit)
                });
                return close.flatten();
            }
        }
    }
    let reasons: Vec<ReasonCode> = lines.iter().map(|line| line.reason).collect();
    let alive = mailbox.with(&shared.drops, list, |session, exit| {
        session.handle_subscribed(request, &reasons, exit);
    });
    if alive.is_none() {
        // The session ended meanwhile and did not know of these.
        for (filter, _) in lines.iter().filter_map(|line| line.entered.as_ref()) {
            shared.unsubscribe(filter, mailbox.id());
        }
        return None;
    }
    for line in &lines {
        if let Some((filter, inserted)) = &line.entered {
            send_retained(
                shared,
                list,
                mailbox,
                request,
                line.subscription,
                filter,
                *inserted,
                now,
            );
        }
    }
    None
}

fn enter<'s>(
    shared: &Shared,
    mailbox: &Mailbox,
    request: &Subscribe,
    subscription: &'s Subscription,
) -> Result<Line<'s>, &'static str> {
    let filter = Filter::parse(&subscription.filter).map_err(|error| error.text())?;
    let refused = |reason| Ok(Line { subscription, reason, entered: None });
    if let Some(reason) = shared.refuses_filter(mailbox, &filter) {
        return refused(reason);
    }
    {
        let inner = mailbox.lock();
        if inner.session.subscriptions_full() && !inner.session.is_subscribed(&subscription.filter)
        {
            return refused(ReasonCode::QuotaExceeded);
        }
        // The connection is the subscriber: there must be no session to outlive it.
        if filter.is_fastlane() && !inner.session.is_clean() {
            return refused(ReasonCode::ImplementationSpecificError);
        }
    }
    if filter.is_exclusive() && !shared.exclusive.claim(filter.topic_filter(), mailbox.id()) {
        return refused(ReasonCode::QuotaExceeded);
    }
    let qos = if filter.is_fastlane() { QoS::AtMostOnce } else { subscription.options.qos };
    let mut options = subscription.options;
    options.qos = qos;
    let entry = Entry { options, identifier: request.subscription_identifier };
    let inserted = shared.router.subscribe(&filter, mailbox.clone(), entry);
    Ok(Line { subscription, reason: ReasonCode::granted(qos), entered: Some((filter, inserted)) })
}

/// [MQTT3-3.3.1-6] [MQTT5-3.3.1-9] [MQTT5-3.3.1-10] [MQTT5-3.3.1-11]
#[expect(clippy::too_many_arguments, reason = "one line of one SUBSCRIBE, said in full")]
fn send_retained(
    shared: &Shared,
    list: &mut FlushList,
    mailbox: &Mailbox,
    request: &Subscribe,
    subscription: &Subscription,
    filter: &Filter,
    inserted: Inserted,
    now: Instant,
) {
    let wanted = match subscription.options.retain_handling {
        RetainHandling::Send => true,
        RetainHandling::SendIfNew => inserted == Inserted::New,
        RetainHandling::DoNotSend => false,
    };
    // A shared subscription is sent none (5.0 section 4.8.2).
    if !wanted || filter.group().is_some() {
        return;
    }
    let qos = if filter.is_fastlane() { QoS::AtMostOnce } else { subscription.options.qos };
    let terms = Terms {
        qos,
        retain_as_published: true,
        identifiers: request.subscription_identifier.as_slice(),
        shared: None,
        retained: true, // [MQTT3-3.3.1-8] [MQTT5-3.3.1-8]
    };
    shared.retained.matching(filter.topic_filter(), now, |message| {
        mailbox.with(&shared.drops, list, |session, exit| {
            session.handle_delivery(&Transit::from_shared(message), &terms, now, exit)
        });
    });
}

/// Removes subscriptions and answers.
pub(crate) fn unsubscribe(
    shared: &Arc<Shared>,
    list: &mut FlushList,
    mailbox: &Mailbox,
    request: Unsubscribe,
) {
    let mut reasons = Vec::with_capacity(request.filters.len());
    for text in &request.filters {
        let removed =
            Filter::parse(text).is_ok_and(|filter| shared.unsubscribe(&filter, mailbox.id()));
        // [MQTT5-3.11.3-1]
        reasons.push(if removed { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted });
    }
    mailbox.with(&shared.drops, list, |session, exit| {
        for filter in &request.filters {
            session.forget(filter);
        }
        session.handle_unsubscribed(request.packet_id, reasons, exit);
    });
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
            let waiting = member.subscriber.lock().session.take_shared_of(group.subscription());
            leave::redeliver(shared, list, waiting, now);
        }
    }
}

/// How many levels a filter may have.
pub(crate) fn too_deep(filter: &Filter, levels_max: usize) -> bool {
    topic::level_count(filter.topic_filter()) > levels_max
}
