//! How long messages took: a histogram of fixed size, each value known to within 1 %.

use serde_json::{Value, json};

/// Steps between a power of two and the next.
const STEPS: u64 = 128;
const STEP_BITS: u32 = STEPS.trailing_zeros();
const CELLS: usize = (STEPS as usize) * (64 - STEP_BITS as usize + 1);

/// Nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) min: u64,
    pub(super) median: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) p9999: u64,
    pub(super) max: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Latencies {
    cells: Box<[u64]>,
    count: u64,
    min: u64,
    max: u64,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self { cells: vec![0; CELLS].into(), count: 0, min: u64::MAX, max: 0 }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    #[inline]
    pub(super) fn add(&mut self, nanoseconds: u64) {
        self.cells[cell(nanoseconds)] += 1;
        self.count += 1;
        self.min = self.min.min(nanoseconds);
        self.max = self.max.max(nanoseconds);
    }

    /// Adds what another has counted.
    pub(super) fn merge(&mut self, other: &Self) {
        for (cell, count) in self.cells.iter_mut().zip(&other.cells) {
            *cell += count;
        }
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// The smallest value, the largest, and the cells that are not empty: number and count.
    pub(super) fn to_json(&self) -> Value {
        let cells = self.cells.iter().enumerate().filter(|(_, count)| **count > 0);
        json!({ "min": self.min(), "max": self.max, "cells": cells.collect::<Vec<_>>() })
    }

    /// What [`Self::to_json`] wrote, in another process; `None` if it is something else.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let mut latencies = Self::new();
        for cell in value.get("cells")?.as_array()? {
            let (index, count) = (cell.get(0)?.as_u64()?, cell.get(1)?.as_u64()?);
            *latencies.cells.get_mut(usize::try_from(index).ok()?)? = count;
            latencies.count += count;
        }
        latencies.min = value.get("min")?.as_u64().unwrap_or(u64::MAX);
        latencies.max = value.get("max")?.as_u64()?;
        Some(latencies)
    }

    pub(super) fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// What is told of them; `None` if there are none.
    pub(super) fn spread(&self) -> Option<Spread> {
        Some(Spread {
            min: self.min()?,
            median: self.percentile(0.5)?,
            p90: self.percentile(0.9)?,
            p99: self.percentile(0.99)?,
            p999: self.percentile(0.999)?,
            p9999: self.percentile(0.9999)?,
            max: self.max,
        })
    }

    /// The value that `share` of all (0 to 1) do not exceed, rounded up by at most 1/128 of it.
    pub(super) fn percentile(&self, share: f64) -> Option<u64> {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let index = self.cells.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(upper(index).min(self.max))
    }
}

#[inline]
fn cell(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - STEP_BITS;
    ((u64::from(shift) + 1) * STEPS + (value >> shift) - STEPS) as usize
}

/// The largest value of a cell.
fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let (shift, step) = (index / STEPS - 1, index % STEPS);
    ((STEPS + step) << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests;
