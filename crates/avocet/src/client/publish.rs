//! `avocet pub`.

use std::{
    collections::HashSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{anyhow, bail};
use avocet_mqtt::{
    Ack, Connack, OwnedProperties, Packet, PacketId, Publish, QoS, ReasonCode, publish_len, topic,
};
use clap::{ArgGroup, Args};

use super::{
    Failure,
    args::{ClientArgs, qos},
    connection::{ANSWER_TIMEOUT, refusal},
    conversation::Conversation,
    property::Properties,
    source::{Next, Source},
};

/// How many messages may wait for their acknowledgement, if the broker takes as many.
const INFLIGHT_MAX: usize = 20;

/// How long to look whether the broker has said something.
const GLANCE: Duration = Duration::from_millis(1);

const EXAMPLES: &str = "\
Examples:
  avocet pub -t room/1/temperature -m 21.5         publish a message
  avocet pub -t room/1/temperature -m 21.5 -q 1 -r with QoS 1, retained
  avocet pub -t room/1/temperature -n -r           delete what is retained
  avocet pub -t config -f config.json              a file as one message
  tail -f log | avocet pub -t log -l               each line as a message
  avocet pub -V mqttv5 -t ask -m hi -D PUBLISH response-topic answer
  avocet pub -L mqtts://me:secret@broker.example.org/room/1/temperature -m 21.5
  avocet pub --cafile ca.pem --cert me.pem --key me.key -t a -m b
  avocet pub --ws -h broker.example.org -t a -m b  over WebSocket, port 8083
  avocet pub --unix /run/avocet.sock -t a -m b

Exit code 0: published (QoS 1 and 2: acknowledged); 2: wrong usage; 1: anything else.";

/// Publish messages.
#[derive(Args, Debug)]
#[command(disable_help_flag = true, after_help = EXAMPLES)]
#[command(group = ArgGroup::new("payload").required(true))]
pub(crate) struct PubArgs {
    /// The topic to publish to.
    #[arg(short, long, required_unless_present = "url")]
    topic: Option<String>,
    /// The payload.
    #[arg(short, long, group = "payload", allow_hyphen_values = true)]
    pub(super) message: Option<String>,
    /// A file that is the payload.
    #[arg(short, long, group = "payload")]
    pub(super) file: Option<PathBuf>,
    /// Each line of standard input is a payload.
    #[arg(short = 'l', long, group = "payload", conflicts_with_all = ["repeat", "repeat_delay"])]
    pub(super) stdin_line: bool,
    /// All of standard input is the payload.
    #[arg(short = 's', long, group = "payload")]
    pub(super) stdin_file: bool,
    /// The payload is empty.
    #[arg(short, long, group = "payload")]
    pub(super) null_message: bool,
    /// QoS of the messages.
    #[arg(short, long, default_value = "0", value_parser = qos)]
    qos: QoS,
    /// Let the broker retain the message.
    #[arg(short, long)]
    retain: bool,
    /// How often to publish it.
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) repeat: u64,
    /// Seconds between.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub(super) repeat_delay: Duration,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "a number of seconds is needed".to_owned())
}

impl PubArgs {
    fn topic(&self) -> Result<&str, String> {
        match (&self.topic, self.client.url_topic()) {
            (Some(topic), None) => Ok(topic),
            (None, Some(topic)) => Ok(topic),
            (Some(_), Some(_)) => Err("--topic and --url both name a topic".to_owned()),
            (None, None) => Err("neither --topic nor --url names a topic".to_owned()),
        }
    }
}

pub(super) fn run(args: &PubArgs) -> Result<(), Failure> {
    let properties = args.client.properties()?;
    let forwarded = properties.forwarded()?;
    let topic = args.topic()?;
    let mut template = Publish::new(topic, &[]);
    properties.apply_to_publish(&mut template)?;
    if !(topic.is_empty() && template.topic_alias.is_some()) {
        topic::check_name(topic).map_err(|error| format!("--topic: {error}"))?;
    }
    let connect = args.client.connect(&properties)?;
    let target = args.client.target()?;
    let source = Source::open(args)?;
    let (conversation, connack) = Conversation::open(&args.client, &target, connect)?;
    let publisher = Publisher::new(args, topic, conversation, &connack, &forwarded);
    Ok(publisher.run(source, &properties)?)
}

/// Sends what the source gives, and keeps account of what is not acknowledged.
#[derive(Debug)]
struct Publisher<'a> {
    args: &'a PubArgs,
    topic: &'a str,
    conversation: Conversation,
    forwarded: &'a OwnedProperties,
    packet_bytes_max: usize,
    inflight_max: usize,
    inflight: HashSet<PacketId>,
    last_id: u16,
    refused: Option<String>,
}

impl<'a> Publisher<'a> {
    fn new(
        args: &'a PubArgs,
        topic: &'a str,
        conversation: Conversation,
        connack: &Connack,
        forwarded: &'a OwnedProperties,
    ) -> Self {
        let inflight_max = connack.receive_maximum.map_or(INFLIGHT_MAX, |max| max.get().into());
        let packet_bytes_max = connack.maximum_packet_size.map(|max| max.get() as usize);
        Self {
            args,
            topic,
            conversation,
            forwarded,
            packet_bytes_max: packet_bytes_max.unwrap_or(avocet_mqtt::codec::PACKET_BYTES_MAX),
            inflight_max: inflight_max.min(INFLIGHT_MAX),
            inflight: HashSet::new(),
            last_id: 0,
            refused: None,
        }
    }

    fn run(mut self, mut source: Source, properties: &Properties) -> anyhow::Result<()> {
        loop {
            match source.next(self.conversation.ping_due())? {
                Next::Payload(payload) => self.publish(&payload, properties)?,
                Next::Nothing => self.listen(Instant::now() + GLANCE)?,
                Next::End => break,
            }
            let pause = source.pause();
            if !pause.is_zero() {
                self.listen(Instant::now() + pause)?;
            }
        }
        while !self.inflight.is_empty() {
            self.await_acknowledgement()?;
        }
        let refused = self.refused.take();
        self.conversation.close(properties)?;
        refused.map_or(Ok(()), |refused| Err(anyhow!(refused)))
    }

    fn publish(&mut self, payload: &[u8], properties: &Properties) -> anyhow::Result<()> {
        let mut publish = Publish::new(self.topic, payload);
        publish.qos = self.args.qos;
        publish.retain = self.args.retain;
        publish.properties = self.forwarded.borrow();
        properties.apply_to_publish(&mut publish).map_err(anyhow::Error::msg)?;
        if publish.qos != QoS::AtMostOnce {
            while self.inflight.len() >= self.inflight_max {
                self.await_acknowledgement()?;
            }
            publish.packet_id = Some(self.next_id());
        }
        let (len, max) = (publish_len(self.args.client.version(), &publish), self.packet_bytes_max);
        if len > max {
            bail!(
                "the message takes {len} bytes, the broker takes {max} (its Maximum Packet Size)"
            );
        }
        self.conversation.send(&Packet::Publish(publish))
    }

    fn next_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = PacketId::new(self.last_id)
                && self.inflight.insert(id)
            {
                return id;
            }
        }
    }

    fn await_acknowledgement(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let before = self.inflight.len();
        while self.inflight.len() == before {
            if !self.handle_next(deadline)? {
                bail!("the broker does not acknowledge");
            }
        }
        Ok(())
    }

    /// Deals with what comes until then.
    fn listen(&mut self, until: Instant) -> anyhow::Result<()> {
        while self.handle_next(until)? {}
        Ok(())
    }

    /// False: the time is over.
    fn handle_next(&mut self, until: Instant) -> anyhow::Result<bool> {
        let Some(packet) = self.conversation.receive(Some(until))? else { return Ok(false) };
        match packet {
            Packet::Puback(ack) | Packet::Pubcomp(ack) => self.handle_last(ack),
            Packet::Pubrec(ack) if ack.reason.is_error() => self.handle_last(ack),
            Packet::Pubrec(ack) => {
                let release = Ack::new(ack.packet_id, ReasonCode::Success);
                self.conversation.send(&Packet::Pubrel(release))?;
            }
            // Nothing else is for a publisher.
            Packet::Connect(_)
            | Packet::Connack(_)
            | Packet::Publish(_)
            | Packet::Pubrel(_)
            | Packet::Subscribe(_)
            | Packet::Suback(_)
            | Packet::Unsubscribe(_)
            | Packet::Unsuback(_)
            | Packet::Pingreq
            | Packet::Pingresp
            | Packet::Disconnect(_)
            | Packet::Auth(_) => {}
        }
        Ok(true)
    }

    /// The exchange is over.
    fn handle_last(&mut self, ack: Ack) {
        self.inflight.remove(&ack.packet_id);
        if ack.reason.is_error() && self.refused.is_none() {
            let what = "the broker refused the message";
            let text = ack.reason_string.map(String::from);
            self.refused = Some(refusal(what, ack.reason, text));
        }
    }
}

#[cfg(test)]
mod tests;
