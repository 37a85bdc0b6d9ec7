//! A small configuration like the broker's, and what the modules' tests ask of it.
#![expect(unexpected_cfgs, reason = "a feature that no build has")]

mod random;
mod sources;
mod value;
mod wrong;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{
    Bind, Check, Millis, Mistake, Seconds, Secret, Size, Sources, choice, kinds, load, settings,
};

choice! {
    /// What happens to a message for a full queue.
    pub(crate) enum QueueFull {
        /// The oldest message makes room.
        DropOldest = "drop_oldest",
        /// The message is refused.
        Refuse = "refuse",
    }
}

settings! {
    /// What MQTT allows on this broker.
    pub(crate) struct Mqtt {
        /// The largest packet a client may send.
        pub max_packet_size: Size = Size::mebibytes(1), in Size::bytes(16)..=Size::mebibytes(256),
        /// How many QoS 1 and 2 messages may be in flight to one client.
        pub max_inflight: u16 = 32, in 1..=65535,
        /// How long a session may outlive its connection.
        /// Longer wishes are cut.
        pub session_expiry_interval_max: Duration = Duration::from_secs(7200),
        /// What happens to a message for a full queue.
        pub queue_full: QueueFull = QueueFull::DropOldest,
        /// How many levels a topic may have.
        pub max_topic_levels: Option<u16> = None, in 1..,
        /// The share of messages to trace.
        pub r#trace: f64 = 0.0,
    }
}

settings! {
    /// A listener for MQTT over TCP.
    pub(crate) struct Tcp {
        /// Whether it is opened.
        pub enable: bool = true,
        /// Where it listens.
        pub bind: Bind = Bind::new("127.0.0.1", 1883),
    }
    validate = Tcp::check;
}

impl Tcp {
    fn check(&self, check: &mut Check<'_>) {
        if self.bind.to_string().starts_with("nowhere:") {
            check.mistake("bind", "is nowhere");
        }
    }
}

settings! {
    /// A listener for MQTT over TLS.
    pub(crate) struct Tls {
        /// Where it listens.
        pub bind: Bind = Bind::new("0.0.0.0", 8883), required,
        pub files: Files = Files::default(), flatten,
    }
}

settings! {
    /// What is read for TLS.
    pub(crate) struct Files {
        /// The certificate.
        pub certificate: Option<std::path::PathBuf> = None,
        /// Its key.
        pub key: Option<std::path::PathBuf> = None,
    }
    validate = Files::check;
}

impl Files {
    fn check(&self, check: &mut Check<'_>) {
        if self.certificate.is_some() != self.key.is_some() {
            // A certificate that could not be read is there all the same.
            if !check.is_wrong("certificate") {
                check.mistake("key", "certificate and key belong together");
            }
        }
    }
}

settings! {
    /// Where clients come in.
    pub(crate) struct Listeners {
        /// Plain TCP.
        pub tcp: BTreeMap<String, Tcp> = BTreeMap::from([("default".to_owned(), Tcp::default())]),
        /// TLS.
        pub tls: BTreeMap<String, Tls> = BTreeMap::new(),
    }
}

settings! {
    /// The data channel between nodes.
    pub(crate) struct Rpc {
        /// TCP server port.
        pub tcp_server_port: u16 = 5369,
        /// Default TCP port for outgoing connections.
        pub tcp_client_port: u16 = 5369,
        /// Client connect timeout.
        pub connect_timeout: Millis = Millis::new(5000),
        /// Idle seconds before the first probe.
        pub socket_keepalive_idle: Seconds = Seconds::new(7200),
    }
}

settings! {
    /// Asks a server about a client.
    pub(crate) struct Http {
        /// The password for it.
        pub password: Option<Secret> = None,
        /// Its servers.
        pub servers: Vec<Bind> = Vec::new(),
    }
}

settings! {
    /// Users in a file.
    pub(crate) struct Users {
        /// The file.
        pub path: std::path::PathBuf = "users".into(),
    }
}

kinds! {
    /// Who is asked about a client.
    pub(crate) enum Authenticator by "type" {
        /// Asks a server.
        Http(Http) = "http",
        /// Looks into a file.
        File(Users) = "file",
        /// Believes a token.
        #[cfg(feature = "unbuilt-example")]
        Jwt(Users) = "jwt",
    }
}

settings! {
    /// Who may come in.
    pub(crate) struct Auth {
        /// Asked one after the other.
        pub authenticators: Vec<Authenticator> = Vec::new(),
    }
}

settings! {
    /// Shows what there is; being there is all it can say.
    pub(crate) struct Dashboard {}
}

settings! {
    /// Speaks other protocols.
    pub(crate) struct Gateway {
        /// STOMP, on when the section is there.
        pub stomp: Option<Tcp> = None,
        /// How long a protocol's client may be silent.
        pub patience: Duration = Duration::from_secs(60), in Duration::from_secs(1)..,
        pub dashboard: Option<Dashboard> = None,
        /// CoAP.
        #[cfg(feature = "unbuilt-example")]
        pub coap: Option<Tcp> = None,
    }
}

settings! {
    /// Everything.
    pub(crate) struct Root {
        pub mqtt: Mqtt = Mqtt::default(),
        /// Where clients come in.
        pub listeners: Listeners = Listeners::default(),
        /// The data channel between nodes.
        pub rpc: Rpc = Rpc::default(),
        /// Who may come in.
        pub auth: Auth = Auth::default(),
        /// Other protocols.
        pub gateway: Gateway = Gateway::default(),
    }
    absent = &[("cluster", "a cluster")];
}

pub(crate) fn text(toml: &str) -> Sources {
    Sources::new().with_text("a.toml", toml)
}

pub(crate) fn good(sources: &Sources) -> Root {
    match load(sources) {
        Ok(root) => root,
        Err(mistakes) => panic!("{}", lines(&mistakes)),
    }
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("{mistake}\n")).collect()
}

fn mistakes(sources: &Sources) -> String {
    lines(&load::<Root>(sources).expect_err("there is a mistake"))
}
