//! What lies around a connection's bytes: what comes is taken out of it, and its answers are
//! written here until CONNECT, when the mailbox takes it over.

use std::io;

use avocet_net::{Incoming, Peer};
use tracing::debug;

use super::{Connection, Ending};
use crate::{mailbox::FlushList, shard::Shard};

impl Connection {
    /// Takes what was read out of its envelope: what it carries is appended to `plain`.
    pub(super) fn open_envelope(
        &mut self,
        shard: &Shard,
        count: usize,
        plain: &mut Vec<u8>,
        list: &mut FlushList,
    ) {
        let bytes = &mut shard.read_buffer.borrow_mut()[..count];
        let opened = match (&self.mailbox, &mut self.envelope) {
            (Some(mailbox), _) => mailbox.open_envelope(&self.wire, bytes, plain, list),
            (None, Some(envelope)) => {
                let opened = envelope.open(bytes, plain);
                // The rest waits for room; a connection that is broken shows that when it is read.
                envelope.write_sealed(&self.wire).1.ok();
                opened
            }
            (None, None) => Ok(Incoming::End),
        };
        match opened {
            Ok(Incoming::More) => {}
            Ok(Incoming::End) => self.dried_up = Some(Ending::Lost),
            Err(error) => {
                debug!(
                    listener = self.listening.name, peer = %self.peer(), %error,
                    "Ending a connection."
                );
                self.dried_up = Some(Ending::Garbled(error.layer));
            }
        }
    }

    /// Who is at the other end, as far as is known before CONNECT.
    pub(super) fn peer(&self) -> Peer {
        let said = self.envelope.as_ref().and_then(|envelope| envelope.peer());
        self.listening.peer(said, || self.wire.socket.peer())
    }

    /// Writes what the handshakes before CONNECT want written.
    pub(super) fn write_answers(&mut self) -> io::Result<()> {
        let Some(envelope) = &mut self.envelope else { return Ok(()) };
        if envelope.waiting() == 0 {
            return Ok(());
        }
        if !self.is_writable {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = envelope.write_sealed(&self.wire).1;
        self.is_writable = written.is_ok();
        written
    }
}
