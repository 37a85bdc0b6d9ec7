//! The client's answers to what it was sent, and to our answers.

use std::time::Instant;

use avocet_mqtt::{Ack, AckKind, Packet, PacketId, QoS, ReasonCode};

use crate::{
    Outlet, Session,
    inbound::{Violation, violation},
    inflight::Mismatch,
};

impl Session {
    /// Acknowledgements that say success, in a row.
    #[inline]
    pub(crate) fn handle_acks<O: Outlet>(
        &mut self,
        kind: AckKind,
        ids: impl Iterator<Item = PacketId>,
        now: Instant,
        out: &mut O,
    ) -> Result<(), Violation> {
        match kind {
            AckKind::Puback => self.handle_pubacks(ids, now, out),
            AckKind::Pubrec => self.handle_pubrecs(ids, out),
            AckKind::Pubrel => {
                self.handle_pubrels(ids, out);
                Ok(())
            }
            AckKind::Pubcomp => self.handle_pubcomps(ids, now, out),
        }
    }

    /// [MQTT5-4.8.2-6]: an error ends the message too.
    #[inline]
    pub(crate) fn handle_pubacks<O: Outlet>(
        &mut self,
        ids: impl Iterator<Item = PacketId>,
        now: Instant,
        out: &mut O,
    ) -> Result<(), Violation> {
        let inflight = &mut self.inflight;
        let mut ids = ids.peekable();
        // [MQTT5-4.4.0-2]
        inflight.complete_oldest(&mut ids, QoS::AtLeastOnce);
        for id in ids {
            match inflight.complete(id, QoS::AtLeastOnce) {
                Ok(()) => {}
                Err(Mismatch::Unknown) => out.missed(AckKind::Puback),
                Err(Mismatch::WrongStage) => return violation("PUBACK for a QoS 2 message"),
            }
        }
        self.inflight.charge(&self.limits);
        self.pump(now, out);
        Ok(())
    }

    /// PUBREC with an error ends the exchange ([MQTT5-4.3.3-4]); so does the use of the identifier.
    pub(crate) fn handle_pubrec_error<O: Outlet>(
        &mut self,
        id: PacketId,
        now: Instant,
        out: &mut O,
    ) {
        // [MQTT5-4.4.0-2]
        match self.inflight.complete(id, QoS::ExactlyOnce) {
            Ok(()) => {
                self.inflight.charge(&self.limits);
                self.pump(now, out);
            }
            Err(Mismatch::Unknown) => out.missed(AckKind::Pubrec),
            Err(Mismatch::WrongStage) => {}
        }
    }

    pub(crate) fn handle_pubrecs<O: Outlet>(
        &mut self,
        mut ids: impl Iterator<Item = PacketId>,
        out: &mut O,
    ) -> Result<(), Violation> {
        loop {
            let mut odd = None;
            let inflight = &mut self.inflight;
            let released = ids.by_ref().map_while(|id| match inflight.release(id) {
                Ok(()) => Some(id),
                Err(mismatch) => {
                    odd = Some((id, mismatch));
                    None
                }
            });
            out.send_acks(AckKind::Pubrel, released); // [MQTT3-4.3.3-1] [MQTT5-4.3.3-4]
            inflight.charge(&self.limits);
            match odd {
                None => return Ok(()),
                Some((id, Mismatch::Unknown)) => {
                    out.missed(AckKind::Pubrec);
                    self.send_fitting(Packet::Pubrel(self.not_found(id)), out);
                }
                Some((_, Mismatch::WrongStage)) => {
                    return violation("PUBREC for a QoS 1 message");
                }
            }
        }
    }

    fn not_found(&self, id: PacketId) -> Ack {
        let reason = ReasonCode::PacketIdentifierNotFound;
        let mut ack = Ack::new(id, reason);
        ack.reason_string = self.explain(&[reason]).map(Into::into);
        ack
    }

    /// [MQTT3-4.3.3-2] [MQTT5-4.3.3-11]
    pub(crate) fn handle_pubrels<O: Outlet>(
        &mut self,
        mut ids: impl Iterator<Item = PacketId>,
        out: &mut O,
    ) {
        loop {
            let mut unknown = None;
            let received = &mut self.received;
            let released = ids.by_ref().map_while(|id| {
                let known = received.release(id);
                unknown = (!known).then_some(id);
                known.then_some(id)
            });
            out.send_acks(AckKind::Pubcomp, released);
            let Some(id) = unknown else { return };
            out.missed(AckKind::Pubrel);
            self.send_fitting(Packet::Pubcomp(self.not_found(id)), out);
        }
    }

    pub(crate) fn handle_pubcomps<O: Outlet>(
        &mut self,
        ids: impl Iterator<Item = PacketId>,
        now: Instant,
        out: &mut O,
    ) -> Result<(), Violation> {
        let inflight = &mut self.inflight;
        let mut ids = ids.peekable();
        inflight.finish_oldest(&mut ids);
        for id in ids {
            match inflight.finish(id) {
                Ok(()) => {}
                Err(Mismatch::Unknown) => out.missed(AckKind::Pubcomp),
                Err(Mismatch::WrongStage) => return violation("PUBCOMP before PUBREC"),
            }
        }
        self.inflight.charge(&self.limits);
        self.pump(now, out);
        Ok(())
    }
}
