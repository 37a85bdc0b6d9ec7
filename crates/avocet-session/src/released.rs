//! What a stored session has released and may still find in the store: the store has not heard of
//! it yet.

use std::collections::BTreeSet;

use crate::Place;

/// Messages behind what is in memory that the session needs no longer.
#[derive(Debug, Default)]
pub(crate) struct Released {
    places: BTreeSet<Place>,
    /// The store has none of these any more, but what is being read may have been found before.
    settled: Vec<(Place, Place)>,
}

impl Released {
    /// False if it was released before.
    pub(crate) fn insert(&mut self, place: Place) -> bool {
        self.places.insert(place)
    }

    pub(crate) fn contains(&self, place: Place) -> bool {
        self.places.contains(&place)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The store has heard of these. They are still looked out for while the session reads.
    pub(crate) fn settle(&mut self, from: Place, to: Place, is_loading: bool) {
        if is_loading && self.places.range(from..=to).next().is_some() {
            self.settled.push((from, to));
        } else {
            self.forget(from, to);
        }
    }

    /// Nothing that was read before is to come any more.
    pub(crate) fn end_loading(&mut self) {
        for (from, to) in std::mem::take(&mut self.settled) {
            self.forget(from, to);
        }
    }

    fn forget(&mut self, from: Place, to: Place) {
        while let Some(place) = self.places.range(from..=to).next().copied() {
            self.places.remove(&place);
        }
    }

    /// All up to here is in memory, or was. Answers the last that was released of it.
    pub(crate) fn pass(&mut self, loaded: Place) -> Option<Place> {
        let last = self.places.range(..=loaded).next_back().copied()?;
        self.forget(Place(0), last);
        Some(last)
    }
}
