//! Bytes on their way to one client.
//!
//! Whoever delivers appends under the mailbox's lock; whoever flushes writes under the same lock,
//! so there is one writer at a time. When the system takes less than there is, the output is
//! blocked, and from then on only the connection's owner writes.

use std::{io, num::NonZeroU32, sync::Arc};

use avocet_mqtt::{
    AckKind, ApplicationMessage, Frames, Packet, PacketId, ProtocolVersion, Publish, QoS, codec,
};
use avocet_net::{Incoming, LayerError};
use avocet_session::{Change, Charge, Claim, DropReason, Limits, Outlet, StoredId, Then};

use crate::{
    drops::Drops,
    envelope::Envelope,
    mailbox::Mailbox,
    metrics::Tally,
    pending::Pending,
    records::{Load, Records},
    wire::Wire,
};

/// Beyond this many unwritten bytes a connection takes no more messages: they wait in the session.
const BYTES_MAX: usize = 256 * 1024;

/// What one connection has still to write. Holds no buffer while there is nothing.
#[derive(Debug)]
pub(crate) struct Output {
    pending: Pending,
    /// What lies around the bytes, on a listener with TLS or WebSocket.
    envelope: Option<Box<Envelope>>,
    version: ProtocolVersion,
    /// The largest packet the client takes.
    packet_bytes_max: Option<NonZeroU32>,
    /// On somebody's flush list.
    pub(crate) queued: bool,
    blocked: bool,
    /// The connection is broken: what is appended reaches nobody.
    broken: bool,
    /// What is not written, while it is blocked.
    charge: Charge,
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// All is written.
    Empty,
    /// The system takes no more now.
    Blocked,
    /// There is more to write, but others should have their turn first.
    More,
    /// The connection is broken.
    Broken,
}

impl Output {
    pub(crate) fn new(
        version: ProtocolVersion,
        packet_bytes_max: Option<NonZeroU32>,
        limits: Arc<Limits>,
        envelope: Option<Box<Envelope>>,
    ) -> Self {
        Self {
            pending: Pending::default(),
            envelope,
            version,
            packet_bytes_max,
            queued: false,
            blocked: false,
            broken: false,
            charge: Charge::new(limits),
        }
    }

    /// Bytes not written yet.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.pending.len() + self.envelope.as_ref().map_or(0, |envelope| envelope.waiting())
    }

    /// Takes bytes that came out of their envelope: what they carry is appended to `plain`. There
    /// may be something to write then.
    pub(crate) fn open(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<Incoming, LayerError> {
        match &mut self.envelope {
            Some(envelope) => {
                let opened = envelope.open(bytes, plain);
                if self.broken {
                    envelope.release();
                }
                opened
            }
            None => {
                plain.extend_from_slice(bytes);
                Ok(Incoming::More)
            }
        }
    }

    /// The last word of the layers, if what came before is written. Nothing goes to the client any
    /// more.
    pub(crate) fn say_goodbye(&mut self, wire: &Wire) {
        if self.blocked || self.broken || self.waiting() > 0 {
            return;
        }
        if let Some(envelope) = &mut self.envelope {
            self.broken = true;
            envelope.close();
            // What the system does not take now the client will not miss.
            envelope.write_sealed(wire).1.ok();
            envelope.release();
        }
    }

    /// A connection that does not keep up has less room when the node's budget is spent; one that
    /// is broken has none, so that messages wait for the next one.
    pub(crate) fn has_room(&self) -> bool {
        !self.broken
            && self.waiting() < BYTES_MAX
            && (self.charge.bytes() == 0 || !self.charge.is_spent())
    }

    pub(crate) fn append(&mut self, packet: &Packet<'_>, tally: &mut Tally) {
        tally.packet_sent(packet);
        let version = self.version;
        codec::encode(version, packet, self.pending.buffer());
    }

    #[inline]
    pub(crate) fn append_publish(
        &mut self,
        publish: &Publish<'_>,
        large: Option<&Arc<ApplicationMessage>>,
        tally: &mut Tally,
    ) {
        tally.publishes_sent(publish.qos, 1);
        let version = self.version;
        match large {
            None => codec::encode_publish(version, publish, self.pending.buffer()),
            Some(message) => {
                codec::encode_publish_head(version, publish, self.pending.buffer());
                self.pending.append_payload(Arc::clone(message));
            }
        }
    }

    /// A message past the session: not for a connection that does not keep up, nor larger than
    /// what the client takes.
    #[inline]
    pub(crate) fn append_fastlane(
        &mut self,
        publish: &Publish<'_>,
        large: Option<&Arc<ApplicationMessage>>,
        tally: &mut Tally,
    ) -> Result<(), DropReason> {
        self.check_room()?;
        if self.packet_bytes_max.is_some() && !self.fits(codec::publish_len(self.version, publish))
        {
            return Err(DropReason::PacketTooLarge);
        }
        self.append_publish(publish, large, tally);
        Ok(())
    }

    /// Writes what there is, unless it is for the owner to do (`owner`: the caller is the owner
    /// and the socket is writable again).
    pub(crate) fn flush(&mut self, wire: &Wire, owner: bool, tally: &mut Tally) -> Flushed {
        if self.blocked && !owner {
            self.charge.settle(self.waiting() as u64);
            return Flushed::Blocked;
        }
        self.blocked = false;
        let (count, result) = match &mut self.envelope {
            None => self.pending.write(wire),
            Some(envelope) => envelope.write(&mut self.pending, wire),
        };
        tally.bytes_sent += count as u64;
        if result.is_err() || self.charge.bytes() > 0 {
            self.charge.settle(self.waiting() as u64);
        }
        match result {
            Ok(()) => Flushed::Empty,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                Flushed::Blocked
            }
            Err(_) => {
                self.broken = true;
                self.pending.release();
                if let Some(envelope) = &mut self.envelope {
                    envelope.release();
                }
                Flushed::Broken
            }
        }
    }

    /// [`append_fastlane`](Self::append_fastlane) for messages that the client [`takes`] as they
    /// came.
    ///
    /// [`takes`]: Self::takes
    #[inline]
    pub(crate) fn append_fastlane_frames(
        &mut self,
        frames: &Frames<'_>,
        tally: &mut Tally,
    ) -> Result<(), DropReason> {
        self.check_room()?;
        self.append_frames(frames, None, tally);
        Ok(())
    }

    /// Whether a message may be put in past the session, which would have it wait.
    #[inline]
    fn check_room(&self) -> Result<(), DropReason> {
        if self.has_room() { Ok(()) } else { Err(DropReason::SlowConnection) }
    }

    #[inline]
    fn append_frames(
        &mut self,
        frames: &Frames<'_>,
        with: Option<(QoS, PacketId)>,
        tally: &mut Tally,
    ) {
        tally.publishes_sent(with.map_or(QoS::AtMostOnce, |(qos, _)| qos), frames.len());
        let buffer = self.pending.buffer();
        match with {
            None => buffer.extend_from_slice(frames.bytes()),
            Some((qos, first_id)) => frames.write_as(qos, first_id, buffer),
        }
    }

    /// Whether the client can be sent these with QoS 0 as they came, the longest included.
    #[inline]
    pub(crate) fn takes(&self, frames: &Frames<'_>) -> bool {
        frames.is_for(self.version, QoS::AtMostOnce) && self.fits(frames.longest())
    }

    /// Whether the client takes packets of so many bytes.
    #[inline]
    fn fits(&self, bytes: usize) -> bool {
        self.packet_bytes_max.is_none_or(|max| bytes as u64 <= u64::from(max.get()))
    }

    #[cfg(all(test, feature = "interleavings"))]
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Leaves what there is to the owner.
    pub(crate) fn block(&mut self) {
        self.blocked = true;
    }
}

/// A session's way out: its connection's output, if it has one. Drops are noted either way.
pub(crate) struct Exit<'o> {
    pub(crate) output: Option<&'o mut Output>,
    pub(crate) drops: &'o Drops,
    pub(crate) mailbox: &'o Mailbox,
    pub(crate) tally: &'o mut Tally,
    pub(crate) records: &'o mut Records,
}

impl Outlet for Exit<'_> {
    fn send(&mut self, packet: &Packet<'_>) {
        if let Some(output) = &mut self.output {
            output.append(packet, self.tally);
        }
    }

    #[inline]
    fn send_publish(&mut self, publish: &Publish<'_>, large: Option<&Arc<ApplicationMessage>>) {
        if let Some(output) = &mut self.output {
            output.append_publish(publish, large, self.tally);
        }
    }

    #[inline]
    fn send_frames(&mut self, frames: &Frames<'_>, with: Option<(QoS, PacketId)>) {
        if let Some(output) = &mut self.output {
            output.append_frames(frames, with, self.tally);
        }
    }

    #[inline]
    fn send_acks(&mut self, kind: AckKind, packet_ids: impl Iterator<Item = PacketId>) {
        let Some(output) = &mut self.output else { return packet_ids.for_each(drop) };
        let buffer = output.pending.buffer();
        let before = buffer.len();
        packet_ids.for_each(|id| buffer.extend_from_slice(&codec::short_ack_bytes(kind, id)));
        self.tally.acks_sent(kind, (buffer.len() - before) / 4);
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.output.as_ref().is_some_and(|output| output.has_room())
    }

    fn dropped(&mut self, topic: &str, qos: QoS, reason: DropReason) {
        self.drops.note(self.mailbox.client_id(), topic, qos, reason);
    }

    fn record(&mut self, session: StoredId, change: Change, then: impl IntoIterator<Item = Then>) {
        self.records.record(self.mailbox, session, change, then);
    }

    fn claim(&mut self, session: StoredId, claim: Claim) {
        self.records.claim(self.mailbox, session, claim);
    }

    fn load(&mut self) {
        self.records.loads.push(Load::Queue(self.mailbox.clone()));
    }

    fn missed(&mut self, kind: AckKind) {
        self.tally.ack_missed(kind);
    }
}
