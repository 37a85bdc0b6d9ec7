//! QoS 2 packet identifiers that came in and are not released (method B of section 4.3.3).

use avocet_mqtt::PacketId;
use hashbrown::HashMap;

/// How far an inbound QoS 2 message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The broker has it and has not answered.
    Routing,
    /// PUBREC was sent; PUBREL is awaited.
    Received,
}

/// The identifiers whose message must not be routed again.
#[derive(Debug, Default)]
pub(crate) struct Received(HashMap<PacketId, Stage>);

/// What a PUBLISH with QoS 2 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Route it.
    First,
    /// It is being routed; the answer will come.
    StillRouting,
    /// It was routed; answer again.
    Again,
}

impl Received {
    pub(crate) fn arrive(&mut self, id: PacketId) -> Arrival {
        match self.0.get(&id) {
            None => {
                self.0.insert(id, Stage::Routing);
                Arrival::First
            }
            Some(Stage::Routing) => Arrival::StillRouting,
            Some(Stage::Received) => Arrival::Again,
        }
    }

    /// The broker has taken the message. False if it was released meanwhile.
    pub(crate) fn routed(&mut self, id: PacketId) -> bool {
        match self.0.get_mut(&id) {
            Some(stage) => {
                *stage = Stage::Received;
                true
            }
            None => false,
        }
    }

    /// The exchange is over. False if there was none.
    pub(crate) fn release(&mut self, id: PacketId) -> bool {
        self.0.remove(&id).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives memory back while nothing is under way. A message whose routing the connection's end
    /// cut short counts as received: it was handed to the broker.
    pub(crate) fn settle(&mut self) {
        for stage in self.0.values_mut() {
            *stage = Stage::Received;
        }
        self.0.shrink_to_fit();
    }
}
