//! PUBLISHes that go to their receivers as they came: most of what a broker carries.

use std::cell::OnceCell;

use super::{LARGE_PAYLOAD_BYTES, Transit};
use crate::{
    ForwardedProperties, PacketId, ProtocolVersion, Publish, QoS,
    codec::{kind, variable_len},
    id::following,
};

/// The bytes of one PUBLISH that may go to a client as they came, but for the first byte and the
/// packet identifier: no RETAIN, no large payload, no property but those that are passed on. 5.0
/// has a form of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    shape: Shape,
}

/// Where things stand in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of the fixed header.
    header_bytes: u8,
    topic_bytes: u16,
    /// Of the properties with their length: at least one in 5.0, none before.
    properties_bytes: u32,
    qos: QoS,
}

impl Shape {
    /// Where the topic name begins.
    #[inline]
    fn topic_at(self) -> usize {
        usize::from(self.header_bytes) + 2
    }

    /// Where the topic name ends, and the packet identifier begins if there is one.
    #[inline]
    fn topic_end(self) -> usize {
        self.topic_at() + usize::from(self.topic_bytes)
    }

    #[inline]
    fn properties_at(self) -> usize {
        self.topic_end() + if self.qos == QoS::AtMostOnce { 0 } else { 2 }
    }

    #[inline]
    fn payload_at(self) -> usize {
        self.properties_at() + self.properties_bytes as usize
    }

    /// Whether a client of this version can read it.
    #[inline]
    fn is_for(self, version: ProtocolVersion) -> bool {
        (self.properties_bytes > 0) == (version >= ProtocolVersion::V5)
    }
}

impl<'a> Frame<'a> {
    /// `bytes` begin with the packet that was decoded as `publish`. `None` if it has to be written
    /// anew for a receiver.
    #[inline]
    fn of(bytes: &'a [u8], publish: &Publish<'_>, version: ProtocolVersion) -> Option<Self> {
        let plain = !publish.retain
            && publish.topic_alias.is_none()
            && publish.message_expiry_interval.is_none()
            && publish.subscription_identifiers.is_empty()
            && publish.payload.len() < LARGE_PAYLOAD_BYTES;
        if !plain {
            return None;
        }
        let (header_bytes, remaining) = fixed_header(bytes)?;
        let bytes = bytes.get(..usize::from(header_bytes) + remaining)?;
        let topic_bytes = u16::try_from(publish.topic.len()).ok()?;
        let mut shape = Shape { header_bytes, topic_bytes, properties_bytes: 0, qos: publish.qos };
        let properties = match version {
            ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => 0,
            ProtocolVersion::V5 => {
                variable_len(publish.properties.len()) + publish.properties.len()
            }
        };
        shape.properties_bytes = u32::try_from(properties).ok()?;
        // Nothing else stands between the topic and the payload.
        (shape.payload_at() + publish.payload.len() == bytes.len()).then_some(Self { bytes, shape })
    }

    /// A frame that was kept.
    #[must_use]
    pub fn kept(bytes: &'a [u8], shape: Shape) -> Self {
        Self { bytes, shape }
    }

    /// What has to be kept with the bytes.
    #[inline]
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All of it.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The topic name. Walks over it to see that it is UTF-8.
    #[must_use]
    pub fn topic(&self) -> &'a str {
        let topic = self.bytes.get(self.shape.topic_at()..self.shape.topic_end());
        std::str::from_utf8(topic.unwrap_or_default()).unwrap_or_default()
    }

    /// The payload.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.shape.payload_at()..).unwrap_or_default()
    }

    /// The properties that are passed on: all it has.
    fn properties(&self) -> ForwardedProperties<'a> {
        let section = self.bytes.get(self.shape.properties_at()..self.shape.payload_at());
        let section = section.unwrap_or_default();
        let length = section.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        ForwardedProperties::from_checked(section.get(length..).unwrap_or_default())
    }

    /// The message in it.
    #[must_use]
    pub fn transit(&self, topic: &'a str) -> Transit<'a> {
        Transit::plain(topic, self.payload(), self.properties(), self.shape.qos)
    }

    /// The packet identifier its publisher gave it.
    #[inline]
    #[must_use]
    pub fn packet_id(&self) -> Option<PacketId> {
        if self.shape.qos == QoS::AtMostOnce {
            return None;
        }
        let id = self.bytes.get(self.shape.topic_end()..)?.first_chunk::<2>()?;
        PacketId::new(u16::from_be_bytes(*id))
    }
}

/// Frames of one topic and one QoS, one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a> {
    /// The first of them, and all that was read behind it.
    bytes: &'a [u8],
    /// How many of these bytes are frames of this run.
    end: usize,
    count: usize,
    /// Bytes of the first, and of the longest.
    first_len: usize,
    longest: usize,
    /// Of the first.
    shape: Shape,
}

impl<'a> Frames<'a> {
    /// As many as there are.
    #[expect(clippy::len_without_is_empty, reason = "there is one at least")]
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// All their bytes.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        &self.bytes[..self.end]
    }

    /// Bytes of the longest.
    #[inline]
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The QoS they were published with.
    #[inline]
    #[must_use]
    pub fn qos(&self) -> QoS {
        self.shape.qos
    }

    /// Whether clients of this version can be sent them with this QoS: what was published with a
    /// packet identifier has one place too many for QoS 0.
    #[inline]
    #[must_use]
    pub fn is_for(&self, version: ProtocolVersion, qos: QoS) -> bool {
        self.shape.is_for(version) && (qos == QoS::AtMostOnce) == (self.qos() == QoS::AtMostOnce)
    }

    /// Each of them.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Frame<'a>> + use<'a> {
        let (mut rest, shape) = (self.bytes(), self.shape);
        std::iter::from_fn(move || {
            let (header_bytes, remaining) = fixed_header(rest)?;
            let (bytes, behind) = rest.split_at_checked(usize::from(header_bytes) + remaining)?;
            rest = behind;
            Some(Frame { bytes, shape: Shape { header_bytes, ..shape } })
        })
    }

    /// The frame behind the last, if it is wholly there, not longer than `packet_bytes_max` and
    /// like the others.
    #[inline(always)]
    #[must_use]
    pub fn follower(&self, packet_bytes_max: usize) -> Option<Frame<'a>> {
        let rest = self.bytes.get(self.end..)?;
        let head = self.bytes.get(..self.shape.topic_end())?;
        // Where all is the same up to the payload, it is of the same length too.
        let frame = match rest.get(..self.first_len) {
            Some(bytes) if bytes.starts_with(head) => Frame { bytes, shape: self.shape },
            Some(_) | None => self.unequal_follower(rest, packet_bytes_max)?,
        };
        let bare = match frame.shape.properties_bytes {
            0 => true,
            1 => frame.bytes.get(frame.shape.properties_at()) == Some(&0),
            2.. => false,
        };
        let named = frame.shape.qos == QoS::AtMostOnce || frame.packet_id().is_some();
        (bare && named).then_some(frame)
    }

    /// [`follower`](Self::follower) of another length.
    fn unequal_follower(&self, rest: &'a [u8], packet_bytes_max: usize) -> Option<Frame<'a>> {
        if rest.first()? != self.bytes.first()? {
            return None;
        }
        let (header_bytes, remaining) = fixed_header(rest)?;
        let bytes = rest.get(..usize::from(header_bytes) + remaining)?;
        let shape = Shape { header_bytes, ..self.shape };
        // Both begin with the length of the topic name.
        let topic = self.bytes.get(self.shape.topic_at() - 2..self.shape.topic_end())?;
        let same = bytes.get(shape.topic_at() - 2..shape.topic_end())? == topic;
        let payload = bytes.len().checked_sub(shape.payload_at())?;
        let fits = payload < LARGE_PAYLOAD_BYTES && bytes.len() <= packet_bytes_max;
        (same && fits).then_some(Frame { bytes, shape })
    }

    /// The first so many, which must not be none.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        if count >= self.count {
            return *self;
        }
        let end = self.iter().take(count).map(|frame| frame.bytes.len()).sum();
        Self { end, count, ..*self }
    }

    /// Appends them with this QoS, not 0, and identifiers from this one on. For frames of QoS 1
    /// or 2.
    pub fn write_as(&self, qos: QoS, first_id: PacketId, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(self.bytes());
        let (mut rest, mut id) = (out.get_mut(start..).unwrap_or_default(), first_id);
        while let Some((header_bytes, remaining)) = fixed_header(rest)
            && let Some((frame, behind)) =
                rest.split_at_mut_checked(usize::from(header_bytes) + remaining)
        {
            let at = Shape { header_bytes, ..self.shape }.topic_end();
            frame[0] = kind::PUBLISH << 4 | qos.bits() << 1; // [MQTT3-3.3.1-3] [MQTT5-3.3.1-3]
            if let Some(place) = frame.get_mut(at..at + 2) {
                place.copy_from_slice(&id.get().to_be_bytes());
            }
            id = following(id);
            rest = behind;
        }
    }

    /// The same, able to wait.
    #[must_use]
    pub fn keep(&self) -> OwnedFrames {
        let Self { count, first_len, longest, shape, .. } = *self;
        OwnedFrames { bytes: Box::from(self.bytes()), count, first_len, longest, shape }
    }

    #[inline(always)]
    fn extend(&mut self, follower: &Frame<'a>) {
        self.end += follower.bytes.len();
        self.count += 1;
        self.longest = self.longest.max(follower.bytes.len());
    }
}

/// [`Frames`] that own their bytes.
#[derive(Debug)]
pub struct OwnedFrames {
    bytes: Box<[u8]>,
    count: usize,
    first_len: usize,
    longest: usize,
    shape: Shape,
}

impl OwnedFrames {
    /// Borrowed again.
    #[must_use]
    pub fn borrow(&self) -> Frames<'_> {
        let Self { count, first_len, longest, shape, .. } = *self;
        let (bytes, end) = (&self.bytes[..], self.bytes.len());
        Frames { bytes, end, count, first_len, longest, shape }
    }
}

/// How many bytes the fixed header takes and how many follow. `None` if that is not there, or could
/// have been said in fewer bytes: 3.1.1 lets that pass, but we do not pass it on.
#[inline(always)]
fn fixed_header(bytes: &[u8]) -> Option<(u8, usize)> {
    match *bytes.get(1)? {
        length @ ..0x80 => Some((2, length.into())),
        0x80.. => long_fixed_header(bytes),
    }
}

fn long_fixed_header(bytes: &[u8]) -> Option<(u8, usize)> {
    let mut remaining = 0;
    for (header_bytes, shift) in [(2, 0), (3, 7), (4, 14), (5, 21)] {
        let byte = *bytes.get(usize::from(header_bytes) - 1)?;
        remaining |= usize::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return (byte > 0).then_some((header_bytes, remaining));
        }
    }
    None
}

/// Messages of one topic in the order they came: frames that go on as they are, and what they say
/// for whoever needs them written anew.
#[derive(Debug)]
pub struct Run<'a> {
    topic: &'a str,
    frames: Frames<'a>,
    transits: OnceCell<Vec<Transit<'a>>>,
}

impl<'a> Run<'a> {
    /// `bytes` begin with the packet that was decoded as `publish`, and go on with what was read
    /// behind it. `None` if the message cannot go on as it came.
    #[inline]
    #[must_use]
    pub fn of(bytes: &'a [u8], publish: &Publish<'a>, version: ProtocolVersion) -> Option<Self> {
        let Frame { bytes: first, shape } = Frame::of(bytes, publish, version)?;
        let end = first.len();
        let frames = Frames { bytes, end, count: 1, first_len: end, longest: end, shape };
        Some(Self { topic: publish.topic, frames, transits: OnceCell::new() })
    }

    /// Frames that were kept, and the messages made of them.
    #[must_use]
    pub fn kept(frames: Frames<'a>, transits: Vec<Transit<'a>>) -> Self {
        let topic = frames.iter().next().map_or("", |frame| frame.topic());
        Self { topic, frames, transits: OnceCell::from(transits) }
    }

    /// Their topic name.
    #[inline]
    #[must_use]
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// Their bytes.
    #[inline]
    #[must_use]
    pub fn frames(&self) -> &Frames<'a> {
        &self.frames
    }

    /// Takes in what [`Frames::follower`] found.
    #[inline(always)]
    pub fn extend(&mut self, follower: &Frame<'a>) {
        debug_assert!(self.transits.get().is_none(), "messages of a run that was at its end");
        self.frames.extend(follower);
    }

    /// Its messages one by one. The first call makes them, all others give the same.
    pub fn transits(&self) -> &[Transit<'a>] {
        let topic = self.topic;
        self.transits.get_or_init(|| self.frames.iter().map(|it| it.transit(topic)).collect())
    }

    /// The QoS they were published with.
    #[inline]
    #[must_use]
    pub fn qos(&self) -> QoS {
        self.frames.qos()
    }
}
