//! The broker as a whole: what its parts share, how it starts and stops.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use avocet_mqtt::ReasonCode;
use avocet_net::{
    Accepted, Address, ClientCertificate, Listener, Peer, TlsError, TlsServer, Wrapping,
};
use avocet_router::{ExclusiveClaims, Filter, Router, SubscriberId};
use avocet_session::{Limits, MountpointTemplate, QueueFull};
use tokio::{task::JoinHandle, time};
use tracing::{error, info, warn};

use crate::{
    Drops, ListenerOptions, MetricsSnapshot, Observer, Options,
    accept::{self, Acceptor, Pace},
    alarm::Alarms,
    keeper::Keeper,
    mailbox::Mailbox,
    metrics::Metrics,
    registry::Registry,
    restore,
    retained::{self, Retained},
    shard::{self, ShardHandle},
    stall::Stalls,
    subscribe, sys, timers,
    timers::Timers,
};

/// What all parts of the broker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Settled,
    pub(crate) limits: Arc<Limits>,
    /// Whether full queues refuse, so that the publish path has to ask before it delivers.
    pub(crate) refuses: bool,
    pub(crate) registry: Registry,
    pub(crate) router: Router<Mailbox>,
    pub(crate) exclusive: ExclusiveClaims,
    pub(crate) retained: Retained,
    pub(crate) timers: Timers,
    pub(crate) drops: Drops,
    pub(crate) metrics: Metrics,
    pub(crate) alarms: Alarms,
    pub(crate) stalls: Stalls,
    pub(crate) is_stopping: AtomicBool,
    /// Bytes kept of clients that are not let in yet.
    pub(crate) unadmitted_bytes: AtomicUsize,
    numbers: AtomicU64,
    /// What is to survive goes there, if anything is.
    pub(crate) keeper: Option<Keeper>,
    /// There are sessions that nobody knows, since the store could not be opened: they may have a
    /// right to any message.
    pub(crate) is_blind: bool,
    /// Makes assigned client identifiers and dice differ from one start to the next.
    salt: u64,
}

/// The options that are asked for while the broker runs.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) node: String,
    pub(crate) topic_levels_max: usize,
    pub(crate) delayed_messages_max: usize,
    pub(crate) delayed_bytes_max: usize,
    pub(crate) sessions_max: u64,
    pub(crate) connect_bytes_max: u32,
}

/// A listener as its connections see it.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) name: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) allow_anonymous: bool,
    /// What lies around the bytes of MQTT.
    pub(crate) wrapping: Wrapping,
    /// Certificates and keys, if any.
    tls: Option<Arc<TlsServer>>,
    needs_certificate: bool,
    /// Who is at the other end of a socket is a proxy.
    pub(crate) is_proxied: bool,
    pub(crate) connections_max: usize,
    pub(crate) mountpoint: Option<MountpointTemplate>,
    pub(crate) connections: AtomicUsize,
}

impl Listening {
    /// `tls`: what the options ask for. `address`: where the listener came to be.
    pub(crate) fn new(
        options: ListenerOptions,
        tls: Option<Arc<TlsServer>>,
        address: &Address,
    ) -> Self {
        let proxy_header =
            options.websocket.as_ref().is_some_and(|it| it.proxy_address_header.is_some());
        let is_proxied = options.proxy_protocol || proxy_header;
        let certificates = options.tls.as_ref().map(|tls| tls.client_certificate);
        // A transport that has TLS within it gives plain streams.
        let is_outside = !options.place.has_tls();
        Self {
            name: options.name,
            connect_timeout: options.connect_timeout,
            allow_anonymous: options.allow_anonymous.unwrap_or(address.is_local() && !is_proxied),
            wrapping: Wrapping {
                proxy_protocol: options.proxy_protocol,
                tls: tls.clone().filter(|_| is_outside),
                websocket: options.websocket.map(Arc::new),
            },
            tls,
            needs_certificate: certificates == Some(ClientCertificate::Required),
            is_proxied,
            mountpoint: options.mountpoint,
            connections_max: options.connections_max,
            connections: AtomicUsize::new(0),
        }
    }

    /// One without TLS, for tests.
    #[cfg(test)]
    pub(crate) fn small(options: ListenerOptions) -> Self {
        Self::new(options, None, &Address::Path("nowhere".into()))
    }

    /// Who is at the other end: `said` by the layers, if they know better than the socket.
    pub(crate) fn peer(&self, said: Option<Peer>, socket: impl FnOnce() -> Peer) -> Peer {
        match said {
            Some(peer) => peer,
            // Whoever has not said more than that it is the proxy is not on this machine for that.
            None if self.is_proxied => Peer::Unknown,
            None => socket(),
        }
    }

    /// Says where it is, and whom it lets in.
    fn tell(&self, address: &Address) {
        let message = if self.needs_certificate {
            "Listening; clients without a good certificate are not let in."
        } else if self.allow_anonymous {
            "Listening; clients without credentials are let in."
        } else {
            "Listening; clients without credentials are not let in."
        };
        info!(listener = %self.name, %address, "{message}");
        self.warn();
    }

    /// Says what is odd about its certificates.
    fn warn(&self) {
        for warning in self.tls.iter().flat_map(|tls| tls.warnings()) {
            warn!(listener = %self.name, "{warning}");
        }
    }

    /// Reads the files of TLS again, for the connections that come from now on.
    fn reload(&self) {
        let Some(tls) = &self.tls else { return };
        match tls.reload() {
            Ok(()) => {
                info!(listener = %self.name, "Read certificates again.");
                self.warn();
            }
            Err(error) => error!(
                listener = %self.name, %error,
                "Cannot use the certificates as they are now; going on with those of before."
            ),
        }
    }
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        let limits = options.limits;
        Self {
            options: Settled {
                node: options.node,
                topic_levels_max: options.topic_levels_max,
                delayed_messages_max: options.delayed_messages_max,
                delayed_bytes_max: options.delayed_bytes_max,
                sessions_max: options.sessions_max,
                connect_bytes_max: options.connect_bytes_max,
            },
            refuses: limits.queue_full == QueueFull::Refuse,
            limits: Arc::new(limits),
            registry: Registry::default(),
            router: Router::new(options.routing),
            exclusive: ExclusiveClaims::new(),
            retained: Retained::new(options.retained_messages_max, options.retained_bytes_max),
            timers: Timers::default(),
            drops: Drops::default(),
            metrics: Metrics::default(),
            alarms: Alarms::default(),
            stalls: Stalls::default(),
            is_stopping: AtomicBool::new(false),
            unadmitted_bytes: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            is_blind: options.store.as_ref().is_some_and(|store| !store.is_known()),
            keeper: options.store.map(Keeper::new),
            salt: std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
        }
    }

    /// A number nobody else has.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// From now on numbers are larger than this one.
    pub(crate) fn number_from(&self, number: u64) {
        self.numbers.fetch_max(number, Ordering::Relaxed);
    }

    /// A number for choices that should differ.
    pub(crate) fn dice(&self) -> u64 {
        self.next_number().wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.salt
    }

    /// Whether anybody subscribes to this topic.
    pub(crate) fn is_wanted(&self, topic: &str) -> bool {
        !self.router.matches(topic).is_empty()
    }

    /// An identifier for a client that sent none ([MQTT5-3.1.3-6], [MQTT5-3.2.2-16]).
    pub(crate) fn assign_client_id(&self) -> String {
        format!("avocet-{:016x}-{:x}", self.salt, self.next_number())
    }

    /// Removes a subscription and what hangs on it. False if there was none.
    pub(crate) fn unsubscribe(&self, filter: &Filter, id: SubscriberId) -> bool {
        if filter.is_exclusive() {
            self.exclusive.release(filter, id);
        }
        self.router.unsubscribe(filter, id)
    }

    /// Whether queues are asked before anybody gets a message, since one may refuse it.
    pub(crate) fn asks_first(&self) -> bool {
        self.refuses || self.is_failing()
    }

    /// Whether nothing can be stored now.
    pub(crate) fn is_failing(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.store().is_failing())
    }

    /// Why a filter that is well formed is not accepted from this client, if so.
    pub(crate) fn refuses_filter(&self, mailbox: &Mailbox, filter: &Filter) -> Option<ReasonCode> {
        let limits = &self.limits;
        // [MQTT3-3.8.3-2]
        if filter.has_wildcard() && !limits.wildcard_subscription_available {
            return Some(ReasonCode::WildcardSubscriptionsNotSupported);
        }
        if filter.group().is_some() && !limits.shared_subscription_available {
            return Some(ReasonCode::SharedSubscriptionsNotSupported);
        }
        if subscribe::too_deep(filter, self.options.topic_levels_max) {
            return Some(ReasonCode::TopicFilterInvalid);
        }
        let topic = filter.topic_filter();
        let sys = topic == "$SYS" || topic.starts_with("$SYS/");
        let local = || {
            let inner = mailbox.lock();
            inner.link.as_ref().is_some_and(|link| link.peer.is_local())
        };
        (sys && !local()).then_some(ReasonCode::NotAuthorized)
    }
}

/// Why the broker does not start.
#[derive(Debug)]
pub enum StartError {
    /// A listener cannot have its address.
    Listen {
        /// "tcp.default"
        listener: String,
        /// The setting that says where it is: "bind".
        setting: &'static str,
        /// As configured.
        place: String,
        /// What the system says.
        error: io::Error,
    },
    /// A listener's certificates or keys cannot be used.
    Tls {
        /// "tls.NAME"
        listener: String,
        /// Which file, and what is wrong with it.
        error: TlsError,
    },
    /// The system gives no threads.
    Thread(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listen { listener, setting, place, error } => {
                write!(f, "cannot listen on {place} (listeners.{listener}.{setting}): {error}")
            }
            Self::Tls { listener, error } => {
                write!(
                    f,
                    "cannot listen (listeners.{listener}.{}): {}",
                    error.setting, error.detail
                )
            }
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    addresses: Vec<(String, Address)>,
    listening: Vec<Arc<Listening>>,
    tasks: Vec<JoinHandle<()>>,
    /// A shard whose last handle is gone drops its connections as they are.
    shards: Arc<Vec<ShardHandle>>,
}

impl Broker {
    /// Starts it. Has to be called inside a runtime, which then serves the listeners and timers;
    /// connections have threads of their own.
    ///
    /// # Errors
    ///
    /// An address that cannot be had, certificates that cannot be used, or no threads.
    pub fn start(mut options: Options) -> Result<Self, StartError> {
        let listeners = std::mem::take(&mut options.listeners);
        let count = options.shards.max(1);
        let sys_interval = options.sys_interval;
        let shared = Arc::new(Shared::new(options));
        let mut bound = Vec::new();
        for options in listeners {
            let name = options.name.clone();
            let tls = options.tls.clone().map(TlsServer::new).transpose();
            let tls = tls.map_err(|error| StartError::Tls { listener: name.clone(), error })?;
            let socket = Listener::bind(&options.place, tls.as_ref()).map_err(|error| {
                let (setting, place) = (options.place.setting(), options.place.text());
                StartError::Listen { listener: name, setting, place, error }
            })?;
            let pace = options.connections_per_second.map(Pace::new);
            let listening = Listening::new(options, tls, socket.address());
            bound.push((Arc::new(listening), socket, pace));
        }
        if let Some(keeper) = &shared.keeper {
            keeper.start(&shared).map_err(StartError::Thread)?;
            restore::restore(&shared, keeper.store());
        }
        let shards: Result<Vec<_>, _> =
            (0..count).map(|number| shard::start(Arc::clone(&shared), number)).collect();
        let shards = Arc::new(shards.map_err(StartError::Thread)?);
        let mut tasks = vec![
            tokio::spawn(timers::run(Arc::clone(&shared))),
            tokio::spawn(sys::run(Arc::clone(&shared), sys_interval)),
            tokio::spawn(retained::sweep(Arc::clone(&shared))),
        ];
        let (mut addresses, mut all) = (Vec::new(), Vec::new());
        for (listening, socket, pace) in bound {
            listening.tell(socket.address());
            addresses.push((listening.name.clone(), socket.address().clone()));
            all.push(Arc::clone(&listening));
            let acceptor = Acceptor {
                shared: Arc::clone(&shared),
                shards: Arc::clone(&shards),
                listening,
                pace,
            };
            tasks.push(tokio::spawn(acceptor.run(socket)));
        }
        Ok(Self { shared, addresses, listening: all, tasks, shards })
    }

    /// Where the listeners are, by name.
    #[must_use]
    pub fn addresses(&self) -> &[(String, Address)] {
        &self.addresses
    }

    /// What was counted.
    #[must_use]
    pub fn metrics(&self) -> MetricsSnapshot {
        MetricsSnapshot::take(&self.shared)
    }

    /// For those who look on while it runs.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer::new(Arc::clone(&self.shared))
    }

    /// Which messages did not arrive.
    #[must_use]
    pub fn drops(&self) -> &Drops {
        &self.shared.drops
    }

    /// Serves a stream as if it had come to this listener, with its limits and layers, wherever it
    /// is from: one end of an [`avocet_net::pipe()`] brings a client that lives in this process.
    /// False: there is no such listener.
    pub async fn serve(&self, listener: &str, stream: Accepted) -> bool {
        let Some(listening) = self.listening.iter().find(|it| it.name == listener) else {
            return false;
        };
        accept::hand_over(&self.shared, &self.shards, listening, stream).await;
        true
    }

    /// Reads certificates, keys and revocation lists again. Who is connected stays connected; a
    /// listener whose files cannot be used goes on with what it had, and the log says so.
    pub fn reload(&self) {
        info!("Reading certificates and revocation lists again; the configuration is not read.");
        for listening in &self.listening {
            listening.reload();
        }
    }

    /// Takes no more connections, tells the clients there are, and waits a little for the last
    /// bytes. Then its addresses are free.
    pub async fn stop(self) {
        const GRACE: Duration = Duration::from_secs(2);
        self.shared.is_stopping.store(true, Ordering::Relaxed);
        for task in &self.tasks {
            task.abort();
        }
        for mailbox in self.shared.registry.all() {
            let detail = "the server is shutting down";
            let reason = ReasonCode::ServerShuttingDown;
            mailbox.lock().close(&self.shared, &mailbox, reason, detail);
        }
        self.shards.iter().for_each(ShardHandle::ring);
        let deadline = Instant::now() + GRACE;
        while self.shared.metrics.connections.load(Ordering::Relaxed) > 0
            && Instant::now() < deadline
        {
            time::sleep(Duration::from_millis(5)).await;
        }
        for task in self.tasks {
            // It was aborted, or has panicked, which was told.
            drop(task.await);
        }
        drop(self.shards);
        if let Some(keeper) = &self.shared.keeper {
            keeper.stop();
            keeper.store().close();
        }
    }
}
