//! `avocet sub` as a script sees it: what it prints, and how it ends.

use avocet_tests::{
    Broker, Publish, Version,
    process::{Ended, Folder, run},
};

fn subscribe(broker: &Broker, words: &[&str]) -> Ended {
    let port = broker.address().port().to_string();
    let words: Vec<&str> = ["sub", "-p", &port].iter().chain(words).copied().collect();
    run(&Folder::new(), &[], &words)
}

/// A broker that has retained two messages.
fn broker() -> Broker {
    let broker = Broker::start(&[]);
    let mut alice = broker.client(Version::V5, "alice");
    for topic in ["kept/a", "kept/b"] {
        alice.publish(&Publish::new(topic, "x").retain());
    }
    broker
}

#[test]
fn time_out_has_an_exit_code_of_its_own() {
    let broker = broker();
    let ended = subscribe(&broker, &["-t", "kept/#", "-W", "1"]);
    let seen = (ended.code, &*ended.stdout, &*ended.stderr);
    assert_eq!(seen, (Some(27), "x\nx\n", "avocet: timed out\n"));
    let ended = subscribe(&broker, &["-t", "kept/#", "-C", "3", "-W", "1"]);
    assert_eq!((ended.code, &*ended.stdout), (Some(27), "x\nx\n"));
    assert_eq!(ended.stderr, "avocet: timed out: 2 of 3 messages came\n");
}

#[test]
fn end_that_was_asked_for_is_a_success() {
    let broker = broker();
    let ended = subscribe(&broker, &["-t", "kept/#", "-C", "2", "-W", "20"]);
    let seen = (ended.code, &*ended.stdout, &*ended.stderr);
    assert_eq!(seen, (Some(0), "x\nx\n", ""));
    let ended = subscribe(&broker, &["-t", "kept/#", "-E", "-R", "-W", "20"]);
    assert_eq!((ended.code, &*ended.stdout), (Some(0), ""));
}
