use super::*;

fn measured(count: u64, first: u64, last: u64) -> Measured {
    let (first, last) = (Duration::from_millis(first), Duration::from_millis(last));
    let mut latencies = Latencies::new();
    latencies.add(count);
    let done = Done { count, refused: 1, lost: 2, latencies, first, last };
    let (elapsed, own) = (Duration::from_secs(9), Duration::from_secs(2));
    Measured { done, used: Used { elapsed, broker: Some(own), own } }
}

#[test]
fn stretches_of_processes_are_one() {
    let whole = Measured {
        done: Done::all(0),
        used: Used { elapsed: Duration::from_secs(1), broker: None, own: Duration::ZERO },
    };
    let told = [measured(0, 0, 0), measured(10, 5, 7), measured(20, 3, 6)].map(|one| one.to_json());
    let all = told.iter().try_fold(whole, Measured::with).unwrap();
    assert_eq!((all.done.count, all.done.refused, all.done.lost), (30, 3, 6));
    assert_eq!((all.done.first.as_millis(), all.done.last.as_millis()), (3, 7));
    assert_eq!((all.done.latencies.min(), all.used.own.as_secs()), (Some(0), 6));
    // By our own clock, not by theirs.
    assert_eq!((all.per_second(), all.broker_us()), (30.0, None));
    assert!(all.with(&json!({"count": 1})).is_none());
}
