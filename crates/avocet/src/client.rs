//! The client side of the command line.
//!
//! - [`publish`], [`subscribe`]: `avocet pub` and `avocet sub`;
//! - [`args`], [`property`]: what they have in common on the command line;
//! - [`transport`], [`tls`], [`url`]: how the broker is reached;
//! - [`conversation`]: a connection that is kept alive; [`connection`]: packets over a stream;
//!   [`stream`]: a socket, with TLS and WebSocket if asked for.

mod args;
pub(crate) mod connection;
mod conversation;
mod property;
mod publish;
mod source;
pub(crate) mod stream;
mod subscribe;
mod tls;
mod transport;
mod url;

use std::process::ExitCode;

pub(crate) use args::qos;
pub(crate) use publish::PubArgs;
pub(crate) use subscribe::SubArgs;
pub(crate) use transport::TransportArgs;

use self::args::ClientArgs;
use crate::cli::complain;

/// Exit code for wrong usage.
const WRONG_USAGE: u8 = 2;
/// Exit code when the time of `-W` is over, as of mosquitto_sub.
const TIME_OUT: u8 = 27;

/// Why a client command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments make no sense together.
    Usage(String),
    /// The time that was given is over.
    TimeOut(String),
    /// Anything else.
    Other(anyhow::Error),
}

impl Failure {
    /// Says what it is on standard error.
    pub(crate) fn tell(&self) -> ExitCode {
        match self {
            Self::Usage(text) | Self::TimeOut(text) => complain(&format_args!("avocet: {text}")),
            Self::Other(error) => complain(&format_args!("avocet: {error:#}")),
        }
        self.exit_code()
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(WRONG_USAGE),
            Self::TimeOut(_) => ExitCode::from(TIME_OUT),
            Self::Other(_) => ExitCode::FAILURE,
        }
    }
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
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if args.quiet => failure.exit_code(),
        Err(failure) => failure.tell(),
    }
}
