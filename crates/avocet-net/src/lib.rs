//! Listeners that give byte streams, and who is at the other end.
//!
//! - [`Place`]: where to listen, at an address or at a file;
//! - [`Listener`]: bound there, it gives [`Accepted`] streams;
//! - [`Socket`]: one stream, never blocking, that any thread may write to;
//! - [`Reactor`]: tells the thread that owns sockets which of them are ready;
//! - [`pipe`](fn@pipe): a stream within the process that is served like any other;
//! - [`Layers`]: what lies between a stream's bytes and those of the protocol it carries: a PROXY
//!   header, TLS, WebSocket framing. Bytes in, bytes out.
//!
//! Nothing here knows MQTT.

mod layers;
mod listener;
mod pipe;
mod place;
mod proxy;
#[cfg(feature = "quic")]
mod quic;
mod reactor;
mod socket;
#[cfg(test)]
mod testing;
mod tls;
mod websocket;

pub use layers::{ClientWrapping, Incoming, Layer, LayerError, Layers, Wrapping};
pub use listener::Listener;
pub use pipe::{PipeEnd, pipe};
#[cfg(feature = "quic")]
pub use place::QuicOptions;
pub use place::{Address, Keepalive, Peer, Place, TcpOptions, UnixOptions};
pub use reactor::{Reactor, Readiness};
pub use socket::{Accepted, Arrival, Socket};
pub use tls::{ClientCertificate, TlsClient, TlsClientOptions, TlsError, TlsOptions, TlsServer};
pub use websocket::{WebSocketOptions, WebSocketRequest};
