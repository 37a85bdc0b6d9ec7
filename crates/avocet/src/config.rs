//! The whole configuration: each crate's sections, joined.

use std::path::PathBuf;

use avocet_broker::{
    Options,
    config::{
        DelayedConfig, ListenersConfig, MqttConfig, NodeConfig, RetainedConfig, Sections,
        SessionConfig, SysConfig, options,
    },
};
use avocet_config::{choice, settings};
use avocet_http::HttpConfig;

choice! {
    /// How much is logged.
    pub enum LogLevel {
        /// What needs somebody now.
        Error = "error",
        /// What somebody should look at tomorrow.
        Warn = "warn",
        /// What an operator did.
        Info = "info",
        /// What clients did wrong, too.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

choice! {
    /// How a line of the log is written.
    pub enum LogFormat {
        /// For humans.
        Text = "text",
        /// For machines: one JSON object a line.
        Json = "json",
    }
}

settings! {
    /// The log, on standard error unless it has a file.
    pub struct LogConfig {
        /// How much is logged.
        pub level: LogLevel = LogLevel::Info,
        /// How a line is written.
        pub format: LogFormat = LogFormat::Text,
        /// The file that the log is written to instead of standard error; made if it is not there,
        /// appended to if it is.
        pub file: Option<PathBuf> = None,
    }
}

settings! {
    /// Everything that can be set.
    pub struct Config {
        pub node: NodeConfig = NodeConfig::default(),
        pub log: LogConfig = LogConfig::default(),
        pub listeners: ListenersConfig = ListenersConfig::default(),
        pub mqtt: MqttConfig = MqttConfig::default(),
        pub session: SessionConfig = SessionConfig::default(),
        pub retained: RetainedConfig = RetainedConfig::default(),
        pub delayed: DelayedConfig = DelayedConfig::default(),
        pub sys: SysConfig = SysConfig::default(),
        pub http: HttpConfig = HttpConfig::default(),
    }
    absent = &[
        ("auth", "authentication"),
        ("rpc", "the channel between nodes"),
        ("cluster", "a cluster of nodes"),
        ("backend", "storing in databases"),
        ("bridge", "bridging to other brokers"),
        ("gateway", "a gateway for other protocols"),
    ];
}

impl Config {
    /// What the broker makes of it.
    #[must_use]
    pub fn options(&self) -> Options {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let sections = Sections {
            node: &self.node,
            listeners: &self.listeners,
            mqtt: &self.mqtt,
            session: &self.session,
            retained: &self.retained,
            delayed: &self.delayed,
            sys: &self.sys,
        };
        options(&sections, cores)
    }
}
