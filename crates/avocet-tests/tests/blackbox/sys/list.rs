//! Every topic by its name, and the counters that need something odd to happen.

use avocet_tests::{
    Broker, Connect, Publish, Version,
    packet::{ack_with_code, puback, pubcomp, pubrec, pubrel},
};

use super::{NODE, SETTINGS, Seen, are, broker, read_until, two_rounds};

/// EMQ X's names. What there is of alarms and stalls is in [`super::alarm`].
const TOPICS: [&str; 64] = [
    "version",
    "uptime",
    "datetime",
    "sysdescr",
    "clients/alice/connected",
    "clients/alice/disconnected",
    "stats/clients/count",
    "stats/clients/max",
    "stats/sessions/count",
    "stats/sessions/max",
    "stats/subscriptions/count",
    "stats/subscriptions/max",
    "stats/subscribers/count",
    "stats/subscribers/max",
    "stats/topics/count",
    "stats/topics/max",
    "stats/routes/count",
    "stats/routes/max",
    "stats/retained/count",
    "stats/retained/max",
    "metrics/bytes/received",
    "metrics/bytes/sent",
    "metrics/packets/received",
    "metrics/packets/sent",
    "metrics/packets/connect",
    "metrics/packets/connack",
    "metrics/packets/publish/received",
    "metrics/packets/publish/sent",
    "metrics/packets/puback/received",
    "metrics/packets/puback/sent",
    "metrics/packets/puback/missed",
    "metrics/packets/pubrec/received",
    "metrics/packets/pubrec/sent",
    "metrics/packets/pubrec/missed",
    "metrics/packets/pubrel/received",
    "metrics/packets/pubrel/sent",
    "metrics/packets/pubrel/missed",
    "metrics/packets/pubcomp/received",
    "metrics/packets/pubcomp/sent",
    "metrics/packets/pubcomp/missed",
    "metrics/packets/subscribe",
    "metrics/packets/suback",
    "metrics/packets/unsubscribe",
    "metrics/packets/unsuback",
    "metrics/packets/pingreq",
    "metrics/packets/pingresp",
    "metrics/packets/disconnect",
    "metrics/messages/received",
    "metrics/messages/sent",
    "metrics/messages/retained",
    "metrics/messages/dropped",
    "metrics/messages/forward",
    "metrics/messages/qos0/received",
    "metrics/messages/qos0/sent",
    "metrics/messages/qos1/received",
    "metrics/messages/qos1/sent",
    "metrics/messages/qos2/received",
    "metrics/messages/qos2/sent",
    "metrics/messages/qos2/dropped",
    // Ours.
    "metrics/packets/disconnect/received",
    "metrics/packets/disconnect/sent",
    "metrics/packets/auth/received",
    "metrics/packets/auth/sent",
    "$SYS/brokers",
];

/// Topics that EMQ X's list does not bound: one for each reason.
fn is_reason(topic: &str) -> bool {
    topic.starts_with("metrics/messages/dropped/")
}

/// What comes only when something is wrong, such as a machine with too much to do.
fn is_trouble(topic: &str) -> bool {
    topic.starts_with("alarms/") || topic.starts_with("sysmon/")
}

#[test]
fn every_topic_of_the_list_is_there_and_no_other() {
    let broker = broker();
    let mut watcher = broker.client(Version::V5, "watcher");
    watcher.subscribe("$SYS/#", 0);
    broker.client(Version::V5, "alice").disconnect();
    let has_all = |seen: &Seen| TOPICS.iter().all(|topic| seen.contains_key(*topic));
    // Twice: whatever else comes has come by then.
    read_until(&mut watcher, has_all);
    broker.client(Version::V5, "alice").disconnect();
    let seen = read_until(&mut watcher, has_all);
    let others = seen.keys().filter(|topic| !is_reason(topic) && !is_trouble(topic));
    let others: Vec<_> = others.filter(|topic| !TOPICS.contains(&&***topic)).collect();
    assert!(others.is_empty(), "{others:?}");
    for (topic, text) in &seen {
        let is_figure = topic.starts_with("stats/") || topic.starts_with("metrics/");
        let number = text.parse::<u64>().ok();
        assert_eq!(number.is_some(), is_figure || topic == "uptime", "{topic}: {text}");
        if let Some(most) = topic.strip_suffix("/count").map(|name| &seen[&format!("{name}/max")]) {
            assert!(most.parse::<u64>().ok() >= number, "{topic}: {text}, at most {most}");
        }
    }
    let of_one_client = [
        ("metrics/packets/auth/received", 0),
        ("metrics/packets/auth/sent", 0),
        ("metrics/messages/forward", 0),
        ("metrics/messages/qos2/dropped", 0),
        ("metrics/packets/puback/missed", 0),
    ];
    assert!(are(&seen, &of_one_client), "{seen:#?}");
    let number = |topic: &str| seen[topic].parse::<u64>().expect("a number");
    assert!((1..=2).contains(&number("metrics/packets/disconnect")), "{seen:#?}");
    assert!((2..=3).contains(&number("metrics/packets/connect")), "{seen:#?}");
}

#[test]
fn acknowledgements_of_nothing_are_missed() {
    let broker = broker();
    let mut watcher = broker.client(Version::V5, "watcher");
    watcher.subscribe(&format!("{NODE}metrics/packets/+/missed"), 0);
    let mut alice = broker.client(Version::V5, "alice");
    alice.subscribe("a", 2);
    // A whole exchange of each QoS, and then its last packet again.
    for qos in 1..=2 {
        alice.send(&Publish::new("a", "x").qos(qos, 1).bytes(Version::V5));
        let message = match qos {
            1 => {
                let message = alice.expect_publish();
                alice.expect_puback(1);
                message
            }
            _ => {
                let message = alice.expect_publish();
                alice.expect_pubrec(1);
                alice.send(&pubrel(1));
                alice.expect_pubcomp(1);
                message
            }
        };
        alice.acknowledge(&message);
        let again = if qos == 1 { puback } else { pubcomp };
        alice.send(&again(message.packet_id()));
    }
    // Rows, and those that say more than success.
    alice.send(&[puback(77), puback(78), puback(79)].concat());
    alice.send(&ack_with_code(0x50, 77, 0x80));
    alice.send(&[pubrec(77), pubrec(78)].concat());
    assert_eq!(alice.expect_pubrel(77).code, 0x92);
    assert_eq!(alice.expect_pubrel(78).code, 0x92);
    alice.send(&pubrel(77));
    assert_eq!(alice.expect_pubcomp(77).code, 0x92);
    alice.send(&[pubcomp(77), pubcomp(78)].concat());
    alice.expect_nothing_before_pong();
    let missed = [("puback", 4), ("pubrec", 3), ("pubrel", 1), ("pubcomp", 3)];
    let missed = missed.map(|(name, count)| (format!("metrics/packets/{name}/missed"), count));
    let missed = missed.each_ref().map(|(name, count)| (&**name, *count));
    read_until(&mut watcher, |seen| are(seen, &missed));
}

#[test]
fn drops_at_qos_2_are_counted_for_themselves() {
    let broker = Broker::start(&[SETTINGS[0], SETTINGS[1], "session.max_queue_messages=2"]);
    let mut watcher = broker.client(Version::V5, "watcher");
    watcher.subscribe(&format!("{NODE}metrics/messages/#"), 0);
    for (client_id, qos) in [("two", 2), ("one", 1)] {
        let mut away = broker.connect(&Connect::resume(Version::V5, client_id));
        away.subscribe("a", qos);
        away.disconnect();
    }
    let mut bob = broker.client(Version::V5, "bob");
    for id in 1..=5 {
        bob.publish(&Publish::new("a", "x").qos(2, id));
    }
    bob.publish(&Publish::new("nobody", "x").qos(2, 1));
    let counts = [
        ("metrics/messages/dropped", 6),
        ("metrics/messages/dropped/queue_full", 6),
        ("metrics/messages/qos2/dropped", 3),
    ];
    read_until(&mut watcher, |seen| are(seen, &counts));
    // A session that is given up loses what waited for it.
    broker.client(Version::V5, "two").disconnect();
    let counts = [("metrics/messages/dropped", 8), ("metrics/messages/qos2/dropped", 5)];
    read_until(&mut watcher, |seen| are(seen, &counts));
}

#[test]
fn subscribers_are_sessions_with_a_subscription() {
    let broker = broker();
    let mut watcher = broker.client(Version::V5, "watcher");
    watcher.subscribe(&format!("{NODE}stats/+/count"), 0);
    let expect = |watcher: &mut _, sessions, subscribers, subscriptions| {
        let counts = [
            ("stats/sessions/count", sessions),
            ("stats/subscribers/count", subscribers),
            ("stats/subscriptions/count", subscriptions),
        ];
        read_until(watcher, |seen| are(seen, &counts));
    };
    expect(&mut watcher, 1, 1, 1);
    let mut alice = broker.connect(&Connect::resume(Version::V5, "alice"));
    let _idle = broker.client(Version::V5, "idle");
    expect(&mut watcher, 3, 1, 1);
    alice.subscribe("a", 1);
    alice.subscribe("b", 1);
    alice.subscribe("a", 0);
    alice.subscribe("$share/g/a", 0);
    expect(&mut watcher, 3, 2, 4);
    alice.unsubscribe("a");
    alice.unsubscribe("a");
    expect(&mut watcher, 3, 2, 3);
    alice.unsubscribe("b");
    alice.unsubscribe("$share/g/a");
    expect(&mut watcher, 3, 1, 1);
    alice.subscribe("a", 1);
    // Away it is a subscriber still, until its session is over.
    alice.disconnect();
    expect(&mut watcher, 3, 2, 2);
    let mut alice = broker.client(Version::V5, "alice");
    expect(&mut watcher, 3, 1, 1);
    alice.subscribe("a", 1);
    alice.cut();
    expect(&mut watcher, 2, 1, 1);
    two_rounds(&broker);
    expect(&mut watcher, 2, 1, 1);
}
