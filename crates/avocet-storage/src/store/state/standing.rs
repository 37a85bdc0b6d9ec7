//! What a session has, but for its queue: in little memory, since there are many of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Command, Place, Standing, Terms, Time};

/// As [`Standing`].
#[derive(Debug, Default)]
pub(super) struct Stands {
    client_id: Box<str>,
    expiry: u32,
    left_at: Option<Time>,
    was_cut: bool,
    /// By filter, in order: most sessions have few.
    subscriptions: Vec<(Box<str>, Terms)>,
    received: BTreeSet<u16>,
    sent: BTreeMap<u16, Option<Place>>,
    /// Packet identifiers by the place of their message.
    by_place: BTreeSet<(Place, u16)>,
}

impl From<&Standing> for Stands {
    fn from(standing: &Standing) -> Self {
        let sent = standing.sent.iter();
        let subscriptions = standing.subscriptions.iter();
        Self {
            client_id: standing.client_id.as_str().into(),
            expiry: standing.expiry,
            left_at: standing.left_at,
            was_cut: standing.was_cut,
            subscriptions: subscriptions.map(|(it, terms)| (it.as_str().into(), *terms)).collect(),
            received: standing.received.clone(),
            sent: standing.sent.clone(),
            by_place: sent.filter_map(|(id, place)| place.map(|place| (place, *id))).collect(),
        }
    }
}

impl Stands {
    /// As it is written and told.
    pub(super) fn standing(&self) -> Standing {
        let subscriptions = self.subscriptions.iter();
        Standing {
            client_id: self.client_id.as_ref().to_owned(),
            expiry: self.expiry,
            left_at: self.left_at,
            was_cut: self.was_cut,
            subscriptions: subscriptions
                .map(|(it, terms)| (it.as_ref().to_owned(), *terms))
                .collect(),
            received: self.received.clone(),
            sent: self.sent.clone(),
        }
    }

    /// A command changes it.
    pub(super) fn change(&mut self, command: &Command<'_>) {
        match command {
            Command::Leave { expiry, left_at, was_cut, .. } => {
                (self.expiry, self.left_at, self.was_cut) = (*expiry, *left_at, *was_cut);
            }
            Command::Subscribe { filter, terms, .. } => {
                match self.subscription(filter) {
                    Ok(index) => self.subscriptions[index].1 = *terms,
                    Err(index) => {
                        // The first alone: most have no other.
                        let room = usize::from(self.subscriptions.is_empty());
                        self.subscriptions.reserve_exact(room);
                        self.subscriptions.insert(index, ((*filter).into(), *terms));
                    }
                }
            }
            Command::Unsubscribe { filter, .. } => {
                if let Ok(index) = self.subscription(filter) {
                    self.subscriptions.remove(index);
                }
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
                self.received.insert(*packet_id);
            }
            Command::Forget { packet_id, .. } => {
                self.received.remove(packet_id);
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

    fn subscription(&self, filter: &str) -> Result<usize, usize> {
        self.subscriptions.binary_search_by(|(it, _)| it.as_ref().cmp(filter))
    }

    /// A packet identifier is under way, for a message that waits or not; or it is free.
    fn send(&mut self, packet_id: u16, sent: Option<Option<Place>>) {
        let before = match sent {
            Some(place) => self.sent.insert(packet_id, place),
            None => self.sent.remove(&packet_id),
        };
        if let Some(Some(place)) = before {
            self.by_place.remove(&(place, packet_id));
        }
        if let Some(Some(place)) = sent {
            self.by_place.insert((place, packet_id));
        }
    }

    /// Messages wait no longer: what packet identifiers they had are free.
    pub(super) fn release(&mut self, from: Place, to: Place) {
        let first =
            |stands: &Self| stands.by_place.range((from, 0)..=(to, u16::MAX)).next().copied();
        while let Some((place, packet_id)) = first(self) {
            self.by_place.remove(&(place, packet_id));
            self.sent.remove(&packet_id);
        }
    }
}
