//! WebSocket (RFC 6455): the request that opens it (`request.rs`, `response.rs`), and its frames
//! (`frame.rs`, `mask.rs`). Both sides; no extension is offered or taken, so nothing is compressed.

mod frame;
mod mask;
mod request;
mod response;

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{digest, rand::SystemRandom};

use crate::layers::{Incoming, Layer, LayerError};
use frame::Frames;
use response::Expected;

/// Bytes of a request's or a response's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header fields of a request or a response.
const HEADERS_MAX: usize = 64;

/// What a listener takes for a WebSocket.
#[derive(Clone, Debug)]
pub struct WebSocketOptions {
    /// The path of the request.
    pub path: String,
    /// The subprotocols that are spoken, the preferred one first.
    pub subprotocols: Vec<String>,
    /// Whether the client has to offer one of them.
    pub subprotocol_required: bool,
    /// The values of `Origin` that are let in, `*` for any; empty: those of the host that the
    /// request is for. A request without `Origin` is none of a browser's and is let in.
    pub origins: Vec<String>,
    /// The header in which a proxy in front says where the client is.
    pub proxy_address_header: Option<String>,
    /// Bytes of one frame.
    pub frame_bytes_max: u64,
}

/// What most clients of MQTT ask for.
impl Default for WebSocketOptions {
    fn default() -> Self {
        Self {
            path: "/mqtt".to_owned(),
            subprotocols: vec!["mqtt".to_owned(), "mqttv3.1".to_owned()],
            subprotocol_required: true,
            origins: Vec::new(),
            proxy_address_header: None,
            frame_bytes_max: u64::MAX,
        }
    }
}

/// What a client of ours asks for.
#[derive(Clone, Debug)]
pub struct WebSocketRequest {
    /// The name of the server, with the port if it is not the usual one.
    pub host: String,
    /// The path of the request.
    pub path: String,
    /// The subprotocol that is offered, and has to be agreed to.
    pub subprotocol: String,
    /// Bytes of one frame of the server.
    pub frame_bytes_max: u64,
}

impl WebSocketRequest {
    /// The usual one for this server.
    #[must_use]
    pub fn to(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            path: "/mqtt".to_owned(),
            subprotocol: "mqtt".to_owned(),
            frame_bytes_max: u64::MAX,
        }
    }
}

/// One WebSocket, of either side.
#[derive(Debug)]
pub(crate) struct WebSocket {
    state: State,
    peer: Option<SocketAddr>,
}

#[derive(Debug)]
enum State {
    /// The server waits for a request, of which this has come.
    Requested { options: Arc<WebSocketOptions>, head: Vec<u8> },
    /// The client waits for a response, of which this has come.
    Answered { expected: Expected, head: Vec<u8> },
    /// Frames go both ways.
    Open(Frames),
}

impl WebSocket {
    /// The server's side.
    pub(crate) fn accept(options: Arc<WebSocketOptions>) -> Self {
        Self { state: State::Requested { options, head: Vec::new() }, peer: None }
    }

    /// The client's side, and its request.
    ///
    /// # Errors
    ///
    /// What is asked for cannot stand in a request; there is no randomness.
    pub(crate) fn connect(request: &WebSocketRequest) -> Result<(Self, Vec<u8>), LayerError> {
        let (expected, bytes) = response::request(request, &SystemRandom::new())?;
        Ok((Self { state: State::Answered { expected, head: Vec::new() }, peer: None }, bytes))
    }

    /// Takes bytes; what they carry is appended to `plain`, what is to be answered to `raw`.
    ///
    /// # Errors
    ///
    /// The other side does not keep to the standard, or is not let in; `raw` has got the answer.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        plain: &mut Vec<u8>,
        raw: &mut Vec<u8>,
    ) -> Result<Incoming, LayerError> {
        let (used, frames) = match &mut self.state {
            State::Open(frames) => return frames.receive(bytes, plain, raw),
            State::Requested { options, head } => {
                let Some(used) = request::take_head(head, bytes, raw)? else {
                    return Ok(Incoming::More);
                };
                self.peer = request::answer(head, options, raw)?;
                (used, Frames::of_server(options.frame_bytes_max))
            }
            State::Answered { expected, head } => {
                let Some(used) = response::take_head(head, bytes)? else {
                    return Ok(Incoming::More);
                };
                response::check(head, expected)?;
                (used, Frames::of_client(expected.frame_bytes_max))
            }
        };
        self.state = State::Open(frames);
        if used == bytes.len() {
            return Ok(Incoming::More);
        }
        self.receive(&bytes[used..], plain, raw)
    }

    /// Whether frames may be sent.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Who is there, if a header of the request says so.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Appends a frame that carries `plain`.
    ///
    /// # Errors
    ///
    /// It is not open, or has been closed.
    pub(crate) fn seal(&mut self, plain: &[u8], raw: &mut Vec<u8>) -> Result<(), LayerError> {
        match &mut self.state {
            State::Open(frames) => frames.seal(plain, raw),
            State::Requested { .. } | State::Answered { .. } => Err(error("it is not open yet")),
        }
    }

    /// Appends the frame that ends it, unless one was sent.
    pub(crate) fn close(&mut self, raw: &mut Vec<u8>) {
        if let State::Open(frames) = &mut self.state {
            frames.close(frame::NORMAL, raw);
        }
    }
}

/// What answers a key, and shows that the server has understood (section 4.2.2).
fn accept_of(key: &str) -> String {
    let salted = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, salted.as_bytes()))
}

/// Adds to what has come of a head the bytes up to its empty line: how many those are. `None` if
/// the line is not among them; then they are all of the head, or it is too long.
fn extend_head(head: &mut Vec<u8>, bytes: &[u8]) -> Option<usize> {
    let before = head.len();
    let room = (HEAD_BYTES_MAX + 1).saturating_sub(before);
    head.extend_from_slice(&bytes[..room.min(bytes.len())]);
    let from = before.saturating_sub(3);
    let end = from + head[from..].windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    head.truncate(end);
    Some(end - before)
}

/// The tokens of header fields that are lists, each without the space around it.
fn tokens<'a>(values: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// The values of the fields of this name that are text.
fn values<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .filter_map(|header| str::from_utf8(header.value).ok())
        .map(str::trim)
}

/// Whether a field that is a list has this token.
fn has_token(headers: &[httparse::Header<'_>], name: &str, expected: &str) -> bool {
    tokens(values(headers, name)).any(|token| token.eq_ignore_ascii_case(expected))
}

fn error(detail: impl Into<String>) -> LayerError {
    LayerError::new(Layer::WebSocket, detail)
}

#[cfg(test)]
mod tests;
