//! Whatever happens, a queue stays within its bounds and the budget is what the queues hold.

use std::sync::Arc;

use avocet_mqtt::{Connect, Packet, ProtocolVersion, Publish, QoS, ReasonCode, Transit};
use proptest::prelude::*;

use super::{
    message::{ack, puback},
    script::origin,
    wire::Wire,
};
use crate::{Actions, Budget, Delivery, Limits, QueueFull, Session, Terms, handshake};

#[derive(Clone, Copy, Debug)]
enum Event {
    Brings { session: usize, qos: u8, bytes: usize, shared: bool },
    Puback(usize, u16),
    Room(usize, usize),
    Connect(usize),
    Cut(usize),
    End(usize),
    Drop(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let session = || 0..2usize;
    prop_oneof![
        8 => (session(), 0..3u8, 0..200usize, any::<bool>()).prop_map(
            |(session, qos, bytes, shared)| Event::Brings { session, qos, bytes, shared }
        ),
        2 => (session(), 1..20u16).prop_map(|(session, id)| Event::Puback(session, id)),
        1 => (session(), 0..4usize).prop_map(|(session, room)| Event::Room(session, room)),
        1 => session().prop_map(Event::Connect),
        1 => session().prop_map(Event::Cut),
        1 => session().prop_map(Event::End),
        1 => session().prop_map(Event::Drop),
    ]
}

const BUDGET: u64 = 700;
const MESSAGES: usize = 4;
const BYTES: usize = 500;
const PAYLOAD: [u8; 200] = [0; 200];

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn budget_is_what_the_queues_hold(
        refuse in any::<bool>(),
        events in prop::collection::vec(event(), 0..100),
    ) {
        let queue_full = if refuse { QueueFull::Refuse } else { QueueFull::DropOldest };
        let limits = Arc::new(Limits {
            budget: Budget::new(BUDGET),
            queue_messages_max: MESSAGES,
            queue_bytes_max: BYTES,
            queue_full,
            inflight_max: 2.try_into().unwrap(),
            ..Limits::default()
        });
        let new = || Session::new(Arc::from("c"), Arc::clone(&limits));
        let mut sessions = [new(), new()];
        for event in events {
            happen(event, &mut sessions, &limits);
            let mut used = 0;
            for session in &sessions {
                let (messages, bytes) = session.queued();
                prop_assert!(messages <= MESSAGES && bytes <= BYTES);
                used += bytes as u64;
            }
            prop_assert!(used <= BUDGET);
            prop_assert_eq!(limits.budget.used(), used);
        }
        drop(sessions);
        prop_assert_eq!(limits.budget.used(), 0);
    }
}

fn happen(event: Event, sessions: &mut [Session; 2], limits: &Arc<Limits>) {
    let now = origin();
    let version = ProtocolVersion::V3_1_1;
    let mut wire = Wire::new(version, 2);
    match event {
        Event::Brings { session, qos, bytes, shared } => {
            let mut publish = Publish::new("t", &PAYLOAD[..bytes]);
            publish.qos = QoS::from_bits(qos).unwrap();
            let shared = shared.then(|| Arc::from("$share/g/t"));
            let terms = Terms {
                qos: QoS::ExactlyOnce,
                retain_as_published: false,
                identifiers: &[],
                shared: shared.as_ref(),
                retained: false,
                promised: false,
            };
            let transit = Transit::new(&publish, now);
            sessions[session].handle_delivery(&transit, &terms, now, &mut wire);
        }
        Event::Puback(session, id) => {
            let packet: Packet<'_> = puback(id);
            sessions[session].handle_packet(packet, now, &mut Actions::default(), &mut wire);
        }
        Event::Room(session, room) => {
            wire.room = room;
            sessions[session].pump(now, &mut wire);
        }
        Event::Connect(session) => {
            sessions[session].detach();
            let mut connect = Connect::new(version, "c");
            connect.clean_start = false;
            let admission = handshake::admit(Box::new(connect), limits, String::new).unwrap();
            sessions[session].attach(admission, true, now, &mut wire);
        }
        Event::Cut(session) => drop(sessions[session].detach()),
        Event::End(session) => drop(sessions[session].end(&mut wire)),
        Event::Drop(session) => {
            sessions[session] = Session::new(Arc::from("c"), Arc::clone(limits));
        }
    }
}

/// A session whose client is connected, and its end of the connection.
fn connected(limits: &Arc<Limits>, version: ProtocolVersion) -> (Session, Wire) {
    let wire = Wire::new(version, 100);
    (Session::new(Arc::from("c"), Arc::clone(limits)), wire)
}

fn attach(session: &mut Session, connect: Connect, limits: &Limits, wire: &mut Wire) {
    let admission = handshake::admit(Box::new(connect), limits, String::new).unwrap();
    session.attach(admission, false, origin(), wire);
}

fn bring(session: &mut Session, qos: QoS, shared: Option<&Arc<str>>, wire: &mut Wire) -> Delivery {
    const MESSAGE: [u8; 7_000] = [b'x'; 7_000];
    let mut publish = Publish::new("t", &MESSAGE);
    publish.qos = qos;
    let terms = Terms {
        qos: QoS::ExactlyOnce,
        retain_as_published: false,
        identifiers: &[],
        shared,
        retained: false,
        promised: false,
    };
    session.handle_delivery(&Transit::new(&publish, origin()), &terms, origin(), wire)
}

/// What the client has not acknowledged is the node's memory too.
#[test]
fn bytes_in_flight_count_for_the_node() {
    let limits = Arc::new(Limits { budget: Budget::new(30_000), ..Limits::default() });
    let (mut session, mut wire) = connected(&limits, ProtocolVersion::V3_1_1);
    attach(&mut session, Connect::new(ProtocolVersion::V3_1_1, "c"), &limits, &mut wire);
    let outcomes: Vec<_> =
        (0..8).map(|_| bring(&mut session, QoS::AtLeastOnce, None, &mut wire)).collect();
    // It is told in steps of 16 KiB, so that six messages come through.
    assert_eq!(outcomes, [[Delivery::Sent; 6].as_slice(), &[Delivery::Dropped; 2]].concat());
    assert_eq!((session.inflight(), limits.budget.used()), (6, 42_006));
    for id in 1..=6 {
        session.handle_packet(puback(id), origin(), &mut Actions::default(), &mut wire);
    }
    assert_eq!((session.inflight(), limits.budget.used()), (0, 0));
    assert_eq!(bring(&mut session, QoS::AtLeastOnce, None, &mut wire), Delivery::Sent);
    drop(session);
    assert_eq!(limits.budget.used(), 0);
}

/// However a message in flight comes to its end.
#[test]
fn what_is_no_longer_in_flight_is_given_back() {
    let limits = Arc::new(Limits::default());
    let version = ProtocolVersion::V5;
    let resuming = || {
        let mut connect = Connect::new(version, "c");
        connect.clean_start = false;
        connect.session_expiry_interval = Some(60);
        connect
    };
    let five = |shared, qos| {
        let (mut session, mut wire) = connected(&limits, version);
        attach(&mut session, resuming(), &limits, &mut wire);
        for _ in 0..5 {
            assert_eq!(bring(&mut session, qos, shared, &mut wire), Delivery::Sent);
        }
        assert!(limits.budget.used() > 0);
        (session, wire)
    };

    let group = Arc::from("$share/g/t");
    let (mut session, _) = five(Some(&group), QoS::AtLeastOnce);
    assert_eq!(session.detach().undelivered.len(), 5);
    assert_eq!(limits.budget.used(), 0, "another member has them");

    let (mut session, mut wire) = five(None, QoS::AtLeastOnce);
    session.detach();
    let mut connect = resuming();
    connect.maximum_packet_size = std::num::NonZeroU32::new(100);
    wire.packet_bytes_max = 100;
    attach(&mut session, connect, &limits, &mut wire);
    assert_eq!((session.inflight(), limits.budget.used()), (0, 0), "too large to be sent again");

    let (mut session, mut wire) = five(None, QoS::ExactlyOnce);
    for id in 1..=5 {
        let refusal = Packet::Pubrec(ack(id, ReasonCode::QuotaExceeded));
        session.handle_packet(refusal, origin(), &mut Actions::default(), &mut wire);
    }
    assert_eq!(limits.budget.used(), 0, "the client did not want them");
}
