//! Latencies in a few numbers, for people and for scripts.

use serde_json::{Value, json};

use super::{latency::Latencies, outcome::round};

const PERCENTILES: [(&str, f64); 5] =
    [("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

/// Microseconds; null if there are none.
pub(super) fn to_json(latencies: &Latencies) -> Value {
    let Some(min) = latencies.min() else { return Value::Null };
    let mut spread = json!({ "min": micros(min) });
    for (name, share) in PERCENTILES {
        spread[name] = json!(latencies.percentile(share).map(micros));
    }
    spread
}

/// A line without its end.
pub(super) fn to_text(latencies: &Latencies) -> String {
    let Some(min) = latencies.min() else { return "none".to_owned() };
    let mut text = format!("min {:.0} us", micros(min));
    for (name, share) in PERCENTILES {
        if let Some(value) = latencies.percentile(share) {
            text.push_str(&format!(", {name} {:.0} us", micros(value)));
        }
    }
    text
}

fn micros(nanoseconds: u64) -> f64 {
    round(nanoseconds as f64 / 1e3)
}
