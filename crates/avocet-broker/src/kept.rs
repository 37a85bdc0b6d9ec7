//! Messages and times as the store has them.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use avocet_mqtt::{
    ApplicationMessage, Codec, Packet, ProtocolVersion, Publish, QoS, Transit, Will, codec,
};
use avocet_storage::command::{Message, Time};

/// RETAIN, in the flags of a message or a claim.
const RETAIN: u8 = 0b100;
const QOS: u8 = 0b11;

/// The clock of the process and the one of the wall, at the same moment but for what lies between
/// two looks. What goes to the wall and back is rounded down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    now: Instant,
    /// Since 1970.
    wall: Duration,
}

impl Clock {
    pub(crate) fn read() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { now: Instant::now(), wall }
    }

    /// What the wall says now.
    pub(crate) fn wall(&self) -> Time {
        time(self.wall)
    }

    /// What the wall says at a moment; the present one for all that are over.
    pub(crate) fn wall_at(&self, at: Instant) -> Time {
        time(self.wall.saturating_add(at.saturating_duration_since(self.now)))
    }

    /// When the wall says so; now if it has.
    pub(crate) fn at(&self, time: Time) -> Instant {
        let left = Duration::from_millis(time.0).saturating_sub(self.wall);
        self.now.checked_add(left).unwrap_or(self.now)
    }

    /// How long ago the wall said so.
    pub(crate) fn since(&self, time: Time) -> Duration {
        self.wall.saturating_sub(Duration::from_millis(time.0))
    }
}

/// Begun milliseconds do not count.
fn time(wall: Duration) -> Time {
    Time(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX))
}

pub(crate) fn flags(qos: QoS, retain: bool) -> u8 {
    qos.bits() | if retain { RETAIN } else { 0 }
}

/// QoS and RETAIN.
pub(crate) fn of_flags(flags: u8) -> (QoS, bool) {
    (QoS::from_bits(flags & QOS).unwrap_or(QoS::ExactlyOnce), flags & RETAIN != 0)
}

/// A message as it is stored, with its packet in `packet`.
pub(crate) fn message<'p>(
    message: &ApplicationMessage,
    clock: &Clock,
    packet: &'p mut Vec<u8>,
) -> Message<'p> {
    let mut publish = Publish::new(message.topic(), message.payload());
    publish.properties = message.properties();
    codec::encode_publish(ProtocolVersion::V5, &publish, packet);
    Message {
        received_at: clock.wall(),
        expires_at: message.expires_at.map(|at| clock.wall_at(at)),
        flags: flags(message.qos, message.retain),
        packet,
    }
}

/// A will as it is stored, with its packet in `packet`.
pub(crate) fn will<'p>(will: &Will, clock: &Clock, packet: &'p mut Vec<u8>) -> Message<'p> {
    let mut publish = Publish::new(&will.topic, &will.payload);
    publish.properties = will.properties.borrow();
    publish.message_expiry_interval = will.message_expiry_interval;
    codec::encode_publish(ProtocolVersion::V5, &publish, packet);
    let flags = flags(will.qos, will.retain);
    Message { received_at: clock.wall(), expires_at: None, flags, packet }
}

/// A will that was stored. `None`: its packet is none.
pub(crate) fn read_will(message: &Message<'_>, delay_interval: u32) -> Option<Will> {
    let publish = decode(message)?;
    Some(Will {
        topic: publish.topic.to_owned(),
        payload: publish.payload.to_owned(),
        qos: publish.qos,
        retain: publish.retain,
        delay_interval,
        message_expiry_interval: publish.message_expiry_interval,
        properties: publish.properties.into(),
    })
}

fn decode<'a>(message: &Message<'a>) -> Option<Publish<'a>> {
    let mut codec = Codec::with_version(ProtocolVersion::V5, u32::MAX);
    let Ok(Some((Packet::Publish(mut publish), _))) = codec.decode(message.packet) else {
        return None;
    };
    (publish.qos, publish.retain) = of_flags(message.flags);
    Some(publish)
}

/// A message that was stored. `None`: its packet is none.
pub(crate) fn read(message: &Message<'_>, clock: &Clock) -> Option<Arc<ApplicationMessage>> {
    let publish = decode(message)?;
    let mut transit = Transit::new(&publish, clock.now);
    if let Some(at) = message.expires_at {
        transit = transit.expiring_at(clock.at(at));
    }
    Some(Arc::clone(transit.share()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [MQTT5-3.3.2-6]: whichever clock was read first.
    #[test]
    fn what_is_stored_is_wanted_no_longer_than_before() {
        for micros in [0, 1, 499, 500, 999, 1_001] {
            let before = Clock::read();
            let later = Clock {
                now: before.now + Duration::from_micros(micros),
                wall: before.wall + Duration::from_micros(micros),
            };
            let at = later.now + Duration::from_secs(1_000);
            for (writes, reads) in [(before, later), (later, before), (later, later)] {
                let back = reads.at(writes.wall_at(at));
                assert!(back <= at, "{:?} too late", back - at);
                assert!(at - back <= Duration::from_millis(1), "{:?} too soon", at - back);
            }
        }
    }
}
