//! What a turn leaves for the store, and what is done once it is stored.
//!
//! Everything that is to survive goes through here, in the order in which it happens: rights to
//! messages, changes of sessions, retained messages, what is to be published later. A turn's
//! records are submitted together at its end, and what waits for them - acknowledgements first of
//! all - is done by [`crate::keeper`] when the store has them.
//!
//! There are two kinds. What somebody is told of may be refused, and then they are told that.
//! Everything else is stored sooner or later. What follows each other and is of one kind is a
//! stretch: all of it is stored, or nothing. Only changes of sessions' queues go before all else of
//! their turn, since they speak of what was stored before it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use avocet_mqtt::{ApplicationMessage, PacketId, QoS, ReasonCode, Subscribe, Will};
use avocet_session::{Change, Claim, StoredId, Then};
use avocet_storage::{
    command::{self, Command, Place, Purpose, SessionNumber, Time},
    store::{Batch, Refusal},
};

use crate::{kept, mailbox::Mailbox, subscribe::Feed, wire::Wire};

/// One turn's.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// Changes that need nothing but to be stored.
    changes: Batch,
    /// What is to be told of those.
    changed: Vec<Step>,
    /// A `Send` that may still become longer.
    sends: Option<Sends>,
    stretches: Vec<Stretch>,
    /// Rights to messages that are gathered over several turns, while they are.
    gathered: Option<Vec<Step>>,
    /// Where what is being published begins.
    begin: Mark,
    /// Where the last claim was entered: the next one is often for the message behind it.
    last: usize,
    /// Whether what is published now may not be refused: nobody would be told.
    pub(crate) is_sure: bool,
    /// What is to be read from the store.
    pub(crate) loads: Vec<Load>,
}

/// Steps of one kind.
#[derive(Debug)]
struct Stretch {
    is_sure: bool,
    steps: Vec<Step>,
}

/// How far a turn's records have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    stretch: usize,
    step: usize,
}

/// What is to be read from the store.
#[derive(Debug)]
pub(crate) enum Load {
    /// A session has room for what waits for it.
    Queue(Mailbox),
    /// What shared subscriptions have brought to a session whose client is away is for members
    /// whose clients are there.
    Shared(Mailbox),
    /// The same, page by page.
    Sharing(Box<Sharing>),
    /// Messages whose time is over, whoever they wait for.
    Expired(Sweep),
    /// What shared subscriptions have brought to a session that is over is for others; then the
    /// store may forget it.
    End(Box<Rest>),
}

/// While it is there what has expired is being read, and nobody else begins to.
#[derive(Debug)]
pub(crate) struct Sweep(Arc<AtomicBool>);

impl Sweep {
    /// `None`: there is one.
    pub(crate) fn begin(is_under_way: &Arc<AtomicBool>) -> Option<Self> {
        let is_first = !is_under_way.swap(true, Ordering::AcqRel);
        is_first.then(|| Self(Arc::clone(is_under_way)))
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// How far it has come what a session gives to others.
#[derive(Debug)]
pub(crate) struct Sharing {
    pub(crate) mailbox: Mailbox,
    pub(crate) session: StoredId,
    /// What lies before was looked at.
    pub(crate) from: avocet_session::Place,
    /// Whether no shared subscription has brought any of it.
    pub(crate) is_unshared: bool,
}

/// What the store has of a session that is over.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) client_id: Arc<str>,
    pub(crate) session: StoredId,
    /// What lies before was in memory, or is given to others.
    pub(crate) from: avocet_session::Place,
    /// What was in flight: of QoS 2 that is for nobody else.
    pub(crate) in_flight: Vec<avocet_session::Place>,
}

#[derive(Debug)]
struct Sends {
    session: StoredId,
    first: PacketId,
    next: u16,
    places: Vec<Place>,
}

/// Something that is to be stored, or done in its turn.
#[derive(Debug)]
pub(crate) enum Step {
    /// A message waits for sessions.
    Publish(Published),
    /// A message of QoS 2 that waits for nobody has come.
    Receive(StoredId, PacketId),
    /// A topic has a retained message, or none any more if it is empty; from whom it comes.
    Retain(Arc<ApplicationMessage>, Option<Mailbox>),
    /// This connection's client may ask again whether the session that it had is over for good.
    Ended(Arc<Wire>),
    /// A message is to be published later.
    Plan(Plan),
    /// It was, or is not to be.
    Unplan(u64),
    /// A session is over.
    End(StoredId),
    /// Nobody finds the session any more that this client had.
    Over(Arc<str>),
    /// Another member of a shared subscription has got what this one had, if its session is not
    /// over.
    Release(Option<Mailbox>, StoredId, avocet_session::Place),
    /// Publishers are answered.
    Answer(Answer),
    /// Subscriptions were made.
    Subscribed(Box<Subscribed>),
    /// Subscriptions were taken back.
    Unsubscribed(Box<Unsubscribed>),
    /// A session's change is stored.
    Changed(Mailbox, Then),
    /// A session may read what waits for it again.
    Loaded(Mailbox),
    /// What a page has brought about is stored: the next one may be read.
    Next(Load),
}

/// A message with who has a right to it.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) message: Arc<ApplicationMessage>,
    pub(crate) claims: Vec<(Mailbox, StoredId, Claim)>,
    /// Of QoS 2: the stored session it has come from, and as what.
    pub(crate) from: Option<(StoredId, PacketId)>,
}

/// A message that is published later.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) number: u64,
    pub(crate) due_at: Time,
    pub(crate) purpose: Purpose,
    pub(crate) content: Content,
}

/// What is published later.
#[derive(Debug)]
pub(crate) enum Content {
    /// From a client, at this time.
    Message(Arc<ApplicationMessage>, Instant),
    /// Its expiry interval begins when it is published.
    Will(Box<Will>),
}

/// Messages of one connection that were published.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) mailbox: Mailbox,
    pub(crate) wire: Arc<Wire>,
    pub(crate) packet_ids: Vec<PacketId>,
    pub(crate) qos: QoS,
    pub(crate) reason: ReasonCode,
    /// Whether something of them is to be stored.
    pub(crate) is_stored: bool,
}

/// A SUBSCRIBE that is answered once it is stored.
#[derive(Debug)]
pub(crate) struct Subscribed {
    pub(crate) mailbox: Mailbox,
    pub(crate) wire: Arc<Wire>,
    pub(crate) session: StoredId,
    pub(crate) request: Subscribe,
    pub(crate) reasons: Vec<ReasonCode>,
    /// By which the session has what it has replaced.
    pub(crate) number: u64,
    pub(crate) feeds: Vec<Feed>,
}

/// An UNSUBSCRIBE that is answered once it is stored.
#[derive(Debug)]
pub(crate) struct Unsubscribed {
    pub(crate) mailbox: Mailbox,
    pub(crate) wire: Arc<Wire>,
    pub(crate) session: StoredId,
    pub(crate) filters: Vec<String>,
    pub(crate) packet_id: PacketId,
    pub(crate) reasons: Vec<ReasonCode>,
}

/// What is to be stored together, and done then.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) batch: Batch,
    pub(crate) steps: Vec<Step>,
}

/// What became of a group.
pub(crate) type Outcome = Result<Vec<Place>, Refusal>;

impl Records {
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.sends.is_none()
            && self.stretches.iter().all(|stretch| stretch.steps.is_empty())
            && self.loads.is_empty()
    }

    /// Where the next step comes.
    pub(crate) fn mark(&self) -> Mark {
        match self.stretches.last() {
            Some(last) if last.is_sure == self.is_sure => {
                Mark { stretch: self.stretches.len() - 1, step: last.steps.len() }
            }
            _ => Mark { stretch: self.stretches.len(), step: 0 },
        }
    }

    /// What was entered since.
    fn since(&mut self, mark: Mark) -> impl Iterator<Item = &mut Step> {
        let stretches = self.stretches.iter_mut().skip(mark.stretch).enumerate();
        stretches.flat_map(move |(index, stretch)| {
            let from = if index == 0 { mark.step } else { 0 };
            stretch.steps.iter_mut().skip(from)
        })
    }

    /// The steps of the stretch that is being written.
    fn steps(&mut self) -> &mut Vec<Step> {
        open(&mut self.stretches, self.is_sure).1
    }

    pub(crate) fn push(&mut self, step: Step) {
        self.steps().push(step);
    }

    /// Something is about to be published.
    pub(crate) fn begin(&mut self) {
        self.begin = self.mark();
        self.last = 0;
    }

    /// Has rights to messages gathered with others of earlier turns, until they are taken.
    pub(crate) fn gather(&mut self, steps: Vec<Step>) {
        self.gathered = Some(steps);
        self.last = 0;
    }

    /// What was gathered.
    pub(crate) fn take_gathered(&mut self) -> Vec<Step> {
        self.last = 0;
        self.gathered.take().unwrap_or_default()
    }

    pub(crate) fn extend(&mut self, steps: Vec<Step>) {
        self.steps().extend(steps);
    }

    /// Something that nobody waits for.
    pub(crate) fn note(&mut self, command: &Command<'_>) {
        self.end_sends();
        self.changes.push(command);
    }

    /// What may not be refused.
    pub(crate) fn push_sure(&mut self, step: Step) {
        open(&mut self.stretches, true).1.push(step);
    }

    /// A session has a right to a message that is being published.
    pub(crate) fn claim(&mut self, mailbox: &Mailbox, session: StoredId, claim: Claim) {
        let claim = (mailbox.clone(), session, claim);
        let Self { stretches, gathered, begin, last, is_sure, .. } = self;
        let (steps, from) = match gathered {
            Some(steps) => (steps, 0),
            None => {
                let (index, steps) = open(stretches, *is_sure);
                (steps, if index == begin.stretch { begin.step } else { 0 })
            }
        };
        let Some(claim) = enter(&mut steps[from..], last, claim) else { return };
        let message = Arc::clone(claim.2.message());
        steps.push(Step::Publish(Published { message, claims: vec![claim], from: None }));
    }

    /// A session has changed.
    pub(crate) fn record(
        &mut self,
        mailbox: &Mailbox,
        session: StoredId,
        change: Change,
        then: impl IntoIterator<Item = Then>,
    ) {
        let number = SessionNumber(session.0);
        match change {
            Change::Send { packet_id, place } => self.send(session, packet_id, Place(place.0)),
            Change::Release { from, to } => self.note(&Command::Release {
                session: number,
                from: Place(from.0),
                to: Place(to.0),
            }),
            // As if PUBREC had come: what is left of it is to be ended by PUBREL. No message is at
            // place 0: the first record is that of a session.
            Change::Occupy(packet_id) => self.note(&Command::Acknowledge {
                session: number,
                packet_id: packet_id.get(),
                place: Place(0),
            }),
            Change::Acknowledge { packet_id, place } => self.note(&Command::Acknowledge {
                session: number,
                packet_id: packet_id.get(),
                place: Place(place.0),
            }),
            Change::Complete(packet_id) => {
                self.note(&Command::Complete { session: number, packet_id: packet_id.get() });
            }
            Change::Forget(packet_id) => {
                self.note(&Command::Forget { session: number, packet_id: packet_id.get() });
            }
        }
        self.changed.extend(then.into_iter().map(|then| Step::Changed(mailbox.clone(), then)));
    }

    fn send(&mut self, session: StoredId, packet_id: PacketId, place: Place) {
        if let Some(sends) = &mut self.sends
            && sends.session == session
            && sends.next == packet_id.get()
        {
            sends.places.push(place);
            sends.next = following(packet_id);
            return;
        }
        self.end_sends();
        let next = following(packet_id);
        self.sends = Some(Sends { session, first: packet_id, next, places: vec![place] });
    }

    fn end_sends(&mut self) {
        if let Some(Sends { session, first, places, .. }) = self.sends.take() {
            let session = SessionNumber(session.0);
            self.changes.push(&Command::Send { session, packet_id: first.get(), places });
        }
    }

    /// All of it, in the order in which it is to be submitted.
    pub(crate) fn groups(&mut self, clock: &kept::Clock) -> Vec<Group> {
        self.end_sends();
        (self.begin, self.last) = (Mark::default(), 0);
        let changes = Group {
            batch: std::mem::take(&mut self.changes),
            steps: std::mem::take(&mut self.changed),
        };
        let mut groups = vec![changes];
        for Stretch { is_sure, mut steps } in std::mem::take(&mut self.stretches) {
            if is_sure && let [changes] = &mut groups[..] {
                write(&steps, clock, &mut changes.batch);
                changes.steps.append(&mut steps);
                continue;
            }
            let mut batch = if is_sure { Batch::default() } else { Batch::refusable() };
            write(&steps, clock, &mut batch);
            groups.push(Group { batch, steps });
        }
        groups.retain(|group| !group.is_empty());
        groups
    }
}

impl Group {
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.steps.is_empty()
    }
}

/// A message of QoS 2 has come: with the rights to it, if some were entered since.
pub(crate) fn receive(
    records: &mut Records,
    mark: Mark,
    message: Option<&Arc<ApplicationMessage>>,
    from: (StoredId, PacketId),
) {
    let its = records.since(mark).find_map(|step| {
        let (Step::Publish(published), Some(message)) = (step, message) else { return None };
        let is_its = published.from.is_none() && Arc::ptr_eq(&published.message, message);
        is_its.then_some(published)
    });
    match its {
        Some(published) => published.from = Some(from),
        None => records.push(Step::Receive(from.0, from.1)),
    }
}

/// The stretch that takes the next step of this kind: the last one, or another behind it.
fn open(stretches: &mut Vec<Stretch>, is_sure: bool) -> (usize, &mut Vec<Step>) {
    if stretches.last().is_none_or(|last| last.is_sure != is_sure) {
        stretches.push(Stretch { is_sure, steps: Vec::new() });
    }
    let index = stretches.len() - 1;
    (index, &mut stretches[index].steps)
}

fn following(id: PacketId) -> u16 {
    id.get().checked_add(1).unwrap_or(1)
}

/// Enters a claim with its message, if that is there. A session that has a right to the message
/// already, as a member of a shared subscription may, has another to another copy.
fn enter(
    steps: &mut [Step],
    last: &mut usize,
    claim: (Mailbox, StoredId, Claim),
) -> Option<(Mailbox, StoredId, Claim)> {
    let has_one = |claims: &[(Mailbox, StoredId, Claim)]| {
        claim.2.shared().is_some() && claims.iter().any(|(_, session, _)| *session == claim.1)
    };
    let count = steps.len();
    for turn in 0..count {
        let index = (*last + turn) % count;
        if let Step::Publish(published) = &mut steps[index]
            && Arc::ptr_eq(&published.message, claim.2.message())
            && !has_one(&published.claims)
        {
            published.claims.push(claim);
            *last = index + 1;
            return None;
        }
    }
    Some(claim)
}

fn write(steps: &[Step], clock: &kept::Clock, batch: &mut Batch) {
    let mut packet = Vec::new();
    for step in steps {
        packet.clear();
        match step {
            Step::Publish(Published { message, claims, from }) => {
                let claim = |(_, session, claim): &(Mailbox, StoredId, Claim)| command::Claim {
                    session: SessionNumber(session.0),
                    flags: kept::flags(claim.qos(), claim.retain()),
                    identifiers: claim.identifiers().iter().map(|it| it.value()).collect(),
                    shared: claim.shared().map(|it| it.to_string()),
                };
                let message = kept::message(message, clock, &mut packet);
                let claims = claims.iter().map(claim).collect();
                let from = from.map(|(session, id)| (SessionNumber(session.0), id.get()));
                batch.push(&Command::Publish { message, claims, from });
            }
            Step::Receive(session, packet_id) => {
                let (session, packet_id) = (SessionNumber(session.0), packet_id.get());
                batch.push(&Command::Receive { session, packet_id });
            }
            Step::Retain(message, _) if message.payload().is_empty() => {
                batch.push(&Command::Clear { topic: message.topic() });
            }
            Step::Retain(message, _) => {
                let topic = message.topic();
                let message = kept::message(message, clock, &mut packet);
                batch.push(&Command::Retain { topic, message });
            }
            Step::Plan(Plan { number, due_at, purpose, content }) => {
                let message = match content {
                    Content::Message(message, _) => kept::message(message, clock, &mut packet),
                    Content::Will(will) => kept::will(will, clock, &mut packet),
                };
                let (plan, due_at, purpose) = (*number, *due_at, *purpose);
                batch.push(&Command::Plan { plan, due_at, purpose, message });
            }
            Step::Unplan(plan) => batch.push(&Command::Unplan { plan: *plan }),
            Step::End(session) => {
                batch.push(&Command::End { session: SessionNumber(session.0) });
            }
            Step::Release(_, session, place) => {
                let (session, place) = (SessionNumber(session.0), Place(place.0));
                batch.push(&Command::Release { session, from: place, to: place });
            }
            Step::Subscribed(subscribed) => {
                let Subscribed { session, request, reasons, .. } = &**subscribed;
                let session = SessionNumber(session.0);
                let identifier = request.subscription_identifier.map_or(0, |it| it.value());
                for (line, reason) in request.subscriptions.iter().zip(reasons) {
                    if !reason.is_error() {
                        let terms = command::Terms { options: line.options.byte(), identifier };
                        batch.push(&Command::Subscribe { session, filter: &line.filter, terms });
                    }
                }
            }
            Step::Unsubscribed(unsubscribed) => {
                let session = SessionNumber(unsubscribed.session.0);
                for filter in &unsubscribed.filters {
                    batch.push(&Command::Unsubscribe { session, filter });
                }
            }
            Step::Answer(_)
            | Step::Over(_)
            | Step::Ended(_)
            | Step::Changed(..)
            | Step::Loaded(_)
            | Step::Next(_) => {}
        }
    }
}
