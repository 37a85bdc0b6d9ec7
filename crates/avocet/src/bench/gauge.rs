//! Processor time of broker and tool over a stretch of a run.

use std::time::{Duration, Instant};

use super::cpu;

#[derive(Clone, Copy, Debug)]
pub(super) struct Gauge {
    pid: Option<u32>,
    at: Instant,
    broker: Option<Duration>,
    own: Duration,
}

/// What a stretch took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) elapsed: Duration,
    /// Of the broker, if its process was named.
    pub(super) broker: Option<Duration>,
    /// Of this process.
    pub(super) own: Duration,
}

impl Gauge {
    /// Begins to measure.
    pub(super) fn start(pid: Option<u32>) -> anyhow::Result<Self> {
        let broker = pid.map(cpu::of_process).transpose()?;
        Ok(Self { pid, at: Instant::now(), broker, own: cpu::own() })
    }

    pub(super) fn stop(&self) -> anyhow::Result<Used> {
        let end = Self::start(self.pid)?;
        let broker = end.broker.zip(self.broker).map(|(end, start)| end.saturating_sub(start));
        Ok(Used { elapsed: end.at - self.at, broker, own: end.own.saturating_sub(self.own) })
    }
}

impl Used {
    pub(super) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.as_secs_f64()
    }

    /// Microseconds of the broker for each of `count`.
    pub(super) fn broker_us(&self, count: u64) -> Option<f64> {
        self.broker.map(|time| micros_each(time, count))
    }

    /// Microseconds of this tool for each of `count`.
    pub(super) fn own_us(&self, count: u64) -> f64 {
        micros_each(self.own, count)
    }
}

/// Microseconds for each of `count`.
pub(super) fn micros_each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}
