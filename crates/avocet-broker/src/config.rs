//! The sections of the configuration that the broker owns, and what they become.

mod listeners;
mod mountpoint;

use std::{collections::BTreeMap, num::NonZeroU16, num::NonZeroU32, time::Duration};

use avocet_config::{Check, Size, choice, settings};
use avocet_mqtt::{QoS, ReasonCode};
use avocet_router::{Overlap, Strategy};
use avocet_session::{Budget, Limits, QueueFull};

#[cfg(feature = "quic")]
pub use self::listeners::QuicListenerConfig;
pub use self::listeners::{
    AdmissionConfig, CertificateConfig, ClientCertificateChoice, ListenersConfig, SocketConfig,
    TcpListenerConfig, TlsConfig, TlsListenerConfig, TlsVersionChoice, UnixListenerConfig,
    WebSocketConfig, WsListenerConfig, WssListenerConfig,
};
pub use self::mountpoint::MountpointText;
use crate::Options;

settings! {
    /// This node.
    pub struct NodeConfig {
        /// The node's name, which stands in `$SYS/brokers/NAME/`: any text that is not empty and
        /// has no space, `/`, `+` or `#` in it.
        pub name: String = "avocet@localhost".to_owned(),
        /// Where the node keeps its files. One node at a time can use it.
        pub data_dir: std::path::PathBuf = "./avocet-data".into(),
        /// Threads that serve connections; 0 = one for each core.
        pub shards: u16 = 0, in 0..=1024,
    }
    validate = NodeConfig::check;
}

impl NodeConfig {
    fn check(&self, check: &mut Check<'_>) {
        if self.name.is_empty()
            || self.name.contains(|c: char| c.is_whitespace() || "/+#".contains(c))
        {
            check.mistake("name", "must be a text without spaces, '/', '+' and '#'");
        }
    }
}

choice! {
    /// Several subscriptions of one client match a message.
    pub enum OverlapChoice {
        /// One copy, with the highest QoS and all identifiers.
        Merge = "merge",
        /// One copy for each subscription.
        PerSubscription = "per_subscription",
    }
}

choice! {
    /// How a shared subscription chooses among its connected members.
    pub enum StrategyChoice {
        /// Each in turn.
        RoundRobin = "round_robin",
        /// By chance.
        Random = "random",
        /// The same one until it leaves.
        Sticky = "sticky",
        /// By the publisher's client identifier.
        HashClientId = "hash_clientid",
        /// By the topic.
        HashTopic = "hash_topic",
    }
}

choice! {
    /// What a client is told when it has to use another server.
    pub enum RedirectChoice {
        /// For now (0x9C).
        UseAnotherServer = "use_another_server",
        /// For good (0x9D).
        ServerMoved = "server_moved",
    }
}

settings! {
    /// What MQTT allows on this broker.
    pub struct MqttConfig {
        /// The largest packet a client may send.
        pub max_packet_size: Size = Size::mebibytes(1), in Size::bytes(128)..=Size::mebibytes(256),
        /// The largest CONNECT, will and password included, if `max_packet_size` is not lower. It
        /// is kept until it is whole, of clients that are not let in yet.
        pub max_connect_size: Size = Size::kibibytes(256),
            in Size::bytes(128)..=Size::mebibytes(256),
        /// QoS 1 and 2 messages in flight to one client, whatever its Receive Maximum.
        pub max_inflight: u16 = 128, in 1..=65535,
        /// QoS 1 and 2 messages a client of 5.0 may have in flight to the broker: what CONNACK
        /// gives as Receive Maximum.
        pub max_awaiting_rel: u16 = 1024, in 1..=65535,
        /// Topic aliases a client may use. Each may hold a topic of 64 KiB in memory.
        pub max_topic_alias: u16 = 64,
        /// Topic aliases the broker uses towards a client that allows them.
        pub max_outbound_topic_alias: u16 = 64,
        /// Levels of a topic name or filter.
        pub max_topic_levels: u16 = 128, in 1..=65535,
        /// Bytes of a client identifier.
        // [MQTT3-3.1.3-5] [MQTT5-3.1.3-5]
        pub max_client_id_length: u16 = 65535, in 23..=65535,
        /// The highest QoS clients may publish with.
        pub max_qos: u8 = 2, in 0..=2,
        /// Whether messages may be retained.
        pub retain_available: bool = true,
        /// Whether subscriptions may have wildcards.
        pub wildcard_subscription: bool = true,
        /// Whether subscriptions may have identifiers.
        pub subscription_identifier: bool = true,
        /// Whether `$share/` and `$queue/` may be used.
        pub shared_subscription: bool = true,
        /// How a shared subscription chooses among its connected members.
        pub shared_subscription_strategy: StrategyChoice = StrategyChoice::RoundRobin,
        /// What a client gets when several of its subscriptions match.
        pub overlapping_subscriptions: OverlapChoice = OverlapChoice::Merge,
        /// The longest keep alive, in seconds: a client of 5.0 that asks for a longer one, or none,
        /// is given this one; older ones cannot be told and keep theirs. 0 = no bound.
        pub server_keep_alive: u16 = 0,
        /// How long a session may outlive its connection. Sessions of 3.1.1 with Clean Session 0
        /// live as long. `"0s"`: for ever.
        pub session_expiry_interval_max: Duration = Duration::from_secs(30 * 24 * 3600),
        /// Whether a payload that says it is UTF-8 is looked at.
        pub check_payload_format: bool = false,
        /// What a client that asks for Response Information is told.
        pub response_information: Option<String> = None,
        /// Sends every client to this server instead of letting it in.
        pub server_reference: Option<String> = None,
        /// What the clients sent away are told.
        pub server_reference_reason: RedirectChoice = RedirectChoice::UseAnotherServer,
    }
}

choice! {
    /// What a full queue does with a QoS 1 or 2 message.
    pub enum QueueFullChoice {
        /// The oldest waiting message is dropped.
        DropOldest = "drop_oldest",
        /// The new message is not taken, and its publisher is told 0x97.
        Refuse = "refuse",
    }
}

choice! {
    /// When something is safe.
    pub enum DurabilityChoice {
        /// When it is on stable storage: it survives a power cut.
        Fsync = "fsync",
        /// When the system has it: it survives the end of the process.
        Os = "os",
        /// Nothing is written: sessions end with the process.
        Memory = "memory",
    }
}

settings! {
    /// What sessions keep.
    pub struct SessionConfig {
        /// Sessions kept, with or without a connection. A client that would be one too many is
        /// told 0x97.
        pub max_sessions: u64 = 10_000_000, in 1..,
        /// Subscriptions of one session.
        pub max_subscriptions: u32 = 1_000_000,
        /// When what must not be lost is safe: messages for sessions with an expiry, their state,
        /// retained and delayed messages. Nothing of it is acknowledged before.
        pub durability: DurabilityChoice = DurabilityChoice::Fsync,
        /// Messages that wait for one session, beside those in flight.
        pub max_queue_messages: u32 = 1_000_000, in 1..,
        /// Bytes of them.
        pub max_queue_bytes: Size = Size::gibibytes(1),
        /// Of these, how many may wait in memory: for sessions that are not stored, and at QoS 0.
        pub max_memory_queue_messages: u32 = 1000, in 1..,
        /// Bytes of them.
        pub max_memory_queue_bytes: Size = Size::mebibytes(16),
        /// Bytes that wait in memory in all sessions of the node, with those in flight (counted in steps of
        /// 16 KiB a session) and those that connections do not take.
        pub max_node_queue_bytes: Size = Size::gibibytes(1),
        /// What a full queue does with a QoS 1 or 2 message. QoS 0 messages always go first.
        pub queue_full: QueueFullChoice = QueueFullChoice::DropOldest,
        /// Whether QoS 0 messages wait for a client that is away.
        pub queue_qos0: bool = true,
    }
    absent = &[("store", "a store of sessions other than the embedded one")];
}

settings! {
    /// Retained messages.
    pub struct RetainedConfig {
        /// How many there may be. A publisher whose message is one too many is told 0x97.
        pub max_messages: u32 = 10_000_000,
        /// Bytes of all of them, likewise.
        pub max_bytes: Size = Size::gibibytes(4),
    }
}

settings! {
    /// Messages published to `$delayed/SECONDS/TOPIC`.
    pub struct DelayedConfig {
        /// How many may wait at once. A publisher whose message is one too many is told 0x97.
        pub max_messages: u32 = 1_000_000,
        /// Bytes of all of them, likewise.
        pub max_bytes: Size = Size::gibibytes(1),
    }
}

settings! {
    /// What the broker tells about itself in `$SYS/brokers/`.
    pub struct SysConfig {
        /// How often figures are published.
        pub interval: Duration = Duration::from_secs(60), in Duration::from_millis(100)..,
    }
}

/// The broker's sections of one configuration.
#[derive(Clone, Copy, Debug)]
pub struct Sections<'c> {
    /// `[node]`
    pub node: &'c NodeConfig,
    /// `[listeners]`
    pub listeners: &'c ListenersConfig,
    /// `[mqtt]`
    pub mqtt: &'c MqttConfig,
    /// `[session]`
    pub session: &'c SessionConfig,
    /// `[retained]`
    pub retained: &'c RetainedConfig,
    /// `[delayed]`
    pub delayed: &'c DelayedConfig,
    /// `[sys]`
    pub sys: &'c SysConfig,
}

/// What the sections mean together. `cores` is what `node.shards = 0` stands for.
#[must_use]
pub fn options(sections: &Sections<'_>, cores: usize) -> Options {
    let Sections { node, listeners, mqtt, session, retained, delayed, sys } = sections;
    Options {
        node: node.name.clone(),
        shards: if node.shards == 0 { cores } else { node.shards.into() },
        listeners: listeners::listeners(listeners),
        limits: limits(mqtt, session),
        routing: routing(mqtt),
        topic_levels_max: mqtt.max_topic_levels.into(),
        sys_interval: sys.interval,
        retained_messages_max: retained.max_messages as usize,
        retained_bytes_max: retained.max_bytes.as_u64(),
        delayed_messages_max: delayed.max_messages as usize,
        delayed_bytes_max: delayed.max_bytes.as_usize(),
        sessions_max: session.max_sessions,
        connect_bytes_max: bytes(mqtt.max_connect_size.min(mqtt.max_packet_size)),
        store: None,
    }
}

/// Of a packet.
fn bytes(size: Size) -> u32 {
    u32::try_from(size.as_u64()).unwrap_or(u32::MAX)
}

fn routing(mqtt: &MqttConfig) -> avocet_router::Config {
    avocet_router::Config {
        overlap: match mqtt.overlapping_subscriptions {
            OverlapChoice::Merge => Overlap::Merge,
            OverlapChoice::PerSubscription => Overlap::PerSubscription,
        },
        strategy: match mqtt.shared_subscription_strategy {
            StrategyChoice::RoundRobin => Strategy::RoundRobin,
            StrategyChoice::Random => Strategy::Random,
            StrategyChoice::Sticky => Strategy::Sticky,
            StrategyChoice::HashClientId => Strategy::HashClientId,
            StrategyChoice::HashTopic => Strategy::HashTopic,
        },
        group_strategies: BTreeMap::new(),
    }
}

fn limits(mqtt: &MqttConfig, session: &SessionConfig) -> Limits {
    // Begun seconds count whole: only zero is for ever.
    let expiry = mqtt.session_expiry_interval_max.as_millis().div_ceil(1000);
    let packet_bytes_max = bytes(mqtt.max_packet_size);
    let redirect = match mqtt.server_reference_reason {
        RedirectChoice::UseAnotherServer => ReasonCode::UseAnotherServer,
        RedirectChoice::ServerMoved => ReasonCode::ServerMoved,
    };
    Limits {
        packet_bytes_max: NonZeroU32::new(packet_bytes_max).unwrap_or(NonZeroU32::MAX),
        inflight_max: NonZeroU16::new(mqtt.max_inflight).unwrap_or(NonZeroU16::MIN),
        receive_maximum: NonZeroU16::new(mqtt.max_awaiting_rel).unwrap_or(NonZeroU16::MIN),
        topic_alias_maximum: mqtt.max_topic_alias,
        outbound_topic_alias_maximum: mqtt.max_outbound_topic_alias,
        session_expiry_interval_max: match u32::try_from(expiry) {
            Ok(0) | Err(_) => u32::MAX,
            Ok(seconds) => seconds,
        },
        keep_alive_max: mqtt.server_keep_alive,
        maximum_qos: QoS::from_bits(mqtt.max_qos).unwrap_or(QoS::ExactlyOnce),
        retain_available: mqtt.retain_available,
        wildcard_subscription_available: mqtt.wildcard_subscription,
        subscription_identifier_available: mqtt.subscription_identifier,
        shared_subscription_available: mqtt.shared_subscription,
        subscriptions_max: session.max_subscriptions as usize,
        client_id_bytes_max: mqtt.max_client_id_length.into(),
        check_payload_format: mqtt.check_payload_format,
        response_information: mqtt.response_information.clone(),
        redirect: mqtt.server_reference.clone().map(|server| (redirect, server)),
        queue_messages_max: session.max_memory_queue_messages.min(session.max_queue_messages)
            as usize,
        queue_bytes_max: session.max_memory_queue_bytes.min(session.max_queue_bytes).as_usize(),
        stored_messages_max: session.max_queue_messages.into(),
        stored_bytes_max: session.max_queue_bytes.as_u64(),
        queue_full: match session.queue_full {
            QueueFullChoice::DropOldest => QueueFull::DropOldest,
            QueueFullChoice::Refuse => QueueFull::Refuse,
        },
        queue_qos0: session.queue_qos0,
        budget: Budget::new(session.max_node_queue_bytes.as_u64()),
    }
}
