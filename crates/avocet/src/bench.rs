//! `avocet bench`: load for any broker, and the yardstick.
//!
//! - [`relay`]: the floor a broker is measured against;
//! - [`load`], [`engine`]: the loop of publishers and subscribers, one thread;
//! - [`shape`]: who sends to whom; [`window`], [`lane`], [`group`]: credit and order, pure;
//! - [`schedule`], [`pace`]: when messages are due, if they have a rate;
//! - [`order`]: what a broker keeps its word about while connections are cut;
//! - [`link`], [`wire`]: sockets and frames of the hot loops;
//! - [`cpu`], [`latency`], [`outcome`]: what is measured and how it is told;
//! - [`yardstick`]: relay and broker side by side.

mod args;
mod child;
mod cpu;
mod engine;
mod group;
mod lane;
mod latency;
mod link;
mod load;
mod order;
mod outcome;
mod pace;
mod progress;
mod publisher;
mod relay;
mod schedule;
mod setup;
mod shape;
mod window;
mod wire;
mod yardstick;

use std::process::ExitCode;

use clap::Subcommand;

use self::{
    args::{FaninArgs, FanoutArgs, LatencyArgs, OrderArgs, PairArgs, ShareArgs},
    load::Load,
    relay::RelayArgs,
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
    /// Many publishers, one shared subscription.
    Share(ShareArgs),
    /// Latency at a steady rate, in an open loop.
    Latency(LatencyArgs),
    /// Loss, duplicates and order while connections are cut and come back.
    Order(OrderArgs),
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
        BenchCommand::Pair(args) => measure(args.load(), args.load.json),
        BenchCommand::Fanin(args) => measure(args.load(), args.load.json),
        BenchCommand::Fanout(args) => measure(args.load(), args.load.json),
        BenchCommand::Share(args) => measure(args.load(), args.load.json),
        BenchCommand::Latency(args) => measure(args.load(), args.load.json),
        BenchCommand::Order(args) => order::run(&args),
        BenchCommand::Relay(args) => {
            relay::run(&args).map(|()| ExitCode::SUCCESS).map_err(Failure::Other)
        }
        BenchCommand::Yardstick(args) => yardstick::run(&args)
            .map(|is_good| if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            .map_err(Failure::Other),
    };
    result.unwrap_or_else(|failure| failure.tell())
}

fn measure(load: Result<Load, Failure>, is_json: bool) -> Result<ExitCode, Failure> {
    let outcome = load::run(&load?)?;
    let shown =
        print(&if is_json { format!("{}\n", outcome.to_json()) } else { outcome.to_string() });
    Ok(if outcome.is_good() { shown } else { ExitCode::FAILURE })
}
