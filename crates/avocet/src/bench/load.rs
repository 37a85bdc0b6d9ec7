//! What load is asked for, and running it: warm-up, the measured time, and the drain after it.

use std::time::{Duration, Instant};

use anyhow::Context;
use avocet_mqtt::{ProtocolVersion, QoS};

use super::{
    cpu,
    engine::Engine,
    outcome::{Costs, Found, Outcome},
    processes::Role,
    progress::Progress,
    shape::Shape,
    source::Sources,
};
use crate::client::stream::Target;

/// A loop of publishers and subscribers.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) shape: Shape,
    /// How many there are on the side of the many.
    pub(super) count: u32,
    pub(super) target: Target,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    /// The broker's process, if its cost is to be measured.
    pub(super) pid: Option<u32>,
    /// Messages outstanding for each publisher.
    pub(super) window: u16,
    pub(super) rate: Rate,
    pub(super) payload_bytes: usize,
    pub(super) qos: QoS,
    pub(super) version: ProtocolVersion,
    pub(super) is_fastlane: bool,
    /// Whether subscribers' sessions outlive their connections, so that messages are stored.
    pub(super) is_lasting: bool,
    pub(super) warm_up: Duration,
    pub(super) until: Until,
    /// How long nothing may arrive before what is missing counts as lost.
    pub(super) patience: Duration,
    /// Where connections are made from.
    pub(super) sources: Sources,
    /// What this process is among those that share the load.
    pub(super) role: Role,
    /// Whether the outcome is told to a script.
    pub(super) is_json: bool,
}

/// How many messages a second, all publishers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rate {
    /// As many as the windows allow.
    Unlimited,
    /// So many at most: a message waits for its time and for the window.
    Most(u32),
    /// So many, whatever has arrived. The window bounds only what is not yet acknowledged.
    Open(u32),
}

/// How long is measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    Elapsed(Duration),
    Delivered(u64),
}

impl Load {
    /// What this kind of load is called.
    pub(super) fn name(&self) -> &'static str {
        match self.rate {
            Rate::Open(_) => "latency",
            Rate::Unlimited | Rate::Most(_) => self.shape.name(),
        }
    }

    pub(super) fn publishers(&self) -> u32 {
        self.shape.publishers(self.count).max(self.ones(Shape::Fanout))
    }

    pub(super) fn subscribers(&self) -> u32 {
        self.shape.subscribers(self.count).max(self.ones(Shape::Fanin))
    }

    /// How many there are on the side of the one: each process has its own.
    fn ones(&self, shape: Shape) -> u32 {
        if self.shape == shape { self.role.loads() } else { 1 }
    }

    /// Whether the subscribers are away while messages are sent.
    pub(super) fn is_stored(&self) -> bool {
        matches!(self.shape, Shape::Store { .. })
    }

    /// The topic of publisher `index`; processes have topics of their own.
    pub(super) fn topic(&self, index: u32) -> String {
        self.own(self.shape.topic(index))
    }

    /// What subscriber `index` subscribes to.
    pub(super) fn filter(&self, index: u32) -> String {
        self.own(self.shape.filter(index))
    }

    fn own(&self, topic: String) -> String {
        match self.role.part() {
            Some(part) => format!("{topic}/p{}", part.index),
            None => topic,
        }
    }
}

/// Processor times at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    pub(super) at: Instant,
    delivered: u64,
    broker: Option<Duration>,
    own: Duration,
    machine: Duration,
}

impl Meter {
    pub(super) fn read(load: &Load, delivered: u64) -> anyhow::Result<Self> {
        let broker = load.pid.map(cpu::of_process).transpose()?;
        let (own, machine) = (cpu::own(), cpu::of_machine()?);
        Ok(Self { at: Instant::now(), delivered, broker, own, machine })
    }

    pub(super) fn costs_until(&self, end: &Self) -> Costs {
        let (own, machine) = (end.own - self.own, end.machine.saturating_sub(self.machine));
        let broker = end.broker.zip(self.broker).map(|(end, start)| end.saturating_sub(start));
        Costs {
            delivered: end.delivered - self.delivered,
            elapsed: end.at - self.at,
            broker,
            own,
            others: machine.saturating_sub(own).saturating_sub(broker.unwrap_or_default()),
        }
    }
}

/// Runs the load against a broker that is there.
pub(super) fn run(load: &Load) -> anyhow::Result<Outcome> {
    let mut engine = Engine::open(load)?;
    let found = measure(load, &mut engine)?;
    Ok(Outcome { load: load.clone(), found })
}

/// The same with an engine that is open, and stays so.
pub(super) fn measure(load: &Load, engine: &mut Engine<'_>) -> anyhow::Result<Found> {
    let (name, window, qos) = (load.name(), load.window, load.qos.bits());
    let name = format!("{name} window {window} QoS {qos}");
    let mut progress = Progress::new(name, load.until, load.role.shows_progress());
    if let Some(part) = load.role.part() {
        part.wait_for_all()?;
    }
    let warm = Instant::now() + load.warm_up;
    engine.open_windows()?;
    while Instant::now() < warm && !engine.is_stalled() {
        engine.turn()?;
    }
    engine.begin_measuring();
    let start = Meter::read(load, engine.delivered())?;
    loop {
        engine.turn()?;
        let (elapsed, delivered) = (start.at.elapsed(), engine.delivered() - start.delivered);
        progress.show(elapsed, delivered);
        let is_over = match load.until {
            Until::Elapsed(duration) => elapsed >= duration,
            Until::Delivered(count) => delivered >= count,
        };
        if is_over || engine.is_stalled() {
            break;
        }
    }
    let costs = start.costs_until(&Meter::read(load, engine.delivered())?);
    let latencies = engine.latencies().clone();
    engine.drain().context("while waiting for the last messages")?;
    progress.clear();
    let punctuality = engine.punctuality();
    // In an open loop the last messages belong to what is measured, however late they come.
    let latencies = if punctuality.is_some() { engine.latencies().clone() } else { latencies };
    Ok(Found { costs, latencies, punctuality, faults: engine.faults() })
}
