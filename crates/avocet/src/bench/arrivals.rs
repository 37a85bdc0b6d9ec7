//! What came of connecting many clients, and of several processes that did so.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::latency::Latencies;

/// Kinds of failure that are told apart.
const KINDS_MAX: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    pub(super) connected: u64,
    /// What went wrong, and how often.
    pub(super) failures: BTreeMap<String, u64>,
    /// From the beginning of a connection to its CONNACK.
    pub(super) latencies: Latencies,
    /// Connections a second; of several processes the sum.
    pub(super) rate: f64,
    /// Processor time of this tool.
    pub(super) own: Duration,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        let (failures, latencies) = (BTreeMap::new(), Latencies::new());
        Self { connected: 0, failures, latencies, rate: 0.0, own: Duration::ZERO }
    }

    pub(super) fn fail(&mut self, kind: String) {
        self.count(kind, 1);
    }

    fn count(&mut self, mut kind: String, count: u64) {
        if self.failures.len() >= KINDS_MAX && !self.failures.contains_key(&kind) {
            "other".clone_into(&mut kind);
        }
        *self.failures.entry(kind).or_default() += count;
    }

    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Whether there are some, and none failed.
    pub(super) fn is_good(&self) -> bool {
        self.connected > 0 && self.failures.is_empty()
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.connected += other.connected;
        for (kind, count) in &other.failures {
            self.count(kind.clone(), *count);
        }
        self.latencies.merge(&other.latencies);
        self.rate += other.rate;
        self.own += other.own;
    }

    /// For the process that merges.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "connected": self.connected,
            "failed": self.failures,
            "latency": self.latencies.to_json(),
            "connects_per_second": self.rate,
            "own_cpu_seconds": self.own.as_secs_f64(),
        })
    }

    /// What [`Self::to_json`] wrote; `None` if it is something else.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let failures = value.get("failed")?.as_object()?.iter();
        Some(Self {
            connected: value.get("connected")?.as_u64()?,
            failures: failures.filter_map(|(kind, n)| Some((kind.clone(), n.as_u64()?))).collect(),
            latencies: Latencies::from_json(value.get("latency")?)?,
            rate: value.get("connects_per_second")?.as_f64()?,
            own: Duration::try_from_secs_f64(value.get("own_cpu_seconds")?.as_f64()?).ok()?,
        })
    }
}

#[cfg(test)]
mod tests;
