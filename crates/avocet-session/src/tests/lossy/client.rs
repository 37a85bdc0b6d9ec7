//! A client that keeps its session: what it has sent and what it has received.

use std::collections::{BTreeSet, VecDeque};

use avocet_mqtt::{Ack, Packet, PacketId, Publish, QoS, ReasonCode};

/// A message of QoS 1 or 2 on its way to the server.
#[derive(Debug)]
struct Unfinished {
    id: PacketId,
    qos: QoS,
    payload: String,
    released: bool,
}

#[derive(Debug, Default)]
pub(super) struct Client {
    /// CONNACK has come.
    pub(super) connected: bool,
    /// Messages that wait for the server's Receive Maximum.
    waiting: VecDeque<(QoS, String)>,
    unfinished: VecDeque<Unfinished>,
    last_id: u16,
    /// QoS 2 messages received and not released.
    received: BTreeSet<PacketId>,
    pub(super) got: Vec<(QoS, String)>,
}

/// How many unfinished messages the server takes.
pub(super) const RECEIVE_MAXIMUM: usize = 3;

impl Client {
    pub(super) fn is_at_rest(&self) -> bool {
        self.waiting.is_empty() && self.unfinished.is_empty() && self.received.is_empty()
    }

    pub(super) fn publish(&mut self, qos: QoS, payload: String, send: &mut dyn FnMut(Packet<'_>)) {
        if qos > QoS::AtMostOnce {
            self.waiting.push_back((qos, payload));
            self.send_waiting(send);
        } else if self.connected {
            send(Packet::Publish(Publish::new("t", payload.as_bytes())));
        }
    }

    fn send_waiting(&mut self, send: &mut dyn FnMut(Packet<'_>)) {
        while self.connected && self.unfinished.len() < RECEIVE_MAXIMUM {
            let Some((qos, payload)) = self.waiting.pop_front() else { break };
            // A small range of identifiers, so that they are soon used again.
            let free = |id: &u16| self.unfinished.iter().all(|message| message.id.get() != *id);
            let id = (1..=6).map(|n| (self.last_id + n) % 6 + 1).find(free).unwrap();
            self.last_id = id;
            let id = PacketId::new(id).unwrap();
            let message = Unfinished { id, qos, payload, released: false };
            send_message(&message, false, send);
            self.unfinished.push_back(message);
        }
    }

    pub(super) fn handle(&mut self, packet: &Packet<'_>, send: &mut dyn FnMut(Packet<'_>)) {
        let ack = |ack: &Ack| Ack::new(ack.packet_id, ReasonCode::Success);
        match packet {
            Packet::Connack(_) => {
                self.connected = true;
                for message in &self.unfinished {
                    send_message(message, true, send);
                }
            }
            Packet::Publish(publish) => self.handle_publish(publish, send),
            Packet::Puback(ack) | Packet::Pubcomp(ack) => {
                self.unfinished.retain(|message| message.id != ack.packet_id);
            }
            Packet::Pubrec(received) => {
                let of_this = |message: &&mut Unfinished| message.id == received.packet_id;
                self.unfinished.iter_mut().find(of_this).unwrap().released = true;
                send(Packet::Pubrel(ack(received)));
            }
            Packet::Pubrel(released) => {
                self.received.remove(&released.packet_id);
                send(Packet::Pubcomp(ack(released)));
            }
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Suback(_)
            | Packet::Unsubscribe(_)
            | Packet::Unsuback(_)
            | Packet::Pingreq
            | Packet::Pingresp
            | Packet::Disconnect(_)
            | Packet::Auth(_) => panic!("not expected: {packet:?}"),
        }
        self.send_waiting(send);
    }

    fn handle_publish(&mut self, publish: &Publish<'_>, send: &mut dyn FnMut(Packet<'_>)) {
        let ack = publish.packet_id.map(|id| Ack::new(id, ReasonCode::Success));
        let new = match (publish.qos, publish.packet_id) {
            (QoS::ExactlyOnce, Some(id)) => self.received.insert(id),
            (QoS::AtMostOnce | QoS::AtLeastOnce, _) | (QoS::ExactlyOnce, None) => true,
        };
        if new {
            let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
            self.got.push((publish.qos, payload));
        }
        match (publish.qos, ack) {
            (QoS::AtLeastOnce, Some(ack)) => send(Packet::Puback(ack)),
            (QoS::ExactlyOnce, Some(ack)) => send(Packet::Pubrec(ack)),
            (QoS::AtMostOnce, _) | (_, None) => {}
        }
    }
}

fn send_message(message: &Unfinished, dup: bool, send: &mut dyn FnMut(Packet<'_>)) {
    if message.released {
        return send(Packet::Pubrel(Ack::new(message.id, ReasonCode::Success)));
    }
    let mut publish = Publish::new("t", message.payload.as_bytes());
    publish.dup = dup;
    publish.qos = message.qos;
    publish.packet_id = Some(message.id);
    send(Packet::Publish(publish));
}
