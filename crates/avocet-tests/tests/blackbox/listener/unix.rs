//! Unix sockets: a file that comes and goes with the broker.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixListener,
    },
};

use avocet_tests::{
    Broker, Connect, Publish,
    process::{Folder, run},
    stream,
};

use super::{V5, enter, start, try_enter};

fn path_in(folder: &Folder) -> String {
    folder.path().join("broker.sock").display().to_string()
}

fn unix(folder: &Folder, settings: &[&str]) -> Broker {
    let mut all = vec![format!("listeners.unix.a.path={}", path_in(folder))];
    all.extend(settings.iter().map(|setting| format!("listeners.unix.a.{setting}")));
    start(&all)
}

#[track_caller]
fn check_mode(settings: &[&str], mode: u32) {
    let folder = Folder::new();
    let broker = unix(&folder, settings);
    let file = fs::symlink_metadata(broker.file("unix.a")).expect("the file is there");
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o7777, mode);
}

#[test]
fn file_has_the_mode_that_the_listener_says() {
    check_mode(&[], 0o660);
    check_mode(&["mode=0600"], 0o600);
    check_mode(&["mode=777"], 0o777);
}

#[test]
fn file_is_gone_after_the_broker_stops() {
    let folder = Folder::new();
    let mut broker = unix(&folder, &[]);
    let mut alice = enter(Box::new(stream::unix(&broker.file("unix.a"))), &Connect::new(V5, "a"));
    broker.terminate();
    assert_eq!(alice.expect_ending(), Some(0x8b));
    assert_eq!(broker.exit_code(), Some(0));
    assert!(!folder.path().join("broker.sock").exists());
}

#[test]
fn file_that_a_broker_left_behind_is_replaced() {
    let folder = Folder::new();
    drop(UnixListener::bind(path_in(&folder)).expect("the folder is writable"));
    let broker = unix(&folder, &[]);
    let mut alice = enter(Box::new(stream::unix(&broker.file("unix.a"))), &Connect::new(V5, "a"));
    alice.expect_nothing_before_pong();
}

#[test]
fn file_that_is_in_use_or_no_socket_is_left_alone() {
    let folder = Folder::new();
    let setting = format!("listeners.unix.a.path={}", path_in(&folder));
    let own = ["listeners.tcp.default.enable=false", "http.enable=false", &setting];
    let words: Vec<&str> =
        ["start"].into_iter().chain(own.iter().flat_map(|it| ["--set", it])).collect();
    let expect_failure = |what: &str| {
        let ended = run(&folder, &[], &words);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(what) && ended.stderr.contains("broker.sock"), "{ended:?}");
    };
    let used = UnixListener::bind(path_in(&folder)).expect("the folder is writable");
    expect_failure("in use");
    stream::unix(&folder.path().join("broker.sock"));
    drop(used);
    fs::remove_file(path_in(&folder)).expect("it is there");
    folder.write("broker.sock", "mine");
    expect_failure("no socket");
    assert_eq!(fs::read_to_string(path_in(&folder)).expect("it is there"), "mine");
}

/// Only processes of this machine can reach it, as with loopback.
#[test]
fn client_at_a_unix_socket_may_read_sys_and_needs_no_credentials() {
    let folder = Folder::new();
    let broker = unix(&folder, &[]);
    let file = broker.file("unix.a");
    let mut alice = enter(Box::new(stream::unix(&file)), &Connect::new(V5, "alice"));
    alice.subscribe("$SYS/brokers/+/clients/+/connected", 1);
    let mut bob = enter(Box::new(stream::unix(&file)), &Connect::new(V5, "bob"));
    let told = alice.expect_publish();
    assert!(told.text().contains("\"clientid\":\"bob\""), "{told:?}");
    bob.publish(&Publish::new("a", "x").qos(1, 1));
}

#[test]
fn client_at_a_unix_socket_needs_credentials_if_the_listener_says_so() {
    let folder = Folder::new();
    let broker = unix(&folder, &["allow_anonymous=false"]);
    let stream = stream::unix(&broker.file("unix.a"));
    let (mut raw, connack) = try_enter(Box::new(stream), &Connect::new(V5, "alice"));
    assert_eq!(connack.code, 0x87);
    raw.expect_close();
}
