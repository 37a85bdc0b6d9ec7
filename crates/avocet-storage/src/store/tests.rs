//! What every store promises, held against a model that keeps everything in plain maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc},
};

use super::{Amount, Batch, EmbeddedStore, Options, Refusal, Store};
use crate::{
    command::{Claim, Command, Message, Place, Purpose, SessionNumber, Standing, Terms, Time},
    disk::{Disk, Fault, SimulatedDisk},
};

const OPTIONS: Options =
    Options { segment_bytes: 4096, waiting_bytes_max: 1 << 20, cleaned_from_bytes: 12_288 };

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
            let more = store.queue(*number, Place(0), Amount::ALL, visit).expect("it can be read");
            assert!(!more);
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

    fn apply(&mut self, command: &Command<'_>) {
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
            Command::Publish { message, claims } => {
                for claim in claims {
                    if let Some(queue) = self.queues.get_mut(&claim.session) {
                        queue.insert(claim.place, (claim.clone(), message.packet.to_vec()));
                    }
                }
            }
            Command::Release { session, from, to } => {
                if let Some(queue) = self.queues.get_mut(session) {
                    queue.retain(|place, _| place < from || place > to);
                }
            }
            Command::Send { session, packet_id, place } => self.change(*session, |it| {
                it.sent.insert(*packet_id, Some(*place));
            }),
            Command::Acknowledge { session, packet_id, place } => {
                self.change(*session, |it| {
                    it.sent.insert(*packet_id, None);
                });
                self.queues.get_mut(session).map(|queue| queue.remove(place));
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
    place: u64,
    packet: Vec<u8>,
    sessions: [u64; 4],
    begun: BTreeSet<u64>,
}

const FILTERS: [&str; 4] = ["a", "a/+", "#", "$share/g/a"];

impl Dice {
    fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            place: 0,
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
        let place = Place(self.below(self.place + 1));
        let kind = if self.begun.contains(&session.0) { self.below(24) } else { 0 };
        let filter = FILTERS[self.below(4) as usize];
        let time = Time(self.below(1000));
        let more = self.below(4);
        let expires_at = (more == 0).then_some(time);
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
                let message = Message { received_at: time, expires_at, packet: &self.packet };
                let begun = self.begun.iter().rev().take(more as usize + 1);
                let claims = begun.map(|number| {
                    let (session, flags) = (SessionNumber(*number), more as u8);
                    let place = Place(self.place + number % 2);
                    Claim { session, place, flags, identifiers: vec![more as u32] }
                });
                let claims = claims.collect();
                self.place += 2;
                Command::Publish { message, claims }
            }
            12 | 13 => Command::Release { session, from: Place(0), to: place },
            14 => Command::Release { session, from: place, to: Place(place.0 + 3) },
            15 => Command::Send { session, packet_id, place },
            16 => Command::Acknowledge { session, packet_id, place },
            17 => Command::Complete { session, packet_id },
            18 => Command::Receive { session, packet_id },
            19 => Command::Forget { session, packet_id },
            20 | 21 => {
                let message = Message { received_at: time, expires_at, packet: &self.packet };
                Command::Retain { topic: filter, message }
            }
            22 if more < 2 => Command::Clear { topic: filter },
            22 => {
                let message = Message { received_at: time, expires_at, packet: &self.packet };
                Command::Plan { plan: more, due_at: time, purpose: Purpose::Will(session), message }
            }
            _ => Command::Unplan { plan: more },
        }
    }
}

/// Submits a batch and waits for what becomes of it.
fn submit(store: &dyn Store, batch: Batch) -> Result<(), Refusal> {
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
                dice.batch(|command| {
                    batch.push(command);
                    model.apply(command);
                });
                submit(&store, batch).expect("the disk is well");
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
    let message = Message { received_at: Time(0), expires_at: None, packet: &[1; 500] };
    batch.push(&Command::Retain { topic: "kept", message });
    submit(&store, batch).expect("the disk is well");
    for number in 0..2000 {
        let mut batch = Batch::refusable();
        let (session, place) = (SessionNumber(1), Place(number));
        let claims = vec![Claim { session, place, flags: 1, identifiers: Vec::new() }];
        batch.push(&Command::Publish { message, claims });
        if let Some(to) = number.checked_sub(5) {
            batch.push(&Command::Release { session, from: Place(0), to: Place(to) });
        }
        submit(&store, batch).expect("the disk is well");
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
/// what was on its way the first steps, if anything.
fn cut_power(seed: u64) {
    let mut disk = SimulatedDisk::default();
    let mut dice = Dice::new(seed);
    let mut model = Told::default();
    for life in 0..4 {
        let fault = if dice.below(2) == 0 { Fault::Broken } else { Fault::Full };
        let store = open(&disk);
        let failing = dice.below(120);
        disk.fail(failing..u64::MAX, fault);
        // What may be found: all that was done, and the first steps of the batch that was not.
        let mut possible = Vec::new();
        for _ in 0..40 {
            let mut batch = Batch::refusable();
            dice.batch(|command| batch.push(command));
            let outcome = submit(&store, batch.clone());
            if outcome.is_err() {
                possible.push(model.clone());
            }
            for command in batch.commands() {
                model.apply(&Command::read(command).expect("we wrote it"));
                if outcome.is_err() {
                    possible.push(model.clone());
                }
            }
            if outcome.is_err() {
                break;
            }
        }
        possible.push(model);
        drop(store);
        disk = disk.after_power_cut(dice.below(u64::MAX));
        let found = Told::by(&open(&disk));
        assert!(possible.contains(&found), "seed {seed}, life {life}: {found:#?}\n{possible:#?}");
        // Who was not stored begins anew.
        for number in &mut dice.sessions {
            *number += if found.sessions.contains_key(&SessionNumber(*number)) { 0 } else { 4 };
        }
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
        let message = Message { received_at: Time(0), expires_at: None, packet: b"x" };
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
        assert_eq!(receiver.recv().expect("it has an outcome"), Ok(()));
        assert_eq!(store.failure(), None);
        let told = Told::by(&store);
        assert_eq!(told.retained.keys().collect::<Vec<_>>(), ["kept"]);
        drop(store);
        assert_eq!(Told::by(&open(&disk)), told);
    }
}
