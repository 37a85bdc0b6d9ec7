//! The options of the load generator.

use std::{num::NonZeroU16, path::PathBuf, time::Duration};

use avocet_mqtt::{ProtocolVersion, QoS};
use clap::Args;

use super::{
    broker::BrokerArgs,
    group::WAYS_MAX,
    load::{Load, Rate, Until},
    processes::Role,
    publisher::STAMP_BYTES,
    shape::Shape,
    window::WINDOW_MAX,
};
use crate::client::{Failure, qos};

/// Messages outstanding, if nothing else is said.
const WINDOW: u16 = 20;

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
    load: ClosedArgs,
}

#[derive(Args, Debug)]
pub(crate) struct FaninArgs {
    /// How many publishers.
    #[arg(long, default_value_t = 100, value_parser = many())]
    publishers: u32,
    #[command(flatten)]
    load: ClosedArgs,
}

#[derive(Args, Debug)]
pub(crate) struct FanoutArgs {
    /// How many subscribers.
    #[arg(long, default_value_t = 500, value_parser = many())]
    subscribers: u32,
    #[command(flatten)]
    load: ClosedArgs,
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
    load: ClosedArgs,
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
    /// Messages a second, all publishers together.
    #[arg(long, default_value_t = 2000, value_parser = rate())]
    rate: u32,
    /// Subscribers' sessions outlive their connections by ten seconds: the broker is to store what
    /// they get at QoS 1 and 2. 5.0 only.
    #[arg(long)]
    lasting: bool,
    #[command(flatten)]
    load: FlowArgs,
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
    /// How many messages a publisher may have outstanding.
    #[arg(long, default_value_t = WINDOW, value_parser = window())]
    window: u16,
    /// QoS of publications and subscriptions: 1 or 2.
    #[arg(long, default_value = "1", value_parser = kept_qos)]
    qos: QoS,
    #[command(flatten)]
    load: LoadArgs,
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

const STORE_EXAMPLES: &str = "\
Examples:
  avocet bench store --pid $(pidof avocet)         16 publishers, one session whose client is away
  avocet bench store --publishers 256 --folder /var/lib/avocet/store
  avocet bench store --window 100 --messages 1000000 --drain

Nobody takes the messages while they are sent: what counts is how many the broker acknowledges, and
the latency is that of PUBACK, or at QoS 2 of PUBCOMP. With --drain the clients then come back and
take everything. Exit code 1 if a message was not acknowledged, or did not come.";

#[derive(Args, Debug)]
#[command(after_help = STORE_EXAMPLES)]
pub(crate) struct StoreArgs {
    /// How many publishers.
    #[arg(long, default_value_t = 16, value_parser = many())]
    publishers: u32,
    /// How many sessions each message waits for.
    #[arg(long, default_value_t = 1, value_parser = many())]
    sessions: u32,
    /// How many messages a publisher may have outstanding.
    #[arg(long, default_value_t = 1, value_parser = window())]
    window: u16,
    /// QoS of publications and subscriptions: 1 or 2.
    #[arg(long, default_value = "1", value_parser = kept_qos)]
    qos: QoS,
    /// Seconds to run before measuring; with --messages all are measured.
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    warm_up: Duration,
    /// Where the broker stores messages: by how much it grows is measured, too.
    #[arg(long)]
    pub(super) folder: Option<PathBuf>,
    /// Then have the clients come and take everything.
    #[arg(long)]
    pub(super) drain: bool,
    /// How much these may have in flight; 5.0 only.
    #[arg(long)]
    pub(super) receive_maximum: Option<NonZeroU16>,
    #[command(flatten)]
    load: LoadArgs,
}

/// Of closed loops: messages wait for those before them.
#[derive(Args, Debug)]
struct ClosedArgs {
    /// How many messages a publisher may have outstanding.
    #[arg(long, default_value_t = WINDOW, value_parser = window())]
    window: u16,
    /// Messages a second, all publishers together: as many as the windows allow, if not given.
    #[arg(long, value_parser = rate())]
    rate: Option<u32>,
    #[command(flatten)]
    flow: FlowArgs,
}

/// Of loads over connections that stay.
#[derive(Args, Debug)]
struct FlowArgs {
    /// QoS of publications and subscriptions.
    #[arg(long, default_value = "0", value_parser = qos)]
    qos: QoS,
    /// Subscribe to $fastlane/TOPIC.
    #[arg(long)]
    fastlane: bool,
    /// Seconds to run before measuring.
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    warm_up: Duration,
    #[command(flatten)]
    load: LoadArgs,
}

/// What all loads have in common.
#[derive(Args, Debug)]
struct LoadArgs {
    /// Bytes of a payload, at least 12.
    #[arg(long, default_value_t = 16, value_parser = payload_bytes)]
    size: usize,
    /// Seconds to measure.
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// Messages to measure, instead of a time.
    #[arg(long, conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Seconds of silence after which what is missing counts as lost.
    #[arg(long, default_value = "5", value_parser = seconds)]
    patience: Duration,
    #[command(flatten)]
    broker: BrokerArgs,
}

impl LoadArgs {
    fn load(&self, shape: Shape, count: u32) -> Result<Load, Failure> {
        let (broker, role) = (&self.broker, self.broker.role());
        // One side has `count` connections, the other as many at most.
        let connections = u64::from(shape.publishers(count)) + u64::from(shape.subscribers(count));
        broker.check(connections)?;
        Ok(Load {
            shape,
            count: part_of(role, count)?,
            target: broker.target()?,
            username: broker.username.clone(),
            password: broker.password.clone(),
            pid: broker.pid,
            window: WINDOW,
            rate: Rate::Unlimited,
            payload_bytes: self.size,
            qos: QoS::AtMostOnce,
            version: broker.mqtt,
            is_fastlane: false,
            is_lasting: false,
            warm_up: Duration::ZERO,
            until: match self.messages {
                None => Until::Elapsed(self.seconds),
                Some(messages) => Until::Delivered(role.part_of(messages)?),
            },
            patience: self.patience,
            sources: broker.source.sources()?,
            role,
            is_json: broker.json,
        })
    }
}

impl FlowArgs {
    fn load(&self, shape: Shape, count: u32) -> Result<Load, Failure> {
        let (qos, is_fastlane, warm_up) = (self.qos, self.fastlane, self.warm_up);
        Ok(Load { qos, is_fastlane, warm_up, ..self.load.load(shape, count)? })
    }
}

impl ClosedArgs {
    fn load(&self, shape: Shape, count: u32) -> Result<Load, Failure> {
        let load = self.flow.load(shape, count)?;
        let rate = match self.rate {
            None => Rate::Unlimited,
            Some(rate) => Rate::Most(part_of(load.role, rate)?),
        };
        Ok(Load { window: self.window, rate, ..load })
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
        let role = self.load.flow.load.broker.role();
        let members = part_of(role, self.subscribers)?;
        let whole = self.load.load(Shape::Share { members: self.subscribers }, self.publishers)?;
        let load = Load { shape: Shape::Share { members }, ..whole };
        let ways = u64::from(load.count) * u64::from(members) / u64::from(load.role.loads()).pow(2);
        if ways > WAYS_MAX {
            let what = "--publishers times --subscribers";
            return Err(Failure::Usage(format!("{what} is {ways}, above {WAYS_MAX}")));
        }
        Ok(load)
    }
}

impl LatencyArgs {
    pub(super) fn load(&self) -> Result<Load, Failure> {
        let load = self.load.load(Shape::Pair, self.pairs)?;
        if self.lasting && load.version != ProtocolVersion::V5 {
            return Err(Failure::Usage("--lasting needs --mqtt 5.0".to_owned()));
        }
        let (rate, is_lasting) = (Rate::Open(part_of(load.role, self.rate)?), self.lasting);
        // Messages are sent when they are due, whatever is outstanding.
        Ok(Load { window: WINDOW_MAX, rate, is_lasting, ..load })
    }
}

impl OrderArgs {
    pub(super) fn load(&self) -> Result<Load, Failure> {
        let load = self.load.load(Shape::Pair, self.pairs)?;
        Ok(Load { window: self.window, qos: self.qos, ..load })
    }
}

impl StoreArgs {
    pub(super) fn load(&self) -> Result<Load, Failure> {
        let shape = Shape::Store { sessions: self.sessions };
        let load = self.load.load(shape, self.publishers)?;
        if load.role != Role::Alone {
            return Err("one process is all that this can have".to_owned().into());
        }
        let warm_up = match load.until {
            Until::Elapsed(_) => self.warm_up,
            Until::Delivered(_) => Duration::ZERO,
        };
        Ok(Load { window: self.window, qos: self.qos, warm_up, ..load })
    }
}

/// How many of `count` belong to a process of this role.
fn part_of(role: Role, count: u32) -> Result<u32, String> {
    role.part_of(count.into()).map(|part| part as u32)
}

/// The QoS of messages that may not be lost.
fn kept_qos(text: &str) -> Result<QoS, String> {
    match qos(text)? {
        QoS::AtMostOnce => Err("1 or 2 is needed: messages of QoS 0 may be lost".to_owned()),
        kept @ (QoS::AtLeastOnce | QoS::ExactlyOnce) => Ok(kept),
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
