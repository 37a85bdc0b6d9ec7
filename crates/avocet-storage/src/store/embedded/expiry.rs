//! Finds messages whose time is over: by the log, since memory holds nothing of each message.

use std::io;

use super::EmbeddedStore;
use crate::{
    command::{Claim, Command, Message, Place, SessionNumber, Time},
    log::Position,
};

/// Bytes of a segment that are looked at before it is asked whether that is enough.
const SLICE_BYTES: u32 = 64 * 1024;
/// So many are looked at in one call.
const SLICES_MAX: usize = 32;

/// How far a segment has been looked at.
#[derive(Debug, Default)]
pub(super) struct Walk {
    at: Option<Position>,
}

impl EmbeddedStore {
    pub(super) fn walk_expired(
        &self,
        now: Time,
        most: usize,
        visit: &mut dyn FnMut(SessionNumber, Place, &Claim, Message<'_>),
    ) -> io::Result<bool> {
        let mut walk = self.shared.walk.lock();
        let mut visited = 0;
        for _ in 0..SLICES_MAX {
            let begin = || {
                let segment = self.shared.state.lock().take_expired(now);
                segment.map(|segment| Position { segment, offset: 0 })
            };
            let Some(at) = walk.at.take().or_else(begin) else { return Ok(false) };
            let scanned = self.reader.scan(at, SLICE_BYTES, |at, number, body| {
                visited += self.visit_expired(now, at, number, body, visit);
            });
            match scanned {
                Ok(scanned) => {
                    if scanned.is_damaged {
                        // The disk may give it another time.
                        self.shared.state.lock().expires(at.segment, now);
                    }
                    walk.at = scanned.next;
                }
                // The cleaner was there first, and what it has kept is looked at where it is.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            if visited >= most {
                break;
            }
        }
        Ok(true)
    }

    /// Answers how many.
    fn visit_expired(
        &self,
        now: Time,
        at: Position,
        number: u64,
        body: &[u8],
        visit: &mut dyn FnMut(SessionNumber, Place, &Claim, Message<'_>),
    ) -> usize {
        let (message, claims, place) = match Command::read(body) {
            Some(Command::Publish { message, claims, .. }) => (message, claims, Place(number)),
            Some(Command::Keep { place, message, claims }) => (message, claims, place),
            _ => return 0,
        };
        let Some(expires_at) = message.expires_at else { return 0 };
        let claims: Vec<Claim> = {
            let mut state = self.shared.state.lock();
            let mut is_unknown = false;
            let waits = |claim: &Claim| match state.claim(claim.session, place) {
                Ok(found) => found == Some(at),
                Err(_) => {
                    is_unknown = true;
                    false
                }
            };
            let waiting: Vec<Claim> = claims.into_iter().filter(waits).collect();
            let is_over = expires_at <= now;
            // What cannot be looked for now is told another time.
            if is_unknown || !(is_over || waiting.is_empty()) {
                state.expires(at.segment, expires_at);
            }
            if is_over { waiting } else { return 0 }
        };
        claims.iter().for_each(|claim| visit(claim.session, place, claim, message));
        claims.len()
    }
}
