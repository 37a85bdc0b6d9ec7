//! What lies between the bytes of a stream and those of the protocol it carries: a PROXY header,
//! TLS, WebSocket framing; each only where it is asked for. Bytes in, bytes out: whoever owns the
//! stream reads and writes it.

use std::{fmt, mem, net::SocketAddr, sync::Arc};

use crate::{
    proxy::ProxyHeader,
    tls::{TlsClient, TlsServer, TlsStream},
    websocket::{WebSocket, WebSocketOptions, WebSocketRequest},
};

/// What a listener expects on its streams, from the outside in.
#[derive(Clone, Debug, Default)]
pub struct Wrapping {
    /// Each stream begins with a PROXY header, version 1 or 2.
    pub proxy_protocol: bool,
    /// TLS.
    pub tls: Option<Arc<TlsServer>>,
    /// WebSocket framing.
    pub websocket: Option<Arc<WebSocketOptions>>,
}

/// What a client of ours wraps its streams in, from the outside in.
#[derive(Clone, Debug, Default)]
pub struct ClientWrapping {
    /// TLS.
    pub tls: Option<TlsClient>,
    /// WebSocket framing.
    pub websocket: Option<WebSocketRequest>,
}

/// Whether more may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Yes.
    More,
    /// The other side has said that it sends no more.
    End,
}

/// The layers of one stream.
#[derive(Debug)]
pub struct Layers {
    /// Until the header has come.
    proxy: Option<ProxyHeader>,
    tls: Option<Box<TlsStream>>,
    websocket: Option<Box<WebSocket>>,
    /// What a client of ours says first, once TLS is open.
    request: Vec<u8>,
    peer: Option<SocketAddr>,
    standing: Standing,
}

/// How a stream is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Good,
    /// We have ended it.
    Closed,
    /// This layer could not go on.
    Failed(Layer),
}

impl Layers {
    /// Those of an accepted stream; `None` if there are none.
    #[must_use]
    pub fn accept(wrapping: &Wrapping) -> Option<Box<Self>> {
        let Wrapping { proxy_protocol, tls, websocket } = wrapping;
        if !proxy_protocol && tls.is_none() && websocket.is_none() {
            return None;
        }
        let mut standing = Standing::Good;
        let tls = tls.as_ref().and_then(|server| {
            let stream = TlsStream::accept(server.config());
            if stream.is_err() {
                standing = Standing::Failed(Layer::Tls);
            }
            stream.ok().map(Box::new)
        });
        Some(Box::new(Self {
            proxy: proxy_protocol.then(ProxyHeader::default),
            tls,
            websocket: websocket.clone().map(|options| Box::new(WebSocket::accept(options))),
            request: Vec::new(),
            peer: None,
            standing,
        }))
    }

    /// Those of a stream that a client of ours has opened; `None` if there are none. What it says
    /// first is appended to `raw`.
    ///
    /// # Errors
    ///
    /// What the client wants cannot be said.
    pub fn connect(
        wrapping: &ClientWrapping,
        raw: &mut Vec<u8>,
    ) -> Result<Option<Box<Self>>, LayerError> {
        let ClientWrapping { tls, websocket } = wrapping;
        if tls.is_none() && websocket.is_none() {
            return Ok(None);
        }
        let (websocket, mut request) = match websocket.as_ref().map(WebSocket::connect) {
            Some(connected) => {
                let (websocket, request) = connected?;
                (Some(Box::new(websocket)), request)
            }
            None => (None, Vec::new()),
        };
        let tls = match tls {
            Some(client) => Some(Box::new(TlsStream::connect(client, raw)?)),
            None => {
                raw.extend_from_slice(&mem::take(&mut request));
                None
            }
        };
        let standing = Standing::Good;
        Ok(Some(Box::new(Self { proxy: None, tls, websocket, request, peer: None, standing })))
    }

    /// Takes bytes that came on the stream, in any pieces, and may overwrite them. What they carry
    /// is appended to `plain`, what has to be answered to `raw`.
    ///
    /// # Errors
    ///
    /// The other side does not keep to what was expected. `raw` may have got a last answer that
    /// says so; the stream is to be ended once that is written. What was appended to `plain` before
    /// counts. Each further call is an error, too.
    pub fn receive(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        raw: &mut Vec<u8>,
    ) -> Result<Incoming, LayerError> {
        if let Standing::Failed(layer) = self.standing {
            return Err(LayerError::new(layer, "it has failed before"));
        }
        let result = self.take(bytes, plain, raw);
        if let Err(error) = &result {
            self.standing = Standing::Failed(error.layer);
            self.peer = self.peer();
            // What they hold is of no use any more.
            self.proxy = None;
            self.tls = None;
            self.websocket = None;
        }
        result
    }

    /// Whether all handshakes are over: from then on something may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.standing, Standing::Failed(_)) && self.closed_layer().is_none()
    }

    /// Wraps bytes of the protocol: what is to be written to the stream is appended to `raw`. Each
    /// call makes at least one TLS record and one WebSocket message: the fewer, the cheaper.
    ///
    /// # Errors
    ///
    /// The handshakes are not over, or the stream has been closed.
    pub fn seal(&mut self, plain: &[u8], raw: &mut Vec<u8>) -> Result<(), LayerError> {
        let outermost = if self.tls.is_some() { Layer::Tls } else { Layer::WebSocket };
        match (self.standing, self.closed_layer()) {
            (Standing::Failed(layer), _) => {
                return Err(LayerError::new(layer, "it has failed before"));
            }
            (Standing::Closed, _) => return Err(LayerError::new(outermost, "it has been closed")),
            (Standing::Good, Some(layer)) => {
                return Err(LayerError::new(layer, "the handshake is not over"));
            }
            (Standing::Good, None) => {}
        }
        if plain.is_empty() {
            return Ok(());
        }
        match (&mut self.tls, &mut self.websocket) {
            (None, None) => raw.extend_from_slice(plain),
            (Some(tls), None) => tls.seal(plain, raw)?,
            (None, Some(websocket)) => websocket.seal(plain, raw)?,
            (Some(tls), Some(websocket)) => {
                let mut frame = Vec::new();
                websocket.seal(plain, &mut frame)?;
                tls.seal(&frame, raw)?;
            }
        }
        Ok(())
    }

    /// The stream ends by our word: appends what tells the other side. Once; nothing if a handshake
    /// is not over.
    pub fn close(&mut self, raw: &mut Vec<u8>) {
        if self.standing != Standing::Good || !self.is_open() {
            return;
        }
        self.standing = Standing::Closed;
        let Some(tls) = &mut self.tls else {
            if let Some(websocket) = &mut self.websocket {
                websocket.close(raw);
            }
            return;
        };
        let mut frame = Vec::new();
        if let Some(websocket) = &mut self.websocket {
            websocket.close(&mut frame);
        }
        end_tls(tls, &frame, raw);
    }

    /// Whether nothing is left of them, so that the stream may go on without.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let is_bare = self.proxy.is_none() && self.tls.is_none() && self.websocket.is_none();
        is_bare && self.standing == Standing::Good
    }

    /// Who is there, if a PROXY header or a WebSocket request says otherwise than the socket. The
    /// request counts more: whoever wrote it was nearer to the client.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.websocket.as_ref().and_then(|websocket| websocket.peer()).or(self.peer)
    }

    /// Whether the other side has proved who it is with a certificate that our authorities signed.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_verified())
    }

    #[cfg(test)]
    pub(crate) fn tls(&self) -> &TlsStream {
        self.tls.as_ref().expect("a test of TLS")
    }

    fn take(
        &mut self,
        mut bytes: &mut [u8],
        plain: &mut Vec<u8>,
        raw: &mut Vec<u8>,
    ) -> Result<Incoming, LayerError> {
        if let Some(proxy) = &mut self.proxy {
            let header = proxy.receive(bytes).map_err(|e| LayerError::new(Layer::Proxy, e))?;
            let Some(header) = header else { return Ok(Incoming::More) };
            self.proxy = None;
            self.peer = header.peer;
            bytes = &mut bytes[header.used..];
        }
        match (&mut self.tls, &mut self.websocket) {
            (None, None) => {
                plain.extend_from_slice(bytes);
                Ok(Incoming::More)
            }
            (Some(tls), None) => {
                Ok(tls.receive(bytes, raw, &mut |record| plain.extend_from_slice(record))?)
            }
            (None, Some(websocket)) => websocket.receive(bytes, plain, raw),
            (Some(tls), Some(websocket)) => {
                let mut answer = Vec::new();
                let mut inner = Ok(Incoming::More);
                let outer = tls.receive(bytes, raw, &mut |record| {
                    if matches!(inner, Ok(Incoming::More)) {
                        inner = websocket.receive(record, plain, &mut answer);
                    }
                })?;
                if !self.request.is_empty() && tls.is_open() {
                    tls.seal(&mem::take(&mut self.request), raw)?;
                }
                match &inner {
                    // After our close_notify nothing may follow.
                    _ if self.standing != Standing::Good => {}
                    Err(_) => end_tls(tls, &answer, raw),
                    Ok(_) if answer.is_empty() => {}
                    Ok(_) => tls.seal(&answer, raw)?,
                }
                let inner = inner?;
                Ok(if outer == Incoming::End { outer } else { inner })
            }
        }
    }

    /// The outermost layer whose handshake is not over.
    fn closed_layer(&self) -> Option<Layer> {
        if self.proxy.is_some() {
            return Some(Layer::Proxy);
        }
        if self.tls.as_ref().is_some_and(|tls| !tls.is_open()) {
            return Some(Layer::Tls);
        }
        let websocket = self.websocket.as_ref()?;
        (!websocket.is_open()).then_some(Layer::WebSocket)
    }
}

/// Appends the last bytes that are for the other side, and the end of TLS. If that fails there is
/// nothing left that could be said.
fn end_tls(tls: &mut TlsStream, last: &[u8], raw: &mut Vec<u8>) {
    if tls.seal(last, raw).is_ok() {
        drop(tls.close(raw));
    }
}

/// Which layer the other side did not get right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The PROXY header.
    Proxy,
    /// TLS.
    Tls,
    /// The request of a WebSocket, or its frames.
    WebSocket,
    /// QUIC, which has TLS within it.
    Quic,
}

/// The other side does not keep to what a layer expects.
#[derive(Debug)]
pub struct LayerError {
    /// Where.
    pub layer: Layer,
    /// What.
    pub detail: String,
}

impl LayerError {
    pub(crate) fn new(layer: Layer, detail: impl Into<String>) -> Self {
        Self { layer, detail: detail.into() }
    }
}

impl From<rustls::Error> for LayerError {
    fn from(error: rustls::Error) -> Self {
        Self::new(Layer::Tls, error.to_string())
    }
}

impl fmt::Display for LayerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.layer {
            Layer::Proxy => "PROXY header",
            Layer::Tls => "TLS",
            Layer::WebSocket => "WebSocket",
            Layer::Quic => "QUIC",
        };
        write!(f, "{name}: {}", self.detail)
    }
}

impl std::error::Error for LayerError {}

#[cfg(test)]
mod tests;
