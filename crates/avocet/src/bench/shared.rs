//! What several processes have found at once, and the one outcome of it: each tells one line of
//! JSON, and the process that started them merges.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    lane::Faults,
    latency::Latencies,
    outcome::{Costs, Found},
    pace::Punctuality,
    processes::Parts,
};

/// What can be told to another process, and merged there.
pub(super) trait Shared: Sized {
    fn to_json(&self) -> Value;

    /// What [`Self::to_json`] wrote; `None` if it is something else.
    fn from_json(value: &Value) -> Option<Self>;

    fn merged(found: &[Self]) -> Self;
}

/// Starts so many processes with a part of the load each, and merges what they find.
pub(super) fn found<F: Shared>(processes: u32) -> anyhow::Result<F> {
    let mut parts = Parts::start(processes)?;
    parts.go()?;
    let results = parts.results()?;
    parts.end()?;
    let found: Option<Vec<F>> = results.iter().map(F::from_json).collect();
    Ok(F::merged(&found.context("a process found nothing")?))
}

impl Shared for Costs {
    fn to_json(&self) -> Value {
        json!({
            "delivered": self.delivered,
            "seconds": self.elapsed.as_secs_f64(),
            "broker_cpu_seconds": self.broker.map(|time| time.as_secs_f64()),
            "own_cpu_seconds": self.own.as_secs_f64(),
            "others_cpu_seconds": self.others.as_secs_f64(),
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            delivered: number(value, "delivered")?,
            elapsed: time(value, "seconds")?,
            broker: time(value, "broker_cpu_seconds"),
            own: time(value, "own_cpu_seconds")?,
            others: time(value, "others_cpu_seconds")?,
        })
    }

    /// Rates are added. Each has measured the same broker and machine over its own time: of these
    /// the mean is taken.
    fn merged(found: &[Self]) -> Self {
        let sum = |of: &dyn Fn(&Self) -> f64| found.iter().map(of).sum::<f64>();
        let busy = |time: Duration, costs: &Self| time.as_secs_f64() / costs.elapsed.as_secs_f64();
        let (rate, delivered) = (sum(&Self::rate), found.iter().map(|one| one.delivered).sum());
        let number = found.len().max(1) as f64;
        // The time in which so many come at that rate.
        let seconds = if rate > 0.0 { delivered as f64 / rate } else { 0.0 };
        let broker_busy = sum(&|costs| busy(costs.broker.unwrap_or_default(), costs)) / number;
        let own_busy = sum(&|costs| busy(costs.own, costs));
        let all_busy =
            sum(&|costs| busy(costs.own + costs.others + costs.broker.unwrap_or_default(), costs));
        let others_busy = (all_busy / number - broker_busy - own_busy).max(0.0);
        let over = |busy: f64| Duration::try_from_secs_f64(busy * seconds).unwrap_or_default();
        let is_measured = found.iter().all(|one| one.broker.is_some());
        Self {
            delivered,
            elapsed: over(1.0),
            broker: is_measured.then(|| over(broker_busy)),
            own: over(own_busy),
            others: over(others_busy),
        }
    }
}

impl Shared for Found {
    fn to_json(&self) -> Value {
        let Self { costs, latencies, punctuality, faults } = self;
        json!({
            "costs": costs.to_json(),
            "latency": latencies.to_json(),
            "late": punctuality.as_ref().map(|punctuality| punctuality.late.to_json()),
            "held_back": punctuality.as_ref().map(|punctuality| punctuality.held_back),
            "lost": faults.lost,
            "doubled": faults.doubled,
            "out_of_order": faults.out_of_order,
            "unexpected": faults.unexpected,
            "refused": faults.refused,
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let late = value.get("late").and_then(Latencies::from_json);
        Some(Self {
            costs: Costs::from_json(value.get("costs")?)?,
            latencies: Latencies::from_json(value.get("latency")?)?,
            punctuality: late
                .zip(number(value, "held_back"))
                .map(|(late, held_back)| Punctuality { late, held_back }),
            faults: Faults {
                lost: number(value, "lost")?,
                doubled: number(value, "doubled")?,
                out_of_order: number(value, "out_of_order")?,
                unexpected: number(value, "unexpected")?,
                refused: number(value, "refused")?,
            },
        })
    }

    /// Faults are added, histograms merged.
    fn merged(found: &[Self]) -> Self {
        let costs: Vec<Costs> = found.iter().map(|one| one.costs).collect();
        let mut latencies = Latencies::new();
        let mut faults = Faults::default();
        let mut punctuality: Option<Punctuality> = None;
        for one in found {
            latencies.merge(&one.latencies);
            faults.lost += one.faults.lost;
            faults.doubled += one.faults.doubled;
            faults.out_of_order += one.faults.out_of_order;
            faults.unexpected += one.faults.unexpected;
            faults.refused += one.faults.refused;
            match (&mut punctuality, &one.punctuality) {
                (Some(all), Some(one)) => {
                    all.late.merge(&one.late);
                    all.held_back += one.held_back;
                }
                (None, Some(one)) => punctuality = Some(one.clone()),
                (_, None) => {}
            }
        }
        Self { costs: Costs::merged(&costs), latencies, punctuality, faults }
    }
}

/// A count in what another process tells.
pub(super) fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64()
}

/// A time in it.
pub(super) fn time(value: &Value, name: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(value.get(name)?.as_f64()?).ok()
}

#[cfg(test)]
mod tests;
