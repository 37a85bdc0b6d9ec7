//! A session and a client joined by a connection that may be cut at any moment, with all that is
//! under way lost: whatever happens, QoS 0 arrives at most once, QoS 1 at least once and QoS 2
//! exactly once, in order, in both directions.

mod client;
mod network;

use avocet_mqtt::{ProtocolVersion, QoS};
use proptest::prelude::*;

use self::network::Network;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    ClientPublishes(QoS),
    BrokerBrings {
        qos: QoS,
        count: usize,
        as_came: bool,
    },
    SessionReads(usize),
    BrokerAnswers(usize),
    ClientReads(usize),
    /// The connection has room again, and the broker notices or does not yet.
    Room {
        count: usize,
        noticed: bool,
    },
    /// What the broker has not answered it answers to the session without a connection, or never.
    Cut {
        answered: bool,
    },
    Connect {
        window: u16,
    },
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => qos().prop_map(Event::ClientPublishes),
        4 => (qos(), 1..5usize, any::<bool>())
            .prop_map(|(qos, count, as_came)| Event::BrokerBrings { qos, count, as_came }),
        4 => (1..9usize).prop_map(Event::SessionReads),
        4 => (1..9usize).prop_map(Event::BrokerAnswers),
        4 => (1..9usize).prop_map(Event::ClientReads),
        2 => (0..9usize, any::<bool>()).prop_map(|(count, noticed)| Event::Room { count, noticed }),
        1 => any::<bool>().prop_map(|answered| Event::Cut { answered }),
        2 => (1..5u16).prop_map(|window| Event::Connect { window }),
    ]
}

fn version() -> impl Strategy<Value = ProtocolVersion> {
    prop_oneof![
        Just(ProtocolVersion::V3_1),
        Just(ProtocolVersion::V3_1_1),
        Just(ProtocolVersion::V5)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// [MQTT3-4.3.1-1] [MQTT3-4.3.2-1] [MQTT3-4.3.2-2] [MQTT3-4.3.3-1] [MQTT3-4.3.3-2]
    /// [MQTT3-4.4.0-1] [MQTT3-4.6.0-6] [MQTT3-2.3.1-4] [MQTT5-4.3.2-1] [MQTT5-4.3.2-3]
    /// [MQTT5-4.3.2-4] [MQTT5-4.3.3-1] [MQTT5-4.3.3-3] [MQTT5-4.3.3-5] [MQTT5-4.3.3-6]
    /// [MQTT5-4.3.3-10] [MQTT5-4.4.0-1] [MQTT5-4.6.0-5] [MQTT5-2.2.1-4] [MQTT5-3.3.4-9]
    #[test]
    fn every_quality_of_service_holds_over_a_connection_that_breaks(
        version in version(),
        events in prop::collection::vec(event(), 0..200),
    ) {
        let mut network = Network::new(version);
        for event in events {
            match event {
                Event::ClientPublishes(qos) => network.client_publishes(qos),
                Event::BrokerBrings { qos, count, as_came } => {
                    network.broker_brings(qos, count, as_came);
                }
                Event::SessionReads(count) => network.session_reads(count),
                Event::BrokerAnswers(count) => network.broker_answers(count),
                Event::ClientReads(count) => network.client_reads(count),
                Event::Room { count, noticed } => network.room(count, noticed),
                Event::Cut { answered } => network.cut(answered),
                Event::Connect { window } => network.connect(window),
            }
        }
        network.comes_to_rest();
        network.check();
    }
}
