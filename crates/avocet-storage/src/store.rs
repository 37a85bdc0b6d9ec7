//! What every store promises.

mod embedded;
mod failed;
mod memory;
mod state;

use std::{
    fmt, io,
    ops::{AddAssign, SubAssign},
    time::Duration,
};

pub(crate) use self::embedded::replayed;
pub use self::{
    embedded::{EmbeddedStore, Options},
    failed::FailedStore,
    memory::{Contents, MemoryStore, Stored},
};
use crate::{
    command::{Claim, Command, Message, Place, Purpose, SessionNumber, Standing, Time},
    log::RECORD_HEADER_BYTES,
};

/// Commands that are done together: if the process ends before that is reported, all of them or
/// none. One without any is reported in its turn.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    is_refusable: bool,
}

/// Called once with the outcome of a batch: the places of the messages it publishes, in order. See
/// [`Store`] for when, and what it may do.
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

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        self.messages -= other.messages;
        self.bytes -= other.bytes;
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

/// What a store tells of itself. What it does not have is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Sessions there are.
    pub sessions: usize,
    /// What waits for them; a message counts for each of them.
    pub queued: Amount,
    /// Topics with a retained message.
    pub retained: usize,
    /// Messages that are to be published later.
    pub plans: usize,
    /// Files of the log.
    pub segments: usize,
    /// Bytes of these.
    pub log_bytes: u64,
    /// How many of them are still needed, about.
    pub needed_bytes: u64,
    /// How often a group of batches was made last, since the store was opened.
    pub commits: u64,
    /// How long all of these took together.
    pub commit_time: Duration,
}

/// Why a batch is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// So much waits to be stored that more would be too much.
    Busy,
    /// The disk, or whatever lies behind the store, takes nothing.
    Failed(String),
}

/// Keeps what has to outlive the process. `conformance` has what follows as tests, for whoever
/// writes another one; [`Contents`] says what each command does.
///
/// **Order.** Batches take effect in the order in which they were submitted, each of them after all
/// before it. What is submitted from several threads at once has the order in which these were let
/// in. A store gives every message that is published the next place, larger than all it has given
/// before, also in an earlier process.
///
/// **All or nothing.** If the process ends, of each batch all is there or nothing, and nothing of a
/// batch is there without all that were stored before it. The exception is a batch that may not be
/// refused and is larger than what the store can make last at once, half a gigabyte of
/// [`EmbeddedStore`]: its commands are stored one after the other, each of them as a whole.
///
/// **Refusal.** A batch that may be refused is, if the store fails: nothing of it is there, unless
/// the process ends before anything else was stored. Any other is tried again until it is stored;
/// it is told as failed only by a store that ends, or never began, or if a single command of it is
/// larger than what can ever be stored: then the others are stored all the same, in their order,
/// and nobody is told their places.
///
/// **Durability.** What is reported as done is there after a crash of the process, and of the
/// machine as far as the store's medium can promise that. What tells of the store tells what was
/// done by then, and perhaps what is about to be reported.
///
/// **Threads.** All methods may be called from any thread, at the same time, and none of them waits
/// for the medium to write. Visitors are called on the caller's thread, with no lock held that
/// keeps them from asking the store for more; [`Self::expired`] is the exception.
///
/// **Reports.** [`Done`] is called once for each batch that was let in, empty or not, in the order
/// of the batches; but while the medium fails, those that are refused are told of before those that
/// may not be and wait for it. It is called on a thread of the store, which waits for it, or within
/// [`Self::submit`], here or by another thread. So it does little, does not block, and takes no
/// lock that may be held by whoever submits; it may submit, and ask the store. It is not called for
/// a batch that `submit` itself refuses. Dropping a store closes it.
pub trait Store: fmt::Debug + Send + Sync {
    /// Has a batch stored.
    ///
    /// # Errors
    /// [`Refusal::Busy`] for one that may be refused; then `done` is not called.
    fn submit(&self, batch: Batch, done: Done) -> Result<(), Refusal>;

    /// Whether so much waits to be stored that nobody should be let in who would bring more: what
    /// may be refused is refused now, and what may not be has no other bound.
    fn is_burdened(&self) -> bool;

    /// Whether what may be refused and is submitted now is expected to be, since the medium takes
    /// nothing: so it is from before somebody is told of the first refusal by [`Refusal::Failed`]
    /// until before somebody is told that such a batch is stored, or the medium is known to take
    /// them again. It costs a load, and says nothing of [`Refusal::Busy`], of a batch that is
    /// refused for its size, or of a store that was closed.
    fn is_failing(&self) -> bool;

    /// What people should know of its medium, if there is anything: what stands in the way of
    /// storing, or else of giving space back. There may be something though it is not failing, and
    /// there is if it is.
    fn failure(&self) -> Option<String>;

    /// Whether it knows all that was done before it was opened, since it was closed in order: else
    /// there may have been something that was about to be submitted, or about to be stored.
    fn was_closed(&self) -> bool {
        false
    }

    /// Ends it: when this returns, all that was submitted before is stored, or has failed, and was
    /// told, but for what a medium that stands still, or somebody who is told and does not return,
    /// keeps longer than the store waits: then that goes on by itself, and may have no outcome.
    /// Whoever is told may close the store, and does not wait for the others.
    ///
    /// What is submitted from now on is told as failed in its turn, whatever it is; what is
    /// submitted meanwhile is that, or stored. What the store has can be asked for still. Closing
    /// it again does nothing but wait for the first.
    fn close(&self);

    /// Figures to be looked at, about once a second. Nothing is asked of the medium for them, and
    /// no session is looked at.
    fn figures(&self) -> Figures {
        Figures::default()
    }

    /// How often a record was asked for that could not be read: what it said is lost.
    fn unreadable(&self) -> u64 {
        0
    }

    /// Whether what was stored before is known. Otherwise nobody can tell which sessions have a
    /// right to a message: none may be acknowledged, and no session be taken for new.
    fn is_known(&self) -> bool {
        true
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

impl Refusal {
    /// Of what is submitted to a store that was closed.
    fn closed() -> Self {
        Self::Failed("the store is closed".to_owned())
    }
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

    /// What is to be done, in order.
    pub fn commands(&self) -> impl Iterator<Item = Command<'_>> {
        // All of them were written by `push`.
        self.records().filter_map(Command::read)
    }

    /// Whether it is refused if it cannot be stored.
    #[must_use]
    pub fn is_refusable(&self) -> bool {
        self.is_refusable
    }

    /// How many bytes its commands have.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The same in pieces of at most so many bytes with the heads of the records, unless they have
    /// a single command.
    pub(crate) fn cut(&self, bytes_max: usize) -> Vec<Self> {
        let mut pieces: Vec<Self> = Vec::new();
        for record in self.records() {
            let with = |it: &Self| {
                it.bytes.len() + record.len() + (it.ends.len() + 1) * RECORD_HEADER_BYTES
            };
            if pieces.last().is_none_or(|last| with(last) > bytes_max) {
                pieces.push(Self { is_refusable: self.is_refusable, ..Self::default() });
            }
            if let Some(last) = pieces.last_mut() {
                last.bytes.extend_from_slice(record);
                last.ends.push(last.bytes.len());
            }
        }
        pieces
    }

    /// The bytes of each command, as a log has them.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

#[cfg(test)]
mod tests;
