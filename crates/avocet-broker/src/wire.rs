//! One client's socket as other threads see it: they may write to it, and wake its owner.

use std::{sync::atomic::Ordering, task::Waker};

#[cfg(not(all(test, feature = "interleavings")))]
use avocet_net::Socket;

#[cfg(all(test, feature = "interleavings"))]
use crate::simulation::Socket;
use crate::sync::{AtomicU8, OnceLock};

/// The system took less than there was: from now on only the owner writes.
pub(crate) const BLOCKED: u8 = 1;
/// The connection is to end once its output is written.
pub(crate) const CLOSING: u8 = 2;
/// The session has another connection, or none: end at once.
pub(crate) const DETACHED: u8 = 4;
/// Something has changed about the session that it waits for: ask for it again.
pub(crate) const CHANGED: u8 = 8;

/// A socket, what its owner has to look after, and how to wake it. The descriptor lives as long as
/// anyone may write to it, so that its number never names another client's connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) socket: Socket,
    signals: AtomicU8,
    owner: OnceLock<Waker>,
}

impl Wire {
    pub(crate) fn new(socket: impl Into<Socket>) -> Self {
        Self { socket: socket.into(), signals: AtomicU8::new(0), owner: OnceLock::new() }
    }

    /// To be called by the owner's task, whose waker does not change.
    pub(crate) fn own(&self, waker: &Waker) {
        self.owner.get_or_init(|| waker.clone());
    }

    /// Tells the owner. Called under the mailbox's lock.
    pub(crate) fn signal(&self, what: u8) {
        self.signals.fetch_or(what, Ordering::Release);
        if let Some(waker) = self.owner.get() {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn clear(&self, what: u8) {
        self.signals.fetch_and(!what, Ordering::Release);
    }

    pub(crate) fn signals(&self) -> u8 {
        self.signals.load(Ordering::Acquire)
    }
}
