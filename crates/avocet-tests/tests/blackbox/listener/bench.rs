//! `avocet bench` over TLS, WebSocket and both: clients that connect one by one, those that are cut
//! off, and crowds.

use avocet_tests::process::{Folder, run};

use super::Everywhere;
use crate::bench::bench;

const SCENARIOS: [&str; 5] = [
    "pair --pairs 4 --messages 400 --warm-up 0 --qos 1",
    "order --pairs 2 --every 20 --messages 200 --publishers-too",
    "connect --count 20",
    "retained --count 100 --subscribers 2 --size 2000",
    "subscribe --filters 100 --clients 4 --messages 100",
];

/// Runs all scenarios, and one in several processes.
#[track_caller]
fn check(everywhere: &Everywhere, listener: &str, options: &[&str]) {
    let port = everywhere.broker.listener(listener).port();
    for scenario in SCENARIOS {
        bench(port, scenario, options);
    }
    let more = [options, &["--processes", "2"]].concat();
    let told = bench(port, "pair --pairs 4 --messages 200 --warm-up 0", &more);
    assert!(told.contains("\"processes\":2"), "{told}");
}

#[test]
fn bench_reaches_a_broker_over_websocket() {
    check(&Everywhere::start(&[]), "ws.a", &["--ws"]);
}

#[test]
fn bench_reaches_a_broker_over_tls() {
    let everywhere = Everywhere::start(&[]);
    check(&everywhere, "tls.a", &["--cafile", &everywhere.authority.file]);
}

#[test]
fn bench_reaches_a_broker_over_websocket_in_tls() {
    let everywhere = Everywhere::start(&[]);
    check(&everywhere, "wss.a", &["--ws", "--cafile", &everywhere.authority.file]);
}

#[test]
fn bench_trusts_no_stranger() {
    let everywhere = Everywhere::start(&[]);
    let port = everywhere.broker.listener("tls.a").port().to_string();
    for scenario in ["pair", "order", "connect", "retained"] {
        let ended = run(&Folder::new(), &[], &["bench", scenario, "--port", &port, "--tls"]);
        assert_eq!(ended.code, Some(1), "{scenario}: {ended:?}");
        assert!(ended.stderr.contains("certificate"), "{scenario}: {ended:?}");
    }
}
