//! The retained messages of this node (section 3.3.1.3).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use avocet_mqtt::{ApplicationMessage, Transit, message::Expiry};
use avocet_router::{Cursor, Page, RetainedIndex};
use tokio::time;

use crate::broker::Shared;

/// The most retained messages read under one lock.
pub(crate) const PAGE: usize = 64;

/// One message for each topic that has one.
#[derive(Debug)]
pub(crate) struct Retained {
    // [MQTT3-3.1.2-7]
    index: RetainedIndex<Arc<ApplicationMessage>>,
    /// The broker's own in `$SYS/`, which count towards no bound.
    own: RetainedIndex<Arc<ApplicationMessage>>,
    messages_max: usize,
    bytes_max: u64,
    bytes: AtomicU64,
}

/// The bound on retained messages is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetainedFull;

impl Retained {
    pub(crate) fn new(messages_max: usize, bytes_max: u64) -> Self {
        Self {
            index: RetainedIndex::new(),
            own: RetainedIndex::new(),
            messages_max,
            bytes_max,
            bytes: AtomicU64::new(0),
        }
    }

    /// Keeps a message, or removes the one that is kept if the payload is empty
    /// ([MQTT3-3.3.1-10], [MQTT3-3.3.1-11], [MQTT5-3.3.1-6], [MQTT5-3.3.1-7]).
    pub(crate) fn store(&self, transit: &Transit<'_>) -> Result<(), RetainedFull> {
        let topic = transit.topic();
        if is_own(topic) {
            self.own.insert(topic, Arc::clone(transit.share()));
            return Ok(());
        }
        if transit.payload().is_empty() {
            self.gone(self.index.remove(topic));
            return Ok(());
        }
        if self.index.len() >= self.messages_max && self.index.get(topic).is_none() {
            return Err(RetainedFull);
        }
        // [MQTT3-3.3.1-5] [MQTT5-3.3.1-5]
        let message = Arc::clone(transit.share());
        if self.bytes.load(Ordering::Relaxed) + message.len() as u64 > self.bytes_max {
            return Err(RetainedFull);
        }
        self.bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
        // [MQTT3-3.3.1-7]
        self.gone(self.index.insert(topic, message));
        Ok(())
    }

    /// Keeps a message that was kept before the broker was started, whatever the bounds.
    pub(crate) fn restore(&self, message: Arc<ApplicationMessage>) {
        self.bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
        let topic = message.topic().to_owned();
        self.gone(self.index.insert(&topic, message));
    }

    /// Whether a look-up would find something, as far as a short look can tell.
    pub(crate) fn may_match(&self, topic_filter: &str) -> bool {
        let index = if is_own(topic_filter) { &self.own } else { &self.index };
        if index.is_empty() {
            return false;
        }
        let page = index.matching(topic_filter, None, 1);
        !page.found.is_empty() || page.next.is_some()
    }

    /// The next messages that match and have not expired, up to `limit`; perhaps none although more
    /// follow.
    pub(crate) fn page(
        &self,
        topic_filter: &str,
        cursor: Option<&Cursor>,
        limit: usize,
        now: Instant,
    ) -> Page<Arc<ApplicationMessage>> {
        let index = if is_own(topic_filter) { &self.own } else { &self.index };
        let mut page = index.matching(topic_filter, cursor, limit);
        page.found.retain(|message| {
            let expired = message.remaining_expiry(now) == Expiry::Expired;
            if expired {
                self.expire(message);
            }
            !expired
        });
        page
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn expire(&self, message: &Arc<ApplicationMessage>) {
        let same = |kept: &Arc<ApplicationMessage>| Arc::ptr_eq(kept, message);
        self.gone(self.index.remove_if(message.topic(), same));
    }

    fn gone(&self, message: Option<Arc<ApplicationMessage>>) {
        if let Some(message) = message {
            self.bytes.fetch_sub(message.len() as u64, Ordering::Relaxed);
        }
    }
}

/// Whether a topic or filter is one of `$SYS/`, where only the broker publishes.
pub(crate) fn is_own(topic: &str) -> bool {
    topic == "$SYS" || topic.starts_with("$SYS/")
}

/// Gives back the memory of expired messages that nobody asks for, for as long as the broker runs.
pub(crate) async fn sweep(shared: Arc<Shared>) {
    const INTERVAL: Duration = Duration::from_secs(10);
    loop {
        time::sleep(INTERVAL).await;
        let mut cursor = None;
        loop {
            cursor = shared.retained.page("#", cursor.as_ref(), PAGE, Instant::now()).next;
            if cursor.is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}
