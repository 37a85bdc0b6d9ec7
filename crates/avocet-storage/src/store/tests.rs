//! What every store promises, held against a model that keeps everything in plain maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc},
};

use super::{Amount, Batch, EmbeddedStore, Options, Queued, Refusal, Store};
use crate::{
    command::{Claim, Command, Message, Place, Purpose, SessionNumber, Standing, Terms, Time},
    disk::{Disk, Fault, SimulatedDisk},
    log::Durability,
};

const OPTIONS: Options = Options {
    segment_bytes: 4096,
    waiting_bytes_max: 1 << 20,
    durability: Durability::Fsync,
    cleaned_from_bytes: 12_288,
};

/// Everything a store tells.
#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    sessions: BTreeMap<SessionNumber, Standing>,
    queues: BTreeMap<SessionNumber, BTreeMap<Place, (Claim, Vec<u8>)>>,
    retained: BTreeMap<String, Vec<u8>>,
    plans: BTreeMap<u64, (Time, Purpose, Vec<u8>)>,
}

impl Told {
    fn by(store: &dyn Store) -> Self {
        let mut told = Self::default();
        store.sessions(&mut |number, standing| {
            told.sessions.insert(number, standing.clone());
        });
        for number in told.sessions.keys() {
            let mut queue = BTreeMap::new();
            let mut amount = Amount::default();
            let visit = &mut |place, claim: &Claim, message: Message<'_>| {
                amount.messages += 1;
                amount.bytes += message.packet.len() as u64;
                queue.insert(place, (claim.clone(), message.packet.to_vec()));
            };
            let found = store.queue(*number, Place(0), Amount::ALL, visit).expect("it is read");
            assert_eq!(found, Queued::default());
            assert_eq!(store.queued(*number), amount);
            told.queues.insert(*number, queue);
        }
        let visit = &mut |topic: &str, message: Message<'_>| {
            told.retained.insert(topic.to_owned(), message.packet.to_vec());
        };
        store.retained(visit).expect("it can be read");
        let visit = &mut |plan, due_at, purpose, message: Message<'_>| {
            told.plans.insert(plan, (due_at, purpose, message.packet.to_vec()));
        };
        store.plans(visit).expect("it can be read");
        told
    }

    /// `place` is that of the command, if it publishes a message.
    fn apply(&mut self, place: Place, command: &Command<'_>) {
        match command {
            Command::Stand { session, standing } => {
                self.sessions.insert(*session, (**standing).clone());
                self.queues.entry(*session).or_default();
            }
            Command::End { session } => {
                self.sessions.remove(session);
                self.queues.remove(session);
            }
            Command::Leave { session, expiry, left_at } => self.change(*session, |it| {
                it.expiry = *expiry;
                it.left_at = *left_at;
            }),
            Command::Subscribe { session, filter, terms } => self.change(*session, |it| {
                it.subscriptions.insert((*filter).to_owned(), *terms);
            }),
            Command::Unsubscribe { session, filter } => self.change(*session, |it| {
                it.subscriptions.remove(*filter);
            }),
            Command::Publish { message, claims, from } => {
                self.enqueue(place, message, claims);
                if let Some((session, packet_id)) = from {
                    self.change(*session, |it| {
                        it.received.insert(*packet_id);
                    });
                }
            }
            Command::Keep { place, message, claims } => self.enqueue(*place, message, claims),
            Command::Release { session, from, to } => {
                if let Some(queue) = self.queues.get_mut(session) {
                    queue.retain(|place, _| place < from || place > to);
                }
                let is_released = |place: &Place| from <= place && place <= to;
                self.change(*session, |it| {
                    it.sent.retain(|_, place| !place.as_ref().is_some_and(is_released));
                });
            }
            Command::Send { session, packet_id, places } => self.change(*session, |it| {
                for (packet_id, place) in (*packet_id..).zip(places) {
                    it.sent.insert(packet_id, Some(*place));
                }
            }),
            Command::Acknowledge { session, packet_id, place } => {
                self.change(*session, |it| {
                    it.sent.insert(*packet_id, None);
                });
                let (session, from, to) = (*session, *place, *place);
                self.apply(*place, &Command::Release { session, from, to });
            }
            Command::Complete { session, packet_id } => self.change(*session, |it| {
                it.sent.remove(packet_id);
            }),
            Command::Receive { session, packet_id } => self.change(*session, |it| {
                it.received.insert(*packet_id);
            }),
            Command::Forget { session, packet_id } => self.change(*session, |it| {
                it.received.remove(packet_id);
            }),
            Command::Retain { topic, message } => {
                self.retained.insert((*topic).to_owned(), message.packet.to_vec());
            }
            Command::Clear { topic } => drop(self.retained.remove(*topic)),
            Command::Plan { plan, due_at, purpose, message } => {
                self.plans.insert(*plan, (*due_at, *purpose, message.packet.to_vec()));
            }
            Command::Unplan { plan } => drop(self.plans.remove(plan)),
        }
    }

    fn enqueue(&mut self, place: Place, message: &Message<'_>, claims: &[Claim]) {
        for claim in claims {
            if let Some(queue) = self.queues.get_mut(&claim.session) {
                queue.insert(place, (claim.clone(), message.packet.to_vec()));
            }
        }
    }

    /// As [`Self::apply`] of a whole batch.
    fn apply_batch(&mut self, batch: &Batch, places: impl IntoIterator<Item = Place>) {
        let mut places = places.into_iter();
        for command in batch.commands() {
            let command = Command::read(command).expect("we wrote it");
            let publishes = matches!(command, Command::Publish { .. });
            let place = publishes.then(|| places.next().expect("each message has a place"));
            let place = place.unwrap_or_default();
            self.apply(place, &command);
        }
    }

    /// The same, with the places that come after this one given anew: which a store gives to
    /// what it has not reported, nobody knows.
    fn with_places_after(mut self, known: Place) -> Self {
        let later = self.queues.values().flat_map(|queue| queue.keys().copied());
        let later: BTreeSet<Place> = later.filter(|place| *place > known).collect();
        let anew: BTreeMap<Place, Place> =
            later.into_iter().zip((known.0 + 1..).map(Place)).collect();
        for queue in self.queues.values_mut() {
            let places = std::mem::take(queue).into_iter();
            *queue = places.map(|(it, what)| (*anew.get(&it).unwrap_or(&it), what)).collect();
        }
        self
    }

    fn change(&mut self, session: SessionNumber, change: impl FnOnce(&mut Standing)) {
        if let Some(standing) = self.sessions.get_mut(&session) {
            change(standing);
        }
    }
}

/// Commands by chance, about few sessions at a time, so that they meet. A session begins with its
/// standing; of one that has ended something may still be said.
struct Dice {
    state: u64,
    /// The last place that is known.
    place: Place,
    packet: Vec<u8>,
    sessions: [u64; 4],
    begun: BTreeSet<u64>,
}

const FILTERS: [&str; 4] = ["a", "a/+", "#", "$share/g/a"];

impl Dice {
    fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            place: Place(0),
            packet: Vec::new(),
            sessions: [0, 1, 2, 3],
            begun: BTreeSet::new(),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % bound
    }

    fn batch(&mut self, mut each: impl FnMut(&Command<'_>)) {
        for _ in 0..=self.below(4) {
            let len = self.below(300) as usize;
            let packet = vec![self.below(256) as u8; len];
            self.packet = packet;
            each(&self.command());
        }
    }

    fn command(&mut self) -> Command<'_> {
        let slot = self.below(4) as usize;
        let session = SessionNumber(self.sessions[slot]);
        let packet_id = self.below(3) as u16 + 1;
        let place = Place(self.below(self.place.0 + 1));
        let to = Place(self.place.0.min(place.0 + 3));
        let kind = if self.begun.contains(&session.0) { self.below(24) } else { 0 };
        let filter = FILTERS[self.below(4) as usize];
        let time = Time(self.below(1000));
        let more = self.below(4);
        let expires_at = (more == 0).then_some(time);
        let packet = &self.packet[..];
        match kind {
            0 => {
                self.begun.insert(session.0);
                let mut standing =
                    Standing { client_id: format!("c{more}"), ..Standing::default() };
                standing.received = BTreeSet::from([packet_id]);
                Command::Stand { session, standing: Box::new(standing) }
            }
            1 if more == 0 => {
                self.sessions[slot] += 4;
                Command::End { session }
            }
            1 | 2 => Command::Leave { session, expiry: more as u32, left_at: expires_at },
            3 => {
                let terms = Terms { options: more as u8, identifier: 7 };
                Command::Subscribe { session, filter, terms }
            }
            4 => Command::Unsubscribe { session, filter },
            5..=11 => {
                let message = Message { received_at: time, expires_at, flags: more as u8, packet };
                let begun = self.begun.iter().rev().take(more as usize + 1);
                let claims = begun.map(|number| {
                    let (session, flags) = (SessionNumber(*number), more as u8);
                    Claim { session, flags, identifiers: vec![more as u32] }
                });
                let from = (more == 1).then_some((session, packet_id));
                Command::Publish { message, claims: claims.collect(), from }
            }
            12 | 13 => Command::Release { session, from: Place(0), to: place },
            14 => Command::Release { session, from: place, to },
            15 => Command::Send { session, packet_id, places: vec![place, to] },
            16 => Command::Acknowledge { session, packet_id, place },
            17 => Command::Complete { session, packet_id },
            18 => Command::Receive { session, packet_id },
            19 => Command::Forget { session, packet_id },
            20 | 21 => {
                let message = Message { received_at: time, expires_at, flags: more as u8, packet };
                Command::Retain { topic: filter, message }
            }
            22 if more < 2 => Command::Clear { topic: filter },
            22 => {
                let message = Message { received_at: time, expires_at, flags: more as u8, packet };
                Command::Plan { plan: more, due_at: time, purpose: Purpose::Will(session), message }
            }
            _ => Command::Unplan { plan: more },
        }
    }
}

fn message(packet: &[u8]) -> Message<'_> {
    Message { received_at: Time(0), expires_at: None, flags: 1, packet }
}

/// Submits a batch and waits for what becomes of it.
fn submit(store: &dyn Store, batch: Batch) -> Result<Vec<Place>, Refusal> {
    let (sender, receiver) = mpsc::sync_channel(1);
    store.submit(batch, Box::new(move |outcome| drop(sender.send(outcome))))?;
    receiver.recv().expect("every batch has an outcome")
}

fn open(disk: &SimulatedDisk) -> EmbeddedStore {
    let (store, losses) = EmbeddedStore::open(Arc::new(disk.clone()), OPTIONS).expect("it opens");
    assert_eq!(losses, []);
    store
}

#[test]
fn store_tells_what_a_model_tells() {
    for seed in 0..40 {
        let disk = SimulatedDisk::default();
        let (mut dice, mut model) = (Dice::new(seed), Told::default());
        for life in 0..3 {
            let store = open(&disk);
            assert_eq!(Told::by(&store), model, "seed {seed}, life {life}");
            for _ in 0..100 {
                let mut batch = Batch::refusable();
                dice.batch(|command| batch.push(command));
                let places = submit(&store, batch.clone()).expect("the disk is well");
                dice.place = places.last().copied().unwrap_or(dice.place);
                model.apply_batch(&batch, places);
            }
            assert_eq!(Told::by(&store), model, "seed {seed}, life {life}");
        }
    }
}

/// Whatever was needed once and is not any more leaves the disk.
#[test]
fn space_is_given_back() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    let standing = Box::new(Standing { client_id: "a".to_owned(), ..Standing::default() });
    let mut batch = Batch::refusable();
    batch.push(&Command::Stand { session: SessionNumber(1), standing });
    let message = message(&[1; 500]);
    batch.push(&Command::Retain { topic: "kept", message });
    submit(&store, batch).expect("the disk is well");
    let mut places = Vec::new();
    for _ in 0..2000 {
        let mut batch = Batch::refusable();
        let session = SessionNumber(1);
        let claims = vec![Claim { session, flags: 1, identifiers: Vec::new() }];
        batch.push(&Command::Publish { message, claims, from: None });
        if let Some(to) = places.iter().rev().nth(4) {
            batch.push(&Command::Release { session, from: Place(0), to: *to });
        }
        places.extend(submit(&store, batch).expect("the disk is well"));
    }
    let told = Told::by(&store);
    assert_eq!(told.queues[&SessionNumber(1)].len(), 5);
    assert_eq!(told.retained.len(), 1);
    drop(store);
    let names = disk.names().expect("the disk is well");
    let bytes: u64 = names
        .iter()
        .map(|name| disk.open(name).and_then(|it| it.size()).expect("it is there"))
        .sum();
    assert!(bytes < 5 * u64::from(OPTIONS.segment_bytes), "{bytes} bytes in {names:?}");
    assert_eq!(Told::by(&open(&disk)), told);
}

/// The power goes while batches are stored and segments are cleaned: what was done is there, and of
/// what was on its way the whole batch, if anything.
fn cut_power(seed: u64) {
    let mut disk = SimulatedDisk::default();
    let mut dice = Dice::new(seed);
    let mut model = Told::default();
    for life in 0..4 {
        let fault = if dice.below(2) == 0 { Fault::Broken } else { Fault::Full };
        let store = open(&disk);
        let failing = dice.below(120);
        disk.fail(failing..u64::MAX, fault);
        // What may be found: all that was done, with all of the batch that was not, or without.
        let mut possible = Vec::new();
        for _ in 0..40 {
            let mut batch = Batch::refusable();
            dice.batch(|command| batch.push(command));
            if let Ok(places) = submit(&store, batch.clone()) {
                dice.place = places.last().copied().unwrap_or(dice.place);
                model.apply_batch(&batch, places);
                continue;
            }
            possible.push(model.clone());
            model.apply_batch(&batch, (dice.place.0 + 1..).map(Place));
            break;
        }
        possible.push(model);
        let possible = possible.into_iter().map(|it| it.with_places_after(dice.place));
        let possible: Vec<Told> = possible.collect();
        drop(store);
        disk = disk.after_power_cut(dice.below(u64::MAX));
        let found = Told::by(&open(&disk));
        let known = found.clone().with_places_after(dice.place);
        assert!(possible.contains(&known), "seed {seed}, life {life}: {found:#?}\n{possible:#?}");
        // Who was not stored begins anew.
        for number in &mut dice.sessions {
            *number += if found.sessions.contains_key(&SessionNumber(*number)) { 0 } else { 4 };
        }
        let last = found.queues.values().filter_map(|queue| queue.keys().next_back()).max();
        dice.place = dice.place.max(last.copied().unwrap_or_default());
        model = found;
    }
}

#[test]
fn power_cut_loses_nothing_that_was_done() {
    let seeds = std::env::var("AVOCET_SEEDS").ok().and_then(|text| text.parse().ok());
    (0..seeds.unwrap_or(300)).for_each(cut_power);
}

#[test]
fn disk_that_takes_nothing_refuses_what_may_be_refused_and_keeps_the_rest_until_it_does() {
    for fault in [Fault::Broken, Fault::Full] {
        let disk = SimulatedDisk::default();
        let store = open(&disk);
        assert_eq!(store.failure(), None);
        let message = message(b"x");
        let retain = |topic, mut batch: Batch| {
            batch.push(&Command::Retain { topic, message });
            batch
        };
        disk.fail(0..u64::MAX, fault);
        let refused = submit(&store, retain("refused", Batch::refusable()));
        assert!(matches!(refused, Err(Refusal::Failed(_))), "{refused:?}");
        assert!(store.failure().is_some());
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Box::new(move |outcome| drop(sender.send(outcome)));
        store.submit(retain("kept", Batch::default()), done).expect("it is not refused");
        let refused = submit(&store, retain("refused", Batch::refusable()));
        assert!(matches!(refused, Err(Refusal::Failed(_))), "{refused:?}");
        assert!(receiver.try_recv().is_err());
        disk.mend();
        assert_eq!(receiver.recv().expect("it has an outcome"), Ok(Vec::new()));
        assert_eq!(store.failure(), None);
        let told = Told::by(&store);
        assert_eq!(told.retained.keys().collect::<Vec<_>>(), ["kept"]);
        drop(store);
        assert_eq!(Told::by(&open(&disk)), told);
    }
}
