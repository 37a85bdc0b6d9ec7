//! What a store keeps of a session, and how much of that is in memory.
//!
//! Messages of QoS 1 and 2 for a stored session wait in the store. It has a window on them in its
//! outbox: what is published while all is in the window comes in as soon as it is stored, and once
//! the window is full it is behind, and what follows is loaded as the client takes it. Without a
//! client the window is small, so that a short absence costs no reading.
//!
//! What is to survive is told to the outlet as a [`Change`]; what must not be sent before that is
//! stored follows when the broker says so ([`Session::handle_recorded`]).

use std::{sync::Arc, time::Instant};

use avocet_mqtt::{AckKind, PacketId, QoS, SubscriptionIdentifier};

use crate::{
    Claim, Delivery, DropReason, Limits, Outlet, Page, QueueFull, Session, Undelivered,
    asked::Asked,
    inflight::{Gone, Inflight},
    released::Released,
    seldom::Seldom,
    waiting::Waiting,
};

/// So many messages of a stored session are in memory beside those in flight.
pub(crate) const WINDOW_MESSAGES: usize = 256;
/// So many while the client is away.
const AWAY_MESSAGES: usize = 32;
/// With fewer left more are loaded.
const LOW_MESSAGES: usize = WINDOW_MESSAGES / 2;
/// Messages over the bound of a queue while its oldest are looked for.
const EXCESS_MAX: u64 = 1024;

/// A session in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoredId(pub u64);

/// Where a message waits in the store: who has a larger one comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u64);

/// What has become of a stored session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Messages wait no longer.
    Release {
        /// The first.
        from: Place,
        /// The last.
        to: Place,
    },
    /// A message gets its packet identifier.
    Send {
        /// The identifier.
        packet_id: PacketId,
        /// Where the message waits.
        place: Place,
    },
    /// A message that is not in the store gets this packet identifier, at QoS 2.
    Occupy(PacketId),
    /// PUBREC has come.
    Acknowledge {
        /// The identifier.
        packet_id: PacketId,
        /// Where the message waited.
        place: Place,
    },
    /// PUBCOMP has come.
    Complete(PacketId),
    /// PUBREL has come.
    Forget(PacketId),
}

/// What waits until a change is stored, for [`Session::handle_recorded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The PUBLISH or PUBREL with this identifier.
    Send(PacketId),
    /// The PUBCOMP with this identifier.
    Complete(PacketId),
    /// Messages up to the second place cannot be found in the store any more: they were released.
    Released(Place, Place),
}

/// What a store had of a session when the broker started.
#[derive(Debug, Default)]
pub struct Restored<'r> {
    /// Seconds to live without a connection; `u32::MAX` = for ever.
    pub expiry_interval: u32,
    /// Packet identifiers of QoS 2 that came in, up to PUBREL.
    pub received: &'r [PacketId],
    /// Packet identifiers that went out, with the place of their message, which waits, or without
    /// it after PUBREC.
    pub sent: &'r [(PacketId, Option<Place>)],
    /// Messages that wait, and their bytes.
    pub waiting: (u64, u64),
    /// Whether the client was there when the process ended: what was sent last is not known.
    pub was_cut: bool,
}

/// Messages in flight that go one after the other, told to the store together.
#[derive(Debug, Default)]
pub(crate) struct Row {
    places: Option<(Place, Place)>,
    /// Some of them may be found in the store before it hears of this.
    was_absent: bool,
}

impl Row {
    pub(crate) fn add<O: Outlet>(
        &mut self,
        stored: &mut Option<Box<Stored>>,
        gone: Option<Gone>,
        out: &mut O,
    ) {
        let (Some(it), Some(gone)) = (stored.as_mut(), gone) else { return };
        it.let_go(gone);
        // Nothing of the session's lies in between that is not gone, if they were sent in their
        // order, as far as is known.
        let is_next = gone.is_oldest && !gone.was_absent && it.overtaken == [false; 2];
        match &mut self.places {
            Some((_, to)) if is_next && gone.place > *to => *to = gone.place,
            _ => {
                self.finish(stored, out);
                self.places = Some((gone.place, gone.place));
            }
        }
        self.was_absent |= gone.was_absent;
    }

    pub(crate) fn finish<O: Outlet>(&mut self, stored: &Option<Box<Stored>>, out: &mut O) {
        let Self { places, was_absent } = std::mem::take(self);
        if let (Some((from, to)), Some(stored)) = (places, stored) {
            let then = was_absent.then_some(Then::Released(from, to));
            out.record(stored.id, Change::Release { from, to }, then);
        }
    }
}

/// A stored session's view of the store.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) id: StoredId,
    /// Messages that wait for it, those in flight included, and their bytes.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// All up to this place were taken into memory once.
    loaded: u64,
    /// What is in memory up to this place stays there: something up to it is in flight or was
    /// released, which must not be read again.
    floor: u64,
    /// Some behind it were not.
    is_behind: bool,
    /// Some were stored since the last ones were asked for.
    has_missed: bool,
    is_loading: bool,
    /// Rights that the store has not answered for.
    claimed: u64,
    /// What shared subscriptions have brought is for others, as soon as nobody reads.
    is_to_share: bool,
    /// So many messages of QoS 1 may have been sent without the store having known.
    uncertain: u64,
    /// What lay behind it and was released: it may still be found there.
    released: Released,
    /// Whether shared subscriptions have brought some of what waits. Nothing: nobody has looked at
    /// what was there at the start.
    is_shared: Option<bool>,
    /// Whether some of QoS 1, of QoS 2, were never sent that were found among those that were.
    overtaken: [bool; 2],
    /// Subscriptions that the store may refuse.
    pub(crate) asked: Option<Box<Asked>>,
}

impl Stored {
    fn new(id: StoredId) -> Self {
        Self {
            id,
            messages: 0,
            bytes: 0,
            loaded: 0,
            floor: 0,
            is_behind: false,
            has_missed: false,
            is_loading: false,
            claimed: 0,
            is_to_share: false,
            uncertain: 0,
            released: Released::default(),
            is_shared: Some(false),
            overtaken: [false; 2],
            asked: None,
        }
    }

    /// Whether a message of QoS 1 that is about to be sent may have been sent before.
    pub(crate) fn may_be_again(&mut self) -> bool {
        let is_uncertain = self.uncertain > 0;
        self.uncertain = self.uncertain.saturating_sub(1);
        is_uncertain
    }

    /// What was in flight is gone for good.
    fn let_go(&mut self, gone: Gone) {
        self.count_off(gone.bytes);
        if gone.was_absent && gone.place.0 > self.loaded {
            self.released.insert(gone.place);
        }
    }

    /// PUBREC has come for what was in flight.
    #[inline(never)]
    pub(crate) fn acknowledge<O: Outlet>(&mut self, packet_id: PacketId, gone: Gone, out: &mut O) {
        self.let_go(gone);
        let (place, sent) = (gone.place, Then::Send(packet_id));
        let released = gone.was_absent.then_some(Then::Released(place, place));
        let then = std::iter::once(sent).chain(released);
        out.record(self.id, Change::Acknowledge { packet_id, place }, then);
    }

    /// All up to this place is in memory, or was.
    fn pass(&mut self, loaded: u64) {
        self.loaded = loaded;
        let released = self.released.pass(Place(loaded));
        self.keep_up_to(released);
    }

    /// What is in memory up to here is not left to the store again.
    fn keep_up_to(&mut self, place: Option<Place>) {
        self.floor = self.floor.max(place.map_or(0, |place| place.0));
    }

    /// Nobody reads what waits any more.
    fn end_loading(&mut self) {
        self.is_loading = false;
        self.released.end_loading();
    }

    /// Messages are gone for good.
    pub(crate) fn count_off(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes as u64);
        if self.messages == 0 {
            self.bytes = 0;
        }
    }

    /// A message in memory is gone for good: the store need not keep it.
    pub(crate) fn release<O: Outlet>(&mut self, waiting: &Waiting, out: &mut O) {
        if let Some(place) = waiting.place() {
            self.count_off(waiting.message.len());
            out.record(self.id, Change::Release { from: place, to: place }, None);
        }
    }

    /// A message in memory is for somebody else. Answers where it lies in the store.
    pub(crate) fn hand_over(&mut self, waiting: &Waiting) -> Option<(StoredId, Place)> {
        let place = waiting.place()?;
        self.count_off(waiting.message.len());
        self.keep_up_to(Some(place));
        Some((self.id, place))
    }

    /// A message that lies behind what is in memory is gone for good. False if it was before.
    fn release_behind<O: Outlet>(&mut self, place: Place, bytes: usize, out: &mut O) -> bool {
        let is_new = self.released.insert(place);
        if is_new {
            self.count_off(bytes);
            let change = Change::Release { from: place, to: place };
            out.record(self.id, change, Some(Then::Released(place, place)));
        }
        is_new
    }

    /// Whether it could do with more messages from the store.
    pub(crate) fn wants(&self, waiting: usize) -> bool {
        self.is_behind && !self.is_loading && waiting < LOW_MESSAGES
    }

    fn ask<O: Outlet>(&mut self, out: &mut O) {
        self.is_loading = true;
        self.has_missed = false;
        out.load();
    }

    /// Whether more would wait than may, with so many more bytes. `in_flight` are those that do not
    /// wait, `others` are not in the store.
    fn is_full(&self, in_flight: u64, others: u64, bytes: usize, limits: &Limits) -> bool {
        self.messages + others >= limits.stored_messages_max + in_flight
            || self.bytes + bytes as u64 > limits.stored_bytes_max
    }
}

impl Session {
    /// From now on the store keeps what is to outlive the connection.
    pub fn store_as(&mut self, id: StoredId) {
        self.stored = Some(Box::new(Stored::new(id)));
    }

    /// Its name in the store, if it has one.
    #[inline]
    #[must_use]
    pub fn stored_id(&self) -> Option<StoredId> {
        self.stored.as_ref().map(|stored| stored.id)
    }

    /// Whether the client may have been sent messages of QoS 1 of which the store does not know it:
    /// what is in flight may have been sent before the store has taken that.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        self.inflight.len() > 0 || self.stored.as_ref().is_some_and(|stored| stored.uncertain > 0)
    }

    /// Messages and bytes that wait in the store.
    #[must_use]
    pub fn stored_amount(&self) -> (u64, u64) {
        self.stored.as_ref().map_or((0, 0), |stored| (stored.messages, stored.bytes))
    }

    /// A session as the store had it, without a connection and without its messages.
    #[must_use]
    pub fn restore(
        client_id: Arc<str>,
        limits: Arc<Limits>,
        id: StoredId,
        restored: &Restored<'_>,
    ) -> Self {
        let mut session = Self::new(client_id, limits);
        session.expiry_interval = restored.expiry_interval;
        let mut stored = Stored::new(id);
        (stored.messages, stored.bytes) = restored.waiting;
        stored.is_shared = (stored.messages == 0).then_some(false);
        stored.is_behind = stored.messages > 0;
        if restored.was_cut {
            let sent = restored.sent.iter().filter(|(_, place)| place.is_some());
            let unsent = stored.messages.saturating_sub(sent.count() as u64);
            stored.uncertain = unsent.min(session.limits.inflight_max.get().into());
        }
        session.stored = Some(Box::new(stored));
        if !restored.sent.is_empty() {
            *session.inflight = Inflight::restore(restored.sent);
        }
        for id in restored.received {
            session.received.restore(*id);
        }
        session
    }

    /// Enters a subscription that the store had.
    pub fn restore_subscription(
        &mut self,
        filter: &str,
        options: avocet_mqtt::SubscriptionOptions,
        identifier: Option<SubscriptionIdentifier>,
    ) {
        self.subscriptions.insert(filter, crate::subscriptions::Held { options, identifier });
    }

    /// Takes the right to a message, which the store is to keep before anything else is done.
    pub(crate) fn claim<O: Outlet>(
        &mut self,
        waiting: Waiting,
        promised: bool,
        out: &mut O,
    ) -> Delivery {
        // Those of QoS 0 go first, whoever is full.
        while self.is_full(waiting.message.len())
            && let Some(gone) = self.outbox.held().and_then(|it| it.pop_qos0(&self.limits))
        {
            out.dropped(gone.message.topic(), gone.qos, DropReason::QueueFull);
        }
        let in_flight = self.may_be_in_flight();
        let Some(stored) = &mut self.stored else { return Delivery::Dropped };
        let bytes = waiting.message.len();
        let refuses = self.limits.queue_full == QueueFull::Refuse;
        if stored.is_full(in_flight, 0, bytes, &self.limits) && !(refuses && promised) {
            if refuses {
                out.dropped(waiting.message.topic(), waiting.qos, DropReason::Refused);
                return Delivery::Refused;
            }
            let most = self.limits.stored_messages_max + in_flight;
            let excess = stored.messages.saturating_sub(most);
            if bytes as u64 > self.limits.stored_bytes_max || excess >= EXCESS_MAX {
                out.dropped(waiting.message.topic(), waiting.qos, DropReason::QueueFull);
                return Delivery::Dropped;
            }
        }
        stored.messages += 1;
        stored.bytes += bytes as u64;
        stored.claimed += 1;
        if waiting.shared().is_some() {
            stored.is_shared = Some(true);
        }
        out.claim(stored.id, Claim(waiting));
        self.drop_excess(out);
        Delivery::Queued
    }

    /// How many of its messages need not wait: what the client takes at once, if it is there.
    fn may_be_in_flight(&self) -> u64 {
        let window = self.connection.as_ref().map_or(0, |connection| connection.window.into());
        window.max(self.inflight.len() as u64)
    }

    /// Whether the store has as much for the session as it may, so that so many bytes more would be
    /// too much.
    pub(crate) fn is_full(&self, bytes: usize) -> bool {
        let in_flight = self.may_be_in_flight();
        let (others, more) = (self.outbox.qos0_len() as u64, self.outbox.qos0_bytes());
        let stored = self.stored.as_ref();
        stored.is_some_and(|it| it.is_full(in_flight, others, bytes + more, &self.limits))
    }

    /// Whether a claim to so many bytes would be refused. Messages of QoS 0 make room for it.
    pub(crate) fn would_refuse_claim(&self, bytes: usize) -> bool {
        let in_flight = self.may_be_in_flight();
        let is_full = |stored: &Stored| stored.is_full(in_flight, 0, bytes, &self.limits);
        self.limits.queue_full == QueueFull::Refuse
            && self.stored.as_ref().is_some_and(|stored| is_full(stored))
    }

    /// Drops the oldest messages that wait while there are more than there may be. Where a bound
    /// refuses there are only those more that were promised.
    fn drop_excess<O: Outlet>(&mut self, out: &mut O) {
        if self.limits.queue_full == QueueFull::Refuse {
            return;
        }
        let most = self.limits.stored_messages_max + self.may_be_in_flight();
        while let Some(stored) = &mut self.stored
            && (stored.messages > most || stored.bytes > self.limits.stored_bytes_max)
        {
            let Some(gone) = self.outbox.held().and_then(|it| it.pop_stored(&self.limits)) else {
                if stored.is_behind && !stored.is_loading {
                    stored.ask(out);
                }
                return;
            };
            out.dropped(gone.message.topic(), gone.qos, DropReason::QueueFull);
            stored.release(&gone, out);
        }
    }

    /// What was in flight is gone for good.
    pub(crate) fn release_sent<O: Outlet>(&mut self, gone: Option<Gone>, out: &mut O) {
        let mut row = Row::default();
        row.add(&mut self.stored, gone, out);
        row.finish(&self.stored, out);
    }

    /// A right was refused by the store.
    pub fn handle_refused(&mut self, claim: &Claim) {
        if let Some(stored) = &mut self.stored {
            stored.claimed -= 1;
            stored.count_off(claim.0.message.len());
        }
    }

    /// A message that the session had a right to is stored, and the session is over.
    pub fn handle_stored_late(&mut self) {
        self.stored.iter_mut().for_each(|stored| stored.claimed -= 1);
    }

    /// Rights that the store has not answered for.
    #[must_use]
    pub fn claimed(&self) -> u64 {
        self.stored.as_ref().map_or(0, |stored| stored.claimed)
    }

    /// Whether shared subscriptions may have brought some of what waits in the store.
    #[must_use]
    pub fn may_be_shared(&self) -> bool {
        self.stored.as_ref().is_some_and(|stored| stored.is_shared != Some(false))
    }

    /// All that was there at the start was looked at, and no shared subscription had brought it.
    pub fn note_unshared(&mut self) {
        self.stored.iter_mut().for_each(|stored| _ = stored.is_shared.get_or_insert(false));
    }

    /// Whether the store has all that the session has a right to and nothing that it has released,
    /// and nobody reads it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let is_settled = |it: &Stored| it.claimed == 0 && !it.is_loading && it.released.is_empty();
        self.stored.as_deref().is_none_or(is_settled)
    }

    /// What of it lies in the store alone: from where on, and what of that was in flight.
    #[must_use]
    pub fn left_in_store(&self) -> (Place, Vec<Place>) {
        let loaded = self.stored.as_ref().map_or(0, |stored| stored.loaded);
        (Place(loaded + 1), self.inflight.absent().collect())
    }

    /// A message that the session has a right to is stored. Called in the order of the places.
    pub fn handle_stored<O: Outlet>(
        &mut self,
        place: Place,
        claim: Claim,
        now: Instant,
        out: &mut O,
    ) {
        let is_open = self.is_open();
        let Some(stored) = &mut self.stored else { return };
        stored.claimed -= 1;
        if place.0 <= stored.loaded || stored.released.contains(place) {
            return; // It was loaded meanwhile, or has expired.
        }
        let window = if is_open { WINDOW_MESSAGES } else { AWAY_MESSAGES };
        let is_spent = !is_open && self.limits.budget.is_spent();
        if stored.is_behind || is_spent || self.outbox.stored_len() >= window {
            stored.is_behind = true;
            stored.has_missed = true;
            return;
        }
        stored.pass(place.0);
        self.outbox.push_stored(claim.0.at(place), &self.limits);
        if is_open {
            self.pump(now, out);
        }
        self.drop_excess(out);
    }

    /// What shared subscriptions have brought is for others, since there is no client to get it.
    /// Whether that is to be seen to now: otherwise it is about to be, or
    /// [is to be](Self::is_to_share) once what is being read has come.
    pub fn share(&mut self) -> bool {
        let is_away = self.connection.is_none();
        let Some(stored) = self.stored.as_mut().filter(|it| is_away && it.messages > 0) else {
            return false;
        };
        !std::mem::replace(&mut stored.is_to_share, true) && !stored.is_loading
    }

    /// There is a client to get what shared subscriptions have brought.
    pub(crate) fn keep_shared(&mut self) {
        self.stored.iter_mut().for_each(|stored| stored.is_to_share = false);
    }

    /// Whether it is to be seen to, and nobody reads what waits.
    #[must_use]
    pub fn is_to_share(&self) -> bool {
        let is_away = self.connection.is_none();
        self.stored.as_ref().is_some_and(|it| is_away && it.is_to_share && !it.is_loading)
    }

    /// What waits is to be read for others. `None`: there is a client to get it, nothing waits, or
    /// it is being read.
    pub fn begin_sharing(&mut self) -> Option<StoredId> {
        let is_away = self.connection.is_none();
        let stored = self.stored.as_mut().filter(|it| !it.is_loading)?;
        stored.is_to_share = false;
        stored.is_loading = is_away && stored.messages > 0;
        // What is stored from now on may be given away before the session hears of it.
        stored.is_behind |= stored.is_loading;
        stored.has_missed |= stored.is_loading;
        stored.is_loading.then_some(stored.id)
    }

    /// Another page is about to be read: what the store had heard of before is not in it.
    pub fn begin_page(&mut self) {
        self.stored.iter_mut().for_each(|stored| stored.released.end_loading());
    }

    /// It was read.
    pub fn end_loading<O: Outlet>(&mut self, now: Instant, out: &mut O) {
        self.give_up_loading();
        if self.is_open() {
            self.pump(now, out);
        }
    }

    /// What was being read for the session is not for it any more, since it is over; or it could
    /// not be read, and nothing is known of it.
    pub fn give_up_loading(&mut self) {
        self.stored.iter_mut().for_each(|stored| stored.end_loading());
    }

    /// Gives a message that waits in the store to another member of its shared subscription.
    /// `None`: it is in memory, and dealt with there, or in flight, and stays with its client.
    pub fn give_away(&mut self, place: Place, claim: Claim) -> Option<Undelivered> {
        let subscription = Arc::clone(claim.shared()?);
        let is_in_flight = self.inflight.absent().any(|absent| absent == place);
        let stored = self.stored.as_mut();
        let stored = stored.filter(|_| !is_in_flight)?;
        let is_its = place.0 > stored.loaded && stored.released.insert(place);
        if !is_its {
            return None;
        }
        stored.count_off(claim.0.message.len());
        let stored = Some((stored.id, place));
        Some(Undelivered { subscription, message: claim.0.message, stored })
    }

    /// Where to go on reading what waits in the store, and how many messages there is room for.
    #[must_use]
    pub fn load_from(&self) -> Option<(StoredId, Place, usize)> {
        let stored = self.stored.as_ref()?;
        let room = WINDOW_MESSAGES.saturating_sub(self.outbox.stored_len()).max(1);
        Some((stored.id, Place(stored.loaded + 1), room))
    }

    /// What was read from the store, `from` on.
    pub fn handle_loaded<O: Outlet>(&mut self, from: Place, page: Page, now: Instant, out: &mut O) {
        self.handle_lost(&page.lost, out);
        let Some(stored) = &mut self.stored else { return };
        // If the client has gone meanwhile, what lies before it is not in memory any more.
        let page = (from.0 == stored.loaded + 1).then_some(page);
        let has_more = page.as_ref().is_none_or(|page| page.has_more);
        let end = page.as_ref().and_then(Page::last).map_or(stored.loaded, |place| place.0);
        let mut last = stored.loaded;
        for (place, claim) in page.into_iter().flat_map(|page| page.found) {
            // A message may be found twice, after what the store could not tell of another.
            if place.0 <= last || stored.released.contains(place) {
                continue; // since before it was read, or while it was
            }
            last = place.0;
            let waiting = claim.0.at(place);
            if let Some(unsent) = restore(&mut self.inflight, stored, waiting) {
                self.outbox.push_stored(unsent, &self.limits);
            }
        }
        if let Some(inflight) = self.inflight.held() {
            let all = !has_more;
            while let Some(gone) = inflight.discard_absent(|it| all || it.0 <= end) {
                stored.release_behind(gone.place, gone.bytes, out);
            }
            inflight.charge(&self.limits);
        }
        stored.pass(end);
        stored.end_loading();
        stored.is_behind = has_more || stored.has_missed;
        self.drop_excess(out);
        if self.is_open() {
            self.pump(now, out);
        } else {
            self.unload();
        }
    }

    /// Leaves most of what is not in flight to the store: there is nobody to send it to.
    pub(crate) fn unload(&mut self) {
        let Some(stored) = &mut self.stored else { return };
        if let Some(outbox) = self.outbox.held()
            && let Some(first) = outbox.unload(AWAY_MESSAGES, Place(stored.floor), &self.limits)
        {
            stored.loaded = stored.loaded.min(first.0 - 1);
            stored.is_behind = true;
            // What is being read goes on behind what was in memory.
            stored.has_missed = true;
        }
    }

    /// A message that waits in the store has expired. Nothing is done for one in flight.
    pub fn handle_expired<O: Outlet>(&mut self, place: Place, claim: &Claim, out: &mut O) {
        let Some(stored) = &mut self.stored else { return };
        if place.0 > stored.loaded {
            let is_in_flight = self.inflight.absent().any(|absent| absent == place);
            if !is_in_flight && !stored.released.contains(place) {
                out.dropped(claim.0.message.topic(), claim.qos(), DropReason::Expired);
                stored.release_behind(place, claim.0.message.len(), out);
            }
            return;
        }
        let outbox = self.outbox.held();
        if let Some(gone) = outbox.and_then(|it| it.take_stored(place, &self.limits)) {
            out.dropped(gone.message.topic(), gone.qos, DropReason::Expired);
            stored.release(&gone, out);
            stored.keep_up_to(Some(place));
        }
    }

    /// Messages that wait in the store cannot be read.
    pub fn handle_lost<O: Outlet>(&mut self, places: &[Place], out: &mut O) {
        let Some(stored) = &mut self.stored else { return };
        let loaded = stored.loaded;
        for place in places.iter().filter(|place| place.0 > loaded) {
            if let Some(inflight) = self.inflight.held() {
                _ = inflight.discard_absent(|its| its == *place);
            }
            // As long as the others, for all that is known.
            let bytes = stored.bytes / stored.messages.max(1);
            if stored.release_behind(*place, usize::try_from(bytes).unwrap_or(0), out) {
                out.dropped("", QoS::AtLeastOnce, DropReason::Damaged);
            }
        }
    }

    /// Asks for more if there is room.
    pub(crate) fn ask_for_more<O: Outlet>(&mut self, out: &mut O) {
        let waiting = self.outbox.stored_len();
        if let Some(stored) = self.stored.as_mut().filter(|stored| stored.wants(waiting)) {
            stored.ask(out);
        }
    }

    /// What was released cannot be found in the store any more.
    pub fn handle_released(&mut self, from: Place, to: Place) {
        self.stored.iter_mut().for_each(|it| it.released.settle(from, to, it.is_loading));
    }

    /// A change is stored: what waited for it goes out.
    pub fn handle_recorded<O: Outlet>(&mut self, then: Then, now: Instant, out: &mut O) {
        match then {
            Then::Released(from, to) => self.handle_released(from, to),
            Then::Send(id) => self.send_recorded(id, now, out),
            Then::Complete(id) => {
                let answered = self.received.held().is_some_and(|it| it.forgotten(id));
                if answered && self.connection.is_some() {
                    out.send_ack(AckKind::Pubcomp, id);
                }
            }
        }
    }
}

/// A message has come from the store. Answers it if it is to wait.
///
/// Before a crash the store may have heard of a later message that it was sent and not of an
/// earlier one. Then the later one is sent anew behind the earlier one: at QoS 1 perhaps once more,
/// and at QoS 2 it cannot have been sent ([`Inflight::resend`]).
fn restore(
    inflight: &mut Seldom<Inflight>,
    stored: &mut Stored,
    waiting: Waiting,
) -> Option<Waiting> {
    let Some(inflight) = inflight.held().filter(|it| it.has_absent()) else { return Some(waiting) };
    let overtaken = &mut stored.overtaken[usize::from(waiting.qos == QoS::ExactlyOnce)];
    if !*overtaken {
        let place = waiting.place();
        let unsent = inflight.fill(waiting).err();
        *overtaken = unsent.is_some();
        if unsent.is_none() {
            stored.keep_up_to(place);
        }
        return unsent;
    }
    if inflight.give_up(&waiting) && waiting.qos == QoS::AtLeastOnce {
        stored.uncertain += 1;
    }
    Some(waiting)
}
