use super::*;

fn taken(schedule: &mut Schedule, now: u64) -> Vec<usize> {
    std::iter::from_fn(|| schedule.take(now)).collect()
}

#[test]
fn messages_are_spread_evenly_over_time_and_publishers() {
    let mut schedule = Schedule::new(1000, 2);
    assert_eq!(taken(&mut schedule, 0), [0]);
    assert!(taken(&mut schedule, 999_999).is_empty());
    assert_eq!(taken(&mut schedule, 1_000_000), [1]);
    assert_eq!(taken(&mut schedule, 3_999_999), [0, 1]);
    assert_eq!((schedule.taken(), schedule.next_due_at()), (4, 4_000_000));
}

#[test]
fn what_a_stall_kept_back_is_due_when_it_was_due() {
    let mut schedule = Schedule::new(1_000_000, 3);
    let publishers = taken(&mut schedule, 99_999);
    assert_eq!(publishers.len(), 100);
    let mut sequences = [0; 3];
    for (number, publisher) in publishers.into_iter().enumerate() {
        assert_eq!(schedule.due_at(publisher, sequences[publisher]), number as u64 * 1000);
        sequences[publisher] += 1;
    }
}

#[test]
fn odd_rates_do_not_drift() {
    let schedule = Schedule::new(3, 1);
    assert_eq!(schedule.due_at(0, 1), 333_333_333);
    assert_eq!(schedule.due_at(0, 3_000_000), 1_000_000 * NANOSECONDS);
    let fast = Schedule::new(10_000_000, 1);
    assert_eq!(fast.due_at(0, 1_000_000_000_000), 100_000 * NANOSECONDS);
}
