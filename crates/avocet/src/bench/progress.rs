//! A bar that says how far a run is, on a terminal only.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use super::load::Until;

const INTERVAL: Duration = Duration::from_millis(250);

/// Characters of the line, and of the bar in it.
const LINE: usize = 79;
const BAR: usize = 20;

#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    until: Until,
    is_shown: bool,
    next: Duration,
}

impl Progress {
    pub(super) fn new(name: String, until: Until, may_show: bool) -> Self {
        let is_shown = may_show && std::io::stderr().is_terminal();
        Self { name, until, is_shown, next: INTERVAL }
    }

    #[inline]
    pub(super) fn show(&mut self, elapsed: Duration, delivered: u64) {
        if !self.is_shown || elapsed < self.next {
            return;
        }
        self.next = elapsed + INTERVAL;
        let seconds = elapsed.as_secs_f64();
        let share = match self.until {
            Until::Elapsed(whole) => seconds / whole.as_secs_f64(),
            Until::Delivered(whole) => delivered as f64 / whole as f64,
        };
        let (bar, rate) = (bar(share), delivered as f64 / seconds);
        let line = format!("{} {bar} {delivered} delivered, {rate:.0}/s", self.name);
        // Progress that cannot be shown is no loss.
        write!(std::io::stderr(), "\r{line:LINE$.LINE$}").ok();
    }

    pub(super) fn clear(&self) {
        if self.is_shown {
            write!(std::io::stderr(), "\r{:LINE$}\r", "").ok();
        }
    }
}

fn bar(share: f64) -> String {
    let share = share.clamp(0.0, 1.0);
    let full = "#".repeat((share * BAR as f64) as usize);
    format!("[{full:.<BAR$}] {:3.0} %", share * 100.0)
}

#[cfg(test)]
mod tests;
