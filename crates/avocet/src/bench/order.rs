//! What a broker keeps its word about while connections are cut: publishers and subscribers in
//! pairs, with sessions that outlive their connections.
//!
//! - [`checker`]: what a subscriber may be sent, and what not; pure;
//! - [`pair`]: a publisher's unacknowledged messages and its subscriber; pure;
//! - [`engine`]: connections, cut and opened again;
//! - [`outcome`]: what is told.

mod checker;
mod engine;
mod outcome;
mod pair;

use std::process::ExitCode;

use anyhow::Context;

use self::{
    engine::Engine,
    outcome::{Found, Outcome},
};
use super::{
    args::OrderArgs,
    load::{Load, Meter, Until},
    processes::Role,
    progress::Progress,
    shared::{self, Shared},
};
use crate::{
    cli::{complain, print},
    client::Failure,
};

/// When connections are cut.
#[derive(Clone, Copy, Debug)]
struct Cuts {
    /// After so many messages.
    every: u64,
    publishers_too: bool,
}

/// Runs it and tells what was found. Failure if that is not allowed.
pub(super) fn run(args: &OrderArgs) -> Result<ExitCode, Failure> {
    let load = args.load()?;
    let cuts = Cuts { every: args.every, publishers_too: args.publishers_too };
    let found = match load.role {
        Role::Alone => measure(&load, cuts)?,
        Role::Parent(processes) => shared::found(processes)?,
        Role::Part(_) => return Ok(print(&format!("{}\n", measure(&load, cuts)?.to_json()))),
    };
    let outcome = Outcome { load, every: cuts.every, found };
    let is_json = outcome.load.is_json;
    let shown =
        print(&if is_json { format!("{}\n", outcome.to_json()) } else { outcome.to_string() });
    Ok(if outcome.found.is_good() { shown } else { ExitCode::FAILURE })
}

fn measure(load: &Load, cuts: Cuts) -> anyhow::Result<Found> {
    let mut engine = Engine::open(load, cuts)?;
    let name = format!("order QoS {}", load.qos.bits());
    let mut progress = Progress::new(name, load.until, load.role.shows_progress());
    if let Some(part) = load.role.part() {
        part.wait_for_all()?;
    }
    let start = Meter::read(load, 0)?;
    engine.start()?;
    loop {
        engine.turn()?;
        let elapsed = start.at.elapsed();
        progress.show(elapsed, engine.delivered());
        let is_over = match load.until {
            Until::Elapsed(duration) => elapsed >= duration,
            Until::Delivered(count) => engine.delivered() >= count,
        };
        if is_over || engine.is_stalled() {
            break;
        }
    }
    let costs = start.costs_until(&Meter::read(load, engine.delivered())?);
    engine.drain().context("while waiting for the last messages")?;
    progress.clear();
    let (findings, cut) = (engine.findings(), engine.cut());
    if let Err(error) = engine.remove_sessions() {
        complain(&format_args!("avocet: sessions stay with the broker: {error:#}"));
    }
    Ok(Found { costs, cut, findings })
}

#[cfg(test)]
mod tests;
