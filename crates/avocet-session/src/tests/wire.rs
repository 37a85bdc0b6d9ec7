//! What a session sends, in words: each packet is encoded, decoded as its client would, and put
//! down as one line.

use std::{fmt::Write, sync::Arc, time::Instant};

use avocet_mqtt::{
    Ack, AckKind, ApplicationMessage, Codec, Connack, Frames, Packet, PacketId, ProtocolVersion,
    Publish, QoS, ReasonCode, codec,
};

use crate::{Action, Actions, Change, Claim, CloseReason, DropReason, Outlet, StoredId, Then};

/// The client's end of the connection.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) version: ProtocolVersion,
    /// The client's Maximum Packet Size.
    pub(super) packet_bytes_max: usize,
    /// How many more PUBLISHes fit.
    pub(super) room: usize,
    pub(super) lines: Vec<String>,
    /// The bytes of the latest packet.
    pub(super) latest: Vec<u8>,
    /// Rights that are not stored yet.
    pub(super) claims: Vec<Claim>,
    /// What waits for changes to be stored.
    pub(super) thens: Vec<Then>,
}

impl Wire {
    /// Of a client that takes packets of any size, and so many PUBLISHes.
    pub(super) fn new(version: ProtocolVersion, room: usize) -> Self {
        Self {
            version,
            packet_bytes_max: usize::MAX,
            room,
            lines: Vec::new(),
            latest: Vec::new(),
            claims: Vec::new(),
            thens: Vec::new(),
        }
    }

    fn write(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        codec::encode(self.version, packet, &mut bytes);
        self.write_bytes(&bytes);
    }

    fn write_bytes(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.packet_bytes_max, "too large for its client: {bytes:?}");
        let mut client = Codec::with_version(self.version, u32::MAX);
        let decoded = client.decode(bytes).unwrap();
        let (packet, len) = decoded.expect("a whole packet");
        assert_eq!(len, bytes.len());
        self.latest = bytes.to_vec();
        self.lines.push(packet_line(&packet));
    }
}

impl Outlet for Wire {
    fn send(&mut self, packet: &Packet<'_>) {
        self.write(packet);
    }

    fn send_publish(&mut self, publish: &Publish<'_>, owned: Option<&Arc<ApplicationMessage>>) {
        assert!(self.has_room(), "a PUBLISH without room");
        assert!(owned.is_none_or(|message| message.payload() == publish.payload));
        self.room -= 1;
        self.write(&Packet::Publish(publish.clone()));
    }

    fn send_frames(&mut self, frames: &Frames<'_>, with: Option<(QoS, PacketId)>) {
        assert!(self.has_room(), "a PUBLISH without room");
        self.room -= frames.len().min(self.room);
        let mut bytes = Vec::new();
        match with {
            None => bytes.extend_from_slice(frames.bytes()),
            Some((qos, first_id)) => frames.write_as(qos, first_id, &mut bytes),
        }
        let mut client = Codec::with_version(self.version, u32::MAX);
        while let Some((_, len)) = client.decode(&bytes).unwrap() {
            self.write_bytes(&bytes[..len]);
            bytes.drain(..len);
        }
    }

    fn send_acks(&mut self, kind: AckKind, packet_ids: impl Iterator<Item = PacketId>) {
        for id in packet_ids {
            self.write_bytes(&codec::short_ack_bytes(kind, id));
        }
    }

    fn has_room(&self) -> bool {
        self.room > 0
    }

    fn dropped(&mut self, topic: &str, _: QoS, reason: DropReason) {
        self.lines.push(format!("drop {reason} t={topic}"));
    }

    fn record(&mut self, _: StoredId, change: Change, then: impl IntoIterator<Item = Then>) {
        self.lines.push(match change {
            Change::Release { from, to } => format!("store release {}-{}", from.0, to.0),
            Change::Send { packet_id, place } => format!("store send {packet_id} of {}", place.0),
            Change::Acknowledge { packet_id, place } => {
                format!("store acknowledge {packet_id} of {}", place.0)
            }
            Change::Occupy(packet_id) => format!("store occupy {packet_id}"),
            Change::Complete(packet_id) => format!("store complete {packet_id}"),
            Change::Forget(packet_id) => format!("store forget {packet_id}"),
        });
        self.thens.extend(then);
    }

    fn claim(&mut self, _: StoredId, claim: Claim) {
        self.claims.push(claim);
    }

    fn load(&mut self) {
        self.lines.push("load".to_owned());
    }
}

fn packet_line(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connack(connack) => connack_line(connack),
        Packet::Publish(publish) => format!("PUBLISH {}", publish_words(publish)),
        Packet::Puback(ack) => ack_line("PUBACK", ack),
        Packet::Pubrec(ack) => ack_line("PUBREC", ack),
        Packet::Pubrel(ack) => ack_line("PUBREL", ack),
        Packet::Pubcomp(ack) => ack_line("PUBCOMP", ack),
        Packet::Suback(suback) => {
            let text = if suback.reason_string.is_some() { " text" } else { "" };
            format!("SUBACK {}{}{text}", suback.packet_id, reason_words(&suback.reasons))
        }
        Packet::Unsuback(unsuback) => {
            let text = if unsuback.reason_string.is_some() { " text" } else { "" };
            format!("UNSUBACK {}{}{text}", unsuback.packet_id, reason_words(&unsuback.reasons))
        }
        Packet::Pingresp => "PINGRESP".to_owned(),
        Packet::Disconnect(disconnect) => {
            assert_eq!(disconnect.session_expiry_interval, None, "only a client sends it");
            let text = if disconnect.reason_string.is_some() { " text" } else { "" };
            format!("DISCONNECT {:02X}{text}", disconnect.reason.byte())
        }
        Packet::Connect(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::Pingreq
        | Packet::Auth(_) => format!("{packet:?}"),
    }
}

fn connack_line(connack: &Connack) -> String {
    let mut line = "CONNACK".to_owned();
    if connack.reason != ReasonCode::Success {
        write!(line, " {:02X}", connack.reason.byte()).unwrap();
    }
    if connack.session_present {
        line.push_str(" present");
    }
    let mut word = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            write!(line, " {name}={value}").unwrap();
        }
    };
    let flag = |flag: Option<bool>| flag.map(|flag| u8::from(flag).to_string());
    word("expiry", connack.session_expiry_interval.map(|n| n.to_string()));
    word("receive", connack.receive_maximum.map(|n| n.to_string()));
    word("qos", connack.maximum_qos.map(|qos| qos.bits().to_string()));
    word("retain", flag(connack.retain_available));
    word("size", connack.maximum_packet_size.map(|n| n.to_string()));
    word("id", connack.assigned_client_identifier.clone());
    let aliases = connack.topic_alias_maximum;
    word("aliases", (aliases > 0).then(|| aliases.to_string()));
    word("wildcard", flag(connack.wildcard_subscription_available));
    word("identifiers", flag(connack.subscription_identifier_available));
    word("shared", flag(connack.shared_subscription_available));
    word("keep_alive", connack.server_keep_alive.map(|n| n.to_string()));
    word("response", connack.response_information.clone());
    word("server", connack.server_reference.clone());
    word("method", connack.authentication_method.clone());
    line
}

pub(super) fn publish_words(publish: &Publish<'_>) -> String {
    let mut words = format!("q{}", publish.qos.bits());
    if let Some(id) = publish.packet_id {
        write!(words, " id={id}").unwrap();
    }
    if publish.dup {
        words.push_str(" dup");
    }
    if publish.retain {
        words.push_str(" retain");
    }
    if let Some(seconds) = publish.message_expiry_interval {
        write!(words, " expiry={seconds}").unwrap();
    }
    if let Some(alias) = publish.topic_alias {
        write!(words, " alias={alias}").unwrap();
    }
    for identifier in publish.subscription_identifiers.iter() {
        write!(words, " sub={}", identifier.value()).unwrap();
    }
    for property in publish.properties.iter() {
        write!(words, " {property:?}").unwrap();
    }
    write!(words, " t={} p={}", publish.topic, String::from_utf8_lossy(publish.payload)).unwrap();
    words
}

fn ack_line(name: &str, ack: &Ack) -> String {
    let mut line = format!("{name} {}", ack.packet_id);
    if ack.reason != ReasonCode::Success {
        write!(line, " {:02X}", ack.reason.byte()).unwrap();
    }
    if ack.reason_string.is_some() {
        line.push_str(" text");
    }
    line
}

fn reason_words(reasons: &[ReasonCode]) -> String {
    reasons.iter().map(|reason| format!(" {:02X}", reason.byte())).collect()
}

pub(super) fn action_lines(actions: &Actions<'_>, now: Instant) -> Vec<String> {
    let routes = actions.inbound.iter().flat_map(|inbound| {
        let messages = &inbound.messages;
        let mut packet_ids = messages.packet_ids();
        messages.transits().iter().map(move |transit| {
            let mut publish = transit.to_publish_again(now);
            publish.packet_id = packet_ids.next();
            format!("route {}", publish_words(&publish))
        })
    });
    routes.chain(actions.then.as_ref().map(action_line)).collect()
}

fn action_line(action: &Action) -> String {
    match action {
        Action::Subscribe(subscribe) => {
            let mut line = format!("subscribe {}", subscribe.packet_id);
            if let Some(identifier) = subscribe.subscription_identifier {
                write!(line, " sub={}", identifier.value()).unwrap();
            }
            for subscription in &subscribe.subscriptions {
                let options = &subscription.options;
                write!(line, " {}:q{}", subscription.filter, options.qos.bits()).unwrap();
                line.push_str(if options.no_local { ":no_local" } else { "" });
                line.push_str(if options.retain_as_published { ":as_published" } else { "" });
            }
            line
        }
        Action::Unsubscribe(unsubscribe) => {
            format!("unsubscribe {} {}", unsubscribe.packet_id, unsubscribe.filters.join(" "))
        }
        Action::Authenticate(auth) => format!("authenticate {:02X}", auth.reason.byte()),
        Action::Close(close) => close_line(*close),
    }
}

pub(super) fn close_line(close: CloseReason) -> String {
    let by = match close {
        CloseReason::Client(_) => "client",
        CloseReason::Server { .. } => "server",
    };
    format!("close by {by} {:02X}", close.reason().byte())
}
