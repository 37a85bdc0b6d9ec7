//! `$SYS/`: what the broker tells about itself, and to whom.

mod alarm;
mod list;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use avocet_tests::{
    Broker, Connect, Publish, Raw, Version, Will, deadline, each_version, packet,
    process::{Folder, run},
};

const NODE: &str = "$SYS/brokers/sparrow@test/";
const SETTINGS: [&str; 2] = ["sys.interval=100ms", "node.name=sparrow@test"];

fn broker() -> Broker {
    Broker::start(&SETTINGS)
}

/// The values a subscriber has seen, by the topic behind the node's.
type Seen = BTreeMap<String, String>;

/// Reads figures until they are as wanted.
#[track_caller]
fn read_until(raw: &mut Raw, wanted: impl Fn(&Seen) -> bool) -> Seen {
    let end = Instant::now() + deadline::ANSWER;
    let mut seen = Seen::new();
    while !wanted(&seen) {
        assert!(Instant::now() < end, "not as wanted within a deadline: {seen:#?}");
        let message = raw.expect_publish();
        let topic = message.topic.strip_prefix(NODE).unwrap_or(&message.topic);
        seen.insert(topic.to_owned(), message.text());
    }
    seen
}

/// Whether each of these topics has this number.
fn are(seen: &Seen, numbers: &[(&str, u64)]) -> bool {
    numbers
        .iter()
        .all(|(topic, number)| seen.get(*topic).and_then(|text| text.parse().ok()) == Some(*number))
}

/// Lets the broker publish its figures twice, so that whatever is said at the first is over.
fn two_rounds(broker: &Broker) {
    let mut clock = broker.client(Version::V5, "clock");
    clock.subscribe(&format!("{NODE}datetime"), 0x20);
    clock.expect_publish();
    clock.expect_publish();
    clock.disconnect();
}

/// The value of a field of a flat JSON object; a text comes without its quotes.
#[track_caller]
fn field<'a>(json: &'a str, name: &str) -> &'a str {
    let (_, rest) = json
        .split_once(&format!("\"{name}\":"))
        .unwrap_or_else(|| panic!("no field {name:?} in {json}"));
    let rest = rest.trim_start();
    match rest.strip_prefix('"') {
        Some(text) => text.split('"').next().unwrap_or_default(),
        None => rest.split([',', '}']).next().unwrap_or_default().trim(),
    }
}

#[track_caller]
fn check_just_now(json: &str) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("it is after 1970").as_secs();
    let ts: u64 = field(json, "ts").parse().expect("ts is a number");
    assert!(ts <= now && now - ts < 60, "{json} at {now}");
}

#[test]
fn node_tells_who_it_is() {
    let broker = broker();
    let mut alice = broker.client(Version::V5, "alice");
    alice.subscribe("$SYS/#", 0);
    let topics = ["$SYS/brokers", "version", "uptime", "datetime", "sysdescr"];
    let seen = read_until(&mut alice, |seen| topics.iter().all(|topic| seen.contains_key(*topic)));
    assert_eq!(seen["$SYS/brokers"], "sparrow@test");
    let printed = run(&Folder::new(), &[], &["--version"]).stdout;
    assert_eq!(printed.split_whitespace().nth(1), Some(&*seen["version"]), "{printed}");
    let uptime: u64 = seen["uptime"].parse().expect("uptime is a number");
    assert!(uptime < 60, "{uptime}");
    assert_eq!(seen["sysdescr"], "Avocet");
    let shape = seen["datetime"].replace(|letter: char| letter.is_ascii_digit(), "9");
    assert_eq!(shape, "9999-99-99T99:99:99Z");
    read_until(&mut alice, |seen| seen.get("uptime").is_some_and(|text| text != "0"));
}

#[test]
fn figures_are_retained_and_come_at_qos_0() {
    let broker = broker();
    two_rounds(&broker);
    let mut alice = broker.client(Version::V5, "alice");
    alice.subscribe(&format!("{NODE}stats/+/count"), 2);
    for _ in 0..7 {
        let message = alice.expect_publish();
        assert!(message.retain && message.qos == 0, "{message:?}");
    }
    assert!(!alice.expect_publish().retain);
}

#[test]
fn stats_count_what_there_is_and_remember_the_most() {
    let broker = broker();
    let mut watcher = broker.client(Version::V5, "watcher");
    watcher.subscribe("$SYS/brokers/+/stats/+/+", 0);
    let mut away = broker.connect(&Connect::resume(Version::V5, "away"));
    away.subscribe("a/b", 1);
    away.disconnect();
    let mut alice = broker.client(Version::V311, "alice");
    alice.subscribe("a/b", 1);
    alice.subscribe("c/+", 0);
    let before = read_until(&mut watcher, |seen| seen.contains_key("stats/retained/count"));
    let before: u64 = before["stats/retained/count"].parse().expect("a count is a number");
    alice.publish(&Publish::new("kept", "x").retain());
    read_until(&mut watcher, |seen| {
        let counts = [
            ("stats/clients/count", 2),
            ("stats/sessions/count", 3),
            ("stats/subscriptions/count", 4),
            ("stats/subscribers/count", 3),
            ("stats/topics/count", 3),
            ("stats/routes/count", 3),
        ];
        let number = |topic: &str| seen.get(topic)?.parse::<u64>().ok();
        let has_max = |topic: &String| number(&topic.replace("/count", "/max")) >= number(topic);
        let is_more = number("stats/retained/count").is_some_and(|kept| kept > before);
        are(seen, &counts) && is_more && seen.len() == 14 && seen.keys().all(has_max)
    });
    alice.disconnect();
    read_until(&mut watcher, |seen| {
        let counts = [
            ("stats/clients/count", 1),
            ("stats/clients/max", 2),
            ("stats/sessions/count", 2),
            ("stats/subscriptions/count", 2),
            ("stats/subscriptions/max", 4),
        ];
        are(seen, &counts)
    });
}

#[test]
fn metrics_count_what_there_was() {
    let broker = broker();
    let mut watcher = broker.client(Version::V5, "watcher");
    watcher.subscribe("$SYS/brokers/+/metrics/#", 0);
    let mut alice = broker.client(Version::V5, "alice");
    alice.subscribe("a", 2);
    let mut bob = broker.client(Version::V311, "bob");
    for id in 1..=3 {
        bob.publish(&Publish::new("a", "x").qos(1, id));
        let message = alice.expect_publish();
        alice.acknowledge(&message);
    }
    for id in 1..=2 {
        bob.publish(&Publish::new("a", "x").qos(2, id));
        let message = alice.expect_publish();
        alice.acknowledge(&message);
    }
    bob.publish(&Publish::new("a", "x"));
    alice.expect_publish();
    alice.unsubscribe("a");
    alice.disconnect();
    let counts = [
        ("metrics/packets/connect", 3),
        ("metrics/packets/connack", 3),
        ("metrics/packets/publish/received", 6),
        ("metrics/packets/puback/received", 3),
        ("metrics/packets/puback/sent", 3),
        ("metrics/packets/pubrec/received", 2),
        ("metrics/packets/pubrec/sent", 2),
        ("metrics/packets/pubrel/received", 2),
        ("metrics/packets/pubrel/sent", 2),
        ("metrics/packets/pubcomp/received", 2),
        ("metrics/packets/pubcomp/sent", 2),
        ("metrics/packets/subscribe", 2),
        ("metrics/packets/suback", 2),
        ("metrics/packets/unsubscribe", 1),
        ("metrics/packets/unsuback", 1),
        ("metrics/packets/pingreq", 1),
        ("metrics/packets/pingresp", 1),
        ("metrics/packets/disconnect", 1),
        ("metrics/packets/disconnect/received", 1),
        ("metrics/packets/disconnect/sent", 0),
        ("metrics/packets/auth/received", 0),
        ("metrics/messages/received", 6),
        ("metrics/messages/dropped", 0),
        ("metrics/messages/qos0/received", 1),
        ("metrics/messages/qos1/received", 3),
        ("metrics/messages/qos1/sent", 3),
        ("metrics/messages/qos2/received", 2),
        ("metrics/messages/qos2/sent", 2),
    ];
    let totals = ["bytes/received", "bytes/sent", "packets/received", "packets/sent"];
    let seen = read_until(&mut watcher, |seen| {
        let is_there = |name: &&str| seen.contains_key(&format!("metrics/{name}"));
        are(seen, &counts) && totals.iter().all(is_there)
    });
    let number = |name: &str| seen[name].parse::<u64>().expect("a number");
    assert!(number("metrics/bytes/received") > 100, "{seen:#?}");
    assert!(number("metrics/bytes/sent") > number("metrics/packets/sent") * 2, "{seen:#?}");
    assert!(number("metrics/packets/received") >= 6 + 3 + 2 + 2 + 2 + 2 + 3, "{seen:#?}");
}

#[test]
fn coming_and_going_of_a_client_is_told() {
    each_version(|version| {
        let broker = broker();
        let mut watcher = broker.client(Version::V5, "watcher");
        watcher.subscribe(&format!("{NODE}clients/+/+"), 1);
        for is_kept in [false, true] {
            let new = if is_kept { Connect::resume } else { Connect::new };
            let connect = new(version, "alice").user_name("al").password("secret");
            let alice = broker.connect(&connect);
            let text = told(&mut watcher, "connected");
            assert_eq!(field(&text, "ipaddress"), "127.0.0.1");
            assert_eq!(field(&text, "username"), "al");
            assert_eq!(field(&text, "protocol"), version.name_and_level().1.to_string());
            assert_eq!(field(&text, "session"), is_kept.to_string());
            assert_eq!(field(&text, "connack"), "0");
            assert!(!text.contains("secret"), "{text}");
            alice.disconnect();
            assert_eq!(field(&told(&mut watcher, "disconnected"), "reason"), "success");
        }
    });
    let broker = broker();
    let mut watcher = broker.client(Version::V5, "watcher");
    watcher.subscribe(&format!("{NODE}clients/+/+"), 1);
    broker.client(Version::V5, "alice").cut();
    assert_eq!(field(&told(&mut watcher, "connected"), "username"), "null");
    assert_eq!(field(&told(&mut watcher, "disconnected"), "reason"), "connection lost");
}

#[test]
fn takeover_is_told_as_leaving_and_coming() {
    let broker = broker();
    let mut watcher = broker.client(Version::V5, "watcher");
    watcher.subscribe(&format!("{NODE}clients/+/+"), 1);
    let _first = broker.client(Version::V5, "alice");
    told(&mut watcher, "connected");
    let _second = broker.client(Version::V5, "alice");
    assert_eq!(field(&told(&mut watcher, "disconnected"), "reason"), "session taken over");
    told(&mut watcher, "connected");
    watcher.expect_nothing_before_pong();
}

#[test]
fn client_closed_for_an_error_is_told_with_the_reason() {
    let broker = broker();
    let mut watcher = broker.client(Version::V5, "watcher");
    watcher.subscribe(&format!("{NODE}clients/+/+"), 1);
    let mut alice = broker.client(Version::V311, "alice");
    told(&mut watcher, "connected");
    alice.send(&packet::subscribe(Version::V311, 1, &[("a/#/b", 0)]));
    alice.expect_close();
    assert_eq!(field(&told(&mut watcher, "disconnected"), "reason"), "topic filter invalid");
}

#[test]
fn client_id_that_needs_escaping_is_told_as_json() {
    let broker = broker();
    let mut watcher = broker.client(Version::V5, "watcher");
    watcher.subscribe(&format!("{NODE}clients/#"), 1);
    let _alice = broker.client(Version::V5, "a\"b\\c");
    let text = watcher.expect_publish().text();
    assert!(text.contains(r#""clientid":"a\"b\\c""#), "{text}");
}

/// The next thing told about alice, which has to be this.
#[track_caller]
fn told(watcher: &mut Raw, what: &str) -> String {
    let message = watcher.expect_publish();
    assert_eq!(message.topic, format!("{NODE}clients/alice/{what}"), "{message:?}");
    assert!(!message.retain, "{message:?}");
    watcher.acknowledge(&message);
    let text = message.text();
    assert_eq!(field(&text, "clientid"), "alice");
    check_just_now(&text);
    text
}

#[test]
fn will_to_sys_reaches_nobody() {
    each_version(|version| {
        let broker = broker();
        let mut watcher = broker.client(version, "watcher");
        watcher.subscribe("$SYS/mine", 1);
        watcher.subscribe("gone", 1);
        let will = |topic| Will::new(topic, "x").qos(1).retain();
        let mut raw = broker.open(version);
        raw.send(&Connect::new(version, "alice").will(will("$SYS/mine")).bytes());
        // Refused at once, or taken and never published.
        raw.receive_or_close();
        raw.cut();
        broker.connect(&Connect::new(version, "carol").will(will("gone"))).cut();
        watcher.expect_message("gone", "x", 1);
        let mut late = broker.client(version, "late");
        late.subscribe("$SYS/mine", 1);
        late.expect_nothing_before_pong();
        watcher.expect_nothing_before_pong();
    });
}

/// [MQTT3-4.7.2-1] [MQTT5-4.7.2-1]
#[test]
fn sys_never_comes_by_a_leading_wildcard() {
    let broker = broker();
    two_rounds(&broker);
    each_version(|version| {
        let mut alice = broker.client(version, "alice");
        for filter in ["#", "+/#", "+/brokers", "+/brokers/#", "+/+/sparrow@test/#"] {
            alice.subscribe(filter, 0);
        }
        alice.subscribe("$share/g/#", 0);
        alice.try_subscribe("$fastlane/#", 0);
        two_rounds(&broker);
        alice.expect_nothing_before_pong();
        alice.disconnect();
    });
}

/// [MQTT3-3.3.5-2]
#[test]
fn publish_to_sys_is_refused_and_reaches_nobody() {
    each_version(|version| {
        let broker = broker();
        let mut watcher = broker.client(version, "watcher");
        for filter in ["$SYS/mine/#", "$SYS", "$SYS/"] {
            watcher.subscribe(filter, 1);
        }
        let mut bob = broker.client(version, "bob");
        let refused = if version == Version::V5 { 0x87 } else { 0 };
        for topic in ["$SYS/mine", "$SYS", "$SYS/", "$SYS/brokers/sparrow@test/version"] {
            let publish = Publish::new(topic, "forged").retain();
            bob.publish(&publish);
            bob.send(&publish.clone().qos(1, 1).bytes(version));
            assert_eq!(bob.expect_puback(1).code, refused, "{topic}");
            bob.send(&publish.qos(2, 2).bytes(version));
            assert_eq!(bob.expect_pubrec(2).code, refused, "{topic}");
            if refused == 0 {
                bob.send(&packet::pubrel(2));
                bob.expect_pubcomp(2);
            }
        }
        watcher.expect_nothing_before_pong();
        let mut late = broker.client(version, "late");
        late.subscribe("$SYS/#", 1);
        let texts = late.texts_before_pong();
        assert!(!texts.contains(&"forged".to_owned()), "{texts:?}");
    });
}

/// An address of this machine that is not loopback, if it has one. Nothing is sent.
fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(address) if !address.ip().is_loopback() => Some(*address.ip()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => None,
    }
}

/// Shown only on a machine that has an address beside loopback.
#[test]
fn sys_is_refused_to_who_does_not_connect_from_loopback() {
    let Some(address) = own_address() else { return };
    each_version(|version| {
        let bind = format!("listeners.tcp.second.bind={address}:0");
        let broker = Broker::start(&[
            SETTINGS[0],
            SETTINGS[1],
            &bind,
            "listeners.tcp.second.allow_anonymous=true",
        ]);
        let mut alice = Raw::open(broker.listener("tcp.second"), version);
        alice.send(&Connect::new(version, "alice").bytes());
        assert_eq!(alice.expect_connack().code, 0);
        let refused = if version == Version::V5 { 0x87 } else { 0x80 };
        let filters =
            ["$SYS/#", "$SYS/brokers", "$share/g/$SYS/#", "$local/$SYS/+", "$queue/$SYS/#"];
        for filter in filters {
            assert_eq!(alice.try_subscribe(filter, 0), refused, "{filter}");
        }
        alice.send(&packet::subscribe(version, 1, &[("#", 0), ("$SYS/#", 0)]));
        assert_eq!(alice.expect_suback(1).codes, [0, refused]);
        two_rounds(&broker);
        alice.expect_nothing_before_pong();
    });
}

/// How long a figure may be late; the interval is 100 ms.
#[test]
fn figures_come_at_the_interval() {
    let broker = broker();
    let mut alice = broker.client(Version::V5, "alice");
    alice.subscribe(&format!("{NODE}uptime"), 0x20);
    alice.expect_publish();
    let begun = Instant::now();
    for _ in 0..5 {
        alice.expect_publish();
    }
    let taken = begun.elapsed();
    assert!(taken > Duration::from_millis(300), "{taken:?}");
    assert!(taken < Duration::from_secs(5), "{taken:?}");
}
