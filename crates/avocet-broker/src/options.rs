//! What the broker is told at its start.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use avocet_net::{Place, TlsOptions, WebSocketOptions};
use avocet_session::{Limits, MountpointTemplate};
use avocet_storage::store::Store;

/// One listener.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// As in `listeners.tcp.NAME`: "tcp.default".
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// Each connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// What is needed for TLS, if it is spoken.
    pub tls: Option<TlsOptions>,
    /// What is taken for a WebSocket, if that is spoken.
    pub websocket: Option<WebSocketOptions>,
    /// Whether clients without credentials are let in. `None`: only if no other machine can reach
    /// the listener, directly or through a proxy.
    pub allow_anonymous: Option<bool>,
    /// Connections at once; more are closed at once.
    pub connections_max: usize,
    /// Connections accepted in a second; more wait. `None`: any number.
    pub connections_per_second: Option<NonZeroU32>,
    /// How long a client may take until its CONNECT is there.
    pub connect_timeout: Duration,
    /// The part of the topic tree that its clients live in.
    pub mountpoint: Option<MountpointTemplate>,
}

#[cfg(test)]
impl ListenerOptions {
    /// One for anybody, for tests.
    pub(crate) fn small() -> Self {
        Self {
            name: "test".to_owned(),
            place: Place::tcp("127.0.0.1:0"),
            proxy_protocol: false,
            tls: None,
            websocket: None,
            allow_anonymous: Some(true),
            connections_max: 10,
            connections_per_second: None,
            connect_timeout: Duration::from_secs(10),
            mountpoint: None,
        }
    }
}

/// All of it.
#[derive(Debug)]
pub struct Options {
    /// The node's name, as in `$SYS/brokers/NAME/`.
    pub node: String,
    /// Threads that serve connections.
    pub shards: usize,
    /// Where to listen.
    pub listeners: Vec<ListenerOptions>,
    /// What a session may.
    pub limits: Limits,
    /// How subscriptions overlap and shared groups choose.
    pub routing: avocet_router::Config,
    /// Levels of a topic name or filter.
    pub topic_levels_max: usize,
    /// Messages retained at once.
    pub retained_messages_max: usize,
    /// Bytes of all retained messages.
    pub retained_bytes_max: u64,
    /// How often figures are published to `$SYS/`.
    pub sys_interval: Duration,
    /// Messages that wait for their `$delayed/` time.
    pub delayed_messages_max: usize,
    /// Bytes of all of them.
    pub delayed_bytes_max: usize,
    /// Sessions kept, with or without a connection.
    pub sessions_max: u64,
    /// Bytes of a CONNECT.
    pub connect_bytes_max: u32,
    /// Where what is to survive is kept. `None`: all ends with the process.
    pub store: Option<Arc<dyn Store>>,
}

#[cfg(test)]
impl Options {
    /// A small node without listeners, for tests.
    pub(crate) fn small() -> Self {
        Self {
            node: "test".to_owned(),
            shards: 1,
            listeners: Vec::new(),
            limits: Limits::default(),
            routing: avocet_router::Config::default(),
            topic_levels_max: 10,
            retained_messages_max: 10,
            retained_bytes_max: 1000,
            sys_interval: Duration::from_secs(60),
            delayed_messages_max: 10,
            delayed_bytes_max: 1000,
            sessions_max: 10,
            connect_bytes_max: 100_000,
            store: None,
        }
    }
}
