//! What is done with the packets that one read brought: the session handles as many as can be
//! handled together, under its lock; then, without the lock, what it asks for is done.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use avocet_mqtt::Codec;
use avocet_router::Filter;
use avocet_session::{Action, Actions, CloseReason, Session};

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
    Actions,
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
    actions: &mut Actions<'b>,
    packets_received: &mut [u32; KINDS],
) -> Handled {
    let mut used = 0;
    let mut topic = "";
    let stop = loop {
        if used == bytes.len() || must_wait(bytes[used], actions) {
            break Stop::Actions;
        }
        let handled = codec.split(&bytes[used..]).and_then(|whole| {
            let Some(whole) = whole else { return Ok(None) };
            if whole.is_publish() {
                let publish = whole.publish(topic)?;
                topic = publish.topic;
                session.handle_publish(&publish, whole.bytes(), now, actions, exit);
            } else if let Some((kind, id)) = whole.short_ack() {
                session.handle_ack(kind, id, now, actions, exit);
            } else {
                session.handle_packet(codec.open(&whole)?, now, actions, exit);
            }
            Ok(Some(whole))
        });
        match handled {
            Ok(Some(whole)) => {
                packets_received[usize::from(whole.number())] += 1;
                used += whole.bytes().len();
            }
            Ok(None) => break Stop::Incomplete,
            Err(error) => {
                let close = session.close(error.reason(), error.text(), exit);
                actions.then = close.map(Action::Close);
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
        actions: &mut Actions<'_>,
        backlog: &mut VecDeque<Backlog>,
        list: &mut FlushList,
    ) -> Option<CloseReason> {
        let Self { shard, mailbox, wire, now, .. } = *self;
        let publisher = Publisher { shard, mailbox, wire, now };
        let closed = publisher.publish_all(list, &mut actions.inbound, backlog);
        match actions.then.take() {
            Some(action) if backlog.is_empty() => closed.or(self.perform_one(action, list)),
            Some(action) => {
                backlog.push_back(Backlog::Action(action));
                closed
            }
            None => closed,
        }
    }

    pub(crate) fn perform_one(
        &mut self,
        action: Action,
        list: &mut FlushList,
    ) -> Option<CloseReason> {
        let shared = &self.shard.shared;
        match action {
            // No authentication method is let in, so no client gets to AUTH.
            Action::Authenticate(_) => None,
            Action::Subscribe(request) => {
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
            Action::Unsubscribe(request) => {
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
            Action::Close(reason) => {
                let mut inner = self.mailbox.lock();
                if let Some(link) = inner.link.as_mut().filter(|link| link.is(self.wire)) {
                    link.closing = Some(reason);
                }
                Some(reason)
            }
        }
    }
}
