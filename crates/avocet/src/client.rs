//! The client side of the command line.
//!
//! - [`publish`], [`subscribe`]: `avocet pub` and `avocet sub`;
//! - [`args`], [`property`]: what they have in common on the command line;
//! - [`conversation`]: a connection that is kept alive; [`connection`]: packets over a socket.

mod args;
pub(crate) mod connection;
mod conversation;
mod property;
mod publish;
mod source;
mod subscribe;

use std::process::ExitCode;

pub(crate) use args::qos;
pub(crate) use publish::PubArgs;
pub(crate) use subscribe::SubArgs;

use self::args::ClientArgs;
use crate::cli::complain;

/// Exit code for wrong usage.
const WRONG_USAGE: u8 = 2;
/// Exit code when the time of `-W` is over, as of mosquitto_sub.
const TIME_OUT: u8 = 27;

/// Why a client command failed.
#[derive(Debug)]
enum Failure {
    /// The arguments make no sense together.
    Usage(String),
    /// The time that was given is over.
    TimeOut(String),
    /// Anything else.
    Other(anyhow::Error),
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Usage(text)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// `avocet pub`.
pub(crate) fn run_pub(args: &PubArgs) -> ExitCode {
    exit(&args.client, publish::run(args))
}

/// `avocet sub`.
pub(crate) fn run_sub(args: &SubArgs) -> ExitCode {
    exit(&args.client, subscribe::run(args))
}

fn exit(args: &ClientArgs, result: Result<(), Failure>) -> ExitCode {
    let tell = |what: &dyn std::fmt::Display| {
        if !args.quiet {
            complain(&format_args!("avocet: {what}"));
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            tell(&text);
            ExitCode::from(WRONG_USAGE)
        }
        Err(Failure::TimeOut(text)) => {
            tell(&text);
            ExitCode::from(TIME_OUT)
        }
        Err(Failure::Other(error)) => {
            tell(&format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
