//! `avocet bench`: load for any broker, and the yardstick.
//!
//! - [`relay`]: the floor a broker is measured against;
//! - [`load`], [`engine`]: the closed loop of publishers and subscribers, one thread;
//! - [`shape`]: who sends to whom; [`window`], [`lane`]: credit and order, pure;
//! - [`link`], [`wire`]: sockets and frames of the hot loops;
//! - [`cpu`], [`latency`], [`outcome`]: what is measured and how it is told;
//! - [`yardstick`]: relay and broker side by side.

mod args;
mod child;
mod cpu;
mod engine;
mod lane;
mod latency;
mod link;
mod load;
mod outcome;
mod progress;
mod publisher;
mod relay;
mod setup;
mod shape;
mod window;
mod wire;
mod yardstick;

use std::process::ExitCode;

use clap::Subcommand;

use self::{
    args::{FaninArgs, FanoutArgs, LoadArgs, PairArgs},
    relay::RelayArgs,
    shape::Shape,
    yardstick::YardstickArgs,
};
use crate::{cli::print, client::Failure};

/// A scenario.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Publishers and subscribers in pairs, a topic for each pair.
    Pair(PairArgs),
    /// Many publishers, one subscriber, one topic.
    Fanin(FaninArgs),
    /// One publisher, many subscribers, one topic.
    Fanout(FanoutArgs),
    /// The floor: bring bytes from publishers to subscribers and look at nothing else.
    ///
    /// Knows just enough MQTT for pair, fanin and fanout with QoS 0. When it serves, one line on
    /// standard output says so: `ready tcp.default=127.0.0.1:PORT`.
    Relay(RelayArgs),
    /// Compare this broker with the relay: what a message costs, as a multiple of the floor.
    Yardstick(YardstickArgs),
}

/// Runs a scenario.
pub(crate) fn run(command: BenchCommand) -> ExitCode {
    let result = match command {
        BenchCommand::Pair(args) => measure(&args.load, Shape::Pair, args.pairs),
        BenchCommand::Fanin(args) => measure(&args.load, Shape::Fanin, args.publishers),
        BenchCommand::Fanout(args) => measure(&args.load, Shape::Fanout, args.subscribers),
        BenchCommand::Relay(args) => {
            relay::run(&args).map(|()| ExitCode::SUCCESS).map_err(Failure::Other)
        }
        BenchCommand::Yardstick(args) => yardstick::run(&args)
            .map(|is_good| if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            .map_err(Failure::Other),
    };
    result.unwrap_or_else(|failure| failure.tell())
}

fn measure(args: &LoadArgs, shape: Shape, count: u32) -> Result<ExitCode, Failure> {
    let load = args.load(shape, count)?;
    let outcome = load::run(&load)?;
    let shown =
        print(&if args.json { format!("{}\n", outcome.to_json()) } else { outcome.to_string() });
    Ok(if outcome.is_good() { shown } else { ExitCode::FAILURE })
}
