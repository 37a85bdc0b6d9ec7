//! One thread's memory of the last answers.

use std::sync::Arc;

use crate::destination::Destinations;
use crate::index::{Answer, Router};
use crate::subscriber::Subscriber;

/// Topics longer than this are looked up anew each time.
pub const CACHED_TOPIC_BYTES_MAX: usize = 256;

/// Answers of **one** router, as long as they stand.
///
/// It keeps alive the subscribers of the answers it holds, stale ones too, until their place is
/// needed or [`RouteCache::sweep`] is called.
#[derive(Debug)]
pub struct RouteCache<S> {
    sets: Box<[Set<S>]>,
    /// The last answer that was not to be kept.
    uncached: Arc<Destinations<S>>,
    victim: usize,
    /// Receivers in all answers kept.
    receivers: usize,
}

const WAYS: usize = 4;

/// Receivers kept in all answers together, some 40 bytes each: the cache is bounded in memory, not
/// only in topics. What comes past it makes it begin anew.
const RECEIVERS_MAX: usize = 1 << 20;

fn width<S>(destinations: &Destinations<S>) -> usize {
    destinations.plain.len() + destinations.fastlane.len() + destinations.groups.len()
}

/// The answers whose hashes share their lowest bits.
#[derive(Debug)]
struct Set<S> {
    /// The highest bits of the hash; 0 for a line without an answer.
    tags: [u32; WAYS],
    lines: [Line<S>; WAYS],
}

#[derive(Debug)]
struct Line<S> {
    topic: Box<str>,
    answer: Answer<S>,
}

impl<S: Subscriber> RouteCache<S> {
    /// Room for `entries` answers, rounded up to a power of two, at least four.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(WAYS).next_power_of_two();
        let nobody = Arc::default();
        Self {
            sets: (0..sets).map(|_| Set::new(&nobody)).collect(),
            uncached: nobody,
            victim: 0,
            receivers: 0,
        }
    }

    /// What [`Router::matches`] would answer.
    #[inline]
    pub fn lookup(&mut self, router: &Router<S>, topic: &str) -> &Arc<Destinations<S>> {
        let hash = router.hash(topic);
        let index = hash as usize & (self.sets.len() - 1);
        let set = &self.sets[index];
        match set.find(tag(hash), topic) {
            Some(way) if router.stands(&set.lines[way].answer) => {
                &self.sets[index].lines[way].answer.destinations
            }
            way => self.renew(router, topic, hash, way),
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        let nobody = Arc::default();
        self.sets.fill_with(|| Set::new(&nobody));
        self.uncached = nobody;
        self.receivers = 0;
    }

    /// Forgets what is stale, and with it the subscribers that only it kept alive.
    pub fn sweep(&mut self, router: &Router<S>) {
        let nobody = Arc::default();
        for set in &mut self.sets {
            for (tag, line) in set.tags.iter_mut().zip(&mut set.lines) {
                if !router.stands(&line.answer) {
                    self.receivers -= width(&line.answer.destinations);
                    *tag = 0;
                    *line = Line::new(&nobody);
                }
            }
        }
        self.uncached = nobody;
    }

    #[cold]
    #[inline(never)]
    fn renew(
        &mut self,
        router: &Router<S>,
        topic: &str,
        hash: u64,
        way: Option<usize>,
    ) -> &Arc<Destinations<S>> {
        let answer = router.answer(topic, hash);
        let receivers = width(&answer.destinations);
        // What a throng is found with is little beside its delivery, and an answer that is kept
        // makes each change of its lists copy some of them.
        let is_throng = answer.destinations.is_throng();
        if is_throng || topic.len() > CACHED_TOPIC_BYTES_MAX || receivers > RECEIVERS_MAX {
            self.uncached = answer.destinations;
            return &self.uncached;
        }
        if self.receivers + receivers > RECEIVERS_MAX {
            self.clear();
        }
        let index = hash as usize & (self.sets.len() - 1);
        let set = &mut self.sets[index];
        let empty = || set.tags.iter().position(|&tag| tag == 0);
        let way = way.or_else(empty).unwrap_or_else(|| {
            self.victim = (self.victim + 1) % WAYS;
            self.victim
        });
        let line = &mut set.lines[way];
        self.receivers += receivers;
        self.receivers -= width(&line.answer.destinations);
        if *line.topic != *topic {
            line.topic = topic.into();
        }
        line.answer = answer;
        set.tags[way] = tag(hash);
        &line.answer.destinations
    }
}

impl<S> Set<S> {
    fn new(nobody: &Arc<Destinations<S>>) -> Self {
        Self { tags: [0; WAYS], lines: std::array::from_fn(|_| Line::new(nobody)) }
    }

    #[inline]
    fn find(&self, tag: u32, topic: &str) -> Option<usize> {
        (0..WAYS).find(|&way| self.tags[way] == tag && *self.lines[way].topic == *topic)
    }
}

impl<S> Line<S> {
    fn new(nobody: &Arc<Destinations<S>>) -> Self {
        Self { topic: Box::default(), answer: Answer::nobody(Arc::clone(nobody)) }
    }
}

/// Never 0.
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

#[cfg(test)]
mod tests;
