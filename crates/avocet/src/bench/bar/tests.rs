use super::*;

#[test]
fn bar_is_always_of_one_length() {
    for share in [-1.0, 0.0, 0.5, 1.0, 7.0, f64::NAN] {
        assert_eq!(cells(share).len(), CELLS, "{share}");
    }
    assert!(cells(0.5).starts_with(&"#".repeat(CELLS / 2)));
}
