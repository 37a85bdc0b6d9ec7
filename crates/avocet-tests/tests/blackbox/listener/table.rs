//! One scenario over every transport, and clients of different transports with one another.

use avocet_tests::{Connect, Kind, Publish, Raw, Version, Will, packet};

use super::{Everywhere, Transport};

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

/// Runs a scenario; the last line that is printed says over what.
fn each(scenario: impl Fn(&Everywhere, Transport, Version)) {
    let everywhere = Everywhere::start(&[]);
    for transport in everywhere.transports() {
        for version in VERSIONS {
            #[expect(clippy::print_stderr, reason = "shown by the test runner when it fails")]
            {
                eprintln!("--- {transport:?}, MQTT {version}");
            }
            scenario(&everywhere, transport, version);
        }
    }
}

fn pair(everywhere: &Everywhere, transport: Transport, version: Version) -> [Raw; 2] {
    ["alice", "bob"].map(|name| everywhere.client(transport, &Connect::new(version, name)))
}

#[test]
fn messages_of_every_qos_go_both_ways_over_every_transport() {
    each(|everywhere, transport, version| {
        let [mut alice, mut bob] = pair(everywhere, transport, version);
        for qos in 0..=2 {
            let topic = format!("a/{qos}");
            alice.subscribe(&topic, qos);
            for payload in ["", "x", "two words"] {
                bob.publish(&Publish::new(&topic, payload).qos(qos, u16::from(qos)));
                let seen = alice.expect_message(&topic, payload, qos);
                alice.acknowledge(&seen);
            }
        }
        alice.expect_nothing_before_pong();
        bob.expect_nothing_before_pong();
        alice.disconnect();
        bob.disconnect();
    });
}

#[test]
fn payload_of_200_kb_arrives_whole_over_every_transport() {
    each(|everywhere, transport, version| {
        let [mut alice, mut bob] = pair(everywhere, transport, version);
        alice.subscribe("a", 2);
        let payload: Vec<u8> = (0..=250).cycle().take(200_000).collect();
        for qos in 0..=2 {
            bob.publish(&Publish::new("a", &payload).qos(qos, u16::from(qos)));
            let seen = alice.expect_publish();
            assert!(seen.payload == payload, "another payload at QoS {qos}");
            alice.acknowledge(&seen);
        }
        alice.disconnect();
    });
}

#[test]
fn messages_of_one_write_arrive_in_order_over_every_transport() {
    each(|everywhere, transport, version| {
        let [mut alice, mut bob] = pair(everywhere, transport, version);
        alice.subscribe("a", 1);
        let publish = |id: u16| Publish::new("a", id.to_string()).qos(1, id).bytes(version);
        bob.send(&(1..=500).flat_map(publish).collect::<Vec<u8>>());
        for id in 1..=500 {
            let seen = alice.expect_message("a", &id.to_string(), 1);
            alice.acknowledge(&seen);
        }
        for id in 1..=500 {
            bob.expect_puback(id);
        }
        alice.expect_nothing_before_pong();
        bob.disconnect();
    });
}

#[test]
fn will_of_a_connection_that_is_lost_is_published_over_every_transport() {
    each(|everywhere, transport, version| {
        let [mut alice, bob] = pair(everywhere, transport, version);
        alice.subscribe("gone/+", 1);
        let will = |name: &str| {
            let will = Will::new(format!("gone/{name}"), name).qos(1);
            everywhere.client(transport, &Connect::new(version, name).will(will))
        };
        will("left").disconnect();
        will("lost").cut();
        let seen = alice.expect_message("gone/lost", "lost", 1);
        alice.acknowledge(&seen);
        alice.expect_nothing_before_pong();
        bob.disconnect();
    });
}

/// The broker's own last word comes before the end of whatever lies around it.
#[test]
fn client_that_is_taken_over_is_told_so_over_every_transport() {
    each(|everywhere, transport, version| {
        let connect = Connect::new(version, "alice");
        let mut first = everywhere.client(transport, &connect);
        let second = everywhere.client(transport, &connect);
        let code = first.expect_ending();
        assert_eq!(code, version.has_properties().then_some(0x8e));
        second.disconnect();
    });
}

#[test]
fn client_that_breaks_the_rules_is_told_so_over_every_transport() {
    each(|everywhere, transport, version| {
        let mut alice = everywhere.client(transport, &Connect::new(version, "alice"));
        alice.send(&packet::frame(0x30, &[]));
        let code = alice.expect_ending();
        assert_eq!(code, version.has_properties().then_some(0x81));
    });
}

/// The last word comes, and whatever lies around it is ended as it should be.
#[test]
fn clients_are_told_that_the_broker_stops_over_every_transport() {
    let everywhere = Everywhere::start(&[]);
    let mut clients = Vec::new();
    for transport in everywhere.transports() {
        for number in 0..5 {
            let connect = Connect::new(Version::V5, format!("{transport:?} {number}"));
            clients.push((transport, everywhere.client(transport, &connect)));
        }
    }
    everywhere.broker.terminate();
    for (transport, client) in &mut clients {
        #[expect(clippy::print_stderr, reason = "shown by the test runner when it fails")]
        {
            eprintln!("--- {transport:?}");
        }
        assert_eq!(client.expect_ending(), Some(0x8b));
    }
}

#[test]
fn clients_of_different_transports_reach_one_another() {
    let everywhere = Everywhere::start(&[]);
    let transports = everywhere.transports();
    let mut clients: Vec<Raw> = transports
        .iter()
        .zip(VERSIONS.iter().cycle())
        .map(|(transport, version)| {
            let connect = Connect::new(*version, format!("{transport:?}"));
            let mut raw = everywhere.client(*transport, &connect);
            raw.subscribe("all/#", 2);
            raw
        })
        .collect();
    for (from, transport) in transports.iter().enumerate() {
        for qos in 0..=2 {
            let topic = format!("all/{transport:?}/{qos}");
            let version = clients[from].version();
            let publish = Publish::new(&topic, "x").qos(qos, if qos > 0 { 7 } else { 0 });
            clients[from].send(&publish.bytes(version));
            finish_publish(&mut clients[from], &topic, qos);
            for (index, client) in clients.iter_mut().enumerate() {
                if index != from {
                    let seen = client.expect_message(&topic, "x", qos);
                    client.acknowledge(&seen);
                }
            }
        }
    }
    for client in &mut clients {
        client.expect_nothing_before_pong();
    }
}

/// The publisher gets its own message among the answers.
fn finish_publish(raw: &mut Raw, topic: &str, qos: u8) {
    let (mut is_acked, mut is_seen) = (qos == 0, false);
    while !is_acked || !is_seen {
        let packet = raw.receive();
        match packet.kind {
            Kind::Publish(message) => {
                assert_eq!((message.topic.as_str(), message.qos), (topic, qos));
                is_seen = true;
                match qos {
                    0 => {}
                    1 => raw.send(&packet::puback(message.packet_id())),
                    _ => raw.send(&packet::pubrec(message.packet_id())),
                }
            }
            Kind::Puback(ack) | Kind::Pubcomp(ack) => {
                assert_eq!((ack.id, ack.code), (7, 0));
                is_acked = true;
            }
            Kind::Pubrec(ack) => raw.send(&packet::pubrel(ack.id)),
            Kind::Pubrel(ack) => raw.send(&packet::pubcomp(ack.id)),
            Kind::Connack(_)
            | Kind::Suback(_)
            | Kind::Unsuback(_)
            | Kind::Pingresp
            | Kind::Disconnect(_)
            | Kind::Auth(_) => panic!("unexpected: {packet:?}"),
        }
    }
}
