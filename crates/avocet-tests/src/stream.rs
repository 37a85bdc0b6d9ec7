//! What a client speaks over: TCP, a Unix socket, TLS by rustls' own buffered stream, WebSocket by
//! tungstenite. None of it is Avocet's code.

use std::{
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, StreamOwned,
    pki_types::{CertificateDer, ServerName},
};
use tungstenite::{
    ClientRequestBuilder, Error, HandshakeError, Message, WebSocket,
    protocol::{WebSocketConfig, frame::coding::CloseCode},
};

use crate::deadline;

/// Blocking bytes in both directions.
pub trait Stream: Read + Write + Send + fmt::Debug {
    /// How long a single read may wait.
    fn patience(&mut self, limit: Duration);

    /// Ends it as a lost network does, without a word.
    fn cut(&mut self);
}

/// A TCP connection whose reads and writes have a deadline.
pub fn tcp(address: SocketAddr) -> TcpStream {
    let opened = TcpStream::connect_timeout(&address, deadline::ANSWER);
    let stream = opened.unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
    stream.set_nodelay(true).expect("a socket takes its options");
    stream.set_read_timeout(Some(deadline::ANSWER)).expect("a socket takes its options");
    stream.set_write_timeout(Some(deadline::ANSWER)).expect("a socket takes its options");
    stream
}

/// A connection to a Unix socket whose reads and writes have a deadline.
pub fn unix(path: &Path) -> UnixStream {
    let opened = UnixStream::connect(path);
    let stream = opened.unwrap_or_else(|error| panic!("connecting to {path:?}: {error}"));
    stream.set_read_timeout(Some(deadline::ANSWER)).expect("a socket takes its options");
    stream.set_write_timeout(Some(deadline::ANSWER)).expect("a socket takes its options");
    stream
}

impl Stream for TcpStream {
    fn patience(&mut self, limit: Duration) {
        self.set_read_timeout(Some(limit)).expect("a socket takes its options");
    }

    fn cut(&mut self) {
        // Fails only when it has ended already.
        drop(self.shutdown(Shutdown::Both));
    }
}

impl Stream for UnixStream {
    fn patience(&mut self, limit: Duration) {
        self.set_read_timeout(Some(limit)).expect("a socket takes its options");
    }

    fn cut(&mut self) {
        // Fails only when it has ended already.
        drop(self.shutdown(Shutdown::Both));
    }
}

/// TLS. That the other side ends it without saying so is an error of reading.
#[derive(Debug)]
pub struct Tls(StreamOwned<ClientConnection, TcpStream>);

impl Tls {
    /// Does the handshake with the server of this name. With TLS 1.3 a server that does not want
    /// our certificate says so only later: see [`Self::refusal`].
    ///
    /// # Errors
    ///
    /// One of the two does not want the other.
    pub fn open(socket: TcpStream, config: &Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).expect("a name or an address");
        let connection = ClientConnection::new(Arc::clone(config), name).expect("a good config");
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self(stream))
    }

    pub fn version(&self) -> ProtocolVersion {
        self.0.conn.protocol_version().expect("the handshake is over")
    }

    /// What the server has shown.
    pub fn certificate(&self) -> CertificateDer<'static> {
        let chain = self.0.conn.peer_certificates().expect("the handshake is over");
        chain[0].clone().into_owned()
    }

    /// Says that nothing more comes, and leaves the socket as it is.
    pub fn end(&mut self) {
        self.0.conn.send_close_notify();
        self.0.flush().expect("the other side is there");
    }

    /// Changes the keys, ours and the server's, which TLS 1.3 allows at any time.
    pub fn refresh_keys(&mut self) {
        self.0.conn.refresh_traffic_keys().expect("this is TLS 1.3");
    }

    /// What a server says that does not let us in.
    #[track_caller]
    pub fn refusal(mut self) -> String {
        let read = self.0.read(&mut [0; 1]);
        read.map_or_else(|error| error.to_string(), |count| panic!("not refused: {count} bytes"))
    }
}

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Stream for Tls {
    fn patience(&mut self, limit: Duration) {
        self.0.sock.patience(limit);
    }

    fn cut(&mut self) {
        self.0.sock.cut();
    }
}

/// WebSocket: each write is one binary message. What ends it is a Close of the other side, with
/// nothing wrong about it; an end without one is an error of reading.
#[derive(Debug)]
pub struct Web {
    socket: WebSocket<Box<dyn Stream>>,
    unread: Vec<u8>,
}

impl Web {
    /// Asks for `/mqtt` with the subprotocol `mqtt`.
    #[track_caller]
    pub fn open(stream: Box<dyn Stream>) -> Self {
        let uri = "ws://broker.test/mqtt".parse().expect("a URI");
        let request = ClientRequestBuilder::new(uri).with_sub_protocol("mqtt");
        let config = WebSocketConfig::default();
        match tungstenite::client::client_with_config(request, stream, Some(config)) {
            Ok((socket, _)) => Self { socket, unread: Vec::new() },
            Err(HandshakeError::Failure(error)) => panic!("no WebSocket: {error}"),
            Err(HandshakeError::Interrupted(_)) => panic!("no answer within a deadline"),
        }
    }
}

impl Read for Web {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.unread.is_empty() {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => self.unread.extend(&bytes),
                Ok(Message::Close(Some(close))) => assert_eq!(close.code, CloseCode::Normal),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(other) => panic!("not for a client of MQTT: {other:?}"),
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(0),
                Err(error) => return Err(into_io(error)),
            }
        }
        let count = buffer.len().min(self.unread.len());
        buffer[..count].copy_from_slice(&self.unread[..count]);
        self.unread.drain(..count);
        Ok(count)
    }
}

impl Write for Web {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.send(Message::binary(bytes.to_vec())).map_err(into_io)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Web {
    fn patience(&mut self, limit: Duration) {
        self.socket.get_mut().patience(limit);
    }

    fn cut(&mut self) {
        self.socket.get_mut().cut();
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "not our enum")]
fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => ErrorKind::BrokenPipe.into(),
        other => io::Error::other(other),
    }
}
