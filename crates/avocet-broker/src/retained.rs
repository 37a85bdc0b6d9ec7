//! The retained messages of this node (section 3.3.1.3).

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use avocet_mqtt::{ApplicationMessage, QoS, Transit, message::Expiry};
use avocet_router::{Cursor, Page, RetainedIndex};
use avocet_session::DropReason;
use avocet_storage::command::Command;
use parking_lot::Mutex;
use tokio::time;

use crate::{
    broker::Shared,
    kept::Clock,
    mailbox::{FlushList, Mailbox},
    records::{Records, Step},
};

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
    /// By topic: what the store is about to take.
    unsettled: Mutex<HashMap<Box<str>, Unsettled>>,
}

/// Changes of a topic's message that the store has not taken yet. They are seen already: whoever
/// subscribes after a message was routed finds it here.
#[derive(Debug)]
struct Unsettled {
    changes: usize,
    /// What the store has.
    stored: Option<Arc<ApplicationMessage>>,
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
            unsettled: Mutex::default(),
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

    /// [`store`](Self::store) of a message that is to be [settled](Self::settle), too.
    fn store_unsettled(&self, transit: &Transit<'_>) -> Result<(), RetainedFull> {
        let topic = transit.topic();
        let mut unsettled = self.unsettled.lock();
        let stored = self.index.get(topic);
        self.store(transit)?;
        let it = unsettled.entry(topic.into()).or_insert(Unsettled { changes: 0, stored });
        it.changes += 1;
        Ok(())
    }

    /// The store has taken a message, or has refused it. Called in the order in which it takes
    /// them, which need not be that in which they came: once there are no more to come, what it has
    /// is what is kept.
    fn settle(&self, message: &Arc<ApplicationMessage>, is_stored: bool) {
        let topic = message.topic();
        let mut unsettled = self.unsettled.lock();
        let Some(it) = unsettled.get_mut(topic) else { return };
        if is_stored {
            it.stored = Some(Arc::clone(message)).filter(|it| !it.payload().is_empty());
        }
        it.changes -= 1;
        if it.changes > 0 {
            return;
        }
        let stored = unsettled.remove(topic).and_then(|it| it.stored);
        let is_same = |kept: &Arc<ApplicationMessage>| {
            stored.as_ref().is_some_and(|stored| Arc::ptr_eq(kept, stored))
        };
        if self.index.get(topic).is_none_or(|kept| !is_same(&kept)) {
            match stored {
                Some(stored) => self.restore(stored),
                None => self.gone(self.index.remove(topic)),
            }
        }
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
        page.found.retain(|message| message.remaining_expiry(now) != Expiry::Expired);
        page
    }

    /// Lets those go that have expired, of some of the messages; tells their topics, and where to
    /// go on.
    fn expire_some(
        &self,
        cursor: Option<&Cursor>,
        now: Instant,
    ) -> (Vec<Arc<ApplicationMessage>>, Option<Cursor>) {
        let Page { mut found, next } = self.index.matching("#", cursor, PAGE);
        found.retain(|message| message.remaining_expiry(now) == Expiry::Expired);
        found.iter().for_each(|message| self.expire(message));
        (found, next)
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

/// Keeps a message, of which the store is to know if there is one.
pub(crate) fn keep(
    shared: &Shared,
    list: &mut FlushList,
    transit: &Transit<'_>,
    from: Option<&Mailbox>,
) -> Result<(), RetainedFull> {
    if shared.keeper.is_none() || is_own(transit.topic()) {
        return shared.retained.store(transit);
    }
    shared.retained.store_unsettled(transit)?;
    // At QoS 1 and 2 the answer is waited for.
    if let Some(from) = from.filter(|_| transit.qos() == QoS::AtMostOnce) {
        from.lock().session.note_to_store();
    }
    list.records.push(Step::Retain(Arc::clone(transit.share()), from.cloned()));
    Ok(())
}

/// The store has taken a message that is to be retained, or has refused it.
pub(crate) fn settle(
    shared: &Shared,
    message: &Arc<ApplicationMessage>,
    from: Option<&Mailbox>,
    is_stored: bool,
) {
    shared.retained.settle(message, is_stored);
    if let Some(from) = from.filter(|_| message.qos == QoS::AtMostOnce) {
        from.lock().note_stored();
    }
    if !is_stored {
        let client_id = from.map_or("", |mailbox| mailbox.client_id());
        shared.drops.note(client_id, message.topic(), message.qos, DropReason::StoreFailed);
    }
}

/// Whether a topic or filter is one of `$SYS/`, where only the broker publishes.
pub(crate) fn is_own(topic: &str) -> bool {
    topic == "$SYS" || topic.starts_with("$SYS/")
}

/// Lets expired messages go that nobody asks for, retained ones and those that wait in the store,
/// for as long as the broker runs.
pub(crate) async fn sweep(shared: Arc<Shared>) {
    const INTERVAL: Duration = Duration::from_secs(10);
    loop {
        time::sleep(INTERVAL).await;
        if let Some(keeper) = &shared.keeper {
            keeper.expire();
        }
        let mut cursor = None;
        loop {
            let (expired, next) = shared.retained.expire_some(cursor.as_ref(), Instant::now());
            if let (Some(keeper), false) = (&shared.keeper, expired.is_empty()) {
                let (mut records, by) = (Records::default(), Clock::read().wall());
                for message in &expired {
                    records.note(&Command::Expire { topic: message.topic(), by });
                }
                keeper.submit(&mut records);
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}
