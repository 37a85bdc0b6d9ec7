//! mosquitto_pub and mosquitto_sub, as one types them.

use std::{path::PathBuf, process::Command};

use avocet_tests::{
    Broker, Version, each_version,
    foreign::{self, Running},
};

/// The two programs and a broker for them.
struct Tools {
    broker: Broker,
    publish: PathBuf,
    subscribe: PathBuf,
    version: Version,
}

impl Tools {
    /// Nothing when the programs are not installed, which is noted as not run.
    fn new(version: Version) -> Option<Self> {
        let publish = foreign::program("mosquitto_pub", "mosquitto scenarios")?;
        let subscribe = foreign::program("mosquitto_sub", "mosquitto scenarios")?;
        Some(Self { broker: Broker::start(&[]), publish, subscribe, version })
    }

    fn command(&self, program: &PathBuf, words: &str) -> Command {
        let address = self.broker.address();
        let mut command = Command::new(program);
        command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
        command.args(["-V", self.version.mosquitto()]);
        command.args(words.split_whitespace());
        command
    }

    /// Words are split at spaces; `more` are arguments that may hold some.
    #[track_caller]
    fn publish(&self, words: &str, more: &[&str]) {
        foreign::run(self.command(&self.publish, words).args(more));
    }

    #[track_caller]
    fn subscribe(&self, words: &str) -> String {
        foreign::run(&mut self.command(&self.subscribe, words))
    }

    /// Starts a subscriber that goes on until it is killed or has what it wants.
    fn subscriber(&self, words: &str) -> Running {
        Running::start(&mut self.command(&self.subscribe, words))
    }
}

#[test]
fn subscriber_prints_what_publishers_send_at_every_qos() {
    each_version(|version| {
        let Some(tools) = Tools::new(version) else { return };
        // A session is made first, so that nothing is published too early.
        let session = format!("-i sub -c -q 2 -t t/# {}", kept(version));
        tools.subscribe(&format!("{session} -E"));
        for qos in 1..=2 {
            tools.publish(&format!("-q {qos} -t t/{qos}/a"), &["-m", "one two"]);
            tools.publish(&format!("-q {qos} -t t/{qos}/b -n"), &[]);
        }
        let printed = tools.subscribe(&format!("{session} -C 4 -F %t:%q:%l:%p -W 20"));
        let mut lines: Vec<&str> = printed.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["t/1/a:1:7:one two", "t/1/b:1:0:", "t/2/a:2:7:one two", "t/2/b:2:0:"]);
        let mut live = tools.subscriber("-q 0 -t live -t ready -F %t:%q:%p");
        tools.publish("-r -q 1 -t ready -m go", &[]);
        assert_eq!(live.first_line(), "ready:0:go");
    });
}

/// What makes a session outlive its connection: in 5.0 an expiry, before that `-c` alone.
fn kept(version: Version) -> &'static str {
    if version.has_properties() { "-x 600" } else { "" }
}

#[test]
fn retained_message_is_printed_as_stale_and_can_be_cleared() {
    each_version(|version| {
        let Some(tools) = Tools::new(version) else { return };
        tools.publish("-r -q 1 -t kept/a -m hello", &[]);
        tools.publish("-r -q 0 -t kept/b -m other", &[]);
        let printed = tools.subscribe("-t kept/# -C 2 -W 20 -F %r:%t:%p");
        let mut lines: Vec<&str> = printed.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["1:kept/a:hello", "1:kept/b:other"]);
        tools.publish("-r -q 1 -t kept/a -n", &[]);
        assert_eq!(tools.subscribe("-t kept/# -C 1 -W 20 -F %t:%p"), "kept/b:other\n");
    });
}

#[test]
fn file_of_100_kib_and_a_thousand_lines_arrive_whole() {
    each_version(|version| {
        let Some(tools) = Tools::new(version) else { return };
        let name = format!("avocet-tests-{}-{version}.txt", std::process::id());
        let file = std::env::temp_dir().join(name);
        let text = "0123456789abcdef".repeat(6_400);
        std::fs::write(&file, &text).expect("the temporary folder is writable");
        let path = file.display().to_string();
        tools.publish("-r -q 2 -t big -f", &[&path]);
        assert_eq!(tools.subscribe("-t big -C 1 -W 20 -N"), text);
        let lines: String = (0..1_000).map(|number| format!("line {number}\n")).collect();
        std::fs::write(&file, &lines).expect("the temporary folder is writable");
        let session = format!("-i lines -c -q 1 -t lines {}", kept(version));
        tools.subscribe(&format!("{session} -E"));
        let mut sender = tools.command(&tools.publish, "-q 1 -t lines -l");
        let input = std::fs::File::open(&file).expect("the file was just written");
        let sent = sender.stdin(input).status().expect("mosquitto_pub is there");
        assert!(sent.success());
        let printed = tools.subscribe(&format!("{session} -C 1000 -W 60"));
        std::fs::remove_file(&file).expect("the file was just written");
        assert_eq!(printed, lines);
    });
}

#[test]
fn will_of_a_killed_subscriber_is_published() {
    each_version(|version| {
        let Some(tools) = Tools::new(version) else { return };
        let mut watcher = tools.broker.client(version, "watcher");
        watcher.subscribe("gone/+", 1);
        tools.publish("-r -t ready -m go", &[]);
        let will = "--will-topic gone/lost --will-payload lost --will-qos 1";
        let mut lost = tools.subscriber(&format!("-i lost -t ready {will}"));
        assert_eq!(lost.first_line(), "go");
        drop(lost);
        watcher.expect_message("gone/lost", "lost", 1);
    });
}

#[test]
fn properties_of_5_pass_through() {
    let Some(tools) = Tools::new(Version::V5) else { return };
    let words = "-r -q 1 -t props -m x -D publish user-property b 1 -D publish user-property a 2 \
        -D publish content-type text/plain -D publish response-topic answer \
        -D publish correlation-data data -D publish message-expiry-interval 600";
    tools.publish(words, &[]);
    let printed = tools.subscribe("-t props -C 1 -W 20 -F %C|%R|%D|%P|%p");
    assert_eq!(printed, "text/plain|answer|data|b:1 a:2|x\n");
}

#[test]
fn shared_subscription_divides_the_messages() {
    each_version(|version| {
        let Some(tools) = Tools::new(version) else { return };
        let session = |name| format!("-i {name} -c -q 1 -t $share/g/work {}", kept(version));
        for member in ["one", "two"] {
            tools.subscribe(&format!("{} -E", session(member)));
        }
        let one = tools.subscriber(&format!("{} -C 1 -W 30", session("one")));
        for number in 0..10 {
            tools.publish(&format!("-q 1 -t work -m {number}"), &[]);
        }
        let seen = one.finish();
        assert!(seen.trim().parse::<u32>().is_ok_and(|number| number < 10), "{seen}");
    });
}
