//! What lies between the bytes of a stream and those of the protocol it carries: a PROXY header,
//! TLS, WebSocket framing; each only where it is asked for. Bytes in, bytes out: whoever owns the
//! stream reads and writes it.

use std::{fmt, net::SocketAddr, sync::Arc};

use crate::{tls::TlsServer, websocket::WebSocketOptions};

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
pub struct Layers {}

impl Layers {
    /// Those of an accepted stream; `None` if there are none.
    #[must_use]
    pub fn accept(_wrapping: &Wrapping) -> Option<Box<Self>> {
        None
    }

    /// Takes bytes that came on the stream, in any pieces, and may overwrite them. What they carry
    /// is appended to `plain`, what has to be answered to `raw`.
    ///
    /// # Errors
    ///
    /// The other side does not keep to what was expected. `raw` may have got a last answer that
    /// says so; the stream is to be ended once that is written. What was appended to `plain` before
    /// counts.
    pub fn receive(
        &mut self,
        _bytes: &mut [u8],
        _plain: &mut Vec<u8>,
        _raw: &mut Vec<u8>,
    ) -> Result<Incoming, LayerError> {
        Ok(Incoming::More)
    }

    /// Whether all handshakes are over: from then on something may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        true
    }

    /// Wraps bytes of the protocol: what is to be written to the stream is appended to `raw`. Each
    /// call makes at least one TLS record and one WebSocket message: the fewer, the cheaper.
    ///
    /// # Errors
    ///
    /// The handshakes are not over, or the stream has been closed.
    pub fn seal(&mut self, _plain: &[u8], _raw: &mut Vec<u8>) -> Result<(), LayerError> {
        Ok(())
    }

    /// The stream ends by our word: appends what tells the other side. Once; nothing if a handshake
    /// is not over.
    pub fn close(&mut self, _raw: &mut Vec<u8>) {}

    /// Whether nothing is left of them, so that the stream may go on without.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        true
    }

    /// Who is there, if a PROXY header or a WebSocket request says otherwise than the socket.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        None
    }

    /// Whether the other side has proved who it is with a certificate that our authorities signed.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        false
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
}

/// The other side does not keep to what a layer expects.
#[derive(Debug)]
pub struct LayerError {
    /// Where.
    pub layer: Layer,
    /// What.
    pub detail: String,
}

impl fmt::Display for LayerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.layer {
            Layer::Proxy => "PROXY header",
            Layer::Tls => "TLS",
            Layer::WebSocket => "WebSocket",
        };
        write!(f, "{name}: {}", self.detail)
    }
}

impl std::error::Error for LayerError {}
