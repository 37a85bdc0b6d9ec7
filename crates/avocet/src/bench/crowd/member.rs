//! One client of a crowd.

use crate::bench::link::Link;

#[derive(Debug)]
pub(super) struct Member {
    /// Until it ends.
    pub(super) link: Option<Link>,
    /// Which client it is; its place is taken by another when it has ended.
    pub(super) serial: u64,
    pub(super) standing: Standing,
    pub(super) begun_at: u64,
    pub(super) sent_at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The handshakes before CONNECT are under way.
    Opening,
    /// CONNECT waits to be answered.
    Asking,
    In,
    /// DISCONNECT was sent, and the broker is to close the connection.
    Leaving,
    Gone,
}

impl Member {
    /// Whether the broker has to do something for it.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self.standing, Standing::Opening | Standing::Asking | Standing::Leaving)
    }
}
