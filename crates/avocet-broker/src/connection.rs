//! The owner of one socket: it alone reads, and it writes when the system did not take everything
//! at once. What the bytes mean the codec and the session say; here they are carried.
//!
//! A turn: read what is there, let the session handle the packets, route what was published, and
//! only then answer. The driver writes. `last_words`: what is done for a client that is gone;
//! `enveloped`: what TLS and WebSocket need.

mod enveloped;
mod last_words;

use std::{
    collections::VecDeque,
    io::ErrorKind,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use avocet_mqtt::{Codec, DecodeError, Packet, ProtocolVersion, ReasonCode, codec};
use avocet_net::{Layer, Layers, Readiness};
use avocet_session::{Actions, Admission, CloseReason, Refusal, Stop, handshake};
use tracing::debug;

use self::last_words::LastWords;
use crate::{
    batch::Work,
    broker::Listening,
    calls::Key,
    envelope::Envelope,
    leave,
    mailbox::{FlushList, Inner, Mailbox},
    metrics::{End, Metrics},
    open::{self, Entrance, Opening},
    output::Flushed,
    publish::Backlog,
    shard::Shard,
    subscribe::Fed,
    wheel::Watch,
    wire::{BLOCKED, CHANGED, CLOSING, DETACHED, Wire},
};

/// How long the last bytes may take once a connection is closing.
const LINGER: Duration = Duration::from_secs(5);

/// Bytes that are kept of all clients that are not let in yet.
const UNADMITTED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing more can be done before the socket is ready, or somebody calls.
    Wait,
    /// There is more to do; others come first.
    Again,
    /// The connection is over.
    Over,
}

/// How far a connection came in its turn.
enum Step {
    Wait,
    Again,
    End(Ending),
}

/// What there is to be done with a socket.
enum Event {
    /// So many bytes are in the shard's buffer.
    Read(usize),
    /// Output that was blocked is written.
    Drained,
    /// Nothing, or nothing now.
    Step(Step),
}

impl From<Ending> for Event {
    fn from(ending: Ending) -> Self {
        Self::Step(Step::End(ending))
    }
}

/// A client that may come in.
#[derive(Debug)]
struct Entering {
    admission: Admission,
    /// Who has come later has a higher one.
    rank: u64,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// The client went away, or the network.
    Lost,
    /// No packet, or no CONNECT, in time.
    Silent,
    /// What lies around the bytes is not what the listener expects.
    Garbled(Layer),
    /// Closed by either side's word.
    Closed,
    /// It was told to go: its client has come again, or its session is over.
    Detached,
    /// A bug of ours.
    Panicked,
}

/// A connection from its first byte to its last.
#[derive(Debug)]
pub(crate) struct Connection {
    wire: Arc<Wire>,
    listening: Arc<Listening>,
    /// What lies around the bytes: here until CONNECT, then in the mailbox.
    envelope: Option<Box<Envelope>>,
    /// Set by CONNECT.
    mailbox: Option<Mailbox>,
    /// A client that has not been given its session yet.
    entering: Option<Box<Entering>>,
    /// What a wide fan-out left to do.
    #[expect(clippy::box_collection, reason = "rare, and an idle connection is to be small")]
    backlog: Option<Box<VecDeque<Backlog>>>,
    /// Bytes of a packet that is not wholly there, or that have to wait.
    rest: Vec<u8>,
    closed: Option<CloseReason>,
    codec: Codec,
    watch: Watch,
    /// What it adds to the node's count.
    unadmitted_bytes: u32,
    /// Nothing more can be read, and why.
    dried_up: Option<Ending>,
    /// The client is gone, and what it has said before is read.
    last_words: Option<LastWords>,
    /// What is known of the socket: that it may be read or written without having to wait, and that
    /// the client sends no more.
    is_readable: bool,
    is_writable: bool,
    is_finished: bool,
    /// It is among those who are to have a turn.
    pub(crate) is_queued: bool,
    is_enveloped: bool,
    /// The client waits for its older connection to go, which has been told.
    is_heir: bool,
    /// A page of retained messages was sent in the last turn.
    has_fed: bool,
    /// The client does not read its answers: nothing more is taken from it until it does.
    paused: bool,
    /// So much of the client's waits for the store that nothing more is taken.
    awaits_answers: bool,
    /// It is closing and has a bounded time for it.
    lingering: bool,
    /// Nothing was heard for too long.
    is_overdue: bool,
}

impl Connection {
    /// A connection that has been there for so long.
    pub(crate) fn new(
        shard: &Shard,
        wire: Arc<Wire>,
        listening: Arc<Listening>,
        age: Duration,
    ) -> Self {
        let patience = listening.connect_timeout.saturating_sub(age);
        let layers = Layers::accept(&listening.wrapping);
        Self {
            is_enveloped: layers.is_some(),
            envelope: layers.map(|layers| Box::new(Envelope::new(layers))),
            watch: shard.wheel.watch(wire.key(), patience, Instant::now()),
            codec: Codec::new(shard.shared.options.connect_bytes_max),
            listening,
            wire,
            mailbox: None,
            entering: None,
            backlog: None,
            rest: Vec::new(),
            closed: None,
            unadmitted_bytes: 0,
            dried_up: None,
            last_words: None,
            is_readable: false,
            is_writable: false,
            is_finished: false,
            is_queued: false,
            is_heir: false,
            has_fed: false,
            paused: false,
            awaits_answers: false,
            lingering: false,
            is_overdue: false,
        }
    }

    /// Its name on its shard.
    pub(crate) fn key(&self) -> Key {
        self.wire.key()
    }

    pub(crate) fn listening(&self) -> &Listening {
        &self.listening
    }

    /// What the system says of its socket.
    pub(crate) fn note(&mut self, readiness: Readiness) {
        self.is_readable |= readiness.readable;
        self.is_writable |= readiness.writable;
        self.is_finished |= readiness.finished;
    }

    /// Looks whether the client has been silent for too long, which its next turn sees to.
    pub(crate) fn look_at_watch(&mut self, shard: &Shard, now: Instant) -> bool {
        if shard.wheel.is_over(&mut self.watch, self.wire.key(), now) {
            if self.may_have_been_heard() {
                shard.wheel.wait_a_tick(&mut self.watch, self.wire.key());
            } else {
                self.is_overdue = true;
            }
        }
        self.is_overdue
    }

    /// Whether its client has a session.
    pub(crate) fn is_admitted(&self) -> bool {
        self.mailbox.is_some()
    }

    /// Whether it is we who have not read what may be there.
    fn may_have_been_heard(&self) -> bool {
        let is_read = !self.paused && self.wire.signals() & BLOCKED == 0;
        let is_in = self.mailbox.is_some() && !self.lingering;
        is_in && (self.backlog.is_some() || self.awaits_answers || (self.is_readable && is_read))
    }

    /// Ends the stream as it is.
    pub(crate) fn shut_down(&self) {
        self.wire.socket.shutdown();
    }

    /// Does what there is to do, as far as that is fair to others. A bug of ours ends this one
    /// connection, and the metrics say so.
    pub(crate) fn turn(&mut self, shard: &Shard) -> Turn {
        self.wire.answer();
        let stepped = catch_unwind(AssertUnwindSafe(|| match self.last_words {
            None => self.serve(shard),
            Some(last_words) => self.take_last_words(shard, last_words),
        }));
        let ending = match stepped {
            Ok(Step::Wait) => return Turn::Wait,
            Ok(Step::Again) => return Turn::Again,
            Ok(Step::End(ending @ (Ending::Lost | Ending::Closed)))
                if self.closed.is_none() && self.last_words.is_none() =>
            {
                self.last_words = Some(LastWords::of(ending));
                return Turn::Again;
            }
            Ok(Step::End(ending)) => ending,
            Err(_) => Ending::Panicked,
        };
        let panicked = || Metrics::add(&shard.shared.metrics.connections_panicked, 1);
        if matches!(ending, Ending::Panicked) {
            panicked();
        }
        if catch_unwind(AssertUnwindSafe(|| self.finish(shard, ending))).is_err() {
            panicked();
        }
        self.wire.socket.shutdown();
        Turn::Over
    }

    fn serve(&mut self, shard: &Shard) -> Step {
        let mut has_read = false;
        loop {
            if self.backlog.is_some() {
                self.work_off(shard);
                return Step::Again;
            }
            if self.wire.signals() & DETACHED != 0 {
                return Step::End(Ending::Detached);
            }
            if let Some(entering) = self.entering.take() {
                return self.try_to_enter(shard, entering);
            }
            if !self.has_fed && self.feed(shard) {
                // What the client sends is looked at before the next page.
                self.has_fed = true;
                return Step::Again;
            }
            let has_fed = std::mem::take(&mut self.has_fed);
            if self.paused && self.flush_as_owner(shard) == Flushed::Empty {
                self.paused = false;
            }
            if self.awaits_answers {
                self.awaits_answers = self.still_awaits_answers();
            }
            let may_take = !self.paused && !self.awaits_answers;
            if !self.rest.is_empty() && may_take && self.holds_packet() {
                shard.with_flush_list(|list| self.take_rest(shard, shard.now.get(), list));
                continue;
            }
            match self.look_at_socket(shard, &mut has_read) {
                Event::Read(count) => self.take_read(shard, count),
                Event::Drained => self.paused = false,
                Event::Step(Step::Wait) if has_fed => return Step::Again,
                Event::Step(step) => return step,
            }
        }
    }

    /// Whether there are still too many messages that are not answered; if so, whoever answers one
    /// calls.
    fn still_awaits_answers(&self) -> bool {
        let Some(mailbox) = &self.mailbox else { return false };
        let mut inner = mailbox.lock();
        let is_full = inner.session.has_too_much_unanswered();
        match inner.link.as_mut().filter(|link| link.is(&self.wire)) {
            Some(link) => {
                link.waits = is_full;
                is_full
            }
            None => false,
        }
    }

    /// Asks for the client's session, unless its older connection has not gone yet.
    fn try_to_enter(&mut self, shard: &Shard, entering: Box<Entering>) -> Step {
        if self.is_heir && self.wire.signals() & CHANGED == 0 {
            self.entering = Some(entering);
        } else {
            self.enter(shard, *entering);
            self.is_heir = self.entering.is_some();
        }
        match self.is_heir {
            true if self.is_overdue => Step::End(Ending::Silent),
            true => Step::Wait,
            false => Step::Again,
        }
    }

    /// Asks for the session of a client that may come in.
    fn enter(&mut self, shard: &Shard, entering: Entering) {
        let Entering { admission, rank } = entering;
        let now = shard.now.get();
        self.wire.clear(CHANGED);
        shard.with_flush_list(|list| {
            let entrance = Entrance {
                shared: &shard.shared,
                wire: &self.wire,
                rank,
                peer: self.peer(),
                envelope: &mut self.envelope,
                now,
                list,
            };
            match entrance.open(admission) {
                Opening::Opened { mailbox, silence_max } => {
                    shard.wheel.set(&mut self.watch, self.wire.key(), silence_max, now);
                    self.mailbox = Some(mailbox);
                    self.count_unadmitted(shard, 0);
                    if let Some(version) = self.codec.version() {
                        let bytes_max = shard.shared.limits.packet_bytes_max.get();
                        self.codec = Codec::with_version(version, bytes_max);
                    }
                    // One that was not taken over was no more than a header in front.
                    self.is_enveloped &= self.envelope.take().is_none();
                }
                Opening::Wait(admission) => {
                    self.entering = Some(Box::new(Entering { admission, rank }));
                }
                Opening::Outrun => self.wire.signal(DETACHED),
            }
        });
    }

    /// Sends some retained messages if the client takes them now; false if it has to be waited for,
    /// or there are none to send. It is asked again in the next turn, and what is waited for brings
    /// one about: acknowledgements, which are read, or room, after output that was blocked.
    fn feed(&mut self, shard: &Shard) -> bool {
        let Some(mailbox) = &self.mailbox else { return false };
        let feed = {
            let mut inner = mailbox.lock();
            let Inner { link, feeds, .. } = &mut *inner;
            let Some(link) = link.as_ref().filter(|link| link.is(&self.wire)) else { return false };
            if feeds.is_empty() || link.closing.is_some() {
                return false;
            }
            if link.output.has_room() { feeds.pop_front() } else { None }
        };
        let now = shard.now.get();
        let Some(mut feed) = feed else {
            // Nobody would tell when the driver has made room.
            return self.flush_as_owner(shard) == Flushed::Empty;
        };
        let fed = shard
            .with_flush_list(|list| feed.send_page(&shard.shared, list, mailbox, &self.wire, now));
        if fed != Fed::All {
            mailbox.lock().feeds.push_front(feed);
        }
        fed != Fed::Nothing
    }

    fn look_at_socket(&mut self, shard: &Shard, has_read: &mut bool) -> Event {
        loop {
            let signals = self.wire.signals();
            self.linger(shard, signals);
            if signals & DETACHED != 0 {
                return Ending::Detached.into();
            }
            if self.is_overdue {
                let ending = if self.lingering { Ending::Closed } else { Ending::Silent };
                return ending.into();
            }
            if signals & BLOCKED != 0 {
                if !self.is_writable {
                    let may_read = self.may_read();
                    return if may_read {
                        self.read(shard, has_read)
                    } else {
                        Event::Step(Step::Wait)
                    };
                }
                // The client takes bytes: that is a sign of life, whatever it cannot get through.
                shard.wheel.hear(&mut self.watch, shard.now.get());
                match self.flush_as_owner(shard) {
                    Flushed::Empty => return Event::Drained,
                    Flushed::More => return Event::Step(Step::Again),
                    Flushed::Blocked => {}
                    Flushed::Broken => return Ending::Lost.into(),
                }
                continue;
            }
            match self.write_answers() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Event::Step(Step::Wait);
                }
                Err(_) => return Ending::Lost.into(),
            }
            let by_us = matches!(self.closed, Some(CloseReason::Server { .. }));
            if (by_us || signals & CLOSING != 0) && self.flush_as_owner(shard) == Flushed::Blocked {
                // The driver had not come to the last word yet.
                continue;
            }
            // [MQTT5-3.14.4-2]
            if signals & CLOSING != 0 || self.closed.is_some() {
                return Ending::Closed.into();
            }
            if self.paused {
                return Event::Drained;
            }
            if self.awaits_answers {
                return Event::Step(Step::Wait);
            }
            return self.read(shard, has_read);
        }
    }

    /// From the moment it is closing, a connection has a bounded time for its last bytes.
    fn linger(&mut self, shard: &Shard, signals: u8) {
        if !self.lingering && (signals & CLOSING != 0 || self.closed.is_some()) {
            self.lingering = true;
            shard.wheel.set(&mut self.watch, self.wire.key(), Some(LINGER), shard.now.get());
        }
    }

    /// Whether answers to what the client sends would find room.
    fn may_read(&self) -> bool {
        let is_open = self.closed.is_none() && !self.awaits_answers;
        let Some(mailbox) = self.mailbox.as_ref().filter(|_| is_open) else { return false };
        let inner = mailbox.lock();
        inner.link.as_ref().is_some_and(|link| link.closing.is_none() && link.output.has_room())
    }

    /// Reads what is there; once in a turn.
    fn read(&mut self, shard: &Shard, has_read: &mut bool) -> Event {
        if let Some(ending) = self.dried_up {
            return ending.into();
        }
        if !self.is_readable {
            return Event::Step(Step::Wait);
        }
        if std::mem::replace(has_read, true) {
            return Event::Step(Step::Again);
        }
        let mut buffer = shard.read_buffer.borrow_mut();
        match self.wire.socket.read(&mut buffer) {
            Ok(0) => Ending::Lost.into(),
            Ok(count) => {
                // If there was room for more than there was, the next news come with the next
                // bytes: no call is spent on learning that there are none.
                self.is_readable = count == buffer.len() || self.is_finished;
                Event::Read(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                (self.is_readable, self.is_finished) = (false, false);
                Event::Step(Step::Wait)
            }
            Err(_) => Ending::Lost.into(),
        }
    }

    /// Writes what there is, unless the system is known to take nothing: then there will be news.
    fn flush_as_owner(&mut self, shard: &Shard) -> Flushed {
        let Some(mailbox) = &self.mailbox else { return Flushed::Empty };
        if !self.is_writable && self.wire.signals() & BLOCKED != 0 {
            return Flushed::Blocked;
        }
        let flushed = mailbox.flush_as_owner(&shard.shared, &self.wire, shard.now.get());
        self.is_writable &= flushed != Flushed::Blocked;
        flushed
    }

    fn take_read(&mut self, shard: &Shard, count: usize) {
        let now = shard.now.get();
        shard.with_flush_list(|list| {
            list.tally.bytes_received += count as u64;
            if self.is_enveloped {
                let mut plain = shard.plain_buffer.borrow_mut();
                plain.clear();
                self.open_envelope(shard, count, &mut plain, list);
                self.take_plain(shard, &plain, now, list);
            } else {
                self.take_plain(shard, &shard.read_buffer.borrow()[..count], now, list);
            }
        });
    }

    fn take_plain(&mut self, shard: &Shard, bytes: &[u8], now: Instant, list: &mut FlushList) {
        if bytes.is_empty() {
            return;
        }
        if self.rest.is_empty() {
            let used = self.take(shard, bytes, now, list);
            self.keep(shard, &bytes[used..]);
        } else {
            self.rest.extend_from_slice(bytes);
            self.take_rest(shard, now, list);
        }
    }

    /// Whether the bytes kept are a whole packet, or none at all.
    fn holds_packet(&self) -> bool {
        match self.codec.frame_len(&self.rest) {
            Ok(Some(len)) => self.rest.len() >= len,
            Ok(None) => false,
            Err(_) => true,
        }
    }

    fn take_rest(&mut self, shard: &Shard, now: Instant, list: &mut FlushList) {
        let rest = std::mem::take(&mut self.rest);
        let used = self.take(shard, &rest, now, list);
        if used == 0 {
            self.rest = rest;
        } else {
            self.keep(shard, &rest[used..]);
        }
    }

    fn keep(&mut self, shard: &Shard, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let frame = self.codec.frame_len(bytes).ok().flatten().unwrap_or(0);
        self.rest.reserve_exact(frame.max(bytes.len()));
        self.rest.extend_from_slice(bytes);
        if self.mailbox.is_none() {
            self.count_unadmitted(shard, self.rest.capacity());
        }
    }

    /// What is kept of clients that are not let in yet is bounded for all of them together.
    fn count_unadmitted(&mut self, shard: &Shard, bytes: usize) {
        let all = &shard.shared.unadmitted_bytes;
        let before = all.fetch_add(bytes, Ordering::Relaxed);
        all.fetch_sub(self.unadmitted_bytes as usize, Ordering::Relaxed);
        self.unadmitted_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if bytes > 0 && before > UNADMITTED_BYTES_MAX {
            let detail = "too many clients have sent half a CONNECT";
            debug!(listener = self.listening.name, peer = %self.peer(), "Refused: {detail}.");
            let reason = ReasonCode::QuotaExceeded;
            self.closed = Some(CloseReason::Server { reason, detail });
        }
    }

    /// Handles the packets in `bytes` and tells how many bytes that took. Fewer than there are
    /// when a packet is not whole, or when the rest has to wait.
    fn take(&mut self, shard: &Shard, bytes: &[u8], now: Instant, list: &mut FlushList) -> usize {
        let mut used = 0;
        if self.entering.is_some() {
            return 0;
        }
        if self.mailbox.is_none() && self.closed.is_none() {
            match self.take_connect(shard, bytes, list) {
                Some(len) if self.closed.is_none() => return len,
                Some(len) => used = len,
                None => return 0,
            }
        }
        while used < bytes.len() && self.closed.is_none() && self.backlog.is_none() {
            let (len, more) = self.take_batch(shard, &bytes[used..], now, list);
            used += len;
            if !more || len == 0 {
                break;
            }
        }
        if used > 0 {
            // A whole packet came; bytes in dribbles are no sign of life.
            shard.wheel.hear(&mut self.watch, now);
        }
        // [MQTT3-3.1.4-5] [MQTT5-3.1.4-6]
        if self.closed.is_some() { bytes.len() } else { used }
    }

    /// The first packet.
    fn take_connect(&mut self, shard: &Shard, bytes: &[u8], list: &mut FlushList) -> Option<usize> {
        let error = match self.codec.decode(bytes) {
            Ok(None) => return None,
            Ok(Some((Packet::Connect(connect), len))) => {
                list.tally.packets_received[1] += 1;
                let is_verified = self.wire.socket.is_verified()
                    || self.envelope.as_ref().is_some_and(|envelope| envelope.is_verified());
                match open::admit(&shard.shared, &self.listening, connect, is_verified) {
                    Ok(admission) => {
                        let rank = shard.shared.next_number();
                        self.entering = Some(Box::new(Entering { admission, rank }));
                    }
                    // [MQTT5-3.1.4-2]
                    Err(refusal) => self.refuse(&refusal),
                }
                return Some(len);
            }
            Ok(Some(_)) => DecodeError::FirstPacketNotConnect,
            Err(error) => error,
        };
        self.refuse_bytes(shard, error);
        Some(bytes.len())
    }

    /// Bytes that are no CONNECT.
    fn refuse_bytes(&mut self, shard: &Shard, error: DecodeError) {
        Metrics::add(&shard.shared.metrics.packets_malformed, 1);
        let (refusal, is_told) = handshake::refuse_bytes(error, self.codec.version());
        if is_told {
            return self.refuse(&refusal);
        }
        debug!(
            listener = self.listening.name, peer = %self.peer(), %error, "Refused a connection."
        );
        self.closed = Some(CloseReason::Server { reason: refusal.reason, detail: refusal.detail });
    }

    /// There is no session yet: the answer is written here. [MQTT3-3.2.2-5] [MQTT5-3.2.2-7]
    fn refuse(&mut self, refusal: &Refusal) {
        let version = self.codec.version().unwrap_or(ProtocolVersion::V3_1_1);
        let mut bytes = Vec::new();
        // [MQTT5-3.14.0-1]
        codec::encode(version, &Packet::Connack(Box::new(refusal.connack())), &mut bytes);
        // A fresh socket takes these few bytes; if not, the client is gone.
        match &mut self.envelope {
            Some(envelope) => {
                envelope.seal(&bytes).and_then(|()| envelope.write_sealed(&self.wire).1).ok();
            }
            None => {
                self.wire.socket.write(&bytes).ok();
            }
        }
        debug!(
            listener = self.listening.name, peer = %self.peer(), reason = %refusal.reason,
            detail = refusal.detail,
            "Refused a client."
        );
        self.closed = Some(CloseReason::Server { reason: refusal.reason, detail: refusal.detail });
    }

    /// Lets the session handle packets, as many as can be done together, then does what it asks.
    /// Tells how many bytes that took and whether there may be more to do.
    fn take_batch(
        &mut self,
        shard: &Shard,
        bytes: &[u8],
        now: Instant,
        list: &mut FlushList,
    ) -> (usize, bool) {
        let Self { mailbox: Some(mailbox), codec, .. } = self else { return (0, false) };
        let drops = &shard.shared.drops;
        let mut actions = Actions::default();
        let mut packets_received = list.tally.packets_received;
        let handled = mailbox.with_link(&self.wire, drops, list, |session, exit| {
            let count = |number: u8, count| packets_received[usize::from(number)] += count as u64;
            session.handle_bytes(codec, bytes, now, &mut actions, exit, count)
        });
        list.tally.packets_received = packets_received;
        if !actions.inbound.is_empty() || actions.then.is_some() {
            let wire = &self.wire;
            let work = Work { shard, mailbox, wire, now };
            let mut backlog = VecDeque::new();
            self.closed = work.perform(&mut actions, &mut backlog, list);
            self.backlog = (!backlog.is_empty()).then(|| Box::new(backlog));
        }
        // The session has another connection, or is over: nothing of this one counts any more.
        let Some(handled) = handled else { return (bytes.len(), false) };
        match handled.stop {
            Stop::Actions => (handled.used, true),
            Stop::Incomplete => (handled.used, false),
            Stop::Malformed => {
                Metrics::add(&shard.shared.metrics.packets_malformed, 1);
                (bytes.len(), false)
            }
            Stop::NotReading => {
                self.paused = true;
                (handled.used, false)
            }
            Stop::Unanswered => {
                self.awaits_answers = true;
                (handled.used, false)
            }
        }
    }

    /// A slice of what a wide fan-out left to do.
    fn work_off(&mut self, shard: &Shard) {
        let Self { mailbox: Some(mailbox), backlog: Some(backlog), wire, .. } = self else {
            return;
        };
        let now = shard.now.get();
        let work = Work { shard, mailbox, wire, now };
        shard.with_flush_list(|list| {
            if let Some(Backlog::Run(run)) = backlog.front_mut()
                && !run.deliver_slice(&shard.shared, list, now)
            {
                return;
            }
            let close = match backlog.pop_front() {
                Some(Backlog::Run(run)) => run.answer(&work, list),
                Some(Backlog::Action(action)) => work.perform_one(action, list),
                None => None,
            };
            self.closed = self.closed.or(close);
        });
        if self.backlog.as_ref().is_some_and(|backlog| backlog.is_empty()) {
            self.backlog = None;
        }
    }

    /// Why another turn has closed the connection, if one has: `CLOSING` does not say.
    fn closed_by_others(&self, mailbox: &Mailbox) -> Option<CloseReason> {
        let inner = mailbox.lock();
        inner.link.as_ref().filter(|link| link.is(&self.wire))?.closing
    }

    fn finish(&mut self, shard: &Shard, ending: Ending) {
        let shared = &shard.shared;
        let now = shard.now.get();
        self.count_unadmitted(shard, 0);
        let mut closed = self.closed;
        if let Some(mailbox) = &self.mailbox {
            let last_word = match ending {
                // [MQTT3-3.1.2-24] [MQTT5-3.1.2-22]
                Ending::Silent => Some((
                    ReasonCode::KeepAliveTimeout,
                    "nothing was heard for one and a half keep alive intervals",
                )),
                Ending::Panicked => Some((
                    ReasonCode::UnspecifiedError,
                    "the server made a mistake over what was sent",
                )),
                Ending::Lost | Ending::Garbled(_) | Ending::Closed | Ending::Detached => None,
            };
            if let Some((reason, detail)) = last_word {
                if matches!(ending, Ending::Silent) {
                    Metrics::add(&shared.metrics.keep_alive_timeouts, 1);
                }
                let mut inner = mailbox.lock();
                if inner.link.as_ref().is_some_and(|link| link.is(&self.wire)) {
                    inner.close(shared, mailbox, reason, detail);
                }
            } else {
                mailbox.flush_as_owner(shared, &self.wire, now);
            }
            mailbox.say_goodbye(&self.wire);
            closed = closed.or_else(|| self.closed_by_others(mailbox));
            debug!(
                client_id = %mailbox.client_id(), peer = %self.peer(), ?ending,
                ?closed, "Connection ended."
            );
            let why = match (ending, closed) {
                (_, Some(closed)) => closed.reason().text(),
                (Ending::Silent, None) => ReasonCode::KeepAliveTimeout.text(),
                (Ending::Panicked, None) => ReasonCode::UnspecifiedError.text(),
                (Ending::Detached, None) => ReasonCode::SessionTakenOver.text(),
                (Ending::Garbled(_) | Ending::Lost | Ending::Closed, None) => "connection lost",
            };
            shard.with_flush_list(|list| {
                leave::detach(shared, list, mailbox, &self.wire, why, now);
            });
        }
        if let Some(envelope) = &mut self.envelope {
            envelope.close();
            envelope.write_sealed(&self.wire).1.ok();
        }
        if self.mailbox.is_none() && self.closed.is_none() {
            debug!(
                listener = self.listening.name, peer = %self.peer(), ?ending,
                "Connection ended before CONNECT."
            );
        }
        match (ending, closed) {
            (_, Some(CloseReason::Server { reason, .. })) => shared.metrics.ended(reason),
            (_, Some(CloseReason::Client(_))) => shared.metrics.ended_by(End::ClientLeft),
            (Ending::Silent, None) if self.mailbox.is_none() => {
                shared.metrics.ended_by(End::NoConnect);
            }
            (Ending::Silent, None) => shared.metrics.ended(ReasonCode::KeepAliveTimeout),
            (Ending::Panicked, None) => shared.metrics.ended(ReasonCode::UnspecifiedError),
            (Ending::Detached, None) => shared.metrics.ended(ReasonCode::SessionTakenOver),
            (Ending::Garbled(layer), None) => shared.metrics.ended_by(layer.into()),
            (Ending::Lost | Ending::Closed, None) => shared.metrics.ended_by(End::Lost),
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "interleavings"))]
mod tests;
