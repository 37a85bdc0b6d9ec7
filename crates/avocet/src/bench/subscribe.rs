//! What subscriptions cost: to make, to hold, to match, to take back.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{
    args::window,
    bar::Bar,
    broker::{CrowdArgs, up_to},
    crowd::Crowd,
    feeder::{Feed, Feeder},
    gauge::{Gauge, Used},
    latency::Latencies,
    memory::{Held, bytes_each},
    outcome::round,
    spread,
    subscriber::{Filters, Mix, Subscriber},
};
use crate::{cli::print, client::Failure};
use avocet_mqtt::QoS;

const EXAMPLES: &str = "\
Examples:
  avocet bench subscribe --pid $(pidof avocet)     100,000 filters of 100 clients
  avocet bench subscribe --filters 1000000 --clients 1000 --mix mixed
  avocet bench subscribe --batch 1 --messages 0

Each filter has a topic that it alone matches. After the subscriptions, messages of QoS 0 are
published to such topics and then to topics that no filter matches; PINGREQ after half a window
tells when the broker is done with them. Memory is what the broker has grown by; one that has held
as much before has it to use again, so start it anew.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SubscribeArgs {
    /// How many filters.
    #[arg(long, default_value_t = 100_000, value_parser = up_to(100_000_000))]
    filters: u64,
    /// Clients that share them.
    #[arg(long, default_value_t = 100, value_parser = up_to(50_000))]
    clients: u64,
    /// What kinds of filters.
    #[arg(long, default_value = "exact")]
    mix: Mix,
    /// Filters in a SUBSCRIBE packet.
    #[arg(long, default_value_t = 50, value_parser = up_to(10_000))]
    batch: u64,
    /// Messages to publish to topics that a filter matches, and as many to others; 0 for none.
    #[arg(long, default_value_t = 100_000)]
    messages: u64,
    /// Clients that publish them.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    publishers: u32,
    /// How many messages a publisher may have outstanding.
    #[arg(long, default_value_t = 64, value_parser = window())]
    window: u16,
    #[command(flatten)]
    crowd: CrowdArgs,
}

/// A stretch in which something was done many times.
#[derive(Debug)]
struct Stretch {
    count: u64,
    used: Used,
    refused: u64,
    latencies: Latencies,
}

#[derive(Debug)]
struct Outcome {
    subscribed: Stretch,
    pss: Option<i64>,
    /// Messages that a filter matched, how many of them did not come, and those that none matched.
    hit: Option<(Stretch, u64)>,
    miss: Option<Stretch>,
    unsubscribed: Stretch,
}

/// Runs the scenario.
pub(super) fn run(args: &SubscribeArgs) -> Result<ExitCode, Failure> {
    let clients = args.clients + u64::from(args.publishers);
    let mut crowd = args.crowd.crowd(clients)?;
    let outcome = measure(args, &mut crowd)?;
    crowd.leave()?;
    let told = if args.crowd.broker.json {
        format!("{}\n", outcome.to_json(args))
    } else {
        outcome.to_text(args)
    };
    let shown = print(&told);
    Ok(if outcome.is_good() { shown } else { ExitCode::FAILURE })
}

fn measure(args: &SubscribeArgs, crowd: &mut Crowd) -> anyhow::Result<Outcome> {
    let mut bar = Bar::new(true);
    let (pid, patience) = (args.crowd.broker.pid, args.crowd.patience);
    crowd.gather_all(args.clients + u64::from(args.publishers), &mut bar)?;
    let members: Vec<usize> = crowd.inside().take(args.clients as usize).collect();
    let filters = Filters::new(args.filters, args.mix);
    let mut subscriber =
        Subscriber::new(members, filters.clone(), args.batch, args.crowd.broker.mqtt);
    let before = pid.map(Held::of_process).transpose()?;

    let gauge = Gauge::start(pid)?;
    subscriber.run(crowd, &mut bar, patience)?;
    let subscribed = stretch(args.filters, &gauge, &subscriber)?;
    let after = pid.map(Held::of_process).transpose()?;
    let pss = after.zip(before).map(|(after, before)| after.since(before).pss);

    let mut publish = |crowd: &mut Crowd, from: u64, expected: u64| -> anyhow::Result<_> {
        let topic = |number: u64| filters.topic(from + number % args.filters);
        let (count, payload, window) = (args.messages, &b"0123456789abcdef"[..], args.window);
        let qos = QoS::AtMostOnce;
        let feed = Feed { count, topic: &topic, payload, retain: false, qos, window };
        let first = args.clients as usize;
        let mut feeder = Feeder::new(feed, first, args.publishers as usize, args.crowd.broker.mqtt);
        let gauge = Gauge::start(pid)?;
        feeder.run(crowd, "publishing", expected, patience, &mut bar)?;
        let (refused, latencies) = (feeder.refused, Latencies::new());
        let stretch = Stretch { count, used: gauge.stop()?, refused, latencies };
        Ok((stretch, expected.abs_diff(feeder.received)))
    };
    let (mut hit, mut miss) = (None, None);
    if args.messages > 0 {
        hit = Some(publish(crowd, 0, args.messages)?);
        miss = Some(publish(crowd, args.filters, 0)?.0);
    }

    subscriber.end_subscriptions();
    let gauge = Gauge::start(pid)?;
    subscriber.run(crowd, &mut bar, patience)?;
    let unsubscribed = stretch(args.filters, &gauge, &subscriber)?;
    bar.clear();
    Ok(Outcome { subscribed, pss, hit, miss, unsubscribed })
}

fn stretch(count: u64, gauge: &Gauge, subscriber: &Subscriber) -> anyhow::Result<Stretch> {
    let (refused, latencies) = (subscriber.refused, subscriber.latencies.clone());
    Ok(Stretch { count, used: gauge.stop()?, refused, latencies })
}

impl Stretch {
    fn to_json(&self, what: &str) -> Value {
        let mut told = json!({
            "seconds": round(self.used.elapsed.as_secs_f64()),
            "own_cpu_us": round(self.used.own_us(self.count)),
            "broker_cpu_us": self.used.broker_us(self.count).map(round),
        });
        told[format!("{what}_per_second")] = json!(self.used.per_second(self.count).round());
        if self.latencies.min().is_some() {
            told["latency_us"] = json!(self.latencies.spread().map(spread::to_json));
        }
        told
    }

    fn to_text(&self, name: &str, what: &str) -> String {
        let (rate, own) = (self.used.per_second(self.count), self.used.own_us(self.count));
        let broker = self.used.broker_us(self.count);
        let broker = broker.map_or_else(String::new, |us| format!(", broker {us:.3} us each"));
        let mut text = format!("  {name:<11} {rate:.0} {what}/s{broker}, this tool {own:.3} us\n");
        if self.latencies.min().is_some() {
            text.push_str(&format!("              {}\n", spread::to_text(self.latencies.spread())));
        }
        text
    }
}

impl Outcome {
    fn refused(&self) -> u64 {
        self.subscribed.refused + self.unsubscribed.refused
    }

    fn lost(&self) -> u64 {
        self.hit.as_ref().map_or(0, |(_, lost)| *lost)
    }

    fn is_good(&self) -> bool {
        self.refused() == 0 && self.lost() == 0
    }

    fn bytes_each(&self) -> Option<f64> {
        self.pss.map(|bytes| bytes_each(bytes, self.subscribed.count))
    }

    fn to_json(&self, args: &SubscribeArgs) -> Value {
        json!({
            "scenario": "subscribe",
            "filters": args.filters,
            "clients": args.clients,
            "mix": format!("{:?}", args.mix).to_lowercase(),
            "batch": args.batch,
            "mqtt": args.crowd.broker.version(),
            "subscribe": self.subscribed.to_json("filters"),
            "broker_pss_bytes_per_filter": self.bytes_each(),
            "match_one": self.hit.as_ref().map(|(hit, _)| hit.to_json("messages")),
            "match_none": self.miss.as_ref().map(|miss| miss.to_json("messages")),
            "unsubscribe": self.unsubscribed.to_json("filters"),
            "refused": self.refused(),
            "lost": self.lost(),
        })
    }

    fn to_text(&self, args: &SubscribeArgs) -> String {
        let (filters, clients, batch) = (args.filters, args.clients, args.batch);
        let (mix, version) =
            (format!("{:?}", args.mix).to_lowercase(), args.crowd.broker.version());
        let mut text = format!(
            "subscribe: {filters} filters ({mix}) of {clients} clients, {batch} a packet, \
             MQTT {version}\n"
        );
        text.push_str(&self.subscribed.to_text("subscribe", "filters"));
        if let Some(bytes) = self.bytes_each() {
            text.push_str(&format!(
                "  memory      {bytes:.0} bytes of the broker (PSS) a filter\n"
            ));
        }
        if let Some((hit, _)) = &self.hit {
            text.push_str(&hit.to_text("match one", "messages"));
        }
        if let Some(miss) = &self.miss {
            text.push_str(&miss.to_text("match none", "messages"));
        }
        text.push_str(&self.unsubscribed.to_text("unsubscribe", "filters"));
        if !self.is_good() {
            let (refused, lost) = (self.refused(), self.lost());
            text.push_str(&format!("  WRONG       {refused} refused, {lost} lost\n"));
        }
        text
    }
}
