use std::collections::BTreeSet;

use super::*;
use crate::testing::pattern;

#[test]
fn every_byte_meets_its_byte_of_the_mask() {
    let mask = [1, 2, 4, 8];
    for len in 0..70 {
        let mut to = b"before".to_vec();
        append_masked(&mut to, &pattern(len), mask);
        let expected = pattern(len).into_iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]);
        assert_eq!(to, b"before".iter().copied().chain(expected).collect::<Vec<_>>(), "{len}");
    }
}

#[test]
fn masks_do_not_come_again() {
    let mut masks = Masks::new();
    let different: BTreeSet<_> = (0..100).map(|_| masks.next().unwrap()).collect();
    assert!(different.len() > 95, "{}", different.len());
}
