//! A stream to a broker: a socket, and between its bytes and those of MQTT the layers that are
//! asked for. It blocks; what is to go on without blocking takes it apart.

use std::{
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use avocet_net::{ClientWrapping, Incoming, LayerError, Layers};
use socket2::{Domain, Type};

use super::{connection::ANSWER_TIMEOUT, tls::Trust};

const READ_BYTES: usize = 16 * 1024;

/// Where a broker is, and how it is spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) place: Place,
    pub(crate) wrapping: ClientWrapping,
    /// The address to connect from, if the system is not to choose.
    pub(crate) source: Option<IpAddr>,
    /// What TLS was told, to say why it failed.
    pub(super) trust: Option<Arc<Trust>>,
}

impl Target {
    /// A host and port, without any layers.
    pub(crate) fn tcp(host: &str, port: u16) -> Self {
        let place = Place::Tcp { host: host.to_owned(), port };
        Self { place, wrapping: ClientWrapping::default(), source: None, trust: None }
    }

    /// Why the layers could not go on.
    pub(crate) fn explain(&self, error: &LayerError) -> String {
        self.trust.as_ref().map_or_else(|| error.to_string(), |trust| trust.explain(error))
    }
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp {
        host: String,
        port: u16,
    },
    /// A socket of this machine.
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A stream whose handshakes are over.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Socket,
    layered: Option<Box<Layered>>,
}

/// What a stream with layers needs besides the socket.
#[derive(Debug)]
struct Layered {
    layers: Box<Layers>,
    trust: Option<Arc<Trust>>,
    /// What was read from the socket, and what is to be written to it.
    raw_in: Vec<u8>,
    raw_out: Vec<u8>,
    /// How it ended behind the bytes that were given out.
    end: Option<anyhow::Result<Incoming>>,
}

impl Stream {
    /// Connects. What came right behind the handshakes is appended to `plain`.
    pub(super) fn open(target: &Target, plain: &mut Vec<u8>) -> anyhow::Result<Self> {
        let cannot = || format!("cannot connect to {}", target.place);
        let socket = match &target.place {
            Place::Tcp { host, port } => {
                let addresses = (host.as_str(), *port).to_socket_addrs();
                let addresses = addresses.with_context(|| format!("cannot find host {host}"))?;
                Socket::connect(addresses, target.source).with_context(cannot)?
            }
            Place::Unix(path) => Socket::Unix(UnixStream::connect(path).with_context(cannot)?),
        };
        let mut raw_out = Vec::new();
        let layers = Layers::connect(&target.wrapping, &mut raw_out).with_context(cannot)?;
        let mut stream = Self { socket, layered: None };
        if let Some(layers) = layers {
            let (trust, raw_in) = (target.trust.clone(), Vec::new());
            let mut layered = Layered { layers, trust, raw_in, raw_out, end: None };
            layered.shake_hands(&stream.socket, plain).with_context(cannot)?;
            stream.layered = Some(Box::new(layered));
        }
        Ok(stream)
    }

    pub(super) fn write_all(&mut self, plain: &[u8]) -> io::Result<()> {
        match &mut self.layered {
            None => (&self.socket).write_all(plain),
            Some(layered) => layered.write_all(&self.socket, plain),
        }
    }

    /// Reads once and appends what the bytes carry, which may be nothing. Waits so long at most.
    pub(super) fn read(
        &mut self,
        plain: &mut Vec<u8>,
        timeout: Option<Duration>,
    ) -> anyhow::Result<Incoming> {
        self.socket.set_read_timeout(timeout)?;
        match &mut self.layered {
            None => Ok(self.socket.read_some(plain)?),
            Some(layered) => layered.read(&self.socket, plain),
        }
    }

    /// Tells the other side of the layers that nothing more comes.
    pub(super) fn close(mut self) {
        if let Some(layered) = &mut self.layered {
            layered.raw_out.clear();
            layered.layers.close(&mut layered.raw_out);
            // The other side may have gone already, which is as good.
            (&self.socket).write_all(&layered.raw_out).ok();
        }
    }

    /// The socket for another thread.
    pub(super) fn try_clone_socket(&self) -> io::Result<Socket> {
        self.socket.try_clone()
    }

    pub(super) fn into_parts(self) -> (Socket, Option<Box<Layers>>) {
        (self.socket, self.layered.map(|layered| layered.layers))
    }
}

impl Layered {
    fn shake_hands(&mut self, mut socket: &Socket, plain: &mut Vec<u8>) -> anyhow::Result<()> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        socket.write_all(&self.raw_out)?;
        while !self.layers.is_open() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the broker does not answer");
            }
            socket.set_read_timeout(Some(left))?;
            if self.read(socket, plain)? == Incoming::End {
                bail!("the broker closed the connection before TLS or WebSocket was open");
            }
        }
        Ok(())
    }

    fn write_all(&mut self, mut socket: &Socket, plain: &[u8]) -> io::Result<()> {
        self.raw_out.clear();
        self.layers.seal(plain, &mut self.raw_out).map_err(io::Error::other)?;
        socket.write_all(&self.raw_out)
    }

    fn read(&mut self, mut socket: &Socket, plain: &mut Vec<u8>) -> anyhow::Result<Incoming> {
        if let Some(end) = self.end.take() {
            return end;
        }
        self.raw_in.clear();
        let incoming = socket.read_some(&mut self.raw_in)?;
        if self.raw_in.is_empty() {
            return Ok(incoming);
        }
        let before = plain.len();
        self.raw_out.clear();
        let received = self.layers.receive(&mut self.raw_in, plain, &mut self.raw_out);
        let written = socket.write_all(&self.raw_out);
        let end = match received {
            Ok(Incoming::More) => return Ok(written.map(|()| Incoming::More)?),
            // That it has ended is known; that the answer does not arrive is no news.
            Ok(Incoming::End) => Ok(Incoming::End),
            Err(error) => Err(self.explain(&error)),
        };
        if plain.len() == before {
            return end;
        }
        self.end = Some(end);
        Ok(Incoming::More)
    }

    fn explain(&self, error: &LayerError) -> anyhow::Error {
        anyhow!(self.trust.as_ref().map_or_else(|| error.to_string(), |trust| trust.explain(error)))
    }
}

/// The socket itself.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// To the first of the addresses that answers.
    fn connect(
        addresses: impl Iterator<Item = SocketAddr>,
        source: Option<IpAddr>,
    ) -> io::Result<Self> {
        let mut failure = ErrorKind::AddrNotAvailable.into();
        for address in addresses {
            let connected = match source {
                None => TcpStream::connect_timeout(&address, ANSWER_TIMEOUT),
                Some(source) => connect_from(source, &address),
            };
            match connected {
                Ok(socket) => {
                    socket.set_nodelay(true)?;
                    return Ok(Self::Tcp(socket));
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Unix(socket) => socket.set_nonblocking(true),
        }
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_read_timeout(timeout),
            Self::Unix(socket) => socket.set_read_timeout(timeout),
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }

    /// Whoever waits for bytes waits no more.
    pub(super) fn end_reading(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Read),
            Self::Unix(socket) => socket.shutdown(Shutdown::Read),
        }
    }

    /// Reads once and appends; nothing if the time is over.
    fn read_some(mut self: &Self, buffer: &mut Vec<u8>) -> io::Result<Incoming> {
        let start = buffer.len();
        buffer.resize(start + READ_BYTES, 0);
        let read = self.read(&mut buffer[start..]);
        buffer.truncate(start + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => Ok(Incoming::End),
            Ok(_) => Ok(Incoming::More),
            Err(error) if is_passing(&error) => Ok(Incoming::More),
            Err(error) => Err(error),
        }
    }
}

impl Read for &Socket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => (&*socket).read(buffer),
            Socket::Unix(socket) => (&*socket).read(buffer),
        }
    }
}

impl Write for &Socket {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => (&*socket).write(bytes),
            Socket::Unix(socket) => (&*socket).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

fn connect_from(source: IpAddr, address: &SocketAddr) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
    // A port of a connection that has just ended may be taken again.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect_timeout(&(*address).into(), ANSWER_TIMEOUT)?;
    Ok(socket.into())
}

/// Whether reading may be tried again.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;
