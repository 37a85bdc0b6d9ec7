//! Addresses to listen at: `"127.0.0.1:1883"`, `"[::1]:1883"`, `"localhost:1883"`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::field::{Setting, Unfit};
use crate::value::{Value, quote};

/// A host and a port. The host is an address or a name that is resolved when it is used; port 0
/// lets the system choose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bind {
    /// Without brackets.
    pub host: String,
    pub port: u16,
}

impl Bind {
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The host and port as `ToSocketAddrs` and tokio take them.
    pub fn as_pair(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback())
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Bind {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(Unfit(format!("{text:?} has no port")));
        };
        let port = port.parse().map_err(|_| Unfit(format!("{port:?} is not a port")))?;
        let host = match host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            None if is_name(host) => host,
            Some(_) | None => return Err(Unfit(format!("{host:?} is not an address or a host"))),
        };
        Ok(Self::new(host, port))
    }
}

impl Setting for Bind {
    fn read(value: &Value) -> Result<Self, Unfit> {
        value.text().ok_or_else(|| Unfit::found(value))?.parse()
    }

    fn accepted() -> String {
        "an address and port such as \"127.0.0.1:1883\", \"[::1]:1883\" or \"localhost:1883\""
            .to_owned()
    }

    fn write(&self) -> String {
        quote(&self.to_string())
    }
}

crate::setting!(Bind);

/// A host name, or an IPv4 address, whose numbers must then be right.
fn is_name(host: &str) -> bool {
    let numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if numeric {
        return host.parse::<std::net::Ipv4Addr>().is_ok();
    }
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}
