//! What retained messages cost: to set, to hold, and to hand to those who subscribe.

mod receiver;

use std::process::ExitCode;

use avocet_mqtt::QoS;
use clap::Args;
use serde_json::{Value, json};

use self::receiver::{Handed, Receiver};
use super::{
    args::window,
    bar::Bar,
    broker::{CrowdArgs, up_to},
    crowd::Crowd,
    feeder::{Feed, Feeder},
    gauge::{Gauge, Used},
    memory::{Held, bytes_each},
    outcome::round,
    subscriber::{Filters, Subscriber},
};
use crate::{
    cli::print,
    client::{Failure, qos},
};

const EXAMPLES: &str = "\
Examples:
  avocet bench retained --pid $(pidof avocet)      100,000 retained messages, 10 subscribers
  avocet bench retained --count 1000000 --qos 0 --subscribers 1
  avocet bench retained --count 1000 --leave       and let them stay

Memory is what the broker has grown by; one that has held as much before has it to use again, so
start it anew.

The messages are removed at the end, unless --leave; a run that is interrupted leaves them. Exit
code 1 if a subscriber did not get all that its filter matches.";

/// One message of so many stands under the filter for 1 %.
const BUCKETS: u64 = 100;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RetainedArgs {
    /// How many messages, each with a topic of its own.
    #[arg(long, default_value_t = 100_000, value_parser = up_to(100_000_000))]
    count: u64,
    /// Clients that set them.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    publishers: u32,
    /// How many messages a publisher may have outstanding.
    #[arg(long, default_value_t = 64, value_parser = window())]
    window: u16,
    /// QoS of the messages.
    #[arg(long, default_value = "1", value_parser = qos)]
    qos: QoS,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 16, value_parser = up_to(16_777_216))]
    size: u64,
    /// Clients that subscribe at the same time.
    #[arg(long, default_value_t = 10, value_parser = up_to(10_000))]
    subscribers: u64,
    /// QoS of the subscriptions. A broker may drop what it cannot queue for QoS 1 and 2.
    #[arg(long, default_value = "0", value_parser = qos)]
    subscribe_qos: QoS,
    /// Do not remove the messages at the end.
    #[arg(long)]
    leave: bool,
    #[command(flatten)]
    crowd: CrowdArgs,
}

/// What was found with one filter.
#[derive(Debug)]
struct Matched {
    name: &'static str,
    /// Messages that each subscriber has to get.
    each: u64,
    handed: Handed,
    used: Used,
}

#[derive(Debug)]
struct Outcome {
    set: Used,
    refused: u64,
    pss: Option<i64>,
    matched: Vec<Matched>,
    removed: Option<Used>,
}

/// Runs the scenario.
pub(super) fn run(args: &RetainedArgs) -> Result<ExitCode, Failure> {
    let clients = args.subscribers + u64::from(args.publishers);
    let mut crowd = args.crowd.crowd(clients)?;
    let outcome = measure(args, &mut crowd)?;
    crowd.leave()?;
    let told = if args.crowd.broker.json {
        format!("{}\n", outcome.to_json(args))
    } else {
        outcome.to_text(args)
    };
    let shown = print(&told);
    Ok(if outcome.is_good(args) { shown } else { ExitCode::FAILURE })
}

fn measure(args: &RetainedArgs, crowd: &mut Crowd) -> anyhow::Result<Outcome> {
    let mut bar = Bar::new(true);
    let (pid, publishers) = (args.crowd.broker.pid, args.publishers as usize);
    crowd.gather_all(args.subscribers + u64::from(args.publishers), &mut bar)?;
    let subscribers: Vec<usize> = crowd.inside().skip(publishers).collect();
    let root = format!("bench/retained/{}", std::process::id());
    let payload = vec![b'.'; args.size as usize];

    let before = pid.map(Held::of_process).transpose()?;
    let (set, refused) = feed(args, crowd, &root, &payload, &mut bar)?;
    let after = pid.map(Held::of_process).transpose()?;
    let pss = after.zip(before).map(|(after, before)| after.since(before).pss);

    let filters = [
        ("all", format!("{root}/#"), args.count),
        ("one_percent", format!("{root}/0/#"), args.count.div_ceil(BUCKETS)),
        ("exact", topic(&root, 0), 1),
    ];
    let mut matched = Vec::new();
    for (name, filter, each) in filters {
        let filters = Filters::same(filter, args.subscribers, args.subscribe_qos);
        let subscriber = Subscriber::new(subscribers.clone(), filters, 1, args.crowd.broker.mqtt);
        let mut receiver = Receiver::new(subscriber, each * args.subscribers);
        let gauge = Gauge::start(pid)?;
        let handed = receiver.run(crowd, args.crowd.patience, &mut bar)?;
        let used = gauge.stop()?;
        receiver.end(crowd, args.crowd.patience, &mut bar)?;
        matched.push(Matched { name, each, handed, used });
    }
    let removed = match args.leave {
        true => None,
        false => Some(feed(args, crowd, &root, &[], &mut bar)?.0),
    };
    bar.clear();
    Ok(Outcome { set, refused, pss, matched, removed })
}

/// Sets all messages, or removes them with an empty payload.
fn feed(
    args: &RetainedArgs,
    crowd: &mut Crowd,
    root: &str,
    payload: &[u8],
    bar: &mut Bar,
) -> anyhow::Result<(Used, u64)> {
    let (count, qos, window) = (args.count, args.qos, args.window);
    let topic = |number| topic(root, number);
    let feed = Feed { count, topic: &topic, payload, retain: true, qos, window };
    let mut feeder = Feeder::new(feed, 0, args.publishers as usize, args.crowd.broker.mqtt);
    let gauge = Gauge::start(args.crowd.broker.pid)?;
    let name = if payload.is_empty() { "removing" } else { "setting" };
    feeder.run(crowd, name, 0, args.crowd.patience, bar)?;
    Ok((gauge.stop()?, feeder.refused))
}

fn topic(root: &str, number: u64) -> String {
    format!("{root}/{}/{number}", number % BUCKETS)
}

impl Matched {
    fn expected(&self, args: &RetainedArgs) -> u64 {
        self.each * args.subscribers
    }

    fn lost(&self, args: &RetainedArgs) -> u64 {
        self.expected(args).saturating_sub(self.handed.received)
    }

    fn rate(&self) -> f64 {
        self.handed.received as f64 / self.handed.last.as_secs_f64().max(1e-9)
    }

    fn to_json(&self, args: &RetainedArgs) -> Value {
        json!({
            "messages_per_subscriber": self.each,
            "received": self.handed.received,
            "lost": self.lost(args),
            "first_ms": round(self.handed.first.as_secs_f64() * 1e3),
            "last_ms": round(self.handed.last.as_secs_f64() * 1e3),
            "messages_per_second": self.rate().round(),
            "broker_cpu_us_per_message": self.used.broker_us(self.handed.received).map(round),
            "own_cpu_us_per_message": round(self.used.own_us(self.handed.received)),
        })
    }

    fn to_text(&self, args: &RetainedArgs) -> String {
        let (name, received) = (self.name.replace('_', " "), self.handed.received);
        let [first, last] =
            [self.handed.first, self.handed.last].map(|time| time.as_secs_f64() * 1e3);
        let own = self.used.own_us(received);
        let broker = self.used.broker_us(received);
        let broker = broker.map_or_else(String::new, |us| format!("broker {us:.3} us each, "));
        let mut text = format!(
            "  {name:<11} {received} received, first after {first:.2} ms, last after {last:.2} ms, \
             {:.0}/s, {broker}this tool {own:.3} us\n",
            self.rate()
        );
        if self.lost(args) > 0 {
            text.push_str(&format!("  WRONG       {} did not come\n", self.lost(args)));
        }
        text
    }
}

impl Outcome {
    fn is_good(&self, args: &RetainedArgs) -> bool {
        self.refused == 0 && self.matched.iter().all(|matched| matched.lost(args) == 0)
    }

    fn bytes_each(&self, args: &RetainedArgs) -> Option<f64> {
        self.pss.map(|bytes| bytes_each(bytes, args.count))
    }

    fn to_json(&self, args: &RetainedArgs) -> Value {
        let mut told = json!({
            "scenario": "retained",
            "messages": args.count,
            "payload_bytes": args.size,
            "publishers": args.publishers,
            "subscribers": args.subscribers,
            "window": args.window,
            "qos": args.qos.bits(),
            "subscribe_qos": args.subscribe_qos.bits(),
            "mqtt": args.crowd.broker.version(),
            "set": used_json(&self.set, args.count),
            "broker_pss_bytes_per_message": self.bytes_each(args),
            "remove": self.removed.as_ref().map(|used| used_json(used, args.count)),
            "refused": self.refused,
        });
        for matched in &self.matched {
            told[matched.name] = matched.to_json(args);
        }
        told
    }

    fn to_text(&self, args: &RetainedArgs) -> String {
        let (count, size, qos) = (args.count, args.size, args.qos.bits());
        let (subscribers, version) = (args.subscribers, args.crowd.broker.version());
        let mut text = format!(
            "retained: {count} messages of {size} bytes, QoS {qos}, {subscribers} subscribers, \
             MQTT {version}\n"
        );
        text.push_str(&used_text("set", &self.set, count));
        if let Some(bytes) = self.bytes_each(args) {
            text.push_str(&format!(
                "  memory      {bytes:.0} bytes of the broker (PSS) a message\n"
            ));
        }
        self.matched.iter().for_each(|matched| text.push_str(&matched.to_text(args)));
        if let Some(removed) = &self.removed {
            text.push_str(&used_text("remove", removed, count));
        }
        if self.refused > 0 {
            text.push_str(&format!("  WRONG       {} refused\n", self.refused));
        }
        text
    }
}

fn used_json(used: &Used, count: u64) -> Value {
    json!({
        "seconds": round(used.elapsed.as_secs_f64()),
        "messages_per_second": used.per_second(count).round(),
        "broker_cpu_us_per_message": used.broker_us(count).map(round),
        "own_cpu_us_per_message": round(used.own_us(count)),
    })
}

fn used_text(name: &str, used: &Used, count: u64) -> String {
    let (rate, own) = (used.per_second(count), used.own_us(count));
    let broker = used.broker_us(count);
    let broker = broker.map_or_else(String::new, |us| format!(", broker {us:.3} us each"));
    format!("  {name:<11} {rate:.0} messages/s{broker}, this tool {own:.3} us\n")
}
