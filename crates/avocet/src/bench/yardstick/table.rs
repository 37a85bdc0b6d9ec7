//! The table of a comparison: medians, and ratios to what a figure is judged by.

use std::fmt;

use avocet_mqtt::QoS;
use serde_json::{Value, json};

use super::{
    super::outcome::{Costs, round},
    Scenario, Way,
};

const COLUMN: usize = 17;

#[derive(Debug)]
pub(super) struct Table {
    ways: Vec<Way>,
    rows: Vec<Row>,
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
        Self { ways: ways.to_vec(), rows: scenarios.iter().map(row).collect() }
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
        Value::Array(rows.collect())
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
