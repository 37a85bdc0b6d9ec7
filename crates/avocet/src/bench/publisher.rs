//! A publisher of the load generator: its frame, made once, and its window.

use avocet_mqtt::{PacketId, ProtocolVersion, Publish, QoS, encode_publish};

use super::{load::Load, window::Window};

/// Number of the publisher and of the message, at the beginning of each payload.
pub(super) const STAMP_BYTES: usize = 12;

#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) window: Window,
    /// Whether it stands on the list of those that may send.
    pub(super) is_queued: bool,
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
        let receivers = load.shape.receivers(load.count);
        Self {
            window: Window::new(load.window, receivers, is_acknowledged),
            is_queued: false,
            packet_id_at: is_acknowledged.then_some(payload_at - properties_len - 2),
            sequence_at: payload_at + 4,
            frame: frame.into(),
        }
    }

    /// Appends messages until the window is full; whether there were any.
    #[inline]
    pub(super) fn fill(&mut self, now: u64, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        while self.window.is_open() {
            let start = out.len();
            let (sequence, packet_id) = self.window.send(now);
            out.extend_from_slice(&self.frame);
            let frame = &mut out[start..];
            frame[self.sequence_at..self.sequence_at + 8].copy_from_slice(&sequence.to_be_bytes());
            if let Some(at) = self.packet_id_at {
                frame[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
            }
        }
        out.len() > before
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
