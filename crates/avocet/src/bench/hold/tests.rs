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
fn memory_of_few_is_not_told() {
    let stretch =
        Stretch { count: 1, elapsed: Duration::from_secs(1), shards: Duration::from_secs(1) };
    let found = |count| Found {
        count,
        streams: 1_000_000,
        broker: 2_000_000,
        broker_after: 3_000_000,
        gathered: stretch,
        rested: stretch,
        pinged: stretch,
        delivered: stretch,
        churned: stretch,
        shards: 1,
    };
    let names = ["broker_bytes_per_connection", "broker_bytes_per_connection_at_end"];
    for name in names.into_iter().chain(["stream_bytes_per_connection"]) {
        assert!(found(99_999).to_json()[name].is_null(), "{name}");
    }
    let told = names.map(|name| found(100_000).to_json()[name].as_f64());
    assert_eq!(told, [Some(20.0), Some(30.0)]);
    assert!(found(99_999).to_text().contains("told from 100000 clients on"));
    assert!(found(100_000).to_text().contains("20 bytes a connection, 30 at the end; streams 10"));
}
