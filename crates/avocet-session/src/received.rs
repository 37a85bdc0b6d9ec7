//! QoS 2 packet identifiers that came in and are not released (method B of section 4.3.3).

use std::sync::LazyLock;

use avocet_mqtt::PacketId;
use hashbrown::HashMap;

use crate::seldom::Empty;

/// How far an inbound QoS 2 message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The broker has it and has not answered.
    Routing,
    /// PUBREC was sent; PUBREL is awaited.
    Received,
    /// PUBREL has come, and is to be stored before PUBCOMP is sent.
    Forgetting,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    stage: Stage,
    /// Its PUBLISH came on the present connection.
    came_here: bool,
}

/// The identifiers whose message must not be routed again.
#[derive(Debug, Default)]
pub(crate) struct Received {
    entries: HashMap<PacketId, Entry>,
    /// Entries that came on the present connection: what our Receive Maximum bounds.
    outstanding: usize,
}

/// What a PUBLISH with QoS 2 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Route it.
    First,
    /// It is being routed; the answer will come.
    StillRouting,
    /// It is being routed since it came on an earlier connection.
    RoutingSince,
    /// It was routed; answer again.
    Again,
}

impl Empty for Received {
    fn empty() -> &'static Self {
        static EMPTY: LazyLock<Received> = LazyLock::new(Received::default);
        &EMPTY
    }
}

impl Received {
    pub(crate) fn arrive(&mut self, id: PacketId) -> Arrival {
        let mut arrival = Arrival::First;
        let entry = self
            .entries
            .entry(id)
            .and_modify(|entry| {
                arrival = match entry.stage {
                    Stage::Routing if !entry.came_here => Arrival::RoutingSince,
                    Stage::Routing | Stage::Forgetting => Arrival::StillRouting,
                    Stage::Received => Arrival::Again,
                };
            })
            .or_insert(Entry { stage: Stage::Routing, came_here: false });
        if !entry.came_here {
            entry.came_here = true;
            self.outstanding += 1;
        }
        arrival
    }

    /// Enters a message if its identifier is not in use. False if it is.
    pub(crate) fn arrive_first(&mut self, id: PacketId) -> bool {
        let entry = Entry { stage: Stage::Routing, came_here: true };
        let first = self.entries.try_insert(id, entry).is_ok();
        self.outstanding += usize::from(first);
        first
    }

    /// The broker has taken the message. False if it was released meanwhile.
    pub(crate) fn routed(&mut self, id: PacketId) -> bool {
        match self.entries.get_mut(&id) {
            Some(entry) => {
                entry.stage = Stage::Received;
                true
            }
            None => false,
        }
    }

    /// The exchange is over. False if there was none.
    pub(crate) fn release(&mut self, id: PacketId) -> bool {
        // [MQTT5-4.3.3-12]
        let Some(entry) = self.entries.remove(&id) else { return false };
        self.outstanding -= usize::from(entry.came_here);
        true
    }

    /// The exchange is over once that is stored. `None` if there is none, false if it has been told
    /// before.
    pub(crate) fn forget(&mut self, id: PacketId) -> Option<bool> {
        let entry = self.entries.get_mut(&id)?;
        let is_new = entry.stage != Stage::Forgetting;
        entry.stage = Stage::Forgetting;
        self.outstanding += usize::from(!entry.came_here);
        entry.came_here = true;
        Some(is_new)
    }

    /// That an exchange is over is stored. Whether the client is to be told on this connection.
    pub(crate) fn forgotten(&mut self, id: PacketId) -> bool {
        let came_here = self.came_here(id);
        self.release(id);
        came_here
    }

    /// Whether the client has said something of it on the present connection.
    pub(crate) fn came_here(&self, id: PacketId) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.came_here)
    }

    /// A message that was received before the broker was started.
    pub(crate) fn restore(&mut self, id: PacketId) {
        self.entries.insert(id, Entry { stage: Stage::Received, came_here: false });
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// The connection is gone; gives memory back. A message whose routing its end cut short counts
    /// as received: it was handed to the broker. If the session is stored, the store has not told
    /// yet what has become of it.
    pub(crate) fn disconnected(&mut self, is_stored: bool) {
        self.outstanding = 0;
        for entry in self.entries.values_mut() {
            entry.came_here = false;
            if !is_stored {
                entry.stage = Stage::Received;
            }
        }
        self.entries.shrink_to_fit();
    }
}
