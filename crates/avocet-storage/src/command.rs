//! What is done to a store, in the order in which it is done.
//!
//! Each command says where things stand, not what changed, so that one that comes again does no
//! harm: a log that is cleaned writes what is still needed once more, behind everything else.
//!
//! These are the bytes of the format, too (postcard): a variant is added at the end, and none is
//! changed or taken away without another format of the log.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A session, from its beginning to its end; a client that begins anew gets another one. The first
/// that is said of it is its standing.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct SessionNumber(pub u64);

/// The place of a message in the queues it waits in: who has a larger one comes later. A store
/// gives each message that is published the next one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct Place(pub u64);

/// Milliseconds since 1970, by the clock of the wall: what is stored has to outlive the process.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct Time(pub u64);

impl Time {
    /// Later than all others.
    pub const NEVER: Self = Self(u64::MAX);
}

/// A message as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message<'a> {
    /// When it came, for its expiry.
    pub received_at: Time,
    /// When it is of no use any more, if ever.
    pub expires_at: Option<Time>,
    /// The QoS it was published with in the lowest two bits, RETAIN in the third.
    pub flags: u8,
    /// A PUBLISH packet of MQTT 5.0 at QoS 0 without RETAIN, whatever the message has.
    #[serde(borrow)]
    pub packet: &'a [u8],
}

/// A session's right to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Whose. No message has two claims of one session.
    pub session: SessionNumber,
    /// QoS in the lowest two bits, RETAIN as it is to be sent in the third.
    pub flags: u8,
    /// Subscription identifiers to be sent with it.
    pub identifiers: Vec<u32>,
    /// The shared subscription that brought it, if one did.
    pub shared: Option<String>,
}

/// What a subscription was made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Subscription options, as the byte of SUBSCRIBE has them.
    pub options: u8,
    /// Subscription identifier; 0 if there is none.
    pub identifier: u32,
}

/// What a session has, but for its queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Client identifier.
    pub client_id: String,
    /// Session expiry interval in seconds; the largest number means never.
    pub expiry: u32,
    /// When the connection ended, if there is none.
    pub left_at: Option<Time>,
    /// What was sent last may not be known here: the process ended before, or there was something
    /// in flight when the connection did.
    pub was_cut: bool,
    /// By filter, as it was subscribed to.
    pub subscriptions: BTreeMap<String, Terms>,
    /// Packet identifiers of QoS 2 that have come, up to PUBREL.
    pub received: BTreeSet<u16>,
    /// Packet identifiers that went out, with the place of the message, which waits; of QoS 2
    /// without it from PUBREC up to PUBCOMP.
    pub sent: BTreeMap<u16, Option<Place>>,
}

/// What a message waits for that is to be published later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// The time.
    Delayed,
    /// The time or the end of a session, whichever comes first. While the client is there the time
    /// is [`Time::NEVER`], and it is so many seconds from when it goes.
    Will(SessionNumber, u32),
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command<'a> {
    /// A session has come to be, or all of it has changed.
    Stand {
        /// Which.
        session: SessionNumber,
        /// All that it has, but for its queue.
        standing: Box<Standing>,
    },
    /// A session ends, with all that it has.
    End {
        /// Which.
        session: SessionNumber,
    },
    /// The client is there, or has gone.
    Leave {
        /// Whose.
        session: SessionNumber,
        /// Its expiry interval from now on.
        expiry: u32,
        /// When it went; nothing if it is there.
        left_at: Option<Time>,
        /// Whether what was sent to it last may not be known here.
        was_cut: bool,
    },
    /// A subscription is made, or made anew.
    Subscribe {
        /// Whose.
        session: SessionNumber,
        /// As it was written.
        filter: &'a str,
        /// On which terms.
        terms: Terms,
    },
    /// A subscription is taken back.
    Unsubscribe {
        /// Whose.
        session: SessionNumber,
        /// As it was written.
        filter: &'a str,
    },
    /// A message waits for sessions, at the next place.
    Publish {
        /// The message, once for all of them.
        #[serde(borrow)]
        message: Message<'a>,
        /// Who has a right to it.
        claims: Vec<Claim>,
        /// Of QoS 2: from whom it has come and with which packet identifier, which
        /// [`Self::Receive`] would say.
        from: Option<(SessionNumber, u16)>,
    },
    /// Messages wait no longer: acknowledged, expired or dropped. What packet identifiers they had
    /// are free.
    Release {
        /// Whose.
        session: SessionNumber,
        /// The first of them.
        from: Place,
        /// The last of them.
        to: Place,
    },
    /// Messages get their packet identifiers. It may come when they wait no longer: then whatever
    /// had the identifiers has them no more.
    Send {
        /// Whose.
        session: SessionNumber,
        /// The packet identifier of the first; each of the others has the one that follows, after
        /// 65,535 comes 1.
        packet_id: u16,
        /// Where the messages wait.
        places: Vec<Place>,
    },
    /// PUBREC has come: the message waits no longer, its packet identifier is still under way.
    Acknowledge {
        /// Whose.
        session: SessionNumber,
        /// The packet identifier.
        packet_id: u16,
        /// Where the message waited.
        place: Place,
    },
    /// PUBCOMP has come.
    Complete {
        /// Whose.
        session: SessionNumber,
        /// The packet identifier.
        packet_id: u16,
    },
    /// A message of QoS 2 has come.
    Receive {
        /// From whom.
        session: SessionNumber,
        /// The packet identifier.
        packet_id: u16,
    },
    /// PUBREL has come.
    Forget {
        /// From whom.
        session: SessionNumber,
        /// The packet identifier.
        packet_id: u16,
    },
    /// A topic has a retained message.
    Retain {
        /// The topic.
        topic: &'a str,
        /// Its message.
        #[serde(borrow)]
        message: Message<'a>,
    },
    /// A topic has none.
    Clear {
        /// The topic.
        topic: &'a str,
    },
    /// A message is to be published later.
    Plan {
        /// Its number among these.
        plan: u64,
        /// When.
        due_at: Time,
        /// What else it waits for.
        purpose: Purpose,
        /// The message.
        #[serde(borrow)]
        message: Message<'a>,
    },
    /// It was published, or is not to be.
    Unplan {
        /// Its number.
        plan: u64,
    },
    /// A topic has none any more if the one it has is of no use from this time on, or was not
    /// before.
    Expire {
        /// The topic.
        topic: &'a str,
        /// When.
        by: Time,
    },
    /// As [`Self::Publish`], of a message that has its place already: how a store writes it anew.
    Keep {
        /// Where it waits.
        place: Place,
        /// The message.
        #[serde(borrow)]
        message: Message<'a>,
        /// Who has a right to it still.
        claims: Vec<Claim>,
    },
}

impl<'a> Command<'a> {
    /// The sessions it speaks of, as those that are there.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionNumber> {
        let (one, many) = match self {
            Self::Publish { claims, from, .. } => (from.map(|(session, _)| session), &claims[..]),
            Self::Keep { claims, .. } => (None, &claims[..]),
            Self::Stand { session, .. }
            | Self::Leave { session, .. }
            | Self::Subscribe { session, .. }
            | Self::Unsubscribe { session, .. }
            | Self::Release { session, .. }
            | Self::Send { session, .. }
            | Self::Acknowledge { session, .. }
            | Self::Complete { session, .. }
            | Self::Receive { session, .. }
            | Self::Forget { session, .. } => (Some(*session), &[][..]),
            Self::End { .. }
            | Self::Retain { .. }
            | Self::Clear { .. }
            | Self::Expire { .. }
            | Self::Plan { .. }
            | Self::Unplan { .. } => (None, &[][..]),
        };
        one.into_iter().chain(many.iter().map(|claim| claim.session))
    }

    /// Appends the bytes of the format.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let bytes = postcard::to_extend(self, std::mem::take(out));
        // Nothing here refuses to be written: no sequence is of unknown length.
        *out = bytes.unwrap_or_default();
    }

    /// `None` if the bytes are none of the format.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}
