//! The yardstick: the least a program can do to bring messages from publishers to subscribers. It
//! is no broker. It reads whole frames, looks at nothing of a PUBLISH but its length (and its topic
//! once), copies the bytes to the subscribers of that topic and writes once for each touched socket
//! and turn. A broker is judged by its cost relative to this.
//!
//! With a folder it is the least that takes messages of QoS 1 for good: all that one turn brings is
//! appended to one file, which is synced, and then each is answered. Nobody gets them.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
};

use anyhow::{Context, bail};
use avocet_mqtt::{Codec, Connack, Packet, ProtocolVersion, ReasonCode, Suback, encode};
use clap::Args;

use super::{
    link::{Link, Poller, Ready},
    wire::{self, Frame, kind},
};
use crate::{cli::print, client::stream::Socket};

/// The number of the listener among the connections.
const LISTENER: u64 = u64::MAX;

/// A subscriber for which more is waiting is cut off.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Args, Debug)]
pub(crate) struct RelayArgs {
    /// The port to listen on, on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A folder with a file `journal` that messages of QoS 1 are appended to, which is synced for
    /// each turn before they are answered. Without it only QoS 0 is known.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// What has come at QoS 1 in this turn.
struct Journal {
    file: File,
    /// To be appended.
    bytes: Vec<u8>,
    /// Who is to be told of which packet identifier, then.
    owed: Vec<(usize, [u8; 2])>,
}

impl Journal {
    fn open(folder: PathBuf) -> anyhow::Result<Self> {
        let path = folder.join("journal");
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { file, bytes: Vec::new(), owed: Vec::new() })
    }

    fn take(&mut self, from: usize, frame: &Frame<'_>, packet: &[u8]) -> anyhow::Result<()> {
        let Ok(published) = wire::published(frame, false) else { bail!("malformed PUBLISH") };
        let Some(id) = published.packet_id else { bail!("no packet identifier") };
        self.bytes.extend_from_slice(packet);
        self.owed.push((from, id));
        Ok(())
    }

    /// Answers whom is to be told.
    fn sync(&mut self) -> io::Result<Vec<(usize, [u8; 2])>> {
        if !self.bytes.is_empty() {
            self.file.write_all(&self.bytes)?;
            self.file.sync_data()?;
            self.bytes.clear();
        }
        Ok(std::mem::take(&mut self.owed))
    }
}

/// Relays until it is ended from outside.
pub(super) fn run(args: &RelayArgs) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{}", args.port))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let journal = args.folder.clone().map(Journal::open).transpose()?;
    let mut relay = Relay::new(listener, journal)?;
    print(&format!("ready tcp.default={address}\n"));
    relay.serve().context("the relay failed")
}

struct Relay {
    poller: Poller,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    /// Who subscribed to a topic.
    subscribers: HashMap<Vec<u8>, Vec<usize>>,
    /// Connections with something to write.
    queued: Vec<usize>,
    scratch: Vec<u8>,
    journal: Option<Journal>,
}

#[derive(Debug)]
struct Connection {
    link: Link,
    codec: Codec,
    /// Where this publisher's messages go; empty until its first one, and after any subscription.
    route: Vec<usize>,
}

impl Relay {
    fn new(listener: TcpListener, journal: Option<Journal>) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER)?;
        Ok(Self {
            poller,
            listener,
            connections: Vec::new(),
            subscribers: HashMap::new(),
            queued: Vec::new(),
            scratch: Vec::new(),
            journal,
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        loop {
            self.poller.wait(None, &mut ready)?;
            for event in &ready {
                if event.number == LISTENER {
                    self.accept()?;
                } else {
                    self.handle_ready(*event);
                }
            }
            self.answer()?;
            self.flush();
        }
    }

    /// What has come at QoS 1 is there for good, and is answered.
    fn answer(&mut self) -> io::Result<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        for (index, id) in journal.sync()? {
            self.append(index, &wire::acknowledgement(kind::PUBACK, id));
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => self.add(socket)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn add(&mut self, socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let socket = Socket::Tcp(socket);
        let free = self.connections.iter().position(Option::is_none);
        let index = free.unwrap_or(self.connections.len());
        self.poller.add(&socket, index as u64)?;
        let codec = Codec::new(u32::MAX);
        let connection =
            Connection { link: Link::new(socket, None, Vec::new())?, codec, route: Vec::new() };
        if index == self.connections.len() {
            self.connections.push(Some(connection));
        } else {
            self.connections[index] = Some(connection);
        }
        Ok(())
    }

    #[inline]
    fn handle_ready(&mut self, ready: Ready) {
        let Ok(index) = usize::try_from(ready.number) else { return };
        if ready.writable {
            self.queue(index);
        }
        if ready.readable && self.read(index).is_err() {
            self.close(index);
        }
    }

    #[inline]
    fn read(&mut self, index: usize) -> anyhow::Result<()> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        let mut scratch = std::mem::take(&mut self.scratch);
        let total = connection.link.read(&mut scratch)?;
        let result = self.handle_bytes(index, &scratch[..total]);
        if let (Ok(taken), Some(connection)) = (&result, &mut self.connections[index]) {
            connection.link.keep(&scratch[*taken..total]);
        }
        self.scratch = scratch;
        result.map(drop)
    }

    /// Answers how many bytes were whole packets.
    fn handle_bytes(&mut self, index: usize, bytes: &[u8]) -> anyhow::Result<usize> {
        let mut at = 0;
        while let Ok(Some(frame)) = wire::frame(&bytes[at..]) {
            let packet = &bytes[at..at + frame.len];
            if let Some(journal) = &mut self.journal
                && (frame.kind(), frame.qos()) == (kind::PUBLISH, 1)
            {
                journal.take(index, &frame, packet)?;
                at += frame.len;
            } else if frame.kind() == kind::PUBLISH {
                let end = publishes_end(bytes, at + frame.len);
                self.forward(index, &bytes[at..end])?;
                at = end;
            } else {
                self.handle_rare(index, packet)?;
                at += frame.len;
            }
        }
        Ok(at)
    }

    /// Copies whole PUBLISH packets to those who subscribed to the topic of the first.
    #[inline]
    fn forward(&mut self, index: usize, packets: &[u8]) -> anyhow::Result<()> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        let mut route = std::mem::take(&mut connection.route);
        if route.is_empty() {
            route = self.find_route(packets)?;
        }
        for &receiver in &route {
            self.append(receiver, packets);
        }
        if let Some(connection) = &mut self.connections[index] {
            connection.route = route;
        }
        Ok(())
    }

    fn find_route(&self, packets: &[u8]) -> anyhow::Result<Vec<usize>> {
        let Ok(Some(frame)) = wire::frame(packets) else { bail!("no whole packet") };
        if frame.qos() != 0 {
            bail!("the relay knows QoS 0 only");
        }
        let Ok(published) = wire::published(&frame, false) else { bail!("malformed PUBLISH") };
        Ok(self.subscribers.get(published.topic).cloned().unwrap_or_default())
    }

    #[inline]
    fn append(&mut self, index: usize, bytes: &[u8]) {
        let Some(connection) = &mut self.connections[index] else { return };
        connection.link.out().extend_from_slice(bytes);
        self.queue(index);
    }

    #[inline]
    fn queue(&mut self, index: usize) {
        if let Some(connection) = &mut self.connections[index]
            && !connection.link.is_queued
        {
            connection.link.is_queued = true;
            self.queued.push(index);
        }
    }

    fn flush(&mut self) {
        let mut queued = std::mem::take(&mut self.queued);
        for index in queued.drain(..) {
            let Some(connection) = &mut self.connections[index] else { continue };
            connection.link.is_queued = false;
            let written = connection.link.flush(&self.poller, index as u64);
            if written.is_err() || connection.link.waiting_bytes() > WAITING_BYTES_MAX {
                self.close(index);
            }
        }
        self.queued = queued;
    }

    fn handle_rare(&mut self, index: usize, bytes: &[u8]) -> anyhow::Result<()> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        let Some((packet, _)) = connection.codec.decode(bytes)? else { return Ok(()) };
        let version = connection.codec.version().unwrap_or(ProtocolVersion::V3_1_1);
        let answer = match packet {
            Packet::Connect(_) => {
                Packet::Connack(Box::new(Connack::new(false, ReasonCode::Success)))
            }
            Packet::Subscribe(subscribe) => {
                let reasons = vec![ReasonCode::Success; subscribe.subscriptions.len()];
                for subscription in subscribe.subscriptions {
                    let filter = subscription.filter.into_bytes();
                    self.subscribers.entry(filter).or_default().push(index);
                }
                self.forget_routes();
                Packet::Suback(Suback {
                    packet_id: subscribe.packet_id,
                    reason_string: None,
                    user_properties: avocet_mqtt::UserProperties::default(),
                    reasons,
                })
            }
            Packet::Pingreq => Packet::Pingresp,
            Packet::Disconnect(_) => bail!("the client left"),
            Packet::Connack(_)
            | Packet::Publish(_)
            | Packet::Puback(_)
            | Packet::Pubrec(_)
            | Packet::Pubrel(_)
            | Packet::Pubcomp(_)
            | Packet::Suback(_)
            | Packet::Unsubscribe(_)
            | Packet::Unsuback(_)
            | Packet::Pingresp
            | Packet::Auth(_) => bail!("the relay does not know that packet"),
        };
        let mut encoded = Vec::new();
        encode(version, &answer, &mut encoded);
        self.append(index, &encoded);
        Ok(())
    }

    fn forget_routes(&mut self) {
        for connection in self.connections.iter_mut().flatten() {
            connection.route.clear();
        }
    }

    fn close(&mut self, index: usize) {
        self.connections[index] = None;
        for subscribers in self.subscribers.values_mut() {
            subscribers.retain(|subscriber| *subscriber != index);
        }
        self.forget_routes();
    }
}

/// Where the run of whole PUBLISH packets that goes on at `at` ends.
#[inline]
fn publishes_end(bytes: &[u8], mut at: usize) -> usize {
    while let Ok(Some(frame)) = wire::frame(&bytes[at..]) {
        if frame.kind() != kind::PUBLISH {
            break;
        }
        at += frame.len;
    }
    at
}
