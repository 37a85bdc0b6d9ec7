//! A batch that is larger than a group can be, and may not be refused: it is stored piece by piece.
//!
//! It has one outcome. If a command of it is too large for any group, all others are stored, and
//! the batch is told as failed: without a place for each message nobody could say whose is missing.

use std::{mem, sync::Arc};

use parking_lot::Mutex;

use crate::store::{Batch, Done};

/// The pieces, the last of which tells what has become of all of them.
pub(super) fn cut(batch: &Batch, done: Done, bytes_max: usize) -> Vec<(Batch, Done)> {
    let pieces = batch.cut(bytes_max);
    let whole = Arc::new(Mutex::new(Ok(Vec::new())));
    let (last, mut done) = (pieces.len().saturating_sub(1), Some(done));
    let with_done = |(number, piece): (usize, Batch)| -> (Batch, Done) {
        let whole = Arc::clone(&whole);
        let done = done.take_if(|_| number == last);
        let note: Done = Box::new(move |outcome| {
            let mut told = mem::replace(&mut *whole.lock(), Ok(Vec::new()));
            match (&mut told, outcome) {
                (Ok(places), Ok(more)) => places.extend(more),
                (Ok(_), Err(refusal)) => told = Err(refusal),
                (Err(_), _) => {}
            }
            match done {
                Some(done) => done(told),
                None => *whole.lock() = told,
            }
        });
        (piece, note)
    };
    pieces.into_iter().enumerate().map(with_done).collect()
}
