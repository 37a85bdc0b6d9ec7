//! How long anything may take before a test fails, and the one place that polls.

use std::{
    thread,
    time::{Duration, Instant},
};

/// For an answer of the broker. Long, since machines are busy; a good broker needs a fraction.
pub const ANSWER: Duration = Duration::from_secs(10);

/// For a foreign client's whole scenario.
pub const SCENARIO: Duration = Duration::from_secs(120);

const PAUSE: Duration = Duration::from_millis(5);

/// Asks again and again until there is an answer or `limit` has passed.
pub fn poll<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(PAUSE);
    }
}

/// Lets time go by, for rules whose subject is time and which nothing announces from outside
/// (a message expires, a will is due). Never to wait for the broker to get something done.
pub fn let_pass(time: Duration) {
    thread::sleep(time);
}
