//! `cargo xtask bench --durable`: what outlives the process. Messages for a session whose client is
//! away, beside what the disk could take, by brokers that take care of them or do not; and of
//! Avocet alone how it starts with much, hands out much, and what it needs on the disk.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    Options,
    peer::{self, BARE, Running},
    report::{self, median, shown},
    row::{CPU, OTHERS, number, said, said_of},
};
use crate::repository;

const BEGIN: &str = "<!-- written by `cargo xtask bench --durable` -->";

/// Publishers, of whom each waits for PUBACK before it sends its next message.
const PUBLISHERS: [u32; 3] = [1, 16, 256];
const PAYLOAD_BYTES: &str = "256";
/// More than these say no more.
const ROUNDS_MAX: usize = 3;
const SECONDS_MAX: u32 = 1;

const RATE: &str = "messages_per_second";
const P99: &str = "latency_us/p99";
const LOG: &str = "disk_bytes_per_message/log";

/// Sessions that each of so many messages waits for.
const QUEUES: [(&str, &str); 3] = [("1", "20000"), ("10", "10000"), ("1000", "200")];

/// What a start finds, as the tool has it by default; the last session is looked for.
const STOCK: &str = "1,000,000 retained messages, 100,000 sessions, 1,000,000 queued messages";
const LAST_SESSION: &str = "stock-99999";

pub(super) fn run(options: &Options, tool: &Path) -> Result<()> {
    let begun = Instant::now();
    let rounds = options.rounds.min(ROUNDS_MAX);
    let seconds = options.seconds.min(SECONDS_MAX);
    let (mut running, absent) = super::start(options, peer::durable(tool)?)?;
    let ours = running.iter_mut().find(|broker| broker.name() == "Avocet");
    let ours = ours.context("Avocet is to be among the brokers")?;
    let alone = Alone::measure(tool, ours)?;
    let mut beside = Beside::new(&running, alone.log_bytes[0]);
    for round in 0..rounds {
        beside.measure(tool, &mut running, seconds, round)?;
    }
    let mut text = beside.table();
    text.push_str(&format!(
        "\nMedians of {rounds} rounds, each of {seconds} s; everything else on the machine kept {} \
         processors busy meanwhile (median), at most {}.\n",
        shown(median(beside.others.clone())),
        shown(beside.others.iter().copied().fold(0.0, f64::max)),
    ));
    for note in &absent {
        text.push_str(&format!("{note}.\n"));
    }
    text.push_str(&format!("\n{}", alone.table(&beside)));
    println!("{text}");
    println!("{:.0} s", begun.elapsed().as_secs_f64());
    if options.peer.is_empty() { report::put(BEGIN, &text) } else { Ok(()) }
}

/// What is measured of Avocet alone.
#[derive(Debug)]
struct Alone {
    /// Of the log for a message, by [`QUEUES`].
    log_bytes: [f64; 3],
    /// Microseconds for a message of a backlog of a million, and how many a second.
    taken_us: f64,
    taken_rate: f64,
    start: Duration,
}

impl Alone {
    fn measure(tool: &Path, broker: &mut Running) -> Result<Self> {
        let folder = broker.folder().join("data").display().to_string();
        let mut log_bytes = [0.0; 3];
        for ((sessions, messages), bytes) in QUEUES.into_iter().zip(&mut log_bytes) {
            let load = ["--publishers", "10", "--sessions", sessions, "--messages", messages];
            let said = store(tool, broker, &[&load[..], &["--folder", &folder]].concat())?;
            *bytes = number(&said, LOG)?;
        }
        broker.restart()?;
        let load = ["--publishers", "50", "--window", "100", "--messages", "1000000", "--drain"];
        let said = store(tool, broker, &load)?;
        let taken_us = number(&said, &format!("drain/{CPU}"))?;
        let taken_rate = number(&said, &format!("drain/{RATE}"))?;
        let tool = tool.to_str().context("the path of the tool is not UTF-8")?;
        let start = broker.restart_with(|folder| {
            let folder = folder.join("data").display().to_string();
            repository::succeed(&mut repository::command(tool, &["bench", "stock", &folder]))
        })?;
        ensure!(broker.has_session(LAST_SESSION), "the broker has not read what was stored");
        broker.restart()?;
        Ok(Self { log_bytes, taken_us, taken_rate, start })
    }

    /// What we aim for, and where we are.
    fn table(&self, beside: &Beside) -> String {
        let [one, ten, thousand] = self.log_bytes.map(shown);
        let (disk, bare) = (beside.share(), beside.share_of_bare());
        let figures = [disk, bare, beside.syncs(), beside.bare_syncs(), beside.sync_us()];
        let [share, of_bare, syncs, bare_syncs, sync] = figures.map(shown);
        let (start, us) = (shown(self.start.as_secs_f64()), shown(self.taken_us));
        let rate = (self.taken_rate / 1000.0).round();
        format!(
            "| Avocet | | aim |\n|---|---|---|\n\
             | 256 publishers: part of what the disk takes | {share} | 0.7 |\n\
             | 256 publishers: part of what {BARE} takes | {of_bare} | |\n\
             | 16 publishers: p99 of PUBACK, as a multiple of the median of one sync ({sync} us) \
             | {syncs} | 3 |\n\
             | the same of {BARE} | {bare_syncs} | |\n\
             | start with {STOCK}, until CONNACK, s | {start} | 10 |\n\
             | 1,000,000 waiting messages, taken by one client ({rate},000 a second), us each \
             | {us} | 4 |\n\
             | bytes of the log for a message that waits for 1, 10, 1,000 sessions \
             | {one}, {ten}, {thousand} | |\n"
        )
    }
}

/// What is measured of all of them, in turns.
#[derive(Debug)]
struct Beside {
    names: Vec<String>,
    /// Bytes of a record of the disk's yardstick.
    record: String,
    /// By [`PUBLISHERS`]: records a second, microseconds of a group (median, p99).
    disk: [Vec<[f64; 3]>; 3],
    /// By broker and [`PUBLISHERS`]: messages a second, processor time, p99 of PUBACK.
    brokers: Vec<[Vec<[f64; 3]>; 3]>,
    others: Vec<f64>,
}

impl Beside {
    fn new(running: &[Running], record_bytes: f64) -> Self {
        let name = |broker: &Running| format!("{} {}", broker.name(), broker.version);
        Self {
            names: running.iter().map(name).collect(),
            record: format!("{record_bytes:.0}"),
            disk: Default::default(),
            brokers: running.iter().map(|_| Default::default()).collect(),
            others: Vec::new(),
        }
    }

    /// One round.
    fn measure(
        &mut self,
        tool: &Path,
        running: &mut [Running],
        seconds: u32,
        round: usize,
    ) -> Result<()> {
        let folder = running.first().context("no broker runs")?.folder().display().to_string();
        let seconds = seconds.to_string();
        for (index, publishers) in PUBLISHERS.map(|count| count.to_string()).iter().enumerate() {
            let disk = ["disk", "--folder", &folder, "--size", &self.record, "--group", publishers];
            let said = said(tool, &[&disk[..], &["--seconds", &seconds]].concat())?;
            self.disk[index]
                .push(figures(&said, ["records_per_second", "group_us/median", "group_us/p99"])?);
            for (broker, found) in running.iter_mut().zip(&mut self.brokers) {
                let load = ["--publishers", publishers, "--seconds", &seconds];
                match store(tool, broker, &load) {
                    Ok(said) => {
                        found[index].push(figures(&said, [RATE, CPU, P99])?);
                        self.others.extend(number(&said, OTHERS));
                    }
                    Err(error) => println!("!! {}, round {round}: {error:#}", broker.name()),
                }
            }
        }
        Ok(())
    }

    fn table(&self) -> String {
        let mut text = format!("| | the disk | {} |\n|---|---|", self.names.join(" | "));
        text.push_str(&"---|".repeat(self.names.len()));
        text.push('\n');
        let titles = ["messages/s", "us of processor time each", "p99 of PUBACK, us"];
        for (index, publishers) in PUBLISHERS.into_iter().enumerate() {
            for (figure, title) in titles.into_iter().enumerate() {
                let disk =
                    if figure == 1 { String::new() } else { cell(&self.disk[index], figure) };
                let brokers = self.brokers.iter().map(|broker| cell(&broker[index], figure));
                let cells: Vec<String> = std::iter::once(disk).chain(brokers).collect();
                text.push_str(&format!("| {publishers}: {title} | {} |\n", cells.join(" | ")));
            }
        }
        text
    }

    /// How much of what the disk takes Avocet takes of the most publishers.
    fn share(&self) -> f64 {
        self.of_ours(2).map_or(0.0, |ours| ratio((ours, 0), (&self.disk[2], 0)))
    }

    /// How much of what a bare server takes.
    fn share_of_bare(&self) -> f64 {
        let found = self.of_ours(2).zip(self.of_bare(2));
        found.map_or(0.0, |(ours, bare)| ratio((ours, 0), (bare, 0)))
    }

    /// How many syncs of one record the slowest PUBACK in a hundred takes.
    fn syncs(&self) -> f64 {
        self.of_ours(1).map_or(0.0, |ours| ratio((ours, 2), (&self.disk[0], 1)))
    }

    fn bare_syncs(&self) -> f64 {
        self.of_bare(1).map_or(0.0, |bare| ratio((bare, 2), (&self.disk[0], 1)))
    }

    /// The median of one sync of one record, in microseconds.
    fn sync_us(&self) -> f64 {
        of(&self.disk[0], 1)
    }

    /// Of Avocet as it is.
    fn of_ours(&self, publishers: usize) -> Option<&[[f64; 3]]> {
        self.of("Avocet ", publishers)
    }

    fn of_bare(&self, publishers: usize) -> Option<&[[f64; 3]]> {
        self.of(BARE, publishers)
    }

    /// The version follows the name.
    fn of(&self, name: &str, publishers: usize) -> Option<&[[f64; 3]]> {
        let its = self.names.iter().zip(&self.brokers).find(|(it, _)| it.starts_with(name));
        its.map(|(_, found)| &*found[publishers])
    }
}

fn store(tool: &Path, broker: &Running, load: &[&str]) -> Result<Value> {
    said_of(tool, broker, &[&["store", "--size", PAYLOAD_BYTES], load].concat())
}

fn figures(said: &Value, paths: [&str; 3]) -> Result<[f64; 3]> {
    let [one, two, three] = paths.map(|path| number(said, path));
    Ok([one?, two?, three?])
}

/// The median of the rounds' ratios of one figure to another: what is measured in one round has the
/// same other work beside it.
fn ratio(ours: (&[[f64; 3]], usize), disk: (&[[f64; 3]], usize)) -> f64 {
    let rounds = ours.0.iter().zip(disk.0);
    median(rounds.map(|(a, b)| a[ours.1] / b[disk.1]).collect())
}

/// The median of one figure.
fn of(rounds: &[[f64; 3]], figure: usize) -> f64 {
    median(rounds.iter().map(|figures| figures[figure]).collect())
}

fn cell(rounds: &[[f64; 3]], figure: usize) -> String {
    if rounds.is_empty() { "failed".to_owned() } else { shown(of(rounds, figure)) }
}
