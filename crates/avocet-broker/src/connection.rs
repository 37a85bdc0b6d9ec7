//! The owner of one socket: it alone reads, and it writes when the system did not take everything
//! at once. What the bytes mean the codec and the session say; here they are carried.
//!
//! A turn: read what is there, let the session handle the packets, route what was published, and
//! only then answer. The flusher writes. `last_words`: what is done for a client that is gone;
//! `enveloped`: what TLS and WebSocket need.

mod enveloped;
mod last_words;

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use avocet_mqtt::{Codec, DecodeError, Packet, ProtocolVersion, ReasonCode, codec};
use avocet_net::{Layer, Layers};
use avocet_session::{Actions, Admission, CloseReason, Refusal, Stop, handshake};
use tokio::task::yield_now;
use tracing::{debug, warn};

use crate::{
    batch::Work,
    broker::Listening,
    envelope::Envelope,
    leave,
    mailbox::{FlushList, Inner, Mailbox},
    metrics::{End, Metrics},
    open::{self, Entrance, Opening},
    output::Flushed,
    publish::Backlog,
    shard::{Accepted, Shard},
    subscribe::Fed,
    wheel::Watch,
    wire::{BLOCKED, CHANGED, CLOSING, DETACHED, Wire},
};

/// How long the last bytes may take once a connection is closing.
const LINGER: Duration = Duration::from_secs(5);

/// Bytes that are kept of all clients that are not let in yet.
const UNADMITTED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a connection's task waits for.
enum Event {
    /// So many bytes are in the shard's buffer.
    Read(usize),
    /// Output that was blocked is written.
    Drained,
    /// There is more to write; others come first.
    Turn,
    /// It is over.
    End(Ending),
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

struct Connection {
    shard: Rc<Shard>,
    wire: Arc<Wire>,
    listening: Arc<Listening>,
    /// What lies around the bytes: here until CONNECT, then in the mailbox.
    envelope: Option<Box<Envelope>>,
    is_enveloped: bool,
    /// Nothing more can be read, and why.
    dried_up: Option<Ending>,
    /// What it adds to the node's count.
    unadmitted_bytes: u32,
    codec: Codec,
    /// Bytes of a packet that is not wholly there, or that have to wait.
    rest: Vec<u8>,
    watch: Rc<Watch>,
    /// Set by CONNECT.
    mailbox: Option<Mailbox>,
    /// A client that waits for its older connection to go.
    entering: Option<Box<Admission>>,
    backlog: VecDeque<Backlog>,
    /// The client does not read its answers: nothing more is taken from it until it does.
    paused: bool,
    closed: Option<CloseReason>,
    /// It is closing and has a bounded time for it.
    lingering: bool,
}

/// Serves a connection from its first byte to its last.
pub(crate) async fn run(shard: Rc<Shard>, accepted: Accepted) {
    let age = accepted.stream.age();
    match accepted.stream.own() {
        Ok(socket) => serve(shard, Arc::new(Wire::new(socket)), accepted.listening, age).await,
        Err(error) => warn!(%error, "Cannot serve a connection."),
    }
}

/// [`run`] for a socket that has its owner, of a connection that has been there for so long.
pub(crate) async fn serve(
    shard: Rc<Shard>,
    wire: Arc<Wire>,
    listening: Arc<Listening>,
    age: Duration,
) {
    let patience = listening.connect_timeout.saturating_sub(age);
    let layers = Layers::accept(&listening.wrapping);
    let mut connection = Connection {
        is_enveloped: layers.is_some(),
        envelope: layers.map(|layers| Box::new(Envelope::new(layers))),
        dried_up: None,
        unadmitted_bytes: 0,
        codec: Codec::new(shard.shared.options.connect_bytes_max),
        watch: shard.wheel.watch(patience, Instant::now()),
        listening,
        shard,
        wire,
        rest: Vec::new(),
        mailbox: None,
        backlog: VecDeque::new(),
        entering: None,
        paused: false,
        closed: None,
        lingering: false,
    };
    let ending = connection.serve_guarded().await;
    connection.finish(ending);
}

impl Connection {
    /// A bug of ours ends this one connection, and the metrics say so.
    async fn serve_guarded(&mut self) -> Ending {
        let ending = {
            let mut serving = pin!(self.serve_to_the_end());
            poll_fn(|cx| {
                let polled = catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(cx)));
                polled.unwrap_or(Poll::Ready(Ending::Panicked))
            })
            .await
        };
        if matches!(ending, Ending::Panicked) {
            Metrics::add(&self.shard.shared.metrics.connections_panicked, 1);
        }
        ending
    }

    async fn serve_to_the_end(&mut self) -> Ending {
        let ending = self.serve().await;
        if self.closed.is_none() && matches!(ending, Ending::Lost | Ending::Closed) {
            self.take_last_words().await;
        }
        ending
    }

    async fn serve(&mut self) -> Ending {
        loop {
            while !self.backlog.is_empty() {
                self.work_off();
                yield_now().await;
            }
            if self.wire.signals() & DETACHED != 0 {
                return Ending::Detached;
            }
            if let Some(admission) = self.entering.take() {
                self.enter(*admission);
                if self.entering.is_some() && !self.wait_for_change().await {
                    return Ending::Silent;
                }
                yield_now().await;
                continue;
            }
            let fed = self.feed();
            if fed {
                yield_now().await;
            }
            if self.paused && self.flush_as_owner() == Flushed::Empty {
                self.paused = false;
            }
            if !self.rest.is_empty() && !self.paused && self.holds_packet() {
                let (shard, now) = (Rc::clone(&self.shard), Instant::now());
                shard.now.set(now);
                shard.with_flush_list(|list| self.take_rest(now, list));
                continue;
            }
            let event = poll_fn(|cx| match self.poll_event(cx) {
                Poll::Ready(event) => Poll::Ready(Some(event)),
                // There is more to feed: what the client sends is looked at in between.
                Poll::Pending if fed => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            match event.await {
                None => {}
                Some(Event::Read(count)) => self.take_read(count),
                Some(Event::Drained) => self.paused = false,
                Some(Event::Turn) => yield_now().await,
                Some(Event::End(ending)) => return ending,
            }
        }
    }

    /// Asks for the session of a client that may come in.
    fn enter(&mut self, admission: Admission) {
        let (shard, now) = (Rc::clone(&self.shard), Instant::now());
        self.wire.clear(CHANGED);
        shard.with_flush_list(|list| {
            let entrance = Entrance {
                shared: &shard.shared,
                wire: &self.wire,
                peer: self.peer(),
                envelope: &mut self.envelope,
                now,
                list,
            };
            match entrance.open(admission) {
                Opening::Opened { mailbox, silence_max } => {
                    shard.wheel.set(&self.watch, silence_max, now);
                    self.mailbox = Some(mailbox);
                    self.count_unadmitted(0);
                    if let Some(version) = self.codec.version() {
                        let bytes_max = shard.shared.limits.packet_bytes_max.get();
                        self.codec = Codec::with_version(version, bytes_max);
                    }
                    // One that was not taken over was no more than a header in front.
                    self.is_enveloped &= self.envelope.take().is_none();
                }
                Opening::Wait(admission) => self.entering = Some(Box::new(admission)),
            }
        });
    }

    /// Waits until the session may be had. False if that takes too long.
    async fn wait_for_change(&self) -> bool {
        poll_fn(|cx| {
            self.wire.own(cx.waker());
            self.watch.own(cx.waker());
            if self.watch.expired.get() {
                Poll::Ready(false)
            } else if self.wire.signals() & CHANGED != 0 {
                Poll::Ready(true)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// Sends some retained messages if the client takes them now; false if it has to be waited for,
    /// or there are none to send. It is asked again in the next turn, and what is waited for brings
    /// one about: acknowledgements, which are read, or room, after output that was blocked.
    fn feed(&mut self) -> bool {
        let Self { shard, mailbox: Some(mailbox), .. } = self else { return false };
        let feed = {
            let mut inner = mailbox.lock();
            let Inner { link, feeds, .. } = &mut *inner;
            let Some(link) = link.as_ref().filter(|link| link.is(&self.wire)) else { return false };
            if feeds.is_empty() || link.closing.is_some() {
                return false;
            }
            if link.output.has_room() { feeds.pop_front() } else { None }
        };
        let now = Instant::now();
        let Some(mut feed) = feed else {
            // Nobody would tell when the flusher has made room.
            return mailbox.flush_as_owner(&shard.shared, &self.wire, now) == Flushed::Empty;
        };
        let fed = shard
            .with_flush_list(|list| feed.send_page(&shard.shared, list, mailbox, &self.wire, now));
        if fed != Fed::All {
            mailbox.lock().feeds.push_front(feed);
        }
        fed != Fed::Nothing
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.wire.own(cx.waker());
        self.watch.own(cx.waker());
        loop {
            let signals = self.wire.signals();
            self.linger(signals);
            if signals & DETACHED != 0 {
                return Poll::Ready(Event::End(Ending::Detached));
            }
            if self.watch.expired.get() {
                let ending = if self.lingering { Ending::Closed } else { Ending::Silent };
                return Poll::Ready(Event::End(ending));
            }
            if signals & BLOCKED != 0 {
                match self.wire.socket.poll_writable(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Event::End(Ending::Lost)),
                    Poll::Pending if self.may_read() => return self.poll_read(cx),
                    Poll::Pending => return Poll::Pending,
                }
                // The client takes bytes: that is a sign of life, whatever it cannot get through.
                self.watch.heard_at.set(Instant::now());
                match self.flush_as_owner() {
                    Flushed::Empty => return Poll::Ready(Event::Drained),
                    Flushed::More => return Poll::Ready(Event::Turn),
                    Flushed::Blocked => self.wire.socket.forget_writable(),
                    Flushed::Broken => return Poll::Ready(Event::End(Ending::Lost)),
                }
                continue;
            }
            match self.poll_answered(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Event::End(Ending::Lost)),
                Poll::Pending => return Poll::Pending,
            }
            let by_us = matches!(self.closed, Some(CloseReason::Server { .. }));
            if (by_us || signals & CLOSING != 0) && self.flush_as_owner() == Flushed::Blocked {
                // The flusher had not come to the last word yet.
                continue;
            }
            // [MQTT5-3.14.4-2]
            if signals & CLOSING != 0 || self.closed.is_some() {
                return Poll::Ready(Event::End(Ending::Closed));
            }
            if self.paused {
                return Poll::Ready(Event::Drained);
            }
            return self.poll_read(cx);
        }
    }

    /// From the moment it is closing, a connection has a bounded time for its last bytes.
    fn linger(&mut self, signals: u8) {
        if !self.lingering && (signals & CLOSING != 0 || self.closed.is_some()) {
            self.lingering = true;
            self.shard.wheel.set(&self.watch, Some(LINGER), Instant::now());
        }
    }

    /// Whether answers to what the client sends would find room.
    fn may_read(&self) -> bool {
        let Some(mailbox) = self.mailbox.as_ref().filter(|_| self.closed.is_none()) else {
            return false;
        };
        let inner = mailbox.lock();
        inner.link.as_ref().is_some_and(|link| link.closing.is_none() && link.output.has_room())
    }

    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(ending) = self.dried_up {
            return Poll::Ready(Event::End(ending));
        }
        let mut buffer = self.shard.read_buffer.borrow_mut();
        match ready!(self.wire.socket.poll_read(cx, &mut buffer)) {
            Ok(0) | Err(_) => Poll::Ready(Event::End(Ending::Lost)),
            Ok(count) => Poll::Ready(Event::Read(count)),
        }
    }

    fn flush_as_owner(&self) -> Flushed {
        match &self.mailbox {
            Some(mailbox) => mailbox.flush_as_owner(&self.shard.shared, &self.wire, Instant::now()),
            None => Flushed::Empty,
        }
    }

    fn take_read(&mut self, count: usize) {
        let now = Instant::now();
        let shard = Rc::clone(&self.shard);
        shard.now.set(now);
        shard.with_flush_list(|list| {
            list.tally.bytes_received += count as u64;
            if self.is_enveloped {
                let mut plain = shard.plain_buffer.borrow_mut();
                plain.clear();
                self.open_envelope(count, &mut plain, list);
                self.take_plain(&plain, now, list);
            } else {
                self.take_plain(&shard.read_buffer.borrow()[..count], now, list);
            }
        });
    }

    fn take_plain(&mut self, bytes: &[u8], now: Instant, list: &mut FlushList) {
        if bytes.is_empty() {
            return;
        }
        if self.rest.is_empty() {
            let used = self.take(bytes, now, list);
            self.keep(&bytes[used..]);
        } else {
            self.rest.extend_from_slice(bytes);
            self.take_rest(now, list);
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

    fn take_rest(&mut self, now: Instant, list: &mut FlushList) {
        let rest = std::mem::take(&mut self.rest);
        let used = self.take(&rest, now, list);
        if used == 0 {
            self.rest = rest;
        } else {
            self.keep(&rest[used..]);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let frame = self.codec.frame_len(bytes).ok().flatten().unwrap_or(0);
        self.rest.reserve_exact(frame.max(bytes.len()));
        self.rest.extend_from_slice(bytes);
        if self.mailbox.is_none() {
            self.count_unadmitted(self.rest.capacity());
        }
    }

    /// What is kept of clients that are not let in yet is bounded for all of them together.
    fn count_unadmitted(&mut self, bytes: usize) {
        let all = &self.shard.shared.unadmitted_bytes;
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
    fn take(&mut self, bytes: &[u8], now: Instant, list: &mut FlushList) -> usize {
        let mut used = 0;
        if self.entering.is_some() {
            return 0;
        }
        if self.mailbox.is_none() && self.closed.is_none() {
            match self.take_connect(bytes, list) {
                Some(len) if self.closed.is_none() => return len,
                Some(len) => used = len,
                None => return 0,
            }
        }
        while used < bytes.len() && self.closed.is_none() && self.backlog.is_empty() {
            let (len, more) = self.take_batch(&bytes[used..], now, list);
            used += len;
            if !more || len == 0 {
                break;
            }
        }
        if used > 0 {
            // A whole packet came; bytes in dribbles are no sign of life.
            self.watch.heard_at.set(now);
        }
        // [MQTT3-3.1.4-5] [MQTT5-3.1.4-6]
        if self.closed.is_some() { bytes.len() } else { used }
    }

    /// The first packet.
    fn take_connect(&mut self, bytes: &[u8], list: &mut FlushList) -> Option<usize> {
        let error = match self.codec.decode(bytes) {
            Ok(None) => return None,
            Ok(Some((Packet::Connect(connect), len))) => {
                list.tally.packets_received[1] += 1;
                let is_verified = self.wire.socket.is_verified()
                    || self.envelope.as_ref().is_some_and(|envelope| envelope.is_verified());
                match open::admit(&self.shard.shared, &self.listening, connect, is_verified) {
                    Ok(admission) => self.entering = Some(Box::new(admission)),
                    // [MQTT5-3.1.4-2]
                    Err(refusal) => self.refuse(&refusal),
                }
                return Some(len);
            }
            Ok(Some(_)) => DecodeError::FirstPacketNotConnect,
            Err(error) => error,
        };
        self.refuse_bytes(error);
        Some(bytes.len())
    }

    /// Bytes that are no CONNECT.
    fn refuse_bytes(&mut self, error: DecodeError) {
        Metrics::add(&self.shard.shared.metrics.packets_malformed, 1);
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
    fn take_batch(&mut self, bytes: &[u8], now: Instant, list: &mut FlushList) -> (usize, bool) {
        let Self { shard, mailbox: Some(mailbox), codec, .. } = self else { return (0, false) };
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
            self.closed = work.perform(&mut actions, &mut self.backlog, list);
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
        }
    }

    /// A slice of what a wide fan-out left to do.
    fn work_off(&mut self) {
        let Self { shard, mailbox: Some(mailbox), .. } = self else { return };
        let now = Instant::now();
        shard.now.set(now);
        let work = Work { shard, mailbox, wire: &self.wire, now };
        shard.with_flush_list(|list| {
            if let Some(Backlog::Run(run)) = self.backlog.front_mut()
                && !run.deliver_slice(&shard.shared, list, now)
            {
                return;
            }
            let close = match self.backlog.pop_front() {
                Some(Backlog::Run(run)) => run.answer(&shard.shared, mailbox, work.wire, list),
                Some(Backlog::Action(action)) => work.perform_one(action, list),
                None => None,
            };
            self.closed = self.closed.or(close);
        });
    }

    /// Why another turn has closed the connection, if one has: `CLOSING` does not say.
    fn closed_by_others(&self, mailbox: &Mailbox) -> Option<CloseReason> {
        let inner = mailbox.lock();
        inner.link.as_ref().filter(|link| link.is(&self.wire))?.closing
    }

    fn finish(mut self, ending: Ending) {
        let shared = Arc::clone(&self.shard.shared);
        let now = Instant::now();
        self.count_unadmitted(0);
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
                    inner.close(&shared, mailbox.client_id(), reason, detail);
                }
            } else {
                mailbox.flush_as_owner(&shared, &self.wire, now);
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
            self.shard.with_flush_list(|list| {
                leave::detach(&shared, list, mailbox, &self.wire, why, now);
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
        self.wire.socket.shutdown();
    }
}

#[cfg(test)]
#[cfg(not(feature = "interleavings"))]
mod tests;
