//! What can be said on the command line.

use std::{io::Write, path::PathBuf, process::ExitCode};

use avocet::config::Config;
use avocet_config::{Sources, load};
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::{
    backup::{self, BackupArgs, RestoreArgs},
    bench::{self, BenchCommand},
    client::{self, PubArgs, SubArgs},
    manual::{self, CompletedShell},
    start,
    store::{self, StoreCommand},
};

/// Exit code for what does not go away by itself: a mistake in the configuration or on the command
/// line, or a store of a later version.
pub(crate) const MISTAKEN: u8 = 2;

/// A distributed, massively scalable, extensible MQTT broker.
#[derive(Debug, Parser)]
#[command(name = "avocet", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  avocet start                                     serve on 127.0.0.1:1883, HTTP on 18083
  avocet start -c avocet.toml                      with a configuration file
  avocet start --set listeners.tcp.default.bind=127.0.0.1:0
  avocet check -c avocet.toml                      say what is wrong with a file, and no more
  avocet sub -t 'room/+/temperature'               print what is published there
  avocet pub -t room/1/temperature -m 21.5         publish a message
  avocet store stats                               say how much is stored
  avocet backup /backups/monday                    copy it, while the broker goes on
  avocet bench pair --pid $(pidof avocet)          measure the broker that runs

Without a command, `avocet` is `avocet start`.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker in the foreground.
    ///
    /// The log goes to standard error. When it serves, one line on standard output says so:
    /// `ready tcp.default=127.0.0.1:1883 http=127.0.0.1:18083`.
    ///
    /// Exit code 2: a mistake in the configuration, or a store that a later version has written,
    /// which is left as it is; 1: another process has the data directory, or an address cannot be
    /// had. A disk that fails is no reason to end: it serves, says so in the log, at /readyz and
    /// by the alarm store_failed, and stores nothing.
    Start(ConfigArgs),
    /// Check the configuration, print what is in effect, and do nothing else.
    Check(ConfigArgs),
    /// Publish messages.
    Pub(Box<PubArgs>),
    /// Subscribe and print messages.
    Sub(Box<SubArgs>),
    /// Look at what is stored, while the broker runs or not.
    #[command(subcommand, after_help = store::EXAMPLES)]
    Store(StoreCommand),
    /// Copy what is stored to an empty folder, while the broker runs or not.
    Backup(BackupArgs),
    /// Put a backup where the broker keeps what it stores; the broker is not running.
    Restore(RestoreArgs),
    /// Measure a broker: what it delivers, how soon, at what cost, and whether it keeps its word.
    #[command(subcommand)]
    Bench(Box<BenchCommand>),
    /// Print a script that completes this command line in a shell.
    ///
    /// For bash: `avocet completions bash > ~/.local/share/bash-completion/completions/avocet`.
    Completions {
        /// The shell.
        shell: CompletedShell,
    },
    /// Write a manual page for each command to a folder, for packages.
    #[command(hide = true)]
    Manual {
        /// Made if it is not there.
        folder: PathBuf,
    },
    /// Print a page of the reference, or the example of a configuration.
    #[command(hide = true)]
    Docs {
        /// `configuration`, `example` or `metrics`.
        #[arg(value_parser = ["configuration", "example", "metrics"])]
        page: String,
    },
}

#[derive(Args, Debug, Default)]
pub(crate) struct ConfigArgs {
    /// The configuration file, TOML.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key; stronger than the file and than AVOCET__KEY variables. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// The command line, as what it is made of.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

/// Runs what was asked for.
pub(crate) fn run() -> ExitCode {
    match Cli::parse().command.unwrap_or(Command::Start(ConfigArgs::default())) {
        Command::Start(args) => match read(args) {
            Ok(config) => start::run(&config),
            Err(code) => code,
        },
        Command::Check(args) => match read(args) {
            Ok(config) => print(&avocet_config::to_toml(&config)),
            Err(code) => code,
        },
        Command::Pub(args) => client::run_pub(&args),
        Command::Sub(args) => client::run_sub(&args),
        Command::Store(command) => store::run(command),
        Command::Backup(args) => backup::run_backup(args),
        Command::Restore(args) => backup::run_restore(args),
        Command::Bench(command) => bench::run(*command),
        Command::Completions { shell } => print(&manual::completions(command(), shell)),
        Command::Manual { folder } => match manual::write_pages(command(), &folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Command::Docs { page } => print(&match &*page {
            "example" => avocet_config::example::<Config>(),
            "metrics" => avocet_http::reference(),
            _ => avocet_config::reference::<Config>(),
        }),
    }
}

/// Reads the configuration, and tells of mistakes.
pub(crate) fn read(args: ConfigArgs) -> Result<Config, ExitCode> {
    let mut sources = Sources::new().with_process_environment().with_set(args.set);
    if let Some(file) = args.config {
        sources = sources.with_file(file);
    }
    load(&sources).map_err(|mistakes| {
        for mistake in mistakes {
            complain(&mistake);
        }
        ExitCode::from(MISTAKEN)
    })
}

/// Prints to standard output; a reader that went away is no error of ours.
pub(crate) fn print(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Tells what has failed.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    complain(&format_args!("avocet: {error:#}"));
    ExitCode::FAILURE
}

/// Prints a line to standard error.
pub(crate) fn complain(what: &dyn std::fmt::Display) {
    // Nobody is left to tell if standard error is gone.
    writeln!(std::io::stderr(), "{what}").ok();
}
