//! Publishers that send numbered messages, each to a topic of its own, in a closed loop that may
//! have a rate.

use std::{collections::VecDeque, fmt, time::Duration};

use anyhow::bail;
use avocet_mqtt::{PacketId, ProtocolVersion, Publish, QoS, encode_publish};

use super::{
    bar::Bar,
    crowd::{Crowd, PINGREQ, Scenario},
    gathering::IDLE_WAIT,
    tempo::Tempo,
    wire::{self, Frame, Malformed, kind},
};

/// What waits to be written to one socket before more is made.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// What is sent.
pub(super) struct Feed<'a> {
    pub(super) count: u64,
    pub(super) topic: &'a dyn Fn(u64) -> String,
    pub(super) payload: &'a [u8],
    pub(super) retain: bool,
    pub(super) qos: QoS,
    /// Messages of a publisher that the broker has not answered for. It answers for QoS 0 with
    /// PINGRESP: half a window is followed by PINGREQ.
    pub(super) window: u16,
    /// Messages of all publishers together.
    pub(super) tempo: Tempo,
}

impl fmt::Debug for Feed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("count", &self.count).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Lane {
    outstanding: u64,
    /// Messages before each PINGREQ that is not answered.
    batches: VecDeque<u64>,
    last_id: u16,
}

#[derive(Debug)]
pub(super) struct Feeder<'a> {
    feed: Feed<'a>,
    version: ProtocolVersion,
    /// The publishers are members `first..` of the crowd.
    first: usize,
    lanes: Vec<Lane>,
    next: u64,
    /// How many may have been sent by now.
    due: u64,
    /// Messages that the broker has answered for.
    done: u64,
    pub(super) refused: u64,
    /// Messages that came to members who are not publishers.
    pub(super) received: u64,
    heard_at: u64,
}

impl<'a> Feeder<'a> {
    /// `publishers` members from `first` on.
    pub(super) fn new(
        feed: Feed<'a>,
        first: usize,
        publishers: usize,
        version: ProtocolVersion,
    ) -> Self {
        Self {
            due: feed.tempo.due(0),
            feed,
            version,
            first,
            lanes: (0..publishers).map(|_| Lane::default()).collect(),
            next: 0,
            done: 0,
            refused: 0,
            received: 0,
            heard_at: 0,
        }
    }

    /// Sends everything; waits until the broker has answered for it, and until `expected` messages
    /// were received or nothing comes any more.
    pub(super) fn run(
        &mut self,
        crowd: &mut Crowd,
        name: &str,
        expected: u64,
        patience: Duration,
        bar: &mut Bar,
    ) -> anyhow::Result<()> {
        let allowed = crowd.receive_maximum();
        if self.feed.qos != QoS::AtMostOnce && self.feed.window > allowed {
            bail!("the broker takes no window above {allowed} (its Receive Maximum)");
        }
        let start = crowd.tick();
        self.heard_at = start;
        while self.done < self.feed.count || self.received < expected {
            let elapsed = crowd.tick() - start;
            self.due = self.feed.tempo.due(elapsed);
            // With a rate everyone has a turn to be the first.
            let (first, lanes) = (self.next as usize, self.lanes.len());
            for lane in 0..lanes {
                self.fill(crowd, (first + lane) % lanes);
            }
            let wait = self.feed.tempo.wait(self.next, elapsed).filter(|_| self.next >= self.due);
            crowd.turn(wait.unwrap_or(IDLE_WAIT), self)?;
            crowd.check()?;
            bar.show(name, self.done, self.feed.count);
            if self.done == self.next && self.next < self.feed.count {
                // There was nothing to be heard until now.
                self.heard_at = crowd.tick();
            }
            let silence = Duration::from_nanos(crowd.tick().saturating_sub(self.heard_at));
            if silence > patience {
                if self.done == self.feed.count {
                    return Ok(());
                }
                bail!("the broker has answered for {} of {}", self.done, self.feed.count);
            }
        }
        Ok(())
    }

    fn fill(&mut self, crowd: &mut Crowd, lane: usize) {
        let member = self.first + lane;
        if self.room(lane) == 0 || crowd.waiting_bytes(member) > WAITING_BYTES_MAX {
            return;
        }
        if let Some(out) = crowd.out(member) {
            while self.room(lane) > 0 {
                self.send(lane, out);
            }
        }
    }

    /// How many messages may be sent next.
    fn room(&self, lane: usize) -> u64 {
        let left = self.feed.count.min(self.due).saturating_sub(self.next);
        let window = u64::from(self.feed.window);
        let lane = &self.lanes[lane];
        left.min(match self.feed.qos {
            QoS::AtMostOnce if lane.batches.len() < 2 => window.div_ceil(2),
            QoS::AtMostOnce => 0,
            QoS::AtLeastOnce | QoS::ExactlyOnce => window.saturating_sub(lane.outstanding),
        })
    }

    fn send(&mut self, lane: usize, out: &mut Vec<u8>) {
        let (count, feed) = (self.room(lane), &self.feed);
        let lane = &mut self.lanes[lane];
        for number in self.next..self.next + count {
            let topic = (feed.topic)(number);
            let mut publish = Publish::new(&topic, feed.payload);
            publish.retain = feed.retain;
            publish.qos = feed.qos;
            if feed.qos != QoS::AtMostOnce {
                lane.last_id = lane.last_id.checked_add(1).unwrap_or(1);
                publish.packet_id = PacketId::new(lane.last_id);
            }
            encode_publish(self.version, &publish, out);
        }
        if feed.qos == QoS::AtMostOnce {
            out.extend_from_slice(&PINGREQ);
            lane.batches.push_back(count);
        }
        lane.outstanding += count;
        self.next += count;
    }

    fn settle(&mut self, lane: usize, count: u64, now: u64) {
        self.lanes[lane].outstanding = self.lanes[lane].outstanding.saturating_sub(count);
        self.done += count;
        self.heard_at = now;
    }
}

impl Scenario for Feeder<'_> {
    fn handle_frame(
        &mut self,
        member: usize,
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
        now: u64,
    ) -> Result<(), Malformed> {
        if frame.kind() == kind::PUBLISH {
            self.received += 1;
            self.heard_at = now;
            return Ok(());
        }
        let lane = member.checked_sub(self.first).filter(|lane| *lane < self.lanes.len());
        let Some(lane) = lane else { return Ok(()) };
        let last = match self.feed.qos {
            QoS::AtMostOnce if frame.kind() == kind::PINGRESP => {
                let batch = self.lanes[lane].batches.pop_front().unwrap_or(0);
                self.settle(lane, batch, now);
                return Ok(());
            }
            QoS::AtMostOnce => return Ok(()),
            QoS::AtLeastOnce => kind::PUBACK,
            QoS::ExactlyOnce => kind::PUBCOMP,
        };
        if !matches!(frame.kind(), kind::PUBACK | kind::PUBREC | kind::PUBCOMP) {
            return Ok(());
        }
        let (packet_id, reason) = wire::acknowledged(frame)?;
        let is_refused = reason >= 0x80;
        self.refused += u64::from(is_refused);
        if frame.kind() == last || is_refused {
            self.settle(lane, 1, now);
        } else if frame.kind() == kind::PUBREC {
            out.extend_from_slice(&wire::acknowledgement(kind::PUBREL, packet_id));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
