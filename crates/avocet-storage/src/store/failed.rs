//! The store that could not be opened: it has nothing, takes nothing, and says why.

use std::io;

use super::{Amount, Batch, Done, Queued, Refusal, Store};
use crate::command::{Claim, Message, Place, Purpose, SessionNumber, Standing, Time};

/// The store. It touches nothing of what lies where it should have been opened, so all of that is
/// there for who opens it when what stood in the way is gone.
///
/// No batch is ever stored, so each of them is refused at once, also one that may not be: nothing
/// that waits here would ever have its turn.
#[derive(Debug)]
pub struct FailedStore {
    why: String,
}

impl FailedStore {
    /// One that tells this as its failure.
    #[must_use]
    pub fn new(why: String) -> Self {
        Self { why }
    }
}

impl Store for FailedStore {
    fn submit(&self, batch: Batch, done: Done) -> Result<(), Refusal> {
        // Of an empty one there is nothing to be stored, only to be told.
        done(match batch.is_empty() {
            true => Ok(Vec::new()),
            false => Err(Refusal::Failed(self.why.clone())),
        });
        Ok(())
    }

    /// Nobody is let in who would bring something.
    fn is_burdened(&self) -> bool {
        true
    }

    fn is_failing(&self) -> bool {
        true
    }

    fn failure(&self) -> Option<String> {
        Some(self.why.clone())
    }

    fn is_known(&self) -> bool {
        false
    }

    /// It refuses everything as it is, and nothing waits.
    fn close(&self) {}

    fn sessions(&self, _: &mut dyn FnMut(SessionNumber, &Standing)) {}

    fn queue(
        &self,
        _: SessionNumber,
        _: Place,
        _: Amount,
        _: &mut dyn FnMut(Place, &Claim, Message<'_>),
    ) -> io::Result<Queued> {
        Ok(Queued::default())
    }

    fn queued(&self, _: SessionNumber) -> Amount {
        Amount::default()
    }

    fn expired(
        &self,
        _: Time,
        _: usize,
        _: &mut dyn FnMut(SessionNumber, Place, &Claim, Message<'_>),
    ) -> io::Result<bool> {
        Ok(false)
    }

    fn retained(&self, _: &mut dyn FnMut(&str, Message<'_>)) -> io::Result<()> {
        Ok(())
    }

    fn plans(&self, _: &mut dyn FnMut(u64, Time, Purpose, Message<'_>)) -> io::Result<()> {
        Ok(())
    }
}
