//! The options of the load generator.

use std::time::Duration;

use avocet_mqtt::{ProtocolVersion, QoS};
use clap::Args;

use super::{
    broker::BrokerArgs,
    group::WAYS_MAX,
    limits,
    load::{Load, Rate, Until},
    processes::{ProcessArgs, Role},
    publisher::STAMP_BYTES,
    shape::Shape,
    window::WINDOW_MAX,
};
use crate::client::{Failure, qos};

/// Messages outstanding, and messages a second of an open loop, if nothing else is said.
const WINDOW: u16 = 20;
const OPEN_RATE: u32 = 2000;

const PAIR_EXAMPLES: &str = "\
Examples:
  avocet bench pair                                50 pairs against 127.0.0.1:1883 for 5 seconds
  avocet bench pair --window 64 --qos 1 --pid $(pidof avocet)
  avocet bench pair --pairs 10 --messages 100000 --json
  avocet bench pair --tls --cafile ca.pem --host localhost

Each publisher has at most --window messages outstanding: a QoS 0 message until its subscriber has
it, one of QoS 1 or 2 until the broker has acknowledged it as well. Exit code 1 if a message was
lost, came twice or out of order.";

#[derive(Args, Debug)]
#[command(after_help = PAIR_EXAMPLES)]
pub(crate) struct PairArgs {
    /// How many pairs.
    #[arg(long, default_value_t = 50, value_parser = many())]
    pairs: u32,
    #[command(flatten)]
    pub(super) load: LoadArgs,
}

#[derive(Args, Debug)]
pub(crate) struct FaninArgs {
    /// How many publishers.
    #[arg(long, default_value_t = 100, value_parser = many())]
    publishers: u32,
    #[command(flatten)]
    pub(super) load: LoadArgs,
}

#[derive(Args, Debug)]
pub(crate) struct FanoutArgs {
    /// How many subscribers.
    #[arg(long, default_value_t = 500, value_parser = many())]
    subscribers: u32,
    #[command(flatten)]
    pub(super) load: LoadArgs,
}

const SHARE_EXAMPLES: &str = "\
Examples:
  avocet bench share --pid $(pidof avocet)         10 publishers, 10 members of one group
  avocet bench share --publishers 1 --subscribers 50 --qos 1 --mqtt 5.0

Each message is for one member of $share/bench/bench/share: lost and doubled are counted over the
whole group, order among the messages that one member has of one publisher. Exit code 1 if anything
of that was wrong.";

#[derive(Args, Debug)]
#[command(after_help = SHARE_EXAMPLES)]
pub(crate) struct ShareArgs {
    /// How many publishers.
    #[arg(long, default_value_t = 10, value_parser = many())]
    publishers: u32,
    /// How many members of the group.
    #[arg(long, default_value_t = 10, value_parser = many())]
    subscribers: u32,
    #[command(flatten)]
    pub(super) load: LoadArgs,
}

const LATENCY_EXAMPLES: &str = "\
Examples:
  avocet bench latency                             2000 messages a second over 50 pairs
  avocet bench latency --rate 20000 --seconds 60 --qos 1 --json

A message is sent when it is due, whether or not those before it have arrived, and its latency
counts from when it was due: a broker that stands still for a second shows it in every message of
that second. 'sent late' is how long after that the system had the message: what this tool, or the
machine it runs on, has added. Exit code 1 if a message was lost, came twice or out of order.";

#[derive(Args, Debug)]
#[command(after_help = LATENCY_EXAMPLES)]
pub(crate) struct LatencyArgs {
    /// How many pairs.
    #[arg(long, default_value_t = 50, value_parser = many())]
    pairs: u32,
    #[command(flatten)]
    pub(super) load: LoadArgs,
}

const ORDER_EXAMPLES: &str = "\
Examples:
  avocet bench order                               QoS 1; subscribers are cut off and come back
  avocet bench order --qos 2 --mqtt 5.0 --publishers-too --seconds 60
  avocet bench order --every 50 --pairs 100 --json

Sessions outlive their connections. A subscriber that was cut off comes back at once or, every
second time, when its publisher's window is full. Exit code 1 if a message that the broker had
acknowledged was lost, or came twice, out of order or without DUP where the standard does not allow
it, or if a session was gone.";

#[derive(Args, Debug)]
#[command(after_help = ORDER_EXAMPLES)]
pub(crate) struct OrderArgs {
    /// How many pairs.
    #[arg(long, default_value_t = 10, value_parser = many())]
    pairs: u32,
    /// Cut a connection each time it has carried so many messages.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) every: u64,
    /// Cut the connections of publishers as well.
    #[arg(long)]
    pub(super) publishers_too: bool,
    #[command(flatten)]
    pub(super) load: LoadArgs,
}

fn rate() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=10_000_000)
}

fn many() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=50_000)
}

pub(super) fn window() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=i64::from(WINDOW_MAX))
}

/// What all loads have in common.
#[derive(Args, Debug)]
pub(crate) struct LoadArgs {
    /// How many messages a publisher may have outstanding: 20, if not given.
    #[arg(long, value_parser = window())]
    window: Option<u16>,
    /// Messages a second, all publishers together: as many as the windows allow, if not given.
    #[arg(long, value_parser = rate())]
    rate: Option<u32>,
    /// Bytes of a payload, at least 12.
    #[arg(long, default_value_t = 16, value_parser = payload_bytes)]
    size: usize,
    /// QoS of publications and subscriptions: 0, if not given; of order, 1.
    #[arg(long, value_parser = qos)]
    qos: Option<QoS>,
    /// Seconds to measure.
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// Messages to measure, instead of a time.
    #[arg(long, conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Seconds to run before measuring.
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    warm_up: Duration,
    /// Seconds of silence after which what is missing counts as lost.
    #[arg(long, default_value = "5", value_parser = seconds)]
    patience: Duration,
    /// Subscribe to $fastlane/TOPIC.
    #[arg(long)]
    fastlane: bool,
    #[command(flatten)]
    pub(super) processes: ProcessArgs,
    #[command(flatten)]
    pub(super) broker: BrokerArgs,
}

impl LoadArgs {
    fn load(&self, shape: Shape, count: u32) -> Result<Load, Failure> {
        let role = self.processes.role();
        let share = role.share(count.into())?;
        let broker = &self.broker;
        // One side has `count` connections, the other as many at most.
        let connections = u64::from(shape.publishers(count)) + u64::from(shape.subscribers(count));
        if role.part().is_none() {
            broker.check_ports(connections)?;
        }
        limits::open_files(connections.div_ceil(role.processes().into()))?;
        Ok(Load {
            shape,
            count: (share.end - share.start) as u32,
            target: broker.target()?,
            username: broker.username.clone(),
            password: broker.password.clone(),
            pid: broker.pid,
            window: self.window.unwrap_or(WINDOW),
            rate: self.rate.map_or(Rate::Unlimited, |rate| {
                Rate::Most(((f64::from(rate) * role.fraction()) as u32).max(1))
            }),
            payload_bytes: self.size,
            qos: self.qos.unwrap_or(QoS::AtMostOnce),
            version: broker.mqtt,
            is_fastlane: self.fastlane,
            warm_up: self.warm_up,
            until: self.messages.map_or(Until::Elapsed(self.seconds), |messages| {
                Until::Delivered(((messages as f64 * role.fraction()) as u64).max(1))
            }),
            patience: self.patience,
            sources: broker.source.sources()?,
            role,
        })
    }
}

impl LoadArgs {
    /// Some loads are not shared among processes.
    fn alone(&self, name: &str) -> Result<(), Failure> {
        match self.processes.role() {
            Role::Alone => Ok(()),
            Role::Parent(_) | Role::Part(_) => {
                Err(Failure::Usage(format!("{name} has no --processes")))
            }
        }
    }
}

impl PairArgs {
    pub(super) fn load(&self) -> Result<Load, Failure> {
        self.load.load(Shape::Pair, self.pairs)
    }
}

impl FaninArgs {
    pub(super) fn load(&self) -> Result<Load, Failure> {
        self.load.load(Shape::Fanin, self.publishers)
    }
}

impl FanoutArgs {
    pub(super) fn load(&self) -> Result<Load, Failure> {
        self.load.load(Shape::Fanout, self.subscribers)
    }
}

impl ShareArgs {
    pub(super) fn load(&self) -> Result<Load, Failure> {
        let ways = u64::from(self.publishers) * u64::from(self.subscribers);
        if ways > WAYS_MAX {
            let what = "--publishers times --subscribers";
            return Err(Failure::Usage(format!("{what} is {ways}, above {WAYS_MAX}")));
        }
        self.load.alone("share")?;
        self.load.load(Shape::Share { members: self.subscribers }, self.publishers)
    }
}

impl LatencyArgs {
    pub(super) fn load(&self) -> Result<Load, Failure> {
        if self.load.window.is_some() {
            let why = "an open loop has no --window: messages are sent when they are due";
            return Err(Failure::Usage(why.to_owned()));
        }
        self.load.alone("latency")?;
        let mut load = self.load.load(Shape::Pair, self.pairs)?;
        load.rate = Rate::Open(self.load.rate.unwrap_or(OPEN_RATE));
        load.window = WINDOW_MAX;
        Ok(load)
    }
}

impl OrderArgs {
    pub(super) fn load(&self) -> Result<Load, Failure> {
        self.load.alone("order")?;
        let refuse = |what: &str| Err(Failure::Usage(format!("order has no {what}")));
        if self.load.fastlane {
            return refuse("--fastlane: it is without sessions");
        }
        if self.load.rate.is_some() {
            return refuse("--rate");
        }
        let mut load = self.load.load(Shape::Pair, self.pairs)?;
        load.qos = self.load.qos.unwrap_or(QoS::AtLeastOnce);
        if load.qos == QoS::AtMostOnce {
            return refuse("QoS 0: such messages may be lost");
        }
        Ok(load)
    }
}

fn payload_bytes(text: &str) -> Result<usize, String> {
    const MAX: usize = 16 * 1024 * 1024;
    match text.parse() {
        Ok(bytes) if (STAMP_BYTES..=MAX).contains(&bytes) => Ok(bytes),
        _ => Err(format!("a number from {STAMP_BYTES} to {MAX} is needed")),
    }
}

pub(super) fn version(text: &str) -> Result<ProtocolVersion, String> {
    match text {
        "3.1" => Ok(ProtocolVersion::V3_1),
        "3.1.1" => Ok(ProtocolVersion::V3_1_1),
        "5.0" | "5" => Ok(ProtocolVersion::V5),
        _ => Err("3.1, 3.1.1 or 5.0 is needed".to_owned()),
    }
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "a number of seconds is needed".to_owned())
}

#[cfg(test)]
mod tests;
