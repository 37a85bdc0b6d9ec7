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
    for count in [1, 2, 7, 1000, 1_000_003] {
        let order = Order::of(count);
        let all: BTreeSet<usize> = (0..count).map(|place| order.at(place)).collect();
        assert_eq!(all.len(), count);
    }
}
