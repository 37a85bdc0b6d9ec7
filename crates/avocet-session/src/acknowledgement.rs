//! The client's answers to what it was sent.

use std::time::Instant;

use avocet_mqtt::{Ack, Packet, QoS, ReasonCode};

use crate::{
    Outlet, Session,
    inbound::{Violation, violation},
    inflight::Mismatch,
};

impl Session {
    pub(crate) fn handle_puback<O: Outlet>(
        &mut self,
        ack: &Ack,
        now: Instant,
        out: &mut O,
    ) -> Result<(), Violation> {
        // [MQTT5-4.8.2-6]: an error ends the message too.
        match self.inflight.complete(ack.packet_id, QoS::AtLeastOnce) {
            Ok(_) => self.pump(now, out),
            Err(Mismatch::Unknown) => {}
            Err(Mismatch::WrongStage) => return violation("PUBACK for a QoS 2 message"),
        }
        Ok(())
    }

    pub(crate) fn handle_pubrec<O: Outlet>(
        &mut self,
        ack: &Ack,
        now: Instant,
        out: &mut O,
    ) -> Result<(), Violation> {
        let id = ack.packet_id;
        if ack.reason.is_error() {
            // [MQTT5-4.3.3-4] ends with the error; so does the use of the identifier.
            match self.inflight.complete(id, QoS::ExactlyOnce) {
                Ok(_) => self.pump(now, out),
                Err(Mismatch::Unknown | Mismatch::WrongStage) => {}
            }
            return Ok(());
        }
        let reason = match self.inflight.release(id) {
            Ok(_) => ReasonCode::Success,
            Err(Mismatch::Unknown) => ReasonCode::PacketIdentifierNotFound,
            Err(Mismatch::WrongStage) => return violation("PUBREC for a QoS 1 message"),
        };
        out.send(&Packet::Pubrel(Ack::new(id, reason))); // [MQTT3-4.3.3-1] [MQTT5-4.3.3-4]
        Ok(())
    }

    pub(crate) fn handle_pubcomp<O: Outlet>(
        &mut self,
        ack: &Ack,
        now: Instant,
        out: &mut O,
    ) -> Result<(), Violation> {
        match self.inflight.finish(ack.packet_id) {
            Ok(()) => self.pump(now, out),
            Err(Mismatch::Unknown) => {}
            Err(Mismatch::WrongStage) => return violation("PUBCOMP before PUBREC"),
        }
        Ok(())
    }
}
