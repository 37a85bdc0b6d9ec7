//! Prints what the index costs: bytes for each filter, nanoseconds for each look-up.
//!
//! `cargo run --release -p avocet-router --example measure -- mixed 1000000`, where in place of
//! `mixed` may stand `wild`, `exact` (filters), `fan` (subscribers of one filter), `retained`
//! (topics), or `hits`, a loop over cache hits for counting instructions under callgrind. One at a
//! time, since memory is that of the process.
#![expect(clippy::print_stdout, reason = "it prints its figures")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use avocet_router::{
    Config, Entry, Filter, RetainedIndex, RouteCache, Router, Subscriber, SubscriberId,
};

/// Eight bytes, as the broker's handles are.
#[derive(Clone)]
struct Handle(Arc<u64>);

impl Subscriber for Handle {
    fn id(&self) -> SubscriberId {
        SubscriberId(*self.0)
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_else(|| "mixed".to_owned());
    let count = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    match what.as_str() {
        "hits" => hits(count),
        "fan" => fan_out(count),
        "retained" => retained(count),
        mix => look_up(&index(count, mix), count),
    }
}

/// One handle for all: what is measured is the index.
fn index(count: usize, mix: &str) -> Router<Handle> {
    let handle = Handle(Arc::new(1));
    let router = Router::new(Config::default());
    let before = resident_bytes();
    let start = Instant::now();
    let mut text_bytes = 0;
    for number in 0..count {
        let filter = filter(number, mix);
        text_bytes += filter.len();
        if let Ok(filter) = Filter::parse(&filter) {
            router.subscribe(&filter, handle.clone(), Entry::default());
        }
    }
    let nanoseconds = start.elapsed().as_nanos() as usize / count;
    let bytes = (resident_bytes() - before) as f64 / count as f64;
    let text = text_bytes as f64 / count as f64;
    println!("{count} filters ({mix}): {bytes:.1} bytes each, of them {text:.1} its text");
    println!("{:?}", router.stats());
    println!("subscribe: {nanoseconds} ns");
    router
}

fn look_up(router: &Router<Handle>, count: usize) {
    let topics = |first: usize, step: usize, length: usize| -> Vec<String> {
        (0..length).map(|n| topic((first + n * step) % count)).collect()
    };
    time("match, random topic", &topics(7, 7_919, 200_000), |topic| router.matches(topic).width());
    time("match, 500 hot topics", &topics(7, 7_919, 500), |topic| router.matches(topic).width());
    let mut cache = RouteCache::new(4_096);
    for (name, length) in [("1 topic", 1), ("64 topics", 64), ("500 topics", 500)] {
        let topics = topics(7, 7_919, length);
        time(&format!("cache hit, {name}"), &topics, |topic| cache.lookup(router, topic).width());
    }
    let mut cache = RouteCache::new(4_096);
    time("cache miss, random topic", &topics(7, 7_919, 200_000), |topic| {
        cache.lookup(router, topic).width()
    });
}

/// What one more subscriber costs those who publish to a topic that many have.
fn fan_out(count: usize) {
    let router = Router::new(Config::default());
    let Ok(filter) = Filter::parse("broadcast/to/all") else { return };
    let handles: Vec<_> = (0..count as u64).map(|number| Handle(Arc::new(number))).collect();
    let before = resident_bytes();
    let start = Instant::now();
    for handle in &handles {
        router.subscribe(&filter, handle.clone(), Entry::default());
    }
    let nanoseconds = start.elapsed().as_nanos() as usize / count;
    let bytes = (resident_bytes() - before) as f64 / count as f64;
    println!(
        "{count} subscribers of one filter: {bytes:.1} bytes, subscribe {nanoseconds} ns each"
    );
    let start = Instant::now();
    let found = router.matches("broadcast/to/all").width();
    println!("match: {} ns for each of {found}", start.elapsed().as_nanos() as usize / found);
}

fn retained(count: usize) {
    let index = RetainedIndex::new();
    let before = resident_bytes();
    let text: usize = (0..count).map(|number| topic(number).len()).sum();
    for number in 0..count {
        index.insert(&topic(number), 0_u64);
    }
    let bytes = (resident_bytes() - before) as f64 / count as f64;
    let text = text as f64 / count as f64;
    println!("{count} retained: {bytes:.1} bytes each, of them {text:.1} topic and 8 payload");
    for (filter, limit) in [("#", 1_000), ("site/1/+/temperature", 100), ("+/1/+/humidity", 100)] {
        let start = Instant::now();
        let page = index.matching(filter, None, limit);
        let found = page.found.len().max(1);
        let each = start.elapsed().as_nanos() as usize / found;
        println!("retained {filter}, {found} found: {each} ns each");
    }
    let topics: Vec<_> = (0..100_000).map(|n| topic(n * 7_919 % count)).collect();
    time("retained, one topic", &topics, |topic| usize::from(index.get(topic).is_some()));
}

fn hits(count: usize) {
    let router: Router<Handle> = Router::new(Config::default());
    if let Ok(filter) = Filter::parse("a/#") {
        router.subscribe(&filter, Handle(Arc::new(1)), Entry::default());
    }
    let mut cache = RouteCache::new(4_096);
    let mut sum = 0;
    for _ in 0..count {
        sum += cache.lookup(&router, black_box("a/2345678/1234567890")).width();
    }
    println!("{sum}");
}

/// Best of five, since the machine is not ours alone.
fn time(name: &str, topics: &[String], mut look_up: impl FnMut(&str) -> usize) {
    let mut best = f64::MAX;
    let mut found = 0;
    let rounds = if topics.len() > 10_000 { 1 } else { 1 + 2_000 / topics.len() };
    for _ in 0..5 {
        let start = Instant::now();
        found = 0;
        for _ in 0..rounds {
            for topic in topics {
                found += black_box(look_up(black_box(topic)));
            }
        }
        let times = rounds * topics.len();
        best = best.min(start.elapsed().as_nanos() as f64 / times as f64);
    }
    let found = found as f64 / (rounds * topics.len()) as f64;
    println!("{name}: {best:.1} ns ({found:.2} found)");
}

/// 20 to 30 bytes.
fn topic(number: usize) -> String {
    format!("site/{}/d{number}/temperature", number % 1_000)
}

/// The device level is unique. `mixed` has a tenth of each wildcard, `wild` only wildcards.
fn filter(number: usize, mix: &str) -> String {
    let (site, kind) = (number % 1_000, number / 1_000 % 10);
    match (mix, kind) {
        ("mixed", 0) => format!("site/{site}/d{number}/+"),
        ("mixed", 1) | ("wild", 5..) => format!("site/{site}/d{number}/#"),
        ("wild", _) => format!("site/{site}/d{number}/+"),
        (_, _) => topic(number),
    }
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0) * 4_096
}
