use std::time::Duration;

use super::*;

fn found(count: u64) -> Found {
    let mut next = count;
    let mut count = || {
        next += 1;
        next
    };
    let second = Duration::from_secs(1);
    let costs =
        Costs { delivered: 100, elapsed: second, broker: None, own: second, others: second };
    let cut = Cut { publishers: count(), subscribers: count() };
    let (redelivered, published_again) = (count(), count());
    let faults = Faults {
        lost: count(),
        doubled: count(),
        doubled_without_dup: count(),
        out_of_order: count(),
        sessions_missing: count(),
        sessions_unexpected: count(),
        unacknowledged: count(),
        unexpected: count(),
        refused: count(),
    };
    Found { costs, cut, findings: Findings { redelivered, published_again, faults } }
}

#[test]
fn what_is_found_comes_through_the_pipe() {
    let sent = found(0).to_json();
    let come = Found::from_json(&sent).unwrap();
    assert_eq!(come.to_json(), sent);
    assert_eq!(come.findings, found(0).findings);
    assert!(Found::from_json(&json!({"costs": 1})).is_none());
}

#[test]
fn counts_of_processes_are_added() {
    let merged = Found::merged(&[found(0), found(100)]);
    assert_eq!((merged.cut.publishers, merged.cut.subscribers), (102, 104));
    let Findings { redelivered, published_again, faults } = merged.findings;
    assert_eq!((redelivered, published_again), (106, 108));
    assert_eq!((faults.lost, faults.refused), (110, 126));
    assert_eq!(merged.costs.delivered, 200);
}
