//! Connecting many clients, in one process or in several: what `connect` and `idle` share.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{
    arrivals::Arrivals,
    bar::Bar,
    broker::CrowdArgs,
    crowd::{Crowd, Plan},
    processes::Role,
    spread,
    tempo::Tempo,
};
use crate::client::Failure;

#[derive(Args, Debug)]
pub(crate) struct GatherArgs {
    /// Clients that connect at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,
    /// Clients that begin to connect in a second, instead of as many as can.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
}

/// So many clients of one broker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gathering<'a> {
    pub(super) crowd: &'a CrowdArgs,
    pub(super) args: &'a GatherArgs,
    pub(super) count: u64,
    /// Whether they stay connected.
    pub(super) is_kept: bool,
}

impl Gathering<'_> {
    pub(super) fn role(&self) -> Role {
        self.crowd.broker.role()
    }

    /// Says so if there cannot be so many connections.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let at_once = if self.is_kept { self.count } else { self.count.min(2048) };
        self.role().share(self.count)?;
        self.crowd.broker.check(at_once)
    }

    /// The clients of this process, none of them connected.
    pub(super) fn crowd(&self) -> Result<Crowd, Failure> {
        let share = self.role().share(self.count)?;
        self.crowd.crowd(share.start)
    }

    /// What is to be connected by this process.
    pub(super) fn plan(&self) -> Result<Plan, Failure> {
        let (share, fraction) = (self.role().share(self.count)?, self.role().fraction());
        Ok(Plan {
            count: share.end - share.start,
            concurrency: ((f64::from(self.args.concurrency) * fraction) as usize).max(1),
            tempo: Tempo::new(self.args.rate.map(|rate| rate * fraction)),
            is_kept: self.is_kept,
        })
    }

    pub(super) fn bar(&self) -> Bar {
        Bar::new(self.role().shows_progress())
    }
}

/// What processes have found, as one.
pub(super) fn merged(results: &[Value]) -> anyhow::Result<Arrivals> {
    let mut merged = Arrivals::new();
    for result in results {
        let arrivals = Arrivals::from_json(result);
        merged.merge(&arrivals.ok_or_else(|| anyhow::anyhow!("a process found nothing"))?);
    }
    Ok(merged)
}

/// The part of an outcome that tells of connections, which more is added to.
pub(super) fn to_json(name: &str, gathering: &Gathering<'_>, arrivals: &Arrivals) -> Value {
    json!({
        "scenario": name,
        "connections": gathering.count,
        "processes": gathering.role().processes(),
        "mqtt": gathering.crowd.broker.version(),
        "connected": arrivals.connected,
        "failed": arrivals.failed(),
        "failures": arrivals.failures,
        "connects_per_second": arrivals.rate.round(),
        "connack_latency_us": arrivals.latencies.spread().map(spread::to_json),
    })
}

/// The same for people.
pub(super) fn to_text(name: &str, gathering: &Gathering<'_>, arrivals: &Arrivals) -> String {
    let (count, version) = (gathering.count, gathering.crowd.broker.version());
    let processes = gathering.role().to_text();
    let mut text = format!("{name}: {count} connections{processes}, MQTT {version}\n");
    let (connected, rate) = (arrivals.connected, arrivals.rate);
    text.push_str(&format!("  connected   {connected}, {rate:.0} connects/s\n"));
    let latency = spread::to_text(arrivals.latencies.spread());
    text.push_str(&format!("  CONNACK     {latency}\n"));
    for (kind, count) in &arrivals.failures {
        text.push_str(&format!("  FAILED      {count}: {kind}\n"));
    }
    text
}

/// Microseconds of this tool for each connection.
pub(super) fn own_us(arrivals: &Arrivals) -> f64 {
    super::gauge::micros_each(arrivals.own, arrivals.connected)
}

pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.01..=1e7).contains(&rate) => Ok(rate),
        _ => Err("a number a second is needed, from 0.01 to 10000000".to_owned()),
    }
}

/// How long to wait for something to happen while there is nothing to do.
pub(super) const IDLE_WAIT: Duration = Duration::from_millis(50);
