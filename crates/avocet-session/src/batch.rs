//! Packets as they are read, handled in batches.

use std::time::Instant;

use avocet_mqtt::Codec;

use crate::{Action, Actions, Outlet, Session};

/// Why no more packets were handled for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// What the session asked for has to be done first, or all is handled.
    #[default]
    Actions,
    /// The next packet is not wholly there.
    Incomplete,
    /// The next bytes are no packet.
    Malformed,
    /// The client does not read what it is sent.
    NotReading,
    /// So many of its messages are not answered that no more are taken for now.
    Unanswered,
}

/// How far [`Session::handle_bytes`] came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Handled {
    /// The bytes of the packets that were handled.
    pub used: usize,
    /// Why it was not more.
    pub stop: Stop,
}

impl Session {
    /// Decodes packets from the client and handles them, as many as can be handled before what they
    /// ask for is done. `count` is told the packets' types, by the number in the fixed header, and
    /// how many there were. Malformed bytes wait like a packet, so that the messages before them
    /// are answered.
    #[inline]
    pub fn handle_bytes<'a, O: Outlet>(
        &mut self,
        codec: &mut Codec,
        bytes: &'a [u8],
        now: Instant,
        actions: &mut Actions<'a>,
        out: &mut O,
        mut count: impl FnMut(u8, usize),
    ) -> Handled {
        let first = bytes.first().copied().unwrap_or_default();
        if is_to_be_done(first) && self.has_too_much_unanswered() {
            return Handled { used: 0, stop: Stop::Unanswered };
        }
        let mut used = 0;
        let mut topic = "";
        let stop = loop {
            if used == bytes.len() || must_wait(bytes[used], actions) {
                break Stop::Actions;
            }
            let rest = &bytes[used..];
            let handled = codec.split(rest).and_then(|whole| {
                let Some(whole) = whole else { return Ok(None) };
                let (mut len, mut packets) = (whole.bytes().len(), 1);
                if whole.is_publish() {
                    let publish = whole.publish(topic)?;
                    topic = publish.topic;
                    let before = actions.inbound.len();
                    self.handle_publish(&publish, rest, now, actions, out);
                    if actions.inbound.len() > before {
                        let (followers, more) =
                            self.handle_followers(actions, |frames| codec.follower(frames));
                        packets += followers;
                        len += more;
                    }
                } else if let Some(row) = whole.short_acks(rest) {
                    (len, packets) = (row.bytes(), row.len());
                    self.handle_ack_row(row.kind(), row.packet_ids(), now, actions, out);
                } else {
                    self.handle_packet(codec.open(&whole)?, now, actions, out);
                }
                count(whole.number(), packets);
                Ok(Some(len))
            });
            match handled {
                Ok(Some(len)) => used += len,
                Ok(None) => break Stop::Incomplete,
                Err(_) if !actions.inbound.is_empty() => break Stop::Actions,
                Err(error) => {
                    let close = self.close(error.reason(), error.text(), out);
                    actions.then = close.map(Action::Close);
                    break Stop::Malformed;
                }
            }
            if !out.has_room() {
                break Stop::NotReading;
            }
        };
        Handled { used, stop }
    }
}

/// Whether the packet that begins with this byte is a PUBLISH of QoS 1 or 2 or a retained one, or
/// changes subscriptions.
#[inline(always)]
fn is_to_be_done(first_byte: u8) -> bool {
    match first_byte >> 4 {
        3 => first_byte & 0b0111 != 0,
        packet_type => packet_type == 8 || packet_type == 10,
    }
}

/// Whether the packet that begins with this byte has to wait until what came before is done, so
/// that its answer comes after theirs. PUBLISH and acknowledgements go on together.
#[inline(always)]
fn must_wait(first_byte: u8, actions: &Actions<'_>) -> bool {
    const TOGETHER_MAX: usize = 1024;
    let goes_on = match actions.inbound.len() {
        0 => true,
        1..TOGETHER_MAX => matches!(first_byte >> 4, 3..=7),
        TOGETHER_MAX.. => false,
    };
    !goes_on || actions.then.is_some()
}
