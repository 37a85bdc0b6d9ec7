//! Where a session puts what it has for its client.

use std::sync::Arc;

use avocet_mqtt::{AckKind, ApplicationMessage, Frames, Packet, PacketId, Publish, QoS};

use crate::{Change, Claim, DropReason, StoredId, Then};

/// A session's way out. Packets are written in place, in order: an action for each would cost an
/// allocation a message.
pub trait Outlet {
    /// Writes a packet for the client.
    fn send(&mut self, packet: &Packet<'_>);

    /// Writes a PUBLISH. `large` is the message it was made of, if its payload is to be counted
    /// rather than copied.
    fn send_publish(&mut self, publish: &Publish<'_>, large: Option<&Arc<ApplicationMessage>>);

    /// Writes PUBLISHes as they came from their publisher; those of QoS 1 and 2 with this QoS and
    /// identifiers from this one on.
    fn send_frames(&mut self, frames: &Frames<'_>, with: Option<(QoS, PacketId)>);

    /// Writes acknowledgements that say no more than success.
    fn send_acks(&mut self, kind: AckKind, packet_ids: impl Iterator<Item = PacketId>);

    /// Writes one.
    fn send_ack(&mut self, kind: AckKind, packet_id: PacketId) {
        self.send_acks(kind, std::iter::once(packet_id));
    }

    /// Whether more messages may be written now. Answers are written regardless: a client gets one
    /// for each packet it sent, and no more is read from it while there is no room.
    fn has_room(&self) -> bool;

    /// A message will not reach this client, or was not taken from it. `qos` is what it would have
    /// been delivered with, or was published with.
    fn dropped(&mut self, topic: &str, qos: QoS, reason: DropReason);

    /// A stored session has changed. Changes are stored in the order in which they are told; `then`
    /// waits until this one is.
    fn record(
        &mut self,
        _session: StoredId,
        _change: Change,
        _then: impl IntoIterator<Item = Then>,
    ) {
    }

    /// A stored session has a right to the message that is being published.
    fn claim(&mut self, _session: StoredId, _claim: Claim) {}

    /// A stored session has room for more messages from the store.
    fn load(&mut self) {}

    /// The client acknowledged what it was not sent, or has acknowledged before.
    fn missed(&mut self, _kind: AckKind) {}
}
