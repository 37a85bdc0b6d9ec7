//! Listening sockets.

mod unix;

#[cfg(feature = "quic")]
use std::net::UdpSocket;
use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use socket2::{Domain, Protocol, SockRef, TcpKeepalive, Type};
use tokio::net::TcpListener;

use self::unix::BoundUnix;
#[cfg(feature = "quic")]
use crate::quic::BoundQuic;
use crate::{Address, Arrival, Place, TcpOptions, TlsServer};

/// A bound socket. One acceptor serves it and hands the streams on.
#[derive(Debug)]
pub struct Listener {
    socket: Bound,
    address: Address,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(BoundUnix),
    #[cfg(feature = "quic")]
    Quic(BoundQuic),
}

impl Listener {
    /// Binds and listens. Has to be called inside a runtime. `tls` is for QUIC, which cannot be
    /// without: no other place asks for it.
    ///
    /// # Errors
    ///
    /// The name does not resolve; the address is in use or not ours; the file is something else, or
    /// its folder is not writable.
    #[cfg_attr(not(feature = "quic"), expect(unused_variables, reason = "for QUIC alone"))]
    pub fn bind(place: &Place, tls: Option<&Arc<TlsServer>>) -> io::Result<Self> {
        match place {
            Place::Tcp(options) => {
                let socket = first(&options.bind, |address| bind_one(address, options))?;
                let address = Address::Ip(socket.local_addr()?);
                Ok(Self { socket: Bound::Tcp(socket), address })
            }
            Place::Unix(options) => {
                let socket = BoundUnix::bind(options)?;
                Ok(Self {
                    socket: Bound::Unix(socket),
                    address: Address::Path(options.path.clone()),
                })
            }
            #[cfg(feature = "quic")]
            Place::Quic(options) => {
                let socket = first(&options.bind, UdpSocket::bind)?;
                let tls = tls.ok_or_else(|| io::Error::other("there is no certificate"))?;
                let socket = BoundQuic::bind(socket, options, Arc::clone(tls))?;
                let address = Address::Ip(socket.local_addr()?);
                Ok(Self { socket: Bound::Quic(socket), address })
            }
        }
    }

    /// Where it listens; with port 0 in `bind`, which port it got.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection.
    ///
    /// # Errors
    ///
    /// What `accept(2)` says; running out of descriptors among it. The listener stays usable.
    pub async fn accept(&mut self) -> io::Result<Arrival> {
        match &mut self.socket {
            Bound::Tcp(socket) => Ok(Arrival::Stream(socket.accept().await?.0.into_std()?.into())),
            Bound::Unix(socket) => Ok(Arrival::Stream(socket.accept().await?)),
            #[cfg(feature = "quic")]
            Bound::Quic(socket) => socket.accept().await,
        }
    }
}

/// Binds at the first address of a name that can be had.
fn first<T>(name: &str, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut last = None;
    for address in name.to_socket_addrs()? {
        match bind(address) {
            Ok(bound) => return Ok(bound),
            // Another of its addresses would be another's clients'.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("the name has no address")))
}

fn bind_one(address: SocketAddr, options: &TcpOptions) -> io::Result<TcpListener> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    // [MQTT3-7.1.1-1] [MQTT5-4.2.0-1]
    let socket = socket2::Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    set_options(&socket, options)?;
    socket.bind(&address.into())?;
    socket.listen(options.backlog.into())?;
    TcpListener::from_std(socket.into())
}

/// What is set here holds for the streams that are accepted: they need no calls of their own.
fn set_options(socket: &socket2::Socket, options: &TcpOptions) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(options.no_delay)?;
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(keepalive) = options.keepalive {
        let asked = TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.count);
        socket.set_tcp_keepalive(&asked)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
