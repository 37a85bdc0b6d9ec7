//! rumqttc, in 3.1.1 and 5.0.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::Duration,
};

use avocet_tests::{Broker, deadline};
use rumqttc::Transport;

/// What arrived: topic, payload, QoS.
type Message = (String, Vec<u8>, u8);

const SIZES: [usize; 3] = [0, 1, 100 * 1024];

#[track_caller]
fn expect(messages: &Receiver<Option<Message>>, topic: &str, size: usize, qos: u8) {
    let seen = messages.recv_timeout(deadline::ANSWER).expect("a message within the deadline");
    let (seen_topic, payload, seen_qos) = seen.expect("a message, not the end");
    assert_eq!((seen_topic.as_str(), payload.len(), seen_qos), (topic, size, qos));
}

#[test]
fn rumqttc_of_3_1_1_talks_to_the_broker() {
    let broker = Broker::start(&[]);
    let address = broker.address();
    scenario_of_3_1_1(&address.ip().to_string(), address.port(), &Transport::Tcp);
}

#[test]
fn rumqttc_of_5_talks_to_the_broker() {
    let broker = Broker::start(&[]);
    let address = broker.address();
    scenario_of_5(&address.ip().to_string(), address.port(), &Transport::Tcp);
}

pub(crate) fn scenario_of_3_1_1(host: &str, port: u16, transport: &Transport) {
    use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
    let start = |name: &str| {
        let mut options = MqttOptions::new(name, host, port);
        options.set_transport(transport.clone());
        options.set_keep_alive(Duration::from_secs(30)).set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut connection) = Client::new(options, 10);
        let (sender, messages) = sync_channel(100);
        let (subscribed, granted) = sync_channel(10);
        thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        let payload = message.payload.to_vec();
                        let qos = message.qos as u8;
                        drop(sender.send(Some((message.topic, payload, qos))));
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => drop(subscribed.send(())),
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        });
        (client, messages, granted)
    };
    let (alice, messages, granted) = start("rumqttc-alice");
    let (bob, _, _) = start("rumqttc-bob");
    for (qos, number) in [(QoS::AtMostOnce, 0), (QoS::AtLeastOnce, 1), (QoS::ExactlyOnce, 2)] {
        alice.subscribe(format!("data/{number}/+"), qos).expect("the connection stands");
        granted.recv_timeout(deadline::ANSWER).expect("a SUBACK within the deadline");
        for size in SIZES {
            let topic = format!("data/{number}/a");
            bob.publish(&topic, qos, false, vec![7; size]).expect("the connection stands");
            expect(&messages, &topic, size, number);
        }
    }
    alice.disconnect().expect("the connection stands");
    bob.disconnect().expect("the connection stands");
}

pub(crate) fn scenario_of_5(host: &str, port: u16, transport: &Transport) {
    use rumqttc::v5::{
        Client, Event, MqttOptions,
        mqttbytes::{
            QoS,
            v5::{Packet, PublishProperties},
        },
    };
    let user = vec![("b".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
    let start = |name: &str| {
        let mut options = MqttOptions::new(name, host, port);
        options.set_transport(transport.clone());
        options.set_max_packet_size(Some(1 << 20));
        let (client, mut connection) = Client::new(options, 10);
        let (sender, messages) = sync_channel(100);
        let (subscribed, granted) = sync_channel(10);
        let user = user.clone();
        thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        let properties = message.properties.unwrap_or_default();
                        let topic = String::from_utf8_lossy(&message.topic).into_owned();
                        let whole = properties.user_properties == user;
                        let payload = message.payload.to_vec();
                        let seen = whole.then_some((topic, payload, message.qos as u8));
                        drop(sender.send(seen));
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => drop(subscribed.send(())),
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        });
        (client, messages, granted)
    };
    let (alice, messages, granted) = start("rumqttc-alice");
    let (bob, _, _) = start("rumqttc-bob");
    for (qos, number) in [(QoS::AtMostOnce, 0), (QoS::AtLeastOnce, 1), (QoS::ExactlyOnce, 2)] {
        alice.subscribe(format!("data/{number}/+"), qos).expect("the connection stands");
        granted.recv_timeout(deadline::ANSWER).expect("a SUBACK within the deadline");
        for size in SIZES {
            let topic = format!("data/{number}/a");
            let properties =
                PublishProperties { user_properties: user.clone(), ..PublishProperties::default() };
            bob.publish_with_properties(&topic, qos, false, vec![7; size], properties)
                .expect("the connection stands");
            expect(&messages, &topic, size, number);
        }
    }
    alice.disconnect().expect("the connection stands");
    bob.disconnect().expect("the connection stands");
}
