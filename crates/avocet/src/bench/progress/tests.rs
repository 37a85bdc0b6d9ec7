use super::*;

#[test]
fn bar_fills_from_left_to_right() {
    assert_eq!(bar(0.0), "[....................]   0 %");
    assert_eq!(bar(0.5), "[##########..........]  50 %");
    for whole in [1.0, 7.0, f64::INFINITY] {
        assert_eq!(bar(whole), "[####################] 100 %");
    }
}
