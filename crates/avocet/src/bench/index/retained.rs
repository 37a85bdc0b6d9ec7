//! Retained topics, and what a filter costs for each that it finds.

use std::time::Duration;

use avocet_router::RetainedIndex;
use serde_json::{Value, json};

use super::fleet;
use crate::bench::{
    bar::Bar,
    cpu,
    gauge::micros_each,
    memory::{Held, bytes_each},
    outcome::round,
};

/// Topics of a page, as the broker asks for them.
const PAGE: usize = 64;
/// So many have another last level.
const ALARMS: u64 = 10;

pub(super) struct Outcome {
    count: u64,
    /// Beyond the topics' texts.
    bytes: f64,
    insert_us: f64,
    remove_us: f64,
    fetched: Vec<Fetched>,
    left: usize,
}

struct Fetched {
    filter: &'static str,
    found: u64,
    pages: u64,
    elapsed: Duration,
    longest: Duration,
}

pub(super) fn measure(count: u64, bar: &mut Bar) -> anyhow::Result<Outcome> {
    let index = RetainedIndex::new();
    let topic = |number: u64| match number % (count / ALARMS).max(1) {
        0 => fleet::topic(number).replace("telemetry", "alarm"),
        _ => fleet::topic(number),
    };
    let before = Held::of_process(std::process::id())?;
    let (mut text_bytes, mut elapsed) = (0, Duration::ZERO);
    for number in 0..count {
        let topic = topic(number);
        text_bytes += topic.len();
        let start = cpu::of_thread();
        index.insert(&topic, number);
        elapsed += cpu::of_thread() - start;
        if number % 1000 == 0 {
            bar.show("retaining", number, count);
        }
    }
    let insert_us = micros_each(elapsed, count);
    let full = Held::of_process(std::process::id())?;
    let filters = [
        "#",
        "site/7/#",
        "site/7/line/+/device/+/telemetry",
        "site/+/line/3/device/+/telemetry",
        "+/+/line/+/device/+/alarm",
        "site/+/line/+/device/12345/+",
        "+/+/+/+/+/nobody/#",
    ];
    let fetched = filters.into_iter().map(|filter| fetch(&index, filter)).collect();
    let mut elapsed = Duration::ZERO;
    for number in 0..count {
        let topic = topic(number);
        let start = cpu::of_thread();
        index.remove(&topic);
        elapsed += cpu::of_thread() - start;
    }
    let bytes = bytes_each(full.since(before).pss, count) - text_bytes as f64 / count as f64;
    let (remove_us, left) = (micros_each(elapsed, count), index.len());
    Ok(Outcome { count, bytes, insert_us, remove_us, fetched, left })
}

/// All pages of a filter.
fn fetch(index: &RetainedIndex<u64>, filter: &'static str) -> Fetched {
    let (elapsed, longest) = (Duration::ZERO, Duration::ZERO);
    let mut fetched = Fetched { filter, found: 0, pages: 0, elapsed, longest };
    let mut next = None;
    loop {
        let start = cpu::of_thread();
        let page = index.matching(filter, next.as_ref(), PAGE);
        let elapsed = cpu::of_thread() - start;
        fetched.found += page.found.len() as u64;
        fetched.pages += 1;
        fetched.elapsed += elapsed;
        fetched.longest = fetched.longest.max(elapsed);
        next = page.next;
        if next.is_none() {
            return fetched;
        }
    }
}

impl Outcome {
    pub(super) fn is_good(&self) -> bool {
        let all = self.fetched.first().is_some_and(|all| all.found == self.count);
        all && self.left == 0
    }

    pub(super) fn to_json(&self) -> Value {
        let fetched = self.fetched.iter().map(|it| {
            json!({
                "filter": it.filter,
                "found": it.found,
                "pages": it.pages,
                "cpu_us": round(it.us()),
                "cpu_us_each": round(micros_each(it.elapsed, it.found)),
                "longest_page_cpu_us": round(micros_each(it.longest, 1)),
            })
        });
        json!({
            "topics": self.count,
            "bytes_per_topic_beyond_text": round(self.bytes),
            "insert_cpu_us": round(self.insert_us),
            "remove_cpu_us": round(self.remove_us),
            "fetched": fetched.collect::<Vec<_>>(),
        })
    }

    pub(super) fn to_text(&self) -> String {
        let Self { count, bytes, insert_us, remove_us, .. } = self;
        let mut text = format!(
            "  retained    {count} topics, {bytes:.1} bytes each beyond its text, \
             insert {insert_us:.3} us, remove {remove_us:.3} us\n"
        );
        for it in &self.fetched {
            let (filter, found, pages, us) = (it.filter, it.found, it.pages, it.us());
            let (each, longest) = (micros_each(it.elapsed, it.found), micros_each(it.longest, 1));
            text.push_str(&format!(
                "    {filter:<32} {found} found in {us:.0} us, {each:.3} us each, \
                 {pages} pages, the longest {longest:.0} us\n"
            ));
        }
        text
    }
}

impl Fetched {
    fn us(&self) -> f64 {
        micros_each(self.elapsed, 1)
    }
}
