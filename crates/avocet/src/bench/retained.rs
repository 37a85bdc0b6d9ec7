//! What retained messages cost: to set, to hold, and to hand to those who subscribe.

mod receiver;

use avocet_mqtt::QoS;
use clap::Args;
use serde_json::{Value, json};

use self::receiver::Receiver;
use super::{
    args::window,
    bar::Bar,
    broker::{CrowdArgs, up_to},
    course::{Course, Done, Measured, Record},
    crowd::Crowd,
    feeder::{Feed, Feeder},
    gathering::rate,
    memory::bytes_each,
    outcome::round,
    processes::Role,
    subscriber::{Filters, Subscriber},
    tempo::Tempo,
};
use crate::client::qos;

const EXAMPLES: &str = "\
Examples:
  avocet bench retained --pid $(pidof avocet)      100,000 retained messages, 10 subscribers
  avocet bench retained --count 1000000 --qos 0 --subscribers 1
  avocet bench retained --count 1000 --rate 500    that many a second
  avocet bench retained --count 1000 --leave       and let them stay

Memory is what the broker has grown by; one that has held as much before has it to use again, so
start it anew.

The messages are removed at the end, unless --leave; a run that is interrupted leaves them. Exit
code 1 if a subscriber did not get all that its filter matches.";

/// One message of so many stands under the filter for 1 %.
const BUCKETS: u64 = 100;

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RetainedArgs {
    /// How many messages, each with a topic of its own.
    #[arg(long, default_value_t = 100_000, value_parser = up_to(100_000_000))]
    count: u64,
    /// Clients that set them.
    #[arg(long, default_value_t = 10, value_parser = up_to(1000))]
    publishers: u64,
    /// How many messages a publisher may have outstanding.
    #[arg(long, default_value_t = 64, value_parser = window())]
    window: u16,
    /// Messages set or removed in a second, by all publishers together: as many as the windows
    /// allow, if not given.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
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

/// What is done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stretch {
    Set,
    MatchAll,
    MatchOnePercent,
    MatchExact,
    Remove,
}

impl Course for RetainedArgs {
    type Stretch = Stretch;

    fn args(&self) -> &CrowdArgs {
        &self.crowd
    }

    fn clients(&self) -> [u64; 2] {
        [self.publishers, self.subscribers]
    }

    fn part(&self, role: Role) -> Result<Self, String> {
        Ok(Self {
            count: role.part_of(self.count)?,
            publishers: role.part_of(self.publishers)?,
            subscribers: role.part_of(self.subscribers)?,
            rate: self.rate.map(|rate| rate * role.fraction()),
            ..self.clone()
        })
    }

    fn stretches(&self) -> Vec<Stretch> {
        let removes = (!self.leave).then_some(Stretch::Remove);
        let matches = [Stretch::MatchAll, Stretch::MatchOnePercent, Stretch::MatchExact];
        [Stretch::Set].into_iter().chain(matches).chain(removes).collect()
    }

    fn perform(&self, stretch: Stretch, crowd: &mut Crowd, bar: &mut Bar) -> anyhow::Result<Done> {
        match stretch {
            Stretch::Set => self.feed(crowd, &vec![b'.'; self.size as usize], "setting", bar),
            Stretch::Remove => self.feed(crowd, &[], "removing", bar),
            Stretch::MatchAll | Stretch::MatchOnePercent | Stretch::MatchExact => {
                let receiver =
                    Receiver::new(self.subscriber(stretch, crowd), self.expected(stretch));
                receiver.run(crowd, self.crowd.patience, bar)
            }
        }
    }

    /// Takes the subscriptions back.
    fn clear_up(&self, stretch: Stretch, crowd: &mut Crowd, bar: &mut Bar) -> anyhow::Result<()> {
        if matches!(stretch, Stretch::Set | Stretch::Remove) {
            return Ok(());
        }
        let mut subscriber = self.subscriber(stretch, crowd);
        subscriber.end_subscriptions();
        subscriber.run(crowd, bar, self.crowd.patience)
    }

    fn to_json(&self, record: &Record<Stretch>) -> Value {
        let mut told = json!({
            "scenario": "retained",
            "processes": self.crowd.broker.role().processes(),
            "messages": self.count,
            "payload_bytes": self.size,
            "publishers": self.publishers,
            "subscribers": self.subscribers,
            "window": self.window,
            "rate": self.rate,
            "qos": self.qos.bits(),
            "subscribe_qos": self.subscribe_qos.bits(),
            "mqtt": self.crowd.broker.version(),
            "broker_pss_bytes_per_message": self.bytes_each(record),
            "remove": null,
            "refused": record.refused(),
        });
        for (stretch, measured) in &record.stretches {
            told[stretch.name()] = match stretch {
                Stretch::Set | Stretch::Remove => fed_json(measured),
                Stretch::MatchAll | Stretch::MatchOnePercent | Stretch::MatchExact => {
                    self.matched_json(measured)
                }
            };
        }
        told
    }

    fn to_text(&self, record: &Record<Stretch>) -> String {
        let (count, size, qos) = (self.count, self.size, self.qos.bits());
        let (subscribers, version) = (self.subscribers, self.crowd.broker.version());
        let processes = self.crowd.broker.role().to_text();
        let mut text = format!(
            "retained: {count} messages of {size} bytes, QoS {qos}, {subscribers} subscribers{processes}, \
             MQTT {version}\n"
        );
        for (stretch, measured) in &record.stretches {
            let name = stretch.name().replace('_', " ");
            text.push_str(&match stretch {
                Stretch::Set | Stretch::Remove => measured.to_text(&name, "messages"),
                Stretch::MatchAll | Stretch::MatchOnePercent | Stretch::MatchExact => {
                    matched_text(&name, measured)
                }
            });
            if let (Stretch::Set, Some(bytes)) = (stretch, self.bytes_each(record)) {
                text.push_str(&format!(
                    "  memory      {bytes:.0} bytes of the broker (PSS) a message\n"
                ));
            }
        }
        if record.refused() > 0 {
            text.push_str(&format!("  WRONG       {} refused\n", record.refused()));
        }
        text
    }
}

impl RetainedArgs {
    /// Sets all messages, or removes them with an empty payload.
    fn feed(
        &self,
        crowd: &mut Crowd,
        payload: &[u8],
        name: &str,
        bar: &mut Bar,
    ) -> anyhow::Result<Done> {
        let (count, qos, window) = (self.count, self.qos, self.window);
        let root = root();
        let topic = |number| topic(&root, number);
        let tempo = Tempo::new(self.rate);
        let feed = Feed { count, topic: &topic, payload, retain: true, qos, window, tempo };
        let mut feeder = Feeder::new(feed, 0, self.publishers as usize, self.crowd.broker.mqtt);
        feeder.run(crowd, name, 0, self.crowd.patience, bar)?;
        Ok(Done { refused: feeder.refused, ..Done::all(count) })
    }

    /// Those who subscribe, all to the same.
    fn subscriber(&self, stretch: Stretch, crowd: &Crowd) -> Subscriber {
        let members = crowd.inside().skip(self.publishers as usize).collect();
        let filter = match stretch {
            Stretch::MatchOnePercent => format!("{}/0/#", root()),
            Stretch::MatchExact => topic(&root(), 0),
            Stretch::MatchAll | Stretch::Set | Stretch::Remove => format!("{}/#", root()),
        };
        let filters = Filters::same(filter, self.subscribers, self.subscribe_qos);
        Subscriber::new(members, filters, 1, self.crowd.broker.mqtt)
    }

    /// How many messages are to come to all of them together.
    fn expected(&self, stretch: Stretch) -> u64 {
        let each = match stretch {
            Stretch::MatchOnePercent => self.count.div_ceil(BUCKETS),
            Stretch::MatchExact => 1,
            Stretch::MatchAll | Stretch::Set | Stretch::Remove => self.count,
        };
        each * self.subscribers
    }

    fn bytes_each(&self, record: &Record<Stretch>) -> Option<f64> {
        record.grown.map(|bytes| bytes_each(bytes, self.count))
    }

    fn matched_json(&self, measured: &Measured) -> Value {
        let Done { count, lost, first, last, .. } = measured.done;
        json!({
            "messages_per_subscriber": (count + lost) / self.subscribers,
            "received": count,
            "lost": lost,
            "first_ms": round(first.as_secs_f64() * 1e3),
            "last_ms": round(last.as_secs_f64() * 1e3),
            "messages_per_second": handed_per_second(&measured.done).round(),
            "broker_cpu_us_per_message": measured.broker_us().map(round),
            "own_cpu_us_per_message": round(measured.own_us()),
        })
    }
}

impl Stretch {
    fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::MatchAll => "all",
            Self::MatchOnePercent => "one_percent",
            Self::MatchExact => "exact",
            Self::Remove => "remove",
        }
    }
}

/// Sets this process's topics apart from those of all others.
fn root() -> String {
    format!("bench/retained/{}", std::process::id())
}

fn topic(root: &str, number: u64) -> String {
    format!("{root}/{}/{number}", number % BUCKETS)
}

/// Until the last has come.
fn handed_per_second(done: &Done) -> f64 {
    done.count as f64 / done.last.as_secs_f64().max(1e-9)
}

fn matched_text(name: &str, measured: &Measured) -> String {
    let Done { count, lost, first, last, .. } = measured.done;
    let [first, last] = [first, last].map(|time| time.as_secs_f64() * 1e3);
    let (rate, own) = (handed_per_second(&measured.done), measured.own_us());
    let broker = measured.broker_us();
    let broker = broker.map_or_else(String::new, |us| format!("broker {us:.3} us each, "));
    let mut text = format!(
        "  {name:<11} {count} received, first after {first:.2} ms, last after {last:.2} ms, \
         {rate:.0}/s, {broker}this tool {own:.3} us\n"
    );
    if lost > 0 {
        text.push_str(&format!("  WRONG       {lost} did not come\n"));
    }
    text
}

fn fed_json(measured: &Measured) -> Value {
    json!({
        "seconds": round(measured.used.elapsed.as_secs_f64()),
        "messages_per_second": measured.per_second().round(),
        "broker_cpu_us_per_message": measured.broker_us().map(round),
        "own_cpu_us_per_message": round(measured.own_us()),
    })
}
