//! Subscribes clients to many filters and takes the subscriptions back, each client waiting for one
//! answer at a time, all of them at a rate if there is one.

use std::{collections::VecDeque, time::Duration};

use anyhow::bail;
use avocet_mqtt::{
    Packet, PacketId, ProtocolVersion, QoS, Subscribe, Subscription, SubscriptionOptions,
    Unsubscribe, UserProperties, encode,
};
use clap::ValueEnum;

use super::{
    bar::Bar,
    crowd::{Crowd, Scenario},
    gathering::IDLE_WAIT,
    latency::Latencies,
    tempo::Tempo,
    wire::{Frame, Malformed, kind},
};

/// What kinds of filters there are among many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Mix {
    /// No wildcard.
    Exact,
    /// `+` as the last level.
    Plus,
    /// `#` as the last level.
    Hash,
    /// Of ten eight without a wildcard, one with `+` and one with `#`.
    Mixed,
}

/// Many filters, known by their numbers. Each has a topic that it alone matches.
#[derive(Clone, Debug)]
pub(super) struct Filters {
    pub(super) count: u64,
    mix: Mix,
    root: String,
    qos: QoS,
}

impl Filters {
    pub(super) fn new(count: u64, mix: Mix) -> Self {
        let root = format!("bench/sub/{}", std::process::id());
        Self { count, mix, root, qos: QoS::AtMostOnce }
    }

    /// A topic for each client.
    pub(super) fn own(count: u64) -> Self {
        let root = format!("bench/idle/{}", std::process::id());
        Self { root, ..Self::new(count, Mix::Exact) }
    }

    /// The same filter for everyone, whatever its number.
    pub(super) fn same(filter: String, clients: u64, qos: QoS) -> FiltersOf {
        FiltersOf::Same { filter, count: clients, qos }
    }

    /// A topic that filter `number` matches, and none if there are not so many filters.
    pub(super) fn topic(&self, number: u64) -> String {
        format!("{}/{number}/t", self.root)
    }

    fn filter(&self, number: u64) -> String {
        let last = match (self.mix, number % 10) {
            (Mix::Plus, _) | (Mix::Mixed, 8) => "+",
            (Mix::Hash, _) | (Mix::Mixed, 9) => "#",
            (Mix::Exact | Mix::Mixed, _) => "t",
        };
        format!("{}/{number}/{last}", self.root)
    }
}

/// Where filters come from.
#[derive(Clone, Debug)]
pub(super) enum FiltersOf {
    Many(Filters),
    Same { filter: String, count: u64, qos: QoS },
}

impl From<Filters> for FiltersOf {
    fn from(filters: Filters) -> Self {
        Self::Many(filters)
    }
}

impl FiltersOf {
    fn count(&self) -> u64 {
        match self {
            Self::Many(filters) => filters.count,
            Self::Same { count, .. } => *count,
        }
    }

    fn filter(&self, number: u64) -> (String, QoS) {
        match self {
            Self::Many(filters) => (filters.filter(number), filters.qos),
            Self::Same { filter, qos, .. } => (filter.clone(), *qos),
        }
    }
}

/// One who asks and waits.
#[derive(Clone, Copy, Debug, Default)]
struct Asker {
    /// Which of its filters come next, counted from 0.
    next: u64,
    /// Filters in the packet that is to be answered.
    asked: u64,
    asked_at: u64,
    last_id: u16,
}

#[derive(Debug)]
pub(super) struct Subscriber {
    members: Vec<usize>,
    /// Of each member of the crowd, its place among ours.
    places: Vec<usize>,
    askers: Vec<Asker>,
    filters: FiltersOf,
    batch: u64,
    version: ProtocolVersion,
    is_ending: bool,
    tempo: Tempo,
    begun_at: u64,
    /// Places of those who wait for their next packet to be due.
    idle: VecDeque<usize>,
    /// Filters in all packets that were sent.
    asked: u64,
    pub(super) done: u64,
    pub(super) refused: u64,
    pub(super) latencies: Latencies,
    heard_at: u64,
}

impl Subscriber {
    /// Filter i is for member i modulo their number.
    pub(super) fn new(
        members: Vec<usize>,
        filters: impl Into<FiltersOf>,
        batch: u64,
        version: ProtocolVersion,
    ) -> Self {
        let mut places = vec![usize::MAX; members.iter().max().map_or(0, |max| max + 1)];
        for (place, member) in members.iter().enumerate() {
            places[*member] = place;
        }
        Self {
            askers: vec![Asker::default(); members.len()],
            members,
            places,
            filters: filters.into(),
            batch,
            version,
            is_ending: false,
            tempo: Tempo::new(None),
            begun_at: 0,
            idle: VecDeque::new(),
            asked: 0,
            done: 0,
            refused: 0,
            latencies: Latencies::new(),
            heard_at: 0,
        }
    }

    /// Filters of all clients together. A packet is sent when all of its filters are due.
    pub(super) fn at(self, tempo: Tempo) -> Self {
        Self { tempo, ..self }
    }

    /// Takes back all subscriptions with the next run.
    pub(super) fn end_subscriptions(&mut self) {
        self.is_ending = true;
        self.askers.fill(Asker::default());
        (self.asked, self.done, self.refused) = (0, 0, 0);
        self.latencies.clear();
    }

    /// Subscribes to all filters and waits for the answers.
    pub(super) fn run(
        &mut self,
        crowd: &mut Crowd,
        bar: &mut Bar,
        patience: Duration,
    ) -> anyhow::Result<()> {
        self.begin(crowd);
        let name = if self.is_ending { "unsubscribing" } else { "subscribing" };
        while !self.is_over() {
            let wait = self.wait(crowd.tick());
            crowd.turn(wait, self)?;
            crowd.check()?;
            self.ask_idle(crowd);
            bar.show(name, self.done, self.filters.count());
            let silence = crowd.tick().saturating_sub(self.heard_at);
            if Duration::from_nanos(silence) > patience {
                bail!("the broker has answered {} of {}", self.done, self.filters.count());
            }
        }
        Ok(())
    }

    /// Sends the first packet of everyone whose packet is due.
    pub(super) fn begin(&mut self, crowd: &mut Crowd) {
        self.begun_at = crowd.tick();
        self.heard_at = self.begun_at;
        self.idle = (0..self.members.len()).collect();
        self.ask_idle(crowd);
    }

    /// Lets those ask who have waited until now.
    fn ask_idle(&mut self, crowd: &mut Crowd) {
        let now = crowd.tick();
        if self.asked == self.done {
            // There was nothing to be heard until now.
            self.heard_at = now;
        }
        while let Some(place) = self.idle.front().copied().filter(|place| self.is_due(*place, now))
        {
            self.idle.pop_front();
            if let Some(out) = crowd.out(self.members[place]) {
                self.ask(place, out, now);
            }
        }
    }

    /// How long nobody has anything to send who hears nothing.
    fn wait(&self, now: u64) -> Duration {
        let Some(place) = self.idle.front() else { return IDLE_WAIT };
        let last = (self.asked + self.wanted(*place)).saturating_sub(1);
        self.tempo.wait(last, now - self.begun_at).unwrap_or(IDLE_WAIT)
    }

    fn is_due(&self, place: usize, now: u64) -> bool {
        self.asked + self.wanted(place) <= self.tempo.due(now.saturating_sub(self.begun_at))
    }

    /// How many filters the next packet has.
    fn wanted(&self, place: usize) -> u64 {
        let all = self.filters.count().saturating_sub(place as u64);
        let left = all.div_ceil(self.members.len() as u64).saturating_sub(self.askers[place].next);
        left.min(self.batch)
    }

    pub(super) fn is_over(&self) -> bool {
        self.done >= self.filters.count()
    }

    fn ask(&mut self, place: usize, out: &mut Vec<u8>, now: u64) {
        let (clients, wanted) = (self.members.len() as u64, self.wanted(place));
        if wanted == 0 {
            return;
        }
        let asker = &mut self.askers[place];
        let numbers = (asker.next..asker.next + wanted).map(|i| i * clients + place as u64);
        let filters: Vec<_> = numbers.map(|number| self.filters.filter(number)).collect();
        self.asked += wanted;
        asker.asked = wanted;
        asker.next += asker.asked;
        asker.asked_at = now;
        asker.last_id = asker.last_id.checked_add(1).unwrap_or(1);
        let packet_id = PacketId::new(asker.last_id).unwrap_or(PacketId::MIN);
        let user_properties = UserProperties::default();
        let packet = if self.is_ending {
            let filters = filters.into_iter().map(|(filter, _)| filter).collect();
            Packet::Unsubscribe(Unsubscribe { packet_id, user_properties, filters })
        } else {
            let subscriptions = filters.into_iter().map(|(filter, qos)| {
                let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
                Subscription { filter, options }
            });
            Packet::Subscribe(Subscribe {
                packet_id,
                subscription_identifier: None,
                user_properties,
                subscriptions: subscriptions.collect(),
            })
        };
        encode(self.version, &packet, out);
    }
}

impl Scenario for Subscriber {
    fn handle_frame(
        &mut self,
        member: usize,
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
        now: u64,
    ) -> Result<(), Malformed> {
        let wanted = if self.is_ending { kind::UNSUBACK } else { kind::SUBACK };
        let place = self.places.get(member).copied().filter(|place| *place != usize::MAX);
        let (Some(place), true) = (place, frame.kind() == wanted) else { return Ok(()) };
        let asker = &mut self.askers[place];
        let asked = std::mem::take(&mut asker.asked);
        // One reason code for each filter at the end; an UNSUBACK of 3.1.1 has none.
        let has_codes = !self.is_ending || self.version == ProtocolVersion::V5;
        let codes = frame.body.len().checked_sub(asked as usize).map(|at| &frame.body[at..]);
        if has_codes {
            let codes = codes.ok_or(Malformed)?;
            self.refused += codes.iter().filter(|code| **code >= 0x80).count() as u64;
        }
        self.latencies.add(now.saturating_sub(asker.asked_at));
        self.done += asked;
        self.heard_at = now;
        if self.idle.is_empty() && self.is_due(place, now) {
            self.ask(place, out, now);
        } else {
            self.idle.push_back(place);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
