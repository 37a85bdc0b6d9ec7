//! Disks that are full: what is released gives its room back, and the store goes on by itself.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{OPTIONS, batch, bytes_on, message, open_with, publish, session, with_places_after};
use crate::{
    command::{Command, Place, SessionNumber},
    conformance::{apply, dice::Dice, submit, told},
    disk::{Disk, Fault, SimulatedDisk, seeds},
    log::Durability,
    store::{Batch, Contents, EmbeddedStore, Options, Refusal, Store},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Retained messages that are there all the time.
const RETAINED: usize = 10;

fn options() -> Options {
    Options { retry_after: Duration::from_millis(1), ..OPTIONS }
}

fn limited(capacity: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    disk.limit(capacity);
    disk
}

/// What some sessions and retained topics begin with.
pub(super) fn begin(store: &dyn Store) {
    let mut commands: Vec<Command<'_>> = (1..=3).map(session).collect();
    let topics: Vec<String> = (0..RETAINED).map(|number| format!("kept/{number}")).collect();
    let retain = |topic| Command::Retain { topic, message: message(&[9; 50]) };
    commands.extend(topics.iter().map(|topic| retain(&topic[..])));
    submit(store, batch(&commands)).expect("there is room");
}

/// Publishes until there is no room; answers the places of each session.
fn fill(store: &dyn Store, bytes: usize) -> Vec<(u64, Place)> {
    let (packet, mut places, begin) = (vec![1; bytes], Vec::new(), Instant::now());
    loop {
        assert!(begin.elapsed() < PATIENCE, "it takes more and more");
        let number = places.len() as u64 % 3 + 1;
        match submit(store, batch(&[publish(&packet, &[number])])) {
            Ok(stored) => places.push((number, stored[0])),
            Err(Refusal::Failed(_)) => return places,
            Err(Refusal::Busy) => unreachable!("nothing waits"),
        }
    }
}

/// As clients do that acknowledge what they got, one by one.
pub(super) fn release_all(store: &dyn Store, places: &[(u64, Place)]) {
    let (sender, receiver) = mpsc::sync_channel(places.len());
    for (number, place) in places {
        let mut batch = Batch::default();
        let (session, from) = (SessionNumber(*number), *place);
        batch.push(&Command::Release { session, from, to: from });
        let sender = sender.clone();
        let done = Box::new(move |outcome| drop(sender.send(outcome)));
        store.submit(batch, done).expect("it is not refused");
    }
    for _ in places {
        let outcome = receiver.recv_timeout(PATIENCE).expect("releases get through");
        assert_eq!(outcome, Ok(Vec::new()));
    }
}

/// Waits until something is stored again.
fn resume(store: &dyn Store) {
    let again = || submit(store, batch(&[publish(b"again", &[1])])).is_ok();
    wait_until(again, &|| format!("it does not resume: {:?}", store.failure()));
    assert_eq!(store.failure(), None);
    for number in 1..=3 {
        let (session, to) = (SessionNumber(number), Place(u64::MAX));
        submit(store, batch(&[Command::Release { session, from: Place(0), to }])).expect("room");
    }
}

fn wait_until(mut holds: impl FnMut() -> bool, what: &dyn Fn() -> String) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{}", what());
        thread::yield_now();
    }
}

pub(super) fn fill_and_release(
    store: &dyn Store,
    rounds: usize,
    packet: usize,
    bytes: &dyn Fn() -> u64,
) {
    let mut least = usize::MAX;
    for round in 0..rounds {
        let places = fill(store, packet);
        let full = bytes();
        release_all(store, &places);
        resume(store);
        wait_until(|| bytes() < full / 3, &|| format!("round {round}: {} of {full}", bytes()));
        least = least.min(places.len());
    }
    // Each time about as much as there is room for.
    let room = fill(store, packet).len();
    assert!(least * 10 > room * 8, "{least}, {room}");
}

pub(super) fn check_what_is_kept(store: &dyn Store) {
    let found = told(store);
    assert_eq!(found.retained.len(), RETAINED);
    assert_eq!(found.sessions.len(), 3);
}

#[test]
fn full_disk_gives_its_room_back_once_all_is_released() {
    let disk = limited(256 << 10);
    let store = open_with(&disk, options());
    begin(&store);
    fill_and_release(&store, 10, 200, &|| bytes_on(&disk));
    check_what_is_kept(&store);
    drop(store);
    check_what_is_kept(&open_with(&disk, options()));
}

#[test]
fn full_disk_that_is_not_synced_gives_its_room_back() {
    let disk = limited(256 << 10);
    let store = open_with(&disk, Options { durability: Durability::Os, ..options() });
    begin(&store);
    fill_and_release(&store, 3, 200, &|| bytes_on(&disk));
    check_what_is_kept(&store);
}

/// Segments that could never be cleaned on it are not made.
#[test]
fn volume_smaller_than_a_segment_gives_its_room_back() {
    let disk = limited(16 << 20);
    let retry_after = Duration::from_millis(1);
    let store = open_with(&disk, Options { retry_after, ..Options::default() });
    begin(&store);
    fill_and_release(&store, 3, 50_000, &|| bytes_on(&disk));
    check_what_is_kept(&store);
    drop(store);
    check_what_is_kept(&open_with(&disk, options()));
}

/// What a session does not fetch keeps its room, and no other.
#[test]
fn room_of_what_was_released_is_given_back_while_others_keep_theirs() {
    let disk = limited(256 << 10);
    let store = open_with(&disk, options());
    begin(&store);
    let places = fill(&store, 200);
    let (kept, gone): (Vec<_>, Vec<_>) = places.into_iter().partition(|(number, _)| *number == 2);
    release_all(&store, &gone);
    let again = || submit(&store, batch(&[publish(b"again", &[1])])).is_ok();
    wait_until(again, &|| format!("it does not resume: {:?}", store.failure()));
    let more = fill(&store, 200);
    assert!(more.len() > gone.len() / 2, "{} after {}", more.len(), gone.len());
    assert!(told(&store).queues[&SessionNumber(2)].len() >= kept.len());
    drop(store);
    let store = open_with(&disk, options());
    release_all(&store, &more);
    release_all(&store, &kept);
    resume(&store);
    check_what_is_kept(&store);
}

#[test]
fn store_that_is_opened_on_a_full_disk_takes_releases_and_goes_on() {
    let disk = limited(256 << 10);
    let store = open_with(&disk, options());
    begin(&store);
    let places = fill(&store, 200);
    drop(store);
    let store = open_with(&disk, options());
    release_all(&store, &places);
    resume(&store);
    check_what_is_kept(&store);
}

/// An earlier version held nothing back, and made segments that are larger than the disk.
#[test]
fn disk_with_hardly_any_room_that_is_one_long_segment_gives_it_back() {
    let disk = SimulatedDisk::default();
    let larger = Options { segment_bytes: 32 << 10, cleaned_from_bytes: 96 << 10, ..options() };
    let store = open_with(&disk, Options { segment_bytes: 64 << 20, ..options() });
    begin(&store);
    let publish = |number| submit(&store, batch(&[publish(&[1; 1000], &[number])])).expect("room");
    let places: Vec<_> =
        (0..1000).map(|it| it % 3 + 1).map(|number| (number, publish(number)[0])).collect();
    drop(store);
    disk.remove("reserve").expect("it was there");
    disk.limit(disk.used() + (16 << 10));
    let store = open_with(&disk, larger);
    release_all(&store, &places);
    resume(&store);
    fill_and_release(&store, 2, 1000, &|| bytes_on(&disk));
    check_what_is_kept(&store);
}

/// Somebody else has filled the disk, and goes.
#[test]
fn store_goes_on_by_itself_when_others_make_room() {
    let disk = limited(256 << 10);
    let store = open_with(&disk, options());
    begin(&store);
    let foreign = disk.create("foreign").expect("the disk is well");
    let take = || foreign.size().and_then(|it| foreign.allocate(it + 100)).is_ok();
    while take() {}
    let places = fill(&store, 200);
    assert!(store.failure().is_some());
    release_all(&store, &places);
    foreign.truncate(0).expect("the disk is well");
    wait_until(|| store.failure().is_none(), &|| "it does not see that there is room".to_owned());
    resume(&store);
    check_what_is_kept(&store);
}

/// A store whose writer has its turns here, so that nothing depends on time.
struct Life {
    disk: SimulatedDisk,
    store: EmbeddedStore,
    turn: Box<dyn FnMut()>,
    model: Contents,
    /// What may be there as well, since it was refused after the last that was stored.
    refused: Vec<Batch>,
    known: Place,
}

impl Life {
    fn open(disk: &SimulatedDisk, seed: u64, model: Contents, known: Place) -> Self {
        let options = Options { retry_after: Duration::ZERO, ..OPTIONS };
        let opened = EmbeddedStore::begin(Arc::new(disk.clone()), options, seed);
        let (store, mut writer, losses) = opened.expect("it opens");
        assert_eq!(losses, [], "seed {seed}");
        let turn = Box::new(move || writer.turn());
        Self { disk: disk.clone(), store, turn, model, refused: Vec::new(), known }
    }

    /// Answers the places, or nothing if it is refused or does not come about.
    fn submit(&mut self, batch: Batch) -> Option<Vec<Place>> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Box::new(move |outcome| drop(sender.send(outcome)));
        self.store.submit(batch.clone(), done).expect("there is room in memory");
        for _ in 0..500 {
            (self.turn)();
            match receiver.try_recv() {
                Ok(Ok(places)) => {
                    apply(&mut self.model, &batch, places.iter().copied());
                    self.refused.clear();
                    self.known = places.last().copied().unwrap_or(self.known);
                    return Some(places);
                }
                Ok(Err(_)) => break,
                Err(_) => {}
            }
        }
        self.refused.push(batch);
        None
    }

    /// Publishes until there is no room, or the power goes.
    fn fill(&mut self, dice: &mut Dice) -> Vec<(u64, Place)> {
        let mut places = Vec::new();
        loop {
            let (number, packet) = (dice.below(3) + 1, vec![1; dice.below(600) as usize]);
            match self.submit(batch(&[publish(&packet, &[number])])) {
                Some(stored) => places.push((number, stored[0])),
                None => return places,
            }
        }
    }

    /// Releases most of it; false if the power goes.
    fn release(&mut self, dice: &mut Dice, places: &[(u64, Place)]) -> bool {
        places.iter().all(|(number, place)| {
            let (session, mut batch) = (SessionNumber(*number), Batch::default());
            let from = if dice.below(9) == 0 { Place(0) } else { *place };
            batch.push(&Command::Release { session, from, to: *place });
            dice.below(30) == 0 || self.submit(batch).is_some()
        })
    }

    /// What may be found when the power goes now.
    fn possible(&self) -> Vec<Contents> {
        let with = |batch: &Batch| {
            let mut model = self.model.clone();
            apply(&mut model, batch, (self.known.0 + 1..).map(Place));
            model
        };
        let all = self.refused.iter().map(with).chain([self.model.clone()]);
        all.map(|it| with_places_after(it, self.known)).collect()
    }
}

/// The power goes while a disk is filled, released and cleaned.
fn cut_power(seed: u64) {
    let (mut dice, mut disk) = (Dice::new(seed), limited(100_000 + seed % 97 * 1000));
    let (mut model, mut known) = (Contents::default(), Place(0));
    begin(&open_with(&disk, options()));
    for life in 0..3 {
        let mut now = Life::open(&disk, seed, model, known);
        now.model = told(&now.store);
        let left: Vec<(u64, Place)> = places_of(&now.model);
        let cut = disk.changes() + dice.below(1500);
        disk.fail(cut - disk.changes()..u64::MAX, Fault::Broken);
        let mut places = left;
        while now.release(&mut dice, &places) && now.disk.changes() < cut {
            places = now.fill(&mut dice);
        }
        let (possible, last) = (now.possible(), now.known);
        drop(now);
        disk = disk.after_power_cut(dice.below(u64::MAX));
        let found = told(&open_with(&disk, options()));
        let normal = with_places_after(found.clone(), last);
        assert!(possible.contains(&normal), "seed {seed}, life {life}: {normal:#?}\n{possible:#?}");
        let all = places_of(&found).into_iter().map(|(_, place)| place);
        (known, model) = (last.max(all.max().unwrap_or_default()), found);
    }
    // It goes on wherever the power went.
    let mut now = Life::open(&disk, seed, model, known);
    for _ in 0..3 {
        let places = [places_of(&now.model), now.fill(&mut dice)].concat();
        assert!(now.release(&mut dice, &places), "seed {seed}: {:?}", now.store.failure());
    }
    assert_eq!(now.model.retained.len(), RETAINED);
    assert_eq!(told(&now.store), now.model, "seed {seed}");
}

pub(super) fn places_of(contents: &Contents) -> Vec<(u64, Place)> {
    let queues = contents.queues.iter();
    queues.flat_map(|(session, queue)| queue.keys().map(|place| (session.0, *place))).collect()
}

#[test]
fn power_cut_on_a_full_disk_loses_nothing_and_room_is_given_back() {
    // Each of them writes a hundred times as much as those of the others.
    seeds("power cuts on a full disk", 300, 10).for_each(cut_power);
}
