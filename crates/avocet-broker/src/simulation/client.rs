//! A client: it subscribes, reads by little pieces, and acknowledges.

use std::{num::NonZeroU16, sync::Arc};

use avocet_mqtt::{
    Ack, Codec, Connect, Disconnect, Packet, PacketId, ProtocolVersion, QoS, ReasonCode, Subscribe,
    Subscription, SubscriptionOptions, UserProperties, encode,
};

use avocet_net::{ClientWrapping, Layers, WebSocketRequest};
use shuttle::rand::{Rng, thread_rng};

use super::stream::Stream;

const VERSION: ProtocolVersion = ProtocolVersion::V5;
pub(super) const CLIENT_ID: &str = "c";

pub(super) struct Client {
    stream: Arc<Stream>,
    layers: Option<Box<Layers>>,
    codec: Codec,
    /// Received and not looked at.
    bytes: Vec<u8>,
    bytes_max: usize,
}

/// What the broker sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Connack,
    Suback,
    Message(Message),
    Disconnect(ReasonCode),
    /// The end of the stream, and how many bytes of a packet that is not whole came before.
    End(usize),
}

/// A message, named by what is in its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) publisher: u8,
    pub(super) number: u8,
    pub(super) qos: QoS,
    pub(super) dup: bool,
}

/// Publisher, number, and so many bytes that say the same again.
pub(super) fn payload(publisher: u8, number: u8, length: usize) -> Vec<u8> {
    let mut payload = vec![publisher ^ number; length.max(2)];
    payload[0] = publisher;
    payload[1] = number;
    payload
}

impl Client {
    /// Sends CONNECT, for a session that outlives its connection if it `stays`.
    pub(super) fn connect(stream: &Arc<Stream>, bytes_max: usize, stays: bool) -> Self {
        let mut client = Self {
            stream: Arc::clone(stream),
            layers: None,
            codec: Codec::with_version(VERSION, u32::MAX),
            bytes: Vec::new(),
            bytes_max,
        };
        if stream.is_framed {
            client.open();
        }
        let mut connect = Connect::new(VERSION, CLIENT_ID);
        connect.clean_start = false;
        connect.session_expiry_interval = stays.then_some(100);
        connect.receive_maximum = NonZeroU16::new(2);
        client.send(&Packet::Connect(Box::new(connect)));
        client
    }

    /// Asks for a WebSocket and waits until it is there.
    fn open(&mut self) {
        let websocket = Some(WebSocketRequest::to("localhost"));
        let (wrapping, mut raw) = (ClientWrapping { websocket, tls: None }, Vec::new());
        self.layers = Layers::connect(&wrapping, &mut raw).expect("the request can be said");
        self.stream.send(&raw);
        while self.layers.as_ref().is_some_and(|layers| !layers.is_open()) {
            assert!(self.receive(), "the request is not answered");
        }
    }

    /// Takes some of what is there. False at the end.
    fn receive(&mut self) -> bool {
        let Some(mut bytes) = self.stream.receive(self.bytes_max) else { return false };
        let Some(layers) = &mut self.layers else {
            self.bytes.extend(bytes);
            return true;
        };
        let mut raw = Vec::new();
        let received = layers.receive(&mut bytes, &mut self.bytes, &mut raw);
        received.expect("frames follow one another");
        if layers.is_open() && thread_rng().gen_bool(0.2) {
            // A ping, whose answer must not get into another frame.
            raw.extend([0x89, 0x80, 0, 0, 0, 0]);
        }
        self.stream.send(&raw);
        true
    }

    /// Sends bytes of MQTT.
    fn seal(&mut self, bytes: &[u8]) {
        match &mut self.layers {
            None => self.stream.send(bytes),
            Some(layers) => {
                let mut raw = Vec::new();
                // The broker may have closed it.
                if layers.seal(bytes, &mut raw).is_ok() {
                    self.stream.send(&raw);
                }
            }
        }
    }

    /// Subscribes: with acknowledgement, and past the session.
    pub(super) fn subscribe(&mut self) {
        let subscription = |filter: &str| Subscription {
            filter: filter.to_owned(),
            options: SubscriptionOptions { qos: QoS::AtLeastOnce, ..Default::default() },
        };
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            subscriptions: vec![subscription("m/#"), subscription("$fastlane/f/#")],
        }));
    }

    /// How much it reads in one go at most.
    pub(super) fn reads(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// A packet of no type.
    pub(super) fn send_nonsense(&mut self) {
        self.seal(&[0, 0]);
    }

    pub(super) fn disconnect(&mut self) {
        self.send(&Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success))));
        self.stream.finish();
    }

    /// The next packet. A message that asks for it is acknowledged.
    pub(super) fn next(&mut self) -> Received {
        loop {
            let decoded = self.codec.decode(&self.bytes);
            if let Some((packet, length)) = decoded.expect("frames follow one another") {
                let (received, answer) = take(&packet);
                self.bytes.drain(..length);
                if let Some(answer) = answer {
                    self.send(&answer);
                }
                return received;
            }
            if !self.receive() {
                return Received::End(self.bytes.len());
            }
        }
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        encode(VERSION, packet, &mut bytes);
        self.seal(&bytes);
    }
}

fn take(packet: &Packet<'_>) -> (Received, Option<Packet<'static>>) {
    match packet {
        Packet::Connack(_) => (Received::Connack, None),
        Packet::Suback(_) => (Received::Suback, None),
        Packet::Disconnect(disconnect) => (Received::Disconnect(disconnect.reason), None),
        Packet::Publish(publish) => {
            let (publisher, number) = (publish.payload[0], publish.payload[1]);
            let whole = payload(publisher, number, publish.payload.len());
            assert!(publish.payload == whole, "bytes of another packet within this one");
            let answer =
                publish.packet_id.map(|id| Packet::Puback(Ack::new(id, ReasonCode::Success)));
            let (qos, dup) = (publish.qos, publish.dup);
            (Received::Message(Message { publisher, number, qos, dup }), answer)
        }
        Packet::Connect(_)
        | Packet::Puback(_)
        | Packet::Pubrec(_)
        | Packet::Pubrel(_)
        | Packet::Pubcomp(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::Unsuback(_)
        | Packet::Pingreq
        | Packet::Pingresp
        | Packet::Auth(_) => panic!("{packet:?} was not asked for"),
    }
}
