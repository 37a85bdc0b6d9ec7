//! Receive Maximum: how much may be open in either direction.

use avocet_tests::{
    Broker, Connect, Properties, Publish, Raw, Version,
    packet::{puback, pubcomp, pubrec, subscribe},
};

const V5: Version = Version::V5;

fn with_window(broker: &Broker, client_id: &str, window: u16) -> Raw {
    let properties = Properties::new().two(0x21, window);
    broker.connect(&Connect::new(V5, client_id).properties(properties))
}

/// [MQTT5-3.3.4-9] [MQTT5-4.9.0-1] [MQTT5-4.9.0-2] [MQTT5-3.3.4-10] [MQTT5-4.9.0-3]
#[test]
fn broker_keeps_within_the_clients_receive_maximum_and_answers_meanwhile() {
    let broker = Broker::start(&[]);
    let mut alice = with_window(&broker, "alice", 2);
    alice.subscribe("a", 2);
    let mut bob = broker.client(V5, "bob");
    for id in 1..=5 {
        bob.publish(&Publish::new("a", id.to_string()).qos(1, id));
    }
    let one = alice.expect_message("a", "1", 1).packet_id();
    let two = alice.expect_message("a", "2", 1).packet_id();
    alice.expect_nothing_before_pong();
    alice.send(&subscribe(V5, 7, &[("b", 0)]));
    alice.expect_suback(7);
    bob.publish(&Publish::new("b", "qos 0 is not counted"));
    alice.expect_message("b", "qos 0 is not counted", 0);
    alice.send(&puback(one));
    let three = alice.expect_message("a", "3", 1).packet_id();
    alice.expect_nothing_before_pong();
    alice.send(&[puback(two), puback(three)].concat());
    alice.expect_message("a", "4", 1);
    alice.expect_message("a", "5", 1);
    alice.expect_nothing_before_pong();
}

/// [MQTT5-3.3.4-9] [MQTT5-4.9.0-2]
#[test]
fn pubrec_does_not_free_the_window_and_pubcomp_does() {
    let broker = Broker::start(&[]);
    let mut alice = with_window(&broker, "alice", 1);
    alice.subscribe("a", 2);
    let mut bob = broker.client(V5, "bob");
    bob.publish(&Publish::new("a", "one").qos(2, 1));
    bob.publish(&Publish::new("a", "two").qos(2, 2));
    let one = alice.expect_message("a", "one", 2).packet_id();
    alice.send(&pubrec(one));
    alice.expect_pubrel(one);
    alice.expect_nothing_before_pong();
    alice.send(&pubcomp(one));
    alice.expect_message("a", "two", 2);
}

/// [MQTT5-4.9.0-2]
#[test]
fn error_in_pubrec_frees_the_window() {
    let broker = Broker::start(&[]);
    let mut alice = with_window(&broker, "alice", 1);
    alice.subscribe("a", 2);
    let mut bob = broker.client(V5, "bob");
    bob.publish(&Publish::new("a", "one").qos(2, 1));
    bob.publish(&Publish::new("a", "two").qos(2, 2));
    let one = alice.expect_message("a", "one", 2).packet_id();
    alice.send(&avocet_tests::packet::ack_with_code(0x50, one, 0x80));
    alice.expect_message("a", "two", 2);
}

/// [MQTT5-3.3.4-7]
#[test]
fn client_past_the_brokers_receive_maximum_is_closed() {
    let broker = Broker::start(&["mqtt.max_awaiting_rel=10"]);
    let (mut alice, connack) = broker.connect_with(&Connect::new(V5, "alice"));
    assert_eq!(connack.properties.number(0x21), Some(10), "{connack:?}");
    for id in 1..=10 {
        alice.send(&Publish::new("a", "").qos(2, id).bytes(V5));
        alice.expect_pubrec(id);
    }
    alice.send(&Publish::new("a", "").qos(2, 11).bytes(V5));
    alice.expect_error(&[0x93]);
}
