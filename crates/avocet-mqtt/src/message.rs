//! An application message: borrowed while in transit, owned once it has to wait. Who gets it is
//! not known here.

use std::{
    cell::OnceCell,
    sync::Arc,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use crate::{ForwardedProperties, OwnedProperties, Publish, QoS};

mod run;

pub use run::{Frame, Frames, OwnedFrames, Run, Shape};

/// So many bytes lie in the message itself: most messages of devices cost one allocation.
const INLINE_BYTES: usize = 64;

/// A message that waits: in an outbox, in flight, retained. It holds exactly its bytes.
///
/// It is made by [`Transit::share`] and sent by way of [`Transit::from_shared`].
#[derive(Debug)]
pub struct ApplicationMessage {
    /// Topic, then properties, then payload.
    bytes: SmallVec<[u8; INLINE_BYTES]>,
    topic_bytes: u16,
    properties_bytes: u32,
    /// The quality it was published with.
    pub qos: QoS,
    /// The RETAIN flag it was published with.
    pub retain: bool,
    /// When it is no longer wanted ([MQTT5-3.3.2-5]).
    pub expires_at: Option<Instant>,
}

impl ApplicationMessage {
    fn new(transit: &Transit<'_>) -> Self {
        let topic = crate::codec::cut(transit.topic());
        let properties = transit.properties();
        let length = topic.len() + properties.len() + transit.payload.len();
        let bytes = if length <= INLINE_BYTES && properties.is_empty() {
            let mut bytes = SmallVec::from_slice(topic.as_bytes());
            bytes.extend_from_slice(transit.payload);
            bytes
        } else {
            let mut bytes = Vec::with_capacity(length);
            bytes.extend_from_slice(topic.as_bytes());
            properties.write_to(&mut bytes);
            bytes.extend_from_slice(transit.payload);
            SmallVec::from_vec(bytes)
        };
        Self {
            bytes,
            topic_bytes: crate::codec::length_u16(topic.as_bytes()),
            // Properties of a packet take at most 2^28 bytes.
            properties_bytes: u32::try_from(properties.len()).unwrap_or(u32::MAX),
            qos: transit.qos,
            retain: transit.retain,
            expires_at: transit.expires_at,
        }
    }

    fn split(&self) -> (&[u8], &[u8], &[u8]) {
        let (topic, rest) = self.bytes.split_at(self.topic_bytes.into());
        let (properties, payload) = rest.split_at(self.properties_bytes as usize);
        (topic, properties, payload)
    }

    /// Its topic name. Walks over it to see that it is UTF-8: take it once where it is needed
    /// often.
    #[must_use]
    pub fn topic(&self) -> &str {
        std::str::from_utf8(self.split().0).unwrap_or_default()
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.split().2
    }

    /// What to pass on besides.
    #[must_use]
    pub fn properties(&self) -> ForwardedProperties<'_> {
        ForwardedProperties::from_checked(self.split().1)
    }

    /// Bytes of topic, properties and payload together: what a queue counts.
    #[expect(clippy::len_without_is_empty, reason = "a message has a topic, so it never is")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is still wanted at `now`.
    #[must_use]
    pub fn remaining_expiry(&self, now: Instant) -> Expiry {
        Expiry::at(self.expires_at, now)
    }
}

/// How long a message is still wanted (5.0 section 3.3.2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// For ever.
    Never,
    /// For so many seconds, at least one; a begun one counts whole, but for its first quarter.
    Seconds(u32),
    /// No more: it must not be sent to a client that has not begun to receive it.
    Expired,
}

/// Who sends a message may have looked at the clock before it came: by so much a message may seem
/// to have longer than it was given.
const TURNS_APART_NANOS: u32 = 250_000_000;

impl Expiry {
    fn at(expires_at: Option<Instant>, now: Instant) -> Self {
        let Some(expires_at) = expires_at else { return Self::Never };
        let left = expires_at.saturating_duration_since(now);
        if left.is_zero() {
            return Self::Expired; // [MQTT5-3.3.2-5]
        }
        let has_begun = left.subsec_nanos() > TURNS_APART_NANOS;
        let seconds = (left.as_secs() + u64::from(has_begun)).max(1);
        Self::Seconds(u32::try_from(seconds).unwrap_or(u32::MAX)) // [MQTT5-3.3.2-6]
    }
}

/// From so many bytes on a payload is shared by all who have to send it; smaller ones are copied,
/// which costs less than the counting.
pub const LARGE_PAYLOAD_BYTES: usize = 8 * 1024;

/// A topic name, borrowed or shared.
#[derive(Clone, Debug)]
pub enum TopicName<'a> {
    /// From the bytes that were read, or from a message that waited.
    Borrowed(&'a str),
    /// What a topic alias stood for, or another than came.
    Shared(Arc<str>),
    /// Another than came, with other properties.
    Rewritten(Box<Rewritten>),
}

/// What a message goes on with in place of what it came with.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// Its topic name.
    pub topic: Box<str>,
    /// The properties to pass on.
    pub properties: OwnedProperties,
}

impl TopicName<'_> {
    /// The text.
    #[inline]
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(topic) => topic,
            Self::Shared(topic) => topic,
            Self::Rewritten(rewritten) => &rewritten.topic,
        }
    }
}

/// A message on its way through the broker. It borrows the reader's buffer and becomes owned at
/// most once, however many receivers have to keep it.
#[derive(Debug)]
pub struct Transit<'a> {
    topic: TopicName<'a>,
    payload: &'a [u8],
    properties: ForwardedProperties<'a>,
    qos: QoS,
    retain: bool,
    expires_at: Option<Instant>,
    owned: OnceCell<Arc<ApplicationMessage>>,
}

impl<'a> Transit<'a> {
    /// The message of a PUBLISH that came in at `now`. An expiry interval of zero is over at once.
    #[inline]
    #[must_use]
    pub fn new(publish: &Publish<'a>, now: Instant) -> Self {
        Self::received(publish, TopicName::Borrowed(publish.topic), now)
    }

    /// [`new`](Self::new) with the topic that an alias stood for, or one it is to go on with.
    #[must_use]
    pub fn received(publish: &Publish<'a>, topic: TopicName<'a>, now: Instant) -> Self {
        let lifetime = publish.message_expiry_interval.map(|s| Duration::from_secs(s.into()));
        Self {
            topic,
            payload: publish.payload,
            properties: publish.properties,
            qos: publish.qos,
            retain: publish.retain,
            expires_at: lifetime.and_then(|lifetime| now.checked_add(lifetime)),
            owned: OnceCell::new(),
        }
    }

    /// The same, of no use any more from this moment on.
    #[must_use]
    pub fn expiring_at(mut self, at: Instant) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// A message that does not expire and is not to be retained.
    fn plain(
        topic: &'a str,
        payload: &'a [u8],
        properties: ForwardedProperties<'a>,
        qos: QoS,
    ) -> Self {
        let topic = TopicName::Borrowed(topic);
        let owned = OnceCell::new();
        Self { topic, payload, properties, qos, retain: false, expires_at: None, owned }
    }

    /// A message that waited (retained, will, queued) goes on its way.
    #[must_use]
    pub fn from_shared(message: &'a Arc<ApplicationMessage>) -> Self {
        Self {
            topic: TopicName::Borrowed(message.topic()),
            payload: message.payload(),
            properties: message.properties(),
            qos: message.qos,
            retain: message.retain,
            expires_at: message.expires_at,
            owned: OnceCell::from(Arc::clone(message)),
        }
    }

    /// The message as one that can wait. The first call copies it, all others give the same.
    #[inline]
    pub fn share(&self) -> &Arc<ApplicationMessage> {
        self.owned.get_or_init(|| Arc::new(ApplicationMessage::new(self)))
    }

    /// Its topic name.
    #[inline]
    #[must_use]
    pub fn topic(&self) -> &str {
        self.topic.as_str()
    }

    /// Its payload.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// What to pass on besides.
    #[inline]
    #[must_use]
    pub fn properties(&self) -> ForwardedProperties<'_> {
        match &self.topic {
            TopicName::Borrowed(_) | TopicName::Shared(_) => self.properties,
            TopicName::Rewritten(rewritten) => rewritten.properties.borrow(),
        }
    }

    /// The quality it was published with.
    #[inline]
    #[must_use]
    pub fn qos(&self) -> QoS {
        self.qos
    }

    /// The RETAIN flag it was published with.
    #[inline]
    #[must_use]
    pub fn retain(&self) -> bool {
        self.retain
    }

    /// When it is no longer wanted.
    #[inline]
    #[must_use]
    pub fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// Whether it is still wanted at `now`.
    #[inline]
    #[must_use]
    pub fn remaining_expiry(&self, now: Instant) -> Expiry {
        Expiry::at(self.expires_at, now)
    }

    /// The message as one that can wait, if it is large enough to be worth it.
    #[inline]
    #[must_use]
    pub fn shared_if_large(&self) -> Option<&Arc<ApplicationMessage>> {
        (self.payload.len() >= LARGE_PAYLOAD_BYTES).then(|| self.share())
    }

    /// The PUBLISH that carries it on at `now` though it may have expired: the client has begun to
    /// receive it.
    #[must_use]
    pub fn to_publish_again(&self, now: Instant) -> Publish<'_> {
        self.to_publish(now).unwrap_or_else(|| {
            let mut publish = Publish::new(self.topic(), self.payload);
            publish.message_expiry_interval = Some(0);
            publish.properties = self.properties();
            publish
        })
    }

    /// The PUBLISH that carries it on at `now`, with the seconds that are left of its lifetime;
    /// `None` if it expired. QoS and RETAIN are the publisher's: lower them and add packet
    /// identifier, alias and subscription identifiers as the receiver needs.
    #[inline]
    #[must_use]
    pub fn to_publish(&self, now: Instant) -> Option<Publish<'_>> {
        let message_expiry_interval = match self.remaining_expiry(now) {
            Expiry::Never => None,
            Expiry::Seconds(seconds) => Some(seconds),
            Expiry::Expired => return None,
        };
        let mut publish = Publish::new(self.topic(), self.payload);
        publish.qos = self.qos;
        publish.retain = self.retain;
        publish.message_expiry_interval = message_expiry_interval;
        publish.properties = self.properties();
        Some(publish)
    }
}

#[cfg(test)]
mod tests;
