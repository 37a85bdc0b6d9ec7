//! What somebody should look at: alarms, and shards that stand still.

use std::{process::Command, time::Duration};

use avocet_tests::{Broker, Connect, Publish, Raw, Version, deadline, foreign};

use super::{NODE, check_just_now, field};

const V5: Version = Version::V5;

fn broker(settings: &[&str]) -> (Broker, Raw) {
    let settings = [&["node.name=sparrow@test"], settings].concat();
    let broker = Broker::start(&settings);
    let mut watcher = broker.client(V5, "watcher");
    watcher.subscribe(&format!("{NODE}alarms/#"), 0);
    (broker, watcher)
}

/// The next that is told of alarms, which has to be this.
#[track_caller]
fn told(watcher: &mut Raw, topic: &str) -> String {
    let message = watcher.expect_publish();
    assert_eq!(message.topic, format!("{NODE}alarms/{topic}"), "{message:?}");
    assert!(!message.retain && message.qos == 0, "{message:?}");
    let text = message.text();
    let id = topic.split('/').next().unwrap_or_default();
    assert_eq!((field(&text, "id"), field(&text, "name")), (id, id), "{text}");
    check_just_now(&text);
    text
}

/// `avocet_alarms` at `/metrics`.
fn alarms(broker: &Broker) -> Option<u64> {
    let mut curl = Command::new(foreign::program("curl", "alarms in the metrics")?);
    curl.arg("-sS").arg(format!("http://{}/metrics", broker.listener("http")));
    let text = foreign::run(&mut curl);
    let line = text.lines().find_map(|line| line.strip_prefix("avocet_alarms "));
    Some(line.expect("there is a metric").parse().expect("a number"))
}

#[test]
fn queues_that_are_nearly_full_are_an_alarm_until_they_are_not() {
    // What is stored takes no room.
    let settings = ["session.durability=memory", "session.max_node_queue_bytes=100KiB"];
    let (broker, mut watcher) = broker(&settings);
    let mut away = broker.connect(&Connect::resume(V5, "away"));
    away.subscribe("a", 1);
    away.disconnect();
    let mut bob = broker.client(V5, "bob");
    bob.publish(&Publish::new("a", "x".repeat(10_000)).qos(1, 1));
    bob.publish(&Publish::new("a", "x".repeat(80_000)).qos(1, 2));
    let text = told(&mut watcher, "high_queue_usage/alert");
    assert_eq!(field(&text, "activated"), "true");
    assert_eq!(field(&text, "deactivate_at"), "infinity");
    assert_eq!(field(&text, "severity"), "warning");
    let message = field(&text, "message");
    assert!(message.starts_with("90130 bytes wait"), "{message}");
    assert!(message.contains("session.max_node_queue_bytes is 102400"), "{message}");
    assert_eq!(message, field(&text, "summary"));
    assert_eq!(alarms(&broker).unwrap_or(1), 1);
    let begun = field(&text, "activate_at").to_owned();
    let mut back = broker.connect(&Connect::resume(V5, "away"));
    for _ in 1..=2 {
        let message = back.expect_publish();
        back.acknowledge(&message);
    }
    let text = told(&mut watcher, "high_queue_usage/clear");
    assert_eq!((field(&text, "activated"), field(&text, "activate_at")), ("false", &*begun));
    let over: u64 = field(&text, "deactivate_at").parse().expect("microseconds");
    assert!(over > begun.parse().expect("microseconds"), "{text}");
    assert_eq!(alarms(&broker).unwrap_or(0), 0);
    watcher.expect_nothing_before_pong();
}

/// The system's bound is changed while the broker runs, as an operator would.
#[test]
fn connections_near_the_systems_bound_on_files_are_an_alarm() {
    let (broker, mut watcher) = broker(&[]);
    let Some(prlimit) = foreign::program("prlimit", "an alarm of open files") else { return };
    let bound = |files: u32| {
        let id = broker.process_id().expect("the broker is ours").to_string();
        let mut prlimit = Command::new(&prlimit);
        foreign::run(prlimit.args(["--pid", &id, &format!("--nofile={files}:")]));
    };
    let _clients = [(); 16].map(|()| broker.client(V5, ""));
    bound(20);
    let text = told(&mut watcher, "high_descriptor_usage/alert");
    let message = field(&text, "message");
    assert!(message.starts_with("there are 17 connections"), "{message}");
    assert!(message.contains("20 open files"), "{message}");
    bound(100);
    told(&mut watcher, "high_descriptor_usage/clear");
}

#[test]
fn shard_that_stood_still_is_told() {
    let (broker, _) = broker(&["node.shards=1"]);
    let mut watcher = broker.client(V5, "stalls");
    watcher.subscribe(&format!("{NODE}sysmon/#"), 0);
    let signal = |name: &str| {
        let id = broker.process_id().expect("the broker is ours").to_string();
        foreign::run(Command::new("kill").args([name, &id]));
    };
    signal("-STOP");
    deadline::let_pass(Duration::from_millis(1500));
    signal("-CONT");
    let late = loop {
        // A machine with much to do may have stalled it before, or longer.
        let message = watcher.expect_publish();
        assert_eq!(message.topic, format!("{NODE}sysmon/long_schedule"));
        assert!(!message.retain && message.qos == 0, "{message:?}");
        let text = message.text();
        let late = text.strip_prefix("long_schedule warning: shard = 0, late by ");
        let late = late.and_then(|late| late.strip_suffix(" ms")?.parse::<u64>().ok());
        let late = late.unwrap_or_else(|| panic!("not as documented: {text}"));
        if late >= 900 {
            break late;
        }
    };
    assert!(late < 10_000, "{late}");
}
