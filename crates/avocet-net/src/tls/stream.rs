//! One TLS stream, by rustls' unbuffered connections: they keep no bytes, so that a stream that
//! waits holds nothing but its keys and what has come of a record that is not whole.

use std::{fmt, mem, ops::DerefMut, sync::Arc};

use rustls::{
    Error, ServerConfig,
    client::{ClientConnectionData, UnbufferedClientConnection},
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{
        ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedConnectionCommon,
        UnbufferedStatus, WriteTraffic,
    },
};

use super::TlsClient;
use crate::layers::Incoming;

/// Bytes of the largest record, without what encryption adds (RFC 8446, section 5.1).
const RECORD_BYTES_MAX: usize = 16_384;
/// What encryption adds to a record at most: header, nonce (TLS 1.2) and tag, of AES-GCM.
const RECORD_OVERHEAD: usize = 5 + 8 + 16;

/// A TLS stream, of either side.
pub(crate) struct TlsStream {
    connection: Connection,
    /// What has come of a record, or of a message of the handshake, that is not whole. Part of it
    /// may have been decrypted in place.
    held: Vec<u8>,
    /// The other side has said that it sends no more.
    ended: bool,
}

enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl TlsStream {
    /// The server's side.
    pub(crate) fn accept(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = Connection::Server(UnbufferedServerConnection::new(config)?);
        Ok(Self { connection, held: Vec::new(), ended: false })
    }

    /// The client's side, and what it says first.
    pub(crate) fn connect(client: &TlsClient, raw: &mut Vec<u8>) -> Result<Self, Error> {
        let config = Arc::clone(&client.config);
        let connection = UnbufferedClientConnection::new(config, client.server_name.clone())?;
        let connection = Connection::Client(connection);
        let mut stream = Self { connection, held: Vec::new(), ended: false };
        stream.drive(&mut [], raw, &mut |_| {}).1?;
        Ok(stream)
    }

    /// Takes bytes of the stream; what they carry goes to `take`, record by record.
    ///
    /// # Errors
    ///
    /// Nothing is to be taken any more; `raw` has got the alert that says why.
    pub(crate) fn receive(
        &mut self,
        bytes: &mut [u8],
        raw: &mut Vec<u8>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<Incoming, Error> {
        if self.ended {
            return Ok(Incoming::End);
        }
        if self.held.is_empty() {
            let (used, result) = self.drive(bytes, raw, take);
            if matches!(result, Ok(Incoming::More)) {
                self.held.extend_from_slice(&bytes[used..]);
            }
            return result;
        }
        let mut held = mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let (used, result) = self.drive(&mut held, raw, take);
        if matches!(result, Ok(Incoming::More)) {
            // What remains gets a buffer of its size.
            self.held = if used == 0 { held } else { held[used..].to_vec() };
        }
        result
    }

    /// Whether the handshake is over.
    pub(crate) fn is_open(&self) -> bool {
        match &self.connection {
            Connection::Server(server) => !server.is_handshaking(),
            Connection::Client(client) => !client.is_handshaking(),
        }
    }

    /// Whether the other side has shown a certificate, which was good then.
    pub(crate) fn is_verified(&self) -> bool {
        self.is_open() && self.peer_certificate().is_some()
    }

    /// The certificate that the other side has shown (DER), be it good or not.
    pub(crate) fn peer_certificate(&self) -> Option<&[u8]> {
        let chain = match &self.connection {
            Connection::Server(server) => server.peer_certificates(),
            Connection::Client(client) => client.peer_certificates(),
        };
        chain?.first().map(AsRef::as_ref)
    }

    /// Encrypts into `raw`, in as many records as it takes; none for nothing.
    ///
    /// # Errors
    ///
    /// The handshake is not over; the keys are used up, and cannot be changed in TLS 1.2.
    pub(crate) fn seal(&mut self, plain: &[u8], raw: &mut Vec<u8>) -> Result<(), Error> {
        if plain.is_empty() {
            return Ok(());
        }
        let records = plain.len().div_ceil(RECORD_BYTES_MAX);
        let bytes = plain.len() + records * RECORD_OVERHEAD;
        self.write(bytes, raw, &mut Sealing::Traffic(plain))
    }

    /// Appends the alert that says that nothing more comes (RFC 8446, section 6.1).
    pub(crate) fn close(&mut self, raw: &mut Vec<u8>) -> Result<(), Error> {
        self.write(2 + RECORD_OVERHEAD, raw, &mut Sealing::Close)
    }

    fn drive(
        &mut self,
        bytes: &mut [u8],
        raw: &mut Vec<u8>,
        take: &mut dyn FnMut(&[u8]),
    ) -> (usize, Result<Incoming, Error>) {
        let (used, result) = match &mut self.connection {
            Connection::Server(server) => drive(server, bytes, raw, take),
            Connection::Client(client) => drive(client, bytes, raw, take),
        };
        self.ended = matches!(result, Ok(Incoming::End));
        (used, result)
    }

    fn write(
        &mut self,
        bytes: usize,
        raw: &mut Vec<u8>,
        what: &mut Sealing<'_>,
    ) -> Result<(), Error> {
        // rustls may remember places in what is held, so it has to see it.
        match &mut self.connection {
            Connection::Server(server) => write(server, &mut self.held, bytes, raw, what),
            Connection::Client(client) => write(client, &mut self.held, bytes, raw, what),
        }
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("is_open", &self.is_open())
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

/// What a record is made of.
enum Sealing<'a> {
    Traffic(&'a [u8]),
    Close,
}

impl Sealing<'_> {
    fn write<D>(
        &self,
        to: &mut WriteTraffic<'_, D>,
        out: &mut [u8],
    ) -> Result<usize, EncryptError> {
        match self {
            Self::Traffic(plain) => to.encrypt(plain, out),
            Self::Close => to.queue_close_notify(out),
        }
    }
}

/// What rustls offers for both sides, but in no trait.
trait Side: DerefMut<Target = UnbufferedConnectionCommon<Self::Data>> {
    type Data;

    fn step<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn step<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn step<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
}

/// Lets rustls take what it can of `bytes`; how many it took stands before the result.
fn drive<S: Side>(
    side: &mut S,
    bytes: &mut [u8],
    raw: &mut Vec<u8>,
    take: &mut dyn FnMut(&[u8]),
) -> (usize, Result<Incoming, Error>) {
    let mut used = 0;
    loop {
        let UnbufferedStatus { mut discard, state } = side.step(&mut bytes[used..]);
        let done = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    None => break None,
                    Some(Err(error)) => break Some(Err(error)),
                    Some(Ok(record)) => {
                        discard += record.discard;
                        take(record.payload);
                    }
                }
            },
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, raw).err().map(Err),
            Ok(ConnectionState::TransmitTlsData(transmit)) => {
                transmit.done();
                None
            }
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Some(Ok(Incoming::End)),
            Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                Some(Ok(Incoming::More))
            }
            Ok(other) => Some(Err(unexpected(&other))),
            Err(error) => {
                used += discard;
                while side.wants_write() {
                    let UnbufferedStatus { state, .. } = side.step(&mut bytes[used..]);
                    let Ok(ConnectionState::EncodeTlsData(data)) = state else { break };
                    if encode(data, raw).is_err() {
                        break;
                    }
                }
                return (used, Err(error));
            }
        };
        used += discard;
        if let Some(result) = done {
            return (used, result);
        }
    }
}

/// Has something sealed behind what is in `raw`, in about so many bytes.
fn write<S: Side>(
    side: &mut S,
    held: &mut [u8],
    mut bytes: usize,
    raw: &mut Vec<u8>,
    what: &mut Sealing<'_>,
) -> Result<(), Error> {
    loop {
        #[expect(clippy::wildcard_enum_match_arm, reason = "not our enum, and open")]
        match side.step(held).state? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let before = raw.len();
                raw.resize(before + bytes, 0);
                let result = what.write(&mut traffic, &mut raw[before..]);
                raw.truncate(before + *result.as_ref().unwrap_or(&0));
                match result {
                    Ok(_) => return Ok(()),
                    // A message of the handshake goes with it, a change of keys for instance.
                    Err(EncryptError::InsufficientSize(size)) => bytes = size.required_size,
                    Err(EncryptError::EncryptExhausted) => return Err(Error::EncryptError),
                }
            }
            ConnectionState::EncodeTlsData(data) => encode(data, raw)?,
            ConnectionState::TransmitTlsData(transmit) => transmit.done(),
            // That the other side has ended does not keep us from sending.
            ConnectionState::PeerClosed => {}
            ConnectionState::BlockedHandshake => return Err(Error::HandshakeNotComplete),
            other => return Err(unexpected(&other)),
        }
    }
}

/// Appends a message of the handshake, or an alert.
fn encode<D>(mut data: EncodeTlsData<'_, D>, raw: &mut Vec<u8>) -> Result<(), Error> {
    let before = raw.len();
    // rustls tells the size when the room is too small.
    let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) else { return Ok(()) };
    raw.resize(before + size.required_size, 0);
    match data.encode(&mut raw[before..]) {
        Ok(written) => {
            raw.truncate(before + written);
            Ok(())
        }
        Err(error) => {
            raw.truncate(before);
            Err(Error::General(error.to_string()))
        }
    }
}

/// Early data, which we do not offer, and states that later versions of rustls may know.
fn unexpected<D>(state: &ConnectionState<'_, '_, D>) -> Error {
    Error::General(format!("not expected: {state:?}"))
}

#[cfg(test)]
mod tests;
