//! The publish path. A message comes in with its topic and leaves in the outputs and queues of its
//! receivers, in these steps:
//!
//! 1. may it be published;
//! 2. (interceptors will have their place here);
//! 3. if it is to be retained, it is;
//! 4. who gets it: the shard's route cache, or the router;
//! 5. each receiver's mailbox is locked once for a run of messages with the same destinations;
//! 6. (sinks will have their place here);
//! 7. the publisher gets its acknowledgements.
//!
//! A run to many receivers is done in slices, so that others get their turn.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Instant};

use avocet_mqtt::{
    ApplicationMessage, PacketId, QoS, ReasonCode, SubscriptionIdentifier, Transit, topic,
};
use avocet_router::{Choice, Destination, Destinations, Filter, Group, Subscriber, SubscriberId};
use avocet_session::{Action, CloseReason, DropReason, Inbound, Terms};

use crate::{
    broker::Shared,
    connection::Chore,
    mailbox::{FlushList, Mailbox},
    shard::{SLICE, Shard},
    timers,
};

/// A PUBLISH of QoS 1 or 2 that has to be answered.
#[derive(Clone, Copy, Debug)]
struct Receipt {
    packet_id: PacketId,
    qos: QoS,
    reason: ReasonCode,
}

/// Consecutive messages of one publisher with the same destinations.
#[derive(Debug)]
struct Run<'m> {
    topic: &'m str,
    destinations: Arc<Destinations<Mailbox>>,
    transits: Vec<Transit<'m>>,
    receipts: Vec<Receipt>,
}

/// What a connection has still to do before it takes more packets.
#[derive(Debug)]
pub(crate) enum Backlog {
    /// Messages to many receivers.
    Run(WideRun),
    /// What came after them.
    Chore(Chore),
}

/// A [`Run`] that owns its messages, on its way through many receivers.
#[derive(Debug)]
pub(crate) struct WideRun {
    from: Mailbox,
    messages: Vec<Arc<ApplicationMessage>>,
    destinations: Arc<Destinations<Mailbox>>,
    next: usize,
    dice: u64,
    receipts: Vec<Receipt>,
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) backlog: VecDeque<Backlog>,
    pub(crate) close: Option<CloseReason>,
}

/// Publishes all messages among the actions of one connection, in order.
pub(crate) fn publish_all(
    shard: &Shard,
    from: &Mailbox,
    list: &mut FlushList,
    actions: &[Action<'_>],
    now: Instant,
) -> Published {
    let mut batch =
        Batch { shard, from, now, run: None, receipts: Vec::new(), backlog: VecDeque::new() };
    for action in actions {
        if let Action::Publish(inbound) = action {
            list.tally.publish_received(inbound.publish.qos);
            batch.add(inbound, list);
        }
    }
    batch.finish_run(list);
    let close = answer(&shard.shared, from, list, &batch.receipts);
    Published { backlog: batch.backlog, close }
}

struct Batch<'t, 'm> {
    shard: &'t Shard,
    from: &'t Mailbox,
    now: Instant,
    run: Option<Run<'m>>,
    receipts: Vec<Receipt>,
    backlog: VecDeque<Backlog>,
}

impl<'m> Batch<'_, 'm> {
    fn add(&mut self, inbound: &'m Inbound<'_>, list: &mut FlushList) {
        let shared = &*self.shard.shared;
        let topic = inbound.topic();
        let receipt =
            |reason| inbound.receipt().map(|(packet_id, qos)| Receipt { packet_id, qos, reason });
        if topic.starts_with('$') && !may_publish(topic) {
            shared.drops.note(self.from.client_id(), topic, DropReason::NotAuthorized);
            return self.answer_only(receipt(ReasonCode::NotAuthorized), list);
        }
        if topic::level_count(topic) > shared.options.topic_levels_max {
            shared.drops.note(self.from.client_id(), topic, DropReason::QuotaExceeded);
            return self.answer_only(receipt(ReasonCode::TopicNameInvalid), list);
        }
        let transit = if inbound.aliased_topic.is_none() {
            Transit::new(&inbound.publish, self.now)
        } else {
            let mut publish = inbound.publish.clone();
            publish.topic = topic;
            Transit::new(&publish, self.now)
        };
        if topic.starts_with("$delayed/") {
            let reason = timers::delay(shared, self.from, &transit, self.now);
            return self.answer_only(receipt(reason), list);
        }
        if transit.retain() && shared.retained.store(&transit).is_err() {
            shared.drops.note(self.from.client_id(), topic, DropReason::QuotaExceeded);
            if transit.qos() > QoS::AtMostOnce {
                return self.answer_only(receipt(ReasonCode::QuotaExceeded), list);
            }
        }
        self.route(topic, list);
        let Some(run) = &mut self.run else { return };
        if shared.refuses && would_refuse(run, &transit, self.from.id()) {
            shared.drops.note(self.from.client_id(), topic, DropReason::Refused);
            run.receipts.extend(receipt(ReasonCode::QuotaExceeded));
            return;
        }
        let reason = if run.destinations.is_empty() {
            shared.drops.count(DropReason::NoSubscribers, 1);
            ReasonCode::NoMatchingSubscribers
        } else {
            ReasonCode::Success
        };
        run.receipts.extend(receipt(reason));
        run.transits.push(transit);
    }

    /// Sees to it that the present run is one for this topic.
    fn route(&mut self, topic: &'m str, list: &mut FlushList) {
        if self.run.as_ref().is_some_and(|run| run.topic == topic) {
            return;
        }
        let mut routes = self.shard.routes.borrow_mut();
        let destinations = Arc::clone(routes.lookup(&self.shard.shared.router, topic));
        drop(routes);
        self.finish_run(list);
        self.run = Some(Run { topic, destinations, transits: Vec::new(), receipts: Vec::new() });
    }

    /// A message that goes nowhere, though its publisher may wait for an answer.
    fn answer_only(&mut self, receipt: Option<Receipt>, list: &mut FlushList) {
        self.finish_run(list);
        match self.backlog.back_mut() {
            Some(Backlog::Run(run)) => run.receipts.extend(receipt),
            Some(Backlog::Chore(_)) | None => self.receipts.extend(receipt),
        }
    }

    fn finish_run(&mut self, list: &mut FlushList) {
        let Some(run) = self.run.take() else { return };
        let width = run.destinations.plain.len() + run.destinations.fastlane.len();
        let dice = self.shard.dice();
        if width > SLICE || !self.backlog.is_empty() {
            self.backlog.push_back(Backlog::Run(WideRun {
                from: self.from.clone(),
                messages: run.transits.iter().map(|transit| Arc::clone(transit.share())).collect(),
                destinations: run.destinations,
                next: 0,
                dice,
                receipts: run.receipts,
            }));
            return;
        }
        let shared = &*self.shard.shared;
        let way = Way { shared, from: Some(self.from), now: self.now, dice };
        way.deliver(&run.transits, &run.destinations, 0..width, list);
        way.deliver_shared(&run.transits, &run.destinations.groups, list);
        self.receipts.extend(run.receipts);
    }
}

impl WideRun {
    /// Delivers to the next receivers. True when all have been served.
    pub(crate) fn deliver_slice(
        &mut self,
        shared: &Shared,
        list: &mut FlushList,
        now: Instant,
    ) -> bool {
        let width = self.destinations.plain.len() + self.destinations.fastlane.len();
        let end = (self.next + SLICE).min(width);
        let transits: Vec<_> = self.messages.iter().map(Transit::from_shared).collect();
        let way = Way { shared, from: Some(&self.from), now, dice: self.dice };
        way.deliver(&transits, &self.destinations, self.next..end, list);
        self.next = end;
        if end < width {
            return false;
        }
        way.deliver_shared(&transits, &self.destinations.groups, list);
        true
    }

    /// Answers the publisher. What it returns ends the publisher's connection.
    pub(crate) fn answer(
        self,
        shared: &Shared,
        from: &Mailbox,
        list: &mut FlushList,
    ) -> Option<CloseReason> {
        answer(shared, from, list, &self.receipts)
    }
}

/// Publishes a message that no connection brings now: a will, a delayed one, one of the broker's
/// own. `from` is the client it comes from, if any.
pub(crate) fn publish_message(
    shared: &Shared,
    list: &mut FlushList,
    message: &Arc<ApplicationMessage>,
    from: Option<&Mailbox>,
    now: Instant,
) {
    let transit = Transit::from_shared(message);
    if transit.retain() && shared.retained.store(&transit).is_err() {
        let client_id = from.map_or("", |mailbox| mailbox.client_id());
        shared.drops.note(client_id, transit.topic(), DropReason::QuotaExceeded);
    }
    let destinations = shared.router.matches(transit.topic());
    let width = destinations.plain.len() + destinations.fastlane.len();
    let way = Way { shared, from, now, dice: shared.dice() };
    let transits = [transit];
    way.deliver(&transits, &destinations, 0..width, list);
    way.deliver_shared(&transits, &destinations.groups, list);
}

/// Sends the acknowledgements, in the order of the messages.
fn answer(
    shared: &Shared,
    from: &Mailbox,
    list: &mut FlushList,
    receipts: &[Receipt],
) -> Option<CloseReason> {
    if receipts.is_empty() {
        return None;
    }
    from.with(&shared.drops, list, |session, exit| {
        receipts.iter().fold(None, |close: Option<CloseReason>, receipt| {
            let Receipt { packet_id, qos, reason } = *receipt;
            close.or(session.handle_published(packet_id, qos, reason, exit))
        })
    })
    .flatten()
}

/// Whether clients may publish to a topic that begins with `$`: `$SYS/` is the broker's own.
fn may_publish(topic: &str) -> bool {
    topic != "$SYS" && !topic.starts_with("$SYS/")
}

/// Whether a receiver's queue is full and set to refuse. Asked before anybody gets the message, so
/// that a publisher that repeats it does not double it for the others.
fn would_refuse(run: &Run<'_>, transit: &Transit<'_>, from: SubscriberId) -> bool {
    transit.qos() > QoS::AtMostOnce
        && run.destinations.plain.iter().any(|destination| {
            destination.for_publisher(Some(from)).is_some_and(|terms| {
                let bytes = transit.topic().len() + transit.payload().len();
                terms.qos > QoS::AtMostOnce
                    && destination.subscriber.lock().session.would_refuse(bytes)
            })
        })
}

/// Steps 4 to 6, for messages with the same destinations.
pub(crate) struct Way<'w> {
    pub(crate) shared: &'w Shared,
    pub(crate) from: Option<&'w Mailbox>,
    pub(crate) now: Instant,
    pub(crate) dice: u64,
}

impl Way<'_> {
    fn deliver(
        &self,
        transits: &[Transit<'_>],
        destinations: &Destinations<Mailbox>,
        range: Range<usize>,
        list: &mut FlushList,
    ) {
        let plain = destinations.plain.len();
        for index in range {
            if index < plain {
                self.deliver_plain(transits, &destinations.plain[index], list);
            } else {
                self.deliver_fastlane(transits, &destinations.fastlane[index - plain], list);
            }
        }
    }

    #[inline]
    fn deliver_plain(
        &self,
        transits: &[Transit<'_>],
        destination: &Destination<Mailbox>,
        list: &mut FlushList,
    ) {
        let Some(terms) = destination.for_publisher(self.from.map(Subscriber::id)) else { return };
        let terms = Terms {
            qos: terms.qos,
            retain_as_published: terms.retain_as_published,
            identifiers: &terms.identifiers,
            shared: None,
            retained: false,
        };
        destination.subscriber.with(&self.shared.drops, list, |session, exit| {
            for transit in transits {
                session.handle_delivery(transit, &terms, self.now, exit);
            }
        });
    }

    /// `$fastlane/`: from the publisher's bytes into the connection's output, past the session.
    #[inline]
    fn deliver_fastlane(
        &self,
        transits: &[Transit<'_>],
        destination: &Destination<Mailbox>,
        list: &mut FlushList,
    ) {
        let Some(terms) = destination.for_publisher(self.from.map(Subscriber::id)) else { return };
        let rap = terms.retain_as_published;
        self.deliver_raw(transits, &destination.subscriber, rap, &terms.identifiers, list);
    }

    fn deliver_raw(
        &self,
        transits: &[Transit<'_>],
        mailbox: &Mailbox,
        retain_as_published: bool,
        identifiers: &[SubscriptionIdentifier],
        list: &mut FlushList,
    ) {
        let mut inner = mailbox.lock();
        let Some(link) = &mut inner.link else { return };
        for transit in transits {
            let Some(mut publish) = transit.to_publish(self.now) else {
                self.shared.drops.note(mailbox.client_id(), transit.topic(), DropReason::Expired);
                continue;
            };
            publish.qos = QoS::AtMostOnce;
            publish.retain = retain_as_published && transit.retain();
            publish.subscription_identifiers = identifiers.into();
            if let Err(reason) = link.output.append_fastlane(&publish, &mut list.tally) {
                self.shared.drops.note(mailbox.client_id(), transit.topic(), reason);
            }
        }
        mailbox.enlist(&mut inner, list);
    }

    /// One member of each group gets each message.
    fn deliver_shared(
        &self,
        transits: &[Transit<'_>],
        groups: &[Arc<Group<Mailbox>>],
        list: &mut FlushList,
    ) {
        for group in groups {
            for (turn, transit) in transits.iter().enumerate() {
                self.deliver_to_group(transit, group, self.dice.wrapping_add(turn as u64), list);
            }
        }
    }

    /// [`deliver_to_group`](Self::deliver_to_group), by the subscription's text.
    pub(crate) fn deliver_to_subscription(
        &self,
        transit: &Transit<'_>,
        subscription: &str,
        dice: u64,
        list: &mut FlushList,
    ) {
        let group =
            Filter::parse(subscription).ok().and_then(|filter| self.shared.router.group(&filter));
        match group {
            Some(group) => self.deliver_to_group(transit, &group, dice, list),
            None => self.shared.drops.note(subscription, transit.topic(), DropReason::NoMember),
        }
    }

    /// A connected member gets it; if there is none, one that will come back keeps it.
    pub(crate) fn deliver_to_group(
        &self,
        transit: &Transit<'_>,
        group: &Group<Mailbox>,
        dice: u64,
        list: &mut FlushList,
    ) {
        let publisher = self.from.map_or("", |mailbox| mailbox.client_id());
        let choice = Choice { publisher, topic: transit.topic(), dice };
        let member = group
            .select(&choice, Mailbox::is_online)
            .or_else(|| group.select(&choice, |mailbox| !mailbox.is_ended()));
        let Some(member) = member else {
            self.shared.drops.note(group.name(), transit.topic(), DropReason::NoMember);
            return;
        };
        let options = member.entry.options;
        let identifiers = member.entry.identifier.as_slice();
        if member.fastlane {
            let transits = std::slice::from_ref(transit);
            let rap = options.retain_as_published;
            return self.deliver_raw(transits, &member.subscriber, rap, identifiers, list);
        }
        let terms = Terms {
            qos: options.qos,
            retain_as_published: options.retain_as_published,
            identifiers,
            shared: Some(group.subscription()),
            retained: false,
        };
        member.subscriber.with(&self.shared.drops, list, |session, exit| {
            session.handle_delivery(transit, &terms, self.now, exit)
        });
    }
}
