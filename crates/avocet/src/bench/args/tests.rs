use clap::{CommandFactory, Parser};

use super::*;
use crate::bench::BenchCommand;

#[derive(Debug, Parser)]
struct Bench {
    #[command(subcommand)]
    command: BenchCommand,
}

fn load(line: &str) -> Result<Load, clap::Error> {
    Ok(asked(line)?.unwrap())
}

fn asked(line: &str) -> Result<Result<Load, Failure>, clap::Error> {
    Ok(match Bench::try_parse_from(line.split(' '))?.command {
        BenchCommand::Pair(args) => args.load(),
        BenchCommand::Fanin(args) => args.load(),
        BenchCommand::Fanout(args) => args.load(),
        BenchCommand::Share(args) => args.load(),
        BenchCommand::Latency(args) => args.load(),
        BenchCommand::Order(args) => args.load(),
        BenchCommand::Store(args) => args.load(),
        BenchCommand::Connect(_)
        | BenchCommand::Disk(_)
        | BenchCommand::Hold(_)
        | BenchCommand::Idle(_)
        | BenchCommand::Retained(_)
        | BenchCommand::Subscribe(_)
        | BenchCommand::Index(_)
        | BenchCommand::Relay(_)
        | BenchCommand::Stock(_)
        | BenchCommand::Yardstick(_) => panic!("{line} is no load"),
    })
}

#[test]
fn options_arrive_in_the_load() {
    let load = load(
        "bench pair --pairs 7 --window 64 --qos 2 --mqtt 5.0 --size 100 --messages 9 --fastlane",
    );
    let load = load.unwrap();
    assert_eq!((load.count, load.window, load.payload_bytes), (7, 64, 100));
    assert_eq!((load.qos, load.version), (QoS::ExactlyOnce, ProtocolVersion::V5));
    assert!(load.is_fastlane);
    assert!(matches!(load.until, Until::Delivered(9)));
}

#[test]
fn load_may_come_through_layers() {
    let load = load("bench fanin --ws --host broker").unwrap();
    assert!(load.target.wrapping.websocket.is_some());
}

#[test]
fn shapes_have_their_sides() {
    let sides = |line| load(line).map(|load| (load.publishers(), load.subscribers())).unwrap();
    assert_eq!(sides("bench pair"), (50, 50));
    assert_eq!(sides("bench fanin --publishers 9"), (9, 1));
    assert_eq!(sides("bench fanout --subscribers 9"), (1, 9));
    assert_eq!(sides("bench share"), (10, 10));
    assert_eq!(sides("bench share --publishers 3 --subscribers 4"), (3, 4));
    assert_eq!(sides("bench latency --pairs 9"), (9, 9));
    assert_eq!(sides("bench store --publishers 3 --sessions 4"), (3, 4));
}

#[test]
fn rates_are_of_closed_loops_or_of_the_open_one() {
    let rate = |line| load(line).unwrap().rate;
    assert_eq!(rate("bench fanin"), Rate::Unlimited);
    assert_eq!(rate("bench fanin --rate 7"), Rate::Most(7));
    assert_eq!(rate("bench latency"), Rate::Open(2000));
    assert_eq!(rate("bench latency --rate 7"), Rate::Open(7));
    assert_eq!(rate("bench latency --lasting --mqtt 5.0 --rate 7"), Rate::Open(7));
    // Before 5.0 a session has no expiry of its own.
    assert!(asked("bench latency --lasting").unwrap().is_err());
}

#[test]
fn order_is_about_what_may_not_be_lost() {
    let qos = |line| load(line).unwrap().qos;
    assert_eq!(qos("bench order"), QoS::AtLeastOnce);
    assert_eq!(qos("bench order --qos 2 --every 9 --publishers-too"), QoS::ExactlyOnce);
    assert_eq!(qos("bench pair"), QoS::AtMostOnce);
}

#[test]
fn what_makes_no_sense_together_is_wrong_usage() {
    let line = "bench share --publishers 50000 --subscribers 50000";
    assert!(matches!(asked(line).unwrap(), Err(Failure::Usage(_))));
    assert!(matches!(asked("bench store --processes 2").unwrap(), Err(Failure::Usage(_))));
}

#[test]
fn what_is_stored_is_all_measured_or_for_a_time() {
    let warm_up = |line| load(line).unwrap().warm_up;
    assert_eq!(warm_up("bench store --messages 9"), Duration::ZERO);
    assert_eq!(warm_up("bench store --warm-up 2"), Duration::from_secs(2));
}

#[test]
fn nonsense_is_wrong_usage() {
    let lines = [
        "bench pair --window 0",
        "bench pair --window 40000",
        "bench pair --size 11",
        "bench pair --qos 3",
        "bench pair --mqtt 4",
        "bench pair --seconds -1",
        "bench pair --seconds 1 --messages 1",
        "bench fanin --subscribers 1",
        "bench pair --unix /a --port 1",
        "bench pair --processes 0",
        "bench pair --source 127.0.0.9-127.0.0.2",
        "bench connect --count 0",
        "bench connect --rate 0",
        "bench idle --subscribe 2",
        "bench retained --qos 3",
        "bench retained --rate 0",
        "bench subscribe --rate -1",
        "bench subscribe --mix none",
        "bench index --shape none",
        "bench index --filters 0",
        "bench pair --rate 0",
        "bench latency --window 9",
        "bench order --qos 0",
        "bench order --rate 9",
        "bench order --fastlane",
        "bench order --warm-up 1",
        "bench order --every 0",
        "bench store --qos 0",
        "bench store --sessions 0",
        "bench store --receive-maximum 0",
        "bench disk",
        "bench stock",
        "bench stock --over retained DIR",
        "bench",
    ];
    for line in lines {
        assert_eq!(load(line).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn commands_are_consistent() {
    Bench::command().debug_assert();
}

#[test]
fn processes_have_their_parts_of_a_load() {
    let part = load("bench pair --pairs 7 --messages 70 --processes 2 --part 1").unwrap();
    assert_eq!((part.count, part.topic(0).as_str()), (4, "bench/pair/0/p1"));
    assert!(matches!(part.until, Until::Delivered(35)));
    let whole = load("bench fanin --publishers 9 --processes 3").unwrap();
    assert_eq!((whole.publishers(), whole.subscribers()), (9, 3));
    let whole = load("bench share --publishers 9 --subscribers 3 --processes 3").unwrap();
    assert_eq!((whole.publishers(), whole.subscribers()), (9, 3));
    let line = "bench share --publishers 9 --subscribers 5 --rate 7 --processes 2 --part 1";
    let part = load(line).unwrap();
    assert_eq!((part.publishers(), part.subscribers(), part.rate), (5, 3, Rate::Most(4)));
    assert_eq!(part.filter(2), "$share/bench/bench/share/p1");
    let part = load("bench latency --processes 2 --part 0 --rate 7").unwrap();
    assert_eq!((part.publishers(), part.rate), (25, Rate::Open(3)));
    let few = ["--messages 1", "--pairs 1", "--rate 1"];
    for option in few {
        let line = format!("bench pair --processes 2 {option}");
        assert!(asked(&line).unwrap().is_err(), "{line}");
    }
}
