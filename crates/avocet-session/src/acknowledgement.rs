//! The client's answers to what it was sent.

use std::time::Instant;

use avocet_mqtt::{Ack, AckKind, Packet, PacketId, QoS, ReasonCode};

use crate::{
    Outlet, Session,
    inbound::{Violation, violation},
    inflight::Mismatch,
};

impl Session {
    pub(crate) fn handle_puback<O: Outlet>(
        &mut self,
        id: PacketId,
        now: Instant,
        out: &mut O,
    ) -> Result<(), Violation> {
        // [MQTT5-4.8.2-6]: an error ends the message too.
        match self.inflight.complete(id, QoS::AtLeastOnce) {
            Ok(_) => self.pump(now, out),
            Err(Mismatch::Unknown) => {}
            Err(Mismatch::WrongStage) => return violation("PUBACK for a QoS 2 message"),
        }
        Ok(())
    }

    pub(crate) fn handle_pubrec<O: Outlet>(
        &mut self,
        id: PacketId,
        reason: ReasonCode,
        now: Instant,
        out: &mut O,
    ) -> Result<(), Violation> {
        if reason.is_error() {
            // [MQTT5-4.3.3-4] ends with the error; so does the use of the identifier.
            match self.inflight.complete(id, QoS::ExactlyOnce) {
                Ok(_) => self.pump(now, out),
                Err(Mismatch::Unknown | Mismatch::WrongStage) => {}
            }
            return Ok(());
        }
        // [MQTT3-4.3.3-1] [MQTT5-4.3.3-4]
        match self.inflight.release(id) {
            Ok(_) => out.send_ack(AckKind::Pubrel, id),
            Err(Mismatch::Unknown) => {
                out.send(&Packet::Pubrel(Ack::new(id, ReasonCode::PacketIdentifierNotFound)));
            }
            Err(Mismatch::WrongStage) => return violation("PUBREC for a QoS 1 message"),
        }
        Ok(())
    }

    pub(crate) fn handle_pubcomp<O: Outlet>(
        &mut self,
        id: PacketId,
        now: Instant,
        out: &mut O,
    ) -> Result<(), Violation> {
        match self.inflight.finish(id) {
            Ok(()) => self.pump(now, out),
            Err(Mismatch::Unknown) => {}
            Err(Mismatch::WrongStage) => return violation("PUBCOMP before PUBREC"),
        }
        Ok(())
    }
}
