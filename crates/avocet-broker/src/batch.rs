//! What is done with the packets that one read brought: the session handles as many as can be
//! handled together, under its lock; then, without the lock, what it asks for is done.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use avocet_mqtt::{Codec, Packet, Subscribe, Unsubscribe};
use avocet_router::Filter;
use avocet_session::{Action, CloseReason, Session};

use crate::{
    mailbox::{FlushList, Mailbox},
    metrics::KINDS,
    output::Exit,
    publish::{Backlog, Publisher},
    shard::Shard,
    subscribe::{self, Client},
    wire::Wire,
};

/// Why no more packets were handled for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stop {
    /// What the session asked for has to be done first, or all is handled.
    #[default]
    Chores,
    /// The next packet is not wholly there.
    Incomplete,
    /// The next bytes are no packet.
    Malformed,
    /// The client does not read what it is sent.
    NotReading,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Handled {
    pub(crate) used: usize,
    pub(crate) stop: Stop,
}

/// Decodes packets and lets the session handle them, under the mailbox's lock.
#[inline]
pub(crate) fn handle<'b>(
    codec: &mut Codec,
    session: &mut Session,
    exit: &mut Exit<'_>,
    bytes: &'b [u8],
    now: Instant,
    actions: &mut Vec<Action<'b>>,
    packets_received: &mut [u32; KINDS],
) -> Handled {
    let mut used = 0;
    let mut topic = "";
    let stop = loop {
        if used == bytes.len() || must_wait(bytes[used], actions) {
            break Stop::Chores;
        }
        match codec.decode_after(&bytes[used..], topic) {
            Ok(Some((packet, len))) => {
                packets_received[usize::from(bytes[used] >> 4)] += 1;
                if let Packet::Publish(publish) = &packet {
                    topic = publish.topic;
                }
                session.handle_packet(packet, &bytes[used..used + len], now, actions, exit);
                used += len;
            }
            Ok(None) => break Stop::Incomplete,
            Err(error) => {
                let close = session.close(error.reason(), error.text(), exit);
                actions.extend(close.map(Action::Close));
                break Stop::Malformed;
            }
        }
        if !exit.keeps_up() {
            break Stop::NotReading;
        }
    };
    Handled { used, stop }
}

/// Whether the packet that begins with this byte has to wait until what came before is done, so
/// that its answer comes after theirs. PUBLISH and acknowledgements go on together.
#[inline]
fn must_wait(first_byte: u8, actions: &[Action<'_>]) -> bool {
    const TOGETHER_MAX: usize = 1024;
    match actions.last() {
        None => false,
        Some(Action::Publish(_)) => {
            !matches!(first_byte >> 4, 3..=7) || actions.len() >= TOGETHER_MAX
        }
        Some(_) => true,
    }
}

/// Does what a session asks.
pub(crate) struct Work<'w> {
    pub(crate) shard: &'w Shard,
    pub(crate) mailbox: &'w Mailbox,
    /// The connection that asks: what the session has by now may be another.
    pub(crate) wire: &'w Arc<Wire>,
    pub(crate) now: Instant,
}

impl Work<'_> {
    /// In order: what was published, then the rest. What it returns ends the connection.
    pub(crate) fn perform(
        &mut self,
        actions: &mut Vec<Action<'_>>,
        backlog: &mut VecDeque<Backlog>,
        list: &mut FlushList,
    ) -> Option<CloseReason> {
        let Self { shard, mailbox, wire, now, .. } = *self;
        let publisher = Publisher { shard, mailbox, wire, now };
        let mut closed = publisher.publish_all(list, actions, backlog);
        for chore in actions.drain(..).filter_map(Chore::of) {
            if backlog.is_empty() {
                closed = closed.or(self.perform_one(chore, list));
            } else {
                backlog.push_back(Backlog::Chore(chore));
            }
        }
        closed
    }

    pub(crate) fn perform_one(
        &mut self,
        chore: Chore,
        list: &mut FlushList,
    ) -> Option<CloseReason> {
        let shared = &self.shard.shared;
        match chore {
            Chore::Subscribe(request) => {
                let client = Client { mailbox: self.mailbox, wire: self.wire };
                let subscribed = subscribe::subscribe(shared, list, client, request);
                let mut inner = self.mailbox.lock();
                for feed in subscribed.feeds {
                    // Whoever subscribes again has what is retained sent anew, not twice.
                    inner.feeds.retain(|old| !old.is_of(feed.filter()));
                    inner.feeds.push_back(feed);
                }
                subscribed.close
            }
            Chore::Unsubscribe(request) => {
                // [MQTT3-3.10.4-2] [MQTT5-3.10.4-2]
                for text in &request.filters {
                    if let Ok(filter) = Filter::parse(text) {
                        self.mailbox.lock().feeds.retain(|feed| !feed.is_of(&filter));
                    }
                }
                let client = Client { mailbox: self.mailbox, wire: self.wire };
                subscribe::unsubscribe(shared, list, client, request);
                None
            }
            Chore::Close(reason) => {
                let mut inner = self.mailbox.lock();
                if let Some(link) = inner.link.as_mut().filter(|link| link.is(self.wire)) {
                    link.closing = Some(reason);
                }
                Some(reason)
            }
        }
    }
}

/// What a session asked beside publishing.
#[derive(Debug)]
pub(crate) enum Chore {
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    Close(CloseReason),
}

impl Chore {
    fn of(action: Action<'_>) -> Option<Self> {
        match action {
            // No authentication method is let in, so no client gets to AUTH.
            Action::Publish(_) | Action::Authenticate(_) => None,
            Action::Subscribe(request) => Some(Self::Subscribe(request)),
            Action::Unsubscribe(request) => Some(Self::Unsubscribe(request)),
            Action::Close(reason) => Some(Self::Close(reason)),
        }
    }
}
