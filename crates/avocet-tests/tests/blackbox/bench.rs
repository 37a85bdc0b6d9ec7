//! `avocet bench` as a script sees it: scenarios in several processes, and at a rate. Over what it
//! reaches a broker, [`listener`](crate::listener) tries.

use avocet_tests::{
    Broker,
    process::{Folder, run},
};

/// Runs a scenario, which has to find nothing wrong. Returns its line of JSON.
#[track_caller]
pub(crate) fn bench(port: u16, scenario: &str, more: &[&str]) -> String {
    let port = port.to_string();
    let words = ["bench"].into_iter().chain(scenario.split(' '));
    let words = words.chain(["--port", &port, "--json"]).chain(more.iter().copied());
    let ended = run(&Folder::new(), &[], &words.collect::<Vec<_>>());
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{scenario} {more:?}: {ended:?}");
    ended.stdout
}

/// The number called `name` in what is told of `part`.
#[track_caller]
fn figure(told: &str, part: &str, name: &str) -> f64 {
    let after = |text: &str| told.find(text).map(|at| at + text.len());
    let from = after(&format!("\"{part}\":{{")).unwrap_or_else(|| panic!("no {part}: {told}"));
    let part = &told[from..];
    let name = format!("\"{name}\":");
    let at = part.find(&name).unwrap_or_else(|| panic!("no {name} {part}"));
    let number = part[at + name.len()..].split([',', '}']).next();
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{name} {part}"))
}

#[test]
fn every_scenario_is_shared_among_processes() {
    let broker = Broker::start(&[]);
    let scenarios = [
        ("pair --pairs 4 --messages 200 --warm-up 0", "\"subscribers\":4"),
        ("fanin --publishers 4 --messages 200 --warm-up 0", "\"subscribers\":2"),
        ("fanout --subscribers 4 --messages 200 --warm-up 0", "\"publishers\":2"),
        ("share --publishers 4 --subscribers 4 --messages 200 --qos 1", "\"lost\":0"),
        ("latency --pairs 4 --rate 1000 --messages 200 --warm-up 0", "\"rate\":1000"),
        ("order --pairs 4 --every 20 --messages 400", "\"sessions_missing\":0"),
        ("connect --count 20", "\"connected\":20"),
        ("idle --count 20 --settle 0", "\"connected\":20"),
        // Each of the two subscribers gets what its own process has set.
        ("retained --count 201 --publishers 2 --subscribers 2", "\"received\":201"),
        ("subscribe --filters 200 --clients 4 --publishers 2 --messages 201", "\"lost\":0"),
    ];
    for (scenario, expected) in scenarios {
        let told = bench(broker.address().port(), scenario, &["--processes", "2"]);
        assert!(told.contains("\"processes\":2"), "{scenario}: {told}");
        assert!(told.contains(expected), "{scenario}: {told}");
    }
}

#[test]
fn what_waits_for_sessions_is_taken_by_them() {
    let broker = Broker::start(&[]);
    let scenarios = [
        "store --publishers 4 --sessions 3 --messages 100 --drain",
        "store --publishers 4 --messages 100 --drain --qos 2 --mqtt 5.0 --receive-maximum 7",
    ];
    for scenario in scenarios {
        let told = bench(broker.address().port(), scenario, &[]);
        assert_eq!(figure(&told, "drain", "lost"), 0.0, "{told}");
        assert!(told.contains("\"delivered\":100,"), "{told}");
    }
}

#[test]
fn processes_keep_a_rate_together() {
    let broker = Broker::start(&[]);
    // Of 100 the last begins 99 milliseconds after the first.
    let cases = [
        ("retained --count 100 --subscribers 2", "set", "messages_per_second"),
        ("retained --count 100 --subscribers 2 --qos 0", "remove", "messages_per_second"),
        ("subscribe --filters 100 --batch 1 --messages 0", "subscribe", "filters_per_second"),
        ("subscribe --filters 100 --batch 10 --messages 0", "unsubscribe", "filters_per_second"),
    ];
    for (scenario, part, name) in cases {
        let alone = bench(broker.address().port(), scenario, &["--rate", "1000"]);
        let found = figure(&alone, part, name);
        assert!((1.0..1011.0).contains(&found), "{scenario}: {alone}");
        let more = ["--rate", "1000", "--processes", "2"];
        let told = bench(broker.address().port(), scenario, &more);
        // Each has 50 of them, the last of which begins 98 milliseconds after the first.
        let found = figure(&told, part, name);
        assert!((1.0..1021.0).contains(&found), "{scenario}: {told}");
    }
}

#[test]
fn too_little_to_share_is_wrong_usage() {
    for scenario in ["order --pairs 1", "latency --rate 1", "retained --publishers 1"] {
        let words = ["bench"].into_iter().chain(scenario.split(' ')).chain(["--processes", "2"]);
        let ended = run(&Folder::new(), &[], &words.collect::<Vec<_>>());
        let said = "avocet: 1 cannot be shared by 2 processes\n";
        assert_eq!((ended.code, &*ended.stderr), (Some(2), said), "{scenario}");
    }
}
