//! Latencies in a few numbers, for people and for scripts.

use serde_json::{Value, json};

use super::{latency::Spread, outcome::round};

/// Microseconds.
pub(super) fn to_json(spread: Spread) -> Value {
    let Spread { min, median, p90, p99, p999, p9999, max } = spread;
    let us = |nanoseconds: u64| round(nanoseconds as f64 / 1e3);
    json!({
        "min": us(min),
        "median": us(median),
        "p90": us(p90),
        "p99": us(p99),
        "p999": us(p999),
        "p9999": us(p9999),
        "max": us(max),
    })
}

/// Microseconds, without the end of the line.
pub(super) fn to_text(spread: Option<Spread>) -> String {
    let Some(Spread { min, median, p90, p99, p999, p9999, max }) = spread else {
        return "none".to_owned();
    };
    let us = |nanoseconds: u64| format!("{:.0}", nanoseconds as f64 / 1e3);
    let [min, median, p90, p99] = [min, median, p90, p99].map(us);
    let [p999, p9999, max] = [p999, p9999, max].map(us);
    format!(
        "min {min}, median {median}, p90 {p90}, p99 {p99}, p99.9 {p999}, p99.99 {p9999}, max {max} us"
    )
}
