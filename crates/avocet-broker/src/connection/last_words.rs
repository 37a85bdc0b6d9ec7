//! A client that is gone may have said more than was read: while it takes no answers it is not
//! read. The system still has those bytes, and what they say counts: messages, and the DISCONNECT
//! that keeps the will back.

use super::{Connection, Ending, Step};
use crate::shard::Shard;

/// Bytes that are read of a connection that is lost already.
const BYTES_MAX: u32 = 1024 * 1024;

/// How far that has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastWords {
    /// Why the connection is over.
    ending: Ending,
    bytes_left: u32,
}

impl LastWords {
    pub(super) fn of(ending: Ending) -> Self {
        Self { ending, bytes_left: BYTES_MAX }
    }
}

impl Connection {
    /// Reads and handles some of what is left.
    pub(super) fn take_last_words(&mut self, shard: &Shard, mut last_words: LastWords) -> Step {
        let over = Step::End(last_words.ending);
        if self.backlog.is_some() {
            self.work_off(shard);
            return Step::Again;
        }
        if self.closed.is_some() || !self.is_open() {
            return over;
        }
        self.take_rest_unanswered(shard);
        if self.backlog.is_some() {
            return Step::Again;
        }
        if self.dried_up.is_some() {
            return over;
        }
        let read = {
            let mut buffer = shard.read_buffer.borrow_mut();
            let len = buffer.len().min(last_words.bytes_left as usize);
            self.wire.socket.read(&mut buffer[..len])
        };
        let Ok(count @ 1..) = read else { return over };
        last_words.bytes_left -= count as u32;
        self.last_words = Some(last_words);
        let mut rest = std::mem::take(&mut self.rest);
        shard.with_flush_list(|list| {
            list.tally.bytes_received += count as u64;
            if self.is_enveloped {
                self.open_envelope(shard, count, &mut rest, list);
            } else {
                rest.extend_from_slice(&shard.read_buffer.borrow()[..count]);
            }
        });
        self.rest = rest;
        Step::Again
    }

    /// Handles what is kept, as many packets as there are. While the output has no room the session
    /// takes one at a time; the answers are no more than what they answer, and are forgotten with
    /// the connection.
    fn take_rest_unanswered(&mut self, shard: &Shard) {
        let bytes = std::mem::take(&mut self.rest);
        let (mut used, now) = (0, shard.now.get());
        while self.backlog.is_none() {
            match shard.with_flush_list(|list| self.take(shard, &bytes[used..], now, list)) {
                0 => break,
                count => used += count,
            }
        }
        self.keep(shard, &bytes[used..]);
    }

    /// Whether the session still takes packets of this connection.
    fn is_open(&self) -> bool {
        let Some(mailbox) = &self.mailbox else { return false };
        let inner = mailbox.lock();
        inner.session.is_open() && inner.link.as_ref().is_some_and(|link| link.is(&self.wire))
    }
}
