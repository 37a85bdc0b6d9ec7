//! What a listener bounds, the options of its sockets, and listeners beside one another.

use std::{
    io::Read,
    time::{Duration, Instant},
};

use avocet_tests::{
    Authority, Broker, Connect, Publish, Raw, Stream, deadline,
    stream::{self, Web},
};

use super::{Everywhere, NAME, Transport, V5, enter, expect_metric, secure, start, tls};

/// Those of different kinds do not count together.
#[test]
fn connections_of_each_listener_are_bounded() {
    let kinds = ["tcp.default", "tls.a", "ws.a", "wss.a", "unix.a"];
    let settings = kinds.map(|kind| format!("listeners.{kind}.max_connections=1"));
    let everywhere = Everywhere::start(&settings.each_ref().map(String::as_str));
    let transports = [Transport::Tcp, Transport::Tls13, Transport::Ws, Transport::Wss];
    let transports: Vec<_> = transports.into_iter().chain([Transport::Unix]).collect();
    let connect = |transport: Transport| {
        everywhere.client(transport, &Connect::new(V5, format!("{transport:?}")))
    };
    let mut first: Vec<Raw> = transports.iter().map(|transport| connect(*transport)).collect();
    for kind in kinds {
        let mut second: Box<dyn Stream> = if kind == "unix.a" {
            Box::new(stream::unix(&everywhere.broker.file(kind)))
        } else {
            Box::new(everywhere.socket(kind))
        };
        // Closed before it says anything.
        let mut answer = Vec::new();
        second.read_to_end(&mut answer).expect("it ends within a deadline");
        assert_eq!(answer, [], "{kind}");
    }
    expect_metric(&everywhere.broker, "avocet_connections_refused_total", 5);
    for raw in &mut first {
        raw.expect_nothing_before_pong();
    }
    for (raw, transport) in first.into_iter().zip(transports) {
        raw.disconnect();
        if transport == Transport::Tcp {
            // When the place is free is seen only by trying.
            let entered = deadline::poll(deadline::ANSWER, || {
                let mut raw = everywhere.broker.open(V5);
                raw.send(&Connect::new(V5, "again").bytes());
                raw.receive_or_close()
            });
            assert!(entered.is_some(), "no place is free");
        }
    }
}

#[test]
fn streams_of_a_quic_listener_are_bounded() {
    let everywhere = Everywhere::start(&[]);
    if everywhere.quic.is_none() {
        return;
    }
    let bounded = Everywhere::start(&["listeners.quic.a.max_connections=1"]);
    let Some(bridge) = &bounded.quic else { return };
    let mut first = enter(bridge.stream(), &Connect::new(V5, "first"));
    let mut second = Raw::over(bridge.stream(), V5);
    second.send(&Connect::new(V5, "second").bytes());
    second.expect_close();
    first.expect_nothing_before_pong();
}

const RATE: u32 = 20;

/// Time is the subject: never more than the rate allows, and all in the end.
fn check_rate(name: &str, enter: impl Fn(&Connect) -> Raw) {
    const COUNT: u32 = 16;
    let begun = Instant::now();
    let mut clients = Vec::new();
    for number in 1..=COUNT {
        clients.push(enter(&Connect::new(V5, format!("{name} {number}"))));
        // A tenth of a second is worth two, and some were due before the first came.
        let allowed = begun.elapsed().as_secs_f64() * f64::from(RATE) + 6.0;
        assert!(f64::from(number) <= allowed, "{name}: {number} within {:?}", begun.elapsed());
    }
    assert!(begun.elapsed() < Duration::from_secs(u64::from(COUNT)), "{:?}", begun.elapsed());
}

#[test]
fn connections_come_in_at_the_rate_of_each_listener() {
    let kinds = ["tcp.default", "tls.a", "ws.a", "wss.a", "unix.a"];
    let settings = kinds.map(|kind| format!("listeners.{kind}.max_conn_rate={RATE}"));
    let everywhere = Everywhere::start(&settings.each_ref().map(String::as_str));
    let transports = [Transport::Tcp, Transport::Tls13, Transport::Ws, Transport::Wss];
    for transport in transports.into_iter().chain([Transport::Unix]) {
        let enter = |connect: &Connect| everywhere.client(transport, connect);
        check_rate(&format!("{transport:?}"), enter);
    }
}

#[test]
fn streams_come_in_at_the_rate_of_a_quic_listener() {
    let everywhere = Everywhere::start(&[]);
    if everywhere.quic.is_none() {
        return;
    }
    let setting = format!("listeners.quic.a.max_conn_rate={RATE}");
    let bounded = Everywhere::start(&[&setting]);
    let Some(bridge) = &bounded.quic else { return };
    check_rate("QUIC", |connect| enter(bridge.stream(), connect));
}

#[test]
fn deadline_of_connect_holds_for_every_kind_of_listener() {
    let kinds = ["tcp.default", "tls.a", "ws.a", "wss.a", "unix.a"];
    let settings = kinds.map(|kind| format!("listeners.{kind}.connect_timeout=500ms"));
    let everywhere = Everywhere::start(&settings.each_ref().map(String::as_str));
    let transports =
        [Transport::Tcp, Transport::Tls12, Transport::Tls13, Transport::Ws, Transport::Wss];
    let begun = Instant::now();
    let mut silent: Vec<Raw> = transports
        .into_iter()
        .chain([Transport::Unix])
        .map(|transport| Raw::over(everywhere.stream(transport), V5))
        .collect();
    for raw in &mut silent {
        raw.expect_close();
    }
    assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
    let ended = "avocet_connections_ended_total{reason=\"no CONNECT in time\"}";
    expect_metric(&everywhere.broker, ended, 6);
}

/// The fields of a socket's line in `/proc/net/tcp`, of those connected to this port.
fn sockets(broker: &Broker, port: u16) -> Vec<Vec<String>> {
    let id = broker.process_id().expect("the broker is ours");
    let table = std::fs::read_to_string(format!("/proc/{id}/net/tcp")).expect("the broker runs");
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let local = format!("0100007F:{port:04X}");
    table.lines().map(fields).filter(|it| it[1] == local && it[3] == "01").collect()
}

#[test]
fn options_of_tcp_are_taken() {
    let options = [
        "backlog=7",
        "nodelay=false",
        "sndbuf=64KiB",
        "recbuf=64KiB",
        "tcp_keepalive_idle=1h",
        "tcp_keepalive_interval=10s",
        "tcp_keepalive_count=9",
    ];
    let mut settings = vec!["listeners.tcp.a.bind=127.0.0.1:0".to_owned()];
    settings.extend(options.map(|option| format!("listeners.tcp.a.{option}")));
    let broker = start(&settings);
    let address = broker.listener("tcp.a");
    let mut alice = enter(Box::new(stream::tcp(address)), &Connect::new(V5, "alice"));
    alice.subscribe("a", 1);
    let mut bob = broker.client(V5, "bob");
    bob.publish(&Publish::new("a", vec![7; 300_000]).qos(1, 1));
    let seen = alice.expect_publish();
    assert_eq!(seen.payload.len(), 300_000);
    alice.acknowledge(&seen);
    alice.expect_nothing_before_pong();
    // The timer of keepalive has the number 2; none has 0. Others run while something is sent.
    let timer = |port| {
        deadline::poll(deadline::ANSWER, || {
            let found = sockets(&broker, port).first().map(|socket| socket[5][..2].to_owned());
            found.filter(|timer| timer == "00" || timer == "02")
        })
    };
    assert_eq!(timer(address.port()).as_deref(), Some("02"));
    assert_eq!(timer(broker.address().port()).as_deref(), Some("00"));
}

#[test]
fn listeners_of_one_kind_have_settings_of_their_own() {
    let authority = Authority::new();
    let [one, two] = ["one", "two"].map(|file| authority.server(file, &[NAME]));
    let mut settings = [secure("tls.one", &one), secure("tls.two", &two)].concat();
    settings.extend([
        "listeners.tls.two.client_certificate=required".to_owned(),
        format!("listeners.tls.two.client_ca={}", authority.file),
        "listeners.ws.one.bind=127.0.0.1:0".to_owned(),
        "listeners.ws.two.bind=127.0.0.1:0".to_owned(),
        "listeners.ws.two.path=/elsewhere".to_owned(),
        "listeners.tcp.two.bind=127.0.0.1:0".to_owned(),
        "listeners.tcp.two.allow_anonymous=false".to_owned(),
    ]);
    let broker = start(&settings);
    let shown = authority.client("client", 9);
    for (name, server, client) in [("tls.one", &one, None), ("tls.two", &two, Some(&shown))] {
        let stream = tls(&broker, name, &authority, client);
        assert_eq!(stream.certificate(), server.chain);
        enter(Box::new(stream), &Connect::new(V5, name)).disconnect();
    }
    let mut refused = tls(&broker, "tls.two", &authority, None);
    let error = refused.read(&mut [0]).expect_err("it wants a certificate");
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    let web = Web::open(Box::new(stream::tcp(broker.listener("ws.one"))));
    enter(Box::new(web), &Connect::new(V5, "web")).disconnect();
    let elsewhere = std::panic::catch_unwind(|| {
        Web::open(Box::new(stream::tcp(broker.listener("ws.two"))));
    });
    assert!(elsewhere.is_err(), "it is at another path");
    let mut raw = Raw::open(broker.listener("tcp.two"), V5);
    raw.send(&Connect::new(V5, "alice").bytes());
    assert_eq!(raw.expect_connack().code, 0x87);
    broker.client(V5, "alice").disconnect();
}

#[test]
fn listener_that_is_not_enabled_is_not_opened() {
    let broker = Broker::start(&[
        "listeners.tcp.default.enable=false",
        "listeners.tcp.a.bind=127.0.0.1:0",
        "listeners.ws.a.bind=127.0.0.1:0",
        "listeners.ws.a.enable=false",
        "listeners.unix.a.path=/nowhere/broker.sock",
        "listeners.unix.a.enable=false",
    ]);
    let there = ["tcp.default", "tcp.a", "ws.a", "unix.a"].map(|name| broker.has_listener(name));
    assert_eq!(there, [false, true, false, false], "{}", broker.ready());
    let stream = stream::tcp(broker.listener("tcp.a"));
    enter(Box::new(stream), &Connect::new(V5, "alice")).disconnect();
}
