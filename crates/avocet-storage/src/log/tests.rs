mod harm;

use std::{collections::BTreeMap, io, ops::Range, sync::Arc};

use super::{Appended, Durability, Log, LogOptions, Loss, Position};
use crate::disk::{Disk, Fault, SimulatedDisk, seeds};

const OPTIONS: LogOptions =
    LogOptions { segment_bytes: 4096, durability: Durability::Fsync, key: 0x1234_5678_9ABC_DEF0 };

/// What a log is found to hold.
#[derive(Debug)]
struct Opened {
    log: Log,
    records: Vec<Vec<u8>>,
    positions: Vec<Position>,
    losses: Vec<Loss>,
}

fn open(disk: &SimulatedDisk) -> Opened {
    let (mut records, mut positions) = (Vec::new(), Vec::new());
    let (log, losses) = Log::open(Arc::new(disk.clone()), OPTIONS, |position, _, body| {
        records.push(body.to_vec());
        positions.push(position);
    })
    .expect("the disk is well");
    Opened { log, records, positions, losses }
}

/// Numbered records of different lengths, the number in front.
fn body(number: u64) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(8 + (number * 37 % 700) as usize, number as u8);
    body
}

fn commit(log: &mut Log, numbers: Range<u64>) -> io::Result<Vec<Position>> {
    let records: Vec<Appended> =
        numbers.map(|number| log.append(&body(number)).expect("it is small")).collect();
    let placed = log.commit()?;
    Ok(records.into_iter().map(|record| placed.position(record)).collect())
}

fn check(disk: &SimulatedDisk, numbers: Range<u64>) -> Opened {
    let opened = open(disk);
    let expected: Vec<Vec<u8>> = numbers.map(body).collect();
    assert_eq!(opened.records, expected);
    assert_eq!(opened.losses, []);
    opened
}

#[test]
fn what_is_committed_is_there_again_in_order_and_at_its_place() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    let mut positions = Vec::new();
    for group in 0..40 {
        positions.extend(commit(&mut log, group * 3..group * 3 + 3).expect("the disk is well"));
    }
    assert!(log.segments().count() > 5);
    let opened = check(&disk, 0..120);
    assert_eq!(opened.positions, positions);
    let mut read = Vec::new();
    for (number, position) in (0..).zip(&positions) {
        for log in [&log, &opened.log] {
            log.reader().read(*position, &mut read).expect("it is there");
            assert_eq!(read, body(number));
        }
    }
}

#[test]
fn what_is_not_committed_is_not_there() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    commit(&mut log, 0..2).expect("the disk is well");
    log.append(b"not yet").expect("it is small");
    assert!(log.waiting_bytes() > 0);
    check(&disk, 0..2);
    log.discard();
    commit(&mut log, 2..3).expect("the disk is well");
    check(&disk, 0..3);
}

#[test]
fn oldest_segments_are_forgotten_and_the_last_is_not() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    let positions = commit(&mut log, 0..40).expect("the disk is well");
    commit(&mut log, 40..41).expect("the disk is well");
    let before = log.segments().count();
    log.forget_oldest().expect("the disk is well");
    assert_eq!(log.segments().count(), before - 1);
    let gone = log.reader().read(positions[0], &mut Vec::new());
    assert_eq!(gone.map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    log.forget_oldest().expect("the disk is well");
    assert_eq!(log.segments().count(), 1);
    let mut log = check(&disk, 40..41).log;
    commit(&mut log, 41..42).expect("the disk is well");
    check(&disk, 40..42);
}

#[test]
fn record_that_is_too_large_is_refused_and_leaves_the_group_as_it_was() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    log.append(&body(0)).expect("it is small");
    let refused = log.append(&vec![0; super::RECORD_BYTES_MAX]).map_err(|error| error.kind());
    assert_eq!(refused, Err(io::ErrorKind::InvalidInput));
    log.commit().expect("the disk is well");
    check(&disk, 0..1);
}

/// Whenever the power goes, what was committed is there, what is there was appended, in order, and
/// nothing counts as lost.
fn cut_power(seed: u64) {
    let mut disk = SimulatedDisk::default();
    let (mut committed, mut next) = (0, 0);
    for life in 0..4 {
        let opened = open(&disk);
        assert_eq!(opened.losses, [], "seed {seed}");
        let found = opened.records.len() as u64;
        assert!(
            (committed..=next).contains(&found),
            "{found} of {committed} to {next}, seed {seed}"
        );
        let expected: Vec<Vec<u8>> = (0..found).map(body).collect();
        assert!(opened.records == expected, "seed {seed}");
        (committed, next) = (found, found);
        let mut log = opened.log;
        let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(life * 13);
        // The power goes in the middle of something: no change from some one on is done.
        let base = disk.changes();
        disk.fail(mixed % 40..u64::MAX, if mixed & 64 == 0 { Fault::Broken } else { Fault::Full });
        for group in 0..30 {
            let size = (mixed >> (group % 50)) % 12 + 1;
            next = committed + size;
            match commit(&mut log, committed..next) {
                Ok(_) => committed = next,
                Err(_) => break,
            }
        }
        assert!(disk.changes() >= base);
        disk = disk.after_power_cut(mixed ^ 0xA5A5);
    }
}

#[test]
fn power_cut_loses_nothing_that_was_committed() {
    seeds("power cuts of the log", 1_000, 1).for_each(cut_power);
}

/// Each change fails once, in both ways; what was committed before and after is there, what failed
/// is there if it was tried again and is not if it was given up.
#[test]
fn failed_write_or_sync_costs_only_its_group() {
    for fault in [Fault::Broken, Fault::Full] {
        for failing in 0..40 {
            for is_tried_again in [false, true] {
                let disk = SimulatedDisk::default();
                let mut log = open(&disk).log;
                disk.fail(failing..failing + 1, fault);
                let mut committed = 0;
                for _ in 0..20 {
                    let numbers = committed..committed + 5;
                    if commit(&mut log, numbers.clone()).is_ok() {
                        committed = numbers.end;
                    } else if is_tried_again {
                        log.commit().expect("it fails once");
                        committed = numbers.end;
                    } else {
                        log.discard();
                    }
                }
                check(&disk, 0..committed);
                let seed = failing * 2 + u64::from(is_tried_again);
                check(&disk.after_power_cut(seed), 0..committed);
            }
        }
    }
}

/// Bytes of a log are damaged in turn: opening it never fails, says what is missing, and all
/// else is there; opened again it has no more to say and takes more.
#[test]
fn damaged_byte_costs_its_record_alone() {
    const COUNT: u64 = 17;
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    for number in 0..COUNT {
        commit(&mut log, number..number + 1).expect("the disk is well");
    }
    let whole = open(&disk);
    assert!(whole.log.segments().count() > 1, "more than one segment");
    let names: BTreeMap<String, u64> = disk
        .names()
        .expect("the disk is well")
        .into_iter()
        .map(|name| (name.clone(), disk.open(&name).and_then(|it| it.size()).expect("it is there")))
        .collect();
    let last = names.keys().next_back().expect("there is one").clone();
    for (name, size) in &names {
        for offset in (0..*size).step_by(11) {
            let disk = disk.after_power_cut(0);
            disk.damage(name, offset as usize);
            let opened = open(&disk);
            let missing: u64 = opened.losses.iter().map(Loss::records).sum();
            let found: Vec<u64> = opened.records.iter().map(|record| number_of(record)).collect();
            assert!(found.is_sorted() && found.iter().all(|number| *number < COUNT), "{found:?}");
            for record in &opened.records {
                assert_eq!(*record, body(number_of(record)));
            }
            let lost = COUNT - found.len() as u64;
            assert!(lost <= 1, "{name} at {offset}: {lost} lost");
            // Of the very last record nothing says that it was committed.
            let is_tail = name == &last && !found.contains(&(COUNT - 1));
            assert_eq!(missing, if is_tail { 0 } else { lost }, "{name} at {offset}");
            let (mut log, kept) = (opened.log, opened.records.len());
            commit(&mut log, 90..91).expect("the disk is well");
            let again = open(&disk);
            assert_eq!(again.records.len(), kept + 1, "{name} at {offset}");
            assert_eq!(again.losses, [], "{name} at {offset}: told again");
            for (position, record) in again.positions.iter().zip(&again.records) {
                let mut read = Vec::new();
                again.log.reader().read(*position, &mut read).expect("it is there");
                assert_eq!(&read, record);
            }
        }
    }
}

fn number_of(record: &[u8]) -> u64 {
    record.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes))
}

#[test]
fn damaged_segment_is_kept_under_another_name() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    (0..9).for_each(|number| drop(commit(&mut log, number..number + 1)));
    disk.damage("0000000000.log", 600);
    let opened = open(&disk);
    let name = "0000000000.log.damaged".to_owned();
    assert_eq!(opened.losses, [Loss::Records { name: name.clone(), records: 1 }]);
    assert_eq!(opened.records.len(), 8);
    assert!(disk.names().expect("the disk is well").contains(&name));
}

/// A disk that takes nothing more: the log opens, says what is missing, and does so each time.
#[test]
fn damaged_segment_on_a_disk_that_takes_nothing_is_read_all_the_same() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    (0..9).for_each(|number| drop(commit(&mut log, number..number + 1)));
    disk.damage("0000000000.log", 600);
    for _ in 0..2 {
        disk.fail(0..u64::MAX, Fault::Full);
        let mut opened = open(&disk);
        let name = "0000000000.log".to_owned();
        assert_eq!(opened.losses, [Loss::Records { name, records: 1 }]);
        assert_eq!(opened.records.len(), 8);
        assert!(commit(&mut opened.log, 9..10).is_err());
        disk.mend();
    }
}

#[test]
fn log_of_a_newer_format_is_left_alone() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    commit(&mut log, 0..1).expect("the disk is well");
    let file = disk.open("0000000000.log").expect("it is there");
    for copy in [0, 512] {
        let mut head = [0; 36];
        file.read_at(&mut head, copy).expect("the disk is well");
        head[8] = 2;
        let checksum = crc32fast::hash(&head[..32]);
        head[32..].copy_from_slice(&checksum.to_le_bytes());
        file.write_at(&head, copy).expect("the disk is well");
    }
    let opened = Log::open(Arc::new(disk), OPTIONS, |_, _, _| {});
    let error = opened.expect_err("it cannot be read");
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(super::UnknownFormat::is_cause(&error));
    assert!(error.to_string().contains("format 2"), "{error}");
}
