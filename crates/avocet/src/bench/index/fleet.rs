//! Filters and topics as a fleet of devices has them.

use clap::ValueEnum;

/// What kinds of filters there are among many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shape {
    /// `site/12/line/3/device/123456/telemetry`.
    Exact,
    /// With one `+` and one that ends in it.
    Plus,
    /// With `#` behind the device.
    Hash,
    /// Half of them exact, the others of five kinds with wildcards, two of which begin with `+` or
    /// have it as their second level; and one `site/12/#` for each site.
    Mixed,
}

impl Shape {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Plus => "plus",
            Self::Hash => "hash",
            Self::Mixed => "mixed",
        }
    }
}

/// Filters, known by their numbers, each of a device of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fleet {
    pub(super) count: u64,
    pub(super) shape: Shape,
}

const SITES: u64 = 1000;
const LINES: u64 = 10;

impl Fleet {
    /// A topic that filter `number` matches.
    pub(super) fn topic(&self, number: u64) -> String {
        topic(number)
    }

    pub(super) fn filter(&self, number: u64) -> String {
        let (site, line) = place(number);
        // By lines, so that each kind has all sites.
        match (self.shape, number / SITES / LINES % 10) {
            (Shape::Mixed, _) if number < SITES => format!("site/{site}/#"),
            (Shape::Exact, _) | (Shape::Mixed, 0..=4) => topic(number),
            (Shape::Mixed, 5) => format!("+/{site}/line/{line}/device/{number}/telemetry"),
            (Shape::Mixed, 6) => format!("site/+/line/{line}/device/{number}/#"),
            (Shape::Plus, 0..=4) | (Shape::Mixed, 7) => {
                format!("site/{site}/line/+/device/{number}/telemetry")
            }
            (Shape::Plus, _) | (Shape::Mixed, 8) => {
                format!("site/{site}/line/{line}/device/{number}/+")
            }
            (Shape::Hash | Shape::Mixed, _) => format!("site/{site}/line/{line}/device/{number}/#"),
        }
    }
}

pub(super) fn topic(number: u64) -> String {
    let (site, line) = place(number);
    format!("site/{site}/line/{line}/device/{number}/telemetry")
}

fn place(number: u64) -> (u64, u64) {
    (number % SITES, number / SITES % LINES)
}
