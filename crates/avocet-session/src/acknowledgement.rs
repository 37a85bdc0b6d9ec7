//! The client's answers to what it was sent, and to our answers.

use std::time::Instant;

use avocet_mqtt::{Ack, AckKind, Packet, PacketId, QoS, ReasonCode};

use crate::{
    Change, Outlet, Session, StoredId, Then,
    inbound::{Violation, violation},
    inflight::{Mismatch, Release},
    stored::Row,
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
        let mut row = Row::default();
        let mut checked = Ok(());
        for id in ids {
            match inflight.complete(id, QoS::AtLeastOnce) {
                Ok(gone) => row.add(&mut self.stored, gone, out),
                Err(Mismatch::Unknown) => out.missed(AckKind::Puback),
                Err(Mismatch::WrongStage) => {
                    checked = violation("PUBACK for a QoS 2 message");
                    break;
                }
            }
        }
        row.finish(&self.stored, out);
        self.inflight.charge(&self.limits);
        if checked.is_ok() {
            self.pump(now, out);
        }
        checked
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
            Ok(gone) => {
                if let (None, Some(stored)) = (gone, &self.stored) {
                    out.record(stored.id, Change::Complete(id), None);
                }
                self.release_sent(gone, out);
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
                Ok(Release::Now) => Some(id),
                other => {
                    odd = Some((id, other));
                    None
                }
            });
            out.send_acks(AckKind::Pubrel, released); // [MQTT3-4.3.3-1] [MQTT5-4.3.3-4]
            inflight.charge(&self.limits);
            match odd {
                None => return Ok(()),
                Some((_, Ok(Release::Now | Release::Pending))) => {}
                Some((packet_id, Ok(Release::Stored(gone)))) => {
                    if let Some(stored) = &mut self.stored {
                        stored.acknowledge(packet_id, gone, out);
                    }
                }
                Some((id, Err(Mismatch::Unknown))) => {
                    out.missed(AckKind::Pubrec);
                    self.send_fitting(Packet::Pubrel(self.not_found(id)), out);
                }
                Some((_, Err(Mismatch::WrongStage))) => {
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
        if let Some(stored) = &self.stored {
            let id = stored.id;
            return self.forget_received(id, ids, out);
        }
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

    /// [`handle_pubrels`](Self::handle_pubrels) for a stored session: the identifier may be used
    /// again once the client has PUBCOMP, so the store has to know first.
    fn forget_received<O: Outlet>(
        &mut self,
        stored: StoredId,
        ids: impl Iterator<Item = PacketId>,
        out: &mut O,
    ) {
        for id in ids {
            match self.received.held().and_then(|received| received.forget(id)) {
                Some(true) => out.record(stored, Change::Forget(id), Some(Then::Complete(id))),
                Some(false) => {}
                None => {
                    out.missed(AckKind::Pubrel);
                    self.send_fitting(Packet::Pubcomp(self.not_found(id)), out);
                }
            }
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
        let stored = self.stored.as_ref().map(|stored| stored.id);
        if stored.is_none() {
            inflight.finish_oldest(&mut ids);
        }
        for id in ids {
            match inflight.finish(id) {
                Ok(()) => {
                    if let Some(stored) = stored {
                        out.record(stored, Change::Complete(id), None);
                    }
                }
                Err(Mismatch::Unknown) => out.missed(AckKind::Pubcomp),
                Err(Mismatch::WrongStage) => return violation("PUBCOMP before PUBREC"),
            }
        }
        self.inflight.charge(&self.limits);
        self.pump(now, out);
        Ok(())
    }
}
