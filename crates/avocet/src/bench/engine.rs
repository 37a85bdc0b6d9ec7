//! The loop of the load generator. One thread reads whatever is there, returns credit, sends what
//! the windows allow, and writes once for each touched socket and turn.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use avocet_mqtt::{Codec, Packet, ProtocolVersion, QoS};

use super::{
    lane::{Arrival, Faults, Lane},
    latency::Latencies,
    link::{Link, Poller, Ready},
    load::Load,
    outcome::Latency,
    publisher::{Publisher, stamp},
    setup,
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
        let poller = Poller::new()?;
        let links = setup::links(load)?;
        for (number, link) in links.iter().enumerate() {
            poller.add(link.socket(), number as u64)?;
        }
        let lanes = load.publishers().max(load.subscribers());
        Ok(Self {
            load,
            poller,
            links,
            publishers: (0..load.publishers()).map(|index| Publisher::new(load, index)).collect(),
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            queued: Vec::new(),
            sending: Vec::new(),
            ready: Vec::new(),
            scratch: Vec::new(),
            epoch: Instant::now(),
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
            let link = event.number as usize;
            if event.writable {
                self.queue_link(link);
            }
            if event.readable {
                self.read(link).with_context(|| self.name(link))?;
            }
        }
        self.ready = ready;
        self.send()
    }

    fn tick(&mut self) {
        self.now = self.epoch.elapsed().as_nanos() as u64;
    }

    /// Messages delivered to subscribers so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Whether nothing has arrived for so long that nothing will.
    pub(super) fn is_stalled(&self) -> bool {
        let silence = Duration::from_nanos(self.now.saturating_sub(self.heard_at));
        silence > self.load.patience
    }

    pub(super) fn clear_latencies(&mut self) {
        self.latencies.clear();
    }

    pub(super) fn latency(&self) -> Option<Latency> {
        Latency::of(&self.latencies)
    }

    pub(super) fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// Sends no more and waits for what is outstanding.
    pub(super) fn drain(&mut self) -> anyhow::Result<()> {
        self.is_draining = true;
        while !self.is_stalled() && !self.publishers.iter().all(|p| p.window.is_idle()) {
            self.turn()?;
        }
        Ok(())
    }

    /// What was wrong, everything that was sent being counted.
    pub(super) fn faults(&self) -> Faults {
        let lost = self.lanes.iter().enumerate().map(|(index, lane)| {
            let publisher = self.publishers.get(index).unwrap_or(&self.publishers[0]);
            lane.lost(publisher.window.sent())
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
                bail!(farewell(self.load.version, &scratch[at..total]));
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
        let lane = self.load.shape.lane(publisher, subscriber);
        let Some(lane) = lane.and_then(|lane| self.lanes.get_mut(lane)) else {
            self.faults.unexpected += 1;
            return Ok(());
        };
        match lane.handle_arrival(sequence) {
            Arrival::InOrder | Arrival::AfterGap => {}
            Arrival::Late => self.faults.out_of_order += 1,
            Arrival::Doubled => {
                self.faults.doubled += 1;
                return Ok(());
            }
        }
        match self.publishers[publisher].window.handle_delivery(sequence) {
            Ok(sent_at) => {
                self.delivered += 1;
                self.latencies.add(self.now.saturating_sub(sent_at));
                self.queue_publisher(publisher);
            }
            Err(_) => self.faults.unexpected += 1,
        }
        Ok(())
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
                Ok(()) => self.queue_publisher(link),
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
            let publisher = &mut self.publishers[index];
            publisher.is_queued = false;
            if !self.is_draining && publisher.fill(self.now, self.links[index].out()) {
                self.queue_link(index);
            }
        }
        self.sending = sending;
        let mut queued = std::mem::take(&mut self.queued);
        for link in queued.drain(..) {
            self.links[link].is_queued = false;
            let written = self.links[link].flush(&self.poller, link as u64);
            written.context("the broker closed the connection").with_context(|| self.name(link))?;
        }
        self.queued = queued;
        Ok(())
    }
}

/// What a DISCONNECT says.
fn farewell(version: ProtocolVersion, bytes: &[u8]) -> String {
    match Codec::with_version(version, u32::MAX).decode(bytes) {
        Ok(Some((Packet::Disconnect(disconnect), _))) => {
            let reason = disconnect.reason;
            match disconnect.reason_string {
                Some(text) => format!("the broker disconnects: {reason}: {text}"),
                None => format!("the broker disconnects: {reason}"),
            }
        }
        _ => "the broker disconnects".to_owned(),
    }
}
