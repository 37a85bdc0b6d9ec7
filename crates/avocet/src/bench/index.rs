//! What the index of filters and that of retained messages cost, in this process: no broker, no
//! socket. Times are those of the processor, so that a busy machine does not change them much.

mod crowd;
mod fleet;
mod retained;

use std::{process::ExitCode, sync::Arc};

use avocet_router::{
    Config, Entry, Filter, Inserted, RouteCache, Router, Subscriber, SubscriberId,
};
use clap::{Args, builder::RangedU64ValueParser};
use serde_json::{Value, json};

use self::fleet::{Fleet, Shape};
use super::{
    bar::Bar,
    cpu,
    gauge::micros_each,
    latency::{Latencies, Spread},
    memory::{Held, bytes_each},
    outcome::round,
    scatter::Scatter,
    spread,
};
use crate::{cli::print, client::Failure};

const EXAMPLES: &str = "\
Examples:
  avocet bench index                               10,000,000 filters, 1,000,000 retained topics
  avocet bench index --filters 1000000 --shape exact --retained 0 --crowd 0

Ten million filters take about 1.5 GB. A subscription is timed on its own, its text taken apart
before: the longest is an upper bound of how long the index can keep others waiting. Memory is what
this process has grown by, less the texts of the filters. Exit code 1 if a look-up did not find what
it should, or if something is left when all is removed.";

/// Subscribers that share the filters.
const CLIENTS: u64 = 10_000;
/// Topics looked up one after another, and those that are hot.
const BATCH: u64 = 1000;
const HOT: u64 = 500;
/// As many as a shard of the broker remembers.
const CACHED_TOPICS: usize = 4096;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct IndexArgs {
    /// How many filters, all different.
    #[arg(long, default_value_t = 10_000_000, value_parser = at_least(1))]
    filters: u64,
    /// What kinds of filters.
    #[arg(long, default_value = "mixed")]
    shape: Shape,
    /// How many topics are looked up.
    #[arg(long, default_value_t = 1_000_000, value_parser = at_least(1))]
    lookups: u64,
    /// How many retained topics; 0 for none.
    #[arg(long, default_value_t = 1_000_000, value_parser = at_least(0))]
    retained: u64,
    /// How many subscribers of one filter; 0 for none.
    #[arg(long, default_value_t = 1_000_000, value_parser = at_least(0))]
    crowd: u64,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

fn at_least(min: u64) -> RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(min..=100_000_000)
}

/// Eight bytes, as the broker's handles are.
#[derive(Clone, Debug)]
struct Client(Arc<u64>);

impl Subscriber for Client {
    fn id(&self) -> SubscriberId {
        SubscriberId(*self.0)
    }
}

/// Changes, each timed on its own, in nanoseconds of the processor.
struct Changes {
    spread: Option<Spread>,
    nanoseconds: u64,
}

/// Look-ups.
struct LookUps {
    us: f64,
    found: f64,
}

struct Outcome {
    text_bytes: u64,
    subscribed: Changes,
    bytes: f64,
    random: LookUps,
    hot: LookUps,
    unsubscribed: Changes,
    /// Of the process, when all filters are gone, for each that was there.
    bytes_left: f64,
    /// Grown beyond the first time by subscribing all again.
    bytes_again: f64,
    is_good: bool,
    retained: Option<retained::Outcome>,
    crowd: Option<crowd::Outcome>,
}

/// Runs the scenario.
pub(super) fn run(args: &IndexArgs) -> Result<ExitCode, Failure> {
    let outcome = measure(args)?;
    let told =
        if args.json { format!("{}\n", outcome.to_json(args)) } else { outcome.to_text(args) };
    let shown = print(&told);
    Ok(if outcome.is_good() { shown } else { ExitCode::FAILURE })
}

fn measure(args: &IndexArgs) -> anyhow::Result<Outcome> {
    let mut bar = Bar::new(true);
    let fleet = Fleet { count: args.filters, shape: args.shape };
    let clients: Vec<_> = (0..CLIENTS).map(|number| Client(Arc::new(number))).collect();
    let router = Router::new(Config::default());
    let mut text_bytes = 0;
    let mut is_good = true;

    let before = Held::of_process(std::process::id())?;
    let mut subscribe = |bar: &mut Bar| {
        text_bytes = 0;
        changes(&fleet, "subscribing", bar, |number, filter| {
            text_bytes += filter.topic_filter().len() as u64;
            let client = clients[(number % CLIENTS) as usize].clone();
            is_good &= router.subscribe(filter, client, Entry::default()) == Inserted::New;
        })
    };
    let subscribed = subscribe(&mut bar);
    let full = Held::of_process(std::process::id())?;

    let scatter = Scatter::of(fleet.count);
    let random = |number| fleet.topic(scatter.at(number));
    let random = look_up(args.lookups, random, |topic| router.matches(topic).width());
    let mut cache = RouteCache::new(CACHED_TOPICS);
    let hot = |number| fleet.topic(scatter.at(number % HOT));
    let hot = look_up(args.lookups, hot, |topic| cache.lookup(&router, topic).width());
    cache.clear();

    let unsubscribe = |bar: &mut Bar| {
        changes(&fleet, "unsubscribing", bar, |number, filter| {
            router.unsubscribe(filter, SubscriberId(number % CLIENTS));
        })
    };
    let unsubscribed = unsubscribe(&mut bar);
    let left = Held::of_process(std::process::id())?;
    subscribe(&mut bar);
    let again = Held::of_process(std::process::id())?;
    unsubscribe(&mut bar);
    is_good &= router.stats() == avocet_router::Stats::default();
    is_good &= random.found >= 1.0 && hot.found >= 1.0;
    drop(router);

    let retained = match args.retained {
        0 => None,
        count => Some(retained::measure(count, &mut bar)?),
    };
    let crowd = match args.crowd {
        0 => None,
        count => Some(crowd::measure(count, &mut bar)?),
    };
    bar.clear();
    let each = |held: Held, since: Held| bytes_each(held.since(since).pss, fleet.count);
    let bytes = each(full, before) - text_bytes as f64 / fleet.count as f64;
    Ok(Outcome {
        text_bytes,
        subscribed,
        bytes,
        random,
        hot,
        unsubscribed,
        bytes_left: each(left, before),
        bytes_again: each(again, full),
        is_good,
        retained,
        crowd,
    })
}

/// Does something with each filter, and times that alone.
fn changes(
    fleet: &Fleet,
    name: &str,
    bar: &mut Bar,
    mut change: impl FnMut(u64, &Filter),
) -> Changes {
    let mut latencies = Latencies::new();
    let mut sum = 0;
    for number in 0..fleet.count {
        let Ok(filter) = Filter::parse(&fleet.filter(number)) else { continue };
        let start = cpu::of_thread();
        change(number, &filter);
        let nanoseconds = (cpu::of_thread() - start).as_nanos() as u64;
        latencies.add(nanoseconds);
        sum += nanoseconds;
        if number.is_multiple_of(BATCH) {
            bar.show(name, number, fleet.count);
        }
    }
    Changes { spread: latencies.spread(), nanoseconds: sum }
}

/// The topics are made before they are looked up.
fn look_up(
    count: u64,
    topic: impl Fn(u64) -> String,
    mut look_up: impl FnMut(&str) -> usize,
) -> LookUps {
    let (mut found, mut elapsed) = (0, std::time::Duration::ZERO);
    for first in (0..count).step_by(BATCH as usize) {
        let topics: Vec<_> = (first..count.min(first + BATCH)).map(&topic).collect();
        let start = cpu::of_thread();
        found += topics.iter().map(|topic| look_up(topic)).sum::<usize>();
        elapsed += cpu::of_thread() - start;
    }
    LookUps { us: micros_each(elapsed, count), found: found as f64 / count as f64 }
}

impl Changes {
    fn us(&self, count: u64) -> f64 {
        self.nanoseconds as f64 / 1e3 / count as f64
    }

    fn to_json(&self, count: u64) -> Value {
        json!({
            "cpu_us": round(self.us(count)),
            "per_second": (1e6 / self.us(count)).round(),
            "each_cpu_us": self.spread.map(spread::to_json),
        })
    }

    fn to_text(&self, name: &str, count: u64) -> String {
        let (us, rate) = (self.us(count), 1e6 / self.us(count));
        let spread = spread::to_text(self.spread);
        format!("  {name:<11} {us:.3} us each, {rate:.0}/s\n              {spread}\n")
    }
}

impl LookUps {
    fn to_json(&self) -> Value {
        json!({ "cpu_us": round(self.us), "found": round(self.found) })
    }

    fn to_text(&self, name: &str) -> String {
        format!("  {name:<11} {:.3} us each, {:.2} found\n", self.us, self.found)
    }
}

impl Outcome {
    fn is_good(&self) -> bool {
        let is_retained_good = self.retained.as_ref().is_none_or(retained::Outcome::is_good);
        let is_crowd_good = self.crowd.as_ref().is_none_or(crowd::Outcome::is_good);
        self.is_good && is_retained_good && is_crowd_good
    }

    fn text_each(&self, args: &IndexArgs) -> f64 {
        self.text_bytes as f64 / args.filters as f64
    }

    fn to_json(&self, args: &IndexArgs) -> Value {
        json!({
            "scenario": "index",
            "filters": args.filters,
            "shape": args.shape.name(),
            "text_bytes_per_filter": round(self.text_each(args)),
            "bytes_per_filter_beyond_text": round(self.bytes),
            "bytes_per_filter_left": self.bytes_left,
            "bytes_per_filter_again": self.bytes_again,
            "subscribe": self.subscribed.to_json(args.filters),
            "match_random": self.random.to_json(),
            "match_hot": self.hot.to_json(),
            "unsubscribe": self.unsubscribed.to_json(args.filters),
            "retained": self.retained.as_ref().map(retained::Outcome::to_json),
            "crowd": self.crowd.as_ref().map(crowd::Outcome::to_json),
            "good": self.is_good(),
        })
    }

    fn to_text(&self, args: &IndexArgs) -> String {
        let (filters, shape) = (args.filters, args.shape.name());
        let (bytes, text_bytes) = (self.bytes, self.text_each(args));
        let mut text = format!("index: {filters} filters ({shape}), processor time\n");
        text.push_str(&self.subscribed.to_text("subscribe", filters));
        text.push_str(&format!(
            "  memory      {bytes:.1} bytes a filter beyond its text of {text_bytes:.1}\n"
        ));
        text.push_str(&self.random.to_text("match"));
        text.push_str(&self.hot.to_text("match hot"));
        text.push_str(&self.unsubscribed.to_text("unsubscribe", filters));
        text.push_str(&format!(
            "  left        {:.1} bytes a filter; subscribing all again takes {:.1} more\n",
            self.bytes_left, self.bytes_again
        ));
        if let Some(retained) = &self.retained {
            text.push_str(&retained.to_text());
        }
        if let Some(crowd) = &self.crowd {
            text.push_str(&crowd.to_text());
        }
        if !self.is_good() {
            text.push_str("  WRONG       a look-up did not find what it should, or more is left\n");
        }
        text
    }
}

#[cfg(test)]
mod tests;
