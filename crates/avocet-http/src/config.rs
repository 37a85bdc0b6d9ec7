//! The section `[http]`.

use std::time::Duration;

use avocet_config::{Bind, Check, settings};

settings! {
    /// What the broker tells over HTTP: `/metrics` for Prometheus, `/healthz` and `/readyz`.
    pub struct HttpConfig {
        /// Whether to open it.
        pub enable: bool = true,
        /// Address and port; port 0 lets the system choose.
        pub bind: Bind = Bind::new("127.0.0.1", 18083),
        /// Whether everybody who reaches `bind` may ask. Unset: only if `bind` is a loopback
        /// address. There is no authentication yet, so that any other address needs `true`.
        pub allow_anonymous: Option<bool> = None,
        /// Connections at once. More are closed as soon as they come.
        pub max_connections: u32 = 64, in 1..=65535,
        /// How long a client may take until its request has come, and how long its connection may
        /// be idle.
        pub request_timeout: Duration = Duration::from_secs(10),
            in Duration::from_millis(100)..=Duration::from_secs(600),
        /// How long a connection may be used for one request after the other.
        pub max_connection_age: Duration = Duration::from_secs(300),
            in Duration::from_millis(100)..=Duration::from_secs(24 * 3600),
    }
    validate = HttpConfig::check;
}

impl HttpConfig {
    fn check(&self, check: &mut Check<'_>) {
        if !self.enable {
            return;
        }
        match self.allow_anonymous {
            None if !self.bind.is_loopback() && !check.is_wrong("allow_anonymous") => check.mistake(
                "bind",
                "is not a loopback address, and there is no authentication yet; to let everybody \
                 who reaches it read the metrics, set http.allow_anonymous = true",
            ),
            Some(false) => check.mistake(
                "allow_anonymous",
                "lets nobody in, since there is no authentication yet; to close the listener, set \
                 http.enable = false",
            ),
            None | Some(true) => {}
        }
    }
}
