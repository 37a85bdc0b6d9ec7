//! As many clients as memory holds: a broker in this process, and clients that reach it over
//! streams in memory. What runs is the broker's own code from the first byte of a CONNECT on; what
//! is not there is the system's part, which would end at its descriptors and ports.

mod client;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use avocet::{Broker, config::Config};
use avocet_net::{Accepted, Peer, Place, Socket, pipe};
use clap::Args;
use serde_json::json;
use tokio::runtime::Runtime;

use self::client::{Client, Expected};
use super::{args::seconds, bar::Bar, broker::up_to, cpu, gauge::micros_each, memory::Held};
use super::{memory::bytes_each, outcome::round, scatter::Scatter};
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  avocet bench hold                    a million clients with a subscription each
  avocet bench hold --count 100000 --shards 1 --json

Each client sends CONNECT and SUBSCRIBE, and is answered; then all rest, each pings once, each is
sent one message, and one in a hundred goes and comes again. Memory is this process's (PSS): of the
streams and of both sides' ends of them first, then what the broker has added when all rest.
Processor time is that of the broker's shards. No socket is there: the kernel's part is not in any
figure.";

/// Clients that are served at the same time.
const BATCH: usize = 4096;
/// Bytes on their way in one direction of a stream.
const STREAM_BYTES: usize = 64 * 1024;
/// Fewer clients say nothing of memory: they live in what the batch that warms up has left, which
/// is a twentieth of these.
const WEIGHED_MIN: u64 = 100_000;
/// One in so many goes and comes again.
const CHURNED: usize = 100;
const LISTENER: &str = "tcp.default";
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HoldArgs {
    /// How many clients.
    #[arg(long, default_value_t = 1_000_000, value_parser = up_to(10_000_000))]
    count: u64,
    /// Threads of the broker that serve them; 0: one for each processor.
    #[arg(long, default_value_t = 0)]
    shards: usize,
    /// Seconds to rest before memory is looked at.
    #[arg(long, default_value = "10", value_parser = seconds)]
    settle: Duration,
    /// Keep alive in seconds. A run must not take longer: each client pings once.
    #[arg(long, default_value_t = 600)]
    keep_alive: u16,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug)]
struct Found {
    count: u64,
    /// Bytes of this process.
    streams: i64,
    broker: i64,
    broker_after: i64,
    gathered: Stretch,
    rested: Stretch,
    pinged: Stretch,
    delivered: Stretch,
    churned: Stretch,
    shards: usize,
}

/// Time that a part of the run took.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    count: u64,
    elapsed: Duration,
    /// Processor time of the shards.
    shards: Duration,
}

impl Stretch {
    fn us_each(&self) -> f64 {
        micros_each(self.shards, self.count)
    }

    fn busy_percent(&self) -> f64 {
        self.shards.as_secs_f64() * 100.0 / self.elapsed.as_secs_f64()
    }
}

/// Measures a part of the run that concerns so many clients.
fn measure(count: usize, part: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Stretch> {
    let shards = || cpu::of_threads(std::process::id(), "shard-");
    let (start, before) = (Instant::now(), shards()?);
    part()?;
    let used = shards()?.saturating_sub(before);
    Ok(Stretch { count: count as u64, elapsed: start.elapsed(), shards: used })
}

/// Runs the scenario.
pub(super) fn run(args: &HoldArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let mut options = Config::default().options();
    if args.shards > 0 {
        options.shards = args.shards;
    }
    let shards = options.shards;
    for listener in &mut options.listeners {
        listener.place = Place::tcp("127.0.0.1:0");
        listener.connections_max = usize::MAX;
        listener.connect_timeout = PATIENCE;
    }
    let broker = runtime.block_on(async { Broker::start(options) })?;
    let mut field = Field {
        runtime,
        broker,
        clients: Vec::new(),
        keep_alive: args.keep_alive,
        bar: Bar::new(true),
    };
    let found = field.run(args, shards)?;
    let Field { runtime, broker, clients, bar, .. } = field;
    bar.clear();
    drop(clients);
    runtime.block_on(broker.stop());
    Ok(print(&if args.json { format!("{}\n", found.to_json()) } else { found.to_text() }))
}

/// The broker and its clients.
struct Field {
    runtime: Runtime,
    broker: Broker,
    clients: Vec<Client>,
    keep_alive: u16,
    bar: Bar,
}

impl Field {
    fn run(&mut self, args: &HoldArgs, shards: usize) -> anyhow::Result<Found> {
        let count = usize::try_from(args.count)?;
        // What is there once and for all is there before anything is counted.
        self.warm_up()?;
        let held = || Held::of_process(std::process::id()).map(|held| held.pss);
        let before = held()?;
        self.clients.reserve_exact(count);
        let mut ends = Vec::with_capacity(count);
        for _ in 0..count {
            let (near, far) = stream();
            ends.push(near);
            self.clients.push(Client::new(far));
        }
        let with_streams = held()?;
        let gathered = measure(count, || self.gather(&mut ends.into_iter()))?;
        let rested = measure(count, || {
            std::thread::sleep(args.settle);
            Ok(())
        })?;
        // The list of ends is gone by now.
        let list = (count * size_of::<Accepted>()) as i64;
        let broker = held()? - with_streams + list;
        let pinged = measure(count, || self.ping())?;
        let delivered = measure(count, || self.deliver())?;
        let churned = measure(count.div_ceil(CHURNED), || self.churn())?;
        let broker_after = held()? - with_streams + list;
        Ok(Found {
            count: args.count,
            streams: with_streams - before,
            broker,
            broker_after,
            gathered,
            rested,
            pinged,
            delivered,
            churned,
            shards,
        })
    }

    fn warm_up(&mut self) -> anyhow::Result<()> {
        let (ends, clients): (Vec<_>, Vec<_>) = (0..BATCH).map(|_| stream()).unzip();
        self.clients = clients.into_iter().map(Client::new).collect();
        self.gather(&mut ends.into_iter())?;
        self.deliver()?;
        for client in &self.clients {
            client.leave()?;
        }
        self.clients = Vec::new();
        while self.broker.metrics().connections > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Does something with all clients, a batch at a time: asks, then waits for the answers.
    fn in_batches(
        &mut self,
        name: &str,
        mut ask: impl FnMut(&Self, usize) -> anyhow::Result<()>,
        expected: Expected,
    ) -> anyhow::Result<()> {
        let count = self.clients.len();
        for first in (0..count).step_by(BATCH) {
            let batch = first..count.min(first + BATCH);
            for index in batch.clone() {
                ask(self, index)?;
            }
            for index in batch {
                self.clients[index].receive(index, expected, PATIENCE)?;
            }
            self.bar.show(name, first as u64, count as u64);
        }
        Ok(())
    }

    fn gather(&mut self, ends: &mut impl Iterator<Item = Accepted>) -> anyhow::Result<()> {
        let ask = |field: &Self, index: usize| {
            let end = ends.next().context("a stream for each client")?;
            field.clients[index].enter(index, field.keep_alive)?;
            field.serve(end)
        };
        self.in_batches("connected", ask, Expected::Entry)
    }

    fn ping(&mut self) -> anyhow::Result<()> {
        self.in_batches("pinged", |field, index| field.clients[index].ping(), Expected::Pong)
    }

    /// One client more, which sends each of the others a message, neighbours never one after the
    /// other: the broker has not seen the receiver for long.
    fn deliver(&mut self) -> anyhow::Result<()> {
        let (end, far) = stream();
        let (publisher, count) = (Client::new(far), self.clients.len());
        publisher.enter(count, 0)?;
        self.serve(end)?;
        publisher.receive(count, Expected::Entry, PATIENCE)?;
        let order = Scatter::of(count as u64);
        for first in (0..count).step_by(BATCH) {
            let batch = first..count.min(first + BATCH);
            for place in batch.clone() {
                publisher.publish(order.at(place as u64) as usize, PATIENCE)?;
            }
            for place in batch {
                let index = order.at(place as u64) as usize;
                self.clients[index].receive(index, Expected::Message, PATIENCE)?;
            }
            self.bar.show("delivered", first as u64, count as u64);
        }
        publisher.leave()
    }

    fn churn(&mut self) -> anyhow::Result<()> {
        for index in (0..self.clients.len()).step_by(CHURNED) {
            self.clients[index].leave()?;
            let (end, far) = stream();
            self.clients[index] = Client::new(far);
            self.clients[index].enter(index, self.keep_alive)?;
            self.serve(end)?;
            self.clients[index].receive(index, Expected::Entry, PATIENCE)?;
        }
        Ok(())
    }

    fn serve(&self, end: Accepted) -> anyhow::Result<()> {
        let is_served = self.runtime.block_on(self.broker.serve(LISTENER, end));
        ensure!(is_served, "there is no listener {LISTENER}");
        Ok(())
    }
}

/// The broker's end and the client's.
fn stream() -> (Accepted, Socket) {
    let (near, far) = pipe(STREAM_BYTES, [Peer::Local, Peer::Local]);
    (near.into(), Accepted::from(far).into_socket())
}

impl Found {
    /// Bytes for each client; `None` of few.
    fn bytes_each(&self, held: i64) -> Option<f64> {
        (self.count >= WEIGHED_MIN).then(|| bytes_each(held, self.count))
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "scenario": "hold",
            "clients": self.count,
            "shards": self.shards,
            "stream_bytes_per_connection": self.bytes_each(self.streams),
            "broker_bytes_per_connection": self.bytes_each(self.broker),
            "broker_bytes_per_connection_at_end": self.bytes_each(self.broker_after),
            "connects_per_second": round(self.count as f64 / self.gathered.elapsed.as_secs_f64()),
            "broker_cpu_us_per_connect": round(self.gathered.us_each()),
            "broker_idle_cpu_percent": round(self.rested.busy_percent()),
            "broker_cpu_us_per_ping": round(self.pinged.us_each()),
            "broker_cpu_us_per_message": round(self.delivered.us_each()),
            "broker_cpu_us_per_return": round(self.churned.us_each()),
        })
    }

    fn to_text(&self) -> String {
        let bytes =
            [self.broker, self.broker_after, self.streams].map(|held| self.bytes_each(held));
        let memory = if let [Some(broker), Some(after), Some(streams)] = bytes {
            format!("{broker} bytes a connection, {after} at the end; streams {streams}")
        } else {
            format!("told from {WEIGHED_MIN} clients on")
        };
        let rate = self.count as f64 / self.gathered.elapsed.as_secs_f64();
        format!(
            "hold: {} clients in memory, a subscription each, {} shards\n  \
             memory      {memory}\n  \
             connect     {:.2} us with SUBSCRIBE, {rate:.0} a second\n  \
             rest        {:.2} % of a processor\n  \
             ping        {:.3} us\n  \
             message     {:.3} us to a client that has been silent\n  \
             return      {:.2} us: DISCONNECT, CONNECT and SUBSCRIBE\n",
            self.count,
            self.shards,
            self.gathered.us_each(),
            self.rested.busy_percent(),
            self.pinged.us_each(),
            self.delivered.us_each(),
            self.churned.us_each(),
        )
    }
}

#[cfg(test)]
mod tests;
