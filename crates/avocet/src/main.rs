//! The command line. `start` runs the broker; the others help who runs it.
//!
//! Exit codes: 0 good; 2 a mistake in the configuration or on the command line, or a store that a
//! later version has written, none of which goes away by itself; 1 anything else.

mod backup;
mod bench;
mod cli;
mod client;
mod data_dir;
mod manual;
mod notify;
mod signals;
mod start;
mod store;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
