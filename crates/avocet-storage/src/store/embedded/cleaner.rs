//! Gives space back: what is still needed of the oldest segment is written once more, a little at a
//! time, and the segment is taken away.

use std::io;

use parking_lot::Mutex;

use crate::{
    command::Command,
    log::{Log, Position},
    store::state::State,
};

/// Bytes of a segment that are looked at before others have their turn.
const STEP_BYTES: u32 = 256 * 1024;

#[derive(Debug)]
pub(super) struct Cleaner {
    from_bytes: u64,
    /// How far the oldest segment has been looked at.
    at: Option<Position>,
}

impl Cleaner {
    pub(super) fn new(from_bytes: u64) -> Self {
        Self { from_bytes, at: None }
    }

    /// Whether it is in the middle of a segment.
    pub(super) fn is_busy(&self) -> bool {
        self.at.is_some()
    }

    /// Does a little of what there is to do.
    pub(super) fn step(&mut self, log: &mut Log, state: &Mutex<State>) -> io::Result<()> {
        let Some(at) = self.at.or_else(|| self.begin(log, &state.lock())) else { return Ok(()) };
        // Whatever fails is begun anew.
        self.at = None;
        let mut walked = Walked::default();
        let next = walked.walk(log, at, state)?;
        let mut offsets = Vec::new();
        for body in &walked.needed {
            offsets.push(log.append(body)?);
        }
        if !offsets.is_empty() {
            let placed = log.commit().inspect_err(|_| log.discard())?;
            let mut state = state.lock();
            for (body, offset) in walked.needed.iter().zip(offsets) {
                if let Some(command) = Command::read(body) {
                    state.apply(placed.position(offset), placed.number(offset), &command);
                }
            }
        }
        if next.is_none() && !state.lock().needs(at.segment) {
            log.forget_oldest()?;
            state.lock().forget_segment(at.segment);
        }
        self.at = next;
        Ok(())
    }

    /// Where to begin, if it is worth it.
    fn begin(&self, log: &Log, state: &State) -> Option<Position> {
        let mut segments = log.segments();
        let (oldest, _) = segments.next()?;
        // The last is written to.
        segments.next()?;
        let (total, needed) = log.segments().fold((0, 0.0), |(total, needed), (segment, len)| {
            (total + u64::from(len), needed + f64::from(len) * state.share_needed(segment))
        });
        let is_worth_it = total >= self.from_bytes && needed < total as f64 / 2.0;
        let is_free = !state.needs(oldest);
        (is_free || is_worth_it).then_some(Position { segment: oldest, offset: 0 })
    }
}

#[derive(Debug, Default)]
struct Walked {
    /// Commands that are to be written once more.
    needed: Vec<Vec<u8>>,
}

impl Walked {
    /// Looks at some records; answers where to go on.
    fn walk(
        &mut self,
        log: &Log,
        from: Position,
        state: &Mutex<State>,
    ) -> io::Result<Option<Position>> {
        if !state.lock().needs(from.segment) {
            return Ok(None);
        }
        let scanned = log.reader().scan(from, STEP_BYTES, |at, number, body| {
            if let Some(command) = Command::read(body)
                && let Some(needed) = state.lock().still_needed(at, number, command)
            {
                let mut bytes = Vec::new();
                needed.write(&mut bytes);
                self.needed.push(bytes);
            }
        })?;
        Ok(scanned.next)
    }
}
