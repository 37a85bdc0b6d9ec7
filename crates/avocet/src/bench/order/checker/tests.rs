use super::*;

/// What a subscriber sees.
enum Step {
    /// A message with its packet identifier, which is its number.
    New(u64),
    Dup(u64),
    /// One that its publisher sent so often.
    Copy(u64, u32),
    DupCopy(u64, u32),
    Pubrel(u16),
    Connection,
}

use Step::{Connection, Copy, Dup, DupCopy, New, Pubrel};

fn check(qos: QoS, steps: &[Step], expected: &Findings) {
    let mut checker = Checker::new(qos);
    let publish = |checker: &mut Checker, sequence, is_dup, copies| {
        let packet_id = sequence as u16;
        checker.handle_publish(Publication { sequence, packet_id, is_dup, copies });
    };
    for step in steps {
        match *step {
            New(sequence) => publish(&mut checker, sequence, false, 1),
            Dup(sequence) => publish(&mut checker, sequence, true, 1),
            Copy(sequence, copies) => publish(&mut checker, sequence, false, copies),
            DupCopy(sequence, copies) => publish(&mut checker, sequence, true, copies),
            Pubrel(packet_id) => checker.handle_pubrel(packet_id),
            Connection => checker.handle_connection(true),
        }
    }
    assert_eq!(checker.findings, *expected);
}

fn allowed(redelivered: u64, published_again: u64) -> Findings {
    Findings { redelivered, published_again, faults: Faults::default() }
}

fn wrong(faults: Faults) -> Findings {
    Findings { faults, ..Findings::default() }
}

const BOTH: [QoS; 2] = [QoS::AtLeastOnce, QoS::ExactlyOnce];

#[test]
fn messages_once_and_in_order_are_fine() {
    for qos in BOTH {
        check(qos, &[New(0), New(1), Connection, New(2), Dup(3)], &allowed(0, 0));
    }
}

#[test]
fn what_was_unacknowledged_may_come_again_with_dup_on_a_new_connection() {
    for qos in BOTH {
        check(qos, &[New(0), New(1), Connection, Dup(0), Dup(1), New(2)], &allowed(2, 0));
    }
}

#[test]
fn what_comes_again_without_dup_is_wrong() {
    for qos in BOTH {
        let faults = Faults { doubled_without_dup: 1, ..Faults::default() };
        check(qos, &[New(0), Connection, New(0), New(1)], &wrong(faults));
    }
}

#[test]
fn dup_excuses_nothing_on_the_same_connection() {
    let faults = Faults { doubled: 1, ..Faults::default() };
    check(QoS::AtLeastOnce, &[New(0), New(1), Dup(1)], &wrong(faults));
    let faults = Faults { out_of_order: 1, ..Faults::default() };
    check(QoS::ExactlyOnce, &[New(0), New(1), Dup(0)], &wrong(faults));
}

#[test]
fn overtaking_is_wrong() {
    for qos in BOTH {
        let faults = Faults { out_of_order: 1, ..Faults::default() };
        check(qos, &[New(0), New(2), New(1)], &wrong(faults));
    }
}

#[test]
fn what_comes_again_keeps_its_order() {
    let steps = [New(0), New(1), Connection, Dup(1), Dup(0)];
    let faults = Faults { doubled: 1, ..Faults::default() };
    check(QoS::AtLeastOnce, &steps, &Findings { redelivered: 1, faults, ..Findings::default() });
    let faults = Faults { out_of_order: 1, ..Faults::default() };
    check(QoS::ExactlyOnce, &steps, &Findings { redelivered: 1, faults, ..Findings::default() });
}

#[test]
fn released_message_of_qos_2_never_comes_again() {
    let steps = [New(0), Pubrel(0), Connection, Dup(0)];
    check(QoS::ExactlyOnce, &steps, &wrong(Faults { doubled: 1, ..Faults::default() }));
}

#[test]
fn identifier_of_qos_2_is_not_used_while_it_is_in_use() {
    let mut checker = Checker::new(QoS::ExactlyOnce);
    for sequence in 0..2 {
        checker.handle_publish(Publication { sequence, packet_id: 7, is_dup: false, copies: 1 });
    }
    assert_eq!(checker.findings.faults.unexpected, 1);
}

#[test]
fn message_published_twice_may_come_twice_and_again_on_a_new_connection() {
    let steps = [New(0), Copy(1, 2), Copy(2, 2), Copy(1, 2), Copy(2, 2), New(3)];
    check(QoS::AtLeastOnce, &steps, &allowed(0, 2));
    let steps = [Copy(0, 2), Copy(0, 2), Connection, DupCopy(0, 2), DupCopy(0, 2)];
    check(QoS::AtLeastOnce, &steps, &allowed(0, 3));
    let faults = Faults { doubled_without_dup: 1, ..Faults::default() };
    let expected = Findings { published_again: 1, faults, ..Findings::default() };
    check(QoS::AtLeastOnce, &[Copy(0, 2), Copy(0, 2), Copy(0, 2)], &expected);
}

#[test]
fn what_never_came_is_missing() {
    let mut checker = Checker::new(QoS::AtLeastOnce);
    for sequence in [0, 3] {
        checker.handle_publish(Publication { sequence, packet_id: 1, is_dup: false, copies: 1 });
    }
    let mut missing: Vec<u64> = checker.missing(6).0.collect();
    missing.sort_unstable();
    assert_eq!(missing, [1, 2, 4, 5]);
}
