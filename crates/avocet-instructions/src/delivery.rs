//! From a publisher's bytes to a subscriber's and, for QoS 1 and 2, until the last acknowledgement:
//! two sessions, the index and its cache as the broker joins them. Without its mailboxes and
//! sockets, whose work is done once a batch and whose counts depend on threads.

use std::{cell::RefCell, hint::black_box, rc::Rc, sync::Arc, time::Instant};

use avocet_mqtt::{
    AckKind, ApplicationMessage, Codec, Connect, Frames, Packet, PacketId, ProtocolVersion,
    Publish, QoS, ReasonCode, SubscriptionOptions, codec,
};
use avocet_router::{
    Config, Entry, Filter, Position, RouteCache, Router, Subscriber, SubscriberId,
};
use avocet_session::{Actions, DropReason, Limits, Outlet, Session, Terms, handshake};

use crate::{Prepare, packet};

/// Messages that come with one read.
const BATCH: u16 = 16;

const V3: ProtocolVersion = ProtocolVersion::V3_1_1;
const V5: ProtocolVersion = ProtocolVersion::V5;

pub(crate) const PATHS: &[(&str, Prepare)] = &[
    ("deliver-16-qos0-v311", || deliver(V3, V3, QoS::AtMostOnce)),
    ("deliver-16-qos1-v311", || deliver(V3, V3, QoS::AtLeastOnce)),
    ("deliver-16-qos2-v311", || deliver(V3, V3, QoS::ExactlyOnce)),
    ("deliver-16-qos0-v5", || deliver(V5, V5, QoS::AtMostOnce)),
    ("deliver-16-qos1-v5", || deliver(V5, V5, QoS::AtLeastOnce)),
    ("deliver-16-qos0-v311-to-v5", || deliver(V3, V5, QoS::AtMostOnce)),
    ("deliver-16-qos1-v311-to-v5", || deliver(V3, V5, QoS::AtLeastOnce)),
];

/// A session, and what it has written for its client.
#[derive(Debug)]
struct End {
    session: Session,
    codec: Codec,
    out: Bytes,
}

type Handle = Rc<RefCell<End>>;

#[derive(Clone, Debug)]
struct Receiver(Handle);

impl Subscriber for Receiver {
    fn id(&self) -> SubscriberId {
        SubscriberId(1)
    }
}

/// Bytes for a client that always takes more.
#[derive(Debug)]
struct Bytes {
    version: ProtocolVersion,
    bytes: Vec<u8>,
}

impl Outlet for Bytes {
    fn send(&mut self, packet: &Packet<'_>) {
        codec::encode(self.version, packet, &mut self.bytes);
    }

    fn send_publish(&mut self, publish: &Publish<'_>, _: Option<&Arc<ApplicationMessage>>) {
        codec::encode_publish(self.version, publish, &mut self.bytes);
    }

    fn send_frames(&mut self, frames: &Frames<'_>, with: Option<(QoS, PacketId)>) {
        match with {
            None => self.bytes.extend_from_slice(frames.bytes()),
            Some((qos, first_id)) => frames.write_as(qos, first_id, &mut self.bytes),
        }
    }

    fn send_acks(&mut self, kind: AckKind, packet_ids: impl Iterator<Item = PacketId>) {
        for id in packet_ids {
            self.bytes.extend_from_slice(&codec::short_ack_bytes(kind, id));
        }
    }

    fn has_room(&self) -> bool {
        true
    }

    fn dropped(&mut self, topic: &str, _: QoS, reason: DropReason) {
        panic!("dropped: {topic} {reason}");
    }
}

fn open(version: ProtocolVersion, client_id: &str, now: Instant) -> Handle {
    let limits = Arc::new(Limits::default());
    let connect = Box::new(Connect::new(version, client_id));
    let admission = handshake::admit(connect, &limits, String::new).expect("it may connect");
    let mut out = Bytes { version, bytes: Vec::new() };
    let mut session = Session::new(Arc::clone(&admission.client_id), limits);
    session.attach(admission, false, now, &mut out);
    out.bytes.clear();
    Rc::new(RefCell::new(End { session, codec: Codec::with_version(version, u32::MAX), out }))
}

fn deliver(from: ProtocolVersion, to: ProtocolVersion, qos: QoS) -> Box<dyn FnMut()> {
    let now = Instant::now();
    let (publisher, subscriber) = (open(from, "publisher", now), open(to, "subscriber", now));
    let router = Router::new(Config::default());
    let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
    let filter = Filter::parse("sensors/+/temperature").expect("a filter");
    router.subscribe(&filter, Receiver(subscriber), Entry { options, identifier: None });
    let mut routes = RouteCache::new(4096);
    let (mut batch, mut releases) = (Vec::new(), Vec::new());
    for id in (1..=BATCH).filter_map(PacketId::new) {
        let Packet::Publish(mut publish) = packet::publish(qos) else { unreachable!() };
        publish.packet_id = (qos != QoS::AtMostOnce).then_some(id);
        codec::encode_publish(from, &publish, &mut batch);
        releases.extend_from_slice(&codec::short_ack_bytes(AckKind::Pubrel, id));
    }
    Box::new(move || {
        let end = &mut *publisher.borrow_mut();
        publish(end, black_box(&batch), &router, &mut routes, now);
        end.out.bytes.clear();
        if qos == QoS::ExactlyOnce {
            publish(end, &releases, &router, &mut routes, now);
            end.out.bytes.clear();
        }
    })
}

/// What a read of a publisher's brings about.
fn publish(
    publisher: &mut End,
    bytes: &[u8],
    router: &Router<Receiver>,
    routes: &mut RouteCache<Receiver>,
    now: Instant,
) {
    let mut actions = Actions::default();
    let End { session, codec, out } = publisher;
    let handled = session.handle_bytes(codec, bytes, now, &mut actions, out, |_, _| {});
    assert_eq!(handled.used, bytes.len());
    for inbound in &actions.inbound {
        let messages = &inbound.messages;
        let destinations = Arc::clone(routes.lookup(router, messages.topic()));
        for destination in destinations.slice(Position::default(), usize::MAX).plain.iter() {
            let granted = destination.for_publisher(None).expect("it is another client");
            let terms = Terms {
                qos: granted.qos,
                retain_as_published: granted.retain_as_published,
                identifiers: &granted.identifiers,
                shared: None,
                retained: false,
                promised: false,
            };
            let receiver = &mut *destination.subscriber.0.borrow_mut();
            receiver.session.handle_messages(messages, &terms, now, &mut receiver.out);
            black_box(&receiver.out.bytes);
            acknowledge(receiver, messages.qos(), now);
        }
        let ids = messages.packet_ids();
        session.handle_published(ids, messages.qos(), ReasonCode::Success, out);
    }
}

/// The subscriber's answers to all it got, as one read each.
fn acknowledge(receiver: &mut End, qos: QoS, now: Instant) {
    let kinds: &[AckKind] = match qos {
        QoS::AtMostOnce => &[],
        QoS::AtLeastOnce => &[AckKind::Puback],
        QoS::ExactlyOnce => &[AckKind::Pubrec, AckKind::Pubcomp],
    };
    // As a client reads them.
    let mut ids = Vec::with_capacity(usize::from(BATCH));
    let mut at = 0;
    while let Ok(Some(whole)) = receiver.codec.split(&receiver.out.bytes[at..]) {
        let publish = whole.publish("").expect("a PUBLISH");
        ids.extend(publish.packet_id);
        at += whole.bytes().len();
    }
    receiver.out.bytes.clear();
    for kind in kinds {
        let acks: Vec<u8> = ids.iter().flat_map(|id| codec::short_ack_bytes(*kind, *id)).collect();
        let mut actions = Actions::default();
        let End { session, codec, out } = &mut *receiver;
        session.handle_bytes(codec, &acks, now, &mut actions, out, |_, _| {});
        out.bytes.clear();
    }
}
