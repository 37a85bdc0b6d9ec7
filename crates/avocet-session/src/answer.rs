//! Our answers to what the client published, in the order of its messages.

use std::collections::VecDeque;

use avocet_mqtt::{Ack, AckKind, Packet, PacketId, ProtocolVersion, QoS, ReasonCode};

use crate::{CloseReason, Outlet, Session};

/// An answer of our own, after so many of the broker's. Without a reason it is to come.
type Early = (u64, PacketId, QoS, Option<ReasonCode>);

/// What the connection still owes its client. The broker answers in order; what the session can
/// answer alone waits until the broker is done with all that came before.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// QoS 1 messages that came and are not answered.
    pub(crate) qos1: usize,
    /// What came beside them and is about to be stored.
    pub(crate) to_store: u64,
    /// Messages handed to the broker, and those it has answered.
    handed: u64,
    answered: u64,
    /// What waits for those.
    #[expect(clippy::box_collection, reason = "rare, and an idle session is to be small")]
    early: Option<Box<VecDeque<Early>>>,
}

impl Answers {
    /// So many messages go to the broker.
    #[inline]
    pub(crate) fn expect(&mut self, count: usize) {
        self.handed += count as u64;
    }

    /// Answers that wait for the broker's.
    pub(crate) fn waiting(&self) -> usize {
        self.early.as_ref().map_or(0, |early| early.len())
    }

    /// Messages that the broker has not answered.
    #[inline]
    pub(crate) fn unanswered(&self) -> u64 {
        self.handed - self.answered
    }

    /// The broker has answered. False if no message of this connection can be meant.
    fn note(&mut self) -> bool {
        let expected = self.answered < self.handed;
        self.answered += u64::from(expected);
        expected
    }

    fn next_early(&mut self) -> Option<(PacketId, QoS, ReasonCode)> {
        let early = self.early.as_mut()?;
        let is_due = |early: &mut Early| early.0 <= self.answered && early.3.is_some();
        let (_, id, qos, reason) = early.pop_front_if(is_due)?;
        if early.is_empty() {
            self.early = None;
        }
        Some((id, qos, reason?))
    }
}

impl Session {
    /// The broker has routed messages of QoS 1 or 2, or refuses them: the client gets its answers.
    /// Called in the order of the messages ([MQTT3-4.6.0-2], [MQTT3-4.6.0-3], [MQTT5-4.6.0-2],
    /// [MQTT5-4.6.0-3]). What it returns ends the connection.
    pub fn handle_published<O: Outlet>(
        &mut self,
        ids: impl IntoIterator<Item = PacketId>,
        qos: QoS,
        reason: ReasonCode,
        out: &mut O,
    ) -> Option<CloseReason> {
        let mut ids = ids.into_iter();
        if reason == ReasonCode::Success {
            self.answer_success(&mut ids, qos, out);
        }
        let mut close = None;
        for id in ids {
            let known = self.settle(id, qos, reason);
            let Some(connection) = &mut self.connection else { continue };
            // An answer to a message of an earlier connection is of no use on this one.
            if !connection.answers.note() {
                continue;
            }
            let has_early = connection.answers.early.is_some();
            if reason == ReasonCode::QuotaExceeded && connection.version < ProtocolVersion::V5 {
                // [MQTT3-4.8.0-2]
                // 3.1.1 cannot say no; without an acknowledgement the client keeps the message.
                close = close.or(self.close(reason, "the message cannot be taken now", out));
                continue;
            }
            if known {
                self.answer(id, qos, reason, out);
            }
            if has_early {
                self.answer_early(out);
            }
        }
        close
    }

    /// What nearly all answers are, written in a row. Leaves what it cannot say.
    fn answer_success<O: Outlet>(
        &mut self,
        ids: &mut impl Iterator<Item = PacketId>,
        qos: QoS,
        out: &mut O,
    ) {
        let Self { connection, received, .. } = self;
        let Some(connection) = connection.as_mut().filter(|it| it.takes_all_acks()) else { return };
        let answers = &mut connection.answers;
        if answers.early.is_some() {
            return;
        }
        let owed = usize::try_from(answers.handed - answers.answered).unwrap_or(usize::MAX);
        let mut count = 0;
        let ids = ids.take(owed).inspect(|_| count += 1);
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => out.send_acks(AckKind::Puback, ids),
            QoS::ExactlyOnce => {
                out.send_acks(AckKind::Pubrec, ids.filter(|id| received.routed(*id)))
            }
        }
        answers.answered += count as u64;
        if qos == QoS::AtLeastOnce {
            answers.qos1 = answers.qos1.saturating_sub(count);
        }
    }

    /// A message that came on an earlier connection has come again before that is answered.
    pub(crate) fn owe(&mut self, id: PacketId, qos: QoS) {
        if let Some(connection) = &mut self.connection {
            let answers = &mut connection.answers;
            let early = answers.early.get_or_insert_default();
            early.push_back((answers.handed, id, qos, None));
        }
    }

    /// What has become of messages that came on an earlier connection of this session: those that
    /// the client has sent again meanwhile are answered.
    pub fn handle_published_late<O: Outlet>(
        &mut self,
        ids: impl IntoIterator<Item = PacketId>,
        qos: QoS,
        reason: ReasonCode,
        out: &mut O,
    ) {
        for id in ids.into_iter().filter(|_| qos == QoS::ExactlyOnce) {
            self.settle(id, qos, reason);
            let answers = self.connection.as_mut().map(|connection| &mut connection.answers);
            let owed = answers.and_then(|answers| answers.early.as_mut()).and_then(|early| {
                early.iter_mut().find(|(_, owed, _, reason)| *owed == id && reason.is_none())
            });
            if let Some(owed) = owed {
                owed.3 = Some(reason);
            }
        }
        self.answer_early(out);
    }

    fn answer_early<O: Outlet>(&mut self, out: &mut O) {
        while let Some((id, qos, reason)) =
            self.connection.as_mut().and_then(|connection| connection.answers.next_early())
        {
            self.answer(id, qos, reason, out);
        }
    }

    /// Refuses a message that the broker has not seen.
    pub(crate) fn refuse<O: Outlet>(
        &mut self,
        id: PacketId,
        qos: QoS,
        reason: ReasonCode,
        out: &mut O,
    ) {
        self.settle(id, qos, reason);
        self.answer_in_turn(id, qos, reason, out);
    }

    /// Answers at once, or after all that the broker has still to answer.
    pub(crate) fn answer_in_turn<O: Outlet>(
        &mut self,
        id: PacketId,
        qos: QoS,
        reason: ReasonCode,
        out: &mut O,
    ) {
        let Some(connection) = &mut self.connection else { return };
        let answers = &mut connection.answers;
        if answers.answered < answers.handed || answers.early.is_some() {
            let early = answers.early.get_or_insert_default();
            early.push_back((answers.handed, id, qos, Some(reason)));
        } else {
            self.answer(id, qos, reason, out);
        }
    }

    /// Notes what became of a message. False if its exchange is over already.
    #[inline]
    pub(crate) fn settle(&mut self, id: PacketId, qos: QoS, reason: ReasonCode) -> bool {
        match qos {
            // [MQTT5-4.3.3-9]
            QoS::ExactlyOnce if reason.is_error() => self.received.release(id),
            // By its identifier alone, expired or not: [MQTT5-4.3.3-13]
            QoS::ExactlyOnce => self.received.routed(id),
            QoS::AtLeastOnce | QoS::AtMostOnce => true,
        }
    }

    #[inline]
    pub(crate) fn answer<O: Outlet>(
        &mut self,
        id: PacketId,
        qos: QoS,
        reason: ReasonCode,
        out: &mut O,
    ) {
        let Some(connection) = &mut self.connection else { return };
        let kind = match qos {
            QoS::AtMostOnce => return,
            // [MQTT3-4.3.2-2] [MQTT5-4.3.2-4]
            // [MQTT3-3.3.4-1] [MQTT5-3.3.4-1]
            QoS::AtLeastOnce => {
                connection.answers.qos1 = connection.answers.qos1.saturating_sub(1);
                AckKind::Puback
            }
            // [MQTT5-4.3.3-8]
            QoS::ExactlyOnce => AckKind::Pubrec,
        };
        // [MQTT3-2.3.1-6] [MQTT5-2.2.1-5]
        let mut ack = Ack::new(id, reason);
        ack.reason_string = self.explain(&[reason]).map(Into::into);
        let packet = match kind {
            AckKind::Puback => Packet::Puback(ack),
            AckKind::Pubrec => Packet::Pubrec(ack),
            AckKind::Pubrel => Packet::Pubrel(ack),
            AckKind::Pubcomp => Packet::Pubcomp(ack),
        };
        self.send_fitting(packet, out);
    }
}
