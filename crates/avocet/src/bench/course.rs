//! Scenarios that go through stretches with the same clients, one after the other, each measured
//! apart. Several processes go through them in step: the one that started them measures from when
//! it lets them begin until the last of them is done.

use std::{io, process::ExitCode, time::Duration};

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    bar::Bar,
    broker::CrowdArgs,
    crowd::Crowd,
    gauge::{Gauge, Used},
    latency::Latencies,
    memory::Held,
    processes::{Parts, Role},
    shared::{number, time},
};
use crate::{cli::print, client::Failure};

/// What a scenario does with its clients.
pub(super) trait Course: Sized {
    /// Names a stretch.
    type Stretch: Copy;

    fn args(&self) -> &CrowdArgs;

    /// Clients of both kinds, who are connected from the beginning to the end.
    fn clients(&self) -> [u64; 2];

    /// What a process of this role does of it.
    fn part(&self, role: Role) -> Result<Self, String>;

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
    let role = args.broker.role();
    let own = course.part(role)?;
    args.broker.check(course.clients().iter().sum())?;
    let record = match role {
        Role::Parent(processes) => conduct(course, processes)?,
        Role::Alone | Role::Part(_) => {
            let mut first = 0;
            for clients in course.clients() {
                first += role.share(clients)?.start;
            }
            let mut crowd = args.crowd(first)?;
            let record = measure(&own, &mut crowd)?;
            crowd.leave()?;
            record
        }
    };
    if role.part().is_some() {
        return Ok(ExitCode::SUCCESS);
    }
    let told = if args.broker.json {
        format!("{}\n", course.to_json(&record))
    } else {
        course.to_text(&record)
    };
    let shown = print(&told);
    Ok(if record.is_good() { shown } else { ExitCode::FAILURE })
}

fn measure<C: Course>(course: &C, crowd: &mut Crowd) -> anyhow::Result<Record<C::Stretch>> {
    let (broker, role) = (&course.args().broker, course.args().broker.role());
    let (part, mut bar) = (role.part(), Bar::new(role.shows_progress()));
    // There is one broker, measured by the process that started us, if one did.
    let pid = broker.pid.filter(|_| part.is_none());
    crowd.gather_all(course.clients().iter().sum(), &mut bar)?;
    if part.is_some() {
        crowd.listen_to(&io::stdin())?;
    }
    let mut record = Record::new();
    for stretch in course.stretches() {
        if let Some(part) = part {
            part.rest_until_all(crowd)?;
        }
        let measured = record.add(pid, stretch, || {
            let gauge = Gauge::start(pid)?;
            let done = course.perform(stretch, crowd, &mut bar)?;
            Ok(Measured { done, used: gauge.stop()? })
        })?;
        if part.is_some() {
            print(&format!("{}\n", measured.to_json()));
        }
        course.clear_up(stretch, crowd, &mut bar)?;
    }
    bar.clear();
    Ok(record)
}

/// Lets so many processes go through the stretches, none of them ahead of the others.
fn conduct<C: Course>(course: &C, processes: u32) -> anyhow::Result<Record<C::Stretch>> {
    let pid = course.args().broker.pid;
    let mut parts = Parts::start(processes)?;
    let mut record = Record::new();
    for stretch in course.stretches() {
        if !record.stretches.is_empty() {
            parts.wait_until_ready()?;
        }
        record.add(pid, stretch, || {
            let gauge = Gauge::start(pid)?;
            parts.go()?;
            let told = parts.results()?;
            let all = Measured { done: Done::all(0), used: gauge.stop()? };
            told.iter().try_fold(all, Measured::with).context("a process found nothing")
        })?;
    }
    parts.end()?;
    Ok(record)
}

impl<S> Record<S> {
    fn new() -> Self {
        Self { grown: None, stretches: Vec::new() }
    }

    /// Goes through a stretch, with an eye on memory if it is the first.
    fn add(
        &mut self,
        pid: Option<u32>,
        stretch: S,
        measure: impl FnOnce() -> anyhow::Result<Measured>,
    ) -> anyhow::Result<&Measured> {
        let pid = pid.filter(|_| self.stretches.is_empty());
        let before = pid.map(Held::of_process).transpose()?;
        let measured = measure()?;
        if let (Some(pid), Some(before)) = (pid, before) {
            self.grown = Some(Held::of_process(pid)?.since(before).pss);
        }
        Ok(&self.stretches.push_mut((stretch, measured)).1)
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
    /// For the process that adds it to those of others.
    fn to_json(&self) -> Value {
        let Done { count, refused, lost, latencies, first, last } = &self.done;
        json!({
            "count": count,
            "refused": refused,
            "lost": lost,
            "latency": latencies.to_json(),
            "first_seconds": first.as_secs_f64(),
            "last_seconds": last.as_secs_f64(),
            "own_cpu_seconds": self.used.own.as_secs_f64(),
        })
    }

    /// With what [`Self::to_json`] wrote in another process; `None` if it is something else.
    fn with(mut self, other: &Value) -> Option<Self> {
        let (done, count) = (&mut self.done, number(other, "count")?);
        let (first, last) = (time(other, "first_seconds")?, time(other, "last_seconds")?);
        if count > 0 {
            done.first = if done.count == 0 { first } else { done.first.min(first) };
        }
        done.count += count;
        done.refused += number(other, "refused")?;
        done.lost += number(other, "lost")?;
        done.latencies.merge(&Latencies::from_json(other.get("latency")?)?);
        done.last = done.last.max(last);
        self.used.own += time(other, "own_cpu_seconds")?;
        Some(self)
    }

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

#[cfg(test)]
mod tests;
