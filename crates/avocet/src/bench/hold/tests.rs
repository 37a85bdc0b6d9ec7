use std::collections::BTreeSet;

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: HoldArgs,
}

#[test]
fn every_client_is_answered_and_gets_its_message() {
    let args = Line::parse_from(["", "--count", "300", "--settle", "0", "--json", "--shards", "2"]);
    run(&args.args).unwrap();
}

#[test]
fn order_has_each_once_and_no_neighbours() {
    for count in [1, 2, 7, 1000, 333_334, 1_000_000] {
        let order = Order::of(count);
        let all: BTreeSet<usize> = (0..count).map(|place| order.at(place)).collect();
        assert_eq!(all.len(), count);
        let jumps = (1..count).map(|place| order.at(place).abs_diff(order.at(place - 1)));
        assert!(jumps.min().is_none_or(|least| least >= count / 4), "{count}");
    }
}
