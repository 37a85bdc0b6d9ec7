//! A client that is gone may have said more than was read: while it takes no answers it is not
//! read. The system still has those bytes, and what they say counts: messages, and the DISCONNECT
//! that keeps the will back.

use std::{rc::Rc, time::Instant};

use tokio::task::yield_now;

use super::Connection;

/// Bytes that are read of a connection that is lost already.
const BYTES_MAX: usize = 1024 * 1024;

impl Connection {
    /// Reads and handles what is left.
    pub(super) async fn take_last_words(&mut self) {
        let shard = Rc::clone(&self.shard);
        let mut bytes_left = BYTES_MAX;
        while self.closed.is_none() && self.is_open() {
            self.take_rest_unanswered().await;
            if self.dried_up.is_some() {
                return;
            }
            let read = {
                let mut buffer = shard.read_buffer.borrow_mut();
                let len = buffer.len().min(bytes_left);
                self.wire.socket.read_left(&mut buffer[..len])
            };
            let Ok(count @ 1..) = read else { return };
            bytes_left -= count;
            let mut rest = std::mem::take(&mut self.rest);
            shard.with_flush_list(|list| {
                list.tally.bytes_received += count as u64;
                if self.is_enveloped {
                    self.open_envelope(count, &mut rest, list);
                } else {
                    rest.extend_from_slice(&shard.read_buffer.borrow()[..count]);
                }
            });
            self.rest = rest;
        }
    }

    /// Handles what is kept, as many packets as there are. While the output has no room the session
    /// takes one at a time; the answers are no more than what they answer, and are forgotten with
    /// the connection.
    async fn take_rest_unanswered(&mut self) {
        let shard = Rc::clone(&self.shard);
        let bytes = std::mem::take(&mut self.rest);
        let mut used = 0;
        loop {
            while !self.backlog.is_empty() {
                self.work_off();
                yield_now().await;
            }
            let now = Instant::now();
            shard.now.set(now);
            match shard.with_flush_list(|list| self.take(&bytes[used..], now, list)) {
                0 => break,
                count => used += count,
            }
        }
        self.keep(&bytes[used..]);
        yield_now().await;
    }

    /// Whether the session still takes packets of this connection.
    fn is_open(&self) -> bool {
        let Some(mailbox) = &self.mailbox else { return false };
        let inner = mailbox.lock();
        inner.session.is_open() && inner.link.as_ref().is_some_and(|link| link.is(&self.wire))
    }
}
