//! The loop of the load generator. One thread reads whatever is there, returns credit, sends what
//! the windows allow, and writes once for each touched socket and turn.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use avocet_mqtt::{ProtocolVersion, QoS};

use super::{
    group::Group,
    lane::{Arrival, Faults, Lane},
    latency::Latencies,
    link::{Link, Poller, Ready},
    load::{Load, Rate},
    pace::{Pace, Punctuality, TIMER},
    publisher::{Publisher, stamp},
    setup,
    shape::Shape,
    window::Unexpected,
    wire::{self, Frame, kind},
};

/// How long to wait for anything before looking at the time again.
const WAIT: Duration = Duration::from_millis(50);

/// Publishers, subscribers and what is between them. Links of publishers come first.
pub(super) struct Engine<'a> {
    load: &'a Load,
    poller: Poller,
    links: Vec<Link>,
    publishers: Vec<Publisher>,
    lanes: Vec<Lane>,
    /// In place of the lanes, if the subscribers share.
    group: Option<Group>,
    /// If messages have their time.
    pace: Option<Pace>,
    /// Links with something to write, publishers that may send.
    queued: Vec<usize>,
    sending: Vec<usize>,
    ready: Vec<Ready>,
    scratch: Vec<u8>,
    epoch: Instant,
    /// Nanoseconds since the epoch, as of the last read.
    now: u64,
    heard_at: u64,
    delivered: u64,
    latencies: Latencies,
    faults: Faults,
    is_draining: bool,
}

impl<'a> Engine<'a> {
    /// Connects and subscribes everyone.
    pub(super) fn open(load: &'a Load) -> anyhow::Result<Self> {
        let (poller, epoch) = (Poller::new()?, Instant::now());
        let (links, receive_maximum) = setup::links(load)?;
        for (number, link) in links.iter().enumerate() {
            poller.add(link.socket(), number as u64)?;
        }
        let mut publishers: Vec<Publisher> =
            (0..load.publishers()).map(|index| Publisher::new(load, index)).collect();
        if matches!(load.rate, Rate::Open(_)) && load.qos != QoS::AtMostOnce {
            publishers.iter_mut().for_each(|publisher| publisher.window.limit(receive_maximum));
        }
        let lanes = load.publishers().max(load.subscribers());
        let group = match load.shape {
            Shape::Share { members } => Some(Group::new(load.publishers(), members)),
            Shape::Pair | Shape::Fanin | Shape::Fanout | Shape::Store { .. } => None,
        };
        let pace = Pace::open(load, epoch, &poller)?;
        Ok(Self {
            load,
            poller,
            links,
            publishers,
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            group,
            pace,
            queued: Vec::new(),
            sending: Vec::new(),
            ready: Vec::new(),
            scratch: Vec::new(),
            epoch,
            now: 0,
            heard_at: 0,
            delivered: 0,
            latencies: Latencies::new(),
            faults: Faults::default(),
            is_draining: false,
        })
    }

    /// Sends the first messages.
    pub(super) fn open_windows(&mut self) -> anyhow::Result<()> {
        self.tick();
        self.heard_at = self.now;
        if let Some(pace) = &mut self.pace {
            pace.start(self.now);
            pace.arm()?;
        }
        for publisher in 0..self.publishers.len() {
            self.queue_publisher(publisher);
        }
        self.send()
    }

    /// Waits for something to arrive and deals with all of it.
    pub(super) fn turn(&mut self) -> anyhow::Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.wait(Some(WAIT), &mut ready)?;
        self.tick();
        for event in &ready {
            if event.number == TIMER {
                continue;
            }
            let link = event.number as usize;
            if event.writable {
                self.handle_writable(link)?;
            }
            if event.readable {
                self.read(link).with_context(|| self.name(link))?;
            }
        }
        self.ready = ready;
        self.release()?;
        self.send()
    }

    /// Lets those publishers send whose time has come.
    fn release(&mut self) -> anyhow::Result<()> {
        if self.is_draining || self.pace.is_none() {
            return Ok(());
        }
        self.tick();
        if !self.is_anything_due_missing() {
            // There was nothing to be heard until now.
            self.heard_at = self.now;
        }
        while let Some(publisher) = self.pace.as_mut().and_then(|pace| pace.take(self.now)) {
            self.publishers[publisher].allowed += 1;
            self.queue_publisher(publisher);
        }
        Ok(self.pace.as_mut().map_or(Ok(()), Pace::arm)?)
    }

    /// Whether something that was due by the clock has not arrived.
    fn is_anything_due_missing(&self) -> bool {
        let receivers = self.load.shape.receivers(self.load.count);
        let due = self.pace.as_ref().map_or(0, Pace::taken) * u64::from(receivers);
        due > self.delivered
    }

    /// What waited for the socket goes first, so that there is room for what is due.
    fn handle_writable(&mut self, link: usize) -> anyhow::Result<()> {
        if self.pace.is_none() {
            self.queue_link(link);
            return Ok(());
        }
        self.flush(link)?;
        if link < self.publishers.len() {
            self.queue_publisher(link);
        }
        Ok(())
    }

    fn tick(&mut self) {
        self.now = self.epoch.elapsed().as_nanos() as u64;
    }

    /// Messages delivered to subscribers so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Messages sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.publishers.iter().map(|publisher| publisher.window.sent()).sum()
    }

    /// Whether nothing has arrived for so long that nothing will.
    pub(super) fn is_stalled(&self) -> bool {
        let silence = Duration::from_nanos(self.now.saturating_sub(self.heard_at));
        silence > self.load.patience
    }

    /// What was until now is not measured.
    pub(super) fn begin_measuring(&mut self) {
        self.latencies.clear();
        self.tick();
        if let Some(pace) = &mut self.pace {
            pace.measure_from(self.now);
        }
    }

    pub(super) fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// How well messages were sent when they were due; of an open loop only.
    pub(super) fn punctuality(&self) -> Option<Punctuality> {
        self.pace.as_ref().and_then(Pace::punctuality)
    }

    #[inline]
    fn open_loop(&mut self) -> Option<&mut Pace> {
        self.pace.as_mut().filter(|pace| pace.is_open_loop())
    }

    /// Sends no more and waits for what is outstanding.
    pub(super) fn drain(&mut self) -> anyhow::Result<()> {
        self.is_draining = true;
        if let Some(pace) = &self.pace {
            pace.disarm()?;
        }
        while !self.is_stalled() && !self.is_settled() {
            self.turn()?;
        }
        Ok(())
    }

    /// Whether all is delivered and acknowledged.
    fn is_settled(&self) -> bool {
        let is_open_loop = self.pace.as_ref().is_some_and(Pace::is_open_loop);
        !(is_open_loop && self.is_anything_due_missing())
            && self.publishers.iter().all(|publisher| publisher.window.is_idle())
    }

    /// What was wrong, everything that was sent being counted.
    pub(super) fn faults(&self) -> Faults {
        if self.group.is_some() {
            let undelivered = self.publishers.iter().map(|p| p.window.undelivered());
            return Faults { lost: undelivered.sum(), ..self.faults };
        }
        if self.load.is_stored() {
            let unanswered = self.publishers.iter().map(|p| p.window.unacknowledged().count());
            return Faults { lost: unanswered.sum::<usize>() as u64, ..self.faults };
        }
        let is_open_loop = self.pace.as_ref().is_some_and(Pace::is_open_loop);
        let lost = self.lanes.iter().enumerate().map(|(index, lane)| {
            let publisher = self.publishers.get(index).unwrap_or(&self.publishers[0]);
            // In an open loop what could not even be sent is lost.
            lane.lost(if is_open_loop { publisher.allowed } else { publisher.window.sent() })
        });
        Faults { lost: lost.sum(), ..self.faults }
    }

    fn name(&self, link: usize) -> String {
        match link.checked_sub(self.publishers.len()) {
            None => format!("publisher {link}"),
            Some(subscriber) => format!("subscriber {subscriber}"),
        }
    }

    fn read(&mut self, link: usize) -> anyhow::Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let read = self.links[link].read(&mut scratch);
        let total = read.context("the broker closed the connection")?;
        self.tick();
        let mut at = 0;
        let malformed = |_| anyhow!("the broker sent something malformed");
        while let Some(frame) = wire::frame(&scratch[at..total]).map_err(malformed)? {
            if link < self.publishers.len() {
                self.handle_at_publisher(link, &frame).map_err(malformed)?;
            } else if frame.kind() == kind::PUBLISH {
                self.handle_publish(link, &frame).map_err(malformed)?;
            } else if frame.kind() == kind::PUBREL {
                let (packet_id, _) = wire::acknowledged(&frame).map_err(malformed)?;
                self.acknowledge(link, kind::PUBCOMP, packet_id);
            }
            if frame.kind() == kind::DISCONNECT {
                bail!(setup::farewell(self.load.version, &scratch[at..total]));
            }
            at += frame.len;
        }
        self.links[link].keep(&scratch[at..total]);
        if self.links[link].has_answer() {
            self.queue_link(link);
        }
        self.scratch = scratch;
        self.heard_at = self.now;
        Ok(())
    }

    #[inline]
    fn handle_publish(&mut self, link: usize, frame: &Frame<'_>) -> Result<(), wire::Malformed> {
        let published = wire::published(frame, self.load.version == ProtocolVersion::V5)?;
        if let Some(packet_id) = published.packet_id {
            let kind = if frame.qos() == 1 { kind::PUBACK } else { kind::PUBREC };
            self.acknowledge(link, kind, packet_id);
        }
        let subscriber = link - self.publishers.len();
        let Some((publisher, sequence)) = stamp(published.payload) else {
            self.faults.unexpected += 1;
            return Ok(());
        };
        let Some(arrival) = self.handle_arrival(publisher, subscriber, sequence) else {
            self.faults.unexpected += 1;
            return Ok(());
        };
        if arrival == Arrival::Doubled {
            self.faults.doubled += 1;
            return Ok(());
        }
        match self.handle_delivery(publisher, sequence) {
            Ok(()) => {
                self.faults.out_of_order += u64::from(arrival == Arrival::Late);
                self.delivered += 1;
                self.queue_publisher(publisher);
            }
            Err(_) if self.is_doubled_in_group(publisher, sequence) => self.faults.doubled += 1,
            Err(_) => self.faults.unexpected += 1,
        }
        Ok(())
    }

    /// Where it stands among what this subscriber had of this publisher; `None` if it has nothing
    /// to get of that one.
    #[inline]
    fn handle_arrival(
        &mut self,
        publisher: usize,
        subscriber: usize,
        sequence: u64,
    ) -> Option<Arrival> {
        if let Some(group) = &mut self.group {
            let is_in_order = group.handle_arrival(publisher, subscriber, sequence)?;
            return Some(if is_in_order { Arrival::InOrder } else { Arrival::Late });
        }
        let lane = self.load.shape.lane(publisher, subscriber)?;
        Some(self.lanes.get_mut(lane)?.handle_arrival(sequence))
    }

    /// A receiver has it: in how long.
    #[inline]
    fn handle_delivery(&mut self, publisher: usize, sequence: u64) -> Result<(), Unexpected> {
        let window = &mut self.publishers[publisher].window;
        let since = match &self.pace {
            Some(pace) if pace.is_open_loop() => {
                let is_sent = sequence < window.sent();
                is_sent.then(|| pace.due_at(publisher, sequence)).ok_or(Unexpected)?
            }
            _ => window.handle_delivery(sequence)?,
        };
        if self.pace.as_ref().is_none_or(|pace| pace.is_measured(since)) {
            self.latencies.add(self.now.saturating_sub(since));
        }
        Ok(())
    }

    /// In a group only the window knows that a message has arrived before.
    #[cold]
    fn is_doubled_in_group(&self, publisher: usize, sequence: u64) -> bool {
        self.group.is_some() && sequence < self.publishers[publisher].window.sent()
    }

    #[inline]
    fn handle_at_publisher(
        &mut self,
        link: usize,
        frame: &Frame<'_>,
    ) -> Result<(), wire::Malformed> {
        let last = match self.load.qos {
            QoS::AtMostOnce => return Ok(()),
            QoS::AtLeastOnce => kind::PUBACK,
            QoS::ExactlyOnce => kind::PUBCOMP,
        };
        if !matches!(frame.kind(), kind::PUBACK | kind::PUBREC | kind::PUBCOMP) {
            return Ok(());
        }
        let (packet_id, reason) = wire::acknowledged(frame)?;
        let is_refused = reason >= 0x80;
        self.faults.refused += u64::from(is_refused);
        if frame.kind() == kind::PUBREC && !is_refused {
            self.acknowledge(link, kind::PUBREL, packet_id);
        } else if frame.kind() == last || is_refused {
            let window = &mut self.publishers[link].window;
            match window.handle_acknowledgement(u16::from_be_bytes(packet_id)) {
                Ok(sent_at) => {
                    self.queue_publisher(link);
                    if self.load.is_stored() {
                        // Nobody else is there to take it.
                        self.delivered += 1;
                        self.latencies.add(self.now.saturating_sub(sent_at));
                    }
                }
                Err(_) => self.faults.unexpected += 1,
            }
        }
        Ok(())
    }

    #[inline]
    fn acknowledge(&mut self, link: usize, kind: u8, packet_id: [u8; 2]) {
        self.links[link].out().extend_from_slice(&wire::acknowledgement(kind, packet_id));
        self.queue_link(link);
    }

    #[inline]
    fn queue_link(&mut self, link: usize) {
        if !self.links[link].is_queued {
            self.links[link].is_queued = true;
            self.queued.push(link);
        }
    }

    #[inline]
    fn queue_publisher(&mut self, publisher: usize) {
        if !self.publishers[publisher].is_queued {
            self.publishers[publisher].is_queued = true;
            self.sending.push(publisher);
        }
    }

    /// Fills the windows and writes everything.
    fn send(&mut self) -> anyhow::Result<()> {
        let mut sending = std::mem::take(&mut self.sending);
        for index in sending.drain(..) {
            self.publishers[index].is_queued = false;
            if self.fill(index) {
                self.queue_link(index);
            }
        }
        self.sending = sending;
        let mut queued = std::mem::take(&mut self.queued);
        for link in queued.drain(..) {
            self.links[link].is_queued = false;
            self.flush(link)?;
        }
        self.queued = queued;
        if self.open_loop().is_some() {
            self.tick();
            let now = self.now;
            self.open_loop().into_iter().for_each(|pace| pace.note_written(now));
        }
        Ok(())
    }

    /// Whether the publisher had something to send.
    #[inline]
    fn fill(&mut self, index: usize) -> bool {
        let (publisher, link) = (&mut self.publishers[index], &mut self.links[index]);
        match &mut self.pace {
            Some(pace) if pace.is_open_loop() => pace.fill(index, publisher, link, self.now),
            _ => !self.is_draining && publisher.fill(self.now, link.out()),
        }
    }

    #[inline]
    fn flush(&mut self, link: usize) -> anyhow::Result<()> {
        let written = self.links[link].flush(&self.poller, link as u64);
        written.context("the broker closed the connection").with_context(|| self.name(link))
    }
}
