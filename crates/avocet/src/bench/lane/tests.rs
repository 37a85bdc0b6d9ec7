use super::*;

fn check(arrivals: &[u64], expected: &[Arrival], sent: u64, lost: u64) {
    let mut lane = Lane::default();
    let found: Vec<Arrival> = arrivals.iter().map(|seq| lane.handle_arrival(*seq)).collect();
    assert_eq!(found, expected);
    assert_eq!(lane.lost(sent), lost);
}

use Arrival::{AfterGap, Doubled, InOrder, Late};

#[test]
fn messages_in_order_are_in_order() {
    check(&[0, 1, 2], &[InOrder, InOrder, InOrder], 3, 0);
}

#[test]
fn message_that_comes_twice_is_doubled() {
    check(&[0, 0, 1], &[InOrder, Doubled, InOrder], 2, 0);
}

#[test]
fn message_overtaken_by_others_is_late_and_not_lost() {
    check(&[0, 2, 1, 1], &[InOrder, AfterGap, Late, Doubled], 3, 0);
}

#[test]
fn what_never_comes_is_lost() {
    check(&[0, 3], &[InOrder, AfterGap], 6, 4);
    check(&[], &[], 2, 2);
}

#[test]
fn lost_messages_are_counted_beyond_those_remembered() {
    check(&[REMEMBERED_MAX as u64 + 7], &[AfterGap], REMEMBERED_MAX as u64 + 8, 100_007);
}
