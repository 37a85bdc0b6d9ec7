//! Those who subscribe and are handed what is retained.

use std::time::Duration;

use crate::bench::{
    bar::Bar,
    course::Done,
    crowd::{Crowd, Scenario},
    gathering::IDLE_WAIT,
    subscriber::Subscriber,
    wire::{self, Frame, Malformed, kind},
};

#[derive(Debug)]
pub(super) struct Receiver {
    subscriber: Subscriber,
    expected: u64,
    received: u64,
    first_at: u64,
    last_at: u64,
}

impl Receiver {
    pub(super) fn new(subscriber: Subscriber, expected: u64) -> Self {
        Self { subscriber, expected, received: 0, first_at: 0, last_at: 0 }
    }

    /// Subscribes and waits for everything, or until nothing comes any more.
    pub(super) fn run(
        mut self,
        crowd: &mut Crowd,
        patience: Duration,
        bar: &mut Bar,
    ) -> anyhow::Result<Done> {
        let start = crowd.tick();
        (self.first_at, self.last_at) = (start, start);
        self.subscriber.begin(crowd);
        while self.received < self.expected || !self.subscriber.is_over() {
            crowd.turn(IDLE_WAIT, &mut self)?;
            crowd.check()?;
            bar.show("receiving", self.received, self.expected);
            if Duration::from_nanos(crowd.tick().saturating_sub(self.last_at)) > patience {
                break;
            }
        }
        let since = |at: u64| Duration::from_nanos(at - start);
        let (first, last) = (since(self.first_at), since(self.last_at));
        let (count, refused) = (self.received, self.subscriber.refused);
        let lost = self.expected.saturating_sub(count);
        Ok(Done { refused, lost, first, last, ..Done::all(count) })
    }
}

impl Scenario for Receiver {
    #[inline]
    fn handle_frame(
        &mut self,
        member: usize,
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
        now: u64,
    ) -> Result<(), Malformed> {
        match frame.kind() {
            kind::PUBLISH => {
                if frame.qos() > 0 {
                    // The topic is the same in every version; what follows it is not looked at.
                    let packet_id = wire::published(frame, false)?.packet_id.ok_or(Malformed)?;
                    let kind = if frame.qos() == 1 { kind::PUBACK } else { kind::PUBREC };
                    out.extend_from_slice(&wire::acknowledgement(kind, packet_id));
                }
                if self.received == 0 {
                    self.first_at = now;
                }
                self.received += 1;
                self.last_at = now;
            }
            kind::PUBREL => {
                let (packet_id, _) = wire::acknowledged(frame)?;
                out.extend_from_slice(&wire::acknowledgement(kind::PUBCOMP, packet_id));
            }
            _ => self.subscriber.handle_frame(member, frame, out, now)?,
        }
        Ok(())
    }
}
