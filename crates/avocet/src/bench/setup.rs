//! Brings the clients of a run to where messages can flow.

use anyhow::{Context, bail};
use avocet_mqtt::{
    Connect, Packet, PacketId, ProtocolVersion, QoS, Subscribe, Subscription, SubscriptionOptions,
    UserProperties,
};

use super::{link::Link, load::Load};
use crate::client::connection::{ANSWER_TIMEOUT, Connection, refusal};

/// Connects publishers, then subscribers, which also subscribe.
pub(super) fn links(load: &Load) -> anyhow::Result<Vec<Link>> {
    let publishers = (0..load.publishers()).map(|index| {
        let opened = open(load, index, &format!("bench-pub-{}-{index}", std::process::id()));
        opened.and_then(link).with_context(|| format!("publisher {index}"))
    });
    let subscribers = (0..load.subscribers()).map(|index| {
        let number = load.publishers() + index;
        let opened = open(load, number, &format!("bench-sub-{}-{index}", std::process::id()));
        let subscribed = opened.and_then(|connection| subscribe(load, connection, index));
        subscribed.and_then(link).with_context(|| format!("subscriber {index}"))
    });
    publishers.chain(subscribers).collect()
}

fn link(connection: Connection) -> anyhow::Result<Link> {
    let (socket, layers, rest) = connection.into_parts();
    Ok(Link::new(socket, layers, rest)?)
}

/// Client `number` of this process.
fn open(load: &Load, number: u32, client_id: &str) -> anyhow::Result<Connection> {
    let mut connect = Connect::new(load.version, client_id);
    connect.username = load.username.clone();
    connect.password = load.password.as_ref().map(|password| password.clone().into_bytes());
    let source = load.sources.of(number.into());
    let mut target = load.target.clone();
    target.source = source;
    let (connection, connack) = Connection::open(&target, connect)?;
    let is_5 = load.version == ProtocolVersion::V5;
    let allowed = connack.receive_maximum.map_or(u16::MAX, |maximum| maximum.get());
    if is_5 && load.qos != QoS::AtMostOnce && load.window > allowed {
        bail!("the broker takes no window above {allowed} (its Receive Maximum)");
    }
    Ok(connection)
}

fn subscribe(load: &Load, mut connection: Connection, index: u32) -> anyhow::Result<Connection> {
    let topic = load.topic(index);
    let filter = if load.is_fastlane { format!("$fastlane/{topic}") } else { topic };
    let options = SubscriptionOptions { qos: load.qos, ..SubscriptionOptions::default() };
    connection.send(&Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscription_identifier: None,
        user_properties: UserProperties::default(),
        subscriptions: vec![Subscription { filter: filter.clone(), options }],
    }))?;
    let deadline = std::time::Instant::now() + ANSWER_TIMEOUT;
    match connection.receive(Some(deadline))? {
        Some(Packet::Suback(suback)) => match suback.reasons.first() {
            Some(reason) if !reason.is_error() => Ok(connection),
            Some(reason) => {
                let what = format!("the broker refused the subscription to {filter}");
                bail!(refusal(&what, *reason, suback.reason_string))
            }
            None => bail!("the broker answered SUBSCRIBE without a reason code"),
        },
        Some(_) => bail!("the broker answered SUBSCRIBE with something else"),
        None => bail!("the broker does not answer SUBSCRIBE"),
    }
}
