//! Clients that nobody here wrote.

mod mosquitto;
pub(crate) mod rumqttc;

use std::process::Command;

use avocet_tests::{Broker, foreign};

/// Runs a client's script against a fresh broker; the script asserts, and ends with one OK line.
#[track_caller]
fn check(command: Option<Command>, version: &str) {
    let Some(mut command) = command else { return };
    let broker = Broker::start(&[]);
    let address = broker.address();
    command.args([&address.ip().to_string(), &address.port().to_string(), version]);
    let printed = foreign::run(&mut command);
    assert!(printed.lines().any(|line| line.starts_with("OK ")), "no OK line: {printed}");
}

#[test]
fn paho_talks_to_the_broker_in_every_version() {
    for version in ["3.1", "3.1.1", "5"] {
        check(foreign::python("with_paho.py"), version);
    }
}

#[test]
fn aiomqtt_talks_to_the_broker() {
    for version in ["3.1.1", "5"] {
        check(foreign::python("with_aiomqtt.py"), version);
    }
}

#[test]
fn gmqtt_talks_to_the_broker() {
    for version in ["3.1.1", "5"] {
        check(foreign::python("with_gmqtt.py"), version);
    }
}

#[test]
fn mqtt_js_talks_to_the_broker_in_every_version() {
    for version in ["3.1", "3.1.1", "5"] {
        check(foreign::node("mqttjs.js"), version);
    }
}
