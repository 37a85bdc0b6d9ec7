use super::*;

#[test]
fn rate_spreads_the_beginnings() {
    let plan = Plan { rate: Some(100.0), ..Plan::all(1000) };
    assert_eq!([0, 9_999_999, 10_000_001, 1_000_000_001].map(|at| plan.due(at)), [1, 1, 2, 101]);
    assert_eq!(plan.next(1), Some(10_000_000));
    for begun in 1..1000 {
        assert_eq!(plan.due(plan.next(begun).unwrap()), begun + 1);
    }
}

#[test]
fn without_a_rate_all_may_begin() {
    let plan = Plan::all(7);
    assert_eq!((plan.due(0), plan.next(3)), (u64::MAX, None));
}
