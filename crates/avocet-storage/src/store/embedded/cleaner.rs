//! Gives space back: what is still needed of the oldest segment is written once more, a little at a
//! time, and the segment is taken away.

use std::{
    io,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{Options, Shared, lies};
use crate::{
    command::Command,
    log::{Log, Position},
    store::state::State,
};

/// Bytes of a segment that are looked at before others have their turn.
const STEP_BYTES: u32 = 256 * 1024;
/// Segments may be small, as each start of the process leaves one, until there are so many.
const SEGMENTS_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Cleaner {
    from_bytes: u64,
    segment_bytes: u32,
    /// On a full disk it has to be worth so much.
    worth_bytes: u64,
    retry_after: Duration,
    /// How far the oldest segment has been looked at.
    at: Option<Position>,
    /// When to try again what has failed.
    retry_at: Option<Instant>,
}

impl Cleaner {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            from_bytes: options.cleaned_from_bytes,
            segment_bytes: options.segment_bytes,
            worth_bytes: u64::from(options.segment_bytes_min / 4),
            retry_after: options.retry_after,
            at: None,
            retry_at: None,
        }
    }

    /// Whether it is in the middle of a segment.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.retry_at.map_or(self.at.is_some(), |at| at <= now)
    }

    /// What has failed is tried again at once.
    pub(super) fn hurry(&mut self) {
        self.retry_at = Some(Instant::now());
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Does a little of what there is to do; more is worth it if the disk is full.
    pub(super) fn step(&mut self, log: &mut Log, shared: &Shared, is_full: bool) -> io::Result<()> {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            let failure = shared.cleaning_failure.lock().clone();
            return failure.map_or(Ok(()), |failure| Err(io::Error::other(failure)));
        }
        self.retry_at = None;
        // Whatever fails is begun anew.
        let stepped = match self.at.take() {
            Some(at) => Ok(Some(at)),
            None => self.begin(log, &shared.state.lock(), is_full),
        };
        let stepped = match stepped {
            Ok(Some(at)) => Self::clean(at, log, shared),
            other => other,
        };
        if stepped.is_err() {
            self.retry_at = Some(Instant::now() + self.retry_after);
        }
        self.at = stepped?;
        Ok(())
    }

    /// Where to begin, if it is worth it.
    fn begin(&self, log: &mut Log, state: &State, is_full: bool) -> io::Result<Option<Position>> {
        let (count, total, needed) =
            log.segments().fold((0, 0, 0), |(count, total, needed), (segment, len)| {
                (count + 1, total + u64::from(len), needed + state.bytes_needed(segment))
            });
        let is_worth_it = (total >= self.from_bytes && needed < total / 2)
            || (is_full && total.saturating_sub(needed) >= self.worth_bytes);
        if is_full && is_worth_it && self.gains_in_last_alone(log, state) {
            log.roll()?;
        }
        let mut segments = log.segments();
        let (Some((oldest, _)), Some(_)) = (segments.next(), segments.next()) else {
            return Ok(None);
        };
        let are_many =
            count > SEGMENTS_MAX && total / 4 < count as u64 * u64::from(self.segment_bytes) / 16;
        let is_free = state.holdings(oldest) == 0;
        let at = Position { segment: oldest, offset: 0 };
        Ok(Some(at).filter(|_| is_free || is_worth_it || are_many))
    }

    /// The last segment is written to: what is of no use there needs another behind it.
    fn gains_in_last_alone(&self, log: &Log, state: &State) -> bool {
        let gain = |(segment, len)| u64::from(len).saturating_sub(state.bytes_needed(segment));
        let before_last = log.segments().count().saturating_sub(1);
        log.segments().take(before_last).map(gain).sum::<u64>() < self.worth_bytes
    }

    /// Looks at some records; answers where to go on.
    fn clean(at: Position, log: &mut Log, shared: &Shared) -> io::Result<Option<Position>> {
        let mut next = None;
        if shared.state.lock().holdings(at.segment) > 0 {
            let mut needed = Vec::new();
            let scanned = log.reader().scan(at, STEP_BYTES, |at, number, body| {
                let Some(command) = Command::read(body) else { return };
                let mut state = shared.state.lock();
                needed.extend(state.still_needed(at, number, command).map(|it| bytes_of(&it)));
            })?;
            write_anew(&needed, log, shared)?;
            next = scanned.next;
        }
        if next.is_none() {
            Self::finish(at.segment, log, shared)?;
        }
        Ok(next)
    }

    /// All that is needed of a segment and can be read has been written anew.
    fn finish(segment: u32, log: &mut Log, shared: &Shared) -> io::Result<()> {
        let needed: Vec<Vec<u8>> =
            shared.state.lock().standing_in(segment).map(|it| bytes_of(&it)).collect();
        write_anew(&needed, log, shared)?;
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

fn bytes_of(command: &Command<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    command.write(&mut bytes);
    bytes
}

fn write_anew(commands: &[Vec<u8>], log: &mut Log, shared: &Shared) -> io::Result<()> {
    if commands.is_empty() {
        return Ok(());
    }
    // Each of them stands by itself, but so all of them fit or none.
    let appended = log.append_batch(commands.iter().map(|it| &it[..]));
    let placed = appended.and_then(|first| Ok((first, log.commit()?)));
    let (mut record, placed) = placed.inspect_err(|_| log.discard())?;
    let mut state = shared.state.lock();
    for bytes in commands {
        let lies = lies(placed.position(record), placed.number(record), bytes);
        record = record.next(bytes.len());
        if let Some(command) = Command::read(bytes) {
            state.apply(lies, &command);
        }
    }
    Ok(())
}
