use super::*;

const SYNC: Duration = Duration::from_micros(800);

/// Groups of so many commands were stored one after the other, the last at this moment.
fn after(groups: &[(usize, usize)], now: Instant) -> Gathering {
    let mut gathering = Gathering::default();
    for (stored, waiting) in groups {
        gathering.note(*stored, *waiting, SYNC, now);
    }
    gathering
}

#[test]
fn as_much_is_waited_for_as_was_under_way() {
    let now = Instant::now();
    let gathering = after(&[(5, 3); 30], now);
    let (wanted, until) = gathering.wants(3, now).expect("five have just been told");
    assert_eq!(wanted, 8);
    let patience = until - now;
    assert!(patience > SYNC / 3 && patience <= SYNC / 2, "{patience:?}");
    assert_eq!(gathering.wants(8, now), None);
    assert_eq!(gathering.wants(3, until), None, "they do not come");
}

#[test]
fn who_is_alone_does_not_wait() {
    let now = Instant::now();
    assert_eq!(Gathering::default().wants(1, now), None);
    assert_eq!(after(&[(1, 0); 30], now).wants(1, now), None);
}

#[test]
fn nothing_is_waited_for_beside_what_is_no_sync() {
    let now = Instant::now();
    let mut gathering = Gathering::default();
    (0..30).for_each(|_| gathering.note(8, 0, Duration::from_micros(5), now));
    assert_eq!(gathering.wants(1, now), None);
}

#[test]
fn a_disk_that_hangs_is_not_waited_for_as_long_again() {
    let now = Instant::now();
    let mut gathering = Gathering::default();
    (0..30).for_each(|_| gathering.note(8, 0, Duration::from_secs(5), now));
    let (_, until) = gathering.wants(1, now).expect("more were under way");
    assert_eq!(until - now, PATIENCE_MAX);
}
