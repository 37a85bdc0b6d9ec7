//! QUIC: of each connection the one bidirectional stream that its client opens, as a stream like
//! any other. A task carries the bytes between it and a pipe whose other end is served.

use std::{
    io,
    net::UdpSocket,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, RecvStream, SendStream, ServerConfig,
    TokioRuntime, TransportConfig, VarInt, crypto::rustls::QuicServerConfig,
};
use tokio::{
    io::{AsyncWriteExt, copy},
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{Accepted, Arrival, Layer, LayerError, Peer, PipeEnd, QuicOptions, TlsServer, pipe};

/// Bytes on their way between a stream and its pipe, in each direction.
const PIPE_BYTES: usize = 64 * 1024;
/// Bytes of a stream that a client may send ahead, and that are kept until it has them.
const WINDOW_BYTES: u32 = 256 * 1024;
/// Connections that are not accepted yet: in their handshake, without a stream, or waiting for
/// their turn.
const PENDING_MAX: usize = 1024;
/// From so many on, a client has to show that it can be reached at the address it sends from.
const UNVALIDATED_MAX: usize = 64;
/// What has come and waits to be accepted.
const READY_MAX: usize = 64;
/// How long the client may take for the last bytes, and then to confirm them.
const LINGER: Duration = Duration::from_secs(5);

/// A bound QUIC endpoint.
#[derive(Debug)]
pub(crate) struct BoundQuic {
    endpoint: Endpoint,
    ready: mpsc::Receiver<Arrival>,
    acceptor: JoinHandle<()>,
}

impl BoundQuic {
    /// Serves the endpoint on the runtime of the calling task.
    ///
    /// # Errors
    ///
    /// The certificates are not for TLS 1.3, which QUIC needs.
    pub(crate) fn bind(
        socket: UdpSocket,
        options: &QuicOptions,
        tls: Arc<TlsServer>,
    ) -> io::Result<Self> {
        let config = Config { tls, latest: Mutex::new(None) };
        let endpoint_config = EndpointConfig::default();
        let first = config.latest()?;
        let endpoint =
            Endpoint::new(endpoint_config, Some((*first).clone()), socket, Arc::new(TokioRuntime))?;
        let (sender, receiver) = mpsc::channel(READY_MAX);
        let acceptor = Acceptor {
            config,
            ready: sender,
            pending: Arc::new(Semaphore::new(PENDING_MAX)),
            patience: options.open_timeout,
        };
        let acceptor = tokio::spawn(acceptor.run(endpoint.clone()));
        Ok(Self { endpoint, ready: receiver, acceptor })
    }

    /// The next stream, or what has come to nothing.
    pub(crate) async fn accept(&mut self) -> io::Result<Arrival> {
        self.ready.recv().await.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    pub(crate) fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.endpoint.local_addr()
    }
}

impl Drop for BoundQuic {
    /// Connections that are being served go on.
    fn drop(&mut self) {
        self.acceptor.abort();
        self.endpoint.set_server_config(None);
    }
}

/// What each new connection is told; it follows the certificates.
struct Config {
    tls: Arc<TlsServer>,
    latest: Mutex<Option<(Arc<rustls::ServerConfig>, Arc<ServerConfig>)>>,
}

impl Config {
    fn latest(&self) -> io::Result<Arc<ServerConfig>> {
        let tls = self.tls.config();
        let mut latest = self.latest.lock();
        match &*latest {
            Some((of, config)) if Arc::ptr_eq(of, &tls) => return Ok(Arc::clone(config)),
            Some(_) | None => {}
        }
        let crypto = QuicServerConfig::try_from(Arc::clone(&tls)).map_err(io::Error::other)?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config.transport_config(Arc::new(transport()));
        let config = Arc::new(config);
        *latest = Some((tls, Arc::clone(&config)));
        Ok(config)
    }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .send_window(WINDOW_BYTES.into())
        // MQTT's keep alive says when a client is gone.
        .max_idle_timeout(None);
    transport
}

struct Acceptor {
    config: Config,
    ready: mpsc::Sender<Arrival>,
    pending: Arc<Semaphore>,
    patience: Duration,
}

impl Acceptor {
    async fn run(self, endpoint: Endpoint) {
        while let Some(incoming) = endpoint.accept().await {
            let is_crowded = self.pending.available_permits() < PENDING_MAX - UNVALIDATED_MAX;
            if is_crowded && !incoming.remote_address_validated() {
                // It was not to be retried only if it has been.
                incoming.retry().ok();
                continue;
            }
            let peer = Peer::Ip(incoming.remote_address());
            let Ok(permit) = Arc::clone(&self.pending).try_acquire_owned() else {
                incoming.refuse();
                self.tell(peer, "too many connections are not accepted yet");
                continue;
            };
            let config = match self.config.latest() {
                Ok(config) => config,
                Err(error) => {
                    incoming.refuse();
                    self.tell(peer, &error.to_string());
                    continue;
                }
            };
            let (ready, patience) = (self.ready.clone(), self.patience);
            let came_at = Instant::now();
            tokio::spawn(async move {
                let opened = timeout(patience, open(incoming, came_at, config, &ready)).await;
                drop(permit);
                match opened {
                    Ok(Ok(stream)) => stream.carry().await,
                    Ok(Err(error)) => tell(&ready, peer, &error.to_string()),
                    Err(_) => tell(&ready, peer, "no stream, or no turn for it, in time"),
                }
            });
        }
    }

    fn tell(&self, peer: Peer, detail: &str) {
        tell(&self.ready, peer, detail);
    }
}

/// Says that a connection has come to nothing. Where so much waits already that there is no room,
/// nobody misses it.
fn tell(ready: &mpsc::Sender<Arrival>, peer: Peer, detail: &str) {
    let error = LayerError::new(Layer::Quic, detail);
    ready.try_send(Arrival::Failed { peer, error }).ok();
}

/// The stream that a client has opened, the connection that it is all of, and the end of the pipe
/// whose other end is served.
struct Stream {
    connection: Connection,
    from_client: RecvStream,
    to_client: SendStream,
    end: PipeEnd,
}

/// Does the handshake, waits for the stream, and hands one end of a pipe to who accepts.
async fn open(
    incoming: Incoming,
    came_at: Instant,
    config: Arc<ServerConfig>,
    ready: &mpsc::Sender<Arrival>,
) -> io::Result<Stream> {
    let connection = incoming.accept_with(config).map_err(io::Error::other)?;
    let connection = connection.await.map_err(io::Error::other)?;
    let (to_client, from_client) = connection.accept_bi().await.map_err(io::Error::other)?;
    let peer = Peer::Ip(connection.remote_address());
    let (served, end) = pipe(PIPE_BYTES, [peer, Peer::Local]);
    // What its certificate is was looked at in the handshake.
    let served = served.verified(connection.peer_identity().is_some());
    tokio::select! {
        room = ready.reserve() => {
            let accepted = Accepted::from(served).since(came_at);
            room.map_err(io::Error::other)?.send(Arrival::Stream(accepted));
        }
        gone = connection.closed() => return Err(io::Error::other(gone)),
    }
    Ok(Stream { connection, from_client, to_client, end })
}

impl Stream {
    /// Carries the bytes until the stream is over.
    async fn carry(self) {
        let Self { connection, mut from_client, mut to_client, end } = self;
        let inward = async {
            carry_in(&mut from_client, &end).await;
            std::future::pending::<()>().await;
        };
        let last_bytes = async {
            end.ended().await;
            sleep(LINGER).await;
        };
        let stopped = to_client.stopped();
        tokio::select! {
            () = carry_out(&end, &mut to_client) => {}
            _ = stopped => {}
            () = last_bytes => {}
            () = inward => {}
        }
        // The client is given time to have it all: closing does not wait for that.
        if to_client.finish().is_ok() {
            timeout(LINGER, to_client.stopped()).await.ok();
        }
        connection.close(VarInt::from_u32(0), b"");
    }
}

/// From the client until it finishes or breaks off; then the pipe ends, too.
async fn carry_in(from_client: &mut RecvStream, mut end: &PipeEnd) {
    copy(from_client, &mut end).await.ok();
    end.shutdown().await.ok();
}

/// To the client until the broker has ended the stream, or the client takes no more.
async fn carry_out(mut end: &PipeEnd, to_client: &mut SendStream) {
    copy(&mut end, to_client).await.ok();
}

#[cfg(test)]
mod tests;
