//! What a turn leaves for the store, and what is done once it is stored.
//!
//! Everything that is to survive goes through here, in the order in which it happens: rights to
//! messages, changes of sessions, retained messages, what is to be published later. A turn's
//! records are submitted together at its end, and what waits for them - acknowledgements first of
//! all - is done by [`crate::keeper`] when the store has them.
//!
//! There are two kinds. What somebody is told of may be refused, and then they are told that.
//! Everything else is stored sooner or later.

use std::sync::Arc;

use avocet_mqtt::{ApplicationMessage, PacketId, QoS, ReasonCode, Subscribe, Transit, Will};
use avocet_router::{Filter, Inserted};
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
    sure: Vec<Step>,
    refusable: Vec<Step>,
    /// Where the steps of what is being published begin.
    begin: usize,
    /// Where the last claim was entered: the next one is often for the message behind it.
    last: usize,
    /// Whether what is published now may not be refused: nobody would be told.
    pub(crate) is_sure: bool,
    /// What is to be read from the store.
    pub(crate) loads: Vec<Load>,
}

/// What is to be read from the store.
#[derive(Debug)]
pub(crate) enum Load {
    /// A session has room for what waits for it.
    Queue(Mailbox),
    /// What a shared subscription has brought to a session whose client is away is for another
    /// member.
    Shared(Mailbox, Arc<str>),
    /// Messages whose time is over, whoever they wait for.
    Expired,
    /// What shared subscriptions have brought to a session that is over is for others; then the
    /// store may forget it.
    End(Mailbox, StoredId),
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
    /// A topic has a retained message, or none any more if it is empty.
    Retain(Arc<ApplicationMessage>),
    /// A message is to be published later.
    Plan(Plan),
    /// It was, or is not to be.
    Unplan(u64),
    /// Another member of a shared subscription has got what this one had.
    Release(StoredId, avocet_session::Place),
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
    Message(Arc<ApplicationMessage>),
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
    pub(crate) entered: Vec<(Filter, Inserted)>,
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
            && self.sure.is_empty()
            && self.refusable.is_empty()
            && self.loads.is_empty()
    }

    /// How far the steps that may be refused have come.
    pub(crate) fn mark(&self) -> usize {
        self.refusable.len()
    }

    pub(crate) fn push(&mut self, step: Step) {
        if self.is_sure { &mut self.sure } else { &mut self.refusable }.push(step);
    }

    /// Something is about to be published.
    pub(crate) fn begin(&mut self) {
        self.begin = if self.is_sure { self.sure.len() } else { self.refusable.len() };
        self.last = 0;
    }

    /// Puts other steps in the place of those that may be refused, which it answers.
    pub(crate) fn put_aside(&mut self, others: Vec<Step>) -> Vec<Step> {
        (self.begin, self.last) = (0, 0);
        std::mem::replace(&mut self.refusable, others)
    }

    pub(crate) fn extend(&mut self, steps: Vec<Step>) {
        if self.is_sure { &mut self.sure } else { &mut self.refusable }.extend(steps);
    }

    /// Something that nobody waits for.
    pub(crate) fn note(&mut self, command: &Command<'_>) {
        self.end_sends();
        self.changes.push(command);
    }

    /// A message is published later, whatever happens.
    pub(crate) fn plan(&mut self, plan: Plan) {
        self.push_sure(Step::Plan(plan));
    }

    /// What may not be refused.
    pub(crate) fn push_sure(&mut self, step: Step) {
        self.sure.push(step);
    }

    /// A session has a right to a message that is being published.
    pub(crate) fn claim(&mut self, mailbox: &Mailbox, session: StoredId, claim: Claim) {
        let steps = if self.is_sure { &mut self.sure } else { &mut self.refusable };
        let claim = (mailbox.clone(), session, claim);
        let begin = self.begin.min(steps.len());
        let Some(claim) = enter(&mut steps[begin..], &mut self.last, claim) else { return };
        let message = Arc::clone(claim.2.message());
        steps.push(Step::Publish(Published { message, claims: vec![claim], from: None }));
    }

    /// A session has changed.
    pub(crate) fn record(
        &mut self,
        mailbox: &Mailbox,
        session: StoredId,
        change: Change,
        then: Option<Then>,
    ) {
        let number = SessionNumber(session.0);
        match change {
            Change::Send { packet_id, place } => self.send(session, packet_id, Place(place.0)),
            Change::Release { from, to } => self.note(&Command::Release {
                session: number,
                from: Place(from.0),
                to: Place(to.0),
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
        if let Some(then) = then {
            self.changed.push(Step::Changed(mailbox.clone(), then));
        }
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

    /// All of it, in the order in which it is to be submitted: what is sure, and what may be
    /// refused.
    pub(crate) fn groups(&mut self, clock: &kept::Clock) -> [Group; 2] {
        self.end_sends();
        (self.begin, self.last) = (0, 0);
        let mut batch = std::mem::take(&mut self.changes);
        let mut steps = std::mem::take(&mut self.sure);
        write(&steps, clock, &mut batch);
        steps.append(&mut self.changed);
        let sure = Group { batch, steps };
        let mut batch = Batch::refusable();
        let steps = std::mem::take(&mut self.refusable);
        write(&steps, clock, &mut batch);
        [sure, Group { batch, steps }]
    }
}

impl Group {
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.steps.is_empty()
    }
}

/// A message of QoS 2 has come: with the rights to it, if there are any from the mark on.
pub(crate) fn receive(
    records: &mut Records,
    mark: usize,
    transit: &Transit<'_>,
    from: (StoredId, PacketId),
) {
    let steps = &mut records.refusable[mark..];
    let is_claimed = !steps.is_empty();
    let its = steps.iter_mut().find_map(|step| match step {
        Step::Publish(published)
            if published.from.is_none()
                && is_claimed
                && Arc::ptr_eq(&published.message, transit.share()) =>
        {
            Some(published)
        }
        Step::Publish(_)
        | Step::Receive(..)
        | Step::Retain(_)
        | Step::Plan(_)
        | Step::Unplan(_)
        | Step::Release(..)
        | Step::Answer(_)
        | Step::Subscribed(_)
        | Step::Unsubscribed(_)
        | Step::Changed(..)
        | Step::Loaded(_) => None,
    });
    match its {
        Some(published) => published.from = Some(from),
        None => records.refusable.push(Step::Receive(from.0, from.1)),
    }
}

fn following(id: PacketId) -> u16 {
    id.get().checked_add(1).unwrap_or(1)
}

/// Enters a claim with its message, if that is there. A session that has a right to the message
/// already has another to another copy.
fn enter(
    steps: &mut [Step],
    last: &mut usize,
    claim: (Mailbox, StoredId, Claim),
) -> Option<(Mailbox, StoredId, Claim)> {
    let count = steps.len();
    for turn in 0..count {
        let index = (*last + turn) % count;
        if let Step::Publish(published) = &mut steps[index]
            && Arc::ptr_eq(&published.message, claim.2.message())
            && published.claims.last().is_none_or(|(_, session, _)| *session != claim.1)
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
            Step::Retain(message) if message.payload().is_empty() => {
                batch.push(&Command::Clear { topic: message.topic() });
            }
            Step::Retain(message) => {
                let topic = message.topic();
                let message = kept::message(message, clock, &mut packet);
                batch.push(&Command::Retain { topic, message });
            }
            Step::Plan(Plan { number, due_at, purpose, content }) => {
                let message = match content {
                    Content::Message(message) => kept::message(message, clock, &mut packet),
                    Content::Will(will) => kept::will(will, clock, &mut packet),
                };
                let (plan, due_at, purpose) = (*number, *due_at, *purpose);
                batch.push(&Command::Plan { plan, due_at, purpose, message });
            }
            Step::Unplan(plan) => batch.push(&Command::Unplan { plan: *plan }),
            Step::Release(session, place) => {
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
            Step::Answer(_) | Step::Changed(..) | Step::Loaded(_) => {}
        }
    }
}
