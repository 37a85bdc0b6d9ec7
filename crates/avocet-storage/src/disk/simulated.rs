//! A disk in memory that does what disks do when the power goes: what was not synced is there, or
//! not, or in part, in any order; and that fails when it is told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    ops::Range,
    sync::Arc,
};

use parking_lot::Mutex;

use super::{Disk, File};

/// What a real disk writes whole.
const SECTOR_BYTES: usize = 512;

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

/// How a write, a sync or a change of names fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An I/O error. Of a sync: what it should have synced may be lost for good.
    Broken,
    /// No space: of a write, a part of it has been done.
    Full,
}

#[derive(Debug, Default)]
struct State {
    /// By number; a name that is gone leaves its file here for those who have it open.
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Names as they were after each change since the last sync.
    history: Vec<BTreeMap<String, usize>>,
    /// Changes so far, to tell faults when they are due.
    changes: u64,
    faults: Vec<(Range<u64>, Fault)>,
    /// Bytes that all files together can have, if there is a bound.
    capacity: Option<u64>,
    /// Names that cannot be opened.
    shut: BTreeSet<String>,
    /// How often all names were asked for, and which times they are not told.
    listings: u64,
    concealed: Range<u64>,
    chance: Chance,
}

#[derive(Debug, Default)]
struct Content {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Changes since the last sync.
    unsynced: Vec<Unsynced>,
    /// Bytes that are not given.
    unread: Range<usize>,
    /// Nothing of it is told.
    is_mute: bool,
}

#[derive(Debug)]
enum Unsynced {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

/// Numbers that look like chance, from a seed (SplitMix64).
#[derive(Clone, Debug, Default)]
struct Chance(u64);

#[derive(Debug)]
struct Handle {
    state: Arc<Mutex<State>>,
    number: usize,
}

impl SimulatedDisk {
    /// Lets changes fail: of all that is done to the disk from now on, those with these numbers,
    /// counted from 0.
    pub fn fail(&self, changes: Range<u64>, fault: Fault) {
        let mut state = self.state.lock();
        let from = state.changes;
        state.faults.push((changes.start + from..changes.end.saturating_add(from), fault));
    }

    /// A file cannot be opened by this name from now on.
    pub fn shut(&self, name: &str) {
        self.state.lock().shut.insert(name.to_owned());
    }

    /// Its names are not told: of all times they are asked for from now on, those with these
    /// numbers, counted from 0.
    pub fn conceal(&self, times: Range<u64>) {
        let mut state = self.state.lock();
        let from = state.listings;
        state.concealed = times.start + from..times.end.saturating_add(from);
    }

    /// A file that can be opened tells nothing from now on, not even how long it is.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn mute(&self, name: &str) {
        let mut state = self.state.lock();
        let number = state.names[name];
        state.files[number].is_mute = true;
    }

    /// Some bytes of a file are not given from now on.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn withhold(&self, name: &str, bytes: Range<usize>) {
        let mut state = self.state.lock();
        let number = state.names[name];
        state.files[number].unread = bytes;
    }

    /// All is well from now on.
    pub fn mend(&self) {
        let mut state = self.state.lock();
        state.faults.clear();
        state.shut.clear();
        state.concealed = 0..0;
        for file in &mut state.files {
            (file.unread, file.is_mute) = (0..0, false);
        }
    }

    /// From now on all files together have room for so many bytes.
    pub fn limit(&self, capacity: u64) {
        self.state.lock().capacity = Some(capacity);
    }

    /// How many bytes all files have together.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// How many changes there were.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.state.lock().changes
    }

    /// The disk as it is found after the power went now; `seed` chooses what of the unsynced is
    /// there.
    #[must_use]
    pub fn after_power_cut(&self, seed: u64) -> Self {
        let state = self.state.lock();
        let mut chance = Chance(seed);
        let kept = chance.below(state.history.len() + 1);
        let names = match kept.checked_sub(1) {
            None => &state.durable_names,
            Some(last) => &state.history[last],
        };
        let mut files = Vec::new();
        let mut found = BTreeMap::new();
        for (name, number) in names {
            found.insert(name.clone(), files.len());
            let content = state.files[*number].after_power_cut(&mut chance);
            files.push(Content {
                current: content.clone(),
                durable: content,
                ..Content::default()
            });
        }
        let durable_names = found.clone();
        let capacity = state.capacity;
        let mut state = State { files, names: found, durable_names, chance, ..State::default() };
        // What was removed has its room back for good before something else takes it.
        state.capacity = capacity.map(|bytes| bytes.max(state.used()));
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The disk as it is found after the process was killed now, and nothing else has happened.
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = self.state.lock();
        let mut files = Vec::new();
        let mut names = BTreeMap::new();
        for (name, number) in &state.names {
            names.insert(name.clone(), files.len());
            let current = state.files[*number].current.clone();
            files.push(Content { durable: current.clone(), current, ..Content::default() });
        }
        let (durable_names, capacity) = (names.clone(), state.capacity);
        let copy = State { files, names, durable_names, capacity, ..State::default() };
        Self { state: Arc::new(Mutex::new(copy)) }
    }

    /// Turns some bits of a file, as a bad disk does.
    ///
    /// # Panics
    /// If there is no such byte.
    pub fn damage(&self, name: &str, offset: usize) {
        let mut state = self.state.lock();
        let number = state.names[name];
        let content = &mut state.files[number];
        content.current[offset] ^= 0x55;
        content.durable = content.current.clone();
        content.unsynced.clear();
    }
}

impl State {
    fn used(&self) -> u64 {
        self.names.values().map(|number| self.files[*number].current.len() as u64).sum()
    }

    fn free(&self) -> Option<u64> {
        self.capacity.map(|capacity| capacity.saturating_sub(self.used()))
    }

    /// How many bytes of a write there is room for.
    fn fitting(&self, number: usize, offset: u64, len: usize) -> usize {
        let grown = (offset + len as u64).saturating_sub(self.files[number].current.len() as u64);
        let lacking = self.free().map_or(0, |free| grown.saturating_sub(free));
        len.saturating_sub(lacking as usize)
    }

    /// Counts a change; what is to fail, fails.
    fn change(&mut self) -> Option<Fault> {
        let number = self.changes;
        self.changes += 1;
        let due = self.faults.iter().find(|(changes, _)| changes.contains(&number));
        due.map(|(_, fault)| *fault)
    }

    fn change_names<R>(
        &mut self,
        change: impl FnOnce(&mut Self) -> io::Result<R>,
    ) -> io::Result<R> {
        if let Some(fault) = self.change() {
            return Err(fault.into());
        }
        let result = change(self)?;
        self.history.push(self.names.clone());
        Ok(result)
    }
}

impl Content {
    fn apply(bytes: &mut Vec<u8>, offset: u64, written: &[u8]) {
        let offset = offset as usize;
        let end = offset + written.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset..end].copy_from_slice(written);
    }

    /// Each write is there, or not, or some sectors of it; the order of writes says nothing.
    fn after_power_cut(&self, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for unsynced in &self.unsynced {
            let (offset, written) = match unsynced {
                Unsynced::Write(offset, written) => (offset, written),
                Unsynced::Truncate(len) => {
                    if chance.below(2) == 0 {
                        bytes.truncate(*len as usize);
                    }
                    continue;
                }
            };
            match chance.below(4) {
                0 => {}
                1 => Self::apply(&mut bytes, *offset, written),
                2 => Self::apply(&mut bytes, *offset, &written[..chance.below(written.len() + 1)]),
                _ => {
                    for (index, sector) in written.chunks(SECTOR_BYTES).enumerate() {
                        if chance.below(2) == 0 {
                            let at = offset + (index * SECTOR_BYTES) as u64;
                            Self::apply(&mut bytes, at, sector);
                        }
                    }
                }
            }
        }
        bytes
    }
}

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken => Self::other("the disk is broken"),
            Fault::Full => ErrorKind::StorageFull.into(),
        }
    }
}

impl Disk for SimulatedDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut state = self.state.lock();
        let number = state.listings;
        state.listings += 1;
        if state.concealed.contains(&number) {
            return Err(Fault::Broken.into());
        }
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let number = self.state.lock().change_names(|state| {
            if state.names.contains_key(name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            state.files.push(Content::default());
            let number = state.files.len() - 1;
            state.names.insert(name.to_owned(), number);
            Ok(number)
        })?;
        Ok(Arc::new(Handle { state: Arc::clone(&self.state), number }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let state = self.state.lock();
        let number = state.names.get(name).copied().ok_or(ErrorKind::NotFound)?;
        if state.shut.contains(name) {
            return Err(Fault::Broken.into());
        }
        Ok(Arc::new(Handle { state: Arc::clone(&self.state), number }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.state.lock().change_names(|state| {
            let number = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), number);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.state.lock().change_names(|state| {
            state.names.remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        if let Some(fault) = state.change() {
            return Err(fault.into());
        }
        state.durable_names = state.names.clone();
        state.history.clear();
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        self.state.lock().free()
    }
}

impl File for Handle {
    fn size(&self) -> io::Result<u64> {
        let state = self.state.lock();
        let file = &state.files[self.number];
        if file.is_mute { Err(Fault::Broken.into()) } else { Ok(file.current.len() as u64) }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.state.lock();
        let Content { unread: Range { start, end }, is_mute, .. } = state.files[self.number];
        let is_withheld = start < offset as usize + buffer.len() && (offset as usize) < end;
        if is_mute || is_withheld {
            return Err(Fault::Broken.into());
        }
        let rest = state.files[self.number].current.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let mut fault = state.change();
        let done = match fault {
            None => state.fitting(self.number, offset, bytes.len()),
            Some(Fault::Broken) => 0,
            Some(Fault::Full) => state.chance.below(bytes.len()),
        };
        if done < bytes.len() {
            fault = fault.or(Some(Fault::Full));
        }
        if done > 0 {
            let content = &mut state.files[self.number];
            Content::apply(&mut content.current, offset, &bytes[..done]);
            content.unsynced.push(Unsynced::Write(offset, bytes[..done].to_owned()));
        }
        fault.map_or(Ok(()), |fault| Err(fault.into()))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if let Some(fault) = state.change() {
            return Err(fault.into());
        }
        let len = state.files[self.number].current.len() as u64;
        let missing = bytes.saturating_sub(len) as usize;
        if state.fitting(self.number, len, missing) < missing {
            return Err(Fault::Full.into());
        }
        let content = &mut state.files[self.number];
        let zeros = vec![0; missing];
        Content::apply(&mut content.current, len, &zeros);
        content.unsynced.push(Unsynced::Write(len, zeros));
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if let Some(fault) = state.change() {
            return Err(fault.into());
        }
        let content = &mut state.files[self.number];
        content.current.truncate(bytes as usize);
        content.unsynced.push(Unsynced::Truncate(bytes));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let fault = state.change();
        let mut chance = state.chance.clone();
        let content = &mut state.files[self.number];
        if let Some(fault) = fault {
            // The system takes the pages for written, whatever has become of them.
            content.durable = content.after_power_cut(&mut chance);
            content.unsynced.clear();
            state.chance = chance;
            return Err(fault.into());
        }
        for unsynced in std::mem::take(&mut content.unsynced) {
            match unsynced {
                Unsynced::Write(at, bytes) => Content::apply(&mut content.durable, at, &bytes),
                Unsynced::Truncate(len) => content.durable.truncate(len as usize),
            }
        }
        Ok(())
    }
}
