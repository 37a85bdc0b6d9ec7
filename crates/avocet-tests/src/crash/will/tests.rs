use std::time::{Duration, Instant};

use super::{Ending, Wills};
use crate::crash::message::Number;

const SECOND: Duration = Duration::from_secs(1);

/// A will with a delay of so many seconds, on a connection that was stored and has ended so.
fn wills(delay: u32, expiry: Option<u32>, ending: Ending) -> Wills {
    let mut wills = Wills::new(0, true, expiry);
    wills.enter(Number { publisher: 0, sequence: 0 }, delay, 1);
    wills.handle_stored(Instant::now(), 1);
    wills.end(ending);
    wills
}

/// How many are due, and how many taken back.
fn count(wills: &Wills) -> (usize, usize) {
    (wills.due().count(), wills.void().count())
}

#[test]
fn will_of_a_client_that_is_gone_is_due() {
    let now = Instant::now();
    assert_eq!(count(&wills(0, None, Ending::Abrupt(now))), (1, 0));
    assert_eq!(count(&wills(2, None, Ending::Abrupt(now))), (1, 0));
    assert_eq!(count(&wills(0, None, Ending::Disconnected)), (0, 0));
    assert_eq!(count(&wills(0, None, Ending::Unclear)), (0, 0));
}

#[test]
fn will_that_was_not_stored_for_certain_may_come_or_not() {
    let mut wills = Wills::new(0, true, None);
    wills.enter(Number { publisher: 0, sequence: 0 }, 0, 1);
    wills.end(Ending::Abrupt(Instant::now()));
    assert_eq!(count(&wills), (0, 0));
}

#[test]
fn will_without_delay_is_due_though_its_client_comes_again() {
    let now = Instant::now();
    let mut wills = wills(0, None, Ending::Abrupt(now));
    wills.come_again();
    assert_eq!(count(&wills), (1, 0));
    wills.handle_stored(now, 1);
    assert_eq!(count(&wills), (1, 0));
}

#[test]
fn will_is_taken_back_by_a_client_that_comes_in_time() {
    let now = Instant::now();
    for (later, void) in [(Duration::ZERO, 1), (SECOND, 1), (2 * SECOND, 0), (9 * SECOND, 0)] {
        let mut wills = wills(2, None, Ending::Abrupt(now));
        wills.come_again();
        assert_eq!(count(&wills), (0, 0), "the broker may have forgotten that it was here");
        wills.handle_stored(now + later, 2);
        assert_eq!(count(&wills), (0, void), "{later:?}");
    }
}

#[test]
fn will_is_due_with_its_session() {
    let now = Instant::now();
    let mut wills = wills(1_000, Some(1), Ending::Abrupt(now));
    assert_eq!(count(&wills), (1, 0));
    wills.come_again();
    wills.handle_stored(now + 2 * SECOND, 1);
    assert_eq!(count(&wills), (0, 0));
}

#[test]
fn will_is_gone_with_disconnect_if_the_same_broker_has_stored_that() {
    for (round, void) in [(1, 1), (2, 0)] {
        let mut wills = wills(0, None, Ending::Disconnected);
        wills.come_again();
        wills.handle_stored(Instant::now(), round);
        assert_eq!(count(&wills), (0, void), "round {round}");
    }
}
