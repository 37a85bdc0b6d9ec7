//! The table of a comparison: medians, and ratios to what a figure is judged by.

use std::fmt;

use avocet_mqtt::QoS;
use serde_json::{Value, json};

use super::{
    super::{
        latency::Spread,
        outcome::{Costs, round},
    },
    Scenario, Way,
};

const COLUMN: usize = 17;

#[derive(Debug)]
pub(super) struct Table {
    ways: Vec<Way>,
    rows: Vec<Row>,
    latencies: Vec<Latency>,
}

/// How long messages took in a run at half load.
#[derive(Clone, Copy, Debug)]
struct Latency {
    way: Way,
    /// Messages a second.
    rate: u32,
    spread: Spread,
}

#[derive(Debug)]
struct Row {
    scenario: Scenario,
    /// One for each way.
    cells: Vec<Cell>,
}

/// What the runs gave.
#[derive(Clone, Debug, Default)]
struct Cell {
    us: Vec<f64>,
    rates: Vec<f64>,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Broker(QoS::AtMostOnce) => "QoS 0",
            Self::Broker(QoS::AtLeastOnce) => "QoS 1",
            Self::Broker(QoS::ExactlyOnce) => "QoS 2",
            Self::Fastlane => "$fastlane",
        }
    }

    /// What it is judged by.
    fn base(self) -> Option<Self> {
        match self {
            Self::Relay => None,
            Self::Broker(QoS::AtMostOnce) => Some(Self::Relay),
            Self::Broker(_) | Self::Fastlane => Some(Self::Broker(QoS::AtMostOnce)),
        }
    }
}

impl Table {
    pub(super) fn new(scenarios: &[Scenario], ways: &[Way]) -> Self {
        let row = |scenario: &Scenario| Row {
            scenario: *scenario,
            cells: vec![Cell::default(); ways.len()],
        };
        Self {
            ways: ways.to_vec(),
            rows: scenarios.iter().map(row).collect(),
            latencies: Vec::new(),
        }
    }

    /// Adds the result of one run.
    pub(super) fn add(&mut self, scenario: Scenario, way: Way, costs: &Costs) {
        let column = self.ways.iter().position(|other| *other == way);
        let row = self.rows.iter_mut().find(|row| row.scenario == scenario);
        if let (Some(row), Some(column), Some(us)) = (row, column, costs.broker_us()) {
            row.cells[column].us.push(us);
            row.cells[column].rates.push(costs.rate());
        }
    }

    /// Messages a second in the last run; 0 if there was none.
    pub(super) fn last_rate(&self, scenario: Scenario, way: Way) -> f64 {
        let column = self.ways.iter().position(|other| *other == way);
        let row = self.rows.iter().find(|row| row.scenario == scenario);
        let last = row.zip(column).and_then(|(row, column)| row.cells[column].rates.last());
        last.copied().unwrap_or_default()
    }

    /// Adds what a run at half load gave.
    pub(super) fn add_latency(&mut self, way: Way, rate: u32, spread: Option<Spread>) {
        self.latencies.extend(spread.map(|spread| Latency { way, rate, spread }));
    }

    /// Microseconds of one percentile, medians of the runs: of the relay, of the broker, and of the
    /// ratios of each run.
    fn percentile(&self, of: impl Fn(&Spread) -> u64) -> Option<[f64; 3]> {
        let all = |way: Way| -> Vec<f64> {
            let meant = self.latencies.iter().filter(|latency| latency.way == way);
            meant.map(|latency| of(&latency.spread) as f64 / 1e3).collect()
        };
        let [relay, broker] = [all(Way::Relay), all(Way::Broker(QoS::AtMostOnce))];
        let ratios = broker.iter().zip(&relay).map(|(broker, relay)| broker / relay);
        let of_ratios = median(ratios)?;
        Some([median(relay.into_iter())?, median(broker.into_iter())?, of_ratios])
    }

    /// What is told of latency: its name, and [`percentile`](Self::percentile).
    fn percentiles(&self) -> Vec<(&'static str, [f64; 3])> {
        let median = self.percentile(|it| it.median).map(|us| ("median", us));
        let p99 = self.percentile(|it| it.p99).map(|us| ("p99", us));
        let p999 = self.percentile(|it| it.p999).map(|us| ("p999", us));
        [median, p99, p999].into_iter().flatten().collect()
    }

    fn half_load(&self) -> Option<f64> {
        median(self.latencies.iter().map(|latency| f64::from(latency.rate)))
    }

    /// The median over the runs of the ratio to what the way is judged by.
    fn ratio(&self, row: &Row, column: usize) -> Option<f64> {
        let base = self.ways[column].base()?;
        let base = self.ways.iter().position(|way| *way == base)?;
        let pairs = row.cells[column].us.iter().zip(&row.cells[base].us);
        median(pairs.map(|(us, base)| us / base))
    }

    pub(super) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let Scenario { shape, count, window } = row.scenario;
            let cells = self.ways.iter().enumerate().map(|(column, way)| {
                let cell = &row.cells[column];
                let value = json!({
                    "cpu_us_per_message": median(cell.us.iter().copied()).map(round),
                    "runs_us": cell.us.iter().copied().map(round).collect::<Vec<_>>(),
                    "messages_per_second": median(cell.rates.iter().copied()).map(f64::round),
                    "ratio": self.ratio(row, column).map(round),
                });
                (way.name().to_lowercase().replace([' ', '$'], ""), value)
            });
            json!({
                "scenario": shape.name(),
                "count": count,
                "window": window,
                "cells": Value::Object(cells.collect()),
            })
        });
        let latency = self.percentiles().into_iter().map(|(name, [relay, broker, ratio])| {
            let us = [relay, broker, ratio].map(round);
            (name.to_owned(), json!({ "relay_us": us[0], "qos0_us": us[1], "ratio": us[2] }))
        });
        json!({
            "costs": rows.collect::<Vec<_>>(),
            "half_load_messages_per_second": self.half_load(),
            "half_load_latency": Value::Object(latency.collect()),
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:24}", "CPU us a message")?;
        for way in &self.ways {
            write!(f, "{:>COLUMN$}", way.name())?;
        }
        writeln!(f)?;
        for row in &self.rows {
            let Scenario { shape, count, window } = row.scenario;
            let (from, to) = (shape.publishers(count), shape.subscribers(count));
            let name = format!("{} {from}-{to} window {window}", shape.name());
            write!(f, "{name:24}")?;
            for (column, cell) in row.cells.iter().enumerate() {
                let us = median(cell.us.iter().copied()).unwrap_or(f64::NAN);
                let text = match self.ratio(row, column) {
                    Some(ratio) => format!("{us:.3} ({ratio:.2}x)"),
                    None => format!("{us:.3}"),
                };
                write!(f, "{text:>COLUMN$}")?;
            }
            writeln!(f)?;
        }
        if let Some(rate) = self.half_load() {
            writeln!(f, "latency at {rate:.0} messages/s, us")?;
        }
        for (name, [relay, broker, ratio]) in self.percentiles() {
            let broker = format!("{broker:.0} ({ratio:.2}x)");
            writeln!(f, "{name:24}{relay:>COLUMN$.0}{broker:>COLUMN$}")?;
        }
        Ok(())
    }
}

/// The middle one; of an even number the lower of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests;
