//! Runs the crash harness: `crash ROUNDS SEED kill|stop|none [KEY=VALUE ...]`, the settings being
//! the broker's. `cargo xtask crash` builds the broker, names it in `AVOCET_BIN`, and calls this.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on its terminal")]

use std::{env, process::ExitCode};

use avocet_tests::crash::{self, Kills, Options};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let Some(options) = read(&words) else {
        println!("usage: crash ROUNDS SEED kill|stop|none [KEY=VALUE ...]");
        return ExitCode::FAILURE;
    };
    println!("seed {}, {} rounds", options.seed, options.rounds);
    match crash::run(&options, |line| println!("{line}")) {
        Ok(summary) => {
            println!("passed with seed {}: {summary}", options.seed);
            ExitCode::SUCCESS
        }
        Err(fault) => {
            println!("FAILED: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn read(words: &[String]) -> Option<Options> {
    let [rounds, seed, kills, settings @ ..] = words else { return None };
    let kills = match kills.as_str() {
        "kill" => Kills::Kill,
        "stop" => Kills::Stop,
        "none" => Kills::None,
        _ => return None,
    };
    let (rounds, seed) = (rounds.parse().ok()?, seed.parse().ok()?);
    Some(Options { rounds, seed, kills, settings: settings.to_vec() })
}
