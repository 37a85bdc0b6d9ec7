//! From the first byte to the session: what is kept of a client that is not let in yet, its
//! CONNECT, and waiting for its older connection to go.

use super::*;

impl Connection {
    /// Asks for the client's session, unless its older connection has not gone yet.
    pub(super) fn try_to_enter(&mut self, shard: &Shard, entering: Box<Entering>) -> Step {
        if self.is_heir && self.wire.signals() & CHANGED == 0 {
            self.entering = Some(entering);
        } else {
            self.enter(shard, *entering);
            self.is_heir = self.entering.is_some();
        }
        match self.is_heir {
            true if self.is_overdue => Step::End(Ending::Silent),
            true => Step::Wait,
            false => Step::Again,
        }
    }

    /// Asks for the session of a client that may come in.
    pub(super) fn enter(&mut self, shard: &Shard, entering: Entering) {
        let Entering { admission, rank } = entering;
        let now = shard.now.get();
        self.wire.clear(CHANGED);
        shard.with_flush_list(|list| {
            let entrance = Entrance {
                shared: &shard.shared,
                wire: &self.wire,
                rank,
                peer: self.peer(),
                envelope: &mut self.envelope,
                now,
                list,
            };
            match entrance.open(admission) {
                Opening::Opened { mailbox, silence_max } => {
                    shard.wheel.set(&mut self.watch, self.wire.key(), silence_max, now);
                    self.mailbox = Some(mailbox);
                    self.count_unadmitted(shard, 0);
                    if let Some(version) = self.codec.version() {
                        let bytes_max = shard.shared.limits.packet_bytes_max.get();
                        self.codec = Codec::with_version(version, bytes_max);
                    }
                    // One that was not taken over was no more than a header in front.
                    self.is_enveloped &= self.envelope.take().is_none();
                }
                Opening::Wait(admission) => {
                    self.entering = Some(Box::new(Entering { admission, rank }));
                }
                Opening::Outrun => self.wire.signal(DETACHED),
            }
        });
    }

    /// What is kept of clients that are not let in yet is bounded for all of them together.
    pub(super) fn count_unadmitted(&mut self, shard: &Shard, bytes: usize) {
        let all = &shard.shared.unadmitted_bytes;
        let before = all.fetch_add(bytes, Ordering::Relaxed);
        all.fetch_sub(self.unadmitted_bytes as usize, Ordering::Relaxed);
        self.unadmitted_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if bytes > 0 && before > UNADMITTED_BYTES_MAX {
            let detail = "too many clients have sent half a CONNECT";
            debug!(listener = self.listening.name, peer = %self.peer(), "Refused: {detail}.");
            let reason = ReasonCode::QuotaExceeded;
            self.closed = Some(CloseReason::Server { reason, detail });
        }
    }

    /// The first packet.
    pub(super) fn take_connect(
        &mut self,
        shard: &Shard,
        bytes: &[u8],
        list: &mut FlushList,
    ) -> Option<usize> {
        let error = match self.codec.decode(bytes) {
            Ok(None) => return None,
            Ok(Some((Packet::Connect(connect), len))) => {
                list.tally.packets_received[1] += 1;
                let is_verified = self.wire.socket.is_verified()
                    || self.envelope.as_ref().is_some_and(|envelope| envelope.is_verified());
                match open::admit(&shard.shared, &self.listening, connect, is_verified) {
                    Ok(admission) => {
                        let rank = shard.shared.next_number();
                        self.entering = Some(Box::new(Entering { admission, rank }));
                    }
                    // [MQTT5-3.1.4-2]
                    Err(refusal) => self.refuse(&refusal),
                }
                return Some(len);
            }
            Ok(Some(_)) => DecodeError::FirstPacketNotConnect,
            Err(error) => error,
        };
        self.refuse_bytes(shard, error);
        Some(bytes.len())
    }

    /// Bytes that are no CONNECT.
    pub(super) fn refuse_bytes(&mut self, shard: &Shard, error: DecodeError) {
        Metrics::add(&shard.shared.metrics.packets_malformed, 1);
        let (refusal, is_told) = handshake::refuse_bytes(error, self.codec.version());
        if is_told {
            return self.refuse(&refusal);
        }
        debug!(
            listener = self.listening.name, peer = %self.peer(), %error, "Refused a connection."
        );
        self.closed = Some(CloseReason::Server { reason: refusal.reason, detail: refusal.detail });
    }

    /// There is no session yet: the answer is written here. [MQTT3-3.2.2-5] [MQTT5-3.2.2-7]
    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        let version = self.codec.version().unwrap_or(ProtocolVersion::V3_1_1);
        let mut bytes = Vec::new();
        // [MQTT5-3.14.0-1]
        codec::encode(version, &Packet::Connack(Box::new(refusal.connack())), &mut bytes);
        // A fresh socket takes these few bytes; if not, the client is gone.
        match &mut self.envelope {
            Some(envelope) => {
                envelope.seal(&bytes).and_then(|()| envelope.write_sealed(&self.wire).1).ok();
            }
            None => {
                self.wire.socket.write(&bytes).ok();
            }
        }
        debug!(
            listener = self.listening.name, peer = %self.peer(), reason = %refusal.reason,
            detail = refusal.detail,
            "Refused a client."
        );
        self.closed = Some(CloseReason::Server { reason: refusal.reason, detail: refusal.detail });
    }
}
