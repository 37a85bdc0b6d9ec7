use super::*;

#[test]
fn rate_spreads_the_beginnings() {
    let tempo = Tempo::new(Some(100.0));
    assert_eq!([0, 9_999_999, 10_000_001, 1_000_000_001].map(|at| tempo.due(at)), [1, 1, 2, 101]);
    assert_eq!(tempo.next(1), Some(10_000_000));
    assert_eq!(tempo.wait(1, 4_000_000), Some(Duration::from_millis(6)));
    assert_eq!(tempo.wait(1, 40_000_000), Some(Duration::ZERO));
    for begun in 1..1000 {
        assert_eq!(tempo.due(tempo.next(begun).unwrap()), begun + 1);
    }
}

#[test]
fn without_a_rate_all_may_begin() {
    let tempo = Tempo::new(None);
    assert_eq!((tempo.due(0), tempo.wait(3, 0)), (u64::MAX, None));
}
