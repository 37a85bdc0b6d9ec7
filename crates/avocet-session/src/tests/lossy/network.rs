//! Session, client, broker, and the two directions of the connection between them.

use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroU16,
    sync::Arc,
    time::Instant,
};

use avocet_mqtt::{
    AckKind, ApplicationMessage, Codec, Connect, Frames, Packet, PacketId, ProtocolVersion,
    Publish, QoS, ReasonCode, Run, Transit, codec, id::following,
};

use super::client::{Client, RECEIVE_MAXIMUM};
use crate::{
    Actions, Delivery, DropReason, Inbound, Limits, Messages, Outlet, Session, Terms, handshake,
    tests::script::origin,
};

const ALL: usize = usize::MAX;

/// What the session sends; also sees to the identifiers and the window.
#[derive(Debug)]
struct Wire {
    version: ProtocolVersion,
    packets: VecDeque<Vec<u8>>,
    room: usize,
    window: usize,
    /// Identifiers of messages that the session has sent and got no last answer for.
    in_use: BTreeSet<PacketId>,
    /// Those whose PUBLISH was sent on this connection.
    outstanding: BTreeSet<PacketId>,
}

impl Outlet for Wire {
    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        codec::encode(self.version, packet, &mut bytes);
        self.packets.push_back(bytes);
    }

    fn send_publish(&mut self, publish: &Publish<'_>, _: Option<&Arc<ApplicationMessage>>) {
        assert!(self.has_room(), "a PUBLISH without room");
        self.room -= 1;
        if let Some(id) = publish.packet_id {
            let first = self.in_use.insert(id);
            assert_eq!(first, !publish.dup, "DUP says that an identifier is in use: {publish:?}");
            assert!(self.outstanding.insert(id), "twice on one connection: {publish:?}");
            assert!(self.outstanding.len() <= self.window, "more than the window: {publish:?}");
        }
        self.send(&Packet::Publish(publish.clone()));
    }

    fn send_frames(&mut self, frames: &Frames<'_>, with: Option<(QoS, PacketId)>) {
        let Some((qos, mut id)) = with else {
            assert_eq!(frames.qos(), QoS::AtMostOnce);
            return self.packets.extend(frames.iter().map(|frame| frame.bytes().to_vec()));
        };
        let mut bytes = Vec::new();
        frames.write_as(qos, id, &mut bytes);
        // A run is not cut where there is no more room.
        let room = self.room;
        let mut client = Codec::with_version(self.version, u32::MAX);
        let mut rest = &bytes[..];
        while let Some((packet, len)) = client.decode(rest).unwrap() {
            let Packet::Publish(publish) = packet else { panic!("not a PUBLISH: {packet:?}") };
            assert_eq!((publish.qos, publish.packet_id), (qos, Some(id)));
            self.room = self.room.max(1);
            self.send_publish(&publish, None);
            rest = &rest[len..];
            id = following(id);
        }
        assert!(rest.is_empty());
        self.room = room.saturating_sub(frames.len());
    }

    fn send_acks(&mut self, kind: AckKind, packet_ids: impl Iterator<Item = PacketId>) {
        self.packets.extend(packet_ids.map(|id| codec::short_ack_bytes(kind, id).to_vec()));
    }

    fn has_room(&self) -> bool {
        self.room > 0
    }

    fn dropped(&mut self, topic: &str, _: QoS, reason: DropReason) {
        panic!("dropped: {topic} {reason}");
    }
}

#[derive(Debug)]
pub(super) struct Network {
    now: Instant,
    limits: Arc<Limits>,
    session: Session,
    client: Client,
    to_client: Wire,
    to_session: VecDeque<Vec<u8>>,
    /// Messages that the broker has routed and not answered.
    unanswered: VecDeque<(PacketId, QoS)>,
    routed: Vec<(QoS, String)>,
    /// What the client has published, and what the broker has brought.
    published: Vec<(QoS, String)>,
    brought: Vec<(QoS, String)>,
}

impl Network {
    pub(super) fn new(version: ProtocolVersion) -> Self {
        let receive_maximum = NonZeroU16::new(u16::try_from(RECEIVE_MAXIMUM).unwrap()).unwrap();
        let limits = Arc::new(Limits { receive_maximum, ..Limits::default() });
        let to_client = Wire {
            version,
            packets: VecDeque::new(),
            room: 9,
            window: 0,
            in_use: BTreeSet::new(),
            outstanding: BTreeSet::new(),
        };
        Self {
            now: origin(),
            session: Session::new(Arc::from("c"), Arc::clone(&limits)),
            limits,
            client: Client::default(),
            to_client,
            to_session: VecDeque::new(),
            unanswered: VecDeque::new(),
            routed: Vec::new(),
            published: Vec::new(),
            brought: Vec::new(),
        }
    }

    pub(super) fn client_publishes(&mut self, qos: QoS) {
        let payload = self.published.len().to_string();
        self.published.push((qos, payload.clone()));
        let Self { client, to_session, to_client, .. } = self;
        client.publish(qos, payload, &mut |packet| write(to_client.version, &packet, to_session));
    }

    /// Brings messages, as they came if that may be, or one by one.
    pub(super) fn broker_brings(&mut self, qos: QoS, count: usize, as_came: bool) {
        let version = self.to_client.version;
        let first = self.brought.len();
        let payloads: Vec<_> = (first..first + count).map(|n| n.to_string()).collect();
        let packet_id = (qos > QoS::AtMostOnce).then_some(PacketId::MAX);
        let plain = payloads.iter().map(|payload| Publish::new("t", payload.as_bytes()));
        let publishes: Vec<_> =
            plain.map(|it| Publish { qos, packet_id, dup: packet_id.is_some(), ..it }).collect();
        let mut bytes = Vec::new();
        for publish in &publishes {
            codec::encode_publish(version, publish, &mut bytes);
        }
        let messages: Vec<_> = if as_came {
            let mut run = Run::of(&bytes, &publishes[0], version).unwrap();
            while let Some(frame) = run.frames().follower(usize::MAX) {
                run.extend(&frame);
            }
            assert_eq!(run.frames().len(), count);
            vec![Messages::Run(run)]
        } else {
            let one = |publish| Messages::One(Transit::new(publish, self.now), None);
            publishes.iter().map(one).collect()
        };
        let terms = Terms {
            qos: QoS::ExactlyOnce,
            retain_as_published: false,
            identifiers: &[],
            shared: None,
            retained: false,
            promised: false,
        };
        for messages in &messages {
            let delivery =
                self.session.handle_messages(messages, &terms, self.now, &mut self.to_client);
            assert!(matches!(delivery, Delivery::Sent | Delivery::Queued));
        }
        self.brought.extend(payloads.into_iter().map(|payload| (qos, payload)));
    }

    /// PUBLISHes that follow one another are read together.
    pub(super) fn session_reads(&mut self, count: usize) {
        let mut codec = Codec::with_version(self.to_client.version, u32::MAX);
        let count = count.min(self.to_session.len());
        let packets: Vec<_> = self.to_session.drain(..count).collect();
        let is_publish = |bytes: &Vec<u8>| bytes[0] >> 4 == 3;
        for packets in packets.chunk_by(|a, b| is_publish(a) && is_publish(b)) {
            let bytes = packets.concat();
            if let Ok(Some((Packet::Puback(ack) | Packet::Pubcomp(ack), _))) = codec.decode(&bytes)
            {
                self.to_client.in_use.remove(&ack.packet_id);
                self.to_client.outstanding.remove(&ack.packet_id);
            }
            let mut used = 0;
            while used < bytes.len() {
                let mut actions = Actions::default();
                let handled = self.session.handle_bytes(
                    &mut codec,
                    &bytes[used..],
                    self.now,
                    &mut actions,
                    &mut self.to_client,
                    |_, _| {},
                );
                used += handled.used;
                assert!(handled.used > 0 && actions.then.is_none(), "{handled:?} {actions:?}");
                for Inbound { messages, .. } in actions.inbound {
                    for transit in messages.transits() {
                        let payload = String::from_utf8(transit.payload().to_vec()).unwrap();
                        self.routed.push((transit.qos(), payload));
                    }
                    let qos = messages.qos();
                    self.unanswered.extend(messages.packet_ids().map(|id| (id, qos)));
                }
            }
        }
    }

    pub(super) fn broker_answers(&mut self, count: usize) {
        for (id, qos) in self.unanswered.drain(..count.min(self.unanswered.len())) {
            let reason = ReasonCode::Success;
            let close = self.session.handle_published([id], qos, reason, &mut self.to_client);
            assert_eq!(close, None);
        }
    }

    pub(super) fn client_reads(&mut self, count: usize) {
        let Self { client, to_session, to_client, .. } = self;
        let version = to_client.version;
        for bytes in to_client.packets.drain(..count.min(to_client.packets.len())) {
            let mut codec = Codec::with_version(version, u32::MAX);
            let (packet, _) = codec.decode(&bytes).unwrap().unwrap();
            client.handle(&packet, &mut |packet| write(version, &packet, to_session));
        }
    }

    pub(super) fn room(&mut self, room: usize, noticed: bool) {
        self.to_client.room = room;
        if noticed {
            self.session.pump(self.now, &mut self.to_client);
        }
    }

    pub(super) fn cut(&mut self, answered: bool) {
        self.session.detach();
        self.client.connected = false;
        self.to_session.clear();
        self.to_client.packets.clear();
        self.to_client.outstanding.clear();
        if answered {
            self.broker_answers(ALL);
        }
        self.unanswered.clear();
    }

    pub(super) fn connect(&mut self, window: u16) {
        if self.session.is_connected() {
            return;
        }
        let mut connect = Connect::new(self.to_client.version, "c");
        connect.clean_start = false;
        if connect.version == ProtocolVersion::V5 {
            connect.session_expiry_interval = Some(u32::MAX);
            connect.receive_maximum = NonZeroU16::new(window);
        }
        let window = connect.receive_maximum.unwrap_or(self.limits.inflight_max);
        self.to_client.window = window.get().into();
        let admission = handshake::admit(Box::new(connect), &self.limits, String::new).unwrap();
        self.session.attach(admission, true, self.now, &mut self.to_client);
    }

    /// The connection holds until nothing is under way.
    pub(super) fn comes_to_rest(&mut self) {
        self.connect(1);
        self.room(ALL, true);
        while self.to_session.len() + self.to_client.packets.len() + self.unanswered.len() > 0 {
            self.session_reads(ALL);
            self.broker_answers(ALL);
            self.client_reads(ALL);
        }
    }

    /// Nothing is left over, and everything arrived as often as its QoS promises.
    pub(super) fn check(&self) {
        assert!(self.client.is_at_rest(), "{:?}", self.client);
        assert_eq!((self.session.inflight(), self.session.queued()), (0, (0, 0)));
        assert!(self.session.received.is_empty(), "{:?}", self.session.received);
        assert!(!self.session.has_waiting());
        assert_eq!(self.limits.budget.used(), 0);
        assert!(self.to_client.in_use.is_empty());
        arrived(&self.published, &self.routed);
        arrived(&self.brought, &self.client.got);
    }
}

fn arrived(sent: &[(QoS, String)], got: &[(QoS, String)]) {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let numbers = |all: &[(QoS, String)]| -> Vec<usize> {
            let of_this = all.iter().filter(|(this, _)| *this == qos);
            of_this.map(|(_, payload)| payload.parse().unwrap()).collect()
        };
        let (sent, mut got) = (numbers(sent), numbers(got));
        if qos == QoS::AtLeastOnce {
            // Again, but never before its time.
            let mut seen = BTreeSet::new();
            got.retain(|number| seen.insert(*number));
        }
        assert!(got.is_sorted_by(|a, b| a < b), "{qos:?} in order: {got:?}");
        match qos {
            QoS::AtMostOnce => assert!(got.iter().all(|number| sent.contains(number))),
            QoS::AtLeastOnce | QoS::ExactlyOnce => assert_eq!(got, sent, "{qos:?}"),
        }
    }
}

fn write(version: ProtocolVersion, packet: &Packet<'_>, to: &mut VecDeque<Vec<u8>>) {
    let mut bytes = Vec::new();
    codec::encode(version, packet, &mut bytes);
    to.push_back(bytes);
}
