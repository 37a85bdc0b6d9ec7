//! The request that opens a WebSocket, as a client of ours writes it, and the response it takes.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::rand::SecureRandom;

use super::{
    HEAD_BYTES_MAX, HEADERS_MAX, WebSocketRequest, accept_of, error, extend_head, has_token, values,
};
use crate::layers::LayerError;

/// What a response has to say.
#[derive(Debug)]
pub(super) struct Expected {
    accept: String,
    subprotocol: String,
    /// Bytes of one frame, once it is open.
    pub(super) frame_bytes_max: u64,
}

/// Writes a request, with a key that is new.
pub(super) fn request(
    request: &WebSocketRequest,
    random: &dyn SecureRandom,
) -> Result<(Expected, Vec<u8>), LayerError> {
    let WebSocketRequest { host, path, subprotocol, frame_bytes_max } = request;
    let is_bad = |word: &String| !word.bytes().all(|byte| byte.is_ascii_graphic());
    if [host, path, subprotocol].into_iter().any(is_bad) || !path.starts_with('/') {
        return Err(error("host, path or subprotocol cannot stand in a request"));
    }
    let mut key = [0; 16];
    random.fill(&mut key).map_err(|_| error("no randomness for the key"))?;
    let key = STANDARD.encode(key);
    let bytes = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    );
    let expected = Expected {
        accept: accept_of(&key),
        subprotocol: subprotocol.clone(),
        frame_bytes_max: *frame_bytes_max,
    };
    Ok((expected, bytes.into_bytes()))
}

/// As that of a request, but there is nobody to answer.
pub(super) fn take_head(head: &mut Vec<u8>, bytes: &[u8]) -> Result<Option<usize>, LayerError> {
    let end = extend_head(head, bytes);
    if !head.iter().zip(b"HTTP/1.1 ").all(|(byte, expected)| byte == expected) {
        return Err(error("not an HTTP response"));
    }
    if head.len() > HEAD_BYTES_MAX {
        return Err(error("the head of the response is too long"));
    }
    Ok(end)
}

/// The checks of section 4.1.
pub(super) fn check(head: &[u8], expected: &Expected) -> Result<(), LayerError> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    if !matches!(response.parse(head), Ok(httparse::Status::Complete(_))) {
        return Err(error("not an HTTP response"));
    }
    if response.code != Some(101) {
        let code = response.code.unwrap_or_default();
        let reason = response.reason.unwrap_or_default();
        return Err(error(format!("the server answers {code} {reason}")));
    }
    let headers = &*response.headers;
    if !has_token(headers, "Upgrade", "websocket") || !has_token(headers, "Connection", "Upgrade") {
        return Err(error("the server changes to another protocol"));
    }
    if !values(headers, "Sec-WebSocket-Accept").eq([expected.accept.as_str()]) {
        return Err(error("the server has not understood the key"));
    }
    if values(headers, "Sec-WebSocket-Extensions").next().is_some() {
        return Err(error("the server wants an extension that was not offered"));
    }
    if !values(headers, "Sec-WebSocket-Protocol").eq([expected.subprotocol.as_str()]) {
        return Err(error(format!("the server does not agree to {}", expected.subprotocol)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
