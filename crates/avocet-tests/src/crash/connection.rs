//! A connection of the crash harness: its end is an event, not the failure of a test.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use super::round::Round;
use crate::{
    Connect, Kind, Received, Version, deadline,
    received::{Connack, hex},
};

/// Why a client stopped.
#[derive(Debug)]
pub enum Ended {
    /// The round is over.
    Over,
    /// The broker did what it must not do.
    Fault(String),
}

impl From<String> for Ended {
    fn from(fault: String) -> Self {
        Self::Fault(fault)
    }
}

/// A connection to the broker of a round.
#[derive(Debug)]
pub struct Connection<'a> {
    stream: TcpStream,
    version: Version,
    unread: Vec<u8>,
    round: &'a Round<'a>,
}

impl<'a> Connection<'a> {
    /// Connects, and waits for the answer.
    ///
    /// # Errors
    ///
    /// The round is over, or the broker does not let us in.
    pub fn open(round: &'a Round<'a>, connect: &Connect) -> Result<(Self, Connack), Ended> {
        let (version, unread) = (connect.version, Vec::new());
        let stream = match TcpStream::connect_timeout(&round.address, deadline::ANSWER) {
            Ok(stream) => stream,
            Err(_) if round.is_over() => return Err(Ended::Over),
            Err(error) => return Err(format!("no connection: {error}").into()),
        };
        stream.set_nodelay(true).expect("a socket takes its options");
        stream.set_write_timeout(Some(deadline::ANSWER)).expect("a socket takes its options");
        round.register(&stream);
        let mut connection = Self { stream, version, unread, round };
        connection.send(&connect.bytes())?;
        let Some(answer) = connection.receive(deadline::ANSWER)? else {
            return Err(format!("no CONNACK within {:?}", deadline::ANSWER).into());
        };
        let Kind::Connack(connack) = answer.kind else {
            return Err(format!("not a CONNACK: {:?}", answer.kind).into());
        };
        if connack.code > 0 {
            return Err(format!("not let in: {connack:?}").into());
        }
        Ok((connection, connack))
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        match self.stream.write_all(bytes) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.ended(&format!("sending: {error}"))),
        }
    }

    /// The next packet, if it comes in time.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub fn receive(&mut self, patience: Duration) -> Result<Option<Received>, Ended> {
        if self.packet_length().is_none() {
            self.stream.set_read_timeout(Some(patience)).expect("a socket takes its options");
        }
        loop {
            if let Some(length) = self.packet_length() {
                let bytes: Vec<u8> = self.unread.drain(..length).collect();
                let received = Received::parse(self.version, &bytes);
                if let Kind::Disconnect(ending) = &received.kind {
                    return Err(self.ended(&format!("the broker sends {ending:?}")));
                }
                return Ok(Some(received));
            }
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(self.ended("the broker closes the connection")),
                Ok(count) => self.unread.extend(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(self.ended(&format!("reading: {error}"))),
            }
        }
    }

    /// Whether a packet is there already.
    pub fn has_packet(&self) -> bool {
        self.packet_length().is_some()
    }

    fn packet_length(&self) -> Option<usize> {
        let mut body = 0;
        for (index, byte) in self.unread.iter().skip(1).enumerate() {
            assert!(index < 4, "a Remaining Length of five bytes: {}", hex(&self.unread));
            body |= usize::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                let length = 2 + index + body;
                return (self.unread.len() >= length).then_some(length);
            }
        }
        None
    }

    /// Ends it with a last word; whether the broker has ended it for that, and not with itself.
    pub fn end(mut self, word: &[u8]) -> bool {
        let patience = deadline::ANSWER;
        let sent = self.stream.write_all(word).is_ok();
        drop(self.stream.set_read_timeout(Some(patience)));
        let mut bytes = [0; 16 * 1024];
        let is_closed = sent
            && loop {
                match self.stream.read(&mut bytes) {
                    Ok(0) => break true,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => break false,
                }
            };
        is_closed && !self.round.is_over()
    }

    /// Ends it without a word.
    pub fn cut(self) {
        // Fails only when it has ended already.
        drop(self.stream.shutdown(Shutdown::Both));
    }

    fn ended(&self, how: &str) -> Ended {
        if self.round.is_over() { Ended::Over } else { Ended::Fault(how.to_owned()) }
    }
}
