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

use std::{collections::VecDeque, sync::Arc, time::Instant};

use avocet_mqtt::{ApplicationMessage, PacketId, QoS, ReasonCode, Transit, topic};
use avocet_router::{Destination, Destinations, Position, Slice, Subscriber};
use avocet_session::{Action, CloseReason, DropReason, Inbound, Messages, OwnedMessages};

use crate::{
    batch::Work,
    broker::Shared,
    deliver::{Refused, Way},
    mailbox::{FlushList, Mailbox},
    records::{self, Answer, Mark, Step},
    retained,
    shard::SLICE,
    timers,
};

/// So many messages were published, and their publisher is told this.
struct Receipt {
    messages: usize,
    qos: QoS,
    reason: ReasonCode,
}

/// PUBLISHes of QoS 1 or 2 that have to be answered.
#[derive(Debug)]
struct Receipts {
    packet_ids: Vec<PacketId>,
    qos: QoS,
    reason: ReasonCode,
}

/// What a connection has still to do before it takes more packets.
#[derive(Debug)]
pub(crate) enum Backlog {
    /// Messages to many receivers.
    Run(WideRun),
    /// What came after them.
    Action(Action),
}

/// Messages of one topic that own their bytes, on their way through many receivers.
#[derive(Debug)]
pub(crate) struct WideRun {
    from: Mailbox,
    messages: Vec<OwnedMessages>,
    destinations: Arc<Destinations<Mailbox>>,
    /// The next slice of them: first each queue that may refuse is asked, then they are delivered.
    next: Position,
    /// Whether the queues are still being asked.
    asks: bool,
    dice: u64,
    receipts: Vec<Receipts>,
    /// A queue among the many refused: the publisher keeps what it can.
    refused: bool,
    /// Who has a right to the messages, so far.
    steps: Vec<Step>,
    /// Whether the store has been given something of them before.
    is_stored: bool,
}

/// The codec gives messages to the same topic the same text, so this seldom reads it.
#[inline]
fn same(a: &str, b: &str) -> bool {
    std::ptr::eq(a, b) || a == b
}

/// What of a run is to be delivered.
fn messages_of<'r, 'm>(run: &'r [Inbound<'m>]) -> impl Iterator<Item = &'r Messages<'m>> + Clone {
    run.iter().filter(|inbound| !inbound.reason.is_error()).map(|inbound| &inbound.messages)
}

impl Work<'_> {
    /// Publishes messages of one connection, in order, and answers them.
    /// Messages that follow each other to the same topic are a run: they are looked up once, and
    /// each receiver is locked once for all of them. Once a run is too wide for one turn, it and
    /// what follows are put on the backlog. What is returned ends the connection.
    pub(crate) fn publish_all(
        &self,
        list: &mut FlushList,
        inbound: &mut [Inbound<'_>],
        backlog: &mut VecDeque<Backlog>,
    ) -> Option<CloseReason> {
        let mut at = 0;
        let mut done = None;
        let mark = list.records.mark();
        while let Some(first) = inbound.get(at) {
            let topic = first.messages.topic();
            let is_same = |inbound: &&Inbound<'_>| same(inbound.messages.topic(), topic);
            let length = inbound[at..].iter().take_while(is_same).count();
            let run = &mut inbound[at..at + length];
            self.publish(run, list, backlog);
            if !backlog.is_empty() {
                done.get_or_insert(at);
            }
            at += length;
        }
        let answered = &inbound[..done.unwrap_or(at)];
        if answered.iter().all(|inbound| inbound.messages.qos() == QoS::AtMostOnce) {
            return None;
        }
        let shared = &*self.shard.shared;
        let is_recorded = list.records.mark() > mark;
        if self.has_to_wait(is_recorded, answered.iter().map(Receipt::of)) {
            let receipts: Vec<Receipts> = answered.iter().map(Receipts::of).collect();
            let messages = answered.iter().map(|inbound| Some(&inbound.messages));
            self.note_received(receipts.iter().zip(messages), mark, list);
            let is_stored = list.records.mark() > mark;
            receipts.iter().for_each(|it| self.answer_later(it, is_stored, list));
            return None;
        }
        let close = self.mailbox.with_link(self.wire, &shared.drops, list, |session, exit| {
            answered.iter().fold(None, |close: Option<CloseReason>, inbound| {
                let Inbound { messages, reason } = inbound;
                let ids = messages.packet_ids();
                close.or(session.handle_published(ids, messages.qos(), *reason, exit))
            })
        });
        close.flatten()
    }

    /// Whether answers have to wait for the store: for what it has to take of these messages, as
    /// `is_recorded` says and who has sent it messages of QoS 2, or of others that came before.
    fn has_to_wait(&self, is_recorded: bool, receipts: impl Iterator<Item = Receipt>) -> bool {
        if self.shard.shared.keeper.is_none() {
            return false;
        }
        if is_recorded {
            return true;
        }
        let (mut count, mut is_exact) = (0, false);
        for Receipt { messages, qos, reason } in receipts.filter(|it| it.qos > QoS::AtMostOnce) {
            count += messages as u64;
            is_exact |= qos == QoS::ExactlyOnce && !reason.is_error();
        }
        let inner = self.mailbox.lock();
        (is_exact && inner.session.stored_id().is_some()) || inner.session.unanswered() > count
    }

    /// Has the store know which of these messages of QoS 2 have come, if the session is stored:
    /// with the rights to them, if some were entered since.
    fn note_received<'m, 'a: 'm>(
        &self,
        received: impl Iterator<Item = (&'m Receipts, Option<&'m Messages<'a>>)>,
        since: Mark,
        list: &mut FlushList,
    ) {
        let is_exact =
            |(it, _): &(&Receipts, _)| it.qos == QoS::ExactlyOnce && !it.reason.is_error();
        let mut exact = received.filter(is_exact).peekable();
        let stored = exact.peek().and_then(|_| self.mailbox.lock().session.stored_id());
        let Some(stored) = stored else { return };
        for (receipts, messages) in exact {
            let transits = messages.map_or(&[][..], |messages| messages.transits());
            for (turn, id) in receipts.packet_ids.iter().enumerate() {
                let message = transits.get(turn).map(|transit| transit.share());
                records::receive(&mut list.records, since, message, (stored, *id));
            }
        }
    }

    fn answer_later(&self, receipts: &Receipts, is_stored: bool, list: &mut FlushList) {
        if receipts.qos == QoS::AtMostOnce {
            return;
        }
        list.records.push(Step::Answer(Answer {
            mailbox: self.mailbox.clone(),
            wire: Arc::clone(self.wire),
            packet_ids: receipts.packet_ids.clone(),
            qos: receipts.qos,
            reason: receipts.reason,
            is_stored,
        }));
    }

    /// Publishes messages to one topic; what is too much for one turn goes to the backlog, and so
    /// does what comes behind it. Otherwise each message then has the reason that its publisher
    /// will be told.
    fn publish(
        &self,
        run: &mut [Inbound<'_>],
        list: &mut FlushList,
        backlog: &mut VecDeque<Backlog>,
    ) {
        let shared = &*self.shard.shared;
        list.records.begin();
        let waits = !backlog.is_empty();
        let mut retains = false;
        for inbound in run.iter_mut() {
            list.tally.publishes_received(inbound.messages.qos(), inbound.messages.len());
            retains |= inbound.messages.retain();
        }
        let Some(topic) = run.first().map(|inbound| inbound.messages.topic()) else { return };
        let delayed = topic.starts_with("$delayed/");
        // [MQTT3-3.3.5-2]
        let refused = refuses(shared, topic);
        let special = delayed || retains || refused.is_some() || shared.is_blind;
        for inbound in run.iter_mut().filter(|_| special) {
            let is_for_unknown = shared.is_blind && inbound.messages.qos() > QoS::AtMostOnce;
            let blind = (ReasonCode::QuotaExceeded, DropReason::StoreFailed);
            for transit in inbound.messages.transits() {
                inbound.reason = match refused.or(is_for_unknown.then_some(blind)) {
                    Some((reason, why)) => {
                        shared.drops.note(
                            self.mailbox.client_id(),
                            transit.topic(),
                            transit.qos(),
                            why,
                        );
                        reason
                    }
                    None if delayed => {
                        timers::delay(shared, list, self.mailbox.client_id(), transit, self.now)
                    }
                    None => self.retain(transit, list),
                };
            }
        }
        if delayed || refused.is_some() {
            if waits {
                // What is on its way is answered in its turn.
                backlog.push_back(Backlog::Run(self.widen(false, Arc::default(), run)));
            }
            return;
        }
        let Some(topic) = run.first().map(|inbound| inbound.messages.topic()) else { return };
        let mut routes = self.shard.routes.borrow_mut();
        let destinations = routes.lookup(&shared.router, topic);
        if destinations.width() <= SLICE && !waits {
            return self.deliver(run, destinations, list);
        }
        let destinations = Arc::clone(destinations);
        drop(routes);
        // Where a queue may refuse, each message has an answer of its own.
        let together = if shared.asks_first() { 1 } else { run.len() };
        for part in run.chunks(together) {
            let wide = self.widen(true, Arc::clone(&destinations), part);
            backlog.push_back(Backlog::Run(wide));
        }
    }

    /// Keeps the message if it is to be retained.
    fn retain(&self, transit: &Transit<'_>, list: &mut FlushList) -> ReasonCode {
        let shared = &*self.shard.shared;
        // [MQTT3-3.3.1-12]
        if !transit.retain() {
            return ReasonCode::Success;
        }
        // Nobody is to get what is refused, and QoS 0 is not.
        let is_refused = transit.qos() > QoS::AtMostOnce && shared.is_failing();
        if !is_refused && retained::keep(shared, list, transit, Some(self.mailbox)).is_ok() {
            return ReasonCode::Success;
        }
        let why = if is_refused { DropReason::StoreFailed } else { DropReason::QuotaExceeded };
        shared.drops.note(self.mailbox.client_id(), transit.topic(), transit.qos(), why);
        // Who cannot be told has its message delivered at least.
        match transit.qos() {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce | QoS::ExactlyOnce => ReasonCode::QuotaExceeded,
        }
    }

    fn deliver(
        &self,
        run: &mut [Inbound<'_>],
        destinations: &Destinations<Mailbox>,
        list: &mut FlushList,
    ) {
        let shared = &*self.shard.shared;
        if destinations.is_empty() {
            let taken = |inbound: &&mut Inbound<'_>| !inbound.reason.is_error();
            for inbound in run.iter_mut().filter(taken) {
                let (topic, count) = (inbound.messages.topic(), inbound.messages.len() as u64);
                let client_id = self.mailbox.client_id();
                let (qos, why) = (inbound.messages.qos(), DropReason::NoSubscribers);
                shared.drops.note_all(client_id, topic, qos, why, count);
                inbound.reason = ReasonCode::NoMatchingSubscribers;
            }
            return;
        }
        let way = Way { shared, from: Some(self.mailbox), now: self.now };
        if shared.asks_first() {
            return self.deliver_or_refuse(&way, run, destinations, list);
        }
        way.deliver(messages_of(run), &whole(destinations), list);
        if !destinations.groups.is_empty() {
            way.deliver_shared(messages_of(run), &destinations.groups, self.shard.dice(), list);
        }
    }

    /// One message after the other, since each may fill the queue that refuses the next.
    fn deliver_or_refuse(
        &self,
        way: &Way<'_>,
        run: &mut [Inbound<'_>],
        destinations: &Destinations<Mailbox>,
        list: &mut FlushList,
    ) {
        let receivers = whole(destinations);
        for inbound in run.iter_mut() {
            if inbound.reason.is_error() {
                continue;
            }
            let one = std::iter::once(&inbound.messages);
            let refused = would_refuse(way.shared, self.mailbox, &inbound.messages, &receivers)
                || way.deliver(one.clone(), &receivers, list) == Refused(true)
                || way.deliver_shared(one, &destinations.groups, self.shard.dice(), list)
                    == Refused(true);
            if refused {
                inbound.reason = ReasonCode::QuotaExceeded;
            }
        }
    }

    /// The same messages, able to wait.
    fn widen(
        &self,
        deliver: bool,
        destinations: Arc<Destinations<Mailbox>>,
        run: &[Inbound<'_>],
    ) -> WideRun {
        let messages = messages_of(run).filter(|_| deliver);
        WideRun {
            from: self.mailbox.clone(),
            messages: messages.map(OwnedMessages::of).collect(),
            destinations,
            next: Position::default(),
            asks: self.shard.shared.asks_first(),
            dice: self.shard.dice(),
            receipts: run.iter().map(Receipts::of).collect(),
            refused: false,
            steps: Vec::new(),
            is_stored: self.shard.shared.keeper.is_some()
                && (!deliver || run.iter().any(|inbound| inbound.messages.retain())),
        }
    }
}

impl Receipt {
    fn of(inbound: &Inbound<'_>) -> Self {
        let Inbound { messages, reason } = inbound;
        Self { messages: messages.len(), qos: messages.qos(), reason: *reason }
    }
}

impl Receipts {
    fn sum(&self) -> Receipt {
        Receipt { messages: self.packet_ids.len(), qos: self.qos, reason: self.reason }
    }

    fn of(inbound: &Inbound<'_>) -> Self {
        let Inbound { messages, reason } = inbound;
        let packet_ids = messages.packet_ids().collect();
        Self { packet_ids, qos: messages.qos(), reason: *reason }
    }
}

impl WideRun {
    /// Delivers to the next receivers, or asks their queues. True when all have been served.
    pub(crate) fn deliver_slice(
        &mut self,
        shared: &Shared,
        list: &mut FlushList,
        now: Instant,
    ) -> bool {
        let slice = self.destinations.slice(self.next, SLICE);
        let messages: Vec<_> = self.messages.iter().map(OwnedMessages::borrow).collect();
        if self.asks {
            if messages.iter().any(|it| would_refuse(shared, &self.from, it, &slice)) {
                self.refused = true;
                return true;
            }
            self.asks = slice.next.is_some();
            self.next = slice.next.unwrap_or_default();
            return false;
        }
        let way = Way { shared, from: Some(&self.from), now };
        // Rights are gathered until all have theirs: a message is stored once.
        list.records.gather(std::mem::take(&mut self.steps));
        self.refused |= way.deliver(messages.iter(), &slice, list).0;
        if slice.next.is_none() {
            let groups = &self.destinations.groups;
            self.refused |= way.deliver_shared(messages.iter(), groups, self.dice, list).0;
        }
        self.steps = list.records.take_gathered();
        self.next = slice.next.unwrap_or(self.next);
        slice.next.is_none()
    }

    /// Answers the publisher. What it returns ends the publisher's connection.
    pub(crate) fn answer(mut self, work: &Work<'_>, list: &mut FlushList) -> Option<CloseReason> {
        let (shared, from, wire) = (&*work.shard.shared, work.mailbox, work.wire);
        let refused = self.refused;
        let mark = list.records.mark();
        list.records.extend(std::mem::take(&mut self.steps));
        for receipts in &mut self.receipts {
            if refused && !receipts.reason.is_error() {
                receipts.reason = ReasonCode::QuotaExceeded;
            }
        }
        let is_recorded = self.is_stored || list.records.mark() > mark;
        if work.has_to_wait(is_recorded, self.receipts.iter().map(Receipts::sum)) {
            let messages: Vec<_> = self.messages.iter().map(OwnedMessages::borrow).collect();
            let taken = self.receipts.iter().filter(|it| !it.reason.is_error());
            // What is to be published later is not among the messages.
            let messages = messages.iter().map(Some).chain(std::iter::repeat(None));
            work.note_received(taken.zip(messages), mark, list);
            let is_stored = self.is_stored || list.records.mark() > mark;
            self.receipts.iter().for_each(|it| work.answer_later(it, is_stored, list));
            return None;
        }
        from.with_link(wire, &shared.drops, list, |session, exit| {
            self.receipts.into_iter().fold(None, |close: Option<CloseReason>, receipts| {
                let Receipts { packet_ids, qos, reason } = receipts;
                close.or(session.handle_published(packet_ids, qos, reason, exit))
            })
        })
        .flatten()
    }
}

/// The receivers of one turn, which are few.
fn whole(destinations: &Destinations<Mailbox>) -> Slice<'_, Mailbox> {
    destinations.slice(Position::default(), SLICE)
}

/// Whether a full queue, or a store that fails, would not take the message. Asked before anybody
/// gets it, so that a publisher that repeats it does not double it for the others.
fn would_refuse(
    shared: &Shared,
    from: &Mailbox,
    messages: &Messages<'_>,
    receivers: &Slice<'_, Mailbox>,
) -> bool {
    if messages.qos() == QoS::AtMostOnce {
        return false;
    }
    let bytes = match messages {
        Messages::One(transit, _) => {
            transit.topic().len() + transit.properties().len() + transit.payload().len()
        }
        // The session makes no runs where a queue may refuse.
        Messages::Run(_) => 0,
    };
    let is_failing = shared.is_failing();
    let refuses = |destination: &Destination<Mailbox>| {
        let terms = destination.for_publisher(Some(from.id()));
        terms.filter(|terms| terms.qos > QoS::AtMostOnce)?;
        let inner = destination.subscriber.lock();
        if is_failing && inner.session.stored_id().is_some() {
            return Some(DropReason::StoreFailed);
        }
        inner.session.would_refuse(bytes).then_some(DropReason::Refused)
    };
    let Some(why) = receivers.plain.iter().find_map(refuses) else { return false };
    let count = messages.len() as u64;
    shared.drops.note_all(from.client_id(), messages.topic(), messages.qos(), why, count);
    true
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
    list.records.begin();
    let transit = Transit::from_shared(message);
    if transit.retain() && retained::keep(shared, list, &transit, from).is_err() {
        let client_id = from.map_or("", |mailbox| mailbox.client_id());
        shared.drops.note(client_id, transit.topic(), transit.qos(), DropReason::QuotaExceeded);
    }
    let destinations = shared.router.matches(transit.topic());
    let way = Way { shared, from, now };
    let messages = Messages::One(transit, None);
    let messages = std::iter::once(&messages);
    let mut next = Some(Position::default());
    while let Some(position) = next {
        let slice = destinations.slice(position, SLICE);
        way.deliver(messages.clone(), &slice, list);
        next = slice.next;
    }
    way.deliver_shared(messages, &destinations.groups, shared.dice(), list);
}

/// Why messages to this topic are taken from no client, if so.
pub(crate) fn refuses(shared: &Shared, topic: &str) -> Option<(ReasonCode, DropReason)> {
    if topic.starts_with('$') && !may_publish(topic) {
        return Some((ReasonCode::NotAuthorized, DropReason::NotAuthorized));
    }
    let levels_max = shared.options.topic_levels_max;
    // A topic has no more levels than bytes, and one.
    let deep = topic.len() >= levels_max && topic::level_count(topic) > levels_max;
    deep.then_some((ReasonCode::TopicNameInvalid, DropReason::TopicInvalid))
}

/// Whether clients may publish to a topic that begins with `$`: `$SYS/` is the broker's own.
fn may_publish(topic: &str) -> bool {
    topic != "$SYS" && !topic.starts_with("$SYS/")
}
