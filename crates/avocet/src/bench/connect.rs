//! How fast a broker lets clients in.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{
    arrivals::Arrivals,
    broker::{CrowdArgs, up_to},
    gathering::{self, GatherArgs, Gathering},
    gauge::{Gauge, Used},
    outcome::round,
    processes::{Parts, Role},
};
use crate::{cli::print, client::Failure};

const EXAMPLES: &str = "\
Examples:
  avocet bench connect                             10,000 connections to 127.0.0.1:1883
  avocet bench connect --count 50000 --concurrency 256 --pid $(pidof avocet)
  avocet bench connect --count 5000 --rate 500 --tls --cafile ca.pem --host localhost
  avocet bench connect --count 40000 --keep --processes 4 --source 127.0.0.2-127.0.0.3

Latency is from the beginning of the connection to its CONNACK, handshakes of TLS and WebSocket
included. The broker's processor time includes what it takes to close connections, unless --keep.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConnectArgs {
    /// How many connections.
    #[arg(long, default_value_t = 10_000, value_parser = up_to(10_000_000))]
    count: u64,
    /// Keep all connections to the end, instead of closing each when it is open.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    gather: GatherArgs,
    #[command(flatten)]
    crowd: CrowdArgs,
}

/// Runs the scenario.
pub(super) fn run(args: &ConnectArgs) -> Result<ExitCode, Failure> {
    let (broker, count, is_kept) = (&args.crowd.broker, args.count, args.keep);
    let gathering = Gathering { crowd: &args.crowd, args: &args.gather, count, is_kept };
    gathering.check()?;
    let (arrivals, used) = match gathering.role() {
        Role::Parent(processes) => {
            let mut parts = Parts::start(processes)?;
            let gauge = Gauge::start(broker.pid)?;
            parts.go()?;
            let arrivals = gathering::merged(&parts.results()?)?;
            let used = gauge.stop()?;
            parts.end()?;
            (arrivals, used)
        }
        role @ (Role::Alone | Role::Part(_)) => {
            let (mut crowd, plan, mut bar) =
                (gathering.crowd()?, gathering.plan()?, gathering.bar());
            if let Some(part) = role.part() {
                part.wait_for_all()?;
            }
            let gauge = Gauge::start(broker.pid)?;
            let arrivals = crowd.gather(&plan, &mut bar)?;
            let used = gauge.stop()?;
            bar.clear();
            if let Some(part) = role.part() {
                print(&format!("{}\n", arrivals.to_json()));
                part.wait_for_end(&mut crowd)?;
                return Ok(ExitCode::SUCCESS);
            }
            crowd.leave()?;
            (arrivals, used)
        }
    };
    let told = if broker.json {
        to_json(&gathering, &arrivals, &used)
    } else {
        to_text(&gathering, &arrivals, &used)
    };
    let shown = print(&told);
    Ok(if arrivals.is_good() { shown } else { ExitCode::FAILURE })
}

fn to_json(gathering: &Gathering<'_>, arrivals: &Arrivals, used: &Used) -> String {
    let mut told = gathering::to_json("connect", gathering, arrivals);
    told["kept"] = json!(gathering.is_kept);
    told["broker_cpu_us_per_connect"] = json!(used.broker_us(arrivals.connected).map(round));
    told["own_cpu_us_per_connect"] = json!(round(gathering::own_us(arrivals)));
    format!("{told}\n")
}

fn to_text(gathering: &Gathering<'_>, arrivals: &Arrivals, used: &Used) -> String {
    let mut text = gathering::to_text("connect", gathering, arrivals);
    if let Some(us) = used.broker_us(arrivals.connected) {
        text.push_str(&format!("  broker      {us:.1} us of processor time for a connection\n"));
    }
    text.push_str(&format!("  this tool   {:.1} us\n", gathering::own_us(arrivals)));
    text
}
