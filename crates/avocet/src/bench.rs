//! `avocet bench`: load for any broker, and the yardstick.
//!
//! - [`relay`]: the floor a broker is measured against;
//! - [`load`], [`engine`]: the closed loop of publishers and subscribers, one thread;
//! - [`shape`]: who sends to whom; [`window`], [`lane`]: credit and order, pure;
//! - [`link`], [`wire`]: sockets and frames of the hot loops;
//! - [`connect`], [`idle`], [`retained`], [`subscribe`]: scenarios of a [`crowd`], many clients on
//!   one thread;
//! - [`dial`], [`source`], [`limits`]: connections that nobody waits for, and how many can be;
//! - [`feeder`], [`subscriber`]: what a crowd publishes and subscribes;
//! - [`processes`], [`shared`]: a load that several processes share;
//! - [`gauge`], [`memory`], [`arrivals`], [`spread`], [`bar`]: what they measure and tell;
//! - [`cpu`], [`latency`], [`outcome`]: what is measured and how it is told;
//! - [`yardstick`]: relay and broker side by side.

mod args;
mod arrivals;
mod bar;
mod broker;
mod child;
mod connect;
mod cpu;
mod crowd;
mod dial;
mod engine;
mod feeder;
mod gathering;
mod gauge;
mod idle;
mod lane;
mod latency;
mod limits;
mod link;
mod load;
mod memory;
mod outcome;
mod processes;
mod progress;
mod publisher;
mod relay;
mod retained;
mod setup;
mod shape;
mod shared;
mod source;
mod spread;
mod subscribe;
mod subscriber;
mod window;
mod wire;
mod yardstick;

use std::process::ExitCode;

use clap::Subcommand;

use self::{
    args::{FaninArgs, FanoutArgs, LoadArgs, PairArgs},
    connect::ConnectArgs,
    idle::IdleArgs,
    outcome::Outcome,
    processes::Role,
    relay::RelayArgs,
    retained::RetainedArgs,
    shape::Shape,
    shared::Found,
    subscribe::SubscribeArgs,
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
    /// Clients that connect, one after another or many at once.
    Connect(ConnectArgs),
    /// Many clients that do nothing, and the memory they take.
    Idle(IdleArgs),
    /// Many retained messages, and subscribers who are handed them.
    Retained(RetainedArgs),
    /// Many subscriptions, and what it costs to match them.
    Subscribe(SubscribeArgs),
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
        BenchCommand::Connect(args) => connect::run(&args),
        BenchCommand::Idle(args) => idle::run(&args),
        BenchCommand::Retained(args) => retained::run(&args),
        BenchCommand::Subscribe(args) => subscribe::run(&args),
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
    let outcome = match load.role {
        Role::Alone => load::run(&load)?,
        Role::Parent(processes) => shared::run(&load, processes)?,
        Role::Part(_) => {
            let Outcome { costs, latencies, faults, .. } = load::run(&load)?;
            return Ok(print(&format!("{}\n", Found { costs, latencies, faults }.to_json())));
        }
    };
    let shown =
        print(&if args.json { format!("{}\n", outcome.to_json()) } else { outcome.to_string() });
    Ok(if outcome.is_good() { shown } else { ExitCode::FAILURE })
}
