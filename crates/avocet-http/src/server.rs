//! The listener and its connections. Each connection is a task of the runtime; all of them end with
//! the server.

use std::{io, pin::pin, time::Duration};

use avocet_broker::Observer;
use avocet_net::{Address, Arrival, Listener, Place};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpStream,
    task::{JoinHandle, JoinSet},
    time,
};
use tracing::{debug, info, warn};

use crate::{HttpConfig, resource};

/// Bytes of a request's head, and bytes that a connection reads or has to write at once.
const BUFFER_BYTES_MAX: usize = 16 * 1024;

/// A bound address that nobody is served at yet: what comes waits in the system's queue.
#[derive(Debug)]
pub struct HttpListener {
    listener: Listener,
    bounds: Bounds,
}

/// What one connection may use.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    connections_max: usize,
    request_timeout: Duration,
    connection_age_max: Duration,
}

impl HttpListener {
    /// Binds. Has to be called inside a runtime.
    ///
    /// # Errors
    ///
    /// The name does not resolve, the address is in use or not ours, or other machines can reach it
    /// and nobody has said that they may.
    pub fn bind(config: &HttpConfig) -> io::Result<Self> {
        let bounds = Bounds {
            connections_max: config.max_connections as usize,
            request_timeout: config.request_timeout,
            connection_age_max: config.max_connection_age,
        };
        let listener = Listener::bind(&Place::tcp(config.bind.to_string()), None)?;
        let is_open = config.allow_anonymous == Some(true);
        if !is_open && !listener.address().is_local() {
            // The name was one of loopback's, and its address is not.
            let message = "other machines can reach it, and http.allow_anonymous is not set";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        Ok(Self { listener, bounds })
    }

    /// Answers for this broker, on the runtime of the calling task.
    #[must_use]
    pub fn serve(self, observer: Observer) -> HttpServer {
        let address = self.listener.address().clone();
        info!(%address, "Listening for HTTP; everybody who reaches it may ask.");
        let task = tokio::spawn(accept(self.listener, resource::router(observer), self.bounds));
        HttpServer { address, task }
    }
}

/// A listener that is served.
#[derive(Debug)]
pub struct HttpServer {
    address: Address,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Closes the listener and all connections. Then its address is free.
    pub async fn stop(self) {
        self.task.abort();
        // It was aborted, or has panicked, which was told.
        drop(self.task.await);
    }
}

async fn accept(mut listener: Listener, router: Router, bounds: Bounds) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok(Arrival::Stream(accepted)) if connections.len() >= bounds.connections_max => {
                accepted.refuse();
            }
            Ok(Arrival::Failed { .. }) => {}
            Ok(Arrival::Stream(accepted)) => match accepted.into_tcp() {
                Ok(stream) => {
                    connections.spawn(serve(stream, router.clone(), bounds));
                }
                Err(error) => warn!(%error, "Cannot watch one more HTTP connection; closing it."),
            },
            Err(error) => {
                warn!(%error, "Cannot accept for HTTP; trying again in 100 ms.");
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves a connection until it has ended, has been idle for too long, or is too old. Then what was
/// asked for is still answered.
async fn serve(stream: TcpStream, router: Router, bounds: Bounds) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.request_timeout)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = time::sleep(bounds.connection_age_max) => {
            connection.as_mut().graceful_shutdown();
            // A client that does not read its answer is not waited for.
            time::timeout(bounds.request_timeout, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%error, "An HTTP connection ended early.");
    }
}
