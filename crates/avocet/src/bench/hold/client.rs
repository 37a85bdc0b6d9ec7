//! A client at the other end of a stream in memory. It knows what it will be told, byte by byte.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use avocet_mqtt::{
    Connect, Packet, PacketId, ProtocolVersion, Publish, Subscribe, Subscription,
    SubscriptionOptions, UserProperties, codec,
};
use avocet_net::Socket;

const VERSION: ProtocolVersion = ProtocolVersion::V3_1_1;
const PAYLOAD: &[u8] = b"sixteen bytes of";
const BUFFER_BYTES: usize = 256;

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// CONNACK and SUBACK.
    Entry,
    Pong,
    /// The message for this client.
    Message,
}

#[derive(Debug)]
pub(super) struct Client {
    socket: Socket,
}

fn topic(index: usize) -> String {
    format!("hold/{index}")
}

fn message(index: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let topic = topic(index);
    codec::encode_publish(VERSION, &Publish::new(&topic, PAYLOAD), &mut bytes);
    bytes
}

impl Client {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket }
    }

    /// Says who it is and subscribes to its topic.
    pub(super) fn enter(&self, index: usize, keep_alive: u16) -> anyhow::Result<()> {
        let mut connect = Connect::new(VERSION, &format!("hold-{index}"));
        connect.clean_start = true;
        connect.keep_alive = keep_alive;
        let mut bytes = Vec::new();
        codec::encode(VERSION, &Packet::Connect(Box::new(connect)), &mut bytes);
        let subscribe = Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            subscriptions: vec![Subscription {
                filter: topic(index),
                options: SubscriptionOptions::default(),
            }],
        };
        codec::encode(VERSION, &Packet::Subscribe(subscribe), &mut bytes);
        self.send(&bytes)
    }

    pub(super) fn ping(&self) -> anyhow::Result<()> {
        self.send(&[0xC0, 0])
    }

    pub(super) fn leave(&self) -> anyhow::Result<()> {
        self.send(&[0xE0, 0])
    }

    /// Sends client `index` its message, when the stream has room for it.
    pub(super) fn publish(&self, index: usize, patience: Duration) -> anyhow::Result<()> {
        let bytes = message(index);
        let (mut written, start) = (0, Instant::now());
        while written < bytes.len() {
            match self.socket.write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ensure!(start.elapsed() < patience, "the broker takes no message");
                    std::thread::yield_now();
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn send(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let count = self.socket.write(bytes)?;
        ensure!(count == bytes.len(), "the stream takes {count} bytes of {}", bytes.len());
        Ok(())
    }

    /// Waits for what client `index` expects. Anything else is an error.
    pub(super) fn receive(
        &self,
        index: usize,
        expected: Expected,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let expected = match expected {
            Expected::Entry => vec![0x20, 2, 0, 0, 0x90, 3, 0, 1, 0],
            Expected::Pong => vec![0xD0, 0],
            Expected::Message => message(index),
        };
        let (mut buffer, mut there, start) = ([0; BUFFER_BYTES], 0, Instant::now());
        while there < expected.len() {
            match self.socket.read(&mut buffer[there..]) {
                Ok(0) => bail!("the broker has ended the connection of client {index}"),
                Ok(count) => there += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ensure!(start.elapsed() < patience, "client {index} is not answered");
                    std::thread::yield_now();
                }
                Err(error) => return Err(error.into()),
            }
        }
        ensure!(
            buffer[..there] == *expected,
            "client {index} was sent {:x?} instead of {expected:x?}",
            &buffer[..there]
        );
        Ok(())
    }
}
