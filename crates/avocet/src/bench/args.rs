//! The options of the load generator.

use std::time::Duration;

use avocet_mqtt::{ProtocolVersion, QoS};
use clap::Args;

use super::{
    limits,
    load::{Load, Until},
    processes::ProcessArgs,
    publisher::STAMP_BYTES,
    shape::Shape,
    source::SourceArgs,
    window::WINDOW_MAX,
};
use crate::client::{Failure, TransportArgs, qos};

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
    pub(super) pairs: u32,
    #[command(flatten)]
    pub(super) load: LoadArgs,
}

#[derive(Args, Debug)]
pub(crate) struct FaninArgs {
    /// How many publishers.
    #[arg(long, default_value_t = 100, value_parser = many())]
    pub(super) publishers: u32,
    #[command(flatten)]
    pub(super) load: LoadArgs,
}

#[derive(Args, Debug)]
pub(crate) struct FanoutArgs {
    /// How many subscribers.
    #[arg(long, default_value_t = 500, value_parser = many())]
    pub(super) subscribers: u32,
    #[command(flatten)]
    pub(super) load: LoadArgs,
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
    /// The broker's host.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The broker's port, if it is not 1883; 8883 with TLS, 8083 with WebSocket, 8084 with both.
    #[arg(long)]
    port: Option<u16>,
    /// User name.
    #[arg(long)]
    username: Option<String>,
    /// Password.
    #[arg(long)]
    password: Option<String>,
    /// The broker's process on this machine: its processor time for each message is measured.
    #[arg(long)]
    pid: Option<u32>,
    /// How many messages a publisher may have outstanding.
    #[arg(long, default_value_t = 20, value_parser = window())]
    window: u16,
    /// Bytes of a payload, at least 12.
    #[arg(long, default_value_t = 16, value_parser = payload_bytes)]
    size: usize,
    /// QoS of publications and subscriptions.
    #[arg(long, default_value = "0", value_parser = qos)]
    qos: QoS,
    /// The version to speak: 3.1, 3.1.1 or 5.0.
    #[arg(long, default_value = "3.1.1", value_parser = version)]
    mqtt: ProtocolVersion,
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
    /// Print one line of JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) processes: ProcessArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    transport: TransportArgs,
}

impl LoadArgs {
    pub(super) fn load(&self, shape: Shape, count: u32) -> Result<Load, Failure> {
        let role = self.processes.role();
        let share = role.share(count.into())?;
        let sources = self.source.sources()?;
        // One side has `count` connections, the other as many at most.
        let connections = u64::from(shape.publishers(count)) + u64::from(shape.subscribers(count));
        if !self.transport.is_unix() && role.part().is_none() {
            sources.check(connections)?;
        }
        limits::open_files(connections.div_ceil(role.processes().into()))?;
        Ok(Load {
            shape,
            count: (share.end - share.start) as u32,
            target: self.transport.target(&self.host, self.port)?,
            username: self.username.clone(),
            password: self.password.clone(),
            pid: self.pid,
            window: self.window,
            payload_bytes: self.size,
            qos: self.qos,
            version: self.mqtt,
            is_fastlane: self.fastlane,
            warm_up: self.warm_up,
            until: self.messages.map_or(Until::Elapsed(self.seconds), |messages| {
                Until::Delivered(((messages as f64 * role.fraction()) as u64).max(1))
            }),
            patience: self.patience,
            sources,
            role,
        })
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
