//! Bytes that come in pieces of any length and are handled in batches, against the same packets
//! handled one by one: the same is routed, the same is answered in the same order, and the
//! connection ends the same way.

use std::{num::NonZeroU16, sync::Arc, time::Instant};

use avocet_mqtt::{
    Ack, Codec, Connect, OwnedProperties, Packet, PacketId, ProtocolVersion, Publish, QoS,
    ReasonCode, Run, codec,
};
use proptest::{prelude::*, sample::select};

use super::{
    message::{Q0, Q1, Q2, disconnect, publish, subscribe, unsubscribe},
    script::origin,
    wire::{Wire, action_lines, close_line},
};
use crate::{
    Action, Actions, CloseReason, Limits, Messages, Outlet, QueueFull, Session, Stop, Terms,
    handshake,
};

/// What a client may send. Identifiers are few, so that they are used again.
#[derive(Clone, Debug)]
enum Sent {
    /// Messages that differ in their payloads alone, with identifiers from this one on.
    Messages {
        qos: QoS,
        topic: &'static str,
        first_id: u16,
        lengths: Vec<usize>,
        what: Kind,
    },
    /// Acknowledgements from this identifier on. No client acknowledges what is not sent yet: a
    /// larger identifier stands for one that is never used.
    Acks {
        first: u8,
        first_id: u16,
        count: u16,
        reason: ReasonCode,
    },
    Other(&'static str),
    Bytes(&'static [u8]),
}

/// What is special about a message, or of several about the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Dup,
    Retain,
    Properties,
    Expiring,
    Aliased,
    OnlyAlias,
    Lying,
    /// Its length takes a byte more than it needs.
    NotMinimal,
}

#[derive(Clone, Debug)]
enum Event {
    Sends(Vec<Sent>),
    /// The broker has messages for the client.
    Brings {
        qos: QoS,
        count: usize,
    },
    Room(usize),
}

#[derive(Clone, Debug)]
struct Setting {
    version: ProtocolVersion,
    receive_maximum: u16,
    window: u16,
    queue_full: QueueFull,
    maximum_qos: QoS,
    packet_bytes_max: u32,
    /// What the broker answers to messages of each topic.
    reasons: [ReasonCode; 3],
    /// The bytes come in pieces of these lengths, again and again.
    pieces: Vec<usize>,
}

const TOPICS: [&str; 3] = ["a", "b/c", "$d"];

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![Q0, Q1, Q2])
}

fn kind() -> impl Strategy<Value = Kind> {
    let odd = vec![
        Kind::Dup,
        Kind::Retain,
        Kind::Properties,
        Kind::Expiring,
        Kind::Aliased,
        Kind::OnlyAlias,
        Kind::Lying,
        Kind::NotMinimal,
    ];
    prop_oneof![3 => Just(Kind::Plain), 2 => select(odd)]
}

fn sent() -> impl Strategy<Value = Sent> {
    let lengths = prop::collection::vec(select(vec![0, 1, 1, 1, 5, 130, 200]), 1..6);
    let reasons = vec![
        ReasonCode::Success,
        ReasonCode::Success,
        ReasonCode::Success,
        ReasonCode::NoMatchingSubscribers,
        ReasonCode::UnspecifiedError,
    ];
    let bad: Vec<&[u8]> = vec![
        &[0xC1, 0],
        &[0x32, 5, 0, 1, b'a', 0, 0],
        &[0x32, 6, 0, 1, b'a', 0, 0, 0],
        &[0x30, 3, 0, 9, b'a'],
        &[0x40, 2, 0, 0],
        &[0x36, 4, 0, 1, b'a', b'b'],
        &[0x30, 0xFF, 0xFF, 0xFF, 0xFF],
    ];
    prop_oneof![
        16 => (qos(), select(&TOPICS[..]), 1..7_u16, lengths, kind()).prop_map(
            |(qos, topic, first_id, lengths, what)| {
                Sent::Messages { qos, topic, first_id, lengths, what }
            }
        ),
        8 => (select(vec![0x40, 0x50, 0x62, 0x70]), 1..9_u16, 1..5_u16, select(reasons)).prop_map(
            |(first, first_id, count, reason)| Sent::Acks { first, first_id, count, reason }
        ),
        4 => select(vec!["ping", "subscribe", "unsubscribe"]).prop_map(Sent::Other),
        1 => select(vec!["connect", "disconnect"]).prop_map(Sent::Other),
        1 => select(bad).prop_map(Sent::Bytes),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => prop::collection::vec(sent(), 1..10).prop_map(Event::Sends),
        4 => (qos(), 1..5_usize).prop_map(|(qos, count)| Event::Brings { qos, count }),
        1 => (0..9_usize).prop_map(Event::Room),
    ]
}

fn setting() -> impl Strategy<Value = Setting> {
    let reasons = vec![
        ReasonCode::Success,
        ReasonCode::Success,
        ReasonCode::NoMatchingSubscribers,
        ReasonCode::NotAuthorized,
        ReasonCode::QuotaExceeded,
    ];
    (
        select(vec![ProtocolVersion::V3_1, ProtocolVersion::V3_1_1, ProtocolVersion::V5]),
        2..12_u16,
        1..6_u16,
        select(vec![QueueFull::DropOldest, QueueFull::DropOldest, QueueFull::Refuse]),
        select(vec![Q2, Q2, Q2, Q2, Q1, Q0]),
        select(vec![150, 1000, 1000]),
        [select(reasons.clone()), select(reasons.clone()), select(reasons)],
        prop::collection::vec(1..120_usize, 1..5),
    )
        .prop_map(
            |(
                version,
                receive_maximum,
                window,
                queue_full,
                maximum_qos,
                packet_bytes_max,
                reasons,
                pieces,
            )| Setting {
                version,
                receive_maximum,
                window,
                queue_full,
                maximum_qos,
                packet_bytes_max,
                reasons,
                pieces,
            },
        )
}

fn properties(lying: bool) -> OwnedProperties {
    let builder = OwnedProperties::builder();
    if lying { builder.payload_format_indicator(1) } else { builder.content_type("text") }
        .build()
        .unwrap()
}

impl Sent {
    /// `next_id` is the identifier of the first message that the client has not been sent.
    fn write(
        &self,
        version: ProtocolVersion,
        next_id: PacketId,
        number: &mut u8,
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Messages { qos, topic, first_id, lengths, what } => {
                let own = properties(*what == Kind::Lying);
                for (index, length) in lengths.iter().enumerate() {
                    *number = number.wrapping_add(1);
                    let byte = if *what == Kind::Lying { 0xFF } else { b'0' + *number % 64 };
                    let payload = vec![byte; *length];
                    let packet_id = first_id + u16::try_from(index).unwrap();
                    let mut publish =
                        Publish { payload: &payload, ..publish(*qos, packet_id, topic) };
                    let what = if index == 0 { *what } else { Kind::Plain };
                    match what {
                        Kind::Plain | Kind::NotMinimal => {}
                        Kind::Dup => publish.dup = true,
                        Kind::Retain => publish.retain = true,
                        Kind::Properties | Kind::Lying => publish.properties = own.borrow(),
                        Kind::Expiring => publish.message_expiry_interval = Some(9),
                        Kind::Aliased => publish.topic_alias = NonZeroU16::new(1),
                        Kind::OnlyAlias => {
                            publish.topic_alias = NonZeroU16::new(1);
                            publish.topic =
                                if version == ProtocolVersion::V5 { "" } else { publish.topic };
                        }
                    }
                    if *qos == Q0 {
                        publish.packet_id = None;
                    }
                    let start = out.len();
                    codec::encode_publish(version, &publish, out);
                    let not_minimal = what == Kind::NotMinimal && version < ProtocolVersion::V5;
                    if not_minimal && out[start + 1] < 0x80 {
                        out[start + 1] |= 0x80;
                        out.insert(start + 2, 0);
                    }
                }
            }
            Self::Acks { first, first_id, count, reason } => {
                for id in *first_id..first_id + count {
                    let unused = *first != 0x62 && id >= next_id.get();
                    let id = PacketId::new(if unused { 60_000 + id } else { id }).unwrap();
                    if *reason == ReasonCode::Success || version < ProtocolVersion::V5 {
                        out.extend([*first, 2]);
                        out.extend(id.get().to_be_bytes());
                    } else {
                        let packet = if *first == 0x40 { Packet::Puback } else { Packet::Pubrec };
                        codec::encode(version, &packet(Ack::new(id, *reason)), out);
                    }
                }
            }
            Self::Other(what) => {
                let packet = match *what {
                    "ping" => Packet::Pingreq,
                    "subscribe" => Packet::Subscribe(subscribe(3, &[("a", Q1)])),
                    "unsubscribe" => unsubscribe(4, &["a"]),
                    "connect" => Packet::Connect(Box::new(Connect::new(version, "c"))),
                    _ => disconnect(ReasonCode::Success),
                };
                codec::encode(version, &packet, out);
            }
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
        }
    }
}

/// A session with what it has sent.
struct End {
    session: Session,
    wire: Wire,
    codec: Codec,
    packets: [usize; 16],
}

impl End {
    fn new(setting: &Setting) -> Self {
        let limits = Arc::new(Limits {
            receive_maximum: NonZeroU16::new(setting.receive_maximum).unwrap(),
            inflight_max: NonZeroU16::new(setting.window).unwrap(),
            queue_full: setting.queue_full,
            maximum_qos: setting.maximum_qos,
            check_payload_format: true,
            queue_messages_max: 6,
            topic_alias_maximum: 5,
            ..Limits::default()
        });
        let version = setting.version;
        let wire = Wire::new(version, 9);
        let codec = Codec::with_version(version, setting.packet_bytes_max);
        let session = Session::new(Arc::from("c"), limits);
        Self { session, wire, codec, packets: [0; 16] }
    }

    fn connects(&mut self, now: Instant) {
        let mut connect = Connect::new(self.wire.version, "c");
        connect.clean_start = false;
        connect.session_expiry_interval =
            (self.wire.version == ProtocolVersion::V5).then_some(u32::MAX);
        let limits = Arc::clone(&self.session.limits);
        let admission = handshake::admit(Box::new(connect), &limits, String::new).unwrap();
        self.session.detach();
        self.session.attach(admission, true, now, &mut self.wire);
    }

    fn brings(&mut self, qos: QoS, count: usize, now: Instant) {
        let mut bytes = Vec::new();
        let publish = Publish {
            qos,
            packet_id: PacketId::new(9).filter(|_| qos > Q0),
            ..Publish::new("t", b"x")
        };
        (0..count).for_each(|_| codec::encode_publish(self.wire.version, &publish, &mut bytes));
        let mut run = Run::of(&bytes, &publish, self.wire.version).unwrap();
        while let Some(frame) = run.frames().follower(usize::MAX) {
            run.extend(&frame);
        }
        let terms = Terms {
            qos: Q2,
            retain_as_published: false,
            identifiers: &[],
            shared: None,
            retained: false,
            promised: false,
        };
        self.session.handle_messages(&Messages::Run(run), &terms, now, &mut self.wire);
    }

    /// Does what the session asked for, as the broker would. True if the connection is to end.
    fn performs(&mut self, actions: &mut Actions<'_>, reasons: &[ReasonCode; 3]) -> bool {
        let mut closed = None;
        for inbound in &actions.inbound {
            let messages = &inbound.messages;
            let index = TOPICS.iter().position(|topic| *topic == messages.topic()).unwrap();
            let close = self.session.handle_published(
                messages.packet_ids(),
                messages.qos(),
                reasons[index],
                &mut self.wire,
            );
            closed = closed.or(close);
        }
        self.wire.lines.extend(closed.map(close_line));
        match actions.then.take() {
            Some(Action::Subscribe(request)) => {
                self.session.handle_subscribed(&request, &[ReasonCode::Success], &mut self.wire);
            }
            Some(Action::Unsubscribe(request)) => {
                let reasons = vec![ReasonCode::Success];
                self.session.handle_unsubscribed(request.packet_id, reasons, &mut self.wire);
            }
            Some(Action::Authenticate(_)) => unreachable!("no method was agreed on"),
            Some(Action::Close(close)) => closed = closed.or(Some(close)),
            None => {}
        }
        closed.is_some()
    }

    /// Handles the packets in these bytes one by one.
    fn handles_each<'a>(&mut self, mut bytes: &'a [u8], now: Instant) -> Actions<'a> {
        let (mut actions, mut last) = (Actions::default(), 0);
        while let Some((packet, len)) = self.codec.decode(bytes).unwrap() {
            let number = usize::from(bytes[0] >> 4);
            let waits = !actions.inbound.is_empty() && !(3..=7).contains(&number);
            // A row of acknowledgements is taken whole, whatever is wrong in it.
            let in_row = (4..=7).contains(&number) && bytes[0] == last;
            assert!((actions.then.is_none() || in_row) && !waits, "{packet:?} was to wait");
            last = bytes[0];
            self.packets[number] += 1;
            self.session.handle_packet(packet, now, &mut actions, &mut self.wire);
            bytes = &bytes[len..];
        }
        assert_eq!(bytes, b"", "a part of a packet was used");
        actions
    }

    /// What it has sent since the last time.
    fn lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.wire.lines)
    }
}

/// Both ends of the comparison.
struct Ends {
    setting: Setting,
    now: Instant,
    /// Handles bytes.
    batches: End,
    /// Handles packets.
    packets: End,
    rest: Vec<u8>,
    number: u8,
}

/// The connection has ended, perhaps by an acknowledgement that was wrong.
struct Closed {
    wrong_ack: bool,
}

impl Ends {
    fn new(setting: Setting) -> Self {
        let (batches, packets) = (End::new(&setting), End::new(&setting));
        Self { setting, now: origin(), batches, packets, rest: Vec::new(), number: 0 }
    }

    fn each(&mut self, work: impl Fn(&mut End)) {
        [&mut self.batches, &mut self.packets].into_iter().for_each(work);
    }

    fn connects(&mut self) {
        let now = self.now;
        self.rest.clear();
        self.each(|end| end.connects(now));
        self.are_the_same();
    }

    fn sends(&mut self, sent: &[Sent]) -> Result<(), Closed> {
        let mut bytes = Vec::new();
        let next_id = self.batches.session.inflight.next_id();
        for it in sent {
            it.write(self.setting.version, next_id, &mut self.number, &mut bytes);
        }
        let mut bytes = &bytes[..];
        let pieces = self.setting.pieces.clone();
        for length in pieces.into_iter().cycle() {
            if bytes.is_empty() {
                break;
            }
            let (piece, behind) = bytes.split_at(length.min(bytes.len()));
            self.rest.extend_from_slice(piece);
            self.reads()?;
            bytes = behind;
        }
        Ok(())
    }

    fn reads(&mut self) -> Result<(), Closed> {
        let rest = std::mem::take(&mut self.rest);
        let (mut used, mut stop) = (0, Stop::Actions);
        while used < rest.len() && stop != Stop::Incomplete {
            let bytes = &rest[used..];
            let mut actions = Actions::default();
            let End { session, wire, codec, packets } = &mut self.batches;
            let count = |number: u8, count| packets[usize::from(number)] += count;
            let handled = session.handle_bytes(codec, bytes, self.now, &mut actions, wire, count);
            let (taken, left) = bytes.split_at(handled.used);
            let mut expected = self.packets.handles_each(taken, self.now);
            stop = handled.stop;
            match stop {
                Stop::Actions => assert!(handled.used > 0, "nothing was done"),
                Stop::Unanswered => unreachable!("all is answered at once"),
                Stop::Incomplete => assert_eq!(self.packets.codec.decode(left), Ok(None)),
                Stop::Malformed => {
                    assert!(actions.inbound.is_empty(), "messages that are not answered");
                    let End { session, wire, codec, .. } = &mut self.packets;
                    let error = codec.decode(left).unwrap_err();
                    let close = session.close(error.reason(), error.text(), wire);
                    expected.then = close.map(Action::Close);
                }
                Stop::NotReading => assert!(!wire.has_room()),
            }
            used += handled.used;
            let routed = [&actions, &expected].map(|actions| action_lines(actions, self.now));
            assert_eq!(routed[0], routed[1], "left is what the batch asked for");
            for inbound in &actions.inbound {
                self.may_be_a_run(&inbound.messages);
            }
            let by_us = matches!(actions.then, Some(Action::Close(CloseReason::Server { .. })));
            let wrong_ack = by_us && self.last_was_ack(taken);
            if wrong_ack {
                // Those before it in its row make room for messages that need not be sent any more.
                let is_message = |line: &String| line.starts_with("PUBLISH");
                self.each(|end| end.wire.lines.retain(|line| !is_message(line)));
            }
            self.are_the_same();
            let reasons = &self.setting.reasons;
            let closed = self.batches.performs(&mut actions, reasons);
            assert_eq!(self.packets.performs(&mut expected, reasons), closed);
            self.are_the_same();
            if closed {
                return Err(Closed { wrong_ack });
            }
            if stop == Stop::NotReading {
                self.room(9);
            }
        }
        self.rest = rest[used..].to_vec();
        Ok(())
    }

    /// What is answered one by one is handled one by one.
    fn may_be_a_run(&self, messages: &Messages<'_>) {
        let refuses = self.setting.queue_full == QueueFull::Refuse;
        if refuses || messages.topic().starts_with('$') {
            assert!(matches!(messages, Messages::One(..)), "{messages:?}");
        }
    }

    fn last_was_ack(&self, mut bytes: &[u8]) -> bool {
        let mut last = 0;
        while let Ok(Some(len)) = self.batches.codec.frame_len(bytes) {
            (last, bytes) = (bytes[0] >> 4, &bytes[len..]);
        }
        (4..=7).contains(&last)
    }

    fn room(&mut self, room: usize) {
        let now = self.now;
        self.each(|end| {
            end.wire.room = room;
            end.session.pump(now, &mut end.wire);
        });
        self.are_the_same();
    }

    fn are_the_same(&mut self) {
        let (batches, packets) = (self.batches.lines(), self.packets.lines());
        assert_eq!(batches, packets, "left is what the batches gave");
        assert_eq!(self.batches.packets, self.packets.packets);
    }
}

#[test]
fn messages_alike_are_handed_on_together() {
    let setting = |queue_full| Setting {
        version: ProtocolVersion::V5,
        receive_maximum: 9,
        window: 9,
        queue_full,
        maximum_qos: Q2,
        packet_bytes_max: 1000,
        reasons: [ReasonCode::Success; 3],
        pieces: vec![1],
    };
    for (queue_full, topic, expected) in [
        (QueueFull::DropOldest, "a", &[4][..]),
        (QueueFull::DropOldest, "$d", &[1; 4]),
        (QueueFull::Refuse, "a", &[1; 4]),
    ] {
        for qos in [Q0, Q1, Q2] {
            let mut end = End::new(&setting(queue_full));
            end.connects(origin());
            let mut bytes = Vec::new();
            let sent = Sent::Messages {
                qos,
                topic,
                first_id: 1,
                lengths: vec![1, 1, 200, 0],
                what: Kind::Plain,
            };
            sent.write(ProtocolVersion::V5, PacketId::MIN, &mut 0, &mut bytes);
            let mut actions = Actions::default();
            let End { session, wire, codec, .. } = &mut end;
            let handled =
                session.handle_bytes(codec, &bytes, origin(), &mut actions, wire, |_, _| {});
            assert_eq!(handled.used, bytes.len());
            let lengths = actions.inbound.iter().map(|inbound| inbound.messages.len());
            assert_eq!(lengths.collect::<Vec<_>>(), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// [MQTT3-4.6.0-2] [MQTT3-4.6.0-3] [MQTT5-4.6.0-2] [MQTT5-4.6.0-3] [MQTT5-3.3.4-7]
    #[test]
    fn batches_do_what_their_packets_do(
        setting in setting(),
        events in prop::collection::vec(event(), 1..30),
    ) {
        let mut ends = Ends::new(setting);
        ends.connects();
        for event in events {
            let closed = match event {
                Event::Sends(sent) => ends.sends(&sent),
                Event::Brings { qos, count } => {
                    let now = ends.now;
                    ends.each(|end| end.brings(qos, count, now));
                    ends.are_the_same();
                    Ok(())
                }
                Event::Room(room) => {
                    ends.room(room);
                    Ok(())
                }
            };
            match closed {
                Ok(()) => {}
                // From here on they differ in what was sent.
                Err(Closed { wrong_ack: true }) => break,
                Err(Closed { wrong_ack: false }) => ends.connects(),
            }
        }
    }
}
