//! What a connection costs that does nothing: memory of the broker, and of the kernel apart.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    args::seconds,
    arrivals::Arrivals,
    bar::Bar,
    broker::{CrowdArgs, up_to},
    crowd::{Crowd, Rest},
    gathering::{self, GatherArgs, Gathering},
    gauge::{Gauge, Used},
    memory::{Held, Kernel, bytes_each},
    outcome::round,
    processes::{Parts, Role},
    subscriber::{Filters, Subscriber},
};
use crate::{cli::print, client::Failure};

const EXAMPLES: &str = "\
Examples:
  avocet bench idle --pid $(pidof avocet)          15,000 clients with a subscription each
  avocet bench idle --source 127.0.0.2-127.0.0.3   from two addresses: more ports to choose from
  avocet bench idle --count 1000 --subscribe 0 --settle 120 --keep-alive 30
  avocet bench idle --count 60000 --processes 4 --source 127.0.0.2-127.0.0.5

Memory is compared with what there was before the first client, at the end of --settle. The kernel's
is that of the whole machine: what else goes on there is in it, and if the broker is on this
machine, both ends of each connection are; the figure for one end is then half of it. A broker that
has served others before has memory to use again: start it anew to see what a client takes.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct IdleArgs {
    /// How many clients.
    #[arg(long, default_value_t = 15_000, value_parser = up_to(1_000_000))]
    count: u64,
    /// Subscriptions of each client.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=1))]
    subscribe: u64,
    /// Seconds to rest before memory is looked at.
    #[arg(long, default_value = "10", value_parser = seconds)]
    settle: Duration,
    #[command(flatten)]
    gather: GatherArgs,
    #[command(flatten)]
    crowd: CrowdArgs,
}

/// What there was before anyone came.
#[derive(Debug)]
struct Before {
    held: Option<Held>,
    kernel: Kernel,
}

/// What the clients have added, and what the broker did while they rested.
#[derive(Debug)]
struct Added {
    arrivals: Arrivals,
    held: Option<Held>,
    kernel: Kernel,
    rest: Used,
    is_local: bool,
}

/// Runs the scenario.
pub(super) fn run(args: &IdleArgs) -> Result<ExitCode, Failure> {
    let (crowd, count) = (&args.crowd, args.count);
    let gathering = Gathering { crowd, args: &args.gather, count, is_kept: true };
    gathering.check()?;
    let added = match gathering.role() {
        Role::Parent(processes) => of_processes(args, processes)?,
        Role::Alone => alone(args, &gathering)?,
        Role::Part(part) => {
            let (mut crowd, mut bar) = (gathering.crowd()?, gathering.bar());
            part.wait_for_all()?;
            let arrivals = settle_in(args, &gathering, &mut crowd, &mut bar)?;
            bar.clear();
            print(&format!("{}\n", arrivals.to_json()));
            part.wait_for_end(&mut crowd)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let told = if crowd.broker.json {
        format!("{}\n", to_json(args, &gathering, &added))
    } else {
        to_text(args, &gathering, &added)
    };
    let shown = print(&told);
    Ok(if added.arrivals.is_good() { shown } else { ExitCode::FAILURE })
}

fn alone(args: &IdleArgs, gathering: &Gathering<'_>) -> Result<Added, Failure> {
    let (mut crowd, mut bar) = (gathering.crowd()?, gathering.bar());
    let before = Before::read(args.crowd.broker.pid)?;
    let mut arrivals = settle_in(args, gathering, &mut crowd, &mut bar)?;
    let gauge = Gauge::start(args.crowd.broker.pid)?;
    let end = Instant::now() + args.settle;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        bar.show("resting, seconds", (args.settle - left).as_secs(), args.settle.as_secs());
        crowd.turn(left, &mut Rest)?;
    }
    let rest = gauge.stop()?;
    let added = before.added(args.crowd.broker.pid)?;
    bar.clear();
    crowd.note_ended(&mut arrivals);
    crowd.leave()?;
    Ok(Added { arrivals, held: added.held, kernel: added.kernel, rest, is_local: crowd.is_local() })
}

fn of_processes(args: &IdleArgs, processes: u32) -> Result<Added, Failure> {
    let mut parts = Parts::start(processes)?;
    let before = Before::read(args.crowd.broker.pid)?;
    parts.go()?;
    let arrivals = gathering::merged(&parts.results()?)?;
    let gauge = Gauge::start(args.crowd.broker.pid)?;
    parts.rest(args.settle)?;
    let rest = gauge.stop()?;
    let added = before.added(args.crowd.broker.pid)?;
    parts.end()?;
    let is_local = args.crowd.dialer(0)?.is_local();
    Ok(Added { arrivals, held: added.held, kernel: added.kernel, rest, is_local })
}

/// Connects this process's clients and subscribes them.
fn settle_in(
    args: &IdleArgs,
    gathering: &Gathering<'_>,
    crowd: &mut Crowd,
    bar: &mut Bar,
) -> Result<Arrivals, Failure> {
    let mut arrivals = crowd.gather(&gathering.plan()?, bar)?;
    if args.subscribe > 0 {
        let members: Vec<usize> = crowd.inside().collect();
        let filters = Filters::own(members.len() as u64);
        let mut subscriber = Subscriber::new(members, filters, 1, args.crowd.broker.mqtt);
        subscriber.run(crowd, bar, args.crowd.patience)?;
        if subscriber.refused > 0 {
            arrivals.failures.insert("subscription refused".to_owned(), subscriber.refused);
        }
    }
    crowd.tick();
    Ok(arrivals)
}

impl Before {
    fn read(pid: Option<u32>) -> anyhow::Result<Self> {
        Ok(Self { held: pid.map(Held::of_process).transpose()?, kernel: Kernel::read()? })
    }

    /// The difference between now and then.
    fn added(&self, pid: Option<u32>) -> anyhow::Result<Self> {
        let now = Self::read(pid)?;
        let held = now.held.zip(self.held).map(|(now, before)| now.since(before));
        Ok(Self { held, kernel: now.kernel.since(self.kernel) })
    }
}

impl Added {
    fn each(&self, bytes: i64) -> f64 {
        bytes_each(bytes, self.arrivals.connected)
    }

    /// The broker's ends of connections as a part of those on this machine.
    fn one_end(&self, bytes: i64) -> f64 {
        self.each(if self.is_local { bytes / 2 } else { bytes })
    }

    fn busy_percent(&self) -> Option<f64> {
        let elapsed = self.rest.elapsed.as_secs_f64();
        self.rest.broker.map(|time| round(time.as_secs_f64() * 100.0 / elapsed))
    }
}

fn to_json(args: &IdleArgs, gathering: &Gathering<'_>, added: &Added) -> Value {
    let mut told = gathering::to_json("idle", gathering, &added.arrivals);
    let kernel = &added.kernel;
    told["subscriptions_per_client"] = json!(args.subscribe);
    told["settle_seconds"] = json!(round(added.rest.elapsed.as_secs_f64()));
    told["broker_pss_bytes_per_connection"] = json!(added.held.map(|held| added.each(held.pss)));
    told["broker_rss_bytes_per_connection"] = json!(added.held.map(|held| added.each(held.rss)));
    told["broker_idle_cpu_percent"] = json!(added.busy_percent());
    told["both_ends_on_this_machine"] = json!(added.is_local);
    told["kernel_slab_bytes_per_connection"] = json!(added.each(kernel.slab));
    told["kernel_unreclaimable_bytes_per_connection"] =
        json!(added.each(kernel.slab_unreclaimable));
    told["kernel_unreclaimable_bytes_per_end"] = json!(added.one_end(kernel.slab_unreclaimable));
    told["tcp_buffer_bytes_per_connection"] = json!(added.each(kernel.tcp_buffers));
    told["tcp_sockets"] = json!(kernel.tcp_sockets);
    told["own_cpu_us_per_connect"] = json!(round(gathering::own_us(&added.arrivals)));
    told
}

fn to_text(args: &IdleArgs, gathering: &Gathering<'_>, added: &Added) -> String {
    let mut text = gathering::to_text("idle", gathering, &added.arrivals);
    let (rest, subscribe) = (added.rest.elapsed.as_secs_f64(), args.subscribe);
    text.push_str(&format!("  rested      {rest:.1} s, {subscribe} subscriptions a client\n"));
    if let Some(held) = added.held {
        let (pss, rss) = (added.each(held.pss), added.each(held.rss));
        text.push_str(&format!("  broker      {pss} bytes a connection (PSS), {rss} (RSS)\n"));
    }
    if let Some(percent) = added.busy_percent() {
        text.push_str(&format!("  idle        {percent:.2} % of a processor, of the broker\n"));
    }
    let kernel = &added.kernel;
    let (slab, hard) = (added.each(kernel.slab), added.each(kernel.slab_unreclaimable));
    let (buffers, sockets) = (added.each(kernel.tcp_buffers), kernel.tcp_sockets);
    text.push_str(&format!(
        "  kernel      {hard} bytes a connection (SUnreclaim), {slab} (Slab), \
         {buffers} in TCP buffers; {sockets} TCP sockets more\n"
    ));
    let one = added.one_end(kernel.slab_unreclaimable);
    text.push_str(&if added.is_local {
        format!("              both ends are on this machine: {one} bytes for one of them\n")
    } else {
        "              our ends only: the broker is elsewhere\n".to_owned()
    });
    text.push_str(&format!("  this tool   {:.1} us\n", gathering::own_us(&added.arrivals)));
    text
}
