//! Who sends to whom.

use clap::ValueEnum;

/// Which publishers a subscriber hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shape {
    /// Publisher i to subscriber i.
    Pair,
    /// Many publishers to one subscriber.
    Fanin,
    /// One publisher to many subscribers.
    Fanout,
}

impl Shape {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Fanin => "fanin",
            Self::Fanout => "fanout",
        }
    }

    /// How many publishers there are if the many are `count`.
    pub(super) fn publishers(self, count: u32) -> u32 {
        if self == Self::Fanout { 1 } else { count }
    }

    /// How many subscribers there are if the many are `count`.
    pub(super) fn subscribers(self, count: u32) -> u32 {
        if self == Self::Fanin { 1 } else { count }
    }

    /// How many subscribers each message has if the many are `count`.
    pub(super) fn receivers(self, count: u32) -> u32 {
        if self == Self::Fanout { count } else { 1 }
    }

    /// The topic of publisher or subscriber `index`.
    pub(super) fn topic(self, index: u32) -> String {
        match self {
            Self::Pair => format!("bench/pair/{index}"),
            Self::Fanin | Self::Fanout => format!("bench/{}", self.name()),
        }
    }

    /// The number of the lane from a publisher to a subscriber; `None` if there is no such way.
    #[inline]
    pub(super) fn lane(self, publisher: usize, subscriber: usize) -> Option<usize> {
        match self {
            Self::Pair => (publisher == subscriber).then_some(publisher),
            Self::Fanin => Some(publisher),
            Self::Fanout => (publisher == 0).then_some(subscriber),
        }
    }
}
