//! What the session sends, held against what it may: the client's view of the connection.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use avocet_mqtt::{
    AckKind, ApplicationMessage, Codec, Frames, Packet, PacketId, ProtocolVersion, Publish, QoS,
    ReasonCode, codec,
};
use avocet_session::{DropReason, Outlet};

/// How far a message to the client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Published(QoS),
    /// The client has said PUBREC: from then on only PUBREL may come.
    Received,
    /// It was sent while acknowledgements of this identifier were being read: those that came
    /// before it were of another message, those behind it are its own. Or PUBCOMP came too early.
    Unknown,
}

#[derive(Debug)]
pub(super) struct Wire {
    version: ProtocolVersion,
    packet_bytes_max: usize,
    window: usize,
    /// How many more PUBLISHes the connection takes.
    pub(super) room: usize,
    /// Nothing may be sent any more, or not yet.
    pub(super) is_closed: bool,
    /// Messages to the client whose exchange is not over.
    under_way: BTreeMap<PacketId, Stage>,
    /// Those that were sent on this connection.
    sent_here: BTreeSet<PacketId>,
    /// Identifiers that what is being read may set free.
    maybe_free: BTreeSet<PacketId>,
    /// What the client owes, in order.
    pub(super) owed: VecDeque<(AckKind, PacketId)>,
    /// What was answered to the client's messages on this connection, by QoS.
    pub(super) answered: [Vec<PacketId>; 2],
}

impl Wire {
    pub(super) fn new(version: ProtocolVersion) -> Self {
        Self {
            version,
            packet_bytes_max: usize::MAX,
            window: 0,
            room: 0,
            is_closed: true,
            under_way: BTreeMap::new(),
            sent_here: BTreeSet::new(),
            maybe_free: BTreeSet::new(),
            owed: VecDeque::new(),
            answered: [Vec::new(), Vec::new()],
        }
    }

    /// A connection with these bounds begins.
    pub(super) fn open(&mut self, packet_bytes_max: usize, window: usize) {
        self.disconnect();
        self.is_closed = false;
        (self.packet_bytes_max, self.window) = (packet_bytes_max, window);
    }

    pub(super) fn disconnect(&mut self) {
        self.is_closed = true;
        self.sent_here.clear();
        self.owed.clear();
        self.answered = [Vec::new(), Vec::new()];
    }

    /// The session is another: nothing is under way.
    pub(super) fn forget(&mut self) {
        self.under_way.clear();
    }

    /// The session is about to be given packets, among them these acknowledgements.
    pub(super) fn expect_acks(&mut self, acks: &[(AckKind, PacketId, bool)]) {
        self.maybe_free = acks.iter().map(|(_, id, _)| *id).collect();
    }

    /// The session was given these; `all` says whether it looked at all of them, which it does not
    /// have to behind one that ends the connection.
    pub(super) fn note_acks(&mut self, acks: &[(AckKind, PacketId, bool)], all: bool) {
        for &(kind, id, is_error) in acks {
            if !all {
                self.under_way.entry(id).and_modify(|stage| *stage = Stage::Unknown);
                continue;
            }
            match (kind, self.under_way.get(&id)) {
                (AckKind::Puback, Some(Stage::Published(QoS::AtLeastOnce)))
                | (AckKind::Pubcomp, Some(Stage::Received)) => self.finish(id),
                (AckKind::Pubcomp, Some(Stage::Published(QoS::ExactlyOnce))) => {
                    self.under_way.insert(id, Stage::Unknown);
                    self.sent_here.remove(&id);
                }
                (AckKind::Pubrec, Some(Stage::Published(QoS::ExactlyOnce))) if is_error => {
                    self.finish(id);
                }
                (AckKind::Pubrec, Some(Stage::Published(QoS::ExactlyOnce))) => {
                    self.under_way.insert(id, Stage::Received);
                }
                _ => {}
            }
        }
        self.maybe_free.clear();
    }

    fn finish(&mut self, id: PacketId) {
        self.under_way.remove(&id);
        self.sent_here.remove(&id);
    }

    fn write(&mut self, bytes: &[u8]) {
        assert!(!self.is_closed, "sent on a connection that is closed: {bytes:?}");
        assert!(bytes.len() <= self.packet_bytes_max, "too large for the client: {bytes:?}");
        let mut client = Codec::with_version(self.version, u32::MAX);
        let (packet, len) = client.decode(bytes).expect("good bytes").expect("a whole packet");
        assert_eq!(len, bytes.len(), "{packet:?}");
        match packet {
            Packet::Publish(publish) => self.note_publish(&publish),
            Packet::Puback(ack) => self.answered[0].push(ack.packet_id),
            Packet::Pubrec(ack) => self.answered[1].push(ack.packet_id),
            Packet::Pubrel(ack) if ack.reason == ReasonCode::Success => {
                self.owed.push_back((AckKind::Pubcomp, ack.packet_id));
            }
            Packet::Disconnect(_) => self.is_closed = true,
            Packet::Connack(_)
            | Packet::Pubrel(_)
            | Packet::Pubcomp(_)
            | Packet::Suback(_)
            | Packet::Unsuback(_)
            | Packet::Pingresp => {}
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Pingreq
            | Packet::Auth(_) => panic!("no server sends {packet:?}"),
        }
    }

    fn note_publish(&mut self, publish: &Publish<'_>) {
        let Some(id) = publish.packet_id else {
            return assert_eq!((publish.qos, publish.dup), (QoS::AtMostOnce, false));
        };
        let is_qos1 = publish.qos == QoS::AtLeastOnce;
        self.owed.push_back((if is_qos1 { AckKind::Puback } else { AckKind::Pubrec }, id));
        if self.maybe_free.contains(&id) {
            self.under_way.insert(id, Stage::Unknown);
            self.sent_here.remove(&id);
            return;
        }
        let stage = Stage::Published(publish.qos);
        match self.under_way.insert(id, stage) {
            Some(Stage::Unknown) => {}
            None => assert!(!publish.dup, "DUP, and never sent before: {publish:?}"),
            Some(before) => {
                assert!(publish.dup, "the identifier is in use: {publish:?}");
                assert_eq!(before, stage, "it was something else before: {publish:?}");
            }
        }
        assert!(self.sent_here.insert(id), "twice on one connection: {publish:?}");
        let count = self.sent_here.difference(&self.maybe_free).count();
        assert!(count <= self.window, "{count} are more than the window: {publish:?}");
    }
}

impl Outlet for Wire {
    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        codec::encode(self.version, packet, &mut bytes);
        assert_eq!(bytes.len(), codec::encoded_len(self.version, packet));
        self.write(&bytes);
    }

    fn send_publish(&mut self, publish: &Publish<'_>, large: Option<&Arc<ApplicationMessage>>) {
        assert!(self.has_room(), "a PUBLISH without room");
        assert!(large.is_none_or(|message| message.payload() == publish.payload));
        self.room -= 1;
        self.send(&Packet::Publish(publish.clone()));
    }

    fn send_frames(&mut self, frames: &Frames<'_>, with: Option<(QoS, PacketId)>) {
        assert!(self.has_room(), "a PUBLISH without room");
        self.room -= frames.len().min(self.room);
        let mut bytes = Vec::new();
        match with {
            None => bytes.extend_from_slice(frames.bytes()),
            Some((qos, first_id)) => frames.write_as(qos, first_id, &mut bytes),
        }
        let mut count = 0;
        while !bytes.is_empty() {
            let client = Codec::with_version(self.version, u32::MAX);
            let len = client.frame_len(&bytes).expect("good bytes").expect("a whole packet");
            self.write(&bytes[..len]);
            bytes.drain(..len);
            count += 1;
        }
        assert_eq!(count, frames.len());
    }

    fn send_acks(&mut self, kind: AckKind, packet_ids: impl Iterator<Item = PacketId>) {
        for id in packet_ids {
            self.write(&codec::short_ack_bytes(kind, id));
        }
    }

    fn has_room(&self) -> bool {
        self.room > 0
    }

    fn dropped(&mut self, _: &str, _: QoS, reason: DropReason) {
        assert!(!reason.to_string().is_empty());
    }
}
