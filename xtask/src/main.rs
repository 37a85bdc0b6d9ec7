//! Automation of the repository, run as `cargo xtask COMMAND`.
//!
//! - [`test`]: everything CI checks, one announced step after the other;
//! - [`tidy`]: the invariants that no compiler checks, each an absence;
//! - [`spec`]: the numbered statements of MQTT, and which code and test stand for each;
//! - [`bench`]: Avocet beside its peers;
//! - [`crash`]: a broker that is killed again and again;
//! - [`fuzz`]: a search for bytes that break a property;
//! - [`instructions`]: what the hot paths cost, and whether that has become more;
//! - [`package`]: the Debian package;
//! - [`docs`]: the documents that are generated, and whether they are fresh;
//! - [`services`]: foreign clients that the tests need, and brokers for `bench`;
//! - [`repository`]: where things are, and how a program is run.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on its terminal")]

mod bench;
mod crash;
mod docs;
mod fuzz;
mod instructions;
mod package;
mod repository;
mod services;
mod spec;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Automation of the Avocet repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything CI checks; stops at the first failure.
    Test,
    /// Invariants of the source: dependencies between crates, names, leftovers, links.
    Tidy,
    /// Statements of the MQTT standards: which code and which test stand for each.
    Spec(spec::Options),
    /// Writes the generated documents, or checks that they are fresh.
    Docs {
        /// Only compare; fail when a document is stale.
        #[arg(long)]
        check: bool,
    },
    /// Measures Avocet beside the peers that are installed, and writes docs/benchmarks.md.
    Bench(bench::Options),
    /// Kills a broker again and again, and looks whether it has lost anything.
    Crash(crash::Options),
    /// Searches for bytes that break a property of the codec, a session and the like.
    Fuzz(fuzz::Options),
    /// Counts the instructions of the hot paths and compares them with the baseline.
    Instructions(instructions::Options),
    /// Builds the Debian package, with manual pages and completion in shells.
    Package(package::Options),
    /// What the tests and `bench` need from elsewhere.
    Services {
        #[command(subcommand)]
        what: services::Services,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Test => test::run(),
        Command::Tidy => tidy::run(),
        Command::Spec(options) => spec::run(&options),
        Command::Docs { check } => docs::run(check).map(|notes| repository::print_notes(&notes)),
        Command::Bench(options) => bench::run(&options),
        Command::Crash(options) => crash::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Instructions(options) => instructions::run(&options),
        Command::Package(options) => package::run(&options),
        Command::Services { what } => services::run(&what),
    }
}
