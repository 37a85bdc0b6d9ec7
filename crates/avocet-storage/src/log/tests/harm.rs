//! What clients, crashed processes and failing disks leave behind.

use std::sync::Arc;

use super::{OPTIONS, body, check, commit, open};
use crate::{
    disk::{Disk, Fault, File, SimulatedDisk},
    log::{Durability, Log, LogOptions, Loss, Position, record},
};

fn open_with(disk: &SimulatedDisk, options: LogOptions) -> Log {
    Log::open(Arc::new(disk.clone()), options, |_, _, _| {}).expect("the disk is well").0
}

fn file(disk: &SimulatedDisk, number: u32) -> Arc<dyn File> {
    disk.open(&format!("{number:010}.log")).expect("it is there")
}

/// A process that was killed had written and not synced.
#[test]
fn what_is_found_is_synced_before_it_counts() {
    for seed in 0..50 {
        let disk = SimulatedDisk::default();
        let mut log = open_with(&disk, LogOptions { durability: Durability::Os, ..OPTIONS });
        commit(&mut log, 0..3).expect("the disk is well");
        check(&disk, 0..3);
        check(&disk.after_power_cut(seed), 0..3);
    }
}

/// If it cannot be synced at once, nothing is committed behind it before it is.
#[test]
fn what_is_found_and_cannot_be_synced_is_synced_by_the_first_commit() {
    for seed in 0..50 {
        let disk = SimulatedDisk::default();
        let mut log = open_with(&disk, LogOptions { durability: Durability::Os, ..OPTIONS });
        commit(&mut log, 0..3).expect("the disk is well");
        disk.fail(0..2, Fault::Full);
        let mut opened = open(&disk);
        disk.mend();
        commit(&mut opened.log, 3..4).expect("the disk is well");
        let found = open(&disk.after_power_cut(seed)).records;
        assert!(found.len() == 4 || found.is_empty(), "{}", found.len());
    }
}

#[test]
fn disk_that_fails_again_and_again_is_not_filled_with_files() {
    for fault in [Fault::Full, Fault::Broken] {
        let disk = SimulatedDisk::default();
        let mut log = open(&disk).log;
        commit(&mut log, 0..2).expect("the disk is well");
        let size = file(&disk, 0).size().expect("it is there");
        // Whatever can be done, but for the writes of the group and of a new head.
        for attempt in 0..50 {
            disk.fail(if attempt == 0 { 0..1 } else { 4..5 }, fault);
            assert!(commit(&mut log, 2..12).is_err(), "attempt {attempt}");
            log.discard();
            disk.mend();
        }
        assert_eq!(disk.names().expect("the disk is well"), ["0000000000.log"]);
        assert_eq!(log.segments().count(), 1);
        assert_eq!(file(&disk, 0).size().expect("it is there"), size);
        commit(&mut log, 2..5).expect("the disk is well");
        check(&disk, 0..5);
    }
}

#[test]
fn batch_that_does_not_fit_leaves_nothing_in_the_group() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    log.append(&body(0)).expect("it is small");
    let waiting = log.waiting_bytes();
    let large = vec![0; record::RECORD_BYTES_MAX];
    log.append_batch([&body(1)[..], &large]).expect_err("it is large");
    assert_eq!(log.waiting_bytes(), waiting);
    log.append(&body(1)).expect("it is small");
    log.commit().expect("the disk is well");
    check(&disk, 0..2);
}

/// What a client publishes looks like a record that begins a group, and the record it lies in is
/// damaged.
#[test]
fn bytes_of_a_client_are_no_record() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    commit(&mut log, 0..1).expect("the disk is well");
    let mut forged = Vec::new();
    let marks = record::Marks { begins_group: true, has_more: false };
    for number in 0..40 {
        record::append(&mut forged, record::Key(0), number, marks, b"forged");
    }
    let first = log.append(&forged).expect("it is small");
    let placed = log.commit().expect("the disk is well");
    commit(&mut log, 2..3).expect("the disk is well");
    disk.damage("0000000000.log", placed.position(first).offset as usize);
    let opened = open(&disk);
    assert_eq!(opened.records, [body(0), body(2)]);
    assert_eq!(opened.losses.len(), 1);
}

/// A group is damaged, and of the batch behind it, which tells that it was committed, only the
/// beginning is there.
#[test]
fn damage_before_a_torn_batch_is_told() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    commit(&mut log, 0..1).expect("the disk is well");
    let damaged = commit(&mut log, 1..2).expect("the disk is well");
    let bodies = [body(2), body(3)];
    let first = log.append_batch(bodies.iter().map(|body| &body[..])).expect("they are small");
    let torn = log.commit().expect("the disk is well").position(first.next(bodies[0].len()));
    for position in [damaged[0], torn] {
        disk.damage("0000000000.log", position.offset as usize);
    }
    let opened = open(&disk);
    assert_eq!(opened.records, [body(0)]);
    assert_eq!(opened.losses.iter().map(Loss::records).sum::<u64>(), 1);
    check(&disk, 0..1);
}

/// Lengths stand everywhere in a torn record, each of which would have a checksum computed.
#[test]
fn large_torn_record_is_passed_by_quickly() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    commit(&mut log, 0..1).expect("the disk is well");
    let body = [0, 0, 8, 0].repeat(1 << 19);
    let first = log.append(&body).expect("it is small enough");
    let placed = log.commit().expect("the disk is well");
    disk.damage("0000000000.log", placed.position(first).offset as usize + 100);
    check(&disk, 0..1);
}

#[test]
fn files_of_other_names_are_none_of_the_log() {
    let disk = SimulatedDisk::default();
    commit(&mut open(&disk).log, 0..2).expect("the disk is well");
    for name in ["1.log", "+1.log", "+000000001.log", "00000000001.log", "a.log"] {
        let copy = disk.create(name).expect("the disk is well");
        let mut bytes = [0; 4096];
        let len = file(&disk, 0).read_at(&mut bytes, 0).expect("the disk is well");
        copy.write_at(&bytes[..len], 0).expect("the disk is well");
    }
    check(&disk, 0..2);
}

#[test]
fn salvage_that_fails_leaves_nothing_behind() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    (0..9).for_each(|number| drop(commit(&mut log, number..number + 1)));
    disk.damage("0000000000.log", 600);
    let before = disk.names().expect("the disk is well");
    for failing in (0..7).cycle().take(20) {
        disk.fail(failing..failing + 1, Fault::Full);
        let opened = open(&disk);
        assert_eq!(opened.records.len(), 8);
        disk.mend();
        assert_eq!(disk.names().expect("the disk is well"), before, "{failing}");
    }
}

/// Both copies of its head are gone.
#[test]
fn segment_without_a_head_is_put_aside() {
    for number in [0, 1, 2] {
        let disk = SimulatedDisk::default();
        let mut log = open(&disk).log;
        commit(&mut log, 0..30).expect("the disk is well");
        commit(&mut log, 30..60).expect("the disk is well");
        commit(&mut log, 60..90).expect("the disk is well");
        let name = format!("{number:010}.log");
        disk.damage(&name, 3);
        disk.damage(&name, 515);
        let mut opened = open(&disk);
        assert_eq!(opened.records.len(), 60);
        let [Loss::Records { name: lost, .. }] = &opened.losses[..] else {
            panic!("{:?}", opened.losses)
        };
        assert_eq!(*lost, format!("{name}.damaged"));
        commit(&mut opened.log, 90..91).expect("the disk is well");
        let again = open(&disk);
        assert_eq!(again.records.len(), 61);
        assert_eq!(again.losses, []);
    }
}

#[test]
fn scan_passes_by_what_is_damaged_while_the_log_is_open() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    commit(&mut log, 0..30).expect("the disk is well");
    let positions = commit(&mut log, 30..31).expect("the disk is well");
    assert_eq!(positions[0].segment, 1);
    for damaged in [0_usize, 550, 700, 4000] {
        if damaged > 0 {
            disk.damage("0000000000.log", damaged);
        }
        for bytes in [1, 100, 5000, 1 << 20] {
            let (mut found, mut is_damaged) = (Vec::new(), false);
            let mut next = Some(Position::default());
            while let Some(at) = next {
                let scanned = log.reader().scan(at, bytes, |_, number, read| {
                    assert_eq!(read, body(number));
                    found.push(number);
                });
                let scanned = scanned.expect("it is there");
                is_damaged |= scanned.is_damaged;
                next = scanned.next;
            }
            assert!(found.is_sorted() && found.len() >= 27, "{found:?}");
            assert_eq!(found.len() == 30, damaged == 0);
            assert_eq!(is_damaged, damaged > 0, "{damaged}, {bytes}");
        }
    }
}

/// Nothing that was committed behind it is in its way, and it is not opened again.
#[test]
fn segment_that_cannot_be_opened_is_put_aside_and_its_records_are_lost() {
    for number in 0..3 {
        let disk = SimulatedDisk::default();
        let mut log = open(&disk).log;
        (0..3).for_each(|group| {
            commit(&mut log, group * 30..(group + 1) * 30).expect("the disk is well");
        });
        drop(log);
        let (name, aside) = (format!("{number:010}.log"), format!("{number:010}.log.damaged"));
        let bytes = file(&disk, number).size().expect("it is there");
        disk.shut(&name);
        let mut opened = open(&disk);
        let found: Vec<u64> = (0..90).filter(|it| it / 30 != u64::from(number)).collect();
        assert_eq!(opened.records, found.iter().map(|it| body(*it)).collect::<Vec<_>>());
        let [Loss::File { name: lost, records, why }] = &opened.losses[..] else {
            panic!("{:?}", opened.losses)
        };
        assert_eq!((&**lost, &**why), (&*aside, "the disk is broken"));
        assert_eq!(*records, (number == 1).then_some(30));
        commit(&mut opened.log, 90..91).expect("the disk is well");
        let size = disk.open(&aside).and_then(|file| file.size()).expect("it is there");
        assert_eq!(size, bytes);
        disk.mend();
        let again = open(&disk);
        assert_eq!(again.records.len(), 61);
        assert_eq!(again.losses, []);
    }
}

/// Its records and those of what came behind it would have the same numbers.
#[test]
fn nothing_is_committed_beside_a_segment_that_cannot_be_put_aside() {
    let disk = SimulatedDisk::default();
    commit(&mut open(&disk).log, 0..30).expect("the disk is well");
    disk.shut("0000000000.log");
    disk.fail(0..u64::MAX, Fault::Broken);
    let mut opened = open(&disk);
    assert_eq!(opened.records, [[0; 0]; 0]);
    let name = "0000000000.log";
    assert!(opened.losses.iter().all(|loss| loss.name() == Some(name)), "{:?}", opened.losses);
    let refused = commit(&mut opened.log, 90..91).expect_err("it is in the way").to_string();
    assert!(refused.starts_with(name) && refused.contains("nor put aside"), "{refused}");
    opened.log.discard();
    // It can be read again: nothing has been lost, and nothing is in its way.
    drop(opened);
    disk.mend();
    check(&disk, 0..30);
    // It gets its other name as soon as that is possible.
    disk.shut(name);
    disk.fail(0..4, Fault::Broken);
    let mut opened = open(&disk);
    disk.mend();
    commit(&mut opened.log, 90..91).expect("the disk is well");
    assert!(disk.names().expect("the disk is well").contains(&format!("{name}.damaged")));
    let opened = open(&disk);
    assert_eq!((opened.records, opened.losses), (vec![body(90)], Vec::new()));
}

/// Which has to be known, so that no number is less than the one before.
#[test]
fn two_segments_without_a_head_are_no_crash() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    (0..4).for_each(|group| {
        commit(&mut log, group * 30..(group + 1) * 30).expect("the disk is well");
    });
    for name in ["0000000001.log", "0000000002.log"] {
        disk.damage(name, 3);
        disk.damage(name, 515);
    }
    let mut opened = open(&disk);
    assert_eq!(opened.records.len(), 60);
    commit(&mut opened.log, 120..121).expect("the disk is well");
    let again = open(&disk);
    assert_eq!((again.records.len(), again.losses), (61, Vec::new()));
}

/// The disk gives it again another day: all of it is there then, under its other name.
#[test]
fn segment_that_is_given_in_part_is_put_aside_as_it_is() {
    let name = "0000000000.log";
    let bytes_of = |disk: &SimulatedDisk, name: &str| {
        let file = disk.open(name).expect("it is there");
        let mut bytes = vec![0; file.size().expect("the disk is well") as usize];
        file.read_at(&mut bytes, 0).expect("the disk is well");
        bytes
    };
    for withheld in [0..100, 4096..4097] {
        let disk = SimulatedDisk::default();
        let mut log = open(&disk).log;
        (0..2).for_each(|group| {
            commit(&mut log, group * 30..(group + 1) * 30).expect("the disk is well");
        });
        let before = bytes_of(&disk, name);
        disk.withhold(name, withheld.clone());
        let mut opened = open(&disk);
        let found = opened.records.len();
        assert_eq!(found > 30, withheld.start > 0, "{found}");
        assert_eq!(opened.losses[0].name(), Some("0000000000.log.damaged"));
        commit(&mut opened.log, 60..61).expect("the disk is well");
        disk.mend();
        assert_eq!(bytes_of(&disk, "0000000000.log.damaged"), before);
        let again = open(&disk);
        assert_eq!((again.records.len(), again.losses), (found + 1, Vec::new()));
    }
}

/// Between any two changes of putting a file aside the power goes, or the disk fails.
#[test]
fn what_can_be_read_is_there_wherever_putting_aside_ends() {
    for failing in 0..12 {
        for seed in 0..20 {
            let disk = SimulatedDisk::default();
            let mut log = open(&disk).log;
            (0..2).for_each(|group| {
                commit(&mut log, group * 30..(group + 1) * 30).expect("the disk is well");
            });
            drop(log);
            disk.withhold("0000000000.log", 4096..4097);
            disk.fail(failing..u64::MAX, Fault::Broken);
            let found = open(&disk).records;
            assert!(found.len() > 30, "{failing}: {}", found.len());
            // What is given again is more, unless the file was put aside by then.
            let again = open(&disk.after_power_cut(seed)).records;
            assert!(again == found || again.len() == 60, "{failing}, {seed}: {}", again.len());
        }
    }
}

/// The power went while a damaged file was put aside, and now the disk can only be read.
#[test]
fn what_was_salvaged_is_read_before_it_can_get_its_name() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    (0..2).for_each(|group| {
        commit(&mut log, group * 30..(group + 1) * 30).expect("the disk is well");
    });
    drop(log);
    let (name, salvaging) = ("0000000000.log", "0000000000.log.salvaging");
    disk.rename(name, salvaging).expect("it is there");
    disk.create("0000000000.log.damaged").expect("the disk is well");
    disk.fail(0..u64::MAX, Fault::Broken);
    let mut opened = check(&disk, 0..60);
    commit(&mut opened.log, 60..61).expect_err("the disk takes nothing");
    opened.log.discard();
    opened.log.forget_oldest().expect_err("the disk takes nothing");
    assert!(disk.names().expect("it can be read").contains(&salvaging.to_owned()));
    disk.mend();
    // Whatever is done first.
    commit(&mut opened.log, 60..61).expect("the disk is well");
    let names = disk.names().expect("the disk is well");
    assert!(names.contains(&name.to_owned()) && !names.contains(&salvaging.to_owned()));
    check(&disk, 0..61);
    disk.rename(name, salvaging).expect("it is there");
    disk.fail(0..4, Fault::Broken);
    let mut opened = check(&disk, 0..61);
    disk.mend();
    opened.log.forget_oldest().expect("the disk is well");
    check(&disk, 30..61);
}

/// It is not salvaged once more under a name that it has itself.
#[test]
fn what_was_salvaged_and_is_damaged_is_read_before_it_can_get_its_name() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).log;
    (0..9).for_each(|number| drop(commit(&mut log, number..number + 1)));
    drop(log);
    disk.damage("0000000000.log", 600);
    disk.rename("0000000000.log", "0000000000.log.salvaging").expect("it is there");
    disk.create("0000000000.log.damaged").expect("the disk is well");
    for _ in 0..3 {
        disk.mend();
        disk.fail(0..1, Fault::Broken);
        assert_eq!(open(&disk).records.len(), 8);
    }
    disk.mend();
    assert_eq!(open(&disk).records.len(), 8);
}
