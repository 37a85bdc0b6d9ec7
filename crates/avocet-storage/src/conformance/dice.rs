//! Commands by chance, from a seed.

use std::collections::BTreeSet;

use crate::command::{
    Claim, Command, Message, Place, Purpose, SessionNumber, Standing, Terms, Time,
};

/// Commands by chance, about few sessions at a time, so that they meet. A session begins with its
/// standing; of one that has ended something may still be said.
#[derive(Debug)]
pub struct Dice {
    state: u64,
    /// The last place that is known: whoever has a store give places says so.
    pub place: Place,
    packet: Vec<u8>,
    /// The sessions that are spoken of.
    pub sessions: [u64; 4],
    hoards: bool,
    begun: BTreeSet<u64>,
}

const FILTERS: [&str; 4] = ["a", "a/+", "#", "$share/g/a"];

impl Dice {
    /// From a seed. Of some, queues grow long.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            place: Place(0),
            packet: Vec::new(),
            sessions: [0, 1, 2, 3],
            hoards: seed % 2 == 1,
            begun: BTreeSet::new(),
        }
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % bound
    }

    /// A few commands.
    pub fn batch(&mut self, mut each: impl FnMut(&Command<'_>)) {
        for _ in 0..=self.below(4) {
            let len = self.below(300) as usize;
            let packet = vec![self.below(256) as u8; len];
            self.packet = packet;
            each(&self.command());
        }
    }

    fn command(&mut self) -> Command<'_> {
        let slot = self.below(4) as usize;
        let session = SessionNumber(self.sessions[slot]);
        let packet_id = self.below(3) as u16 + 1;
        let place = Place(self.below(self.place.0 + 1));
        let to = Place(self.place.0.min(place.0 + 3));
        let kind = if self.begun.contains(&session.0) { self.below(24) } else { 0 };
        let keeps = self.hoards && self.below(16) > 0;
        let kind = if keeps && (12..=14).contains(&kind) { 5 } else { kind };
        let filter = FILTERS[self.below(4) as usize];
        let time = Time(1000 * (1 + self.below(1000)));
        let more = self.below(4);
        let expires_at = (more == 0).then_some(time);
        let packet = &self.packet[..];
        match kind {
            0 => {
                self.begun.insert(session.0);
                let mut standing =
                    Standing { client_id: format!("c{more}"), ..Standing::default() };
                standing.received = BTreeSet::from([packet_id]);
                Command::Stand { session, standing: Box::new(standing) }
            }
            1 if more == 0 => {
                self.sessions[slot] += 4;
                Command::End { session }
            }
            1 | 2 => {
                let (expiry, was_cut) = (more as u32, more == 1);
                Command::Leave { session, expiry, left_at: expires_at, was_cut }
            }
            3 => {
                let terms = Terms { options: more as u8, identifier: 7 };
                Command::Subscribe { session, filter, terms }
            }
            4 => Command::Unsubscribe { session, filter },
            5..=11 => {
                let message = Message { received_at: time, expires_at, flags: more as u8, packet };
                let begun = self.begun.iter().rev().take(more as usize + 1);
                let claims = begun.map(|number| {
                    let (session, flags) = (SessionNumber(*number), more as u8);
                    let shared = (more == 2).then(|| "g".to_owned());
                    Claim { session, flags, identifiers: vec![more as u32], shared }
                });
                let from = (more == 1).then_some((session, packet_id));
                Command::Publish { message, claims: claims.collect(), from }
            }
            12 | 13 => Command::Release { session, from: Place(0), to: place },
            14 => Command::Release { session, from: place, to },
            15 => Command::Send { session, packet_id, places: vec![place, to] },
            16 => Command::Acknowledge { session, packet_id, place },
            17 => Command::Complete { session, packet_id },
            18 => Command::Receive { session, packet_id },
            19 => Command::Forget { session, packet_id },
            20 | 21 => {
                let message = Message { received_at: time, expires_at, flags: more as u8, packet };
                Command::Retain { topic: filter, message }
            }
            22 if more == 0 => Command::Clear { topic: filter },
            22 if more == 1 => Command::Expire { topic: filter, by: time },
            22 => {
                let message = Message { received_at: time, expires_at, flags: more as u8, packet };
                Command::Plan {
                    plan: more,
                    due_at: time,
                    purpose: Purpose::Will(session, 7),
                    message,
                }
            }
            _ => Command::Unplan { plan: more },
        }
    }
}
