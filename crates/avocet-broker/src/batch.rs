//! What is done after the session has handled packets: without its lock, what it asks for.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use avocet_router::Filter;
use avocet_session::{Action, Actions, CloseReason};

use crate::{
    mailbox::{FlushList, Mailbox},
    mountpoint,
    publish::Backlog,
    shard::Shard,
    subscribe::{self, Client},
    wire::Wire,
};

/// Does what a session asks; `publish.rs` has the messages' part.
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
        &self,
        actions: &mut Actions<'_>,
        backlog: &mut VecDeque<Backlog>,
        list: &mut FlushList,
    ) -> Option<CloseReason> {
        let closed = self.publish_all(list, &mut actions.inbound, backlog);
        match actions.then.take() {
            Some(action) if backlog.is_empty() => closed.or(self.perform_one(action, list)),
            Some(action) => {
                backlog.push_back(Backlog::Action(action));
                closed
            }
            None => closed,
        }
    }

    pub(crate) fn perform_one(&self, action: Action, list: &mut FlushList) -> Option<CloseReason> {
        let shared = &self.shard.shared;
        match action {
            // No authentication method is let in, so no client gets to AUTH.
            Action::Authenticate(_) => None,
            Action::Subscribe(request) => {
                let client = Client { mailbox: self.mailbox, wire: self.wire };
                let subscribed = subscribe::subscribe(shared, list, client, request);
                self.mailbox.lock().feeds.add(subscribed.feeds);
                subscribed.close
            }
            Action::Unsubscribe(mut request) => {
                let client = Client { mailbox: self.mailbox, wire: self.wire };
                mountpoint::mount_all(client, &mut request);
                // [MQTT3-3.10.4-2] [MQTT5-3.10.4-2]
                for text in &request.filters {
                    if let Ok(filter) = Filter::parse(text) {
                        self.mailbox.lock().feeds.forget(&filter);
                    }
                }
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
