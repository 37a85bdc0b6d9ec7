//! What goes to the client.

use std::{borrow::Cow, sync::Arc, time::Instant};

use avocet_mqtt::{
    AckKind, ApplicationMessage, PacketId, Publish, QoS, Run, SubscriptionIdentifier, Transit,
    codec,
};

use crate::{
    Change, DropReason, Limits, Messages, Outlet, Place, QueueFull, Session, StoredId, Then,
    alias::Naming,
    connection::Connection,
    inflight::{Again, Inflight, LOGGED_BYTES_MAX},
    outbox::{Outbox, Pushed},
    stored::Stored,
    waiting::Waiting,
};

/// How this client gets a message: what its matching subscriptions say together.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The highest QoS granted.
    pub qos: QoS,
    /// Whether the RETAIN flag stays as published.
    pub retain_as_published: bool,
    /// The identifiers of all subscriptions that match ([MQTT5-3.3.4-3], [MQTT5-3.3.4-4]).
    pub identifiers: &'a [SubscriptionIdentifier],
    /// The shared subscription, if one brought it.
    pub shared: Option<&'a Arc<str>>,
    /// A retained message sent because of a new subscription.
    pub retained: bool,
    /// Its publisher was told that it arrives: no bound refuses it.
    pub promised: bool,
}

/// What became of a message, or the worst that became of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delivery {
    /// Written.
    Sent,
    /// It waits.
    Queued,
    /// It will not arrive; the outlet was told why.
    Dropped,
    /// The queue is full and refuses: the publisher is to be told.
    Refused,
}

/// A message of a shared subscription that its member did not take.
#[derive(Debug)]
pub struct Undelivered {
    /// The subscription as it was sent.
    pub subscription: Arc<str>,
    /// The message.
    pub message: Arc<ApplicationMessage>,
    /// Where the store has it, to be released once another member has it.
    pub stored: Option<(StoredId, Place)>,
}

impl Session {
    /// Takes messages for the client, in order.
    pub fn handle_messages<O: Outlet>(
        &mut self,
        messages: &Messages<'_>,
        terms: &Terms<'_>,
        now: Instant,
        out: &mut O,
    ) -> Delivery {
        let sent = match messages {
            Messages::Run(run) if self.stored.is_none() => self.send_run(run, terms, out),
            Messages::One(..) | Messages::Run(_) => 0,
        };
        if sent == messages.len() {
            return Delivery::Sent;
        }
        let rest = &messages.transits()[sent..];
        rest.iter().fold(Delivery::Sent, |worst, transit| {
            worst.max(self.handle_delivery(transit, terms, now, out))
        })
    }

    /// Sends the first messages of a run as they came, as many as can be. Tells how many.
    fn send_run<O: Outlet>(&mut self, run: &Run<'_>, terms: &Terms<'_>, out: &mut O) -> usize {
        let frames = run.frames();
        let qos = run.qos().min(terms.qos); // [MQTT3-3.8.4-6] [MQTT5-3.8.4-8]
        let Some(connection) = self.connection.as_ref().filter(|c| c.takes(frames, qos)) else {
            return 0;
        };
        if terms.retained || !terms.identifiers.is_empty() || !out.has_room() {
            return 0;
        }
        if qos == QoS::AtMostOnce {
            if self.outbox.has_qos0() {
                return 0;
            }
            out.send_frames(frames, None);
            return frames.len();
        }
        if !self.outbox.is_empty() {
            return 0;
        }
        let count = self.inflight.room_for(frames, connection.window, &self.limits);
        if count == 0 {
            return 0;
        }
        let frames = frames.first(count);
        out.send_frames(&frames, Some((qos, self.inflight.next_id())));
        if terms.shared.is_none() && frames.longest() <= LOGGED_BYTES_MAX {
            self.inflight.push_frames(&frames, qos);
        } else {
            for transit in &run.transits()[..count] {
                self.inflight.push(waiting(transit, terms, qos, false));
            }
        }
        self.inflight.charge(&self.limits);
        count
    }

    /// Takes a message for the client: writes it now, keeps it, or drops it.
    pub fn handle_delivery<O: Outlet>(
        &mut self,
        transit: &Transit<'_>,
        terms: &Terms<'_>,
        now: Instant,
        out: &mut O,
    ) -> Delivery {
        let qos = transit.qos().min(terms.qos); // [MQTT3-3.8.4-6] [MQTT5-3.8.4-8]
        // [MQTT3-3.3.1-8] [MQTT3-3.3.1-9] [MQTT5-3.3.1-8] [MQTT5-3.3.1-12] [MQTT5-3.3.1-13]
        let retain = terms.retained || (terms.retain_as_published && transit.retain());
        // What is retained was not published for this session.
        if self.stored.is_some() && qos > QoS::AtMostOnce && !terms.retained {
            return self.claim(waiting(transit, terms, qos, retain), terms.promised, out);
        }
        // [MQTT3-3.1.2-5]
        let Some(connection) = self.connection.as_mut().filter(|c| c.is_open()) else {
            if qos == QoS::AtMostOnce && !self.limits.queue_qos0 {
                out.dropped(transit.topic(), qos, DropReason::Offline);
                return Delivery::Dropped;
            }
            return self.queue(waiting(transit, terms, qos, retain), terms.promised, out);
        };
        let window = window_left(qos, connection, &self.inflight, &self.outbox, &self.limits);
        if window == 0 || !out.has_room() {
            return self.queue(waiting(transit, terms, qos, retain), terms.promised, out);
        }
        let Some(mut publish) = transit.to_publish(now) else {
            out.dropped(transit.topic(), qos, DropReason::Expired); // [MQTT5-3.3.2-5]
            return Delivery::Dropped;
        };
        // [MQTT5-4.3.2-2] [MQTT5-4.3.3-2]
        publish.qos = qos;
        publish.retain = retain;
        publish.subscription_identifiers = Cow::Borrowed(terms.identifiers);
        if qos == QoS::AtMostOnce {
            return transmit(connection, publish, transit.shared_if_large(), out);
        }
        if qos == QoS::ExactlyOnce
            && let Some(stored) = &self.stored
        {
            // A retained one: the store is to know its identifier, not the message.
            let packet_id = self.inflight.next_id();
            self.inflight.push_unrecorded(waiting(transit, terms, qos, retain));
            self.inflight.charge(&self.limits);
            out.record(stored.id, Change::Occupy(packet_id), Some(Then::Send(packet_id)));
            return Delivery::Queued;
        }
        // [MQTT3-4.3.2-1] [MQTT5-4.3.2-1] [MQTT5-4.3.3-1]
        publish.packet_id = Some(self.inflight.next_id());
        let delivery = transmit(connection, publish, transit.shared_if_large(), out);
        if delivery == Delivery::Sent {
            // [MQTT3-4.3.2-1] [MQTT5-4.3.2-3] [MQTT5-4.3.3-3]
            self.inflight.push(waiting(transit, terms, qos, retain));
            self.inflight.charge(&self.limits);
        }
        delivery
    }

    /// Whether [`handle_delivery`](Self::handle_delivery) would refuse a QoS 1 or 2 message of so
    /// many bytes of topic, properties and payload; as far as can be told without the outlet.
    #[must_use]
    pub fn would_refuse(&self, bytes: usize) -> bool {
        if self.stored.is_some() {
            return self.would_refuse_claim(bytes);
        }
        let at_once = self.outbox.is_empty()
            && self.connection.as_ref().is_some_and(|connection| {
                connection.is_open() && self.inflight.has_window(connection.window, &self.limits)
            });
        !at_once && self.outbox.would_refuse(bytes, &self.limits)
    }

    /// How many messages of this QoS [`handle_delivery`](Self::handle_delivery) would write one
    /// after the other, as far as can be told without the outlet: none while it would have the
    /// first of them wait.
    #[must_use]
    pub fn would_send(&self, qos: QoS) -> usize {
        self.connection.as_ref().filter(|c| c.is_open()).map_or(0, |connection| {
            window_left(qos, connection, &self.inflight, &self.outbox, &self.limits)
        })
    }

    /// Writes what waits, as far as the connection and the window allow. To be called when the
    /// connection has room again; acknowledgements do it themselves.
    #[inline]
    pub fn pump<O: Outlet>(&mut self, now: Instant, out: &mut O) {
        if self.has_waiting() {
            self.pump_waiting(now, out);
        }
    }

    fn pump_waiting<O: Outlet>(&mut self, now: Instant, out: &mut O) {
        let Some(connection) = self.connection.as_mut().filter(|c| c.is_open()) else { return };
        let window = connection.window;
        while out.has_room() {
            let again = self.inflight.held().and_then(|inflight| inflight.resend(window));
            let Some((id, again)) = again else { break };
            let delivery = send_again(connection, id, &again, now, out);
            if delivery == Delivery::Dropped {
                let gone = self.inflight.discard(id); // [MQTT5-3.1.2-25]
                self.inflight.charge(&self.limits);
                self.release_sent(gone, out);
                return self.pump(now, out);
            }
        }
        while out.has_room() {
            let open = self.inflight.has_window(window, &self.limits);
            let Some(waiting) = self.outbox.pop(open, &self.limits) else { break };
            let stored = self.stored.as_deref_mut();
            send_waiting(connection, &mut self.inflight, stored, waiting, now, out);
            self.inflight.charge(&self.limits);
        }
        self.ask_for_more(out);
    }

    /// What has to be stored before an identifier's next packet is sent, is stored.
    pub(crate) fn send_recorded<O: Outlet>(&mut self, id: PacketId, now: Instant, out: &mut O) {
        if let Some(inflight) = self.inflight.held() {
            inflight.recorded(id);
        }
        if self.is_open() {
            self.pump(now, out);
        }
    }

    fn queue<O: Outlet>(&mut self, waiting: Waiting, promised: bool, out: &mut O) -> Delivery {
        if waiting.qos == QoS::AtMostOnce && self.is_full(waiting.message.len()) {
            out.dropped(waiting.message.topic(), waiting.qos, DropReason::QueueFull);
            return Delivery::Dropped;
        }
        let mut stored = self.stored.as_deref_mut();
        let evicted = |gone: &Waiting| {
            out.dropped(gone.message.topic(), gone.qos, DropReason::QueueFull);
            if let Some(stored) = &mut stored {
                stored.release(gone, out);
            }
        };
        let Pushed::Full(waiting) = self.outbox.push(waiting, &self.limits, evicted) else {
            return Delivery::Queued;
        };
        let mut dropped =
            |gone: &Waiting, reason| out.dropped(gone.message.topic(), gone.qos, reason);
        if waiting.qos == QoS::AtMostOnce || self.limits.queue_full == QueueFull::DropOldest {
            dropped(&waiting, DropReason::QueueFull);
            return Delivery::Dropped;
        }
        if promised {
            self.outbox.push_stored(waiting, &self.limits);
            return Delivery::Queued;
        }
        dropped(&waiting, DropReason::Refused);
        Delivery::Refused
    }

    /// The shared subscriptions that have brought what is in memory, perhaps more than once each.
    pub fn shared_in_memory(&self) -> Vec<Arc<str>> {
        let sent = self.inflight.shared();
        sent.chain(self.outbox.shared()).map(Arc::clone).collect()
    }

    /// Takes out what another member of a shared subscription may have: all that was not sent, and
    /// of what was sent QoS 1. QoS 2 stays with its client ([MQTT5-4.8.2-4], [MQTT5-4.8.2-5]).
    pub(crate) fn take_shared(&mut self) -> Vec<Undelivered> {
        self.take_shared_if(|_| true)
    }

    /// Takes out what waits for this shared subscription. To be called while there is no
    /// connection.
    pub fn take_shared_of(&mut self, subscription: &str) -> Vec<Undelivered> {
        self.take_shared_if(|shared| shared == subscription)
    }

    fn take_shared_if(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<Undelivered> {
        let mut taken = Vec::new();
        if let Some(inflight) = self.inflight.held() {
            taken = inflight.drain_shared(&wanted);
            inflight.charge(&self.limits);
        }
        if let Some(outbox) = self.outbox.held() {
            taken.extend(outbox.drain_shared(&self.limits, &wanted));
        }
        let mut stored = self.stored.as_deref_mut();
        let undelivered = |waiting: Waiting| {
            let subscription = Arc::clone(waiting.shared()?);
            let stored = stored.as_mut().and_then(|stored| stored.hand_over(&waiting));
            Some(Undelivered { subscription, message: waiting.message, stored })
        };
        taken.into_iter().filter_map(undelivered).collect()
    }

    pub(crate) fn drop_waiting<O: Outlet>(&mut self, out: &mut O) {
        let sent = self.inflight.held().map(|inflight| inflight.drain());
        let waiting = self.outbox.held().map(|outbox| outbox.drain(&self.limits));
        for waiting in sent.into_iter().flatten().chain(waiting.into_iter().flatten()) {
            out.dropped(waiting.message.topic(), waiting.qos, DropReason::SessionEnded);
            if let (Some(stored), Some(_)) = (&mut self.stored, waiting.place()) {
                stored.count_off(waiting.message.len());
            }
        }
    }
}

/// How many messages of this QoS the client may be sent before others that wait, and before it has
/// acknowledged some. QoS 0 needs no acknowledgement, and is not held up by what does.
#[inline]
fn window_left(
    qos: QoS,
    connection: &Connection,
    inflight: &Inflight,
    outbox: &Outbox,
    limits: &Limits,
) -> usize {
    match qos {
        QoS::AtMostOnce if outbox.has_qos0() => 0,
        QoS::AtMostOnce => usize::MAX,
        // None overtakes another, whatever its topic.
        // [MQTT3-4.6.0-5] [MQTT3-4.6.0-6] [MQTT5-4.6.0-5] [MQTT5-4.6.0-6]
        QoS::AtLeastOnce | QoS::ExactlyOnce if !outbox.is_empty() => 0,
        QoS::AtLeastOnce | QoS::ExactlyOnce => inflight.window_left(connection.window, limits),
    }
}

fn waiting(transit: &Transit<'_>, terms: &Terms<'_>, qos: QoS, retain: bool) -> Waiting {
    Waiting::new(Arc::clone(transit.share()), qos, retain, terms)
}

/// Sends a message that waited.
fn send_waiting<O: Outlet>(
    connection: &mut Connection,
    inflight: &mut Inflight,
    mut stored: Option<&mut Stored>,
    waiting: Waiting,
    now: Instant,
    out: &mut O,
) {
    let transit = Transit::from_shared(&waiting.message);
    let Some(mut publish) = transit.to_publish(now) else {
        // [MQTT5-3.3.2-5]
        out.dropped(transit.topic(), waiting.qos, DropReason::Expired);
        return stored.into_iter().for_each(|stored| stored.release(&waiting, out));
    };
    let placed = stored.as_ref().and_then(|stored| Some((stored.id, waiting.place()?)));
    if let (Some((stored, place)), QoS::ExactlyOnce) = (placed, waiting.qos) {
        let packet_id = inflight.next_id();
        drop(transit);
        inflight.push_unrecorded(waiting);
        let change = Change::Send { packet_id, place };
        return out.record(stored, change, Some(Then::Send(packet_id)));
    }
    let acknowledged = waiting.qos > QoS::AtMostOnce;
    publish.qos = waiting.qos;
    publish.retain = waiting.retain;
    publish.packet_id = acknowledged.then(|| inflight.next_id());
    publish.subscription_identifiers = Cow::Borrowed(waiting.identifiers());
    let packet_id = publish.packet_id;
    if placed.is_some() {
        // [MQTT3-3.3.1-1] [MQTT5-3.3.1-1]
        publish.dup = stored.as_mut().is_some_and(|stored| stored.may_be_again());
    }
    let delivery = transmit(connection, publish, transit.shared_if_large(), out);
    drop(transit);
    if delivery == Delivery::Dropped {
        return stored.iter_mut().for_each(|stored| stored.release(&waiting, out));
    }
    if let (Some((stored, place)), Some(packet_id)) = (placed, packet_id) {
        out.record(stored, Change::Send { packet_id, place }, None);
    }
    if acknowledged {
        inflight.push(waiting);
    }
}

/// Sends on this connection what was sent on an earlier one.
fn send_again<O: Outlet>(
    connection: &mut Connection,
    id: PacketId,
    again: &Again<'_>,
    now: Instant,
    out: &mut O,
) -> Delivery {
    let Again::Publish { transit, qos, retain, dup, identifiers } = again else {
        out.send_ack(AckKind::Pubrel, id);
        return Delivery::Sent;
    };
    // [MQTT5-4.3.3-7]: it may have expired since.
    let mut publish = transit.to_publish_again(now);
    publish.dup = *dup; // [MQTT3-3.3.1-1] [MQTT5-3.3.1-1]
    publish.qos = *qos;
    publish.retain = *retain;
    publish.packet_id = Some(id);
    publish.subscription_identifiers = Cow::Borrowed(identifiers);
    transmit(connection, publish, transit.shared_if_large(), out)
}

/// Writes a PUBLISH under the connection's terms: its mountpoint, its alias, its Maximum Packet
/// Size.
fn transmit<O: Outlet>(
    connection: &mut Connection,
    publish: Publish<'_>,
    large: Option<&Arc<ApplicationMessage>>,
    out: &mut O,
) -> Delivery {
    let (topic, qos) = (publish.topic, publish.qos);
    let sent = if connection.mountpoint.is_some() {
        send_unmounted(connection, publish, large, out)
    } else {
        send(connection, publish, large, out)
    };
    if !sent {
        out.dropped(topic, qos, DropReason::PacketTooLarge); // [MQTT5-3.1.2-25]
        return Delivery::Dropped;
    }
    Delivery::Sent
}

/// [`send`] with the topics as the client knows them.
#[inline(never)]
fn send_unmounted<O: Outlet>(
    connection: &mut Connection,
    publish: Publish<'_>,
    large: Option<&Arc<ApplicationMessage>>,
    out: &mut O,
) -> bool {
    let mut properties = None;
    let publish = match &connection.mountpoint {
        Some(mountpoint) => mountpoint.unmount_publish(publish, &mut properties),
        None => publish,
    };
    send(connection, publish, large, out)
}

/// Writes it. False if it is too large.
#[inline]
fn send<O: Outlet>(
    connection: &mut Connection,
    mut publish: Publish<'_>,
    large: Option<&Arc<ApplicationMessage>>,
    out: &mut O,
) -> bool {
    if !fits(connection, &publish, 0) {
        return false;
    }
    if connection.outbound_aliases.in_use() && fits(connection, &publish, ALIAS_BYTES) {
        match connection.outbound_aliases.name(publish.topic) {
            Naming::Topic => {}
            Naming::Introduce(alias) => publish.topic_alias = Some(alias),
            Naming::Alias(alias) => {
                publish.topic_alias = Some(alias);
                publish.topic = "";
            }
        }
    }
    out.send_publish(&publish, large);
    true
}

/// What a topic alias adds to a packet at most: the property, and one byte each for the two
/// lengths it may push over a border.
const ALIAS_BYTES: usize = 5;

/// [MQTT5-3.1.2-24]
fn fits(connection: &Connection, publish: &Publish<'_>, more: usize) -> bool {
    connection
        .packet_bytes_max()
        .is_none_or(|max| codec::publish_len(connection.version, publish) + more <= max)
}
