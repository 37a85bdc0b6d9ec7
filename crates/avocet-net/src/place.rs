//! Where a listener is, and how the system is to treat its streams.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// What is listened at.
#[derive(Clone, Debug)]
pub enum Place {
    /// An address and port.
    Tcp(TcpOptions),
    /// A file that processes of this machine connect to.
    Unix(UnixOptions),
    /// An address and port of UDP, for QUIC.
    #[cfg(feature = "quic")]
    Quic(QuicOptions),
}

impl Place {
    /// A host and port, with the usual options.
    #[must_use]
    pub fn tcp(bind: impl Into<String>) -> Self {
        Self::Tcp(TcpOptions::at(bind))
    }

    /// Whether TLS is within it, so that its streams are plain.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            #[cfg(feature = "quic")]
            Self::Quic(_) => true,
        }
    }

    /// The setting that says where it is.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "bind",
            Self::Unix(_) => "path",
            #[cfg(feature = "quic")]
            Self::Quic(_) => "bind",
        }
    }

    /// As it was configured.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Tcp(options) => options.bind.clone(),
            Self::Unix(options) => options.path.display().to_string(),
            #[cfg(feature = "quic")]
            Self::Quic(options) => options.bind.clone(),
        }
    }
}

/// A TCP listener and its streams.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// Host and port; port 0 lets the system choose.
    pub bind: String,
    /// Connections that the system keeps until they are accepted.
    pub backlog: u16,
    /// Small writes go out at once (`TCP_NODELAY`).
    pub no_delay: bool,
    /// Bytes of the system's buffer towards the client; `None`: as the system thinks fit.
    pub send_buffer: Option<usize>,
    /// Bytes of the system's buffer from the client, likewise.
    pub receive_buffer: Option<usize>,
    /// Whether the system asks for a sign of life.
    pub keepalive: Option<Keepalive>,
}

/// When the system asks whether the other side is still there.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// How long nothing may come before it asks.
    pub idle: Duration,
    /// How long it waits between two questions.
    pub interval: Duration,
    /// How many may go without an answer.
    pub count: u32,
}

impl TcpOptions {
    /// The usual ones.
    #[must_use]
    pub fn at(bind: impl Into<String>) -> Self {
        Self {
            bind: bind.into(),
            backlog: 1024,
            no_delay: true,
            send_buffer: None,
            receive_buffer: None,
            keepalive: None,
        }
    }
}

/// A Unix socket.
#[derive(Clone, Debug)]
pub struct UnixOptions {
    /// The file.
    pub path: PathBuf,
    /// Who may connect: its permission bits.
    pub mode: u32,
    /// Connections that the system keeps until they are accepted.
    pub backlog: u16,
}

/// A QUIC listener, whose streams come out of their envelope when they are accepted.
#[cfg(feature = "quic")]
#[derive(Clone, Debug)]
pub struct QuicOptions {
    /// Host and port; port 0 lets the system choose.
    pub bind: String,
    /// How long a client may take for its handshake and to open its stream.
    pub open_timeout: Duration,
}

/// Where a listener came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and port.
    Ip(SocketAddr),
    /// A file.
    Path(PathBuf),
}

impl Address {
    /// Whether nobody but processes of this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Ip(address) => address.ip().to_canonical().is_loopback(),
            Self::Path(_) => true,
        }
    }

    /// The address and port, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Path(_) => None,
        }
    }

    /// The file, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Ip(_) => None,
            Self::Path(path) => Some(path),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// Who is at the other end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A host and port.
    Ip(SocketAddr),
    /// A process of this machine.
    Local,
    /// Gone before anybody asked.
    Unknown,
}

impl Peer {
    /// Its host.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Local | Self::Unknown => None,
        }
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Ip(address) => address.ip().to_canonical().is_loopback(),
            Self::Local => true,
            Self::Unknown => false,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Local => f.write_str("local"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}
