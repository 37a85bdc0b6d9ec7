//! What can happen to a session, as `arbitrary` makes it of bytes.

use std::num::{NonZeroU16, NonZeroU32};

use arbitrary::Arbitrary;
use avocet_mqtt::{
    Ack, AckKind, Connect, Disconnect, OwnedProperties, Packet, PacketId, ProtocolVersion, Publish,
    QoS, ReasonCode, RetainHandling, Subscribe, Subscription, SubscriptionIdentifier,
    SubscriptionOptions, Unsubscribe, UserProperties, Will,
};
use avocet_session::{Budget, Limits, QueueFull};

/// What stands from the first to the last step.
#[derive(Arbitrary, Debug)]
pub(super) struct Setting {
    version: Version,
    inflight_max: u8,
    receive_maximum: u8,
    queue_messages_max: u8,
    small_budget: bool,
    refuse: bool,
    queue_qos0: bool,
    few_aliases: bool,
    pub(super) mountpoint: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Version {
    V3_1,
    V3_1_1,
    V5,
}

impl Setting {
    pub(super) fn version(&self) -> ProtocolVersion {
        match self.version {
            Version::V3_1 => ProtocolVersion::V3_1,
            Version::V3_1_1 => ProtocolVersion::V3_1_1,
            Version::V5 => ProtocolVersion::V5,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            packet_bytes_max: NonZeroU32::new(1 << 16).expect("not zero"),
            inflight_max: positive(self.inflight_max % 8),
            receive_maximum: positive(self.receive_maximum % 8),
            topic_alias_maximum: if self.few_aliases { 2 } else { 65_535 },
            outbound_topic_alias_maximum: if self.few_aliases { 1 } else { 64 },
            subscriptions_max: 4,
            queue_messages_max: usize::from(self.queue_messages_max % 16),
            queue_bytes_max: 20_000,
            queue_full: if self.refuse { QueueFull::Refuse } else { QueueFull::DropOldest },
            queue_qos0: self.queue_qos0,
            check_payload_format: self.few_aliases,
            budget: Budget::new(if self.small_budget { 2000 } else { 1 << 30 }),
            ..Limits::default()
        }
    }
}

fn positive(number: u8) -> NonZeroU16 {
    NonZeroU16::new(u16::from(number)).unwrap_or(NonZeroU16::MIN)
}

#[derive(Arbitrary, Debug)]
pub(super) enum Step<'a> {
    /// The client connects; a connection that it has is cut before.
    Connect(Connecting),
    /// The connection is cut.
    Cut,
    /// The client sends packets, so many of the same, one behind the other.
    Send { packet: Sent, count: u8 },
    /// The client sends any bytes.
    SendBytes(&'a [u8]),
    /// The client says what comes next of what it owes for the messages it got.
    Acknowledge { count: u8 },
    /// So many bytes of what the client has sent come in.
    Read { bytes: u8 },
    /// All of them.
    ReadAll,
    /// The broker has done with so many messages.
    Answer { count: u8, refused: bool },
    /// The broker has messages for the client.
    Bring { message: Message, count: u8, shared: bool, retained: bool, granted: Quality },
    /// The connection takes so many more messages, and the broker notices or does not yet.
    Room { count: u8, noticed: bool },
    /// Time passes.
    Wait { seconds: u8 },
    /// The broker ends the connection.
    Close,
    /// A subscription is taken away.
    Forget { filter: u8 },
}

#[derive(Arbitrary, Debug)]
pub(super) struct Connecting {
    clean_start: bool,
    window: u8,
    packet_bytes_max: u8,
    aliases: u8,
    expiry: u8,
    silent: bool,
    will: bool,
    keep_alive: u8,
    is_bridge: bool,
}

impl Connecting {
    pub(super) fn connect(&self, version: ProtocolVersion) -> Connect {
        let mut connect = Connect::new(version, "client");
        connect.clean_start = self.clean_start;
        connect.keep_alive = u16::from(self.keep_alive);
        if self.will {
            connect.will = Some(Will {
                topic: "will".to_owned(),
                payload: b"gone".to_vec(),
                qos: QoS::AtLeastOnce,
                retain: self.silent,
                delay_interval: u32::from(self.expiry),
                message_expiry_interval: None,
                properties: OwnedProperties::default(),
            });
        }
        if version < ProtocolVersion::V5 {
            connect.bridge = self.is_bridge;
            return connect;
        }
        connect.session_expiry_interval = (self.expiry > 0).then(|| u32::from(self.expiry));
        connect.receive_maximum = NonZeroU16::new(u16::from(self.window % 8));
        // From room for hardly a CONNACK to room for all but large messages.
        connect.maximum_packet_size = NonZeroU32::new(u32::from(self.packet_bytes_max) * 8);
        connect.topic_alias_maximum = u16::from(self.aliases % 4);
        connect.request_problem_information = !self.silent;
        connect
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Quality {
    Zero,
    One,
    Two,
}

impl Quality {
    pub(super) fn qos(self) -> QoS {
        match self {
            Self::Zero => QoS::AtMostOnce,
            Self::One => QoS::AtLeastOnce,
            Self::Two => QoS::ExactlyOnce,
        }
    }
}

/// A message of whoever publishes it.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) quality: Quality,
    retain: bool,
    topic: u8,
    len: u8,
    expiry: u8,
}

const TOPICS: [&str; 6] = ["a", "a/b", "sensors/kitchen/temperature", "$delayed/1/a", "", "+"];
const FILTERS: [&str; 6] = ["a", "a/+", "#", "$share/g/a", "$fastlane/a", "a/#/b"];
const PAYLOAD: [u8; 9000] = [b'p'; 9000];

impl Message {
    pub(super) fn publish(&self) -> Publish<'static> {
        // Larger than what is copied, now and then.
        let len = if self.len > 240 { 8180 + usize::from(self.len) } else { usize::from(self.len) };
        let mut publish = Publish::new(TOPICS[usize::from(self.topic) % 3], &PAYLOAD[..len]);
        publish.qos = self.quality.qos();
        publish.retain = self.retain;
        publish.message_expiry_interval = (self.expiry > 200).then(|| u32::from(self.expiry) - 200);
        publish
    }
}

#[derive(Arbitrary, Debug)]
pub(super) enum Sent {
    Publish { message: Message, id: u8, dup: bool, topic: u8, alias: u8 },
    Ack { kind: Acknowledging, id: u8, refused: bool },
    Subscribe { id: u8, filter: u8, granted: Quality, options: u8 },
    Unsubscribe { id: u8, filter: u8 },
    Ping,
    Disconnect { with_will: bool },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Acknowledging {
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
}

impl Acknowledging {
    fn kind(self) -> AckKind {
        match self {
            Self::Puback => AckKind::Puback,
            Self::Pubrec => AckKind::Pubrec,
            Self::Pubrel => AckKind::Pubrel,
            Self::Pubcomp => AckKind::Pubcomp,
        }
    }
}

/// The identifier, counted on where the same packet is sent several times.
fn packet_id(id: u8, number: u8) -> PacketId {
    PacketId::new(u16::from((id % 16).wrapping_add(number))).unwrap_or(PacketId::MIN)
}

impl Sent {
    /// The packet, the `number`th of its kind.
    pub(super) fn packet(&self, number: u8) -> Packet<'static> {
        match self {
            Self::Publish { message, id, dup, topic, alias } => {
                let mut publish = message.publish();
                publish.topic = TOPICS[usize::from(*topic) % TOPICS.len()];
                let numbered = publish.qos != QoS::AtMostOnce;
                publish.packet_id = numbered.then(|| packet_id(*id, number));
                publish.dup = *dup && numbered;
                publish.topic_alias = NonZeroU16::new(u16::from(alias % 4));
                Packet::Publish(publish)
            }
            Self::Ack { kind, id, refused } => {
                let kind = kind.kind();
                let first = matches!(kind, AckKind::Puback | AckKind::Pubrec);
                let reason = match (refused, first) {
                    (false, _) => ReasonCode::Success,
                    (true, true) => ReasonCode::NotAuthorized,
                    (true, false) => ReasonCode::PacketIdentifierNotFound,
                };
                ack(kind, packet_id(*id, number), reason)
            }
            Self::Subscribe { id, filter, granted, options } => Packet::Subscribe(Subscribe {
                packet_id: packet_id(*id, number),
                subscription_identifier: SubscriptionIdentifier::new(u32::from(options >> 4)),
                user_properties: UserProperties::default(),
                subscriptions: vec![Subscription {
                    filter: filter_text(*filter).to_owned(),
                    options: SubscriptionOptions {
                        qos: granted.qos(),
                        no_local: options & 1 != 0,
                        retain_as_published: options & 2 != 0,
                        retain_handling: RetainHandling::Send,
                    },
                }],
            }),
            Self::Unsubscribe { id, filter } => Packet::Unsubscribe(Unsubscribe {
                packet_id: packet_id(*id, number),
                user_properties: UserProperties::default(),
                filters: vec![filter_text(*filter).to_owned()],
            }),
            Self::Ping => Packet::Pingreq,
            Self::Disconnect { with_will } => {
                let will = ReasonCode::DisconnectWithWill;
                let reason = if *with_will { will } else { ReasonCode::Success };
                Packet::Disconnect(Box::new(Disconnect::new(reason)))
            }
        }
    }
}

pub(super) fn filter_text(filter: u8) -> &'static str {
    FILTERS[usize::from(filter) % FILTERS.len()]
}

pub(super) fn ack(kind: AckKind, id: PacketId, reason: ReasonCode) -> Packet<'static> {
    let ack = Ack::new(id, reason);
    match kind {
        AckKind::Puback => Packet::Puback(ack),
        AckKind::Pubrec => Packet::Pubrec(ack),
        AckKind::Pubrel => Packet::Pubrel(ack),
        AckKind::Pubcomp => Packet::Pubcomp(ack),
    }
}
