//! Clients that nobody here wrote, with sessions of theirs.

use std::process::Command;

use avocet_tests::{Publish, Version, foreign};

use super::{End, Node};

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

/// For either of QoS 1 and 2.
fn publish(node: &Node, version: Version) {
    let mut bob = node.client(version, "bob");
    for id in 1..=20 {
        for qos in 1..=2 {
            bob.publish(&Publish::new(format!("a/{qos}"), id.to_string()).qos(qos, id));
        }
    }
}

/// What [`publish`] publishes.
fn expected(qos: u8) -> Vec<String> {
    (1..=20).map(|id| format!("a/{qos}:{id}")).collect()
}

/// In order for each QoS, and nothing else.
#[track_caller]
fn check(printed: &str) {
    for qos in 1..=2 {
        let prefix = format!("a/{qos}:");
        let lines: Vec<_> = printed.lines().filter(|line| line.starts_with(&prefix)).collect();
        assert_eq!(lines, expected(qos), "{printed}");
    }
    assert_eq!(printed.lines().count(), 40, "{printed}");
}

#[test]
fn mosquitto_sub_gets_what_waited_over_a_kill() {
    let Some(program) = foreign::program("mosquitto_sub", "mosquitto_sub over a kill") else {
        return;
    };
    for version in VERSIONS {
        let mut node = Node::start(&[]);
        let subscribe = |node: &Node, words: &str| {
            let mut command = Command::new(&program);
            let address = node.address();
            command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
            command.args(["-V", version.mosquitto()]);
            let kept = if version.has_properties() { "-x 600" } else { "" };
            let session = format!("-i sub -c -q 2 -t a/+ {kept} {words}");
            foreign::run(command.args(session.split_whitespace()))
        };
        subscribe(&node, "-E");
        publish(&node, version);
        node.restart(End::Kill);
        check(&subscribe(&node, "-C 40 -F %t:%p -W 20"));
    }
}

#[test]
fn paho_gets_what_waited_over_a_kill() {
    for (version, name) in VERSIONS.into_iter().zip(["3.1.1", "5"]) {
        let mut node = Node::start(&[]);
        let run = |node: &Node, count: &str| {
            let mut command = foreign::python("session_of_paho.py")?;
            let address = node.address();
            command.args([&address.ip().to_string(), &address.port().to_string(), name, count]);
            Some(foreign::run(&mut command))
        };
        if run(&node, "0").is_none() {
            return;
        }
        publish(&node, version);
        node.restart(End::Kill);
        check(&run(&node, "40").unwrap_or_default());
    }
}
