//! Opens connections without waiting for them.

use std::{
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    ops::Range,
    os::unix::net::UnixStream,
};

use anyhow::{Context, anyhow};
use avocet_mqtt::{Connect, Packet, ProtocolVersion, encode};
use avocet_net::{LayerError, Layers};
use socket2::{Domain, SockAddr, Type};

use super::{
    link::Link,
    source::{self, Sources},
};
use crate::client::{
    connection::ANSWER_TIMEOUT,
    stream::{Place, Socket, Target},
};

const STREAM: Type = Type::STREAM.nonblocking();

/// How many ports that others have taken are tried for one connection.
const TAKEN_MAX: u32 = 1024;

const NO_PORT: &str = "no local port left (--source gives more addresses)";

/// What we say instead of the system's words.
const WORDS: [(io::ErrorKind, &str); 6] = [
    (io::ErrorKind::UnexpectedEof, "closed by the broker"),
    (io::ErrorKind::ConnectionReset, "reset"),
    (io::ErrorKind::BrokenPipe, "reset"),
    (io::ErrorKind::ConnectionRefused, "nobody listens there"),
    (io::ErrorKind::AddrNotAvailable, NO_PORT),
    (io::ErrorKind::AddrInUse, NO_PORT),
];

/// Where clients connect to, where from, and as whom.
#[derive(Debug)]
pub(super) struct Dialer {
    target: Target,
    address: SockAddr,
    is_local: bool,
    sources: Sources,
    connect: Connect,
    /// The number of our first client among those of all processes.
    first: u64,
    /// The ports that the system gives out, and how many places were found taken.
    ports: Range<u16>,
    taken: u64,
}

impl Dialer {
    pub(super) fn new(
        target: Target,
        sources: Sources,
        connect: Connect,
        first: u64,
    ) -> anyhow::Result<Self> {
        let (address, is_local) = match &target.place {
            Place::Tcp { host, port } => {
                let address = resolve(host, *port)?;
                (address.into(), address.ip().is_loopback())
            }
            Place::Unix(path) => {
                let address = SockAddr::unix(path);
                (address.with_context(|| format!("{} is no socket", path.display()))?, true)
            }
        };
        let ports = source::ports();
        Ok(Self { target, address, is_local, sources, connect, first, ports, taken: 0 })
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.connect.version
    }

    /// Seconds; zero is none.
    pub(super) fn keep_alive(&self) -> u16 {
        self.connect.keep_alive
    }

    /// Whether the broker's end of a connection is on this machine, too.
    pub(super) fn is_local(&self) -> bool {
        self.is_local
    }

    /// Begins to connect client `index`.
    pub(super) fn dial(&mut self, index: u64) -> io::Result<Link> {
        let mut tries = TAKEN_MAX;
        let socket = loop {
            match self.begin(index) {
                Err(error) if self.is_taken(&error) && tries > 0 => {
                    self.taken += 1;
                    tries -= 1;
                }
                begun => break begun?,
            }
        };
        let is_unix = self.address.domain() == Domain::UNIX;
        let mut sealed = Vec::new();
        let layers = Layers::connect(&self.target.wrapping, &mut sealed);
        let layers = layers.map_err(io::Error::other)?;
        let socket = if is_unix {
            Socket::Unix(UnixStream::from(socket))
        } else {
            Socket::Tcp(TcpStream::from(socket))
        };
        Ok(Link::opening(socket, layers, sealed))
    }

    /// A socket that is being connected.
    fn begin(&self, index: u64) -> io::Result<socket2::Socket> {
        let socket = socket2::Socket::new(self.address.domain(), STREAM, None)?;
        if self.address.domain() != Domain::UNIX {
            socket.set_tcp_nodelay(true)?;
        }
        let number = self.first + self.taken + index;
        if let Some(place) = self.sources.place_of(number, &self.ports) {
            // A port of a connection that has just ended may be taken again.
            socket.set_reuse_address(true)?;
            if let Err(error) = socket.bind(&place.into()) {
                let is_ours = error.kind() != io::ErrorKind::AddrNotAvailable;
                let foreign = || io::Error::other(format!("{} is no address here", place.ip()));
                return Err(if is_ours { error } else { foreign() });
            }
        }
        match socket.connect(&self.address) {
            Err(error) if error.raw_os_error() != Some(in_progress()) => Err(error),
            Ok(()) | Err(_) => Ok(socket),
        }
    }

    /// Whether another connection has the port that we have chosen.
    fn is_taken(&self, error: &io::Error) -> bool {
        let is_taken =
            matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable);
        is_taken && !self.sources.is_empty()
    }

    /// Appends the CONNECT of client `index`.
    pub(super) fn introduce(&mut self, index: u64, out: &mut Vec<u8>) {
        self.connect.client_id = format!("bench-{}-{}", std::process::id(), self.first + index);
        encode(self.connect.version, &Packet::Connect(Box::new(self.connect.clone())), out);
    }

    /// What kind of failure it is, in words.
    pub(super) fn explain(&self, error: &io::Error) -> String {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<LayerError>());
        if let Some(inner) = inner {
            return self.target.explain(inner);
        }
        let words = WORDS.iter().find(|(kind, _)| *kind == error.kind());
        words.map_or_else(|| error.to_string(), |(_, words)| (*words).to_owned())
    }
}

fn in_progress() -> i32 {
    rustix::io::Errno::INPROGRESS.raw_os_error()
}

/// The address of a host; of several the first that answers.
fn resolve(host: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let found = (host, port).to_socket_addrs().with_context(|| format!("cannot find host {host}"));
    let addresses: Vec<SocketAddr> = found?.collect();
    if let [only] = addresses[..] {
        return Ok(only);
    }
    let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, ANSWER_TIMEOUT);
    let first = addresses.iter().find(|address| answers(address).is_ok());
    first.copied().ok_or_else(|| anyhow!("cannot connect to {host}:{port}"))
}
