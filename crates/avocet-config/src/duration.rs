//! Durations: `"30s"`, `"1h30m"`, and for older names bare numbers in the unit they always had.

use std::time::Duration;

use crate::field::{Setting, Unfit};
use crate::value::{Data, Value, quote};

/// A duration whose bare number means milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub Duration);

impl Millis {
    pub const fn new(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

/// A duration whose bare number means seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seconds(pub Duration);

impl Seconds {
    pub const fn new(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

/// Largest first; `ms` before `m`, so that a text is compared with the longer one first.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("ms", 1), ("m", 60_000), ("s", 1_000)];

impl Setting for Duration {
    fn read(value: &Value) -> Result<Self, Unfit> {
        match &value.data {
            Data::Text(text) => parse(text).ok_or_else(|| Unfit::found(value)),
            Data::Integer(it) => Err(Unfit(format!("found {it} without a unit"))),
            Data::Boolean(_)
            | Data::Float(_)
            | Data::Datetime(_)
            | Data::List(_)
            | Data::Table(_) => Err(Unfit::found(value)),
        }
    }

    fn accepted() -> String {
        "a duration such as \"500ms\", \"30s\", \"1h30m\" or \"7d\"".to_owned()
    }

    fn write(&self) -> String {
        quote(&format(*self))
    }
}

impl Setting for Millis {
    fn read(value: &Value) -> Result<Self, Unfit> {
        bare(value, 1).map(Self)
    }

    fn accepted() -> String {
        "a number of milliseconds, or a duration such as \"5s\"".to_owned()
    }

    fn write(&self) -> String {
        self.0.as_millis().to_string()
    }
}

impl Setting for Seconds {
    fn read(value: &Value) -> Result<Self, Unfit> {
        bare(value, 1_000).map(Self)
    }

    fn accepted() -> String {
        "a number of seconds, or a duration such as \"15m\"".to_owned()
    }

    fn write(&self) -> String {
        if self.0.subsec_millis() == 0 { self.0.as_secs().to_string() } else { self.0.write() }
    }
}

crate::setting!(Duration, Millis, Seconds);

fn bare(value: &Value, unit: u64) -> Result<Duration, Unfit> {
    let Data::Integer(it) = value.data else { return Duration::read(value) };
    u64::try_from(it)
        .ok()
        .and_then(|it| it.checked_mul(unit))
        .map(Duration::from_millis)
        .ok_or_else(|| Unfit::found(value))
}

/// `1h30m`: numbers with units, each smaller than the one before.
fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let (mut total, mut previous) = (0u64, u64::MAX);
    while !rest.is_empty() {
        let end = rest.find(|it: char| !it.is_ascii_digit())?;
        let (digits, tail) = rest.split_at(end);
        let (name, unit) = UNITS.iter().find(|(name, _)| tail.starts_with(name))?;
        if *unit >= previous {
            return None;
        }
        previous = *unit;
        total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(*unit)?)?;
        rest = &tail[name.len()..];
    }
    Some(Duration::from_millis(total))
}

fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut units = UNITS;
    units.sort_unstable_by_key(|(_, unit)| std::cmp::Reverse(*unit));
    let mut text = String::new();
    for (name, unit) in units {
        if rest >= unit {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    text
}
