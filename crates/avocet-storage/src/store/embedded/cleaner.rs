//! Gives space back: what is still needed of the oldest segment is written once more, a little at a
//! time, and the segment is taken away.

use std::{
    io,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{
    Options, Shared, lies,
    space::{Lend, Space},
};
use crate::{
    command::Command,
    disk,
    log::{self, Log, Placed, Position},
    store::state::State,
};

/// Bytes of a segment that are looked at before others have their turn.
const STEP_BYTES: u32 = 256 * 1024;
/// Segments may be small, as each start of the process leaves one, until there are so many.
const SEGMENTS_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct Cleaner {
    retry_after: Duration,
    /// How far the oldest segment has been looked at.
    at: Option<Position>,
    /// Whether it has just given back a segment: there may be another one.
    has_given: bool,
    /// When to try again what has failed.
    retry_at: Option<Instant>,
}

impl Cleaner {
    pub(super) fn new(options: &Options) -> Self {
        Self { retry_after: options.retry_after, at: None, has_given: false, retry_at: None }
    }

    /// Whether it is in the middle of something.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.retry_at.map_or(self.at.is_some() || self.has_given, |at| at <= now)
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Does a little of what there is to do; tells whether a segment is gone.
    pub(super) fn step(
        &mut self,
        log: &mut Log,
        space: &mut Space,
        shared: &Shared,
    ) -> io::Result<bool> {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            let failure = shared.cleaning_failure.lock().clone();
            return failure.map_or(Ok(false), |failure| Err(io::Error::other(failure)));
        }
        (self.retry_at, self.has_given) = (None, false);
        let at = self.at.or_else(|| begin(log, space, &shared.state.lock()));
        let Some(at) = at else { return Ok(false) };
        // Whatever fails is begun anew.
        self.at = None;
        let stepped = if space.is_full() {
            Self::clean_all(at, log, space, shared)
        } else {
            Self::clean(at, log, space, shared)
        };
        if stepped.is_err() {
            self.retry_at = Some(Instant::now() + self.retry_after);
        }
        self.at = stepped?;
        self.has_given = self.at.is_none();
        Ok(self.has_given)
    }

    /// The rest of a segment at once: others would take the room for it.
    fn clean_all(
        at: Position,
        log: &mut Log,
        space: &mut Space,
        shared: &Shared,
    ) -> io::Result<Option<Position>> {
        let needed = shared.state.lock().bytes_needed(at.segment);
        space.lend_ahead(needed, log);
        let mut next = Some(at);
        while let Some(at) = next {
            next = Self::clean(at, log, space, shared)?;
        }
        Ok(None)
    }

    /// Looks at some records; answers where to go on.
    fn clean(
        at: Position,
        log: &mut Log,
        space: &mut Space,
        shared: &Shared,
    ) -> io::Result<Option<Position>> {
        let mut next = None;
        if shared.state.lock().holdings(at.segment) > 0 {
            let (mut needed, mut failed) = (Vec::new(), None);
            let bytes = STEP_BYTES.min(space.segment_bytes());
            let scanned = log.reader().scan(at, bytes, |at, number, body| {
                let Some(command) = Command::read(body) else { return };
                let mut state = shared.state.lock();
                match state.still_needed(at, number, command) {
                    Ok(command) => needed.extend(command.map(|it| bytes_of(&it))),
                    Err(error) => failed = Some(error),
                }
            })?;
            failed.map_or(Ok(()), Err)?;
            write_anew(&needed, log, space, shared)?;
            next = scanned.next;
        }
        if next.is_none() {
            Self::finish(at.segment, log, space, shared)?;
        }
        Ok(next)
    }

    /// All that is needed of a segment and can be read has been written anew.
    fn finish(segment: u32, log: &mut Log, space: &mut Space, shared: &Shared) -> io::Result<()> {
        let needed: Vec<Vec<u8>> =
            shared.state.lock().standing_in(segment).map(|it| bytes_of(&it)).collect();
        write_anew(&needed, log, space, shared)?;
        let lost = shared.state.lock().holdings(segment);
        if lost == 0 {
            log.forget_oldest()?;
        } else if log.put_oldest_aside()?.is_some() {
            shared.unreadable.fetch_add(lost, Ordering::Relaxed);
        }
        shared.state.lock().forget_segment(segment);
        Ok(())
    }
}

/// Where to begin, if it is worth it.
fn begin(log: &Log, space: &Space, state: &State) -> Option<Position> {
    let mut segments = log.segments();
    let (oldest, len) = segments.next()?;
    // The last is written to.
    segments.next()?;
    let (count, total, needed) =
        log.segments().fold((0, 0, 0), |(count, total, needed), (segment, len)| {
            (count + 1, total + u64::from(len), needed + state.bytes_needed(segment))
        });
    let segment_bytes = u64::from(space.segment_bytes());
    let heads = (count * log::HEAD_BYTES) as u64;
    let gained = total.saturating_sub(needed + heads);
    let is_worth_it = if space.is_full() {
        let needed_here = state.bytes_needed(oldest);
        let gained_here = u64::from(len).saturating_sub(needed_here);
        let is_pressed = space.is_pressed() && gained >= segment_bytes / 2;
        (gained >= total / 8 || gained_here >= u64::from(len) / 4 || is_pressed)
            && fits(space, len.into(), needed_here)
    } else {
        total >= space.cleaned_from_bytes() && needed < total / 2
    };
    let are_many = count > SEGMENTS_MAX && total / 4 < count as u64 * segment_bytes / 16;
    let is_free = state.holdings(oldest) == 0;
    (is_free || is_worth_it || are_many).then_some(Position { segment: oldest, offset: 0 })
}

/// Whether there is room for what is needed of a segment. How much that is, is not known well if
/// messages have several claims, so it is tried with less room only if something has to be done.
fn fits(space: &Space, len: u64, needed: u64) -> bool {
    let wanted = if space.is_pressed() { needed } else { len.min(2 * needed) };
    needed == 0 || space.available().is_none_or(|room| room >= wanted)
}

fn bytes_of(command: &Command<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    command.write(&mut bytes);
    bytes
}

fn write_anew(
    commands: &[Vec<u8>],
    log: &mut Log,
    space: &mut Space,
    shared: &Shared,
) -> io::Result<()> {
    if commands.is_empty() {
        return Ok(());
    }
    // Each of them stands by itself, but so all of them fit or none.
    let appended = log.append_batch(commands.iter().map(|it| &it[..]));
    let placed = appended.and_then(|first| Ok((first, commit(log, space)?)));
    let (mut record, placed) = placed.inspect_err(|_| log.discard())?;
    let mut state = shared.state.lock();
    let mut outcome = Ok(());
    for bytes in commands {
        let lies = lies(placed.position(record), placed.number(record), bytes);
        record = record.next(bytes.len());
        if let Some(command) = Command::read(bytes) {
            // What fails is still needed where it lies, and written once more when it can be.
            outcome = outcome.and(state.apply_anew(lies, &command));
        }
    }
    outcome
}

/// With what is held back, if there is no other room.
fn commit(log: &mut Log, space: &mut Space) -> io::Result<Placed> {
    loop {
        let committed = log.commit();
        match committed {
            Err(error) if disk::is_full(&error) => {
                space.fill(log);
                if !space.lend(log.waiting_bytes(), Lend::Cleaning, log) {
                    return Err(error);
                }
            }
            committed => return committed,
        }
    }
}
