//! A conversation with one session, and the exact list of what it brings about.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use avocet_mqtt::{
    Codec, Connect, Packet, PacketId, ProtocolVersion, Publish, QoS, ReasonCode, Subscribe,
    Transit, codec,
};

use super::{
    message::Message,
    wire::{Wire, action_lines, close_line},
};
use crate::{
    Actions, Claim, Delivery, Detached, Limits, MountpointTemplate, Page, Place, Restored, Session,
    StoredId, Terms, handshake,
};

/// A session, its client and a clock.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) version: ProtocolVersion,
    now: Instant,
    limits: Arc<Limits>,
    connect: Connect,
    mountpoint: Option<MountpointTemplate>,
    session: Option<Session>,
    wire: Wire,
    /// If a store keeps the session: the last place it has given.
    place: Option<u64>,
}

impl Script {
    /// Plays it for every version.
    pub(super) fn each(play: impl Fn(&mut Self)) {
        Self::v3(&play);
        Self::v5(play);
    }

    /// Plays it for 3.1 and 3.1.1.
    pub(super) fn v3(play: impl Fn(&mut Self)) {
        Self::play(ProtocolVersion::V3_1, &play);
        Self::play(ProtocolVersion::V3_1_1, play);
    }

    /// Plays it for 5.0.
    pub(super) fn v5(play: impl Fn(&mut Self)) {
        Self::play(ProtocolVersion::V5, play);
    }

    /// Whatever happened, all of the budget is there again at the end.
    fn play(version: ProtocolVersion, play: impl Fn(&mut Self)) {
        let mut connect = Connect::new(version, "c");
        connect.clean_start = false;
        connect.session_expiry_interval = (version == ProtocolVersion::V5).then_some(3600);
        let wire = Wire::new(version, 1000);
        let mut script = Self {
            version,
            now: origin(),
            limits: Arc::new(Limits::default()),
            connect,
            mountpoint: None,
            session: None,
            wire,
            place: None,
        };
        play(&mut script);
        script.gives(&[]);
        let limits = Arc::clone(&script.limits);
        drop(script);
        assert_eq!(limits.budget.used(), 0, "bytes of the budget that nobody has");
    }

    /// Changes what the operator allows; before the first connection.
    pub(super) fn limits(&mut self, change: impl FnOnce(&mut Limits)) -> &mut Self {
        assert!(self.session.is_none());
        change(Arc::get_mut(&mut self.limits).unwrap());
        self
    }

    /// Changes what the client says in its next CONNECT.
    pub(super) fn connecting(&mut self, change: impl FnOnce(&mut Connect)) -> &mut Self {
        change(&mut self.connect);
        self
    }

    /// From its next CONNECT on the client is one of a listener with this mountpoint.
    pub(super) fn mounted(&mut self, mountpoint: &str) -> &mut Self {
        self.mountpoint = Some(MountpointTemplate::parse(mountpoint).expect("a mountpoint"));
        self
    }

    /// The same of one that has none.
    pub(super) fn unmounted(&mut self) -> &mut Self {
        self.mountpoint = None;
        self
    }

    /// Connects: the first time to a new session, then to the same.
    pub(super) fn connects(&mut self) -> &mut Self {
        let connect = Box::new(self.connect.clone());
        let packet_bytes_max = connect.maximum_packet_size.map_or(usize::MAX, |n| n.get() as usize);
        self.wire.packet_bytes_max = packet_bytes_max;
        let admitted = handshake::admit(connect, &self.limits, || "assigned".to_owned());
        let mounted = admitted.and_then(|mut admission| {
            self.mountpoint.iter().try_for_each(|it| admission.mount(it)).map(|()| admission)
        });
        let admission = match mounted {
            Ok(admission) => admission,
            Err(refusal) => {
                self.wire.lines.push(format!("refused {:02X}", refusal.reason.byte()));
                return self;
            }
        };
        let present = self.session.is_some();
        let (client_id, limits) = (Arc::clone(&admission.client_id), Arc::clone(&self.limits));
        let is_stored = self.place.is_some();
        let session = self.session.get_or_insert_with(|| {
            let mut session = Session::new(client_id, limits);
            if is_stored {
                session.store_as(StoredId(1));
            }
            session
        });
        session.attach(admission, present, self.now, &mut self.wire);
        self
    }

    /// Connects, and takes the CONNACK for granted.
    pub(super) fn open(&mut self) -> &mut Self {
        self.gives(&[]);
        self.connects();
        assert!(self.wire.lines[0].starts_with("CONNACK"), "{:?}", self.wire.lines);
        self.wire.lines.remove(0);
        self
    }

    /// A store keeps the session; before the first connection.
    pub(super) fn stored(&mut self) -> &mut Self {
        assert!(self.session.is_none());
        self.place = Some(0);
        self
    }

    /// The store had this of a session; before the first connection.
    pub(super) fn restored(&mut self, restored: &Restored<'_>) -> &mut Self {
        self.stored();
        let limits = Arc::clone(&self.limits);
        self.session = Some(Session::restore("c".into(), limits, StoredId(1), restored));
        self
    }

    /// What the client has a right to is stored, and the session hears of it.
    pub(super) fn commits(&mut self) -> &mut Self {
        for claim in std::mem::take(&mut self.wire.claims) {
            let place = self.place.as_mut().expect("a store");
            *place += 1;
            let session = self.session.as_mut().expect("a session");
            session.handle_stored(Place(*place), claim, self.now, &mut self.wire);
        }
        self
    }

    /// Some of the session's changes are stored: these, counted from the oldest.
    pub(super) fn records(&mut self, which: &[usize]) -> &mut Self {
        let thens = std::mem::take(&mut self.wire.thens);
        let session = self.session.as_mut().expect("a session");
        for index in which {
            session.handle_recorded(thens[*index], self.now, &mut self.wire);
        }
        let left = thens.into_iter().enumerate().filter(|(index, _)| !which.contains(index));
        self.wire.thens.splice(..0, left.map(|(_, then)| then));
        self
    }

    /// What waits in the store is read, from where the session says.
    pub(super) fn loads(&mut self, places: &[u64], qos: QoS, has_more: bool) -> &mut Self {
        let session = self.session.as_mut().expect("a session");
        let (_, from, room) = session.load_from().expect("a stored session");
        assert!(places.len() <= room && places.first().is_none_or(|first| *first >= from.0));
        let now = self.now;
        let claims = places.iter().map(|place| (Place(*place), read(*place, qos, now)));
        let claims: Vec<_> = claims.collect();
        let page = Page { found: claims, lost: Vec::new(), has_more };
        session.handle_loaded(from, page, self.now, &mut self.wire);
        self
    }

    /// What was asked for at another time is read.
    pub(super) fn loads_from(
        &mut self,
        asked: Option<(StoredId, Place, usize)>,
        places: &[u64],
        has_more: bool,
    ) -> &mut Self {
        let (_, from, _) = asked.expect("a stored session");
        let now = self.now;
        let claims =
            places.iter().map(|place| (Place(*place), read(*place, QoS::AtLeastOnce, now)));
        let claims: Vec<_> = claims.collect();
        let session = self.session.as_mut().expect("a session");
        let page = Page { found: claims, lost: Vec::new(), has_more };
        session.handle_loaded(from, page, now, &mut self.wire);
        self
    }

    /// The store says that a message's time is over.
    pub(super) fn expires(&mut self, place: u64) -> &mut Self {
        let claim = read(place, QoS::ExactlyOnce, self.now);
        let session = self.session.as_mut().expect("a session");
        session.handle_expired(Place(place), &claim, &mut self.wire);
        self
    }

    /// All that the store gives is that it cannot give these.
    pub(super) fn cannot_load(&mut self, places: &[u64], has_more: bool) -> &mut Self {
        let session = self.session.as_mut().expect("a session");
        let (_, from, _) = session.load_from().expect("a stored session");
        let lost = places.iter().map(|place| Place(*place)).collect();
        let page = Page { found: Vec::new(), lost, has_more };
        session.handle_loaded(from, page, self.now, &mut self.wire);
        self
    }

    /// The store cannot give these.
    pub(super) fn loses(&mut self, places: &[u64]) -> &mut Self {
        let places: Vec<_> = places.iter().map(|place| Place(*place)).collect();
        let session = self.session.as_mut().expect("a session");
        session.handle_lost(&places, &mut self.wire);
        self
    }

    /// [`commits`](Self::commits) from this place on.
    pub(super) fn commits_at(&mut self, place: u64) -> &mut Self {
        self.place = Some(place - 1);
        self.commits()
    }

    /// What came out is of no matter.
    pub(super) fn forget_lines(&mut self) -> &mut Self {
        self.wire.lines.clear();
        self
    }

    /// All that came out since the last time.
    pub(super) fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.wire.lines)
    }

    /// The client sends packets in one write.
    pub(super) fn sends_bytes(&mut self, packets: &[Packet<'static>]) -> &mut Self {
        let mut bytes = Vec::new();
        for packet in packets {
            codec::encode(self.version, packet, &mut bytes);
        }
        let mut codec = Codec::with_version(self.version, u32::MAX);
        let session = self.session.as_mut().expect("a session");
        let mut actions = Actions::default();
        let (now, wire) = (self.now, &mut self.wire);
        let handled = session.handle_bytes(&mut codec, &bytes, now, &mut actions, wire, |_, _| {});
        assert_eq!(handled.used, bytes.len());
        self
    }

    /// The broker has done with a PUBLISH that came on an earlier connection.
    pub(super) fn routed_late(&mut self, number: u16, reason: ReasonCode) -> &mut Self {
        let session = self.session.as_mut().expect("a session");
        let id = PacketId::new(number).expect("not zero");
        session.handle_published_late([id], QoS::ExactlyOnce, reason, &mut self.wire);
        self
    }

    /// The connection is cut.
    pub(super) fn cut(&mut self) -> &mut Self {
        let detached = self.session.as_mut().expect("a session").detach();
        let mut lines = Vec::new();
        if let Some(will) = detached.will {
            lines.push(format!("will t={}", will.topic));
        }
        for undelivered in detached.undelivered {
            let (message, subscription) = (&undelivered.message, &undelivered.subscription);
            lines.push(format!("undelivered {subscription} t={}", message.topic()));
        }
        self.wire.lines.extend(lines);
        self
    }

    /// The connection is cut, and what the session says of it is all that counts.
    pub(super) fn detaches(&mut self) -> Detached {
        self.session.as_mut().expect("a session").detach()
    }

    /// The client is not to get this any more.
    pub(super) fn forgets(&mut self, filter: &str) -> bool {
        self.session.as_mut().expect("a session").forget(filter)
    }

    /// The session ends.
    pub(super) fn ends(&mut self) -> &mut Self {
        let session = self.session.as_mut().expect("a session");
        for undelivered in session.end(&mut self.wire) {
            let (message, subscription) = (&undelivered.message, &undelivered.subscription);
            let line = format!("undelivered {subscription} t={}", message.topic());
            self.wire.lines.push(line);
        }
        self
    }

    /// The session is dropped without having been ended.
    pub(super) fn is_dropped(&mut self) -> &mut Self {
        self.session = None;
        self
    }

    /// The client sends a packet.
    pub(super) fn sends(&mut self, packet: Packet<'static>) -> &mut Self {
        let session = self.session.as_mut().expect("a session");
        let mut actions = Actions::default();
        session.handle_packet(packet, self.now, &mut actions, &mut self.wire);
        self.wire.lines.extend(action_lines(&actions, self.now));
        self
    }

    /// What is sent of a packet to a client with this Maximum Packet Size; nothing is no bytes.
    pub(super) fn sends_within(&mut self, room: usize, packet: &Packet<'static>) -> Vec<u8> {
        let session = self.session.as_mut().expect("a session");
        session.connection.as_mut().expect("a connection").packet_bytes_max =
            u32::try_from(room).ok().and_then(NonZeroU32::new);
        self.wire.packet_bytes_max = room;
        self.wire.latest.clear();
        session.send_fitting(packet.clone(), &mut self.wire);
        self.wire.lines.clear();
        std::mem::take(&mut self.wire.latest)
    }

    /// The broker has done with a PUBLISH.
    pub(super) fn routed(&mut self, qos: QoS, number: u16, reason: ReasonCode) -> &mut Self {
        let session = self.session.as_mut().expect("a session");
        let id = PacketId::new(number).expect("not zero");
        let close = session.handle_published([id], qos, reason, &mut self.wire);
        self.wire.lines.extend(close.map(close_line));
        self
    }

    /// The broker has done with a SUBSCRIBE.
    pub(super) fn subscribed(&mut self, request: &Subscribe, reasons: &[ReasonCode]) -> &mut Self {
        let session = self.session.as_mut().expect("a session");
        session.handle_subscribed(request, reasons, &mut self.wire);
        self
    }

    /// The broker has done with an UNSUBSCRIBE.
    pub(super) fn unsubscribed(&mut self, number: u16, reasons: &[ReasonCode]) -> &mut Self {
        let session = self.session.as_mut().expect("a session");
        let id = PacketId::new(number).expect("not zero");
        session.handle_unsubscribed(id, reasons.to_vec(), &mut self.wire);
        self
    }

    /// The broker has a message for the client.
    pub(super) fn brings(&mut self, message: Message) -> &mut Self {
        let transit = Transit::new(&message.publish, self.now);
        let terms = Terms {
            qos: message.granted,
            retain_as_published: message.retain_as_published,
            identifiers: &message.identifiers,
            shared: message.shared.as_ref(),
            retained: message.retained,
            promised: message.promised,
        };
        let session = self.session.as_mut().expect("a session");
        match session.handle_delivery(&transit, &terms, self.now, &mut self.wire) {
            Delivery::Sent | Delivery::Dropped => {}
            Delivery::Queued => self.wire.lines.push("queued".to_owned()),
            Delivery::Refused => self.wire.lines.push("refused".to_owned()),
        }
        self
    }

    /// The broker ends the connection.
    pub(super) fn closes(&mut self, reason: ReasonCode) -> &mut Self {
        let session = self.session.as_mut().expect("a session");
        let close = session.close(reason, "why", &mut self.wire);
        self.wire.lines.extend(close.map(close_line));
        self
    }

    /// The connection takes so many more PUBLISHes.
    pub(super) fn has_room(&mut self, room: usize) -> &mut Self {
        self.wire.room = room;
        self.session.as_mut().expect("a session").pump(self.now, &mut self.wire);
        self
    }

    /// The same, but the broker has not noticed yet.
    pub(super) fn gains_room(&mut self, room: usize) -> &mut Self {
        self.wire.room = room;
        self
    }

    pub(super) fn after(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    /// All that came out since the last time, in order. A line that begins with `3: ` or `5: ` is
    /// expected of these versions only.
    pub(super) fn gives(&mut self, expected: &[&str]) -> &mut Self {
        let other = if self.version == ProtocolVersion::V5 { "3: " } else { "5: " };
        let this = if self.version == ProtocolVersion::V5 { "5: " } else { "3: " };
        let lines = expected.iter().filter(|line| !line.starts_with(other));
        let lines: Vec<&str> = lines.map(|line| line.strip_prefix(this).unwrap_or(line)).collect();
        assert_eq!(self.wire.lines, lines, "{:?}: left is what came out", self.version);
        self.wire.lines.clear();
        self
    }

    pub(super) fn session_mut(&mut self) -> &mut Session {
        self.session.as_mut().expect("a session")
    }

    pub(super) fn session(&self) -> &Session {
        self.session.as_ref().expect("a session")
    }

    pub(super) fn budget_used(&self) -> u64 {
        self.limits.budget.used()
    }
}

/// What the store has at a place.
fn read(place: u64, qos: QoS, now: Instant) -> Claim {
    let payload = place.to_string();
    let mut publish = Publish::new("a", payload.as_bytes());
    publish.qos = qos;
    let message = Arc::clone(Transit::new(&publish, now).share());
    Claim::new(message, qos, false, &[], None)
}

#[expect(clippy::disallowed_methods, reason = "some instant to count from; it is nowhere shown")]
pub(crate) fn origin() -> Instant {
    Instant::now()
}
