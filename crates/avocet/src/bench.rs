//! `avocet bench`: load for any broker, and the yardstick.
//!
//! - [`relay`]: the floor a broker is measured against;
//! - [`load`], [`engine`]: the loop of publishers and subscribers, one thread;
//! - [`shape`]: who sends to whom; [`window`], [`lane`], [`group`]: credit and order, pure;
//! - [`schedule`], [`pace`]: when messages are due, if they have a rate;
//! - [`order`]: what a broker keeps its word about while connections are cut;
//! - [`link`], [`wire`]: sockets and frames of the hot loops;
//! - [`store`], [`fetch`]: messages for sessions whose clients are away, and how these take them;
//! - [`disk`]: the floor of what is stored; [`stock`]: a folder as a broker leaves it;
//! - [`connect`], [`idle`], [`retained`], [`subscribe`]: scenarios of a [`crowd`], many clients on
//!   one thread; [`course`]: stretches that the last two go through;
//! - [`hold`]: clients without sockets, and a broker in the same process;
//! - [`index`]: what filters and retained topics cost, without a broker;
//! - [`scatter`]: an order in which neither of them meets neighbours;
//! - [`tempo`]: how fast clients come in, subscribe and publish, if they have a rate;
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
mod course;
mod cpu;
mod crowd;
mod dial;
mod disk;
mod engine;
mod feeder;
mod fetch;
mod gathering;
mod gauge;
mod group;
mod hold;
mod idle;
mod index;
mod lane;
mod latency;
mod limits;
mod link;
mod load;
mod memory;
mod order;
mod outcome;
mod pace;
mod processes;
mod progress;
mod publisher;
mod relay;
mod retained;
mod scatter;
mod schedule;
mod setup;
mod shape;
mod shared;
mod source;
mod spread;
mod stock;
mod store;
mod subscribe;
mod subscriber;
mod tempo;
mod window;
mod wire;
mod yardstick;

use std::process::ExitCode;

use clap::Subcommand;

use self::{
    args::{FaninArgs, FanoutArgs, LatencyArgs, OrderArgs, PairArgs, ShareArgs, StoreArgs},
    connect::ConnectArgs,
    disk::DiskArgs,
    hold::HoldArgs,
    idle::IdleArgs,
    index::IndexArgs,
    load::Load,
    outcome::Outcome,
    processes::Role,
    relay::RelayArgs,
    retained::RetainedArgs,
    shared::Shared,
    stock::StockArgs,
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
    /// Many publishers, one shared subscription.
    Share(ShareArgs),
    /// Latency at a steady rate, in an open loop.
    Latency(LatencyArgs),
    /// Loss, duplicates and order while connections are cut and come back.
    Order(OrderArgs),
    /// Messages for sessions whose clients are away.
    Store(StoreArgs),
    /// Clients that connect, one after another or many at once.
    Connect(ConnectArgs),
    /// Many clients that do nothing, and the memory they take.
    Idle(IdleArgs),
    /// As many clients as memory holds, in this process and without sockets: what a broker of this
    /// version takes for each.
    Hold(HoldArgs),
    /// Many retained messages, and subscribers who are handed them.
    Retained(RetainedArgs),
    /// Many subscriptions, and what it costs to match them.
    Subscribe(SubscribeArgs),
    /// The index of filters and that of retained messages, in this process, without a broker.
    Index(IndexArgs),
    /// The floor: bring bytes from publishers to subscribers and look at nothing else.
    ///
    /// Knows just enough MQTT for pair, fanin and fanout with QoS 0, and with --folder for store.
    /// When it serves, one line on standard output says so: `ready tcp.default=127.0.0.1:PORT`.
    Relay(RelayArgs),
    /// The floor of what is stored: append bytes to a file, and have each group of records synced.
    Disk(DiskArgs),
    /// Fill a broker's data folder with what it would have stored, to see how it starts.
    Stock(StockArgs),
    /// Compare this broker with the relay: what a message costs, as a multiple of the floor.
    Yardstick(YardstickArgs),
}

/// Runs a scenario.
pub(crate) fn run(command: BenchCommand) -> ExitCode {
    let result = match command {
        BenchCommand::Pair(args) => measure(args.load()),
        BenchCommand::Fanin(args) => measure(args.load()),
        BenchCommand::Fanout(args) => measure(args.load()),
        BenchCommand::Share(args) => measure(args.load()),
        BenchCommand::Latency(args) => measure(args.load()),
        BenchCommand::Order(args) => order::run(&args),
        BenchCommand::Store(args) => store::run(&args),
        BenchCommand::Connect(args) => connect::run(&args),
        BenchCommand::Idle(args) => idle::run(&args),
        BenchCommand::Hold(args) => hold::run(&args).map_err(Failure::Other),
        BenchCommand::Retained(args) => course::run(&args),
        BenchCommand::Subscribe(args) => course::run(&args),
        BenchCommand::Index(args) => index::run(&args),
        BenchCommand::Relay(args) => {
            relay::run(&args).map(|()| ExitCode::SUCCESS).map_err(Failure::Other)
        }
        BenchCommand::Disk(args) => disk::run(&args).map_err(Failure::Other),
        BenchCommand::Stock(args) => stock::run(&args).map_err(Failure::Other),
        BenchCommand::Yardstick(args) => yardstick::run(&args)
            .map(|is_good| if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            .map_err(Failure::Other),
    };
    result.unwrap_or_else(|failure| failure.tell())
}

fn measure(load: Result<Load, Failure>) -> Result<ExitCode, Failure> {
    let load = load?;
    let outcome = match load.role {
        Role::Alone => load::run(&load)?,
        Role::Parent(processes) => Outcome { found: shared::found(processes)?, load },
        Role::Part(_) => {
            return Ok(print(&format!("{}\n", load::run(&load)?.found.to_json())));
        }
    };
    let shown = print(&if outcome.load.is_json {
        format!("{}\n", outcome.to_json())
    } else {
        outcome.to_string()
    });
    Ok(if outcome.is_good() { shown } else { ExitCode::FAILURE })
}
