//! `$SYS/brokers/...`: the broker tells about itself with the names EMQ X gave to it. Figures come
//! at an interval and are retained, so that who subscribes sees them at once; a client's coming and
//! going is told when it happens.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use avocet_mqtt::{ApplicationMessage, ProtocolVersion, Publish, QoS, Transit};
use avocet_session::DropReason;
use serde_json::{Value, json};
use tokio::time;
use tracing::{info, warn};

use crate::{
    Alarm, MetricsSnapshot,
    alarm::{self, Change},
    broker::Shared,
    mailbox::{FlushList, Mailbox},
    metrics::{ACKNOWLEDGEMENTS, DISCONNECT, PACKETS},
    publish,
    stall::Stall,
};

/// How often the node is looked at for alarms and stalls: at most one of each is told in that time.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Publishes the figures, and what somebody should look at, for as long as the broker runs.
pub(crate) async fn run(shared: Arc<Shared>, interval: Duration) {
    let started = Instant::now();
    let mut peaks = Peaks::default();
    let mut figures = time::interval(interval);
    let mut looks = time::interval(LOOK_INTERVAL);
    for ticks in [&mut figures, &mut looks] {
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    }
    loop {
        let is_look = tokio::select! {
            _ = figures.tick() => false,
            _ = looks.tick() => true,
        };
        let now = Instant::now();
        let mut list = FlushList::default();
        if is_look {
            look(&shared, &mut list, now);
        } else {
            tell_figures(&shared, &mut list, started, &mut peaks, now);
        }
        list.flush(&shared, now);
    }
}

fn tell_figures(
    shared: &Shared,
    list: &mut FlushList,
    started: Instant,
    peaks: &mut Peaks,
    now: Instant,
) {
    let mut say = |name: &str, value: &str| {
        tell(shared, list, &topic(shared, name), value, true, now);
    };
    say("version", env!("CARGO_PKG_VERSION"));
    say("sysdescr", "Avocet");
    say("uptime", &now.duration_since(started).as_secs().to_string());
    say("datetime", &humantime::format_rfc3339_seconds(SystemTime::now()).to_string());
    figures(shared, peaks, &mut say);
    counters(shared, &mut say);
    tell(shared, list, "$SYS/brokers", &shared.options.node, true, now);
}

/// Tells of alarms that begin or are over, and of the longest stall.
fn look(shared: &Shared, list: &mut FlushList, now: Instant) {
    for change in alarm::check(shared) {
        let (what, alarm, payload) = match &change {
            Change::Begun(alarm) => {
                warn!(id = %alarm.id, message = %alarm.message, "An alarm begins.");
                ("alert", alarm, begun(alarm))
            }
            Change::Over(alarm) => {
                info!(id = %alarm.id, "An alarm is over.");
                ("clear", alarm, over(alarm))
            }
        };
        let topic = topic(shared, &format!("alarms/{}/{what}", alarm.id));
        tell(shared, list, &topic, &payload.to_string(), false, now);
    }
    if let Some(Stall { shard, late }) = shared.stalls.take() {
        let late = late.as_millis();
        warn!(shard, late_ms = late, "A shard stood still.");
        let text = format!("long_schedule warning: shard = {shard}, late by {late} ms");
        tell(shared, list, &topic(shared, "sysmon/long_schedule"), &text, false, now);
    }
}

/// `id` to `ts` are EMQ X 2.x's, the others those of its successors, which tell times in
/// microseconds.
fn begun(alarm: &Alarm) -> Value {
    json!({
        "id": alarm.id,
        "severity": "warning",
        "title": alarm.id,
        "summary": alarm.message,
        "ts": since_1970(alarm.since).as_secs(),
        "name": alarm.id,
        "message": alarm.message,
        "details": {},
        "activate_at": micros(alarm.since),
        "deactivate_at": "infinity",
        "activated": true,
    })
}

fn over(alarm: &Alarm) -> Value {
    let now = SystemTime::now();
    json!({
        "id": alarm.id,
        "ts": since_1970(now).as_secs(),
        "name": alarm.id,
        "message": alarm.message,
        "details": {},
        "activate_at": micros(alarm.since),
        "deactivate_at": micros(now),
        "activated": false,
    })
}

/// The highest value seen of each `stats/` figure.
#[derive(Debug, Default)]
struct Peaks([u64; 7]);

fn figures(shared: &Shared, peaks: &mut Peaks, say: &mut impl FnMut(&str, &str)) {
    let routes = shared.router.stats();
    let connections = shared.metrics.connections_now();
    let subscribers = shared.metrics.subscribers.load(Ordering::Relaxed);
    let sessions = shared.metrics.sessions.load(Ordering::Relaxed);
    let now = [
        ("clients", connections),
        ("sessions", sessions),
        ("subscriptions", routes.subscriptions as u64),
        ("subscribers", subscribers),
        ("topics", routes.filters as u64),
        ("routes", routes.filters as u64),
        ("retained", shared.retained.len() as u64),
    ];
    for ((name, count), peak) in now.iter().zip(&mut peaks.0) {
        *peak = (*peak).max(*count);
        say(&format!("stats/{name}/count"), &count.to_string());
        say(&format!("stats/{name}/max"), &peak.to_string());
    }
}

fn counters(shared: &Shared, say: &mut impl FnMut(&str, &str)) {
    let metrics = MetricsSnapshot::take(shared);
    let mut count = |name: &str, value: u64| say(&format!("metrics/{name}"), &value.to_string());
    count("bytes/received", metrics.bytes_received);
    count("bytes/sent", metrics.bytes_sent);
    count("packets/received", metrics.packets_received.iter().sum());
    count("packets/sent", metrics.packets_sent.iter().sum());
    for (kind, name, received, sent) in PACKETS {
        // What goes one way only has one topic in EMQ X's list, without the direction.
        if received != sent {
            let counts = if received { metrics.packets_received } else { metrics.packets_sent };
            count(&format!("packets/{name}"), counts[kind]);
            continue;
        }
        if received {
            count(&format!("packets/{name}/received"), metrics.packets_received[kind]);
        }
        if sent {
            count(&format!("packets/{name}/sent"), metrics.packets_sent[kind]);
        }
    }
    // EMQ X knows this one from clients alone.
    count("packets/disconnect", metrics.packets_received[DISCONNECT]);
    for (kind, name, ..) in PACKETS.into_iter().filter(|(kind, ..)| ACKNOWLEDGEMENTS.contains(kind))
    {
        count(&format!("packets/{name}/missed"), metrics.packets_missed[kind]);
    }
    messages(shared, &metrics, &mut count);
}

fn messages(shared: &Shared, metrics: &MetricsSnapshot, count: &mut impl FnMut(&str, u64)) {
    count("messages/received", metrics.messages_received.iter().sum());
    count("messages/sent", metrics.messages_sent.iter().sum());
    count("messages/retained", shared.retained.len() as u64);
    // There are no other nodes yet.
    count("messages/forward", 0);
    count("messages/qos2/dropped", shared.drops.total_with(QoS::ExactlyOnce));
    // Who publishes what nobody wants has lost nothing.
    let lost = DropReason::ALL.iter().filter(|reason| **reason != DropReason::NoSubscribers);
    count("messages/dropped", lost.map(|reason| shared.drops.total(*reason)).sum());
    for reason in DropReason::ALL {
        count(&format!("messages/dropped/{reason}"), shared.drops.total(*reason));
    }
    for qos in 0..3 {
        count(&format!("messages/qos{qos}/received"), metrics.messages_received[qos]);
        count(&format!("messages/qos{qos}/sent"), metrics.messages_sent[qos]);
    }
}

/// A client has connected.
pub(crate) fn connected(shared: &Shared, list: &mut FlushList, mailbox: &Mailbox, now: Instant) {
    let topic = client_topic(shared, mailbox, "connected");
    if !shared.is_wanted(&topic) {
        return;
    }
    let text = {
        let inner = mailbox.lock();
        let peer = inner.link.as_ref().and_then(|link| link.peer.ip());
        json!({
            "clientid": &**mailbox.client_id(),
            "ipaddress": peer.map(|peer| peer.to_string()),
            "username": inner.link.as_ref().and_then(|link| link.username.as_deref()),
            "session": !inner.session.is_clean(),
            "protocol": inner.session.version().map(ProtocolVersion::level),
            "connack": 0,
            "ts": unix_seconds(),
        })
        .to_string()
    };
    tell(shared, list, &topic, &text, false, now);
}

/// A client's connection has ended.
pub(crate) fn disconnected(
    shared: &Shared,
    list: &mut FlushList,
    mailbox: &Mailbox,
    reason: &str,
    now: Instant,
) {
    let topic = client_topic(shared, mailbox, "disconnected");
    if shared.is_wanted(&topic) {
        let client_id = &**mailbox.client_id();
        let text = json!({ "clientid": client_id, "reason": reason, "ts": unix_seconds() });
        let text = text.to_string();
        tell(shared, list, &topic, &text, false, now);
    }
}

fn client_topic(shared: &Shared, mailbox: &Mailbox, what: &str) -> String {
    topic(shared, &format!("clients/{}/{what}", mailbox.client_id()))
}

fn topic(shared: &Shared, name: &str) -> String {
    format!("$SYS/brokers/{}/{name}", shared.options.node)
}

fn tell(
    shared: &Shared,
    list: &mut FlushList,
    topic: &str,
    value: &str,
    retain: bool,
    now: Instant,
) {
    let mut publish = Publish::new(topic, value.as_bytes());
    publish.retain = retain;
    let message: Arc<ApplicationMessage> = Arc::clone(Transit::new(&publish, now).share());
    publish::publish_message(shared, list, &message, None, now);
}

fn unix_seconds() -> u64 {
    since_1970(SystemTime::now()).as_secs()
}

fn micros(time: SystemTime) -> u64 {
    u64::try_from(since_1970(time).as_micros()).unwrap_or(u64::MAX)
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
