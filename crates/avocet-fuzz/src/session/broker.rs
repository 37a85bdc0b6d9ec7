//! The session's other side: it reads what the client sends, does what the session asks for, and
//! brings messages, and sees to what the client's own messages become.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use avocet_mqtt::{
    AckKind, Codec, Packet, PacketId, ProtocolVersion, QoS, ReasonCode, Transit, encode,
};
use avocet_router::Filter;
use avocet_session::{
    Action, Actions, Delivery, Inbound, Limits, Messages, MountpointTemplate, OwnedMessages,
    QueueFull, Session, Stop, Terms, handshake,
};

use super::{
    step::{Connecting, Message, Quality, Setting, Step, ack, filter_text},
    wire::Wire,
};

/// Any instant will do.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Bytes that a client may have sent and the session not read.
const PENDING_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Broker {
    version: ProtocolVersion,
    limits: Arc<Limits>,
    mountpoint: Option<MountpointTemplate>,
    now: Instant,
    session: Option<Session>,
    wire: Wire,
    codec: Codec,
    /// What the client has sent and the session has not read.
    pending: Vec<u8>,
    /// What the session handed on and was not told of yet.
    unanswered: VecDeque<(QoS, PacketId)>,
    /// Messages of QoS 2 that were handed on and whose exchange is not over.
    held: BTreeSet<PacketId>,
    /// What the client published on this connection, by QoS, as the session took it.
    published: [Vec<PacketId>; 2],
}

/// What stands in the bytes that a session is about to be given.
#[derive(Debug, Default)]
struct Content {
    /// Acknowledgements with the end of their packets, and whether they are errors.
    acks: Vec<(usize, (AckKind, PacketId, bool))>,
    published: Vec<(usize, QoS, PacketId)>,
}

impl Broker {
    pub(super) fn new(setting: &Setting) -> Self {
        let version = setting.version();
        let template = || MountpointTemplate::parse("site/").expect("a mountpoint");
        Self {
            version,
            limits: Arc::new(setting.limits()),
            mountpoint: setting.mountpoint.then(template),
            now: *ORIGIN,
            session: None,
            wire: Wire::new(version),
            codec: Codec::new(u32::MAX),
            pending: Vec::new(),
            unanswered: VecDeque::new(),
            held: BTreeSet::new(),
            published: [Vec::new(), Vec::new()],
        }
    }

    pub(super) fn take(&mut self, step: Step<'_>) {
        match step {
            Step::Connect(connecting) => self.connect(&connecting),
            Step::Cut => self.cut(),
            Step::Send { packet, count } => {
                for number in 0..=count % 8 {
                    self.client_sends(&packet.packet(number));
                }
            }
            Step::SendBytes(bytes) if self.pending.len() < PENDING_MAX => {
                self.pending.extend_from_slice(bytes);
            }
            Step::SendBytes(_) => {}
            Step::Acknowledge { count } => {
                for _ in 0..=count {
                    let Some((kind, id)) = self.wire.owed.pop_front() else { break };
                    self.client_sends(&ack(kind, id, ReasonCode::Success));
                }
            }
            Step::Read { bytes } => self.read(usize::from(bytes)),
            Step::ReadAll => self.read(usize::MAX),
            Step::Answer { count, refused } => self.answer(usize::from(count) + 1, refused),
            Step::Bring { message, count, shared, retained, granted } => {
                for _ in 0..=count % 8 {
                    self.bring(&message, granted, shared, retained);
                }
            }
            Step::Room { count, noticed } => {
                self.wire.room = usize::from(count);
                if let Some(session) = self.session.as_mut().filter(|_| noticed) {
                    session.pump(self.now, &mut self.wire);
                }
            }
            Step::Wait { seconds } => self.now += Duration::from_secs(u64::from(seconds)),
            Step::Close => self.close(),
            Step::Forget { filter } => {
                if let Some(session) = &mut self.session {
                    let was = session.is_subscribed(filter_text(filter));
                    assert_eq!(session.forget(filter_text(filter)), was);
                }
            }
        }
        self.check();
    }

    /// The end: all of the budget is there again.
    pub(super) fn finish(mut self) {
        // What waits for room may need room again for what it brings about.
        for _ in 0..3 {
            self.wire.room = 1000;
            if let Some(session) = &mut self.session {
                session.pump(self.now, &mut self.wire);
            }
            self.read(usize::MAX);
            self.answer(usize::MAX, false);
        }
        self.check();
        self.check_all_answered();
        drop(self.session);
        assert_eq!(self.limits.budget.used(), 0, "bytes of the budget that nobody has");
    }

    fn client_sends(&mut self, packet: &Packet<'_>) {
        if self.pending.len() < PENDING_MAX {
            encode(self.version, packet, &mut self.pending);
        }
    }

    fn connect(&mut self, connecting: &Connecting) {
        self.cut();
        // As its bytes say.
        let mut bytes = Vec::new();
        let connect = connecting.connect(self.version);
        encode(self.version, &Packet::Connect(Box::new(connect)), &mut bytes);
        self.codec = Codec::new(self.limits.packet_bytes_max.get());
        let decoded = self.codec.decode(&bytes).expect("a good CONNECT").expect("all of it");
        let (Packet::Connect(connect), len) = decoded else { panic!("no CONNECT: {decoded:?}") };
        assert_eq!(len, bytes.len());
        let max = connect.maximum_packet_size.map_or(usize::MAX, |max| max.get() as usize);
        let window = connect.receive_maximum.map_or(u16::MAX, |max| max.get());
        let window = usize::from(window.min(self.limits.inflight_max.get()));
        let is_clean = connect.clean_start;
        let admitted = handshake::admit(connect, &self.limits, || "assigned".to_owned());
        let mounted = admitted.and_then(|mut admission| {
            self.mountpoint.iter().try_for_each(|it| admission.mount(it)).map(|()| admission)
        });
        let admission = match mounted {
            Ok(admission) => admission,
            Err(refusal) => return assert!(refusal.connack().reason.is_error()),
        };
        if is_clean && let Some(mut session) = self.session.take() {
            drop(session.end(&mut self.wire));
        }
        let is_present = self.session.is_some();
        if !is_present {
            self.wire.forget();
            self.held.clear();
        }
        self.wire.open(max, window);
        let (client_id, limits) = (Arc::clone(&admission.client_id), Arc::clone(&self.limits));
        let session = self.session.get_or_insert_with(|| Session::new(client_id, limits));
        session.attach(admission, is_present, self.now, &mut self.wire);
    }

    fn cut(&mut self) {
        self.pending.clear();
        self.published = [Vec::new(), Vec::new()];
        let Some(session) = self.session.as_mut().filter(|session| session.is_connected()) else {
            return;
        };
        let detached = session.detach();
        self.wire.disconnect();
        // What is under way is done before another connection comes.
        self.answer(usize::MAX, false);
        let Some(session) = &mut self.session else { return };
        if detached.expires_after.is_some_and(|after| after.is_zero()) {
            drop(session.end(&mut self.wire));
            self.session = None;
        }
    }

    fn close(&mut self) {
        if let Some(session) = &mut self.session {
            let closed = session.close(ReasonCode::AdministrativeAction, "why", &mut self.wire);
            self.wire.is_closed |= closed.is_some();
        }
    }

    fn bring(&mut self, message: &Message, granted: Quality, is_shared: bool, is_retained: bool) {
        let Some(session) = &mut self.session else { return };
        let publish = message.publish();
        let transit = Transit::new(&publish, self.now);
        let shared: Option<Arc<str>> = is_shared.then(|| "$share/g/a".into());
        let terms = Terms {
            qos: granted.qos(),
            retain_as_published: is_retained,
            identifiers: &[],
            shared: shared.as_ref(),
            retained: is_retained && !is_shared,
            promised: false,
        };
        let delivery = session.handle_delivery(&transit, &terms, self.now, &mut self.wire);
        let may_refuse = self.limits.queue_full == QueueFull::Refuse;
        assert!(delivery != Delivery::Refused || may_refuse, "refused, and the oldest should go");
    }

    /// Gives the session what the client has sent, as far as it takes it.
    fn read(&mut self, mut bytes: usize) {
        loop {
            let Some(session) = &mut self.session else { return };
            let len = self.pending.len().min(bytes);
            if len == 0 || !session.is_open() {
                return;
            }
            let stream: Vec<u8> = self.pending[..len].to_vec();
            let content = content_of(self.version, &stream);
            let acks: Vec<_> = content.acks.iter().map(|(_, ack)| *ack).collect();
            self.wire.expect_acks(&acks);
            let mut actions = Actions::default();
            let (codec, wire) = (&mut self.codec, &mut self.wire);
            let handled =
                session.handle_bytes(codec, &stream, self.now, &mut actions, wire, |_, _| {});
            assert!(handled.used <= len);
            let is_asked = actions.then.is_some();
            let goes_on = !matches!(actions.then, Some(Action::Close(_)));
            self.note(&content, handled.used, goes_on);
            self.route(&actions.inbound, &content, handled.used);
            if let Some(action) = actions.then {
                self.act(action);
            }
            self.pending.drain(..handled.used.min(self.pending.len()));
            bytes -= handled.used;
            self.check();
            let goes_on = handled.stop == Stop::Actions && (handled.used > 0 || is_asked);
            if !goes_on {
                return;
            }
        }
    }

    /// What the session took.
    fn note(&mut self, content: &Content, used: usize, goes_on: bool) {
        let acks: Vec<_> =
            content.acks.iter().filter(|(end, _)| *end <= used).map(|(_, ack)| *ack).collect();
        self.wire.note_acks(&acks, goes_on);
        for &(_, qos, id) in content.published.iter().filter(|(end, ..)| *end <= used) {
            self.published[usize::from(qos == QoS::ExactlyOnce)].push(id);
        }
    }

    /// Takes the client's messages, gives each of them back to the client itself, and sees to it
    /// that none of QoS 2 comes twice.
    fn route(&mut self, inbound: &[Inbound<'_>], content: &Content, used: usize) {
        let taken = content.acks.iter().filter(|(end, _)| *end <= used);
        let released: BTreeSet<PacketId> = taken
            .filter(|(_, (kind, ..))| *kind == AckKind::Pubrel)
            .map(|(_, (_, id, _))| *id)
            .collect();
        for id in &released {
            self.held.remove(id);
        }
        for Inbound { messages, .. } in inbound {
            let qos = messages.qos();
            for id in messages.packet_ids() {
                if qos == QoS::ExactlyOnce && !released.contains(&id) {
                    assert!(self.held.insert(id), "{id} was handed on twice");
                }
                self.unanswered.push_back((qos, id));
            }
            self.deliver(messages);
            let owned = OwnedMessages::of(messages);
            self.deliver(&owned.borrow());
        }
    }

    fn deliver(&mut self, messages: &Messages<'_>) {
        assert_eq!(messages.transits().len(), messages.len());
        let terms = Terms {
            qos: QoS::ExactlyOnce,
            retain_as_published: false,
            identifiers: &[],
            shared: None,
            retained: false,
            promised: false,
        };
        if let Some(session) = &mut self.session {
            session.handle_messages(messages, &terms, self.now, &mut self.wire);
        }
    }

    fn answer(&mut self, count: usize, is_refused: bool) {
        let reason = match is_refused {
            true => ReasonCode::NotAuthorized,
            false => ReasonCode::Success,
        };
        for _ in 0..count {
            let Some((qos, id)) = self.unanswered.pop_front() else { return };
            if is_refused {
                self.held.remove(&id);
            }
            let Some(session) = &mut self.session else { continue };
            let close = session.handle_published([id], qos, reason, &mut self.wire);
            self.wire.is_closed |= close.is_some();
        }
    }

    /// Does what the session asked for, after everything that came before.
    fn act(&mut self, action: Action) {
        self.answer(usize::MAX, false);
        let Some(session) = &mut self.session else { return };
        match action {
            Action::Subscribe(request) => {
                let lines = request.subscriptions.iter();
                let reasons: Vec<ReasonCode> = lines
                    .map(|line| match Filter::parse(&line.filter) {
                        Ok(_) => ReasonCode::GrantedQoS1,
                        Err(_) => ReasonCode::TopicFilterInvalid,
                    })
                    .collect();
                session.handle_subscribed(&request, &reasons, &mut self.wire);
            }
            Action::Unsubscribe(request) => {
                let reasons = request.filters.iter().map(|filter| match session.forget(filter) {
                    true => ReasonCode::Success,
                    false => ReasonCode::NoSubscriptionExisted,
                });
                let reasons = reasons.collect();
                session.handle_unsubscribed(request.packet_id, reasons, &mut self.wire);
            }
            Action::Authenticate(_) => panic!("no method was agreed on"),
            Action::Close(_) => self.wire.is_closed = true,
        }
    }

    fn check(&self) {
        let Some(session) = &self.session else { return };
        let (messages, bytes) = session.queued();
        assert!(messages <= self.limits.queue_messages_max, "{messages} messages wait");
        assert!(bytes <= self.limits.queue_bytes_max, "{bytes} bytes wait");
        let [pubacks, pubrecs] = &self.wire.answered;
        let [qos1, qos2] = &self.published;
        assert!(qos1.starts_with(pubacks), "PUBACK {pubacks:?} for {qos1:?}");
        let mut rest = qos2.iter();
        let in_order = pubrecs.iter().all(|id| rest.any(|other| other == id));
        assert!(in_order, "PUBREC {pubrecs:?} for {qos2:?}");
    }

    /// Every message of QoS 1 was answered, where that was possible.
    fn check_all_answered(&self) {
        let is_open = self.session.as_ref().is_some_and(Session::is_open);
        if is_open && self.unanswered.is_empty() {
            assert_eq!(self.wire.answered[0], self.published[0], "not all is answered");
        }
    }
}

fn content_of(version: ProtocolVersion, stream: &[u8]) -> Content {
    let mut codec = Codec::with_version(version, u32::MAX);
    let (mut content, mut end) = (Content::default(), 0);
    while let Ok(Some((packet, len))) = codec.decode(&stream[end..]) {
        end += len;
        if let Some((kind, ack)) = packet.as_ack() {
            content.acks.push((end, (kind, ack.packet_id, ack.reason.is_error())));
        } else if let Packet::Publish(publish) = packet
            && let Some(id) = publish.packet_id
        {
            content.published.push((end, publish.qos, id));
        }
    }
    content
}
