//! What subscriptions cost: to make, to hold, to match, to take back.

use avocet_mqtt::QoS;
use clap::Args;
use serde_json::{Value, json};

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
    spread,
    subscriber::{Filters, Mix, Subscriber},
    tempo::Tempo,
};

/// What is published, with a filter and without.
const MATCHES: [Stretch; 2] = [Stretch::MatchOne, Stretch::MatchNone];

const EXAMPLES: &str = "\
Examples:
  avocet bench subscribe --pid $(pidof avocet)     100,000 filters of 100 clients
  avocet bench subscribe --filters 1000000 --clients 1000 --mix mixed
  avocet bench subscribe --batch 1 --rate 1000 --messages 0

Each filter has a topic that it alone matches. After the subscriptions, messages of QoS 0 are
published to such topics and then to topics that no filter matches; PINGREQ after half a window
tells when the broker is done with them. Memory is what the broker has grown by; one that has held
as much before has it to use again, so start it anew.";

#[derive(Args, Clone, Debug)]
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
    /// Filters subscribed to or taken back in a second, by all clients together: as many as can, if
    /// not given.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Messages to publish to topics that a filter matches, and as many to others; 0 for none.
    #[arg(long, default_value_t = 100_000)]
    messages: u64,
    /// Clients that publish them.
    #[arg(long, default_value_t = 10, value_parser = up_to(1000))]
    publishers: u64,
    /// How many messages a publisher may have outstanding.
    #[arg(long, default_value_t = 64, value_parser = window())]
    window: u16,
    #[command(flatten)]
    crowd: CrowdArgs,
}

/// What is done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stretch {
    Subscribe,
    MatchOne,
    MatchNone,
    Unsubscribe,
}

impl Course for SubscribeArgs {
    type Stretch = Stretch;

    fn args(&self) -> &CrowdArgs {
        &self.crowd
    }

    fn clients(&self) -> [u64; 2] {
        [self.clients, self.publishers]
    }

    fn part(&self, role: Role) -> Result<Self, String> {
        Ok(Self {
            filters: role.part_of(self.filters)?,
            clients: role.part_of(self.clients)?,
            messages: if self.messages == 0 { 0 } else { role.part_of(self.messages)? },
            publishers: role.part_of(self.publishers)?,
            rate: self.rate.map(|rate| rate * role.fraction()),
            ..self.clone()
        })
    }

    fn stretches(&self) -> Vec<Stretch> {
        let publishes = if self.messages == 0 { &[][..] } else { &MATCHES };
        [&[Stretch::Subscribe], publishes, &[Stretch::Unsubscribe]].concat()
    }

    fn perform(&self, stretch: Stretch, crowd: &mut Crowd, bar: &mut Bar) -> anyhow::Result<Done> {
        match stretch {
            Stretch::Subscribe => self.subscribe(self.subscriber(crowd), crowd, bar),
            Stretch::Unsubscribe => {
                let mut subscriber = self.subscriber(crowd);
                subscriber.end_subscriptions();
                self.subscribe(subscriber, crowd, bar)
            }
            Stretch::MatchOne => self.publish(0, self.messages, crowd, bar),
            Stretch::MatchNone => self.publish(self.filters, 0, crowd, bar),
        }
    }

    fn clear_up(&self, _: Stretch, _: &mut Crowd, _: &mut Bar) -> anyhow::Result<()> {
        Ok(())
    }

    fn to_json(&self, record: &Record<Stretch>) -> Value {
        let mut told = json!({
            "scenario": "subscribe",
            "processes": self.crowd.broker.role().processes(),
            "filters": self.filters,
            "clients": self.clients,
            "mix": format!("{:?}", self.mix).to_lowercase(),
            "batch": self.batch,
            "rate": self.rate,
            "mqtt": self.crowd.broker.version(),
            "broker_pss_bytes_per_filter": self.bytes_each(record),
            "match_one": null,
            "match_none": null,
            "refused": record.refused(),
            "lost": record.lost(),
        });
        for (stretch, measured) in &record.stretches {
            told[stretch.name()] = to_json(measured, stretch.what());
        }
        told
    }

    fn to_text(&self, record: &Record<Stretch>) -> String {
        let (filters, clients, batch) = (self.filters, self.clients, self.batch);
        let (mix, version) =
            (format!("{:?}", self.mix).to_lowercase(), self.crowd.broker.version());
        let processes = self.crowd.broker.role().to_text();
        let mut text = format!(
            "subscribe: {filters} filters ({mix}) of {clients} clients{processes}, {batch} a packet, \
             MQTT {version}\n"
        );
        for (stretch, measured) in &record.stretches {
            text.push_str(&measured.to_text(&stretch.name().replace('_', " "), stretch.what()));
            if let Some(spread) = measured.done.latencies.spread() {
                text.push_str(&format!("              {}\n", spread::to_text(Some(spread))));
            }
            if let (Stretch::Subscribe, Some(bytes)) = (stretch, self.bytes_each(record)) {
                text.push_str(&format!(
                    "  memory      {bytes:.0} bytes of the broker (PSS) a filter\n"
                ));
            }
        }
        let (refused, lost) = (record.refused(), record.lost());
        if refused > 0 || lost > 0 {
            text.push_str(&format!("  WRONG       {refused} refused, {lost} lost\n"));
        }
        text
    }
}

impl SubscribeArgs {
    fn subscriber(&self, crowd: &Crowd) -> Subscriber {
        let members = crowd.inside().take(self.clients as usize).collect();
        let filters = Filters::new(self.filters, self.mix);
        let subscriber = Subscriber::new(members, filters, self.batch, self.crowd.broker.mqtt);
        subscriber.at(Tempo::new(self.rate))
    }

    /// Subscribes, or takes the subscriptions back.
    fn subscribe(
        &self,
        mut subscriber: Subscriber,
        crowd: &mut Crowd,
        bar: &mut Bar,
    ) -> anyhow::Result<Done> {
        subscriber.run(crowd, bar, self.crowd.patience)?;
        let (refused, latencies) = (subscriber.refused, subscriber.latencies);
        Ok(Done { refused, latencies, ..Done::all(self.filters) })
    }

    /// Publishes to the topics of as many filters from number `from` on as there are, of which
    /// messages so many are to come.
    fn publish(
        &self,
        from: u64,
        expected: u64,
        crowd: &mut Crowd,
        bar: &mut Bar,
    ) -> anyhow::Result<Done> {
        let filters = Filters::new(self.filters, self.mix);
        let topic = |number: u64| filters.topic(from + number % self.filters);
        let (count, payload, window) = (self.messages, &b"0123456789abcdef"[..], self.window);
        let qos = QoS::AtMostOnce;
        let tempo = Tempo::new(None);
        let feed = Feed { count, topic: &topic, payload, retain: false, qos, window, tempo };
        let (first, publishers) = (self.clients as usize, self.publishers as usize);
        let mut feeder = Feeder::new(feed, first, publishers, self.crowd.broker.mqtt);
        feeder.run(crowd, "publishing", expected, self.crowd.patience, bar)?;
        Ok(Done { lost: expected.saturating_sub(feeder.received), ..Done::all(count) })
    }

    fn bytes_each(&self, record: &Record<Stretch>) -> Option<f64> {
        record.grown.map(|bytes| bytes_each(bytes, self.filters))
    }
}

impl Stretch {
    fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::MatchOne => "match_one",
            Self::MatchNone => "match_none",
            Self::Unsubscribe => "unsubscribe",
        }
    }

    /// What is counted.
    fn what(self) -> &'static str {
        match self {
            Self::Subscribe | Self::Unsubscribe => "filters",
            Self::MatchOne | Self::MatchNone => "messages",
        }
    }
}

fn to_json(measured: &Measured, what: &str) -> Value {
    let mut told = json!({
        "seconds": round(measured.used.elapsed.as_secs_f64()),
        "own_cpu_us": round(measured.own_us()),
        "broker_cpu_us": measured.broker_us().map(round),
    });
    told[format!("{what}_per_second")] = json!(measured.per_second().round());
    if let Some(spread) = measured.done.latencies.spread() {
        told["latency_us"] = spread::to_json(spread);
    }
    told
}
