//! `avocet sub`.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    io::{self, BufWriter, ErrorKind, StdoutLock, Write},
    num::NonZeroU16,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use avocet_mqtt::{
    Ack, Packet, PacketId, Publish, QoS, ReasonCode, Suback, Subscribe, Subscription,
    SubscriptionOptions, UserProperties, topic,
};
use clap::Args;

use super::{
    Failure,
    args::{ClientArgs, qos},
    connection::{ANSWER_TIMEOUT, refusal},
    conversation::Conversation,
    property::Properties,
};
use crate::{cli::complain, signals};

const EXAMPLES: &str = "\
Examples:
  avocet sub -t 'room/+/temperature'               print what is published there
  avocet sub -v -t 'room/#' -t 'hall/#' -q 1       with its topic, from two filters, QoS 1
  avocet sub -t answer -C 1 -W 5                   one message, within five seconds
  avocet sub -c -i logger -q 1 -t 'log/#'          a session that outlives the connection
  avocet sub -t '$share/workers/job/#'             share the work with others
  avocet sub --tls -h broker.example.org -t 'room/#'
  avocet sub --cafile ca.pem -t 'room/#'           TLS, its certificate signed by this authority
  avocet sub -L wss://broker.example.org/mqtt -t 'room/#'
  avocet sub --unix /run/avocet.sock -t 'room/#'

Exit code 0: ended by -C, by -E or by a signal; 27: ended by -W, whatever came until then;
2: wrong usage; 1: anything else.";

/// Subscribe and print messages.
#[derive(Args, Debug)]
#[command(disable_help_flag = true, after_help = EXAMPLES)]
pub(crate) struct SubArgs {
    /// A topic filter to subscribe to. May be repeated.
    #[arg(short, long, required_unless_present = "url")]
    topic: Vec<String>,
    /// Print nothing from topics that match this filter. May be repeated.
    #[arg(short = 'T', long)]
    filter_out: Vec<String>,
    /// The highest QoS to receive with.
    #[arg(short, long, default_value = "0", value_parser = qos)]
    qos: QoS,
    /// End after so many messages.
    #[arg(short = 'C', long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds, with exit code 27.
    #[arg(short = 'W', long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Print the topic before the payload.
    #[arg(short, long)]
    verbose: bool,
    /// Print no newline after the payload.
    #[arg(short = 'N', long)]
    no_newline: bool,
    /// Print no message that was retained before.
    #[arg(short = 'R', long)]
    no_retained: bool,
    /// End as soon as the broker has acknowledged the subscriptions.
    #[arg(short = 'E', long)]
    exit_after_suback: bool,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

impl SubArgs {
    /// What to subscribe to.
    fn filters(&self) -> Result<Vec<String>, String> {
        let in_url = self.client.url_topic().map(str::to_owned);
        let filters: Vec<String> = self.topic.iter().cloned().chain(in_url).collect();
        let complaint = || "neither --topic nor --url names a topic filter".to_owned();
        if filters.is_empty() { Err(complaint()) } else { Ok(filters) }
    }
}

pub(super) fn run(args: &SubArgs) -> Result<(), Failure> {
    let filters = args.filters()?;
    for filter in filters.iter().chain(&args.filter_out) {
        topic::check_filter(filter).map_err(|error| format!("{filter}: {error}"))?;
    }
    let properties = args.client.properties()?;
    let mut subscribe = subscribe(args, &filters);
    properties.apply_to_subscribe(&mut subscribe)?;
    let connect = args.client.connect(&properties)?;
    let target = args.client.target()?;
    let deadline = args.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (mut conversation, _) = Conversation::open(&args.client, &target, connect)?;
    let ender = conversation.connection.ender()?;
    signals::on_end(move || ender.end()).context("cannot listen to signals")?;
    conversation.send(&Packet::Subscribe(subscribe))?;
    let subscriber = Subscriber {
        args,
        filters,
        conversation,
        deadline,
        suback_due: Some(Instant::now() + ANSWER_TIMEOUT),
        count: 0,
        received: HashSet::new(),
        aliases: HashMap::new(),
        out: BufWriter::new(io::stdout().lock()),
    };
    subscriber.run(&properties)
}

fn subscribe(args: &SubArgs, filters: &[String]) -> Subscribe {
    let options = SubscriptionOptions { qos: args.qos, ..SubscriptionOptions::default() };
    let subscription = |filter: &String| Subscription { filter: filter.clone(), options };
    Subscribe {
        packet_id: PacketId::MIN,
        subscription_identifier: None,
        user_properties: UserProperties::default(),
        subscriptions: filters.iter().map(subscription).collect(),
    }
}

/// Receives, acknowledges and prints.
struct Subscriber<'a> {
    args: &'a SubArgs,
    filters: Vec<String>,
    conversation: Conversation,
    deadline: Option<Instant>,
    /// When the answer to SUBSCRIBE has to be there, as long as it is not.
    suback_due: Option<Instant>,
    count: u64,
    /// QoS 2 messages that are not released: to be printed once.
    received: HashSet<PacketId>,
    aliases: HashMap<NonZeroU16, String>,
    out: BufWriter<StdoutLock<'static>>,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    End,
    /// The time is over.
    TimeOut,
}

impl Subscriber<'_> {
    fn run(mut self, properties: &Properties) -> Result<(), Failure> {
        let end = loop {
            if !self.conversation.connection.has_packet() && !self.flush()? {
                break Then::End;
            }
            let then = match self.turn() {
                Ok(then) => then,
                Err(error) if error.is::<NobodyReads>() => Then::End,
                Err(error) => {
                    self.flush()?;
                    return Err(error.into());
                }
            };
            if then != Then::GoOn {
                self.flush()?;
                break then;
            }
        };
        let (count, count_wanted, out) = (self.count, self.args.count, self.out);
        self.conversation.close(properties)?;
        // What could not be written is not wanted by anyone.
        let (_, _) = out.into_parts();
        match (end, count_wanted) {
            (Then::TimeOut, None) => Err(Failure::TimeOut("timed out".to_owned())),
            (Then::TimeOut, Some(wanted)) => {
                Err(Failure::TimeOut(format!("timed out: {count} of {wanted} messages came")))
            }
            (Then::GoOn | Then::End, _) => Ok(()),
        }
    }

    /// False: nobody reads what we print.
    fn flush(&mut self) -> anyhow::Result<bool> {
        match self.out.flush() {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error).context("cannot write to standard output"),
        }
    }

    fn turn(&mut self) -> anyhow::Result<Then> {
        let until = self.deadline.into_iter().chain(self.suback_due).min();
        let Some(packet) = self.conversation.receive(until)? else {
            let now = Instant::now();
            let is_over = self.deadline.is_some_and(|deadline| deadline <= now);
            if is_over {
                return Ok(Then::TimeOut);
            }
            if self.suback_due.is_some_and(|due| due <= now) {
                bail!("the broker does not answer SUBSCRIBE");
            }
            return Ok(Then::End);
        };
        let answer = match packet {
            Packet::Publish(publish) => {
                let is_new = publish.packet_id.is_none_or(|id| !self.received.contains(&id));
                let answer = answer(&publish);
                if let Some(Packet::Pubrec(ack)) = &answer {
                    self.received.insert(ack.packet_id);
                }
                if is_new && show(self.args, &mut self.aliases, &mut self.out, &publish)? {
                    self.count += 1;
                }
                answer
            }
            Packet::Pubrel(ack) => {
                self.received.remove(&ack.packet_id);
                Some(Packet::Pubcomp(Ack::new(ack.packet_id, ReasonCode::Success)))
            }
            Packet::Suback(suback) => return self.handle_suback(suback),
            // Nothing else is for a subscriber.
            Packet::Connect(_)
            | Packet::Connack(_)
            | Packet::Puback(_)
            | Packet::Pubrec(_)
            | Packet::Pubcomp(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Unsuback(_)
            | Packet::Pingreq
            | Packet::Pingresp
            | Packet::Disconnect(_)
            | Packet::Auth(_) => None,
        };
        if let Some(answer) = answer {
            self.conversation.send(&answer)?;
        }
        let is_enough = self.args.count.is_some_and(|count| self.count >= count);
        Ok(if is_enough { Then::End } else { Then::GoOn })
    }

    fn handle_suback(&mut self, suback: Suback) -> anyhow::Result<Then> {
        self.suback_due = None;
        let refused = suback.reasons.iter().zip(&self.filters);
        let refused = refused.filter(|(reason, _)| reason.is_error());
        let complaints: Vec<String> = refused
            .map(|(reason, filter)| {
                let what = format!("the broker refused the subscription to {filter}");
                refusal(&what, *reason, suback.reason_string.clone())
            })
            .collect();
        if complaints.len() == suback.reasons.len() {
            return Err(anyhow!(complaints.join("\n")));
        }
        if !self.args.client.quiet {
            complaints.iter().for_each(|complaint| complain(&format_args!("avocet: {complaint}")));
        }
        Ok(if self.args.exit_after_suback { Then::End } else { Then::GoOn })
    }
}

/// What a PUBLISH is answered with.
fn answer(publish: &Publish<'_>) -> Option<Packet<'static>> {
    let ack = Ack::new(publish.packet_id?, ReasonCode::Success);
    Some(if publish.qos == QoS::ExactlyOnce { Packet::Pubrec(ack) } else { Packet::Puback(ack) })
}

/// Prints a message if it is wanted, and whether it was.
fn show(
    args: &SubArgs,
    aliases: &mut HashMap<NonZeroU16, String>,
    out: &mut impl Write,
    publish: &Publish<'_>,
) -> anyhow::Result<bool> {
    let mut name = publish.topic;
    if let Some(alias) = publish.topic_alias {
        if !name.is_empty() {
            aliases.insert(alias, name.to_owned());
        }
        name = aliases.get(&alias).context("the broker used an unknown topic alias")?;
    }
    let is_filtered = args.filter_out.iter().any(|filter| topic::matches(filter, name));
    if is_filtered || (args.no_retained && publish.retain) {
        return Ok(false);
    }
    let end: &[u8] = if args.no_newline { b"" } else { b"\n" };
    if args.verbose {
        let payload = if publish.payload.is_empty() { b"(null)" } else { publish.payload };
        write_parts(out, &[name.as_bytes(), b" ", payload, end])?;
    } else if !publish.payload.is_empty() {
        write_parts(out, &[publish.payload, end])?;
    }
    Ok(true)
}

fn write_parts(out: &mut impl Write, parts: &[&[u8]]) -> anyhow::Result<()> {
    match parts.iter().try_for_each(|part| out.write_all(part)) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(NobodyReads.into()),
        written => written.context("cannot write to standard output"),
    }
}

/// Standard output was closed: the silent end of a pipeline, no failure.
#[derive(Debug)]
struct NobodyReads;

impl fmt::Display for NobodyReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads what is printed")
    }
}

impl std::error::Error for NobodyReads {}

#[cfg(test)]
mod tests;
