//! Who sends to whom.

/// Which publishers a subscriber hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Publisher i to subscriber i.
    Pair,
    /// Many publishers to one subscriber.
    Fanin,
    /// One publisher to many subscribers.
    Fanout,
    /// Many publishers to a group, one member of which gets each message.
    Share { members: u32 },
    /// Many publishers to sessions whose clients are away.
    Store { sessions: u32 },
}

impl Shape {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Fanin => "fanin",
            Self::Fanout => "fanout",
            Self::Share { .. } => "share",
            Self::Store { .. } => "store",
        }
    }

    /// How many publishers there are if the many are `count`.
    pub(super) fn publishers(self, count: u32) -> u32 {
        if self == Self::Fanout { 1 } else { count }
    }

    /// How many subscribers there are if the many are `count`.
    pub(super) fn subscribers(self, count: u32) -> u32 {
        match self {
            Self::Pair | Self::Fanout => count,
            Self::Fanin => 1,
            Self::Share { members } => members,
            Self::Store { sessions } => sessions,
        }
    }

    /// How many subscribers are there to take each message if the many are `count`.
    pub(super) fn receivers(self, count: u32) -> u32 {
        match self {
            Self::Pair | Self::Fanin | Self::Share { .. } => 1,
            Self::Fanout => count,
            Self::Store { .. } => 0,
        }
    }

    /// The topic of publisher or subscriber `index`.
    pub(super) fn topic(self, index: u32) -> String {
        match self {
            Self::Pair | Self::Store { .. } => format!("bench/{}/{index}", self.name()),
            Self::Fanin | Self::Fanout | Self::Share { .. } => format!("bench/{}", self.name()),
        }
    }

    /// What subscriber `index` subscribes to.
    pub(super) fn filter(self, index: u32) -> String {
        let topic = self.topic(index);
        match self {
            Self::Pair | Self::Fanin | Self::Fanout => topic,
            Self::Share { .. } => format!("$share/bench/{topic}"),
            Self::Store { .. } => format!("bench/{}/+", self.name()),
        }
    }

    /// The number of the lane from a publisher to a subscriber; `None` if there is no such way.
    #[inline]
    pub(super) fn lane(self, publisher: usize, subscriber: usize) -> Option<usize> {
        match self {
            Self::Pair => (publisher == subscriber).then_some(publisher),
            Self::Fanin | Self::Share { .. } => Some(publisher),
            Self::Fanout => (publisher == 0).then_some(subscriber),
            Self::Store { .. } => None,
        }
    }
}
