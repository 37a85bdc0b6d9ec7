//! A publisher and its subscriber: what each has to send, again after a connection if need be, and
//! what of it was acknowledged. It knows no socket.

use std::collections::{HashMap, HashSet};

use avocet_mqtt::{ProtocolVersion, QoS};

use super::checker::{Checker, Findings, Publication};
use crate::bench::{
    load::Load,
    publisher::{Publisher, stamp},
    wire::{self, Frame, Malformed, kind},
};

/// The bit of a PUBLISH that is sent again.
const DUP: u8 = 0b1000;

#[derive(Debug)]
pub(super) struct Pair {
    index: usize,
    qos: QoS,
    has_properties: bool,
    publisher: Publisher,
    /// QoS 2: packet identifiers of what the broker has received.
    received: HashSet<u16>,
    /// Messages that were published more than once: how often.
    copies: HashMap<u64, u32>,
    refused: HashSet<u64>,
    checker: Checker,
    pub(super) delivered: u64,
}

impl Pair {
    pub(super) fn new(load: &Load, index: u32) -> Self {
        Self {
            index: index as usize,
            qos: load.qos,
            has_properties: load.version == ProtocolVersion::V5,
            publisher: Publisher::new(load, index),
            received: HashSet::new(),
            copies: HashMap::new(),
            refused: HashSet::new(),
            checker: Checker::new(load.qos),
            delivered: 0,
        }
    }

    /// The broker takes no more at once.
    pub(super) fn limit(&mut self, receive_maximum: u16) {
        self.publisher.window.limit(receive_maximum);
    }

    /// Appends what the window allows; answers how many messages.
    pub(super) fn fill(&mut self, out: &mut Vec<u8>) -> u64 {
        let before = self.publisher.window.sent();
        self.publisher.fill(0, out);
        self.publisher.window.sent() - before
    }

    /// Whether the publisher can go on only when the subscriber does.
    pub(super) fn is_waiting_for_subscriber(&self) -> bool {
        let window = &self.publisher.window;
        !window.is_open() && window.unacknowledged().next().is_none()
    }

    /// Whether nothing is under way.
    pub(super) fn is_settled(&self) -> bool {
        self.publisher.window.is_idle() && self.checker.is_settled()
    }

    /// The publisher has come back: what is not acknowledged goes again, in its order.
    pub(super) fn resume_publisher(&mut self, is_session_present: bool, out: &mut Vec<u8>) {
        if !is_session_present {
            self.received.clear();
        }
        for (sequence, packet_id) in self.publisher.window.unacknowledged() {
            if self.received.contains(&packet_id) {
                out.extend(wire::acknowledgement(kind::PUBREL, packet_id.to_be_bytes()));
                continue;
            }
            let start = self.publisher.append(sequence, packet_id, out);
            if is_session_present {
                out[start] |= DUP;
            }
            // At QoS 2 a broker that kept the session knows the message again.
            if self.qos == QoS::AtLeastOnce || !is_session_present {
                *self.copies.entry(sequence).or_insert(1) += 1;
            }
        }
    }

    /// A packet at the publisher; answers go to `out`.
    pub(super) fn handle_at_publisher(
        &mut self,
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let kind = frame.kind();
        if !matches!(kind, kind::PUBACK | kind::PUBREC | kind::PUBCOMP) {
            return Ok(());
        }
        let (id, reason) = wire::acknowledged(frame)?;
        let packet_id = u16::from_be_bytes(id);
        let is_refused = reason >= 0x80;
        let is_of_qos = (kind == kind::PUBACK) == (self.qos == QoS::AtLeastOnce);
        if !is_of_qos || !self.publisher.window.is_awaited(packet_id) {
            self.checker.findings.faults.unexpected += 1;
        } else if is_refused && kind != kind::PUBCOMP {
            self.refuse(packet_id);
        } else if kind == kind::PUBREC {
            self.received.insert(packet_id);
            out.extend(wire::acknowledgement(kind::PUBREL, id));
        } else {
            let is_due = kind == kind::PUBACK || self.received.remove(&packet_id);
            let is_taken =
                is_due && self.publisher.window.handle_acknowledgement(packet_id).is_ok();
            self.checker.findings.faults.unexpected += u64::from(!is_taken);
        }
        Ok(())
    }

    /// The broker does not take the message, so nobody is to have it.
    fn refuse(&mut self, packet_id: u16) {
        self.checker.findings.faults.refused += 1;
        let window = &mut self.publisher.window;
        let sequence = window.unacknowledged().find(|(_, id)| *id == packet_id);
        if let Some((sequence, _)) = sequence {
            self.refused.insert(sequence);
            // Both are awaited, or have happened.
            window.handle_acknowledgement(packet_id).ok();
            window.handle_delivery(sequence).ok();
        }
    }

    /// The subscriber has come back.
    pub(super) fn resume_subscriber(&mut self, is_session_present: bool) {
        self.checker.handle_connection(is_session_present);
    }

    /// A packet at the subscriber; answers go to `out`. Whether it was the first delivery of a
    /// message.
    pub(super) fn handle_at_subscriber(
        &mut self,
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, Malformed> {
        if frame.kind() == kind::PUBREL {
            let (id, _) = wire::acknowledged(frame)?;
            self.checker.handle_pubrel(u16::from_be_bytes(id));
            out.extend(wire::acknowledgement(kind::PUBCOMP, id));
        }
        if frame.kind() != kind::PUBLISH {
            return Ok(false);
        }
        let published = wire::published(frame, self.has_properties)?;
        let stamp = stamp(published.payload).filter(|(publisher, _)| *publisher == self.index);
        let is_of_qos = frame.qos() == self.qos.bits();
        let (Some(id), Some((_, sequence)), true) = (published.packet_id, stamp, is_of_qos) else {
            self.checker.findings.faults.unexpected += 1;
            return Ok(false);
        };
        if sequence >= self.publisher.window.sent() {
            self.checker.findings.faults.unexpected += 1;
            return Ok(false);
        }
        let answer = if self.qos == QoS::AtLeastOnce { kind::PUBACK } else { kind::PUBREC };
        out.extend(wire::acknowledgement(answer, id));
        let is_first = self.checker.handle_publish(Publication {
            sequence,
            packet_id: u16::from_be_bytes(id),
            is_dup: frame.first & DUP != 0,
            copies: self.copies.get(&sequence).copied().unwrap_or(1),
        });
        if is_first {
            self.delivered += 1;
            // One that was refused and comes all the same is not awaited.
            let is_awaited = self.publisher.window.handle_delivery(sequence).is_ok();
            self.checker.findings.faults.unexpected += u64::from(!is_awaited);
        }
        Ok(is_first)
    }

    pub(super) fn note_session(&mut self, is_present: bool, is_expected: bool) {
        let faults = &mut self.checker.findings.faults;
        faults.sessions_missing += u64::from(is_expected && !is_present);
        faults.sessions_unexpected += u64::from(is_present && !is_expected);
    }

    /// What was found, nothing more being to come.
    pub(super) fn findings(&self) -> Findings {
        let window = &self.publisher.window;
        let unacknowledged: HashSet<u64> = window
            .unacknowledged()
            .filter(|(_, packet_id)| !self.received.contains(packet_id))
            .map(|(sequence, _)| sequence)
            .collect();
        let (missing, forgotten) = self.checker.missing(window.sent());
        let lost = missing
            .filter(|sequence| !unacknowledged.contains(sequence))
            .filter(|sequence| !self.refused.contains(sequence));
        let mut findings = self.checker.findings;
        findings.faults.lost = lost.count() as u64 + forgotten;
        findings.faults.unacknowledged = window.unacknowledged().count() as u64;
        findings
    }
}

#[cfg(test)]
mod tests;
