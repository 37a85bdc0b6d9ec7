use super::*;

#[test]
fn idle_and_waiting_are_not_busy() {
    let stat = "cpu  1 20 300 4000 50000 600000 7000000 8 9 10\ncpu0 1 1 1 1 1 1 1 0 0 0\n";
    assert_eq!(busy_ticks(stat), 7_600_321);
    assert_eq!(busy_ticks(""), 0);
}

#[test]
fn own_process_has_used_something() {
    assert!(own() > Duration::ZERO);
    assert!(of_process(std::process::id()).unwrap() > Duration::ZERO);
}
