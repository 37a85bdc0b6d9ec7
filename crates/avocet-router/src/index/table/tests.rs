use std::cell::Cell;

use super::*;
use crate::group::spread;

#[test]
fn numbers_are_found_until_they_are_removed() {
    let mut table = Table::default();
    for number in 0..50_000 {
        table.insert(hash(&number), number, hash);
    }
    assert!(table.segments.len() > 16);
    for number in 0..50_000 {
        assert_eq!(find(&table, number), Some(number));
        assert_eq!(find(&table, number + 50_000), None);
    }
    for number in (0..50_000).step_by(3) {
        assert!(remove(&mut table, number));
        assert!(!remove(&mut table, number));
    }
    for number in 0..50_000 {
        assert_eq!(find(&table, number), (number % 3 != 0).then_some(number));
    }
    for number in (0..50_000).filter(|number| number % 3 != 0) {
        assert!(remove(&mut table, number));
    }
    assert!(table.is_empty());
    let left: usize = table.segments.iter().map(|it| it.numbers.capacity()).sum();
    assert!(left < 1_000, "room for {left}");
}

#[test]
fn no_insert_moves_more_than_a_segment() {
    let mut table = Table::default();
    let moved = Cell::new(0);
    let rehash = |number: &u32| {
        moved.set(moved.get() + 1);
        hash(number)
    };
    for number in 0..100_000 {
        moved.set(0);
        table.insert(hash(&number), number, rehash);
        // A split asks each entry, and puts some in place again while a half grows.
        assert!(moved.get() <= 2 * SEGMENT_MAX, "{} at {number}", moved.get());
    }
    for number in 0..100_000 {
        moved.set(0);
        assert!(table.remove(hash(&number), |&held| held == number, rehash));
        assert!(moved.get() <= SEGMENT_MAX);
    }
}

#[test]
fn hashes_that_are_alike_do_no_harm() {
    let mut table = Table::default();
    let alike = |_: &u32| 0x1234_5678_9ABC_DEF0;
    for number in 0..2_000 {
        table.insert(alike(&number), number, alike);
    }
    assert!(table.directory.len() <= 64);
    for number in 0..2_000 {
        assert_eq!(table.find(alike(&number), |&held| held == number), Some(number));
    }
}

fn hash(number: &u32) -> u64 {
    spread(u64::from(*number))
}

fn find(table: &Table, number: u32) -> Option<u32> {
    table.find(hash(&number), |&held| held == number)
}

fn remove(table: &mut Table, number: u32) -> bool {
    table.remove(hash(&number), |&held| held == number, hash)
}
