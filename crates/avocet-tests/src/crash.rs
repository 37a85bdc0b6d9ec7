//! The crash harness: a real broker that is killed again and again, clients whose own state
//! outlives it, and what it must not lose. `cargo xtask crash` runs it.
//!
//! - [`check`]: what a subscriber has got, and what is wrong with it;
//! - [`message`]: every message is known by its number;
//! - [`publisher`], [`subscriber`]: the clients, and their side of a session;
//! - [`will`]: what is to become of the wills of one of them;
//! - [`connection`]: their bytes; [`round`]: one life of the broker, and the ledger;
//! - [`harness`]: the rounds; [`dice`]: what is decided by the seed.

pub mod check;
pub mod connection;
pub mod dice;
pub mod harness;
pub mod message;
pub mod publisher;
pub mod round;
pub mod subscriber;
pub mod will;

use std::{fmt, time::Duration};

pub use harness::run;

/// How long nothing may come while something is outstanding.
const PROGRESS: Duration = Duration::from_secs(30);

/// What happens to the broker at the end of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kills {
    /// SIGKILL.
    Kill,
    /// SIGTERM, and it has to end well.
    Stop,
    /// Nothing: all connections are cut.
    None,
}

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    pub rounds: u32,
    pub seed: u64,
    pub kills: Kills,
    /// For the broker, as `KEY=VALUE`.
    pub settings: Vec<String>,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Summary {
    pub rounds: u32,
    pub kills: u32,
    pub early_kills: u32,
    pub sent: u64,
    pub acknowledged: u64,
    pub delivered: u64,
    pub repeated: u64,
    pub retained: u64,
    /// Wills that had to be published, and that must not be.
    pub wills: u64,
    pub void_wills: u64,
    /// Sessions that had to be over.
    pub expired: u64,
    pub slowest_start: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} rounds, {} kills ({} while it started); {} messages sent, {} acknowledged, {} \
             delivered, {} again at QoS 1; {} retained looked at; {} wills due, {} taken \
             back; {} sessions expired; slowest start {} ms",
            self.rounds,
            self.kills,
            self.early_kills,
            self.sent,
            self.acknowledged,
            self.delivered,
            self.repeated,
            self.retained,
            self.wills,
            self.void_wills,
            self.expired,
            self.slowest_start.as_millis(),
        )
    }
}

/// Whether a filter of ours matches a topic.
fn matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for part in filter.split('/') {
        match (part, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (part, Some(level)) if part == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}
