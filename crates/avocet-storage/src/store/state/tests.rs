//! Queues, beside a map, over a disk that takes pages, or does not.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Lies, State,
    queue::Queue,
    scratch::{Entry, Scratch},
};
use crate::{
    command::{Claim, Command, Message, Place, SessionNumber, Time},
    conformance::dice::Dice,
    disk::{Disk, Fault, SimulatedDisk},
    log::Position,
    store::Amount,
};

fn entry(place: u64, offset: u32) -> Entry {
    let at = Position { segment: 0, offset };
    Entry { place: Place(place), at, bytes: place as u32 % 100, share: offset % 7 }
}

/// A queue, and what it should be.
#[derive(Default)]
struct Pair {
    queue: Queue,
    model: BTreeMap<Place, Entry>,
    scratch: Scratch,
}

impl Pair {
    fn push(&mut self, entry: Entry) {
        self.queue.push(entry, &mut self.scratch);
        self.model.insert(entry.place, entry);
    }

    fn replace(&mut self, entry: Entry) {
        let before = self.queue.replace(entry, &mut self.scratch).expect("the disk can be read");
        let there = self.model.get_mut(&entry.place);
        assert_eq!(before, there.map(|there| std::mem::replace(there, entry)));
    }

    fn release(&mut self, from: u64, to: u64) {
        let (from, to) = (Place(from), Place(to));
        let (mut found, mut pages) = (Vec::new(), Vec::new());
        self.queue.release(from, to, &mut self.scratch, &mut pages, |entry| found.push(entry));
        for reference in pages {
            let page = self.scratch.read(reference.number).expect("the disk can be read");
            found.extend(reference.entries(&page).map(|(_, entry)| entry));
            self.scratch.free(reference.number);
        }
        found.sort_by_key(|entry| entry.place);
        let expected: Vec<Entry> = self.model.range(from..=to).map(|(_, entry)| *entry).collect();
        assert_eq!(found, expected);
        self.model.retain(|place, _| *place < from || *place > to);
    }

    fn check(&mut self, from: u64, messages: usize) {
        let bytes = self.model.values().map(|entry| u64::from(entry.bytes)).sum();
        assert_eq!(self.queue.amount(), Amount { messages: self.model.len(), bytes });
        let most = Amount { messages, ..Amount::ALL };
        let found = self.queue.range(Place(from), most, &mut self.scratch);
        let (found, has_more) = found.expect("the disk can be read");
        let mut rest = self.model.range(Place(from)..).map(|(_, entry)| *entry);
        let expected: Vec<Entry> = rest.by_ref().take(messages).collect();
        assert_eq!(found, expected);
        assert_eq!(has_more, rest.next().is_some());
        let one = self.queue.find(Place(from), &mut self.scratch).expect("it is read");
        assert_eq!(one, self.model.get(&Place(from)).copied());
    }
}

/// Places come in order, but some older ones come between them, as when a log is opened that was
/// cleaned.
fn run(seed: u64, disk: &SimulatedDisk) {
    let mut dice = Dice::new(seed);
    let scratch = Scratch::new(Some(Arc::new(disk.clone())));
    let mut pair = Pair { scratch, ..Pair::default() };
    let (mut next, mut older) = (10_000, 0);
    for step in 0..1500 {
        match dice.below(40) {
            0..=15 => {
                next += 1 + dice.below(3);
                pair.push(entry(next, step));
            }
            16..=25 => {
                older += 1 + dice.below(3);
                pair.push(entry(older, step));
            }
            26 => older += 100,
            27..=32 => {
                let place = dice.below(next);
                pair.replace(entry(place, step));
                let known = pair.model.keys().nth(dice.below(500) as usize).copied();
                known.into_iter().for_each(|place| pair.replace(entry(place.0, step)));
            }
            33 | 34 => pair.release(0, dice.below(next)),
            35 => pair.release(dice.below(next), next + 5),
            36 if dice.below(8) == 0 => pair.release(0, u64::MAX),
            36 | 37 => {
                let from = dice.below(next);
                pair.release(from, from + dice.below(300));
            }
            _ => pair.check(dice.below(next), dice.below(400) as usize),
        }
    }
    pair.check(0, usize::MAX);
}

#[test]
fn queue_is_as_a_map() {
    for seed in 0..60 {
        run(seed, &SimulatedDisk::default());
    }
}

#[test]
fn queue_whose_pages_the_disk_does_not_take_is_as_a_map() {
    for seed in 0..60 {
        let disk = SimulatedDisk::default();
        let first = seed % 30;
        disk.fail(first..first + seed * 3, Fault::Full);
        run(seed, &disk);
    }
}

#[test]
fn scratch_file_that_nobody_needs_takes_no_space() {
    let disk = SimulatedDisk::default();
    let scratch = Scratch::new(Some(Arc::new(disk.clone())));
    let mut pair = Pair { scratch, ..Pair::default() };
    (0..10_000).for_each(|place| pair.push(entry(place, 1)));
    let size = || disk.open("queues.scratch").and_then(|file| file.size()).expect("it is there");
    assert!(size() > 200_000, "{}", size());
    pair.release(0, 9_990);
    pair.check(0, 20);
    pair.release(0, 10_000);
    assert_eq!(size(), 0);
    (0..100).for_each(|place| pair.push(entry(place, 1)));
    pair.check(0, 200);
}

/// The cleaner has written a message anew, and what says where it lay cannot be read: it lies there
/// still, until that can be changed.
#[test]
fn message_whose_page_cannot_be_read_is_not_moved() {
    let disk = SimulatedDisk::default();
    let mut state = State::new(Some(Arc::new(disk.clone())));
    let session = SessionNumber(1);
    let lies = |segment: u32, number: u64| {
        let at = Position { segment, offset: number as u32 };
        Lies { at, number, bytes: 30 }
    };
    let message = Message { received_at: Time(0), expires_at: None, flags: 1, packet: b"x" };
    let claims = vec![Claim { session, flags: 1, identifiers: Vec::new(), shared: None }];
    state.apply(lies(0, 0), &Command::Stand { session, standing: Box::default() });
    for number in 1..=200 {
        let claims = claims.clone();
        state.apply(lies(0, number), &Command::Publish { message, claims, from: None });
    }
    let keep = Command::Keep { place: Place(1), message, claims };
    let held = |state: &State| {
        let count = |segment| (state.holdings(segment), state.bytes_needed(segment));
        (state.queued(session).messages, state.totals().1.messages, count(0), count(1))
    };
    let before = held(&state);
    assert_eq!(before, (200, 200, (201, 6030), (0, 0)));
    disk.withhold("queues.scratch", 0..usize::MAX);
    assert!(state.apply_anew(lies(1, 300), &keep).is_err());
    assert_eq!(held(&state), before);
    disk.mend();
    let lying = |state: &mut State| state.claim(session, Place(1)).expect("it can be read");
    assert_eq!(lying(&mut state), Some(lies(0, 1).at));
    state.apply_anew(lies(1, 300), &keep).expect("it can be read");
    assert_eq!(lying(&mut state), Some(lies(1, 300).at));
    assert_eq!(held(&state), (200, 200, (200, 6000), (1, 30)));
}

/// As after a page of the queue that could not be read when a message had to be looked for.
#[test]
fn message_that_stands_twice_is_found_once() {
    let (mut queue, mut scratch) = (Queue::default(), Scratch::default());
    for entry in [entry(5, 10), entry(9, 20), entry(5, 30)] {
        queue.push(entry, &mut scratch);
    }
    let (found, has_more) =
        queue.range(Place(0), Amount::ALL, &mut scratch).expect("the disk can be read");
    assert_eq!((found, has_more), (vec![entry(5, 30), entry(9, 20)], false));
}
