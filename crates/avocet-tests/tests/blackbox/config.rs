//! The executable as its operator sees it: configuration, exit codes, messages, signals.

use std::net::TcpListener;

use avocet_tests::{
    Broker, Connect, Kind, Raw, Version, each_version,
    process::{Ended, Folder, run},
};

/// A mistake in the configuration: exit code 2, nothing on standard output, one line for each.
#[track_caller]
fn check_mistakes(ended: &Ended, lines: &[&[&str]]) {
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), lines.len(), "{}", ended.stderr);
    for words in lines {
        let is_there = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(ended.stderr.lines().any(is_there), "no {words:?} in\n{}", ended.stderr);
    }
}

/// Anything else that keeps the broker from serving: exit code 1, and one sentence that says what.
#[track_caller]
fn check_failure(ended: &Ended, words: &[&str]) {
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{ended:?}");
    let sentence = ended.stderr.lines().last().unwrap_or_default();
    assert!(words.iter().all(|word| sentence.contains(word)), "no {words:?} in {sentence:?}");
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// Both commands read the same.
const COMMANDS: [&str; 2] = ["check", "start"];

#[test]
fn unknown_key_is_a_mistake_with_a_suggestion() {
    let folder = Folder::new();
    let file = folder.write("avocet.toml", "[mqtt]\nmax_qoss = 1\n");
    for command in COMMANDS {
        let ended = run(&folder, &[], &[command, "-c", &file]);
        check_mistakes(&ended, &[&["avocet.toml:2", "mqtt.max_qoss", "did you mean \"max_qos\""]]);
        let ended = run(&folder, &[], &[command, "--set", "mqtt.max_qoss=1"]);
        check_mistakes(&ended, &[&["--set", "mqtt.max_qoss", "did you mean \"max_qos\""]]);
    }
    let ended = run(&folder, &[("AVOCET__MQTT__MAX_QOSS", "1")], &["check"]);
    check_mistakes(&ended, &[&["AVOCET__MQTT__MAX_QOSS", "max_qos"]]);
}

#[test]
fn every_mistake_is_told_at_once_with_its_file_line_and_key() {
    let folder = Folder::new();
    let text = "\
        [node]\n\
        shards = \"many\"\n\
        [mqtt]\n\
        max_qos = 3\n\
        max_packet_size = \"1 parsec\"\n\
        retain_available = \"perhaps\"\n\
        [listeners.tcp.default]\n\
        bind = \"nowhere\"\n\
        [session]\n\
        queue_full = \"explode\"\n\
        [sissions]\n";
    let file = folder.write("avocet.toml", text);
    for command in COMMANDS {
        let ended = run(&folder, &[], &[command, "-c", &file, "--set", "sys.interval=1ms"]);
        check_mistakes(
            &ended,
            &[
                &["avocet.toml:2", "node.shards", "\"many\"", "an integer from 0 to 1024"],
                &["avocet.toml:4", "mqtt.max_qos", "3", "from 0 to 2"],
                &["avocet.toml:5", "mqtt.max_packet_size", "1 parsec", "\"64KiB\""],
                &["avocet.toml:6", "mqtt.retain_available", "true or false"],
                &["avocet.toml:8", "listeners.tcp.default.bind", "nowhere", "an address and port"],
                &["avocet.toml:10", "session.queue_full", "explode", "drop_oldest", "refuse"],
                &["avocet.toml:11", "sissions"],
                &["--set", "sys.interval", "1ms", "100ms"],
            ],
        );
    }
}

#[test]
fn wrong_value_does_not_hide_another_that_is_wrong_by_itself() {
    let folder = Folder::new();
    let file = folder.write("avocet.toml", "[node]\nname = \"with space\"\nshards = 9999\n");
    let ended = run(&folder, &[], &["check", "-c", &file]);
    check_mistakes(
        &ended,
        &[
            &["avocet.toml:2", "node.name", "without spaces"],
            &["avocet.toml:3", "node.shards", "9999 is out of range"],
        ],
    );
}

#[test]
fn section_of_what_is_not_built_in_says_so() {
    let folder = Folder::new();
    let sections = [
        ("cluster", "[cluster]\nname = \"a\"\n"),
        ("backend", "[[backend.redis.main.hook]]\n"),
        ("bridge", "[bridge.kafka.main]\n"),
        ("gateway", "[gateway.coap]\n"),
        ("auth", "[[auth.authenticators]]\n"),
        ("rpc", "rpc.tcp_server_port = 5369\n"),
        ("session.store", "[session]\nstore = \"embedded\"\n"),
    ];
    for (key, text) in sections {
        let file = folder.write("avocet.toml", text);
        for command in COMMANDS {
            let ended = run(&folder, &[], &[command, "-c", &file]);
            check_mistakes(&ended, &[&["avocet.toml", key, "is not built into this executable"]]);
        }
    }
}

#[test]
fn file_that_is_no_toml_or_not_there_is_a_mistake() {
    let folder = Folder::new();
    let file = folder.write("avocet.toml", "[mqtt]\n\nmax_qos == 1\n");
    let ended = run(&folder, &[], &["check", "-c", &file]);
    check_mistakes(&ended, &[&["avocet.toml:3", "not TOML"]]);
    let file = folder.write("twice.toml", "[mqtt]\nmax_qos = 1\nmax_qos = 0\n");
    let ended = run(&folder, &[], &["check", "-c", &file]);
    check_mistakes(&ended, &[&["twice.toml:3", "mqtt.max_qos", "second time"]]);
    let ended = run(&folder, &[], &["check", "-c", "absent.toml"]);
    check_mistakes(&ended, &[&["absent.toml", "cannot be read"]]);
}

#[test]
fn word_that_the_command_line_does_not_have_ends_with_2() {
    let folder = Folder::new();
    for words in [&["fly"][..], &["start", "--fly"], &["check", "--set"], &["check", "fly"]] {
        let ended = run(&folder, &[], words);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{words:?}: {ended:?}");
        assert!(!ended.stderr.is_empty());
    }
    let ended = run(&folder, &[], &["check", "--set", "max_qos"]);
    check_mistakes(&ended, &[&["--set", "max_qos"]]);
}

/// What `check` prints for a key, in its section.
#[track_caller]
fn printed(ended: &Ended, section: &str, key: &str) -> String {
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    let behind = ended.stdout.split_once(&format!("[{section}]\n"));
    let (_, rest) = behind.unwrap_or_else(|| panic!("no [{section}] in\n{}", ended.stdout));
    let mut lines = rest.lines().take_while(|line| !line.starts_with('['));
    let found = lines.find_map(|line| line.strip_prefix(&format!("{key} = ")));
    found.unwrap_or_else(|| panic!("no {key} under [{section}]")).to_owned()
}

#[test]
fn check_prints_what_is_in_effect_and_does_nothing_else() {
    let folder = Folder::new();
    let text = "[mqtt]\nmax_qos = 1\n[listeners.tcp.second]\nbind = \"127.0.0.1:0\"\n";
    let file = folder.write("avocet.toml", text);
    let ended = run(&folder, &[], &["check", "-c", &file]);
    assert_eq!(printed(&ended, "mqtt", "max_qos"), "1");
    assert_eq!(printed(&ended, "mqtt", "retain_available"), "true");
    assert_eq!(printed(&ended, "session", "queue_full"), "\"drop_oldest\"");
    assert_eq!(printed(&ended, "listeners.tcp.second", "bind"), "\"127.0.0.1:0\"");
    assert!(ended.stdout.contains("[listeners.tcp.default]"), "{}", ended.stdout);
    let files = std::fs::read_dir(folder.path()).expect("the folder is there");
    assert_eq!(files.count(), 1, "only the file itself, no data directory");
    // What it prints is a configuration with the same effect.
    let again = folder.write("again.toml", &ended.stdout);
    let again = run(&folder, &[], &["check", "--config", &again]);
    assert_eq!((again.code, again.stdout), (Some(0), ended.stdout));
}

#[test]
fn set_is_stronger_than_the_environment_and_that_than_the_file() {
    let folder = Folder::new();
    let file = folder.write("avocet.toml", "[mqtt]\nmax_qos = 0\nmax_inflight = 5\n");
    let variable = [("AVOCET__MQTT__MAX_QOS", "1")];
    let max_qos = |ended: &Ended| printed(ended, "mqtt", "max_qos");
    assert_eq!(max_qos(&run(&folder, &[], &["check"])), "2");
    assert_eq!(max_qos(&run(&folder, &[], &["check", "-c", &file])), "0");
    assert_eq!(max_qos(&run(&folder, &variable, &["check", "-c", &file])), "1");
    assert_eq!(max_qos(&run(&folder, &variable, &["check"])), "1");
    let words = ["check", "-c", &file, "--set", "mqtt.max_qos=0", "--set", "mqtt.max_qos=2"];
    let ended = run(&folder, &variable, &words);
    assert_eq!(max_qos(&ended), "2", "the later word");
    assert_eq!(printed(&ended, "mqtt", "max_inflight"), "5", "nobody is stronger than the file");
}

/// Settings of a second node that has nothing in common with the first.
fn start<'a>(set: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["start", "--set", "listeners.tcp.default.bind=127.0.0.1:0"];
    words.extend(["--set", "http.bind=127.0.0.1:0"]);
    words.extend(set.iter().flat_map(|setting| ["--set", *setting]));
    words
}

#[test]
fn port_in_use_ends_with_1_and_names_the_address_and_the_key() {
    let folder = Folder::new();
    let other = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = other.local_addr().expect("it is bound").to_string();
    let bind = format!("listeners.tcp.default.bind={address}");
    let ended = run(&folder, &[], &start(&[&bind]));
    check_failure(&ended, &[&address, "listeners.tcp.default.bind", "in use"]);
    let bind = format!("listeners.tcp.second.bind={address}");
    let ended = run(&folder, &[], &start(&[&bind]));
    check_failure(&ended, &[&address, "listeners.tcp.second.bind", "in use"]);
    let ended = run(&folder, &[], &start(&[&format!("http.bind={address}")]));
    check_failure(&ended, &[&address, "http.bind", "in use"]);
}

#[test]
fn http_without_authentication_is_not_opened_to_others_unless_told_to() {
    let folder = Folder::new();
    for bind in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.org:0"] {
        let file = folder.write("avocet.toml", &format!("[http]\nbind = \"{bind}\"\n"));
        for command in COMMANDS {
            let ended = run(&folder, &[], &[command, "-c", &file]);
            let words = ["avocet.toml:2", "http.bind", "http.allow_anonymous = true"];
            check_mistakes(&ended, &[&words]);
        }
        for word in ["http.allow_anonymous=true", "http.enable=false"] {
            let ended = run(&folder, &[], &["check", "-c", &file, "--set", word]);
            assert_eq!(ended.code, Some(0), "{bind} with {word}: {ended:?}");
        }
    }
    for bind in ["127.0.0.1:0", "[::1]:0", "localhost:0"] {
        let ended = run(&folder, &[], &["check", "--set", &format!("http.bind={bind}")]);
        assert_eq!(ended.code, Some(0), "{bind}: {ended:?}");
    }
    let ended = run(&folder, &[], &["check", "--set", "http.allow_anonymous=false"]);
    check_mistakes(&ended, &[&["--set", "http.allow_anonymous", "http.enable = false"]]);
    let words = ["check", "--set", "http.max_connections=0", "--set", "http.bnd=localhost:0"];
    check_mistakes(
        &run(&folder, &[], &words),
        &[&["http.max_connections", "from 1 to 65535"], &["http.bnd", "did you mean \"bind\""]],
    );
}

#[test]
fn data_directory_of_another_node_ends_with_1_and_is_named() {
    let mut broker = Broker::start(&[]);
    let folder = Folder::new();
    let path = broker.data_dir().display().to_string();
    let setting = format!("node.data_dir={path}");
    check_failure(&run(&folder, &[], &start(&[&setting])), &[&path, "node.data_dir", "in use"]);
    broker.client(Version::V5, "alice").expect_nothing_before_pong();
    // A node that has ended leaves it to the next.
    broker.terminate();
    assert_eq!(broker.exit_code(), Some(0));
    let _next = Broker::start(&[&setting]);
}

#[test]
fn ready_line_names_each_listener_with_its_port() {
    let broker = Broker::start(&["listeners.tcp.second.bind=127.0.0.1:0"]);
    let ready = broker.ready();
    let words: Vec<&str> = ready.split(' ').collect();
    let names: Vec<&str> = words.iter().filter_map(|word| Some(word.split_once('=')?.0)).collect();
    assert_eq!(words.first(), Some(&"ready"), "{ready:?}");
    let expected = vec!["tcp.default", "tcp.second", "http"];
    assert_eq!((words.len(), names), (4, expected), "{ready:?}");
    let addresses = [broker.listener("tcp.default"), broker.listener("tcp.second")];
    assert_ne!(addresses[0].port(), addresses[1].port());
    for address in addresses {
        assert_ne!(address.port(), 0);
        let mut raw = Raw::open(address, Version::V5);
        raw.send(&Connect::new(Version::V5, "alice").bytes());
        assert_eq!(raw.expect_connack().code, 0);
    }
}

#[test]
fn listener_that_is_not_enabled_is_not_there() {
    let broker = Broker::start(&[
        "listeners.tcp.second.bind=127.0.0.1:0",
        "listeners.tcp.second.enable=false",
    ]);
    assert!(!broker.ready().contains("tcp.second"), "{}", broker.ready());
}

#[test]
fn sigterm_takes_leave_of_the_clients_and_ends_with_0() {
    let mut broker = Broker::start(&[]);
    let mut clients = Version::ALL.map(|version| broker.client(version, &version.to_string()));
    let mut not_connected = broker.open(Version::V5);
    broker.terminate();
    for client in &mut clients {
        let version = client.version();
        match client.receive_or_close().map(|packet| packet.kind) {
            Some(Kind::Disconnect(ending)) if version == Version::V5 => {
                assert_eq!(ending.code, 0x8b);
                client.expect_close();
            }
            None if version != Version::V5 => {}
            other => panic!("MQTT {version}: {other:?}"),
        }
    }
    not_connected.expect_close();
    assert_eq!(broker.exit_code(), Some(0));
    assert!(!broker.log().contains("panicked"), "{}", broker.log());
}

#[test]
fn listener_beyond_loopback_lets_in_nobody_without_credentials_unless_told_to() {
    let broker = Broker::start(&["listeners.tcp.second.bind=0.0.0.0:0"]);
    let open = Broker::start(&[
        "listeners.tcp.second.bind=0.0.0.0:0",
        "listeners.tcp.second.allow_anonymous=true",
    ]);
    each_version(|version| {
        let code_at = |broker: &Broker| {
            let port = broker.listener("tcp.second").port();
            let mut raw = Raw::open(([127, 0, 0, 1], port).into(), version);
            raw.send(&Connect::new(version, "alice").bytes());
            raw.expect_connack().code
        };
        assert_eq!(code_at(&broker), if version == Version::V5 { 0x87 } else { 5 });
        assert_eq!(code_at(&open), 0);
    });
}

#[test]
fn log_goes_to_the_end_of_its_file() {
    let folder = Folder::new();
    let new = folder.path().join("new.log").display().to_string();
    for file in [folder.write("old.log", "a line from before\n"), new] {
        let set = format!("log.file={file}");
        let mut broker = Broker::start(&[&set, "log.level=debug"]);
        broker.client(Version::V5, "alice").disconnect();
        broker.terminate();
        assert_eq!((broker.exit_code(), broker.log()), (Some(0), String::new()));
        let log = std::fs::read_to_string(&file).expect("the log is a file");
        assert_eq!(log.starts_with("a line from before\n"), file.ends_with("old.log"), "{log}");
        assert!(log.contains("Stopping on SIGTERM.") && !log.contains('\u{1b}'), "{log}");
    }
}

#[test]
fn log_file_that_cannot_be_opened_ends_with_1_and_is_named() {
    let folder = Folder::new();
    let path = folder.path().join("absent/avocet.log").display().to_string();
    let ended = run(&folder, &[], &start(&[&format!("log.file={path}")]));
    check_failure(&ended, &[&path, "log.file"]);
}

#[test]
fn log_as_json_is_one_object_a_line() {
    let mut broker = Broker::start(&["log.format=json", "log.level=debug"]);
    broker.client(Version::V5, "alice").disconnect();
    broker.terminate();
    assert_eq!(broker.exit_code(), Some(0));
    let log = broker.log();
    // What stands behind the last line's end may not have been read as a whole.
    let (lines, _) = log.rsplit_once('\n').expect("there is a line");
    for line in lines.lines() {
        assert!(
            line.starts_with('{') && line.ends_with('}') && line.contains("\"level\""),
            "{line}"
        );
    }
}
