//! What a session has, but for its queue.

use super::Session;
use crate::command::{Command, Place, Standing};

impl Session {
    /// All of it changes.
    pub(super) fn stand(&mut self, standing: &Standing) {
        self.standing = standing.clone();
        let sent = standing.sent.iter();
        self.sent = sent.filter_map(|(id, place)| place.map(|place| (place, *id))).collect();
    }

    /// A command changes it.
    pub(super) fn change(&mut self, command: &Command<'_>) {
        let standing = &mut self.standing;
        match command {
            Command::Leave { expiry, left_at, .. } => {
                (standing.expiry, standing.left_at) = (*expiry, *left_at);
            }
            Command::Subscribe { filter, terms, .. } => {
                standing.subscriptions.insert((*filter).to_owned(), *terms);
            }
            Command::Unsubscribe { filter, .. } => {
                drop(standing.subscriptions.remove_entry(*filter));
            }
            Command::Send { packet_id, places, .. } => {
                let mut packet_id = *packet_id;
                for place in places {
                    self.send(packet_id, Some(Some(*place)));
                    packet_id = packet_id.checked_add(1).unwrap_or(1);
                }
            }
            Command::Acknowledge { packet_id, .. } => self.send(*packet_id, Some(None)),
            Command::Complete { packet_id, .. } => self.send(*packet_id, None),
            Command::Receive { packet_id, .. } => {
                standing.received.insert(*packet_id);
            }
            Command::Forget { packet_id, .. } => {
                standing.received.remove(packet_id);
            }
            Command::Stand { .. }
            | Command::End { .. }
            | Command::Publish { .. }
            | Command::Keep { .. }
            | Command::Release { .. }
            | Command::Retain { .. }
            | Command::Clear { .. }
            | Command::Plan { .. }
            | Command::Unplan { .. } => {}
        }
    }

    /// A packet identifier is under way, for a message that waits or not; or it is free.
    fn send(&mut self, packet_id: u16, sent: Option<Option<Place>>) {
        let before = match sent {
            Some(place) => self.standing.sent.insert(packet_id, place),
            None => self.standing.sent.remove(&packet_id),
        };
        if let Some(Some(place)) = before {
            self.sent.remove(&(place, packet_id));
        }
        if let Some(Some(place)) = sent {
            self.sent.insert((place, packet_id));
        }
    }

    /// Messages wait no longer: what packet identifiers they had are free.
    pub(super) fn release(&mut self, from: Place, to: Place) {
        let first = |sent: &Self| sent.sent.range((from, 0)..=(to, u16::MAX)).next().copied();
        while let Some((place, packet_id)) = first(self) {
            self.sent.remove(&(place, packet_id));
            self.standing.sent.remove(&packet_id);
        }
    }
}
