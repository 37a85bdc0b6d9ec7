//! A publisher of the load generator: its frame, made once, and its window.

use avocet_mqtt::{PacketId, ProtocolVersion, Publish, QoS, encode_publish};

use super::{
    load::{Load, Rate, Until},
    window::Window,
};

/// Number of the publisher and of the message, at the beginning of each payload.
pub(super) const STAMP_BYTES: usize = 12;

#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) window: Window,
    /// Whether it stands on the list of those that may send.
    pub(super) is_queued: bool,
    /// How many messages it may have sent by now; those below the other number were due earlier
    /// than they could be sent.
    pub(super) allowed: u64,
    pub(super) held_until: u64,
    frame: Box<[u8]>,
    packet_id_at: Option<usize>,
    sequence_at: usize,
}

impl Publisher {
    pub(super) fn new(load: &Load, index: u32) -> Self {
        let topic = load.topic(index);
        let mut payload = vec![b'.'; load.payload_bytes.max(STAMP_BYTES)];
        payload[..4].copy_from_slice(&index.to_be_bytes());
        let frame = encoded(load.version, load.qos, &topic, &payload);
        let payload_at = frame.len() - payload.len();
        let properties_len = usize::from(load.version == ProtocolVersion::V5);
        let is_acknowledged = load.qos != QoS::AtMostOnce;
        let window = match load.rate {
            Rate::Unlimited | Rate::Most(_) => {
                Window::new(load.window, load.shape.receivers(load.count), is_acknowledged)
            }
            Rate::Open(_) => Window::new(load.window, 0, is_acknowledged),
        };
        Self {
            window,
            is_queued: false,
            allowed: allowed(load, index),
            held_until: 0,
            packet_id_at: is_acknowledged.then_some(payload_at - properties_len - 2),
            sequence_at: payload_at + 4,
            frame: frame.into(),
        }
    }

    /// Appends messages until the window is full or no more are due; whether there were any.
    #[inline]
    pub(super) fn fill(&mut self, now: u64, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        while self.may_send() {
            self.send(now, out);
        }
        out.len() > before
    }

    #[inline]
    pub(super) fn may_send(&self) -> bool {
        self.window.is_open() && self.window.sent() < self.allowed
    }

    /// Appends the next message.
    #[inline]
    pub(super) fn send(&mut self, now: u64, out: &mut Vec<u8>) {
        let (sequence, packet_id) = self.window.send(now);
        self.append(sequence, packet_id, out);
    }

    /// Appends a message; answers where it begins.
    #[inline]
    pub(super) fn append(&self, sequence: u64, packet_id: u16, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        frame[self.sequence_at..self.sequence_at + 8].copy_from_slice(&sequence.to_be_bytes());
        if let Some(at) = self.packet_id_at {
            frame[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
        }
        start
    }
}

/// How many messages it may send before anything has happened.
fn allowed(load: &Load, index: u32) -> u64 {
    match (load.rate, load.until) {
        // What is stored stays, so it is no more than was asked for.
        (Rate::Unlimited, Until::Delivered(count)) if load.is_stored() => {
            let publishers = u64::from(load.publishers());
            (count + publishers - 1 - u64::from(index)) / publishers
        }
        (Rate::Unlimited, _) => u64::MAX,
        (Rate::Most(_) | Rate::Open(_), _) => 0,
    }
}

fn encoded(version: ProtocolVersion, qos: QoS, topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut publish = Publish::new(topic, payload);
    publish.qos = qos;
    publish.packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
    let mut frame = Vec::new();
    encode_publish(version, &publish, &mut frame);
    frame
}

/// Publisher and sequence number of a payload.
#[inline]
pub(super) fn stamp(payload: &[u8]) -> Option<(usize, u64)> {
    let (publisher, rest) = payload.split_first_chunk::<4>()?;
    let sequence = rest.first_chunk::<8>()?;
    Some((u32::from_be_bytes(*publisher) as usize, u64::from_be_bytes(*sequence)))
}

#[cfg(test)]
mod tests;
