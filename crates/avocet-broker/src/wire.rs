//! One client's socket as other threads see it: they may write to it, and call its owner.

use std::sync::{Arc, atomic::Ordering};

#[cfg(not(all(test, feature = "interleavings")))]
use avocet_net::Socket;

#[cfg(all(test, feature = "interleavings"))]
use crate::simulation::Socket;
use crate::{
    calls::{Call, Calls, Key},
    sync::AtomicU8,
};

/// The system took less than there was: from now on only the owner writes.
pub(crate) const BLOCKED: u8 = 1;
/// The connection is to end once its output is written.
pub(crate) const CLOSING: u8 = 2;
/// The session has another connection, or none: end at once.
pub(crate) const DETACHED: u8 = 4;
/// Something has changed about the session that it waits for: ask for it again.
pub(crate) const CHANGED: u8 = 8;
/// Nothing but that the owner is to have a turn.
pub(crate) const CALL: u8 = 0;
/// The owner has been called and has not answered yet.
const CALLED: u8 = 16;

/// A socket, what its owner has to look after, and how to call it. The descriptor lives as long as
/// anyone may write to it, so that its number never names another client's connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) socket: Socket,
    calls: Arc<Calls>,
    key: Key,
    signals: AtomicU8,
}

impl Wire {
    /// `key` names the connection on the shard that is called here.
    pub(crate) fn new(socket: Socket, calls: &Arc<Calls>, key: Key) -> Self {
        Self { socket, calls: Arc::clone(calls), key, signals: AtomicU8::new(0) }
    }

    /// One whose owner does not listen, for tests.
    #[cfg(test)]
    #[cfg(not(feature = "interleavings"))]
    pub(crate) fn unheard(accepted: avocet_net::Accepted) -> Self {
        let calls = Calls::new(std::task::Waker::noop().clone());
        Self::new(accepted.into_socket(), &Arc::new(calls), 0)
    }

    /// Names the connection on its shard.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Tells the owner. Called under the mailbox's lock.
    pub(crate) fn signal(&self, what: u8) {
        let before = self.signals.fetch_or(what | CALLED, Ordering::AcqRel);
        if before & CALLED == 0 {
            self.calls.call(Call::Signalled(self.key));
        }
    }

    /// The owner is about to look at the signals: whoever signals from now on calls again.
    pub(crate) fn answer(&self) {
        self.clear(CALLED);
    }

    pub(crate) fn clear(&self, what: u8) {
        self.signals.fetch_and(!what, Ordering::AcqRel);
    }

    pub(crate) fn signals(&self) -> u8 {
        self.signals.load(Ordering::Acquire)
    }
}
