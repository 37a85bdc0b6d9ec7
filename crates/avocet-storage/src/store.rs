//! What every store promises.

mod embedded;
mod failed;
mod memory;
mod state;

use std::{fmt, io, ops::AddAssign};

pub(crate) use self::embedded::replayed;
pub use self::{
    embedded::{EmbeddedStore, Options},
    failed::FailedStore,
    memory::{Contents, MemoryStore, Stored},
};
use crate::command::{Claim, Command, Message, Place, Purpose, SessionNumber, Standing, Time};

/// Commands that are done together: if the process ends before that is reported, all of them or
/// none. One without any is reported in its turn.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    is_refusable: bool,
}

/// Called once with the outcome of a batch, on a thread of the store, which waits for it: the
/// places of the messages it publishes, in order. Batches are reported in the order in which they
/// took effect; those that are refused by submitting them, are not.
pub type Done = Box<dyn FnOnce(Result<Vec<Place>, Refusal>) + Send>;

/// So many messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub messages: usize,
    /// Bytes of their packets.
    pub bytes: u64,
}

impl Amount {
    /// All there is.
    pub const ALL: Self = Self { messages: usize::MAX, bytes: u64::MAX };
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

/// What [`Store::queue`] has found beside the messages it visited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// Whether there may be more messages.
    pub has_more: bool,
    /// Where messages wait that cannot be read, in order: whoever reads the queue releases them.
    pub unreadable: Vec<Place>,
}

/// Why a batch is not stored; nothing of it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// So much waits to be stored that more would be too much.
    Busy,
    /// The disk, or whatever lies behind the store, takes nothing.
    Failed(String),
}

/// Keeps what has to outlive the process.
///
/// Batches take effect in the order in which they were submitted. What [`Self::submit`] has
/// reported as done is there after a crash of the process, and of the machine as far as the store's
/// medium can promise that; what it has reported as refused never is, unless the process ends
/// before anything else was stored. The rest of the methods tell what was done by then.
pub trait Store: fmt::Debug + Send + Sync {
    /// Has a batch stored. A batch that may be refused is, if the store fails; any other is tried
    /// again until it is stored, and `done` waits.
    ///
    /// # Errors
    /// [`Refusal::Busy`]; then `done` is not called.
    fn submit(&self, batch: Batch, done: Done) -> Result<(), Refusal>;

    /// Whether so much waits to be stored that nobody should be let in who would bring more: what
    /// may be refused is refused now, and what may not be has no other bound.
    fn is_burdened(&self) -> bool;

    /// What stands in the way of storing, if anything does.
    fn failure(&self) -> Option<String>;

    /// Whether it knows all that was done before it was opened, since it was closed in order: else
    /// there may have been something that was about to be submitted, or about to be stored.
    fn was_closed(&self) -> bool {
        false
    }

    /// How often a record was asked for that could not be read: what it said is lost.
    fn unreadable(&self) -> u64 {
        0
    }

    /// All sessions, in the order of their numbers.
    fn sessions(&self, visit: &mut dyn FnMut(SessionNumber, &Standing));

    /// Messages that wait for a session, in order, from a place on: at most so many, and none after
    /// so many bytes. Tells whether there may be more, and what cannot be read.
    ///
    /// # Errors
    /// What keeps the queue from being read.
    fn queue(
        &self,
        session: SessionNumber,
        from: Place,
        most: Amount,
        visit: &mut dyn FnMut(Place, &Claim, Message<'_>),
    ) -> io::Result<Queued>;

    /// How much waits for a session.
    fn queued(&self, session: SessionNumber) -> Amount;

    /// Messages that wait and whose time is over, about `most` of them: whose, where, and what.
    /// Tells whether there may be more, which the next call visits. Who visits one releases it,
    /// since it may not be visited again. It may be told a minute late, so whoever delivers looks
    /// at the time all the same. A visitor must not ask for more of them.
    ///
    /// # Errors
    /// What keeps them from being read.
    fn expired(
        &self,
        now: Time,
        most: usize,
        visit: &mut dyn FnMut(SessionNumber, Place, &Claim, Message<'_>),
    ) -> io::Result<bool>;

    /// All retained messages, with their topics, in no order; what cannot be read is passed by, and
    /// counted by [`Self::unreadable`].
    ///
    /// # Errors
    /// What keeps all of them from being read.
    fn retained(&self, visit: &mut dyn FnMut(&str, Message<'_>)) -> io::Result<()>;

    /// All messages that are to be published later, with their numbers, as [`Self::retained`].
    ///
    /// # Errors
    /// What keeps all of them from being read.
    fn plans(&self, visit: &mut dyn FnMut(u64, Time, Purpose, Message<'_>)) -> io::Result<()>;
}

impl Batch {
    /// One that may be refused: somebody is told that it was.
    #[must_use]
    pub fn refusable() -> Self {
        Self { is_refusable: true, ..Self::default() }
    }

    /// Adds a command.
    pub fn push(&mut self, command: &Command<'_>) {
        command.write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Whether there is nothing to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) fn commands(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

#[cfg(test)]
mod tests;
