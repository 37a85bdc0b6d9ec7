//! A progress bar, on a terminal only.

use std::{
    fmt,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_millis(250);
const CELLS: usize = 30;

#[derive(Debug)]
pub(super) struct Bar {
    is_shown: bool,
    next: Instant,
}

impl Bar {
    /// `is_wanted`: whether this process is the one that shows it.
    pub(super) fn new(is_wanted: bool) -> Self {
        let is_shown = is_wanted && std::io::stderr().is_terminal();
        Self { is_shown, next: Instant::now() + INTERVAL }
    }

    /// Shows that `done` of `all` is done.
    #[inline]
    pub(super) fn show(&mut self, name: &str, done: u64, all: u64) {
        if self.is_shown {
            self.draw(&format_args!("{name} {done} of {all}"), done as f64 / all.max(1) as f64);
        }
    }

    #[cold]
    fn draw(&mut self, text: &dyn fmt::Display, share: f64) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        // Progress that cannot be shown is no loss.
        write!(std::io::stderr(), "\r[{}] {text}   ", cells(share)).ok();
    }

    pub(super) fn clear(&self) {
        if self.is_shown {
            write!(std::io::stderr(), "\r{:79}\r", "").ok();
        }
    }
}

fn cells(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * CELLS as f64) as usize;
    format!("{}{}", "#".repeat(full), "-".repeat(CELLS - full))
}

#[cfg(test)]
mod tests;
