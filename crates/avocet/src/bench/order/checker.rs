//! What one subscriber is sent, held against what the standard allows: sections 4.3 (how often),
//! 4.4 (again, after a connection) and 4.6 (in which order).

use std::collections::HashMap;

use avocet_mqtt::QoS;

use crate::bench::lane::{Arrival, Lane};

#[derive(Debug)]
pub(super) struct Checker {
    qos: QoS,
    lane: Lane,
    /// The latest over this connection.
    latest: Option<u64>,
    /// QoS 2: what came and was not yet released, by packet identifier.
    held: HashMap<u16, u64>,
    /// QoS 1: how often a message that was published again has come again without DUP.
    again: HashMap<u64, u32>,
    pub(super) findings: Findings,
}

/// A PUBLISH at the subscriber.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publication {
    pub(super) sequence: u64,
    pub(super) packet_id: u16,
    pub(super) is_dup: bool,
    /// How often the broker may have had it as a new message: at QoS 1 each time that the publisher
    /// sent it.
    pub(super) copies: u32,
}

/// How often what was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Allowed: with DUP, on a new connection.
    pub(super) redelivered: u64,
    /// Allowed: the publisher had sent it again.
    pub(super) published_again: u64,
    pub(super) faults: Faults,
}

/// What is not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Acknowledged to the publisher and never delivered.
    pub(super) lost: u64,
    /// Delivered again at QoS 2, or with DUP over the connection that had it already.
    pub(super) doubled: u64,
    pub(super) doubled_without_dup: u64,
    pub(super) out_of_order: u64,
    /// Session Present was not set where a session had to be, and the other way round.
    pub(super) sessions_missing: u64,
    pub(super) sessions_unexpected: u64,
    /// Published and, everything being connected, never acknowledged.
    pub(super) unacknowledged: u64,
    /// Acknowledgements that nobody waited for, messages of strangers.
    pub(super) unexpected: u64,
    pub(super) refused: u64,
}

impl Checker {
    pub(super) fn new(qos: QoS) -> Self {
        Self {
            qos,
            lane: Lane::default(),
            latest: None,
            held: HashMap::new(),
            again: HashMap::new(),
            findings: Findings::default(),
        }
    }

    /// The subscriber has come back.
    pub(super) fn handle_connection(&mut self, is_session_present: bool) {
        self.latest = None;
        if !is_session_present {
            self.held.clear();
        }
    }

    /// Whether this is the first delivery of the message.
    pub(super) fn handle_publish(&mut self, publication: Publication) -> bool {
        let sequence = publication.sequence;
        let is_step_back = self.latest.replace(sequence).is_some_and(|latest| sequence <= latest);
        if self.qos == QoS::ExactlyOnce {
            match self.held.insert(publication.packet_id, sequence) {
                None => {}
                Some(held) if held == sequence => {
                    self.judge_resent(publication, is_step_back);
                    return false;
                }
                // Another message under an identifier that is in use.
                Some(_) => self.findings.faults.unexpected += 1,
            }
        }
        match self.lane.handle_arrival(sequence) {
            Arrival::InOrder | Arrival::AfterGap => true,
            Arrival::Late => {
                self.findings.faults.out_of_order += 1;
                true
            }
            Arrival::Doubled => {
                self.judge_repeat(publication, is_step_back);
                false
            }
        }
    }

    /// QoS 2: the message is the subscriber's.
    pub(super) fn handle_pubrel(&mut self, packet_id: u16) {
        // After a new connection it may come again.
        self.held.remove(&packet_id);
    }

    /// Whether no message is under way.
    pub(super) fn is_settled(&self) -> bool {
        self.held.is_empty()
    }

    /// Which of `sent` messages did not come, as far as they are remembered; and how many are not.
    pub(super) fn missing(&self, sent: u64) -> (impl Iterator<Item = u64>, u64) {
        self.lane.missing(sent)
    }

    /// QoS 2: the PUBLISH of a message that was not yet released.
    fn judge_resent(&mut self, publication: Publication, is_step_back: bool) {
        let faults = &mut self.findings.faults;
        if !publication.is_dup {
            faults.doubled_without_dup += 1;
        } else if is_step_back {
            faults.out_of_order += 1;
        } else {
            self.findings.redelivered += 1;
        }
    }

    /// A message that had been delivered.
    fn judge_repeat(&mut self, publication: Publication, is_step_back: bool) {
        let faults = &mut self.findings.faults;
        if publication.copies > 1 {
            if !publication.is_dup {
                let again = self.again.entry(publication.sequence).or_default();
                *again += 1;
                // Each copy has one first time.
                if *again >= publication.copies {
                    faults.doubled_without_dup += 1;
                    return;
                }
            }
            self.findings.published_again += 1;
        } else if !publication.is_dup {
            faults.doubled_without_dup += 1;
        } else if self.qos == QoS::ExactlyOnce || is_step_back {
            faults.doubled += 1;
        } else {
            self.findings.redelivered += 1;
        }
    }
}

impl Findings {
    pub(super) fn add(&mut self, other: &Self) {
        self.redelivered += other.redelivered;
        self.published_again += other.published_again;
        self.faults.add(&other.faults);
    }
}

impl Faults {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.doubled_without_dup += other.doubled_without_dup;
        self.out_of_order += other.out_of_order;
        self.sessions_missing += other.sessions_missing;
        self.sessions_unexpected += other.sessions_unexpected;
        self.unacknowledged += other.unacknowledged;
        self.unexpected += other.unexpected;
        self.refused += other.refused;
    }
}

#[cfg(test)]
mod tests;
