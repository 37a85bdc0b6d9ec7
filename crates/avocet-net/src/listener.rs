//! Listening sockets.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
};

use socket2::{Domain, Protocol, Type};
use tokio::net::TcpListener;

use crate::Accepted;

/// Connections the system keeps for us until we accept them.
const BACKLOG: i32 = 1024;

/// A bound TCP socket. One acceptor serves it and hands the streams on.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds and listens. Has to be called inside a runtime.
    ///
    /// # Errors
    ///
    /// The name does not resolve, the address is in use or not ours.
    pub fn bind(address: &str) -> io::Result<Self> {
        let mut last = None;
        for address in address.to_socket_addrs()? {
            match bind_one(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("the name has no address")))
    }

    /// Where it listens; with port 0 in `bind`, which port it got.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection.
    ///
    /// # Errors
    ///
    /// What `accept(2)` says; running out of descriptors among it. The listener stays usable.
    pub async fn accept(&self) -> io::Result<Accepted> {
        let (stream, _) = self.socket.accept().await?;
        Accepted::new(stream)
    }
}

fn bind_one(address: SocketAddr) -> io::Result<Listener> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    // [MQTT3-7.1.1-1] [MQTT5-4.2.0-1]
    let socket = socket2::Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from_std(socket.into())?;
    let address = socket.local_addr()?;
    Ok(Listener { socket, address })
}
