//! What waits for its time outside a connection: wills with a delay, sessions that expire, delayed
//! messages. Ordered by time; one task of the broker takes what is due.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use avocet_mqtt::{ApplicationMessage, Publish, ReasonCode, Transit, topic};
use avocet_session::DropReason;
use avocet_storage::command::Purpose;
use parking_lot::Mutex;
use tokio::{sync::Notify, time};

use crate::{
    broker::{Settled, Shared},
    kept::Clock,
    leave,
    mailbox::{FlushList, Mailbox},
    records::{Content, Load, Plan, Step},
};

/// The longest delay of `$delayed/`, in seconds.
const DELAY_SECONDS_MAX: u64 = 4_294_967;

/// Something to do later. The numbers are the mailbox's epoch when it was set: if the client has
/// come back since, nothing is done.
#[derive(Debug)]
pub(crate) enum Timer {
    /// Publish the will.
    Will(Mailbox, u64),
    /// End the session.
    Session(Mailbox, u64),
    /// Publish a delayed message, by which number the store has it.
    Delayed(Arc<ApplicationMessage>, u64),
    /// Read what the store did not give.
    Load(Load),
}

/// Names a timer that was set.
pub(crate) type TimerKey = (Instant, u64);

/// All that waits.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    waiting: Mutex<Waiting>,
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    by_time: BTreeMap<TimerKey, Timer>,
    sequence: u64,
    delayed: usize,
    delayed_bytes: usize,
}

impl Waiting {
    fn took(&mut self, message: &ApplicationMessage) {
        self.delayed += 1;
        self.delayed_bytes += message.len();
    }

    fn give_up(&mut self, message: &ApplicationMessage) {
        self.delayed -= 1;
        self.delayed_bytes -= message.len();
    }
}

impl Timers {
    /// To be done at `at`.
    pub(crate) fn set(&self, at: Instant, timer: Timer) -> TimerKey {
        let mut waiting = self.waiting.lock();
        let first = waiting.by_time.first_key_value().map(|((at, _), _)| *at);
        waiting.sequence += 1;
        let key = (at, waiting.sequence);
        waiting.by_time.insert(key, timer);
        drop(waiting);
        if first.is_none_or(|first| at < first) {
            self.earlier.notify_one();
        }
        key
    }

    /// These are not to be done; some may have been.
    pub(crate) fn cancel(&self, keys: &[TimerKey]) {
        if keys.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        let cancelled: Vec<_> = keys.iter().filter_map(|key| waiting.by_time.remove(key)).collect();
        drop(waiting);
        // What they hold goes outside the lock.
        drop(cancelled);
    }

    /// Takes room for a message that is to wait for its `$delayed/` time; false if there is none.
    /// To be given up, or to be [set](Self::set).
    pub(crate) fn reserve(&self, message: &ApplicationMessage, options: &Settled) -> bool {
        let mut waiting = self.waiting.lock();
        let has_room = waiting.delayed < options.delayed_messages_max
            && waiting.delayed_bytes + message.len() <= options.delayed_bytes_max;
        if has_room {
            waiting.took(message);
        }
        has_room
    }

    /// The same whatever the bounds, for a message that waited before the broker was started.
    pub(crate) fn restore(&self, at: Instant, message: Arc<ApplicationMessage>, plan: u64) {
        self.waiting.lock().took(&message);
        self.set(at, Timer::Delayed(message, plan));
    }

    fn give_up(&self, message: &ApplicationMessage) {
        self.waiting.lock().give_up(message);
    }

    /// Messages that wait for their `$delayed/` time, and their bytes.
    pub(crate) fn delayed(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        (waiting.delayed, waiting.delayed_bytes)
    }

    /// Takes one thing that is due, or tells when the next one will be.
    fn next(&self, now: Instant) -> Result<Timer, Option<Instant>> {
        let mut waiting = self.waiting.lock();
        match waiting.by_time.first_entry() {
            Some(entry) if entry.key().0 <= now => {
                let timer = entry.remove();
                if let Timer::Delayed(message, _) = &timer {
                    waiting.give_up(message);
                }
                Ok(timer)
            }
            Some(entry) => Err(Some(entry.key().0)),
            None => Err(None),
        }
    }
}

/// Does what is due, for as long as the broker runs.
pub(crate) async fn run(shared: Arc<Shared>) {
    const IDLE: Duration = Duration::from_secs(3600);
    loop {
        let now = Instant::now();
        match shared.timers.next(now) {
            Ok(timer) => {
                let mut list = FlushList::default();
                fire(&shared, &mut list, timer, now);
                list.flush(&shared, now);
                tokio::task::yield_now().await;
            }
            Err(next) => {
                let until = next.unwrap_or(now + IDLE);
                tokio::select! {
                    () = time::sleep_until(until.into()) => {}
                    () = shared.timers.earlier.notified() => {}
                }
            }
        }
    }
}

fn fire(shared: &Arc<Shared>, list: &mut FlushList, timer: Timer, now: Instant) {
    let stands = |mailbox: &Mailbox, epoch: u64| mailbox.lock().epoch == epoch;
    match timer {
        Timer::Will(mailbox, epoch) if stands(&mailbox, epoch) => {
            leave::publish_will(shared, list, &mailbox, now);
        }
        Timer::Session(mailbox, epoch) => {
            leave::end_session(shared, list, &mailbox, Some(epoch), now); // [MQTT5-3.1.2-23]
        }
        Timer::Will(..) => {}
        Timer::Delayed(message, plan) => {
            // The will of a session that was over when the broker was started may be for later.
            leave::publish_now_or_later(shared, list, &message, None, now);
            list.records.push_sure(Step::Unplan(plan));
        }
        Timer::Load(load) => list.records.loads.push(load),
    }
}

/// Keeps a message published to `$delayed/<seconds>/<topic>` until its time.
pub(crate) fn delay(
    shared: &Shared,
    list: &mut FlushList,
    client_id: &str,
    transit: &Transit<'_>,
    now: Instant,
) -> ReasonCode {
    let Some((delay, topic)) = parse_delayed(transit.topic()) else {
        shared.drops.note(client_id, transit.topic(), transit.qos(), DropReason::TopicInvalid);
        return ReasonCode::TopicNameInvalid;
    };
    let mut publish = Publish::new(topic, transit.payload());
    publish.qos = transit.qos();
    publish.retain = transit.retain();
    publish.properties = transit.properties();
    let at = now + delay;
    // The message's own lifetime begins when it is published.
    publish.message_expiry_interval = transit
        .expires_at()
        .map(|end| u32::try_from(end.saturating_duration_since(now).as_secs()).unwrap_or(u32::MAX));
    let message = Arc::clone(Transit::new(&publish, at).share());
    if !shared.timers.reserve(&message, &shared.options) {
        shared.drops.note(client_id, transit.topic(), transit.qos(), DropReason::QuotaExceeded);
        return ReasonCode::QuotaExceeded;
    }
    let number = shared.next_number();
    if shared.keeper.is_some() {
        let (due_at, purpose) = (Clock::read().wall_at(at), Purpose::Delayed);
        let content = Content::Message(message, at);
        list.records.push(Step::Plan(Plan { number, due_at, purpose, content }));
    } else {
        shared.timers.set(at, Timer::Delayed(message, number));
    }
    ReasonCode::Success
}

/// The store has taken a message that is to be published later, or has not.
pub(crate) fn settle(
    shared: &Shared,
    message: Arc<ApplicationMessage>,
    plan: u64,
    at: Instant,
    is_stored: bool,
) {
    if is_stored {
        shared.timers.set(at, Timer::Delayed(message, plan));
        return;
    }
    shared.timers.give_up(&message);
    shared.drops.note("", message.topic(), message.qos, DropReason::StoreFailed);
}

/// Takes `$delayed/<seconds>/<topic>` apart.
fn parse_delayed(text: &str) -> Option<(Duration, &str)> {
    let (seconds, name) = text.strip_prefix("$delayed/")?.split_once('/')?;
    let seconds: u64 = seconds.parse().ok()?;
    let valid = topic::check_name(name).is_ok() && !name.starts_with('$');
    (valid && seconds <= DELAY_SECONDS_MAX).then(|| (Duration::from_secs(seconds), name))
}
