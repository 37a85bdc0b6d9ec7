//! Whatever happens, a queue stays within its bounds and the budget is what the queues hold.

use std::sync::Arc;

use avocet_mqtt::{Connect, Packet, ProtocolVersion, Publish, QoS, Transit};
use proptest::prelude::*;

use super::{message::puback, script::origin, wire::Wire};
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

/// What the client has not acknowledged is the node's memory too.
#[test]
fn bytes_in_flight_count_for_the_node() {
    const MESSAGE: [u8; 7_000] = [b'x'; 7_000];
    let limits = Arc::new(Limits { budget: Budget::new(30_000), ..Limits::default() });
    let version = ProtocolVersion::V3_1_1;
    let mut wire = Wire::new(version, 100);
    let now = origin();
    let mut session = Session::new(Arc::from("c"), Arc::clone(&limits));
    let connect = Box::new(Connect::new(version, "c"));
    let admission = handshake::admit(connect, &limits, String::new).unwrap();
    session.attach(admission, false, now, &mut wire);
    let mut publish = Publish::new("t", &MESSAGE);
    publish.qos = QoS::AtLeastOnce;
    let terms = Terms {
        qos: QoS::ExactlyOnce,
        retain_as_published: false,
        identifiers: &[],
        shared: None,
        retained: false,
    };
    let mut outcomes = Vec::new();
    for _ in 0..8 {
        let transit = Transit::new(&publish, now);
        outcomes.push(session.handle_delivery(&transit, &terms, now, &mut wire));
    }
    // It is told in steps of 16 KiB, so that six messages come through.
    assert_eq!(outcomes, [[Delivery::Sent; 6].as_slice(), &[Delivery::Dropped; 2]].concat());
    assert_eq!((session.inflight(), limits.budget.used()), (6, 42_006));
    for id in 1..=6 {
        session.handle_packet(puback(id), now, &mut Actions::default(), &mut wire);
    }
    assert_eq!((session.inflight(), limits.budget.used()), (0, 0));
    let transit = Transit::new(&publish, now);
    assert_eq!(session.handle_delivery(&transit, &terms, now, &mut wire), Delivery::Sent);
    drop(session);
    assert_eq!(limits.budget.used(), 0);
}
