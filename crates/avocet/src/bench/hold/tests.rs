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
