//! Keep alive and CONNECT deadlines of one shard's connections: one wheel instead of a timer each.
//! A connection that was active is looked at once in its interval and put back.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use crate::calls::Key;

/// How exact deadlines are kept.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// Longer waits go round.
const SLOTS: u16 = 1024;
/// Of a connection that may be silent for ever.
const NEVER: u32 = u32::MAX;

/// How long one connection may be silent. Times are milliseconds, counted from when the wheel began
/// and then round and round: no wait is nearly as long as that takes.
#[derive(Debug)]
pub(crate) struct Watch {
    heard_at: u32,
    silence_max: u32,
    /// Where on the wheel it is; an entry anywhere else is stale.
    slot: u16,
}

/// The watches of one shard, by the connections' keys.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: RefCell<Vec<Vec<Key>>>,
    hand: Cell<u16>,
    began_at: Instant,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            slots: RefCell::new(vec![Vec::new(); usize::from(SLOTS)]),
            hand: Cell::new(0),
            began_at: Instant::now(),
        }
    }
}

impl Wheel {
    /// A watch that expires unless [`set`](Self::set) comes first.
    pub(crate) fn watch(&self, key: Key, silence_max: Duration, now: Instant) -> Watch {
        let mut watch = Watch { heard_at: 0, silence_max: NEVER, slot: 0 };
        self.set(&mut watch, key, Some(silence_max), now);
        watch
    }

    /// Another bound on silence, counted from `now`; `None` = for ever.
    pub(crate) fn set(
        &self,
        watch: &mut Watch,
        key: Key,
        silence_max: Option<Duration>,
        now: Instant,
    ) {
        self.hear(watch, now);
        let millis = silence_max.map(|max| u32::try_from(max.as_millis()).unwrap_or(NEVER - 1));
        watch.silence_max = millis.unwrap_or(NEVER);
        if let Some(millis) = millis {
            self.put(watch, key, millis);
        }
    }

    /// A sign of life.
    #[inline]
    pub(crate) fn hear(&self, watch: &mut Watch, now: Instant) {
        watch.heard_at = self.millis(now);
    }

    /// Moves the hand by one tick. Whoever stands here is to be [looked at](Self::is_over).
    pub(crate) fn advance(&self) -> Vec<Key> {
        let hand = (self.hand.get() + 1) % SLOTS;
        self.hand.set(hand);
        std::mem::take(&mut self.slots.borrow_mut()[usize::from(hand)])
    }

    /// Whether it has been silent for too long. If not, it is put back.
    pub(crate) fn is_over(&self, watch: &mut Watch, key: Key, now: Instant) -> bool {
        if watch.slot != self.hand.get() || watch.silence_max == NEVER {
            return false;
        }
        let silent = self.millis(now).wrapping_sub(watch.heard_at);
        if silent < watch.silence_max {
            self.put(watch, key, watch.silence_max - silent);
            return false;
        }
        true
    }

    /// To be looked at again in the next tick.
    pub(crate) fn wait_a_tick(&self, watch: &mut Watch, key: Key) {
        self.put(watch, key, 1);
    }

    fn put(&self, watch: &mut Watch, key: Key, millis: u32) {
        let ticks = u128::from(millis).div_ceil(TICK.as_millis());
        let ticks = u16::try_from(ticks).unwrap_or(SLOTS).clamp(1, SLOTS - 1);
        watch.slot = (self.hand.get() + ticks) % SLOTS;
        self.slots.borrow_mut()[usize::from(watch.slot)].push(key);
    }

    #[inline]
    fn millis(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.began_at).as_millis() as u32
    }
}

#[cfg(test)]
#[cfg(not(feature = "interleavings"))]
mod tests {
    use super::*;

    /// What a wheel with one connection says, tick by tick, until it is over.
    fn ticks_until_over(wheel: &Wheel, watch: &mut Watch, start: Instant) -> u32 {
        for tick in 1..200_000 {
            let now = start + TICK * tick;
            for key in wheel.advance() {
                assert_eq!(key, 3);
                if wheel.is_over(watch, key, now) {
                    return tick;
                }
            }
        }
        panic!("it never comes");
    }

    #[test]
    fn silence_is_over_when_it_has_lasted_that_long() {
        for seconds in [1, 10, 511, 512, 513, 98_302] {
            let wheel = Wheel::default();
            let start = wheel.began_at;
            let mut watch = wheel.watch(3, Duration::from_secs(seconds), start);
            assert_eq!(ticks_until_over(&wheel, &mut watch, start), 2 * seconds as u32);
        }
    }

    #[test]
    fn sign_of_life_begins_the_wait_anew() {
        let wheel = Wheel::default();
        let start = wheel.began_at;
        let mut watch = wheel.watch(3, Duration::from_secs(10), start);
        wheel.hear(&mut watch, start + Duration::from_secs(7));
        assert_eq!(ticks_until_over(&wheel, &mut watch, start), 34);
    }

    #[test]
    fn newer_bound_makes_the_older_entry_stale() {
        let wheel = Wheel::default();
        let start = wheel.began_at;
        let mut watch = wheel.watch(3, Duration::from_secs(5), start);
        wheel.set(&mut watch, 3, Some(Duration::from_secs(60)), start);
        assert_eq!(ticks_until_over(&wheel, &mut watch, start), 120);
        wheel.set(&mut watch, 3, None, start);
        for _ in 0..SLOTS {
            assert!(wheel.advance().is_empty());
        }
    }

    #[test]
    fn watch_is_small() {
        assert_eq!(size_of::<Watch>(), 12);
    }
}
