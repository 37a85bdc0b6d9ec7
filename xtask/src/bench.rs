//! `cargo xtask bench`: Avocet beside its peers. A fixed table of rows; in each round of a row each
//! broker has its turn; what stands in `docs/benchmarks.md` are medians of the rounds.
//!
//! - [`durable`]: what outlives the process, a table of its own;
//! - [`stalls`]: the same, of others beside long work of the store;
//! - [`peer`]: the brokers, and how one is started;
//! - [`row`]: what is measured;
//! - [`report`]: the figures, as they stand in the document.

mod durable;
mod peer;
mod report;
mod row;
mod stalls;

use std::{path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::{
    peer::{Peer, Running},
    report::Report,
    row::{Figures, Loss, ROWS, Row},
};
use crate::repository;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Rounds of each row; of their figures the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement of a load.
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// What outlives the process, in place of the usual table. At most three rounds of a second.
    #[arg(long, conflicts_with = "row")]
    durable: bool,
    /// Of these only what long work of the store does to others.
    #[arg(long, requires = "durable")]
    stalls: bool,
    /// Only these rows, by name; may be repeated. The document is then left as it is.
    #[arg(long)]
    row: Vec<String>,
    /// Only these peers, by name; may be repeated. The document is then left as it is.
    #[arg(long)]
    peer: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.rounds > 0, "at least one round is needed");
    let rows: Vec<&Row> = ROWS.iter().filter(|row| is_chosen(&options.row, row.name)).collect();
    ensure!(!rows.is_empty(), "there is no such row; there are: {}", row::names());
    let tool = build()?;
    if options.durable && !options.stalls {
        durable::run(options, &tool)?;
    }
    if options.durable {
        return stalls::run(options, &tool);
    }
    let (mut running, absent) = start(options, peer::all(&tool)?)?;
    let mut report = Report::new(&running, &rows);
    let begun = Instant::now();
    for row in &rows {
        measure(options, &tool, row, &mut running, &mut report)?;
        println!("{}", report.line(row.name));
    }
    println!("{:.0} s", begun.elapsed().as_secs_f64());
    if options.row.is_empty() && options.peer.is_empty() {
        report.write(options.rounds, options.seconds, &absent)?;
    }
    Ok(())
}

/// Those of them that are chosen and can be started; why others cannot.
fn start(options: &Options, peers: Vec<Peer>) -> Result<(Vec<Running>, Vec<String>)> {
    let mut running = Vec::new();
    let mut absent = Vec::new();
    for peer in peers.into_iter().filter(|peer| is_chosen(&options.peer, &peer.name)) {
        match peer.version()? {
            None => absent.push(format!("not run: {} is not installed", peer.name)),
            Some(version) => {
                println!("starting {} ({version})", peer.name);
                let name = peer.name.clone();
                match Running::start(peer, version) {
                    Ok(broker) => running.push(broker),
                    Err(error) => absent.push(format!("not run: {name}: {error:#}")),
                }
            }
        }
    }
    repository::print_notes(&absent);
    Ok((running, absent))
}

fn is_chosen(chosen: &[String], name: &str) -> bool {
    chosen.is_empty() || chosen.iter().any(|one| one == name)
}

/// The tool, which is the broker under test as well.
fn build() -> Result<PathBuf> {
    repository::succeed(&mut repository::cargo(&["build", "--release", "--package", "avocet"]))?;
    Ok(repository::target().join("release/avocet"))
}

/// All rounds of a row. A broker that fails once in it has no figure.
fn measure(
    options: &Options,
    tool: &std::path::Path,
    row: &Row,
    running: &mut [Running],
    report: &mut Report,
) -> Result<()> {
    let mut figures: Vec<Result<Vec<Figures>, String>> =
        running.iter().map(|broker| broker.can_do(row).map(|()| Vec::new())).collect();
    // What a broker takes of memory is no matter of chance, and starting it takes long.
    let rounds = if row.needs_fresh_broker { 1 } else { options.rounds };
    for round in 0..rounds {
        for (broker, figures) in running.iter_mut().zip(&mut figures) {
            let Ok(so_far) = figures else { continue };
            if row.needs_fresh_broker || !broker.is_up() {
                broker.restart().with_context(|| format!("starting {} again", broker.name()))?;
            }
            match row.measure(tool, broker, options.seconds) {
                Ok(one) => so_far.push(one),
                Err(error) => {
                    println!("!! {} in {}, round {round}: {error:#}", broker.name(), row.name);
                    let lost = error.downcast_ref::<Loss>().map(ToString::to_string);
                    *figures = Err(lost.unwrap_or_else(|| "failed".to_owned()));
                }
            }
        }
    }
    report.add(row, figures);
    Ok(())
}
