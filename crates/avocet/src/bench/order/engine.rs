//! The connections of the pairs: read, written, cut, opened again. One thread; opening a connection
//! blocks, during which the broker's other work goes on.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, anyhow, bail};
use avocet_mqtt::{Disconnect, Packet, ProtocolVersion, ReasonCode};

use super::{Cuts, checker::Findings, pair::Pair};
use crate::{
    bench::{
        link::{Link, Poller, Ready},
        load::Load,
        setup,
        wire::{self, kind},
    },
    client::connection::Connection,
};

/// How long to wait for anything before looking at the time again.
const WAIT: Duration = Duration::from_millis(50);

pub(super) struct Engine<'a> {
    load: &'a Load,
    cuts: Cuts,
    /// Sets the clients of this run apart from those of all others.
    run: u64,
    poller: Poller,
    pairs: Vec<Pair>,
    /// Of each pair the publisher, then the subscriber.
    clients: Vec<Client>,
    /// Pairs that may have something to send; clients that may have something unread.
    touched: BTreeSet<usize>,
    unread: Vec<usize>,
    ready: Vec<Ready>,
    scratch: Vec<u8>,
    heard_at: Instant,
    is_draining: bool,
    pongs: usize,
}

/// One end of a pair.
#[derive(Debug, Default)]
struct Client {
    /// `None` while it is away.
    link: Option<Link>,
    has_session: bool,
    /// Messages since it was last cut off, and how often it was.
    carried: u64,
    cut: u64,
}

/// How often connections were cut.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cut {
    pub(super) publishers: u64,
    pub(super) subscribers: u64,
}

impl<'a> Engine<'a> {
    /// Connects and subscribes everyone.
    pub(super) fn open(load: &'a Load, cuts: Cuts) -> anyhow::Result<Self> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let pairs: Vec<Pair> = (0..load.publishers()).map(|index| Pair::new(load, index)).collect();
        let mut engine = Self {
            load,
            cuts,
            run: since_epoch.as_micros() as u64 & 0xFFFF_FFFF_FFFF,
            poller: Poller::new()?,
            clients: (0..pairs.len() * 2).map(|_| Client::default()).collect(),
            touched: (0..pairs.len()).collect(),
            pairs,
            unread: Vec::new(),
            ready: Vec::new(),
            scratch: Vec::new(),
            heard_at: Instant::now(),
            is_draining: false,
            pongs: 0,
        };
        for number in 0..engine.clients.len() {
            engine.connect(number)?;
            // Not all are cut off at once.
            let (pair, pairs) = (number as u64 / 2, engine.pairs.len() as u64);
            engine.clients[number].carried = cuts.every * pair / pairs;
        }
        Ok(engine)
    }

    /// Sends the first messages.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        self.heard_at = Instant::now();
        self.serve_all()
    }

    /// Waits for something to arrive and deals with all of it.
    pub(super) fn turn(&mut self) -> anyhow::Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        let is_idle = self.unread.is_empty() && self.touched.is_empty();
        self.poller.wait(Some(if is_idle { WAIT } else { Duration::ZERO }), &mut ready)?;
        for event in &ready {
            let number = event.number as usize;
            self.touched.insert(number / 2);
            if event.readable {
                self.read(number).with_context(|| name(number))?;
            }
        }
        self.ready = ready;
        self.serve_all()
    }

    /// What this leads to waits for the next turn, so that there is one.
    fn serve_all(&mut self) -> anyhow::Result<()> {
        for number in std::mem::take(&mut self.unread) {
            self.read(number).with_context(|| name(number))?;
        }
        for pair in std::mem::take(&mut self.touched) {
            self.serve(pair)?;
        }
        Ok(())
    }

    /// Messages delivered to subscribers so far, each counted once.
    pub(super) fn delivered(&self) -> u64 {
        self.pairs.iter().map(|pair| pair.delivered).sum()
    }

    /// Whether nothing has arrived for so long that nothing will.
    pub(super) fn is_stalled(&self) -> bool {
        self.heard_at.elapsed() > self.load.patience
    }

    /// Sends no more, brings everyone back and waits for what is outstanding; then asks the broker
    /// for one more answer, so that whatever it still has to say has been said.
    pub(super) fn drain(&mut self) -> anyhow::Result<()> {
        self.is_draining = true;
        self.heard_at = Instant::now();
        self.touched = (0..self.pairs.len()).collect();
        self.serve_all()?;
        while !self.is_stalled() && !self.pairs.iter().all(Pair::is_settled) {
            self.turn()?;
        }
        self.heard_at = Instant::now();
        self.touched = (0..self.pairs.len()).collect();
        for client in &mut self.clients {
            client.link.iter_mut().for_each(|link| link.out().extend(wire::PINGREQ));
        }
        self.serve_all()?;
        while !self.is_stalled() && self.pongs < self.clients.len() {
            self.turn()?;
        }
        Ok(())
    }

    pub(super) fn findings(&self) -> Findings {
        let mut findings = Findings::default();
        self.pairs.iter().for_each(|pair| findings.add(&pair.findings()));
        findings
    }

    pub(super) fn cut(&self) -> Cut {
        let sum = |offset| self.clients.iter().skip(offset).step_by(2).map(|c| c.cut).sum();
        Cut { publishers: sum(0), subscribers: sum(1) }
    }

    /// Leaves nothing behind.
    pub(super) fn remove_sessions(&mut self) -> anyhow::Result<()> {
        for number in 0..self.clients.len() {
            self.clients[number].link = None;
            let disconnect = Disconnect::new(ReasonCode::Success);
            let connect = setup::connect(self.load, &self.client_id(number));
            let (mut connection, _) = Connection::open(&self.load.target, connect)?;
            connection.send(&Packet::Disconnect(Box::new(disconnect)))?;
        }
        Ok(())
    }

    /// Short enough for MQTT 3.1. Processes may have begun at the same time.
    fn client_id(&self, number: usize) -> String {
        let side = if is_publisher(number) { 'p' } else { 's' };
        let part = self.load.role.part().map_or(String::new(), |part| format!("x{}", part.index));
        format!("o{:x}{side}{}{part}", self.run, number / 2)
    }

    fn connect(&mut self, number: usize) -> anyhow::Result<()> {
        self.open_connection(number).with_context(|| name(number))
    }

    fn open_connection(&mut self, number: usize) -> anyhow::Result<()> {
        let connect = setup::connect_lasting(self.load, &self.client_id(number));
        let mut target = self.load.target.clone();
        target.source = self.load.sources.of(number as u64);
        let (mut connection, connack) = Connection::open(&target, connect)?;
        let (client, pair) = (&mut self.clients[number], &mut self.pairs[number / 2]);
        // 3.1 does not tell.
        let is_told = self.load.version != ProtocolVersion::V3_1;
        let is_present = if is_told { connack.session_present } else { client.has_session };
        pair.note_session(is_present, client.has_session);
        client.has_session = true;
        let mut out = Vec::new();
        if is_publisher(number) {
            pair.limit(connack.receive_maximum.map_or(u16::MAX, |maximum| maximum.get()));
            pair.resume_publisher(is_present, &mut out);
        } else {
            pair.resume_subscriber(is_present);
            if !is_present {
                connection = setup::subscribe(self.load, connection, number as u32 / 2)?;
            }
        }
        let (socket, layers, rest) = connection.into_parts();
        let mut link = Link::new(socket, layers, rest)?;
        link.out().append(&mut out);
        self.poller.add(link.socket(), number as u64)?;
        client.link = Some(link);
        self.touched.insert(number / 2);
        // With CONNACK there may have come more.
        self.unread.push(number);
        Ok(())
    }

    /// Ends the connection without a word.
    fn cut_off(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.link = None;
        client.carried = 0;
        client.cut += 1;
    }

    fn read(&mut self, number: usize) -> anyhow::Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = self.read_into(number, &mut scratch);
        self.scratch = scratch;
        result
    }

    fn read_into(&mut self, number: usize, scratch: &mut Vec<u8>) -> anyhow::Result<()> {
        let client = &mut self.clients[number];
        let Some(link) = &mut client.link else { return Ok(()) };
        let total = link.read(scratch).context("the broker closed the connection")?;
        let pair = &mut self.pairs[number / 2];
        let malformed = |_| anyhow!("the broker sent something malformed");
        let mut at = 0;
        while let Some(frame) = wire::frame(&scratch[at..total]).map_err(malformed)? {
            self.heard_at = Instant::now();
            if frame.kind() == kind::DISCONNECT {
                bail!(setup::farewell(self.load.version, &scratch[at..total]));
            }
            self.pongs += usize::from(frame.kind() == kind::PINGRESP);
            if is_publisher(number) {
                pair.handle_at_publisher(&frame, link.out()).map_err(malformed)?;
            } else if pair.handle_at_subscriber(&frame, link.out()).map_err(malformed)? {
                // What is only sent again would never come to an end if it were counted.
                client.carried += 1;
                if client.carried >= self.cuts.every && !self.is_draining {
                    // What came behind this message, and all that is not acknowledged, is gone.
                    self.cut_off(number);
                    self.touched.insert(number / 2);
                    return Ok(());
                }
            }
            at += frame.len;
        }
        link.keep(&scratch[at..total]);
        self.touched.insert(number / 2);
        Ok(())
    }

    /// Brings back who is away, sends what may be sent, and cuts off a publisher whose turn it is.
    fn serve(&mut self, index: usize) -> anyhow::Result<()> {
        let (publisher, subscriber) = (2 * index, 2 * index + 1);
        let is_away = self.clients[subscriber].link.is_none();
        if is_away && (self.comes_at_once(subscriber) || self.is_awaited(index)) {
            self.connect(subscriber)?;
        }
        let client = &mut self.clients[publisher];
        if let (Some(link), false) = (&mut client.link, self.is_draining) {
            client.carried += self.pairs[index].fill(link.out());
        }
        for number in [publisher, subscriber] {
            if let Some(link) = &mut self.clients[number].link {
                let written = link.flush(&self.poller, number as u64);
                written
                    .context("the broker closed the connection")
                    .with_context(|| name(number))?;
            }
        }
        let is_its_turn = self.clients[publisher].carried >= self.cuts.every;
        if self.cuts.publishers_too && is_its_turn && !self.is_draining {
            self.cut_off(publisher);
            self.connect(publisher)?;
        }
        Ok(())
    }

    /// Every second time a subscriber is back before the broker can know that it was gone.
    fn comes_at_once(&self, number: usize) -> bool {
        self.clients[number].cut % 2 == 1
    }

    fn is_awaited(&self, index: usize) -> bool {
        self.is_draining || self.pairs[index].is_waiting_for_subscriber()
    }
}

fn is_publisher(number: usize) -> bool {
    number.is_multiple_of(2)
}

fn name(number: usize) -> String {
    let side = if is_publisher(number) { "publisher" } else { "subscriber" };
    format!("{side} {}", number / 2)
}
