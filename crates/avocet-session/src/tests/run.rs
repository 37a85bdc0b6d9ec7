//! Messages brought as a run against the same brought one by one: the client is sent the same
//! packets in the same order under the same identifiers, and the same is dropped.

use std::{
    num::{NonZeroU16, NonZeroU32},
    sync::Arc,
    time::Instant,
};

use avocet_mqtt::{
    Codec, Connect, OwnedProperties, PacketId, ProtocolVersion, Publish, QoS, Run,
    SubscriptionIdentifier, Transit, codec, message::LARGE_PAYLOAD_BYTES,
};
use proptest::{prelude::*, sample::select};

use super::{
    message::{Q0, Q1, Q2},
    script::origin,
    wire::Wire,
};
use crate::{
    Actions, Delivery, Limits, Messages, MountpointTemplate, OwnedMessages, QueueFull, Session,
    Terms, handshake,
};

const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1, ProtocolVersion::V5];

#[derive(Clone, Debug)]
enum Event {
    Brings(Bringing),
    /// The client acknowledges so many of what it was sent, the oldest first or the latest.
    Acknowledges {
        count: usize,
        latest: bool,
    },
    /// The connection takes more, or does not.
    Room(bool),
    /// The connection is cut, and messages may come before the next.
    Cut,
    Connects(Client),
    /// What the shared subscription brought is for another.
    TakesShared,
}

/// Messages of one publisher, which differ in their payloads.
#[derive(Clone, Debug)]
struct Bringing {
    from: ProtocolVersion,
    published: QoS,
    granted: QoS,
    lengths: Vec<usize>,
    /// The messages at these places have properties.
    with_properties: Vec<bool>,
    dup: bool,
    identifier: bool,
    shared: bool,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    version: ProtocolVersion,
    receive_maximum: u16,
    packet_bytes_max: Option<u32>,
    aliases: bool,
    mounted: bool,
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![Q0, Q1, Q1, Q2, Q2])
}

fn bringing() -> impl Strategy<Value = Bringing> {
    let lengths = select(vec![0, 1, 1, 1, 20, 130, 490, 600, LARGE_PAYLOAD_BYTES]);
    (
        select(&VERSIONS[..]),
        qos(),
        qos(),
        prop::collection::vec((lengths, prop::bool::weighted(0.1)), 1..9),
        any::<bool>(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(from, published, granted, messages, dup, identifier, shared)| {
            let (lengths, with_properties) = messages.into_iter().unzip();
            let dup = dup && published > Q0;
            Bringing { from, published, granted, lengths, with_properties, dup, identifier, shared }
        })
}

fn client() -> impl Strategy<Value = Client> {
    let packet_bytes_max = select(vec![None, None, Some(30), Some(150), Some(520)]);
    let rare = || prop::bool::weighted(0.1);
    (select(&VERSIONS[..]), 1..12_u16, packet_bytes_max, rare(), rare()).prop_map(
        |(version, receive_maximum, packet_bytes_max, aliases, mounted)| Client {
            version,
            receive_maximum,
            packet_bytes_max,
            aliases,
            mounted,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => bringing().prop_map(Event::Brings),
        8 => (1..9_usize, prop::bool::weighted(0.2))
            .prop_map(|(count, latest)| Event::Acknowledges { count, latest }),
        2 => prop::bool::weighted(0.8).prop_map(Event::Room),
        1 => Just(Event::Cut),
        2 => client().prop_map(Event::Connects),
        1 => Just(Event::TakesShared),
    ]
}

/// A session, and what its client was sent and has not answered.
struct End {
    as_runs: bool,
    session: Session,
    wire: Wire,
    unanswered: Vec<(u8, PacketId)>,
    lines: Vec<String>,
}

impl End {
    fn new(queue_full: QueueFull, as_runs: bool) -> Self {
        let limits = Limits { queue_messages_max: 20, queue_full, ..Limits::default() };
        let wire = Wire::new(ProtocolVersion::V5, usize::MAX);
        let session = Session::new(Arc::from("c"), Arc::new(limits));
        Self { as_runs, session, wire, unanswered: Vec::new(), lines: Vec::new() }
    }

    fn connects(&mut self, client: Client, now: Instant) {
        self.cut();
        let mut connect = Connect::new(client.version, "c");
        connect.clean_start = false;
        if client.version == ProtocolVersion::V5 {
            connect.session_expiry_interval = Some(u32::MAX);
            connect.receive_maximum = NonZeroU16::new(client.receive_maximum);
            connect.maximum_packet_size = client.packet_bytes_max.and_then(NonZeroU32::new);
            connect.topic_alias_maximum = if client.aliases { 2 } else { 0 };
        }
        self.wire.version = client.version;
        self.wire.packet_bytes_max =
            connect.maximum_packet_size.map_or(usize::MAX, |max| max.get() as usize);
        let limits = Arc::clone(&self.session.limits);
        let mut admission = handshake::admit(Box::new(connect), &limits, String::new).unwrap();
        if client.mounted {
            admission.mount(&MountpointTemplate::parse("to/").unwrap()).unwrap();
        }
        self.session.attach(admission, true, now, &mut self.wire);
        self.reads();
    }

    fn cut(&mut self) {
        let detached = self.session.detach();
        for undelivered in detached.undelivered {
            self.lines.push(format!("undelivered {:?}", undelivered.message.payload()));
        }
        self.unanswered.clear();
    }

    fn brings(&mut self, bringing: &Bringing, payloads: &[Vec<u8>], now: Instant) {
        let own = OwnedProperties::builder().content_type("text").build().unwrap();
        let publishes: Vec<_> = payloads
            .iter()
            .zip(&bringing.with_properties)
            .map(|(payload, with)| {
                let with = *with && bringing.from == ProtocolVersion::V5;
                let mut publish = Publish::new("to/pic", payload);
                publish.qos = bringing.published;
                publish.dup = bringing.dup;
                publish.packet_id = PacketId::new(77).filter(|_| publish.qos > Q0);
                publish.properties = if with { own.borrow() } else { publish.properties };
                publish
            })
            .collect();
        let mut bytes = Vec::new();
        for publish in &publishes {
            codec::encode_publish(bringing.from, publish, &mut bytes);
        }
        let identifiers = if bringing.identifier { &[9][..] } else { &[] };
        let identifiers: Vec<_> =
            identifiers.iter().filter_map(|it| SubscriptionIdentifier::new(*it)).collect();
        let shared = bringing.shared.then(|| Arc::from("$share/g/topic"));
        let terms = Terms {
            qos: bringing.granted,
            retain_as_published: true,
            identifiers: &identifiers,
            shared: shared.as_ref(),
            retained: false,
            promised: false,
        };
        let (mut rest, mut index, mut worst) = (&bytes[..], 0, Delivery::Sent);
        while let Some(publish) = publishes.get(index) {
            let run = Run::of(rest, publish, bringing.from).filter(|_| self.as_runs);
            let messages = match run {
                Some(mut run) => {
                    while let Some(frame) = run.frames().follower(usize::MAX) {
                        run.extend(&frame);
                    }
                    Messages::Run(run)
                }
                None => Messages::One(Transit::new(publish, now), publish.packet_id),
            };
            let count = messages.len();
            index += count;
            rest = match &messages {
                Messages::Run(run) => &rest[run.frames().bytes().len()..],
                Messages::One(..) => &rest[codec::publish_len(bringing.from, publish)..],
            };
            worst = worst.max(self.session.handle_messages(&messages, &terms, now, &mut self.wire));
        }
        self.lines.push(format!("{worst:?}"));
        self.reads();
    }

    /// The client reads what it was sent.
    fn reads(&mut self) {
        for line in &self.wire.lines {
            let mut words = line.split(' ');
            let kind = words.next().unwrap();
            let qos = words.next().unwrap_or_default();
            let number = |word: &str| word.trim_start_matches("id=").parse().unwrap();
            let answer = match (kind, qos) {
                ("PUBLISH", "q1") => (0x40, number(words.next().unwrap())),
                ("PUBLISH", "q2") => (0x50, number(words.next().unwrap())),
                ("PUBREL", id) => (0x70, number(id)),
                _ => continue,
            };
            self.unanswered.push(answer);
        }
        self.lines.append(&mut self.wire.lines);
    }

    fn acknowledges(&mut self, count: usize, latest: bool, now: Instant) {
        let Some(version) = self.session.version() else { return };
        let count = count.min(self.unanswered.len());
        let from = if latest { self.unanswered.len() - count } else { 0 };
        let mut bytes = Vec::new();
        for (first, id) in self.unanswered.drain(from..from + count) {
            bytes.extend([first, 2]);
            bytes.extend(id.get().to_be_bytes());
        }
        let mut codec = Codec::with_version(version, u32::MAX);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let mut actions = Actions::default();
            let handled = self.session.handle_bytes(
                &mut codec,
                rest,
                now,
                &mut actions,
                &mut self.wire,
                |_, _| {},
            );
            assert!(handled.used > 0 && actions.then.is_none(), "{:?}", self.wire.lines);
            rest = &rest[handled.used..];
        }
        self.reads();
    }
}

/// However often they are borrowed, and whoever keeps them: each is there once.
#[test]
fn messages_that_own_their_bytes_are_stored_once() {
    for version in VERSIONS {
        let publish = Publish { qos: Q1, packet_id: PacketId::new(9), ..Publish::new("t", b"x") };
        let mut bytes = Vec::new();
        (0..3).for_each(|_| codec::encode_publish(version, &publish, &mut bytes));
        let mut run = Run::of(&bytes, &publish, version).unwrap();
        while let Some(frame) = run.frames().follower(usize::MAX) {
            run.extend(&frame);
        }
        let one = Messages::One(Transit::new(&publish, origin()), publish.packet_id);
        for (messages, count) in [(Messages::Run(run), 3), (one, 1)] {
            let shares = |messages: &Messages<'_>| -> Vec<_> {
                messages.transits().iter().map(|transit| Arc::clone(transit.share())).collect()
            };
            let first = shares(&messages);
            let owned = OwnedMessages::of(&messages);
            drop(messages);
            assert_eq!(first.len(), count);
            for _ in 0..2 {
                let borrowed = owned.borrow();
                assert_eq!((borrowed.topic(), borrowed.qos(), borrowed.len()), ("t", Q1, count));
                let same = |(a, b): (&Arc<_>, &Arc<_>)| Arc::ptr_eq(a, b);
                assert!(first.iter().zip(&shares(&borrowed)).all(same));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// [MQTT5-3.1.2-24] [MQTT5-3.3.4-9] [MQTT3-2.3.1-4] [MQTT5-2.2.1-4] [MQTT3-4.6.0-6]
    /// [MQTT5-4.6.0-5] [MQTT3-4.4.0-1] [MQTT5-4.4.0-1] [MQTT3-3.3.1-1] [MQTT5-3.3.1-1]
    /// [MQTT3-3.3.1-3] [MQTT5-3.3.1-3] [MQTT3-3.8.4-6] [MQTT5-3.8.4-8]
    #[test]
    fn run_comes_as_its_messages_do(
        queue_full in select(vec![QueueFull::DropOldest, QueueFull::Refuse]),
        first in client(),
        events in prop::collection::vec(event(), 1..60),
    ) {
        let now = origin();
        let mut ends = [true, false].map(|as_runs| End::new(queue_full, as_runs));
        let mut number = 0_u8;
        for event in std::iter::once(Event::Connects(first)).chain(events) {
            let mut payloads = Vec::new();
            if let Event::Brings(bringing) = &event {
                for length in &bringing.lengths {
                    number = number.wrapping_add(1);
                    payloads.push(vec![b'0' + number % 64; *length]);
                }
            }
            for end in &mut ends {
                match &event {
                    Event::Brings(bringing) => end.brings(bringing, &payloads, now),
                    Event::Acknowledges { count, latest } => {
                        end.acknowledges(*count, *latest, now);
                    }
                    Event::Room(room) => {
                        end.wire.room = if *room { usize::MAX } else { 0 };
                        end.session.pump(now, &mut end.wire);
                        end.reads();
                    }
                    Event::Cut => end.cut(),
                    Event::Connects(client) => end.connects(*client, now),
                    Event::TakesShared => {
                        if !end.session.is_connected() {
                            let taken = end.session.take_shared_of("$share/g/topic");
                            end.lines.push(format!("taken {}", taken.len()));
                        }
                    }
                }
            }
            let [runs, single] = &mut ends;
            prop_assert_eq!(&runs.lines, &single.lines, "left is what a run brought");
            prop_assert_eq!(runs.session.inflight(), single.session.inflight());
            prop_assert_eq!(runs.session.queued(), single.session.queued());
            runs.lines.clear();
            single.lines.clear();
        }
        for end in &mut ends {
            end.session.end(&mut end.wire);
            prop_assert_eq!(end.session.limits.budget.used(), 0);
        }
        prop_assert_eq!(&ends[0].wire.lines, &ends[1].wire.lines, "left is what a run left");
    }
}
