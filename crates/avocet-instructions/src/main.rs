//! The hot paths, one by one, for callgrind to count their instructions: `cargo xtask instructions`
//! runs each and compares the counts with those in `baseline.json`. Processor time on a machine
//! that does other things varies by tens of percent, these counts by next to nothing.
//!
//! - [`packet`]: decode and encode;
//! - [`matching`]: who gets a topic, with and without the cache;
//! - [`delivery`]: from the bytes of publishers to the bytes of subscribers, through both sessions.
//!
//! Without arguments it lists the names; with a name it does that path [`ROUNDS`] times. What it
//! does before and after is not counted: only what is under [`measured`] is.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on its terminal")]

mod delivery;
mod matching;
mod packet;

use std::{env, process::ExitCode};

/// How often each path is gone; a count is divided by it.
const ROUNDS: usize = 200;

/// Prepares one path and hands back what goes it once.
type Prepare = fn() -> Box<dyn FnMut()>;

fn main() -> ExitCode {
    let paths: Vec<(&str, Prepare)> = [packet::PATHS, matching::PATHS, delivery::PATHS].concat();
    let Some(name) = env::args().nth(1) else {
        println!("rounds {ROUNDS}");
        for (name, _) in paths {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    };
    let Some((_, prepare)) = paths.iter().find(|(other, _)| *other == name) else {
        println!("there is no path {name}");
        return ExitCode::FAILURE;
    };
    let mut once = prepare();
    // Buffers grow and caches are filled.
    for _ in 0..10 {
        once();
    }
    measured(&mut *once);
    ExitCode::SUCCESS
}

/// Its name is what callgrind is told to count.
#[inline(never)]
fn measured(once: &mut dyn FnMut()) {
    for _ in 0..ROUNDS {
        once();
    }
}
