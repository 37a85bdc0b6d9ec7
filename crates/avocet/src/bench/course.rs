//! Scenarios that go through stretches with the same clients, one after the other, each measured
//! apart.

use std::{process::ExitCode, time::Duration};

use serde_json::Value;

use super::{
    bar::Bar,
    broker::CrowdArgs,
    crowd::Crowd,
    gauge::{Gauge, Used},
    latency::Latencies,
    memory::Held,
};
use crate::{cli::print, client::Failure};

/// What a scenario does with its clients.
pub(super) trait Course: Sized {
    /// Names a stretch.
    type Stretch: Copy;

    fn args(&self) -> &CrowdArgs;

    /// Clients that are connected from the beginning to the end.
    fn clients(&self) -> u64;

    /// All stretches. In the first is done what the broker holds in memory.
    fn stretches(&self) -> Vec<Self::Stretch>;

    fn perform(
        &self,
        stretch: Self::Stretch,
        crowd: &mut Crowd,
        bar: &mut Bar,
    ) -> anyhow::Result<Done>;

    /// What is to be done after a stretch, and not measured.
    fn clear_up(
        &self,
        stretch: Self::Stretch,
        crowd: &mut Crowd,
        bar: &mut Bar,
    ) -> anyhow::Result<()>;

    fn to_json(&self, record: &Record<Self::Stretch>) -> Value;

    fn to_text(&self, record: &Record<Self::Stretch>) -> String;
}

/// What was done in a stretch.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) count: u64,
    pub(super) refused: u64,
    /// What was to come and did not.
    pub(super) lost: u64,
    /// Of each packet until its answer, if that is told.
    pub(super) latencies: Latencies,
    /// From the beginning to what came first and last, if that is told.
    pub(super) first: Duration,
    pub(super) last: Duration,
}

impl Done {
    /// Nothing but `count` things, all as it should be.
    pub(super) fn all(count: u64) -> Self {
        let (latencies, never) = (Latencies::new(), Duration::ZERO);
        Self { count, refused: 0, lost: 0, latencies, first: never, last: never }
    }
}

/// A stretch that is over.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) done: Done,
    pub(super) used: Used,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Record<S> {
    /// Bytes that the broker has grown by in the first stretch, if its process was named.
    pub(super) grown: Option<i64>,
    pub(super) stretches: Vec<(S, Measured)>,
}

/// Runs a scenario and tells what was found.
pub(super) fn run<C: Course>(course: &C) -> Result<ExitCode, Failure> {
    let args = course.args();
    let mut crowd = args.crowd(course.clients())?;
    let record = measure(course, &mut crowd)?;
    crowd.leave()?;
    let told = if args.broker.json {
        format!("{}\n", course.to_json(&record))
    } else {
        course.to_text(&record)
    };
    let shown = print(&told);
    Ok(if record.is_good() { shown } else { ExitCode::FAILURE })
}

fn measure<C: Course>(course: &C, crowd: &mut Crowd) -> anyhow::Result<Record<C::Stretch>> {
    let (pid, mut bar) = (course.args().broker.pid, Bar::new(true));
    crowd.gather_all(course.clients(), &mut bar)?;
    let mut record = Record { grown: None, stretches: Vec::new() };
    for stretch in course.stretches() {
        record.add(pid, stretch, || {
            let gauge = Gauge::start(pid)?;
            let done = course.perform(stretch, crowd, &mut bar)?;
            Ok(Measured { done, used: gauge.stop()? })
        })?;
        course.clear_up(stretch, crowd, &mut bar)?;
    }
    bar.clear();
    Ok(record)
}

impl<S: Copy> Record<S> {
    /// Goes through a stretch, with an eye on memory if it is the first.
    fn add(
        &mut self,
        pid: Option<u32>,
        stretch: S,
        measure: impl FnOnce() -> anyhow::Result<Measured>,
    ) -> anyhow::Result<()> {
        let pid = pid.filter(|_| self.stretches.is_empty());
        let before = pid.map(Held::of_process).transpose()?;
        let measured = measure()?;
        if let (Some(pid), Some(before)) = (pid, before) {
            self.grown = Some(Held::of_process(pid)?.since(before).pss);
        }
        self.stretches.push((stretch, measured));
        Ok(())
    }

    pub(super) fn refused(&self) -> u64 {
        self.stretches.iter().map(|(_, measured)| measured.done.refused).sum()
    }

    pub(super) fn lost(&self) -> u64 {
        self.stretches.iter().map(|(_, measured)| measured.done.lost).sum()
    }

    fn is_good(&self) -> bool {
        self.refused() == 0 && self.lost() == 0
    }
}

impl Measured {
    pub(super) fn per_second(&self) -> f64 {
        self.used.per_second(self.done.count)
    }

    /// Microseconds of the broker for each.
    pub(super) fn broker_us(&self) -> Option<f64> {
        self.used.broker_us(self.done.count)
    }

    /// Microseconds of this tool for each.
    pub(super) fn own_us(&self) -> f64 {
        self.used.own_us(self.done.count)
    }

    /// A line: what was done how often, and what it cost.
    pub(super) fn to_text(&self, name: &str, what: &str) -> String {
        let (rate, own) = (self.per_second(), self.own_us());
        let broker = self.broker_us();
        let broker = broker.map_or_else(String::new, |us| format!(", broker {us:.3} us each"));
        format!("  {name:<11} {rate:.0} {what}/s{broker}, this tool {own:.3} us\n")
    }
}
