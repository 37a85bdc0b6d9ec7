//! A connection that is kept alive, and that can say what goes on.

use std::time::{Duration, Instant};

use anyhow::bail;
use avocet_mqtt::{Connack, Connect, Disconnect, Packet};

use super::{
    args::ClientArgs,
    connection::{ANSWER_TIMEOUT, Connection},
    property::Properties,
    stream::Target,
};
use crate::cli::complain;

#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) connection: Connection,
    keep_alive: Option<Duration>,
    ping_sent_at: Option<Instant>,
    is_debug: bool,
}

impl Conversation {
    /// Connects and is let in.
    pub(super) fn open(
        args: &ClientArgs,
        target: &Target,
        connect: Connect,
    ) -> anyhow::Result<(Self, Connack)> {
        let asked = connect.keep_alive;
        if args.debug {
            complain(&format_args!("sending CONNECT as {:?}", connect.client_id));
        }
        let (connection, connack) = Connection::open(target, connect)?;
        let seconds = connack.server_keep_alive.unwrap_or(asked);
        let conversation = Self {
            connection,
            keep_alive: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
            ping_sent_at: None,
            is_debug: args.debug,
        };
        conversation.tell("received", &Packet::Connack(Box::new(connack.clone())));
        Ok((conversation, connack))
    }

    pub(super) fn send(&mut self, packet: &Packet<'_>) -> anyhow::Result<()> {
        self.tell("sending", packet);
        self.connection.send(packet)
    }

    /// When a sign of life is due.
    pub(super) fn ping_due(&self) -> Option<Instant> {
        self.keep_alive.map(|keep_alive| self.connection.sent_at + keep_alive)
    }

    /// The next packet; `None` when the time is over or the connection was told to end.
    pub(super) fn receive(&mut self, until: Option<Instant>) -> anyhow::Result<Option<Packet<'_>>> {
        loop {
            let answer_due = self.ping_sent_at.map(|sent_at| sent_at + ANSWER_TIMEOUT);
            let deadline = [until, self.ping_due(), answer_due].into_iter().flatten().min();
            if self.connection.wait(deadline)? {
                break;
            }
            let now = Instant::now();
            if self.connection.is_ended() || until.is_some_and(|until| until <= now) {
                return Ok(None);
            }
            if answer_due.is_some_and(|due| due <= now) {
                bail!("the broker does not answer PINGREQ");
            }
            if self.ping_due().is_some_and(|due| due <= now) {
                self.send(&Packet::Pingreq)?;
                self.ping_sent_at.get_or_insert(now);
            }
        }
        self.ping_sent_at = None;
        let is_debug = self.is_debug;
        let packet = self.connection.take()?;
        if is_debug {
            complain(&format_args!("received {}", describe(&packet)));
        }
        Ok(Some(packet))
    }

    /// Says goodbye.
    pub(super) fn close(mut self, properties: &Properties) -> anyhow::Result<()> {
        let mut disconnect = Disconnect::new(avocet_mqtt::ReasonCode::Success);
        properties.apply_to_disconnect(&mut disconnect).map_err(anyhow::Error::msg)?;
        self.send(&Packet::Disconnect(Box::new(disconnect)))?;
        self.connection.close();
        Ok(())
    }

    fn tell(&self, what: &str, packet: &Packet<'_>) {
        if self.is_debug {
            complain(&format_args!("{what} {}", describe(packet)));
        }
    }
}

/// A packet in a few words; never its payload.
fn describe(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connect(_) => "CONNECT".to_owned(),
        Packet::Connack(connack) => {
            let present = if connack.session_present { ", session present" } else { "" };
            format!("CONNACK: {}{present}", connack.reason)
        }
        Packet::Publish(publish) => {
            let (qos, bytes) = (publish.qos.bits(), publish.payload.len());
            let id = publish.packet_id.map_or(String::new(), |id| format!(", id {id}"));
            let dup = if publish.dup { ", duplicate" } else { "" };
            let retain = if publish.retain { ", retained" } else { "" };
            format!("PUBLISH to {}: QoS {qos}{id}{dup}{retain}, {bytes} bytes", publish.topic)
        }
        Packet::Puback(ack) => format!("PUBACK {}: {}", ack.packet_id, ack.reason),
        Packet::Pubrec(ack) => format!("PUBREC {}: {}", ack.packet_id, ack.reason),
        Packet::Pubrel(ack) => format!("PUBREL {}: {}", ack.packet_id, ack.reason),
        Packet::Pubcomp(ack) => format!("PUBCOMP {}: {}", ack.packet_id, ack.reason),
        Packet::Subscribe(subscribe) => {
            let filters = subscribe.subscriptions.iter().map(|line| line.filter.as_str());
            format!("SUBSCRIBE to {}", filters.collect::<Vec<_>>().join(", "))
        }
        Packet::Suback(suback) => {
            let reasons = suback.reasons.iter().map(ToString::to_string);
            format!("SUBACK: {}", reasons.collect::<Vec<_>>().join(", "))
        }
        Packet::Unsubscribe(_) => "UNSUBSCRIBE".to_owned(),
        Packet::Unsuback(_) => "UNSUBACK".to_owned(),
        Packet::Pingreq => "PINGREQ".to_owned(),
        Packet::Pingresp => "PINGRESP".to_owned(),
        Packet::Disconnect(disconnect) => format!("DISCONNECT: {}", disconnect.reason),
        Packet::Auth(_) => "AUTH".to_owned(),
    }
}
