//! The request that opens a WebSocket, as the server sees it, and what it answers.

use std::net::{IpAddr, SocketAddr};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    HEAD_BYTES_MAX, HEADERS_MAX, WebSocketOptions, accept_of, error, extend_head, has_token,
    tokens, values,
};
use crate::layers::LayerError;

/// A request that is not granted.
#[derive(Debug)]
struct Refusal {
    status: &'static str,
    /// Further lines of the head.
    headers: &'static str,
    detail: String,
}

impl Refusal {
    fn new(status: &'static str, detail: impl Into<String>) -> Self {
        Self { status, headers: "", detail: detail.into() }
    }

    fn bad(detail: impl Into<String>) -> Self {
        Self::new("400 Bad Request", detail)
    }

    /// Appends the response, which is the last there is.
    fn send(self, raw: &mut Vec<u8>) -> LayerError {
        let Self { status, headers, detail } = self;
        let body = format!("{detail}\n");
        let response = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        raw.extend_from_slice(response.as_bytes());
        error(format!("{status}: {detail}"))
    }
}

/// Adds bytes to what has come of the request's head: how many of them end it, `None` as long as
/// it is not whole.
pub(super) fn take_head(
    head: &mut Vec<u8>,
    bytes: &[u8],
    raw: &mut Vec<u8>,
) -> Result<Option<usize>, LayerError> {
    let end = extend_head(head, bytes);
    // What is not HTTP at all might wait for ever: a method is of letters.
    if head.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
        return Err(Refusal::bad("not an HTTP request").send(raw));
    }
    if head.len() > HEAD_BYTES_MAX {
        let detail = format!("more than {HEAD_BYTES_MAX} bytes before the empty line");
        return Err(Refusal::new("431 Request Header Fields Too Large", detail).send(raw));
    }
    Ok(end)
}

/// Answers a request whose head is whole: who is there, if a header says so.
pub(super) fn answer(
    head: &[u8],
    options: &WebSocketOptions,
    raw: &mut Vec<u8>,
) -> Result<Option<SocketAddr>, LayerError> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let granted = match request.parse(head) {
        Ok(httparse::Status::Complete(bytes)) if bytes == head.len() => grant(&request, options),
        // Lines that end in a line feed alone could hide an empty one.
        Ok(_) => Err(Refusal::bad("lines do not end in CR LF")),
        Err(httparse::Error::TooManyHeaders) => {
            let detail = format!("more than {HEADERS_MAX} header fields");
            Err(Refusal::new("431 Request Header Fields Too Large", detail))
        }
        Err(cause) => Err(Refusal::bad(format!("not an HTTP request: {cause}"))),
    };
    let (accept, subprotocol) = granted.map_err(|refusal| refusal.send(raw))?;
    let mut response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n"
    );
    if let Some(subprotocol) = subprotocol {
        response += &format!("Sec-WebSocket-Protocol: {subprotocol}\r\n");
    }
    response.push_str("\r\n");
    raw.extend_from_slice(response.as_bytes());
    let header = options.proxy_address_header.as_deref();
    Ok(header.and_then(|name| values(request.headers, name).last()).and_then(last_address))
}

/// The checks of section 4.2.1 and those that the options ask for: what goes into the response.
fn grant<'a>(
    request: &httparse::Request<'_, '_>,
    options: &'a WebSocketOptions,
) -> Result<(String, Option<&'a str>), Refusal> {
    let headers = &*request.headers;
    if request.version != Some(1) {
        return Err(Refusal::bad("a WebSocket is opened by HTTP/1.1"));
    }
    if request.method != Some("GET") {
        let status = "405 Method Not Allowed";
        let detail = "a WebSocket is opened by GET".to_owned();
        return Err(Refusal { status, headers: "Allow: GET\r\n", detail });
    }
    let target = request.path.unwrap_or_default();
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if path != options.path {
        let detail = format!("the WebSocket is at {}", options.path);
        return Err(Refusal::new("404 Not Found", detail));
    }
    if values(headers, "Host").count() != 1 {
        return Err(Refusal::bad("exactly one Host is needed"));
    }
    if !has_token(headers, "Upgrade", "websocket") {
        let detail = "this is a WebSocket: Upgrade: websocket is needed".to_owned();
        let headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        return Err(Refusal { status: "426 Upgrade Required", headers, detail });
    }
    if !has_token(headers, "Connection", "Upgrade") {
        return Err(Refusal::bad("Connection: Upgrade is needed"));
    }
    if !values(headers, "Sec-WebSocket-Version").eq(["13"]) {
        let detail = "the version of WebSocket is 13".to_owned();
        let headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        return Err(Refusal { status: "426 Upgrade Required", headers, detail });
    }
    let mut keys = values(headers, "Sec-WebSocket-Key");
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(Refusal::bad("exactly one Sec-WebSocket-Key is needed"));
    };
    if !STANDARD.decode(key).is_ok_and(|key| key.len() == 16) {
        return Err(Refusal::bad("Sec-WebSocket-Key is of 16 bytes in base64"));
    }
    check_origin(headers, options)?;
    Ok((accept_of(key), subprotocol(headers, options)?))
}

/// Browsers say whose page it is; other clients need not, and could say anything.
fn check_origin(
    headers: &[httparse::Header<'_>],
    options: &WebSocketOptions,
) -> Result<(), Refusal> {
    let Some(origin) = values(headers, "Origin").next() else { return Ok(()) };
    let is_named = |expected: &String| expected == "*" || expected.eq_ignore_ascii_case(origin);
    let is_good = if options.origins.is_empty() {
        let host = values(headers, "Host").next().map(without_port);
        let of_page = origin.split_once("://").map(|(_, authority)| without_port(authority));
        of_page.zip(host).is_some_and(|(page, host)| page.eq_ignore_ascii_case(host))
    } else {
        options.origins.iter().any(is_named)
    };
    if is_good {
        return Ok(());
    }
    let detail = format!("pages of {origin} may not connect");
    Err(Refusal::new("403 Forbidden", detail))
}

/// The host of `host:port`, brackets of IPv6 included.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

/// The first of ours that the client offers. [MQTT3-6.0.0-4] [MQTT5-6.0.0-4]
fn subprotocol<'a>(
    headers: &[httparse::Header<'_>],
    options: &'a WebSocketOptions,
) -> Result<Option<&'a str>, Refusal> {
    let is_offered =
        |name: &&String| tokens(values(headers, "Sec-WebSocket-Protocol")).any(|t| t == *name);
    let chosen = options.subprotocols.iter().find(is_offered);
    if chosen.is_none() && options.subprotocol_required {
        let names = options.subprotocols.join(", ");
        return Err(Refusal::bad(format!("Sec-WebSocket-Protocol has to offer one of: {names}")));
    }
    Ok(chosen.map(String::as_str))
}

/// The last address of a list, which is the one that the proxy next to us has seen: those before it
/// are what others have told it, the client itself among them. Its port is 0 if none is told.
fn last_address(list: &str) -> Option<SocketAddr> {
    let last = list.rsplit(',').next()?.trim().trim_matches('"');
    if let Ok(address) = last.parse() {
        return Some(address);
    }
    let bare = last.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(last);
    bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0))
}

#[cfg(test)]
mod tests;
