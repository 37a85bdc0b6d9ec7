//! WebSocket (RFC 6455): the request that opens it, and its frames.

/// What a listener takes for a WebSocket.
#[derive(Clone, Debug)]
pub struct WebSocketOptions {
    /// The path of the request.
    pub path: String,
    /// The subprotocols that are spoken, the preferred one first.
    pub subprotocols: Vec<String>,
    /// Whether the client has to offer one of them.
    pub subprotocol_required: bool,
    /// The values of `Origin` that are let in; empty: any, and none.
    pub origins: Vec<String>,
    /// The header in which a proxy in front says where the client is.
    pub proxy_address_header: Option<String>,
    /// Bytes of one frame.
    pub frame_bytes_max: u64,
}
