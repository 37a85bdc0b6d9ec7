//! `cargo xtask crash`: a broker is killed again and again under load, by the harness in
//! `avocet-tests`, which says what it must not lose.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::repository;

/// Rounds that a check of everything has time for.
const ROUNDS: u32 = 200;

/// What happens to the broker at the end of a round.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kills {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Stop,
    /// Nothing; all connections are cut.
    None,
}

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How often the broker is killed.
    #[arg(long, default_value_t = ROUNDS)]
    pub(crate) rounds: u32,
    /// What the clients do is made of it; by the clock, if it is not given.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// What happens to the broker at the end of a round.
    #[arg(long, value_enum, default_value_t = Kills::Kill)]
    pub(crate) kills: Kills,
    /// A setting for the broker, as its own `--set`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// With a broker that has all optimisations, not the one that the tests have.
    #[arg(long)]
    pub(crate) release: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let profile = if options.release { "release" } else { "debug" };
    let release: &[&str] = if options.release { &["--release"] } else { &[] };
    let build = ["build", "--quiet", "--package", "avocet"];
    repository::succeed(&mut repository::cargo(&[&build[..], release].concat()))?;
    play(options, profile)
}

/// The broker that the tests have, killed as often as there is time for.
pub(crate) fn check() -> Result<Vec<String>> {
    let options =
        Options { rounds: ROUNDS, seed: None, kills: Kills::Kill, set: Vec::new(), release: false };
    play(&options, "debug")?;
    Ok(Vec::new())
}

fn play(options: &Options, profile: &str) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is wrong")?;
    let seed = options.seed.unwrap_or(now.as_secs());
    let build = ["build", "--quiet", "--package", "avocet-tests", "--bin", "crash"];
    repository::succeed(&mut repository::cargo(&build))?;
    let kills = match options.kills {
        Kills::Kill => "kill",
        Kills::Stop => "stop",
        Kills::None => "none",
    };
    let harness = repository::target().join("debug/crash").display().to_string();
    let (rounds, seed) = (options.rounds.to_string(), seed.to_string());
    let settings: Vec<&str> = options.set.iter().map(String::as_str).collect();
    let words = [&[rounds.as_str(), &seed, kills][..], &settings].concat();
    let mut command = repository::command(&harness, &words);
    command.env("AVOCET_BIN", repository::target().join(profile).join("avocet"));
    repository::succeed(&mut command)
}
