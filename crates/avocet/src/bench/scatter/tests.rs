use std::collections::BTreeSet;

use super::*;

#[test]
fn each_number_comes_once_and_no_neighbours_do() {
    for count in [1, 2, 7, 1000, 333_334, 1_000_000] {
        let scatter = Scatter::of(count);
        let all: BTreeSet<u64> = (0..count).map(|place| scatter.at(place)).collect();
        assert_eq!(all.len() as u64, count);
        assert_eq!(all.last(), Some(&(count - 1)));
        let jumps = (1..count).map(|place| scatter.at(place).abs_diff(scatter.at(place - 1)));
        assert!(jumps.min().is_none_or(|least| least >= count / 4), "{count}");
        assert_eq!(scatter.at(count), scatter.at(0));
    }
}
