//! A filter that very many subscribe to, and somebody who publishes while they come and go.

use std::{sync::Arc, time::Duration};

use avocet_router::{
    Config, Destinations, Entry, Filter, Position, RouteCache, Router, SubscriberId,
};
use serde_json::{Value, json};

use super::Client;
use crate::bench::{
    bar::Bar,
    cpu,
    gauge::micros_each,
    latency::{Latencies, Spread},
    memory::{Held, bytes_each},
    outcome::round,
    scatter::Scatter,
    spread,
};

/// How often one leaves, a message is looked up, and one comes.
const CHANGES: u64 = 10_000;
/// Receivers that the broker serves in one turn.
const SLICE: usize = 64;

pub(super) struct Outcome {
    subscribers: u64,
    bytes: f64,
    subscribe_us: f64,
    /// Beside an answer that stands, in nanoseconds.
    changes: Option<Spread>,
    lookups: Option<Spread>,
    /// Naming the receivers to whoever delivers, for each of them.
    walk_us: f64,
    is_good: bool,
}

pub(super) fn measure(subscribers: u64, bar: &mut Bar) -> anyhow::Result<Outcome> {
    let filter = Filter::parse("fleet/announcement")?;
    let topic = filter.topic_filter();
    let clients: Vec<_> = (0..subscribers).map(|number| Client(Arc::new(number))).collect();
    let subscriber = |number: u64| clients[number as usize].clone();
    let router = Router::new(Config::default());
    let before = Held::of_process(std::process::id())?;
    let start = cpu::of_thread();
    for number in 0..subscribers {
        router.subscribe(&filter, subscriber(number), Entry::default());
        if number.is_multiple_of(1000) {
            bar.show("gathering", number, subscribers);
        }
    }
    let subscribe_us = micros_each(cpu::of_thread() - start, subscribers);
    let bytes = bytes_each(Held::of_process(std::process::id())?.since(before).pss, subscribers);

    let mut cache = RouteCache::new(super::CACHED_TOPICS);
    let (mut changes, mut lookups) = (Latencies::new(), Latencies::new());
    let mut is_good = true;
    let mut answer = Arc::clone(cache.lookup(&router, topic));
    let scatter = Scatter::of(subscribers);
    for number in 0..CHANGES {
        let number = scatter.at(number);
        changes.add(nanoseconds(|| {
            is_good &= router.unsubscribe(&filter, SubscriberId(number));
        }));
        lookups.add(nanoseconds(|| answer = Arc::clone(cache.lookup(&router, topic))));
        is_good &= answer.width() as u64 == subscribers - 1;
        changes.add(nanoseconds(|| {
            router.subscribe(&filter, subscriber(number), Entry::default());
        }));
    }
    answer = router.matches(topic);
    let start = cpu::of_thread();
    let walked = walk(&answer);
    let walk_us = micros_each(cpu::of_thread() - start, walked);
    is_good &= walked == subscribers;
    let (changes, lookups) = (changes.spread(), lookups.spread());
    Ok(Outcome { subscribers, bytes, subscribe_us, changes, lookups, walk_us, is_good })
}

fn nanoseconds(work: impl FnOnce()) -> u64 {
    let start = cpu::of_thread();
    work();
    (cpu::of_thread() - start).min(Duration::from_secs(1)).as_nanos() as u64
}

fn walk(answer: &Destinations<Client>) -> u64 {
    let (mut walked, mut next) = (0, Some(Position::default()));
    while let Some(position) = next {
        let slice = answer.slice(position, SLICE);
        walked += slice.plain.len() as u64;
        next = slice.next;
    }
    walked
}

impl Outcome {
    pub(super) fn is_good(&self) -> bool {
        self.is_good
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "subscribers": self.subscribers,
            "bytes_per_subscriber": self.bytes,
            "subscribe_cpu_us": round(self.subscribe_us),
            "change_cpu_us": self.changes.map(spread::to_json),
            "match_after_change_cpu_us": self.lookups.map(spread::to_json),
            "walk_cpu_us_per_receiver": round(self.walk_us),
        })
    }

    pub(super) fn to_text(&self) -> String {
        let Self { subscribers, bytes, subscribe_us, walk_us, .. } = self;
        let (changes, lookups) = (spread::to_text(self.changes), spread::to_text(self.lookups));
        format!(
            "  crowd       {subscribers} subscribers of one filter, {bytes:.0} bytes each, \
             subscribe {subscribe_us:.3} us, walk {walk_us:.3} us each\n\
             \x20   change    {changes}\n    match     {lookups}\n"
        )
    }
}
