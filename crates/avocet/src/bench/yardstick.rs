//! Relay and broker side by side: what a message costs the broker, as a multiple of the least it
//! could cost. Runs are interleaved, since the machine is not the same from one minute to the next.

mod table;

use std::time::Duration;

use anyhow::Context;
use avocet_mqtt::{ProtocolVersion, QoS};
use clap::Args;

use self::table::Table;
use super::{
    args::{seconds, window},
    child::{Children, Serving},
    load::{self, Load, Rate, Until},
    processes::Role,
    shape::Shape,
    source::Sources,
    window::WINDOW_MAX,
};
use crate::{
    cli::{complain, print},
    client::{qos, stream::Target},
};

const PAIRS: u32 = 50;
const FANIN_PUBLISHERS: u32 = 100;
const FANOUT_SUBSCRIBERS: u32 = 500;
const PAYLOAD_BYTES: usize = 16;
const WARM_UP: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  avocet bench yardstick                           the whole table, in about five minutes
  avocet bench yardstick --runs 1 --windows 64 --qos 0

The figures are microseconds of processor time for a delivered message, medians of all runs. In
brackets: QoS 0 as a multiple of the relay, the others as a multiple of QoS 0; medians of the ratios
of each run. Latency is counted from when a message was due, at half of the rate at which the relay
moved messages of the first line, in pairs.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct YardstickArgs {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// QoS to measure beside 0.
    #[arg(long, default_value = "0,1,2", value_delimiter = ',', value_parser = qos)]
    qos: Vec<QoS>,
    /// Windows of the publishers.
    #[arg(long, default_value = "1,8,64", value_delimiter = ',', value_parser = window())]
    windows: Vec<u16>,
    /// Leave out fan-in and fan-out.
    #[arg(long)]
    pairs_only: bool,
    /// A setting for the broker, as with `avocet start`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// What is measured against what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Relay,
    Broker(QoS),
    Fastlane,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scenario {
    shape: Shape,
    count: u32,
    window: u16,
}

/// Measures everything and prints the table. False if messages were lost or the like.
pub(super) fn run(args: &YardstickArgs) -> anyhow::Result<bool> {
    let children = Children::new()?;
    let relay = children.start("relay", &["bench", "relay", "--port", "0"].map(str::to_owned))?;
    let broker = children.start("broker", &broker_arguments(args, &children))?;
    let (scenarios, ways) = (scenarios(args), ways(&args.qos));
    let mut table = Table::new(&scenarios, &ways);
    let mut is_good = true;
    for run in 0..args.runs {
        for (scenario, way) in scenarios.iter().flat_map(|s| ways.iter().map(move |w| (*s, *w))) {
            let serving = if way == Way::Relay { relay } else { broker };
            let outcome = load::run(&load(args, serving, scenario, way))
                .with_context(|| format!("run {} of {}", run + 1, args.runs))?;
            if !outcome.is_good() {
                complain(&outcome);
                is_good = false;
            }
            table.add(scenario, way, &outcome.found.costs);
        }
        // Half of what the relay moves is a load that either bears.
        let rate = (table.last_rate(scenarios[0], Way::Relay) / 2.0) as u32;
        for way in [Way::Relay, Way::Broker(QoS::AtMostOnce)] {
            let serving = if way == Way::Relay { relay } else { broker };
            let load = Load {
                rate: Rate::Open(rate.max(1)),
                window: WINDOW_MAX,
                ..load(args, serving, scenarios[0], way)
            };
            let outcome = load::run(&load).context("half load")?;
            table.add_latency(way, rate, outcome.found.latencies.spread());
        }
    }
    print(&if args.json { format!("{}\n", table.to_json()) } else { table.to_string() });
    Ok(is_good)
}

fn broker_arguments(args: &YardstickArgs, children: &Children) -> Vec<String> {
    let data_dir = children.directory().join("data");
    let settings = [
        "listeners.tcp.default.bind=127.0.0.1:0".to_owned(),
        "http.bind=127.0.0.1:0".to_owned(),
        format!("node.data_dir={}", data_dir.display()),
    ];
    let settings = settings.iter().chain(&args.set);
    let settings = settings.flat_map(|setting| ["--set".to_owned(), setting.clone()]);
    std::iter::once("start".to_owned()).chain(settings).collect()
}

fn scenarios(args: &YardstickArgs) -> Vec<Scenario> {
    let fans = [(Shape::Fanin, FANIN_PUBLISHERS), (Shape::Fanout, FANOUT_SUBSCRIBERS)];
    let fans = fans.into_iter().filter(|_| !args.pairs_only);
    std::iter::once((Shape::Pair, PAIRS))
        .chain(fans)
        .flat_map(|(shape, count)| {
            args.windows.iter().map(move |&window| Scenario { shape, count, window })
        })
        .collect()
}

/// Relay, QoS 0 and `$fastlane` next to each other, then the dearer ones.
fn ways(qos: &[QoS]) -> Vec<Way> {
    let mut ways = vec![Way::Relay, Way::Broker(QoS::AtMostOnce), Way::Fastlane];
    let others = [QoS::AtLeastOnce, QoS::ExactlyOnce];
    ways.extend(others.into_iter().filter(|other| qos.contains(other)).map(Way::Broker));
    ways
}

fn load(args: &YardstickArgs, serving: Serving, scenario: Scenario, way: Way) -> Load {
    let qos = if let Way::Broker(qos) = way { qos } else { QoS::AtMostOnce };
    Load {
        shape: scenario.shape,
        count: scenario.count,
        target: Target::tcp("127.0.0.1", serving.port),
        username: None,
        password: None,
        pid: Some(serving.pid),
        window: scenario.window,
        rate: Rate::Unlimited,
        payload_bytes: PAYLOAD_BYTES,
        qos,
        version: ProtocolVersion::V3_1_1,
        is_fastlane: way == Way::Fastlane,
        is_lasting: false,
        warm_up: WARM_UP,
        until: Until::Elapsed(args.seconds),
        patience: PATIENCE,
        sources: Sources::default(),
        role: Role::Alone,
        is_json: false,
    }
}
