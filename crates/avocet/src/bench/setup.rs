//! Brings the clients of a run to where messages can flow, and says why they do not.

use anyhow::{Context, bail};
use avocet_mqtt::{
    Codec, Connack, Connect, Packet, PacketId, ProtocolVersion, QoS, Subscribe, Subscription,
    SubscriptionOptions, UserProperties,
};

use super::{
    link::Link,
    load::{Load, Rate},
};
use crate::client::connection::{ANSWER_TIMEOUT, Connection, refusal};

/// How long sessions stay should this process be killed, in seconds; 5.0 only.
const SESSION_EXPIRY: u32 = 3600;

/// How long sessions stay that nobody comes back to, in seconds; 5.0 only.
const SHORT_EXPIRY: u32 = 10;

type Dialed = anyhow::Result<(Connection, Connack)>;

/// Connects publishers, then subscribers, which also subscribe. Also answers how many messages the
/// broker takes of each before it acknowledges them.
pub(super) fn links(load: &Load) -> anyhow::Result<(Vec<Link>, u16)> {
    let mut receive_maximum = u16::MAX;
    let publishers = (0..load.publishers()).map(|index| {
        let connect = connect(load, &format!("bench-pub-{}-{index}", std::process::id()));
        let opened = open(load, index, connect);
        let link = opened.and_then(|(connection, maximum)| {
            receive_maximum = receive_maximum.min(maximum);
            link(connection)
        });
        link.with_context(|| format!("publisher {index}"))
    });
    let subscribers = if load.is_stored() { 0 } else { load.subscribers() };
    let subscribers = (0..subscribers).map(|index| {
        let number = load.publishers() + index;
        let mut connect = connect(load, &format!("bench-sub-{}-{index}", std::process::id()));
        connect.session_expiry_interval = Some(SHORT_EXPIRY).filter(|_| load.is_lasting);
        let opened = open(load, number, connect);
        let subscribed = opened.and_then(|(connection, _)| subscribe(load, connection, index));
        subscribed.and_then(link).with_context(|| format!("subscriber {index}"))
    });
    let links = publishers.chain(subscribers).collect::<anyhow::Result<_>>()?;
    Ok((links, receive_maximum))
}

fn link(connection: Connection) -> anyhow::Result<Link> {
    let (socket, layers, rest) = connection.into_parts();
    Ok(Link::new(socket, layers, rest)?)
}

/// A CONNECT for a session that ends with the connection.
pub(super) fn connect(load: &Load, client_id: &str) -> Connect {
    let mut connect = Connect::new(load.version, client_id);
    // No pings are sent, and some brokers refuse zero.
    connect.keep_alive = u16::MAX;
    connect.username = load.username.clone();
    connect.password = load.password.as_ref().map(|password| password.clone().into_bytes());
    connect
}

/// A CONNECT for a session that outlives the connection.
pub(super) fn connect_lasting(load: &Load, client_id: &str) -> Connect {
    let mut connect = connect(load, client_id);
    connect.clean_start = false;
    if load.version == ProtocolVersion::V5 {
        connect.session_expiry_interval = Some(SESSION_EXPIRY);
    }
    connect
}

/// Client `number` of this process.
pub(super) fn dial(load: &Load, number: u32, connect: Connect) -> Dialed {
    let mut target = load.target.clone();
    target.source = load.sources.of(number.into());
    Connection::open(&target, connect)
}

/// The same, and how much the broker takes of it.
fn open(load: &Load, number: u32, connect: Connect) -> anyhow::Result<(Connection, u16)> {
    let (connection, connack) = dial(load, number, connect)?;
    let is_5 = load.version == ProtocolVersion::V5;
    let allowed = connack.receive_maximum.map_or(u16::MAX, |maximum| maximum.get());
    let is_closed_loop = !matches!(load.rate, Rate::Open(_));
    let is_bound = is_5 && load.qos != QoS::AtMostOnce && is_closed_loop;
    if is_bound && load.window > allowed {
        bail!("the broker takes no window above {allowed} (its Receive Maximum)");
    }
    Ok((connection, allowed))
}

/// Subscribes to what subscriber `index` is to hear.
pub(super) fn subscribe(
    load: &Load,
    mut connection: Connection,
    index: u32,
) -> anyhow::Result<Connection> {
    let filter = load.filter(index);
    let filter = if load.is_fastlane { format!("$fastlane/{filter}") } else { filter };
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

/// What a DISCONNECT says.
pub(super) fn farewell(version: ProtocolVersion, bytes: &[u8]) -> String {
    match Codec::with_version(version, u32::MAX).decode(bytes) {
        Ok(Some((Packet::Disconnect(disconnect), _))) => {
            let reason = disconnect.reason;
            match disconnect.reason_string {
                Some(text) => format!("the broker disconnects: {reason}: {text}"),
                None => format!("the broker disconnects: {reason}"),
            }
        }
        _ => "the broker disconnects".to_owned(),
    }
}
