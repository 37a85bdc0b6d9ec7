//! A line that says how far a run is, on a terminal only.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use super::load::{Load, Until};

const INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    until: Until,
    is_shown: bool,
    next: Duration,
}

impl Progress {
    pub(super) fn new(load: &Load) -> Self {
        let is_shown = load.role.shows_progress() && std::io::stderr().is_terminal();
        let (shape, window, qos) = (load.shape.name(), load.window, load.qos.bits());
        let name = format!("{shape} window {window} QoS {qos}");
        Self { name, until: load.until, is_shown, next: INTERVAL }
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
        let (share, rate) = ((share * 100.0).min(100.0), delivered as f64 / seconds);
        // Progress that cannot be shown is no loss.
        write!(
            std::io::stderr(),
            "\r{}  {share:3.0} %  {delivered} delivered, {rate:.0}/s   ",
            self.name
        )
        .ok();
    }

    pub(super) fn clear(&self) {
        if self.is_shown {
            write!(std::io::stderr(), "\r{:79}\r", "").ok();
        }
    }
}
