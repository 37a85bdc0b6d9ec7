use super::*;

#[test]
fn nothing_has_no_percentile() {
    let latencies = Latencies::new();
    assert_eq!((latencies.spread(), latencies.percentile(0.5)), (None, None));
}

#[test]
fn percentiles_are_right_to_within_their_step() {
    let mut latencies = Latencies::new();
    (1..=1000).rev().for_each(|value| latencies.add(value * 1000));
    for (share, exact) in [(0.5, 500_000), (0.99, 990_000), (1.0, 1_000_000), (0.0, 1000)] {
        let found = latencies.percentile(share).unwrap();
        assert!((exact..=exact + exact / 100).contains(&found), "{share}: {found}");
    }
    let spread = latencies.spread().unwrap();
    assert_eq!((spread.min, spread.p9999, spread.max), (1000, 1_000_000, 1_000_000));
    latencies.clear();
    assert_eq!(latencies.percentile(0.5), None);
}

#[test]
fn every_value_has_a_cell_that_holds_it() {
    let powers = (0..64).map(|bit| 1_u64 << bit);
    for value in powers.flat_map(|power| [power - 1, power, power + power / 3]).chain([u64::MAX]) {
        let index = cell(value);
        assert!(index < CELLS);
        assert!(value <= upper(index), "{value} is above its cell");
        assert!(index == 0 || upper(index - 1) < value, "{value} is below its cell");
        assert!(upper(index) - value <= value / 100, "{value} is known to worse than 1 %");
    }
}

#[test]
fn merged_is_as_if_one_had_counted_all() {
    let (mut left, mut right, mut all) = (Latencies::new(), Latencies::new(), Latencies::new());
    for value in (1..1000).map(|value| value * value) {
        if value % 3 == 0 { &mut left } else { &mut right }.add(value);
        all.add(value);
    }
    // As it goes from one process to another.
    let sent = right.to_json().to_string();
    left.merge(&Latencies::from_json(&serde_json::from_str(&sent).unwrap()).unwrap());
    assert_eq!((left.count, left.min()), (all.count, all.min()));
    assert_eq!(left.cells, all.cells);
}

#[test]
fn nothing_merges_with_nothing() {
    let mut latencies = Latencies::from_json(&Latencies::new().to_json()).unwrap();
    latencies.merge(&Latencies::new());
    assert_eq!((latencies.min(), latencies.percentile(0.5)), (None, None));
    assert!(Latencies::from_json(&json!({"min": 1, "cells": [[1_000_000, 1]]})).is_none());
}
