//! Where a session puts what it has for its client.

use std::sync::Arc;

use avocet_mqtt::{AckKind, ApplicationMessage, Frame, Packet, PacketId, Publish, QoS};

use crate::DropReason;

/// A session's way out. Packets are written in place, in order: an action for each would cost an
/// allocation a message.
pub trait Outlet {
    /// Writes a packet for the client.
    fn send(&mut self, packet: &Packet<'_>);

    /// Writes a PUBLISH. `large` is the message it was made of, if its payload is to be counted
    /// rather than copied.
    fn send_publish(&mut self, publish: &Publish<'_>, large: Option<&Arc<ApplicationMessage>>);

    /// Writes a PUBLISH as it came from its publisher, but for the QoS and packet identifier that
    /// one of QoS 1 or 2 gets.
    fn send_frame(&mut self, frame: &Frame<'_>, with: Option<(QoS, PacketId)>);

    /// Writes an acknowledgement that says no more than success.
    fn send_ack(&mut self, kind: AckKind, packet_id: PacketId);

    /// Whether more messages may be written now. Answers are written regardless: a client gets one
    /// for each packet it sent, and no more is read from it while there is no room.
    fn has_room(&self) -> bool;

    /// A message that was meant for this client will not reach it.
    fn dropped(&mut self, topic: &str, reason: DropReason);
}
