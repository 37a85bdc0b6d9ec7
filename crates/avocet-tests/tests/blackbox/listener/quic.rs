//! QUIC: what is agreed at its beginning, and certificates that change. aioquic is on the other
//! side of each connection.

use avocet_tests::{Authority, Broker, Connect, Publish, Raw, Version, deadline, stream};

use super::{Bridge, NAME, V5, enter, has_quic, secure, start, try_enter};

/// A broker with a QUIC listener and these settings of it; nothing where one of the two is missing.
fn quic(authority: &Authority, settings: &[String]) -> Option<Broker> {
    if !has_quic() {
        return None;
    }
    let server = authority.server("server", &[NAME]);
    let mut all = secure("quic.a", &server).to_vec();
    all.extend(settings.iter().map(|setting| format!("listeners.quic.a.{setting}")));
    Some(start(&all))
}

/// Over this bridge nobody comes in.
#[track_caller]
fn expect_refusal(bridge: &Bridge) {
    let mut raw = Raw::over(bridge.stream(), V5);
    // aioquic drains a connection that has failed before it says so.
    raw.patience(deadline::SCENARIO);
    raw.send(&Connect::new(V5, "refused").bytes());
    raw.expect_close();
}

#[test]
fn client_that_speaks_something_else_or_does_not_know_the_authority_is_not_served() {
    let authority = Authority::new();
    let Some(broker) = quic(&authority, &[]) else { return };
    let bridge = |authority, more: &[&str]| Bridge::start(&broker, "quic.a", authority, more);
    let Some(good) = bridge(&authority, &[]) else { return };
    let mut alice = enter(good.stream(), &Connect::new(V5, "alice"));
    let other_protocol = bridge(&authority, &["h3"]).expect("it was there before");
    expect_refusal(&other_protocol);
    let stranger = bridge(&Authority::new(), &[]).expect("it was there before");
    expect_refusal(&stranger);
    alice.expect_nothing_before_pong();
}

#[test]
fn certificates_of_clients_are_looked_at_over_quic() {
    let authority = Authority::new();
    let settings = [
        "client_certificate=required".to_owned(),
        format!("client_ca={}", authority.file),
        format!("crls=[\"{}\"]", authority.revoke(&[13])),
        "allow_anonymous=false".to_owned(),
    ];
    let Some(broker) = quic(&authority, &settings) else { return };
    let bridge = |serial| {
        let shown = authority.client(&format!("client {serial}"), serial);
        Bridge::start(&broker, "quic.a", &authority, &["mqtt", &shown.certificate, &shown.key])
    };
    let Some(good) = bridge(12) else { return };
    enter(good.stream(), &Connect::new(V5, "alice")).disconnect();
    expect_refusal(&bridge(13).expect("it was there before"));
    let without = Bridge::start(&broker, "quic.a", &authority, &[]);
    expect_refusal(&without.expect("it was there before"));
}

#[test]
fn client_without_credentials_is_refused_over_quic_where_none_are_let_in() {
    let authority = Authority::new();
    let Some(broker) = quic(&authority, &["allow_anonymous=false".to_owned()]) else { return };
    let Some(bridge) = Bridge::start(&broker, "quic.a", &authority, &[]) else { return };
    for (version, code) in [(Version::V311, 5), (V5, 0x87)] {
        let (mut raw, connack) = try_enter(bridge.stream(), &Connect::new(version, "alice"));
        assert_eq!(connack.code, code);
        raw.expect_close();
    }
}

#[test]
fn new_certificate_is_shown_over_quic_after_sighup_and_the_connections_of_before_go_on() {
    let (before, after) = (Authority::new(), Authority::new());
    let Some(broker) = quic(&before, &[]) else { return };
    let bridge = |authority| Bridge::start(&broker, "quic.a", authority, &[]);
    let Some(old) = bridge(&before) else { return };
    let mut alice = enter(old.stream(), &Connect::new(V5, "alice"));
    let server = after.server("server", &[NAME]);
    for (name, path) in [("server.pem", &server.certificate), ("server.key", &server.key)] {
        before.write(name, &std::fs::read_to_string(path).expect("it was written"));
    }
    broker.reload("Read certificates again.");
    expect_refusal(&old);
    let new = bridge(&after).expect("it was there before");
    let mut bob = enter(new.stream(), &Connect::new(V5, "bob"));
    alice.subscribe("a", 1);
    bob.publish(&Publish::new("a", "x").qos(1, 1));
    alice.expect_message("a", "x", 1);
}

#[test]
fn client_that_sends_no_connect_in_time_is_closed_over_quic() {
    let authority = Authority::new();
    let Some(broker) = quic(&authority, &["connect_timeout=500ms".to_owned()]) else { return };
    let Some(bridge) = Bridge::start(&broker, "quic.a", &authority, &[]) else { return };
    let mut in_time = enter(bridge.stream(), &Connect::new(V5, "in time"));
    // The stream opens with its first byte.
    let mut silent = Raw::over(bridge.stream(), V5);
    let mut half = Raw::over(Box::new(stream::tcp(bridge.address)), V5);
    half.send(&Connect::new(V5, "half").bytes()[..9]);
    silent.expect_close();
    half.receive_bytes_to_the_end();
    in_time.expect_nothing_before_pong();
}
