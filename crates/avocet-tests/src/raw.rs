//! A client of bytes. Nothing here sleeps: every wait has a deadline, and that nothing comes is
//! shown by a PINGREQ, behind whose answer there would be what was sent before it.

#![expect(clippy::wildcard_enum_match_arm, reason = "one packet is expected, all others fail")]

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::{
    Kind, Properties, Publish, Received, Version, deadline, packet,
    received::{Ack, Codes, Connack, Message, hex},
    stream::{self, Stream},
};

/// A connection to a broker and what was read from it.
#[derive(Debug)]
pub struct Raw {
    stream: Box<dyn Stream>,
    version: Version,
    unread: Vec<u8>,
}

impl Raw {
    pub fn open(address: SocketAddr, version: Version) -> Self {
        Self::over(Box::new(stream::tcp(address)), version)
    }

    /// A client that speaks over a stream which is open, whatever lies around the bytes.
    pub fn over(mut stream: Box<dyn Stream>, version: Version) -> Self {
        stream.patience(deadline::ANSWER);
        Self { stream, version, unread: Vec::new() }
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// Sends bytes. That the broker has closed meanwhile is seen when reading.
    pub fn send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes).and_then(|()| self.stream.flush()) {
            Err(error) if !is_end(error.kind()) => panic!("sending {}: {error}", hex(bytes)),
            Ok(()) | Err(_) => {}
        }
    }

    /// Sends bytes written in hexadecimal, spaces as you like.
    pub fn send_hex(&mut self, text: &str) {
        self.send(&from_hex(text));
    }

    /// Ends the connection without a DISCONNECT, as a lost network does.
    pub fn cut(mut self) {
        self.stream.cut();
    }

    /// Ends the connection with a DISCONNECT, and waits until the broker has seen it.
    #[track_caller]
    pub fn disconnect(mut self) {
        self.send(&packet::disconnect());
        self.expect_close();
    }

    /// The next packet, or nothing when the broker closes.
    #[track_caller]
    pub fn receive_or_close(&mut self) -> Option<Received> {
        loop {
            if let Some(length) = self.packet_length() {
                let bytes: Vec<u8> = self.unread.drain(..length).collect();
                return Some(Received::parse(self.version, &bytes));
            }
            let mut bytes = vec![0; 64 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return self.closed(),
                Ok(count) => self.unread.extend(&bytes[..count]),
                Err(error) if is_end(error.kind()) => return self.closed(),
                Err(error) if is_timeout(error.kind()) => {
                    panic!("neither a packet nor the end within {:?}", deadline::ANSWER)
                }
                Err(error) => panic!("reading: {error}"),
            }
        }
    }

    #[track_caller]
    fn closed(&self) -> Option<Received> {
        assert!(self.unread.is_empty(), "closed inside a packet: {}", hex(&self.unread));
        None
    }

    /// How long the first unread packet is, once it is there as a whole.
    #[track_caller]
    fn packet_length(&self) -> Option<usize> {
        let mut body = 0;
        for (index, byte) in self.unread.iter().skip(1).enumerate() {
            assert!(index < 4, "a Remaining Length of five bytes: {}", hex(&self.unread));
            body |= usize::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                assert!(*byte > 0 || index == 0, "length not minimal: {}", hex(&self.unread));
                let length = 2 + index + body;
                return (self.unread.len() >= length).then_some(length);
            }
        }
        None
    }

    /// Everything until the broker closes, whatever it may be.
    pub fn receive_bytes_to_the_end(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.unread);
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if !is_end(error.kind()) => panic!("no end within a deadline: {error}"),
            Ok(_) | Err(_) => bytes,
        }
    }

    /// The next packet.
    #[track_caller]
    pub fn receive(&mut self) -> Received {
        self.receive_or_close().unwrap_or_else(|| panic!("closed where a packet was expected"))
    }

    /// The next packet is these bytes, written in hexadecimal.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let received = self.receive();
        assert_eq!(hex(&received.bytes), hex(&from_hex(text)), "{:?}", received.kind);
    }

    /// The broker closes and sends nothing more.
    #[track_caller]
    pub fn expect_close(&mut self) {
        if let Some(packet) = self.receive_or_close() {
            panic!("expected the end, not {packet:?}");
        }
    }

    /// The broker closes; with 5.0 it may say why first. Returns the reason code it gave.
    #[track_caller]
    pub fn expect_ending(&mut self) -> Option<u8> {
        let answer = self.receive_or_close()?;
        let Kind::Disconnect(ending) = answer.kind else {
            panic!("expected DISCONNECT or the end, not {answer:?}");
        };
        assert!(ending.code >= 0x80, "an error is given as {ending:?}");
        self.expect_close();
        Some(ending.code)
    }

    /// The broker closes for an error of ours, and with 5.0, if it says why, for one of these.
    #[track_caller]
    pub fn expect_error(&mut self, codes: &[u8]) {
        let code = self.expect_ending();
        assert!(code.is_none_or(|code| codes.contains(&code)), "{code:#04x?} not in {codes:#04x?}");
    }

    /// Nothing was on its way: the answer to a PINGREQ is the next that comes.
    #[track_caller]
    pub fn expect_nothing_before_pong(&mut self) {
        self.send(&packet::pingreq());
        let received = self.receive();
        assert_eq!(received.kind, Kind::Pingresp, "expected nothing");
    }

    /// The messages that were on their way: those before the answer to a PINGREQ, none of which
    /// is acknowledged.
    #[track_caller]
    pub fn messages_before_pong(&mut self) -> Vec<Message> {
        self.send(&packet::pingreq());
        let mut messages = Vec::new();
        loop {
            match self.receive().kind {
                Kind::Publish(message) => messages.push(message),
                Kind::Pingresp => return messages,
                other => panic!("expected PUBLISH or PINGRESP, not {other:?}"),
            }
        }
    }

    /// The same, and each is acknowledged, as is each PUBREL.
    #[track_caller]
    pub fn take_arrived(&mut self) -> Vec<Message> {
        self.send(&packet::pingreq());
        let mut messages = Vec::new();
        loop {
            match self.receive().kind {
                Kind::Publish(message) => messages.push(self.begin_to_acknowledge(message)),
                Kind::Pubrel(ack) => self.send(&packet::pubcomp(ack.id)),
                Kind::Pingresp => return messages,
                other => panic!("expected PUBLISH, PUBREL or PINGRESP, not {other:?}"),
            }
        }
    }

    /// As [`Self::messages_before_pong`], of each its payload.
    #[track_caller]
    pub fn texts_before_pong(&mut self) -> Vec<String> {
        self.messages_before_pong().iter().map(Message::text).collect()
    }

    #[track_caller]
    pub fn expect_connack(&mut self) -> Connack {
        match self.receive().kind {
            Kind::Connack(connack) => connack,
            other => panic!("expected CONNACK, not {other:?}"),
        }
    }

    #[track_caller]
    pub fn expect_publish(&mut self) -> Message {
        match self.receive().kind {
            Kind::Publish(message) => message,
            other => panic!("expected PUBLISH, not {other:?}"),
        }
    }

    /// The next packet is a PUBLISH to this topic with this payload and QoS.
    #[track_caller]
    pub fn expect_message(&mut self, topic: &str, payload: &str, qos: u8) -> Message {
        let message = self.expect_publish();
        let seen = (message.topic.clone(), message.text(), message.qos);
        assert_eq!(seen, (topic.to_owned(), payload.to_owned(), qos), "{message:?}");
        message
    }

    #[track_caller]
    pub fn expect_puback(&mut self, id: u16) -> Ack {
        match self.receive().kind {
            Kind::Puback(ack) if ack.id == id => ack,
            other => panic!("expected PUBACK {id}, not {other:?}"),
        }
    }

    #[track_caller]
    pub fn expect_pubrec(&mut self, id: u16) -> Ack {
        match self.receive().kind {
            Kind::Pubrec(ack) if ack.id == id => ack,
            other => panic!("expected PUBREC {id}, not {other:?}"),
        }
    }

    #[track_caller]
    pub fn expect_pubrel(&mut self, id: u16) -> Ack {
        match self.receive().kind {
            Kind::Pubrel(ack) if ack.id == id => ack,
            other => panic!("expected PUBREL {id}, not {other:?}"),
        }
    }

    #[track_caller]
    pub fn expect_pubcomp(&mut self, id: u16) -> Ack {
        match self.receive().kind {
            Kind::Pubcomp(ack) if ack.id == id => ack,
            other => panic!("expected PUBCOMP {id}, not {other:?}"),
        }
    }

    #[track_caller]
    pub fn expect_suback(&mut self, id: u16) -> Codes {
        match self.receive().kind {
            Kind::Suback(codes) if codes.id == id => codes,
            other => panic!("expected SUBACK {id}, not {other:?}"),
        }
    }

    #[track_caller]
    pub fn expect_unsuback(&mut self, id: u16) -> Codes {
        match self.receive().kind {
            Kind::Unsuback(codes) if codes.id == id => codes,
            other => panic!("expected UNSUBACK {id}, not {other:?}"),
        }
    }

    /// Subscribes to one filter with these options, which have to be granted.
    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, options: u8) {
        self.subscribe_with(filter, options, &Properties::new());
    }

    #[track_caller]
    pub fn subscribe_with(&mut self, filter: &str, options: u8, properties: &Properties) {
        let filters = [(filter, options)];
        self.send(&packet::subscribe_with(self.version, 100, properties, &filters));
        let suback = self.expect_suback(100);
        assert_eq!(suback.codes, [options & 3], "{filter} is not granted");
    }

    /// Asks for a subscription and returns the code in SUBACK.
    #[track_caller]
    pub fn try_subscribe(&mut self, filter: &str, options: u8) -> u8 {
        self.send(&packet::subscribe(self.version, 100, &[(filter, options)]));
        self.expect_suback(100).codes[0]
    }

    #[track_caller]
    pub fn unsubscribe(&mut self, filter: &str) -> Codes {
        self.send(&packet::unsubscribe(self.version, 101, &[filter]));
        self.expect_unsuback(101)
    }

    /// Publishes and goes through the whole handshake of its QoS, as far as nothing else comes
    /// between: when this returns, the broker has taken the message over.
    #[track_caller]
    pub fn publish(&mut self, publish: &Publish) {
        self.send(&publish.bytes(self.version));
        match publish.qos {
            0 => self.expect_nothing_before_pong(),
            1 => {
                let ack = self.expect_puback(publish.id);
                assert!(ack.code < 0x80, "refused: {ack:?}");
            }
            _ => {
                let ack = self.expect_pubrec(publish.id);
                assert!(ack.code < 0x80, "refused: {ack:?}");
                self.send(&packet::pubrel(publish.id));
                self.expect_pubcomp(publish.id);
            }
        }
    }

    /// Goes through the receiver's side of the handshake for a message.
    #[track_caller]
    pub fn acknowledge(&mut self, message: &Message) {
        match message.qos {
            0 => {}
            1 => self.send(&packet::puback(message.packet_id())),
            _ => {
                self.send(&packet::pubrec(message.packet_id()));
                self.expect_pubrel(message.packet_id());
                self.send(&packet::pubcomp(message.packet_id()));
            }
        }
    }

    /// The next message, which is acknowledged at once; what is left of its handshake, and of
    /// others, is answered when it comes.
    #[track_caller]
    pub fn take_message(&mut self) -> Message {
        loop {
            match self.receive().kind {
                Kind::Publish(message) => return self.begin_to_acknowledge(message),
                Kind::Pubrel(ack) => self.send(&packet::pubcomp(ack.id)),
                other => panic!("expected PUBLISH or PUBREL, not {other:?}"),
            }
        }
    }

    /// Everything that waits for the client, acknowledged: all that comes before a message that
    /// `publisher` sends to it now, and what comes between that one and its PUBREL.
    ///
    /// A PINGRESP may come earlier, since what waits is read from the store, and a packet id of
    /// QoS 2 is stored before it is used.
    #[track_caller]
    pub fn take_all(&mut self, publisher: &mut Self) -> Vec<Message> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let topic = format!("barrier/{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let (mut messages, mut open) = (Vec::new(), BTreeSet::new());
        self.send(&packet::subscribe(self.version, 102, &[(&topic, 2)]));
        loop {
            match self.receive().kind {
                Kind::Publish(message) => {
                    open.extend(message.id.filter(|_| message.qos == 2));
                    messages.push(self.begin_to_acknowledge(message));
                }
                Kind::Pubrel(ack) => {
                    self.send(&packet::pubcomp(ack.id));
                    open.remove(&ack.id);
                }
                Kind::Suback(codes) => {
                    assert_eq!((codes.id, codes.codes), (102, vec![2]));
                    publisher.publish(&Publish::new(&topic, "").qos(2, 103));
                }
                other => panic!("expected PUBLISH, PUBREL or SUBACK, not {other:?}"),
            }
            let barrier = messages.iter().position(|message| message.topic == topic);
            if let Some(barrier) = barrier.filter(|_| open.is_empty()) {
                messages.remove(barrier);
                return messages;
            }
        }
    }

    #[track_caller]
    fn begin_to_acknowledge(&mut self, message: Message) -> Message {
        match message.qos {
            0 => {}
            1 => self.send(&packet::puback(message.packet_id())),
            _ => self.send(&packet::pubrec(message.packet_id())),
        }
        message
    }

    /// For tests whose subject is time: how long a single read may wait.
    pub fn patience(&mut self, limit: Duration) {
        self.stream.patience(limit);
    }
}

/// Errors that mean the other side closed.
fn is_end(kind: ErrorKind) -> bool {
    let ends = [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::BrokenPipe];
    ends.contains(&kind)
}

fn is_timeout(kind: ErrorKind) -> bool {
    [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&kind)
}

/// Bytes from hexadecimal digits; spaces are for the reader.
pub fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .map(|letter| letter.to_digit(16).unwrap_or_else(|| panic!("{letter} is no digit")))
        .collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text}");
    let bytes = digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]));
    bytes.map(|byte| byte.expect("two digits are a byte")).collect()
}
