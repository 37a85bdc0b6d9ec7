//! `/metrics`, `/healthz` and `/readyz`: what they tell, and that nobody can hold the listener.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use avocet_tests::{Broker, Connect, Properties, Publish, Raw, Version, deadline, foreign};

const V5: Version = Version::V5;

/// In place of a status: the connection is closed without an answer.
const NOTHING: &str = "nothing";

/// A connection to the HTTP listener.
pub(crate) struct Asking(TcpStream);

impl Asking {
    pub(crate) fn open(broker: &Broker) -> Self {
        Self::open_at(broker.listener("http"))
    }

    fn open_at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the listener is open");
        stream.set_read_timeout(Some(deadline::ANSWER)).expect("a socket takes its options");
        Self(stream)
    }

    /// Sends bytes. That the broker has closed meanwhile is seen when reading.
    fn send(&mut self, bytes: &[u8]) {
        drop(self.0.write_all(bytes));
    }

    /// Asks and returns the status, or nothing when the connection is closed in place of an answer.
    pub(crate) fn ask(&mut self, path: &str) -> Option<u16> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: broker\r\n\r\n").as_bytes());
        let mut answer = String::new();
        let mut byte = [0];
        while !answer.ends_with("\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1..) => answer.push(char::from(byte[0])),
                Ok(0) => return None,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer to {path}: {error}"),
            }
        }
        let length = answer.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|text| text.parse().ok()).expect("a length");
        self.0.read_exact(&mut vec![0; length]).expect("the body has its length");
        answer.split(' ').nth(1)?.parse().ok()
    }

    /// What comes until the broker closes, which it has to.
    #[track_caller]
    fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                panic!("neither closed nor reset: {error}")
            }
            Ok(_) | Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}

/// The numbers of `/metrics` as Prometheus' own parser reads them, by name and label; nothing where
/// the parser is not installed.
#[track_caller]
fn scrape(broker: &Broker) -> Option<BTreeMap<String, u64>> {
    let mut command = foreign::python("with_prometheus.py")?;
    let address = broker.listener("http");
    command.args([&address.ip().to_string(), &address.port().to_string()]);
    let printed = foreign::run(&mut command);
    let number = |line: &str| {
        let (name, number) = line.rsplit_once(' ').expect("a name and a number");
        (name.to_owned(), number.parse().expect("a number"))
    };
    Some(printed.lines().map(number).collect())
}

/// Scrapes until the numbers are these: what a turn counted is added at its end.
#[track_caller]
fn expect_numbers(broker: &Broker, expected: &[(&str, u64)]) {
    let mut last = BTreeMap::new();
    let all = deadline::poll(deadline::ANSWER, || {
        let Some(numbers) = scrape(broker) else { return Some(()) };
        last = numbers;
        expected.iter().all(|(name, number)| last.get(*name) == Some(number)).then_some(())
    });
    let differ = expected.iter().filter(|(name, number)| last.get(*name) != Some(number));
    assert!(all.is_some(), "not {:?} in {last:#?}", differ.collect::<Vec<_>>());
}

/// The labels of a metric.
fn labels(numbers: &BTreeMap<String, u64>, name: &str) -> BTreeSet<String> {
    let of_it = numbers.keys().filter_map(|key| key.strip_prefix(name)?.split_once('='));
    of_it.map(|(_, value)| value.to_owned()).collect()
}

#[test]
fn every_reason_and_packet_type_is_there_at_zero_with_the_names_of_sys() {
    let broker = Broker::start(&["sys.interval=100ms"]);
    let Some(numbers) = scrape(&broker) else { return };
    let reasons = labels(&numbers, "avocet_messages_dropped_total");
    for reason in &reasons {
        // Nobody subscribes to what the broker tells about itself.
        if reason != "no_subscribers" {
            let name = format!("avocet_messages_dropped_total reason={reason}");
            assert_eq!(numbers[&name], 0, "{reason}");
        }
    }
    let mut alice = broker.client(V5, "alice");
    alice.subscribe("$SYS/brokers/+/metrics/messages/dropped/+", 0);
    let mut told = BTreeSet::new();
    while told.len() < reasons.len() {
        let topic = alice.expect_publish().topic;
        told.insert(topic.rsplit('/').next().unwrap_or_default().to_owned());
    }
    assert_eq!(told, reasons);
    let sent = labels(&numbers, "avocet_packets_sent_total");
    let received = labels(&numbers, "avocet_packets_received_total");
    let set = |names: &str| names.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    let acks = "publish puback pubrec pubrel pubcomp disconnect auth";
    assert_eq!(received, set(&format!("connect subscribe unsubscribe pingreq {acks}")));
    assert_eq!(sent, set(&format!("connack suback unsuback pingresp {acks}")));
}

#[test]
fn traffic_and_drops_are_counted() {
    let broker = Broker::start(&["session.max_queue_messages=3"]);
    let mut alice = broker.connect(&Connect::resume(V5, "alice"));
    alice.subscribe("a", 1);
    alice.disconnect();
    let mut bob = broker.client(V5, "bob");
    for id in 1..=5 {
        bob.publish(&Publish::new("a", id.to_string()).qos(1, id));
    }
    bob.publish(&Publish::new("nobody", "x").qos(2, 6));
    bob.publish(&Publish::new("kept", "12345").retain());
    bob.publish(&Publish::new("$delayed/600/later", "x").qos(1, 7));
    bob.expect_nothing_before_pong();
    let mut carol = broker.open(V5);
    carol.send(&[0xff; 8]);
    carol.expect_close();
    expect_numbers(
        &broker,
        &[
            ("avocet_messages_dropped_total reason=queue_full", 2),
            ("avocet_messages_dropped_total reason=no_subscribers", 2),
            ("avocet_messages_dropped_total reason=refused", 0),
            ("avocet_connections_accepted_total", 3),
            ("avocet_connections", 1),
            ("avocet_connections_refused_total", 0),
            ("avocet_connections_panicked_total", 0),
            ("avocet_sessions", 2),
            ("avocet_subscriptions", 1),
            ("avocet_filters", 1),
            ("avocet_packets_malformed_total", 1),
            ("avocet_packets_received_total type=connect", 2),
            ("avocet_packets_received_total type=publish", 8),
            ("avocet_packets_received_total type=subscribe", 1),
            ("avocet_packets_sent_total type=connack", 2),
            ("avocet_packets_sent_total type=puback", 6),
            ("avocet_packets_sent_total type=pubcomp", 1),
            ("avocet_messages_received_total qos=0", 1),
            ("avocet_messages_received_total qos=1", 6),
            ("avocet_messages_received_total qos=2", 1),
            ("avocet_messages_sent_total qos=1", 0),
            ("avocet_retained_messages", 1),
            ("avocet_delayed_messages", 1),
            // Topic, payload and 64 for each of the three that wait.
            ("avocet_queue_bytes", 3 * 66),
        ],
    );
    let mut alice = broker.connect(&Connect::resume(V5, "alice"));
    for _ in 0..3 {
        let message = alice.expect_publish();
        alice.acknowledge(&message);
    }
    expect_numbers(
        &broker,
        &[
            ("avocet_queue_bytes", 0),
            ("avocet_connections", 2),
            ("avocet_messages_sent_total qos=1", 3),
            ("avocet_packets_received_total type=puback", 3),
        ],
    );
}

#[test]
fn urllib_gets_what_is_there_and_short_answers_for_the_rest() {
    let Some(mut command) = foreign::python("with_urllib.py") else { return };
    let broker = Broker::start(&[]);
    let address = broker.listener("http");
    command.args([&address.ip().to_string(), &address.port().to_string(), "1.1"]);
    let printed = foreign::run(&mut command);
    assert!(printed.lines().any(|line| line.starts_with("OK ")), "no OK line: {printed}");
    assert!(!broker.log().contains("panicked"), "{}", broker.log());
}

#[test]
fn bytes_that_are_no_request_are_refused_and_nothing_ends() {
    let broker = Broker::start(&[]);
    let long_name = format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    let many_names = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1_000));
    let cases: [(&[u8], &[&str]); 8] = [
        (b"garbage\r\n\r\n", &["400"]),
        (b"GET /metrics\r\n\r\n", &["400"]),
        (b"GET /metrics HTTP/9.9\r\n\r\n", &["400"]),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n", &["400"]),
        (&[0xff; 4096], &["400"]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &["400", "505", NOTHING]),
        (long_name.as_bytes(), &["431"]),
        (many_names.as_bytes(), &["431", "400"]),
    ];
    for (bytes, statuses) in cases {
        let mut asking = Asking::open(&broker);
        asking.send(bytes);
        let answer = asking.rest();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
        let status = answer.split(' ').nth(1).unwrap_or(NOTHING);
        // What was not read when the connection is closed may take the answer with it.
        let is_lost = status == NOTHING && bytes.len() > 10_000;
        assert!(is_lost || statuses.contains(&status), "{shown:?} is answered with {answer:?}");
    }
    // A CONNECT at the wrong door.
    let mut asking = Asking::open(&broker);
    asking.send(&Connect::new(V5, "alice").bytes());
    assert!(asking.rest().starts_with("HTTP/1.1 400 "));
    assert_eq!(Asking::open(&broker).ask("/healthz"), Some(200));
    assert!(!broker.log().contains("panicked"), "{}", broker.log());
}

#[test]
fn connection_that_sends_no_whole_request_is_closed() {
    let broker = Broker::start(&["http.request_timeout=1s"]);
    for begun in ["", "G", "GET /metrics HTTP/1.1\r\nHost: b"] {
        let mut asking = Asking::open(&broker);
        asking.send(begun.as_bytes());
        let answer = asking.rest();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    }
    let mut idle = Asking::open(&broker);
    assert_eq!(idle.ask("/healthz"), Some(200));
    assert_eq!(idle.rest(), "", "closed when it is idle");
}

#[test]
fn connection_that_is_always_busy_is_closed_when_it_is_old() {
    let broker = Broker::start(&["http.max_connection_age=1s"]);
    let mut asking = Asking::open(&broker);
    assert_eq!(asking.ask("/healthz"), Some(200));
    let closed = deadline::poll(deadline::ANSWER, || match asking.ask("/healthz") {
        Some(200) => None,
        other => Some(other),
    });
    assert_eq!(closed, Some(None), "goes on for ever");
    assert_eq!(Asking::open(&broker).ask("/healthz"), Some(200));
}

#[test]
fn connection_that_does_not_read_its_answers_is_closed() {
    let broker = Broker::start(&["http.max_connection_age=100ms", "http.request_timeout=100ms"]);
    let mut asking = Asking::open(&broker);
    asking.0.set_nonblocking(true).expect("a socket takes its options");
    let request = "GET /metrics HTTP/1.1\r\nHost: broker\r\n\r\n".repeat(100);
    let ended = deadline::poll(deadline::ANSWER, || match asking.0.write(request.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Some(error.kind()),
        Ok(_) | Err(_) => None,
    });
    assert!(ended.is_some(), "it may send for ever");
}

#[test]
fn connections_beyond_the_bound_are_closed_at_once() {
    let broker = Broker::start(&["http.max_connections=2"]);
    let mut held = [Asking::open(&broker), Asking::open(&broker)];
    for asking in &mut held {
        assert_eq!(asking.ask("/healthz"), Some(200));
    }
    assert_eq!(Asking::open(&broker).rest(), "");
    drop(held);
    let again = deadline::poll(deadline::ANSWER, || Asking::open(&broker).ask("/healthz"));
    assert_eq!(again, Some(200), "there is room again");
}

#[test]
fn broker_that_stops_is_not_ready_and_still_well() {
    let mut broker = Broker::start(&[]);
    // Who does not read is waited for, for a while.
    let mut slow = broker.client(V5, "slow");
    assert_eq!(slow.try_subscribe("$fastlane/a", 0), 0);
    publish_20_mb(&mut broker.client(V5, "bob"));
    let address = broker.listener("http");
    assert_eq!(Asking::open_at(address).ask("/readyz"), Some(200));
    let mut asking = Asking::open_at(address);
    assert_eq!(asking.ask("/readyz"), Some(200));
    broker.terminate();
    let stopping =
        deadline::poll(deadline::ANSWER, || asking.ask("/readyz").filter(|status| *status != 200));
    assert_eq!(stopping, Some(503));
    assert_eq!(asking.ask("/healthz"), Some(200));
    assert_eq!(asking.ask("/metrics"), Some(200));
    drop(slow);
    assert_eq!(broker.exit_code(), Some(0));
    assert!(!broker.log().contains("panicked"), "{}", broker.log());
}

#[test]
fn listener_that_is_not_enabled_is_not_there_and_the_broker_serves() {
    let broker = Broker::start(&["http.enable=false"]);
    assert!(!broker.ready().contains("http="), "{}", broker.ready());
    broker.client(V5, "alice").expect_nothing_before_pong();
}

#[test]
fn listener_beyond_loopback_answers_when_it_was_told_to() {
    let broker = Broker::start(&["http.bind=0.0.0.0:0", "http.allow_anonymous=true"]);
    let port = broker.listener("http").port();
    let mut asking = Asking::open_at(([127, 0, 0, 1], port).into());
    assert_eq!(asking.ask("/metrics"), Some(200));
}

/// More than the buffers of the system hold. Returns how many bytes went at once.
fn publish_20_mb(bob: &mut Raw) -> u64 {
    let batch = Publish::new("a", "x".repeat(1000)).bytes(V5).repeat(20);
    for _ in 0..1000 {
        bob.send(&batch);
        bob.expect_nothing_before_pong();
    }
    batch.len() as u64
}

/// What connections do not take is memory of the node, and bounded with its queues.
#[test]
fn bytes_that_connections_do_not_take_count_for_the_node() {
    const BOUND: u64 = 100_000;
    const SLOW: u64 = 8;
    let broker = Broker::start(&[&format!("session.max_node_queue_bytes={BOUND}")]);
    let slow: Vec<Raw> = (0..SLOW)
        .map(|number| {
            let mut slow = broker.client(V5, &format!("slow {number}"));
            assert_eq!(slow.try_subscribe("$fastlane/a", 0), 0);
            slow
        })
        .collect();
    let batch = publish_20_mb(&mut broker.client(V5, "bob"));
    let Some(numbers) = scrape(&broker) else { return };
    let held = numbers["avocet_queue_bytes"];
    let last_turns = SLOW * 2 * batch;
    assert!((BOUND..=BOUND + last_turns).contains(&held), "{held} bytes");
    drop(slow);
    expect_numbers(&broker, &[("avocet_queue_bytes", 0)]);
}

/// Whatever ends a connection is counted by its reason.
#[test]
fn ends_of_connections_are_counted_by_reason() {
    let broker = Broker::start(&["listeners.tcp.default.connect_timeout=500ms"]);
    let end = |bytes: &[u8]| {
        let mut alice = broker.client(V5, "alice");
        alice.send(bytes);
        alice.expect_ending();
    };
    end(&Connect::new(V5, "alice").bytes());
    end(&[0x82, 9, 0, 1, 0, 0, 3, b'a', b'#', b'b', 0]);
    end(&[0x00, 0]);
    end(&[0xF0, 0]);
    broker.client(V5, "bob").disconnect();
    broker.client(V5, "carol").cut();
    broker.open(V5).expect_close();
    let method = Properties::new().counted(0x15, "none");
    let refused = Connect::new(V5, "dave").properties(method);
    assert_eq!(broker.refusal(V5, &refused.bytes()), Some(0x8C));
    expect_numbers(
        &broker,
        &[
            ("avocet_connections_ended_total reason=protocol error", 2),
            ("avocet_connections_ended_total reason=topic filter invalid", 1),
            ("avocet_connections_ended_total reason=malformed packet", 1),
            ("avocet_connections_ended_total reason=client left", 1),
            ("avocet_connections_ended_total reason=connection lost", 1),
            ("avocet_connections_ended_total reason=no CONNECT in time", 1),
            ("avocet_connections_ended_total reason=bad authentication method", 1),
        ],
    );
}
