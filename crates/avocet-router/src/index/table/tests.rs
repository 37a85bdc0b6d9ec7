use super::*;
use crate::group::spread;

#[derive(Debug)]
struct Number {
    number: u32,
    hash: u32,
}

impl Hashed for Number {
    fn hash(&self) -> u32 {
        self.hash
    }
}

#[test]
fn entries_are_found_until_they_are_removed() {
    let mut table = Table::default();
    for number in 0..50_000 {
        insert(&mut table, number);
    }
    assert!(table.segments.len() > 16);
    for number in 0..50_000 {
        assert!(has(&table, number));
        assert!(!has(&table, number + 50_000));
    }
    for number in (0..50_000).step_by(3) {
        assert!(remove(&mut table, number));
        assert!(!remove(&mut table, number));
    }
    for number in 0..50_000 {
        assert_eq!(has(&table, number), number % 3 != 0);
    }
    for number in (0..50_000).filter(|number| number % 3 != 0) {
        assert!(remove(&mut table, number));
    }
    assert!(table.is_empty());
    let left: usize = table.segments.iter().map(|it| it.slots.len()).sum();
    assert_eq!(left, 0);
}

#[test]
fn no_change_moves_more_than_a_segment() {
    let mut table = Table::default();
    for number in 0..100_000 {
        let segments = table.segments.len();
        insert(&mut table, number);
        assert!(table.segments.len() <= segments + 1, "at {number}");
    }
    assert!(table.segments.iter().all(|it| it.slots.len() <= SLOTS_MAX));
}

/// What a look-up passes by, however full the table is.
#[test]
fn entries_are_near_their_homes() {
    let mut table = Table::default();
    for number in 0..100_000 {
        insert(&mut table, number);
        if number % 7_000 == 0 {
            let (sum, most) = distances(&table);
            assert!(sum <= 3 * table.len && most <= 40, "{sum} of {}, {most}", table.len);
        }
    }
    for number in 0..60_000 {
        assert!(remove(&mut table, number));
    }
    let (sum, most) = distances(&table);
    assert!(sum <= 3 * table.len && most <= 40, "{sum} of {}, {most}", table.len);
}

#[test]
fn hashes_that_are_alike_do_no_harm() {
    let mut table = Table::default();
    let hash = 0x9ABC_DEF0;
    for number in 0..2_000 {
        table.insert(Number { number, hash });
    }
    assert!(table.directory.len() <= 64);
    for number in 0..2_000 {
        let found = table.find(hash, |held| held.number == number);
        assert_eq!(found.map(|held| held.number), Some(number));
    }
    for number in 0..2_000 {
        assert!(table.remove(hash, |held| held.number == number).is_some());
        assert!(table.remove(hash, |held| held.number == number).is_none());
    }
    assert!(table.is_empty());
}

#[test]
fn a_place_is_that_of_its_entry() {
    let mut table = Table::default();
    for number in 0..10_000 {
        let place = insert(&mut table, number);
        assert_eq!(table[place].number, number);
        let other = number / 2;
        let place = table.locate(hash(other), |held| held.number == other).unwrap();
        assert_eq!(table[place].number, other);
    }
}

/// The sum, and the largest.
fn distances(table: &Table<Number>) -> (usize, usize) {
    let all = table.segments.iter().flat_map(|segment| {
        let held = segment.slots.iter().enumerate();
        held.filter_map(|(slot, held)| Some(segment.distance(held.as_ref()?.hash, slot)))
    });
    all.fold((0, 0), |(sum, most), distance| (sum + distance, most.max(distance)))
}

fn hash(number: u32) -> u32 {
    spread(u64::from(number)) as u32
}

fn insert(table: &mut Table<Number>, number: u32) -> Place {
    table.insert(Number { number, hash: hash(number) })
}

fn has(table: &Table<Number>, number: u32) -> bool {
    table.find(hash(number), |held| held.number == number).is_some()
}

fn remove(table: &mut Table<Number>, number: u32) -> bool {
    table.remove(hash(number), |held| held.number == number).is_some()
}
