//! The closed loop of publishers and subscribers in several processes at once.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    lane::Faults,
    latency::Latencies,
    load::Load,
    outcome::{Costs, Outcome},
    processes::Parts,
};

/// Runs the load in so many processes, each with a part of it and topics of its own.
pub(super) fn run(load: &Load, processes: u32) -> anyhow::Result<Outcome> {
    let mut parts = Parts::start(processes)?;
    parts.go()?;
    let results = parts.results()?;
    parts.end()?;
    let found: Option<Vec<Found>> = results.iter().map(Found::from_json).collect();
    let found = merged(&found.context("a process found nothing")?);
    let Found { costs, latencies, faults } = found;
    let (load, latency) = (load.clone(), latencies.spread());
    Ok(Outcome { load, costs, latency, latencies, punctuality: None, faults })
}

/// What one process has found, for the one that merges.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) costs: Costs,
    pub(super) latencies: Latencies,
    pub(super) faults: Faults,
}

impl Found {
    pub(super) fn to_json(&self) -> Value {
        let Self { costs, latencies, faults } = self;
        json!({
            "delivered": costs.delivered,
            "seconds": costs.elapsed.as_secs_f64(),
            "broker_cpu_seconds": costs.broker.map(|time| time.as_secs_f64()),
            "own_cpu_seconds": costs.own.as_secs_f64(),
            "others_cpu_seconds": costs.others.as_secs_f64(),
            "latency": latencies.to_json(),
            "lost": faults.lost,
            "doubled": faults.doubled,
            "out_of_order": faults.out_of_order,
            "unexpected": faults.unexpected,
            "refused": faults.refused,
        })
    }

    /// What [`Self::to_json`] wrote; `None` if it is something else.
    fn from_json(value: &Value) -> Option<Self> {
        let number = |name| value.get(name)?.as_u64();
        let time = |name| Duration::try_from_secs_f64(value.get(name)?.as_f64()?).ok();
        Some(Self {
            costs: Costs {
                delivered: number("delivered")?,
                elapsed: time("seconds")?,
                broker: time("broker_cpu_seconds"),
                own: time("own_cpu_seconds")?,
                others: time("others_cpu_seconds")?,
            },
            latencies: Latencies::from_json(value.get("latency")?)?,
            faults: Faults {
                lost: number("lost")?,
                doubled: number("doubled")?,
                out_of_order: number("out_of_order")?,
                unexpected: number("unexpected")?,
                refused: number("refused")?,
            },
        })
    }
}

/// Rates and faults are added, histograms merged. Each has measured the same broker and machine
/// over its own time: of these the mean is taken.
fn merged(found: &[Found]) -> Found {
    let sum = |of: &dyn Fn(&Costs) -> f64| found.iter().map(|one| of(&one.costs)).sum::<f64>();
    let busy = |time: Duration, costs: &Costs| time.as_secs_f64() / costs.elapsed.as_secs_f64();
    let (rate, delivered) = (sum(&Costs::rate), found.iter().map(|one| one.costs.delivered).sum());
    let number = found.len().max(1) as f64;
    // The time in which so many come at that rate.
    let seconds = if rate > 0.0 { delivered as f64 / rate } else { 0.0 };
    let broker_busy = sum(&|costs| busy(costs.broker.unwrap_or_default(), costs)) / number;
    let own_busy = sum(&|costs| busy(costs.own, costs));
    let all_busy =
        sum(&|costs| busy(costs.own + costs.others + costs.broker.unwrap_or_default(), costs));
    let others_busy = (all_busy / number - broker_busy - own_busy).max(0.0);
    let over = |busy: f64| Duration::try_from_secs_f64(busy * seconds).unwrap_or_default();
    let mut latencies = Latencies::new();
    let mut faults = Faults::default();
    for one in found {
        latencies.merge(&one.latencies);
        faults.lost += one.faults.lost;
        faults.doubled += one.faults.doubled;
        faults.out_of_order += one.faults.out_of_order;
        faults.unexpected += one.faults.unexpected;
        faults.refused += one.faults.refused;
    }
    let is_measured = found.iter().all(|one| one.costs.broker.is_some());
    let costs = Costs {
        delivered,
        elapsed: over(1.0),
        broker: is_measured.then(|| over(broker_busy)),
        own: over(own_busy),
        others: over(others_busy),
    };
    Found { costs, latencies, faults }
}

#[cfg(test)]
mod tests;
