//! A blocking connection to a broker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use avocet_mqtt::{Codec, Connack, Connect, Packet, ProtocolVersion, ReasonCode, encode};
use avocet_net::{Incoming, Layers};

use super::stream::{Socket, Stream, Target};

/// How long a broker may take to let us in or to answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The stream and what was read from it ahead of time.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    version: ProtocolVersion,
    codec: Codec,
    buffer: Vec<u8>,
    /// Bytes at the beginning of the buffer that have been handed out.
    taken: usize,
    is_ended: Arc<AtomicBool>,
    out: Vec<u8>,
    /// When something was last sent.
    pub(crate) sent_at: Instant,
}

impl Connection {
    /// Connects and is let in.
    pub(crate) fn open(target: &Target, connect: Connect) -> anyhow::Result<(Self, Connack)> {
        let mut buffer = Vec::new();
        let stream = Stream::open(target, &mut buffer)?;
        let version = connect.version;
        let mut connection = Self {
            stream,
            version,
            codec: Codec::with_version(version, u32::MAX),
            buffer,
            taken: 0,
            is_ended: Arc::default(),
            out: Vec::new(),
            sent_at: Instant::now(),
        };
        connection.send(&Packet::Connect(Box::new(connect)))?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let connack = match connection.receive(Some(deadline))? {
            Some(Packet::Connack(connack)) => *connack,
            Some(_) => bail!("the broker answered CONNECT with something else"),
            None => bail!("the broker does not answer CONNECT"),
        };
        if connack.reason != ReasonCode::Success {
            bail!(refusal(
                "the broker refused the connection",
                connack.reason,
                connack.reason_string
            ));
        }
        Ok((connection, connack))
    }

    /// Writes a packet.
    pub(crate) fn send(&mut self, packet: &Packet<'_>) -> anyhow::Result<()> {
        self.out.clear();
        encode(self.version, packet, &mut self.out);
        if self.out.is_empty() {
            bail!("the packet is larger than MQTT can carry");
        }
        self.sent_at = Instant::now();
        match self.stream.write_all(&self.out) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.last_words().unwrap_or_else(|| lost(error.into()))),
        }
    }

    /// The next packet; `None` when the time is over.
    pub(crate) fn receive(&mut self, until: Option<Instant>) -> anyhow::Result<Option<Packet<'_>>> {
        if self.wait(until)? { self.take().map(Some) } else { Ok(None) }
    }

    /// The packet that [`Self::wait`] waited for.
    pub(crate) fn take(&mut self) -> anyhow::Result<Packet<'_>> {
        let decoded = self.codec.decode(&self.buffer).context("the broker sent something wrong")?;
        let (packet, taken) = decoded.ok_or_else(|| anyhow!("there is no packet"))?;
        self.taken = taken;
        if let Packet::Disconnect(disconnect) = packet {
            bail!(refusal("the broker disconnects", disconnect.reason, disconnect.reason_string));
        }
        Ok(packet)
    }

    /// Whether there is a whole packet without waiting.
    pub(crate) fn has_packet(&self) -> bool {
        let bytes = &self.buffer[self.taken..];
        matches!(self.codec.frame_len(bytes), Ok(Some(wanted)) if wanted <= bytes.len())
    }

    /// Reads until there is a whole packet. False: the time is over, or it was told to end.
    pub(crate) fn wait(&mut self, until: Option<Instant>) -> anyhow::Result<bool> {
        self.buffer.drain(..std::mem::take(&mut self.taken));
        loop {
            let wanted = self.codec.frame_len(&self.buffer);
            let wanted = wanted.context("the broker sent something wrong")?;
            if wanted.is_some_and(|wanted| wanted <= self.buffer.len()) {
                return Ok(true);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            match self.stream.read(&mut self.buffer, left).map_err(lost)? {
                Incoming::More => {}
                Incoming::End if self.is_ended() => return Ok(false),
                Incoming::End => bail!("the broker closed the connection"),
            }
        }
    }

    /// What a broker said before it closed the connection under our write.
    fn last_words(&mut self) -> Option<anyhow::Error> {
        let soon = Instant::now() + Duration::from_millis(100);
        loop {
            match self.receive(Some(soon)) {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(error),
            }
        }
    }

    /// Lets another thread end the waiting; what is read until then is still given out.
    pub(crate) fn ender(&self) -> anyhow::Result<Ender> {
        let socket = self.stream.try_clone_socket()?;
        Ok(Ender { socket, is_ended: Arc::clone(&self.is_ended) })
    }

    /// Whether an [`Ender`] has ended it.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Relaxed)
    }

    /// The socket, the layers on it, and what was read but not handed out.
    pub(crate) fn into_parts(mut self) -> (Socket, Option<Box<Layers>>, Vec<u8>) {
        self.buffer.drain(..self.taken);
        let (socket, layers) = self.stream.into_parts();
        (socket, layers, self.buffer)
    }

    /// Nothing more is to be sent.
    pub(super) fn close(self) {
        self.stream.close();
    }
}

/// Ends the waiting of a connection.
#[derive(Debug)]
pub(crate) struct Ender {
    socket: Socket,
    is_ended: Arc<AtomicBool>,
}

impl Ender {
    pub(crate) fn end(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
        // A socket that is closed already waits no more either.
        self.socket.end_reading().ok();
    }
}

fn lost(error: anyhow::Error) -> anyhow::Error {
    error.context("the connection is lost")
}

/// A sentence out of reason code and reason string.
pub(crate) fn refusal(what: &str, reason: ReasonCode, text: Option<String>) -> String {
    match text {
        Some(text) => format!("{what}: {reason}: {text}"),
        None => format!("{what}: {reason}"),
    }
}
