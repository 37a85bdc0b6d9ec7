//! Keep alive and CONNECT deadlines of one shard's connections: a wheel of seconds instead of a
//! timer each. A connection that was active is looked at once in its interval and put back.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    task::Waker,
    time::{Duration, Instant},
};

/// How exact deadlines are kept.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// Longer waits go round.
const SLOTS: usize = 1024;

/// How long one connection may be silent.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) heard_at: Cell<Instant>,
    silence_max: Cell<Option<Duration>>,
    pub(crate) expired: Cell<bool>,
    owner: RefCell<Option<Waker>>,
    /// Where on the wheel it is; an entry anywhere else is stale.
    slot: Cell<usize>,
}

impl Watch {
    pub(crate) fn own(&self, waker: &Waker) {
        let mut owner = self.owner.borrow_mut();
        if owner.is_none() {
            *owner = Some(waker.clone());
        }
    }
}

/// The watches of one shard.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: RefCell<Vec<Vec<Weak<Watch>>>>,
    hand: Cell<usize>,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { slots: RefCell::new(vec![Vec::new(); SLOTS]), hand: Cell::new(0) }
    }
}

impl Wheel {
    /// A watch that expires unless [`set`](Self::set) comes first.
    pub(crate) fn watch(&self, silence_max: Duration, now: Instant) -> Rc<Watch> {
        let watch = Rc::new(Watch {
            heard_at: Cell::new(now),
            silence_max: Cell::new(Some(silence_max)),
            expired: Cell::new(false),
            owner: RefCell::new(None),
            slot: Cell::new(0),
        });
        self.put(&watch, silence_max);
        watch
    }

    /// Another bound on silence, counted from `now`; `None` = for ever.
    pub(crate) fn set(&self, watch: &Rc<Watch>, silence_max: Option<Duration>, now: Instant) {
        watch.heard_at.set(now);
        watch.silence_max.set(silence_max);
        if let Some(silence_max) = silence_max {
            self.put(watch, silence_max);
        }
    }

    /// Moves the hand by one tick and wakes who has been silent for too long.
    pub(crate) fn tick(&self, now: Instant) {
        let hand = (self.hand.get() + 1) % SLOTS;
        self.hand.set(hand);
        let due = std::mem::take(&mut self.slots.borrow_mut()[hand]);
        for watch in due.iter().filter_map(Weak::upgrade).filter(|w| w.slot.get() == hand) {
            let Some(silence_max) = watch.silence_max.get() else { continue };
            let silent = now.saturating_duration_since(watch.heard_at.get());
            if silent < silence_max {
                self.put(&watch, silence_max - silent);
                continue;
            }
            watch.expired.set(true);
            if let Some(owner) = &*watch.owner.borrow() {
                owner.wake_by_ref();
            }
        }
    }

    fn put(&self, watch: &Rc<Watch>, after: Duration) {
        let ticks = after.as_millis().div_ceil(TICK.as_millis());
        let ticks = usize::try_from(ticks).unwrap_or(SLOTS).clamp(1, SLOTS - 1);
        let slot = (self.hand.get() + ticks) % SLOTS;
        watch.slot.set(slot);
        self.slots.borrow_mut()[slot].push(Rc::downgrade(watch));
    }
}
