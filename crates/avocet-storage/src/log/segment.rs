//! A file of the log: a head that says with which record it begins, then records.
//!
//! The head stands there twice, so that one bad sector does not cost all records.

use std::{collections::VecDeque, fmt, io, sync::Arc};

use super::{
    Loss, Position,
    reader::{Shelf, read_lossy, read_most},
    record::{self, Key},
    sound::{Known, Sound},
    unread::Unread,
};
use crate::disk::{self, Disk, File};

const MAGIC: [u8; 8] = *b"avocetlg";
/// The version of the format.
const VERSION: u32 = 1;
/// Magic, version, how many records were salvaged, number of the first record, key of the records,
/// checksum of these.
const COPY_BYTES: usize = 36;
/// Where the second copy of the head is, in another sector.
const SECOND_COPY: usize = 512;
/// What stands before the first record.
pub(crate) const HEAD_BYTES: usize = SECOND_COPY + COPY_BYTES;
/// In place of the number of salvaged records: this is no segment that was damaged once, and no
/// record is missing.
const WHOLE: u32 = u32::MAX;

const DIGITS: usize = 10;
const SUFFIX: &str = ".log";
const DAMAGED: &str = ".damaged";
const SALVAGING: &str = ".salvaging";

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) shelf: Arc<Shelf>,
}

/// A segment's file that was found.
pub(super) struct Found {
    pub(super) number: u32,
    /// Whether it has the name of a salvage still: that of the damaged file is free for it.
    pub(super) is_misplaced: bool,
    /// With its size; or what the system says when it is opened.
    file: io::Result<(Arc<dyn File>, usize)>,
    /// Nothing if it cannot be read.
    head: Option<Head>,
}

/// A file is of a format that this version does not know: a later one has written it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat {
    name: String,
    version: u32,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    first: u64,
    salvaged: Option<u64>,
    key: Key,
}

/// What reading a segment brought.
pub(super) struct Read {
    /// Nothing if the file is in the way.
    pub(super) segment: Option<Segment>,
    /// The file cannot be opened, and still has its name.
    pub(super) in_the_way: Option<Unread>,
    /// The number of the record that comes next.
    pub(super) next: u64,
    pub(super) records: u64,
    pub(super) loss: Option<Loss>,
}

impl UnknownFormat {
    /// Whether it is why a log or a store was not opened.
    #[must_use]
    pub fn is_cause(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<Self>())
    }
}

impl fmt::Display for UnknownFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version } = self;
        write!(formatter, "{name} is of format {version}, which this version does not know")
    }
}

impl std::error::Error for UnknownFormat {}

impl Head {
    fn bytes(self) -> [u8; HEAD_BYTES] {
        let mut copy = [0; COPY_BYTES];
        copy[..8].copy_from_slice(&MAGIC);
        copy[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let salvaged = self.salvaged.map_or(WHOLE, |records| records as u32);
        copy[12..16].copy_from_slice(&salvaged.to_le_bytes());
        copy[16..24].copy_from_slice(&self.first.to_le_bytes());
        copy[24..32].copy_from_slice(&self.key.0.to_le_bytes());
        let checksum = crc32fast::hash(&copy[..32]);
        copy[32..].copy_from_slice(&checksum.to_le_bytes());
        let mut head = [0; HEAD_BYTES];
        head[..COPY_BYTES].copy_from_slice(&copy);
        head[SECOND_COPY..].copy_from_slice(&copy);
        head
    }

    /// Of one of the copies; answers the version, too.
    fn parse(copy: &[u8]) -> Option<(u32, Self)> {
        let (magic, rest) = copy.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (salvaged, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let checksum = u32::from_le_bytes(*rest.first_chunk()?);
        let is_whole = *magic == MAGIC && crc32fast::hash(&copy[..32]) == checksum;
        let salvaged = u32::from_le_bytes(*salvaged);
        is_whole.then(|| {
            let head = Self {
                first: u64::from_le_bytes(*first),
                salvaged: (salvaged != WHOLE).then_some(salvaged.into()),
                key: Key(u64::from_le_bytes(*key)),
            };
            (u32::from_le_bytes(*version), head)
        })
    }
}

impl Segment {
    /// A new file, known to be there if it is to be synced. What an earlier attempt has left under
    /// its name goes.
    pub(super) fn create(
        disk: &dyn Disk,
        number: u32,
        first: u64,
        key: Key,
        is_synced: bool,
    ) -> io::Result<Self> {
        let file = match disk.create(&name(number)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.remove(&name(number))?;
                disk.create(&name(number))?
            }
            created => created?,
        };
        let head = Head { first, salvaged: None, key };
        let mut written = file.write_at(&head.bytes(), 0);
        if is_synced {
            written = written.and_then(|()| file.sync()).and_then(|()| disk.sync());
        }
        if let Err(error) = written {
            // If that fails as well, it goes with the next attempt.
            drop(disk.remove(&name(number)));
            return Err(error);
        }
        let shelf = Shelf::new(file, key, first, HEAD_BYTES as u32);
        Ok(Self { number, shelf: Arc::new(shelf) })
    }

    pub(super) fn name(&self) -> String {
        name(self.number)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shelf.len() <= HEAD_BYTES as u32
    }

    /// Puts a file aside as it is, under a name that it answers, and a segment without records in
    /// its place, of which nothing is missing.
    pub(super) fn in_place_of(
        disk: &dyn Disk,
        number: u32,
        first: u64,
    ) -> io::Result<(Self, String)> {
        let head = Head { first, salvaged: Some(0), key: Key::default() };
        let (mut bytes, mut sound) = (Vec::new(), Sound::default());
        let (file, aside) = replace(disk, number, head, &mut bytes, &mut sound)?;
        let shelf = Shelf::new(file, head.key, first, HEAD_BYTES as u32);
        Ok((Self { number, shelf: Arc::new(shelf) }, aside))
    }

    /// Puts the file aside under another name, which it answers.
    pub(super) fn put_aside(&self, disk: &dyn Disk) -> io::Result<String> {
        let damaged = free_name(disk, &self.name())?;
        disk.rename(&self.name(), &damaged)?;
        Ok(damaged)
    }
}

impl Found {
    /// The number of its first record, if it is known.
    pub(super) fn first(&self) -> Option<u64> {
        self.head.map(|head| head.first)
    }
}

fn salvaging(number: u32) -> String {
    format!("{}{SALVAGING}", name(number))
}

pub(crate) fn name(number: u32) -> String {
    format!("{number:0DIGITS$}{SUFFIX}")
}

fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_ours = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_ours.then(|| digits.parse().ok()).flatten()
}

/// The files of a disk's segments, oldest first.
pub(crate) fn names(disk: &dyn Disk) -> io::Result<Vec<String>> {
    Ok(numbers(disk.names()?.iter()).into_iter().map(name).collect())
}

/// The same as they lie there, each with the name that it should have.
pub(crate) fn files(disk: &dyn Disk) -> io::Result<Vec<(String, String)>> {
    let files = listed(&disk.names()?).into_iter();
    Ok(files.map(|listed| (file_name(listed), name(listed.0))).collect())
}

fn numbers<'a>(names: impl Iterator<Item = &'a String>) -> Vec<u32> {
    let mut numbers: Vec<u32> = names.filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    numbers
}

/// The segments of a disk, oldest first, as they lie there; nothing is changed. What a salvage has
/// brought counts, if the file that it was made for has its other name already.
pub(super) fn found(disk: &dyn Disk) -> io::Result<VecDeque<Found>> {
    let listed = listed(&disk.names()?);
    listed.into_iter().filter_map(|it| look(disk, it).transpose()).collect()
}

/// The numbers of all segments, and whether the file has the name of a salvage still.
fn listed(names: &[String]) -> Vec<(u32, bool)> {
    let is_misplaced = |number: &u32| {
        let old = name(*number);
        !names.contains(&old) && names.contains(&format!("{old}{DAMAGED}"))
    };
    let salvaged = names.iter().filter_map(|it| it.strip_suffix(SALVAGING)).filter_map(number_of);
    let placed = numbers(names.iter()).into_iter().map(|number| (number, false));
    let all = placed.chain(salvaged.filter(is_misplaced).map(|number| (number, true)));
    let mut all: Vec<(u32, bool)> = all.collect();
    all.sort_unstable();
    all
}

/// The file of a segment that is listed.
fn file_name((number, is_misplaced): (u32, bool)) -> String {
    if is_misplaced { salvaging(number) } else { name(number) }
}

/// Finishes what salvages have left: what they brought gets its name, all else of them goes.
pub(super) fn tidy(disk: &dyn Disk, found: &mut VecDeque<Found>) {
    for it in found.iter_mut().filter(|it| it.is_misplaced) {
        // If it cannot be, it is read as it is, and the first commit tries again.
        it.is_misplaced = place(disk, it.number).is_err();
    }
    let misplaced: Vec<String> =
        found.iter().filter(|it| it.is_misplaced).map(|it| salvaging(it.number)).collect();
    let names = disk.names().unwrap_or_default();
    for left in names.iter().filter(|it| it.ends_with(SALVAGING) && !misplaced.contains(it)) {
        // Of no use to anybody; if it cannot be removed, it is in nobody's way either.
        drop(disk.remove(left));
    }
}

/// Gives what was salvaged the name of the damaged file.
pub(super) fn place(disk: &dyn Disk, number: u32) -> io::Result<()> {
    disk.rename(&salvaging(number), &name(number))
}

/// What a segment's file says of itself. One without a whole head and without a record was never
/// written to: the power went when it was made. One that cannot be opened stays one of the log's;
/// but if this process can open nothing more, that is no fault of the file.
fn look(disk: &dyn Disk, listed: (u32, bool)) -> io::Result<Option<Found>> {
    let ((number, is_misplaced), name) = (listed, file_name(listed));
    let unread = |why| Ok(Some(Found { number, is_misplaced, file: Err(why), head: None }));
    let (file, size) = match open(disk, &name) {
        Err(error) if disk::lacks_means(&error) || is_gone(disk, &name, &error) => {
            return Err(error);
        }
        Err(error) => return unread(error),
        Ok(opened) => opened,
    };
    let bytes = read_lossy(&*file, 0, HEAD_BYTES);
    let copies = [0, SECOND_COPY].map(|at| bytes.get(at..).and_then(Head::parse));
    let head = match copies.into_iter().flatten().next() {
        Some((VERSION, head)) => Some(head),
        Some((version, _)) => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                UnknownFormat { name, version },
            ));
        }
        // As it is, it may be read another day: what a copy would have is lost.
        None => match file.read_at(&mut [0; HEAD_BYTES], 0) {
            Err(error) => return unread(error),
            Ok(_) if size <= HEAD_BYTES => return Ok(None),
            Ok(_) => None,
        },
    };
    Ok(Some(Found { number, is_misplaced, file: Ok((file, size)), head }))
}

/// A file, and how many of its bytes can be those of a segment.
fn open(disk: &dyn Disk, name: &str) -> io::Result<(Arc<dyn File>, usize)> {
    let file = disk.open(name)?;
    let size = file.size()?.min(u32::MAX.into()) as usize;
    Ok((file, size))
}

/// Whether somebody has taken it away since it was listed.
pub(crate) fn is_gone(disk: &dyn Disk, name: &str, error: &io::Error) -> bool {
    let is_there = || disk.names().map_or(true, |names| names.iter().any(|it| it == name));
    error.kind() == io::ErrorKind::NotFound && !is_there()
}

/// Reads a segment. `next` is the record that is to come; `limit` is the first of the next segment,
/// from which on this one counts for nothing, and `known` that of the next one that has one.
pub(super) fn read(
    disk: &dyn Disk,
    found: Found,
    next: Option<u64>,
    (limit, known): (Option<u64>, Option<u64>),
    may_write: bool,
    replay: &mut dyn FnMut(Position, u64, &[u8]),
) -> Read {
    let Found { number, is_misplaced, file, head } = found;
    // The name that it has still is what a salvage takes.
    let may_write = may_write && !is_misplaced;
    let first = next.or(head.map(|head| head.first)).or(known).unwrap_or(0);
    let (mut file, size) = match file {
        Ok(opened) => opened,
        Err(why) => return pass_by(disk, Unread { number, first }, &why, known, may_write),
    };
    let (mut bytes, is_given) = read_most(&*file, 0, size);
    let mut key = Key::default();
    let mut sound = match head {
        Some(head) => {
            key = head.key;
            Sound::of(&bytes, Known { key, first, limit, salvaged: head.salvaged })
        }
        None => Sound::nothing(&bytes, first, known),
    };
    let mut loss = None;
    if sound.missing > 0 || head.is_none() {
        let (mut lost, records) = (name(number), sound.missing);
        if sound.is_damaged && may_write {
            let head = Head { first, salvaged: Some(sound.records), key };
            let salvage = if is_given { replace_by_copy } else { replace };
            if let Ok((salvaged, damaged)) = salvage(disk, number, head, &mut bytes, &mut sound) {
                file = salvaged;
                lost = damaged;
            }
        }
        loss = Some(Loss::Records { name: lost, records });
    }
    for run in &sound.runs {
        let mut at = run.start;
        while let Some(record) = record::known(&bytes[at..run.end], key) {
            let position = Position { segment: number, offset: at as u32 };
            replay(position, record.sequence, record.body);
            at += record.len();
        }
    }
    let shelf = Arc::new(Shelf::new(file, key, first, sound.end() as u32));
    let segment = Some(Segment { number, shelf });
    Read { segment, in_the_way: None, next: sound.next, records: sound.records, loss }
}

/// Goes on behind a file that cannot be opened.
fn pass_by(
    disk: &dyn Disk,
    unread: Unread,
    why: &io::Error,
    known: Option<u64>,
    may_write: bool,
) -> Read {
    let next = unread.next(known);
    let records = known.map(|known| known.saturating_sub(unread.first)).filter(|lost| *lost > 0);
    let (segment, name) = match may_write.then(|| unread.put_aside(disk)) {
        Some(Ok((segment, damaged))) => (Some(segment), damaged),
        _ => (None, name(unread.number)),
    };
    let in_the_way = segment.is_none().then_some(unread);
    let loss = Some(Loss::File { name, records, why: why.to_string() });
    Read { segment, in_the_way, next, records: 0, loss }
}

/// Puts a file with what is sound in the place of a damaged one, of which a copy gets another name.
/// Answers the new file and that name; `bytes` and `sound` are then those of the new file.
fn replace_by_copy(
    disk: &dyn Disk,
    number: u32,
    head: Head,
    bytes: &mut Vec<u8>,
    sound: &mut Sound,
) -> io::Result<(Arc<dyn File>, String)> {
    let (old, damaged) = (name(number), copy_aside(disk, &name(number), bytes)?);
    let kept = kept(head, bytes, sound);
    let salvaging = salvaging(number);
    let replaced = write_whole(disk, &salvaging, &kept).and_then(|file| {
        disk.rename(&salvaging, &old)?;
        Ok(file)
    });
    if replaced.is_err() {
        // The next opening makes them anew.
        drop(disk.remove(&salvaging));
        drop(disk.remove(&damaged));
    }
    let file = replaced?;
    take_over(disk, kept, bytes, sound);
    Ok((file, damaged))
}

/// As [`replace_by_copy`], of a file that the disk gives in part: it gets the other name itself,
/// since the disk may give more of it another day.
fn replace(
    disk: &dyn Disk,
    number: u32,
    head: Head,
    bytes: &mut Vec<u8>,
    sound: &mut Sound,
) -> io::Result<(Arc<dyn File>, String)> {
    let kept = kept(head, bytes, sound);
    let file = write_whole(disk, &salvaging(number), &kept);
    let replaced = file.and_then(|file| Ok((file, exchange(disk, number)?)));
    let (file, damaged) = replaced.inspect_err(|_| drop(disk.remove(&salvaging(number))))?;
    take_over(disk, kept, bytes, sound);
    Ok((file, damaged))
}

/// Gives a segment's file another name, which it answers, and its own to what was salvaged. If the
/// power goes between, [`tidy`] does the rest.
fn exchange(disk: &dyn Disk, number: u32) -> io::Result<String> {
    let (old, damaged) = (name(number), free_name(disk, &name(number))?);
    disk.rename(&old, &damaged)?;
    place(disk, number).inspect_err(|_| drop(disk.rename(&damaged, &old)))?;
    Ok(damaged)
}

/// What is sound, as a file.
fn kept(head: Head, bytes: &[u8], sound: &Sound) -> Vec<u8> {
    let mut kept = head.bytes().to_vec();
    sound.runs.iter().for_each(|run| kept.extend_from_slice(&bytes[run.clone()]));
    kept
}

/// Goes on with a file that was replaced.
fn take_over(disk: &dyn Disk, kept: Vec<u8>, bytes: &mut Vec<u8>, sound: &mut Sound) {
    // Whether or not that is known to last: after a power cut it is done again.
    drop(disk.sync());
    *bytes = kept;
    let run = HEAD_BYTES..bytes.len();
    sound.runs = std::iter::once(run).filter(|run| !run.is_empty()).collect();
}

/// A copy of a damaged file under another name, which it answers. One that is there already does.
fn copy_aside(disk: &dyn Disk, old: &str, bytes: &[u8]) -> io::Result<String> {
    let first = format!("{old}{DAMAGED}");
    if let Ok(file) = disk.open(&first)
        && file.size()? == bytes.len() as u64
        && read_lossy(&*file, 0, bytes.len()) == bytes
    {
        return Ok(first);
    }
    let damaged = free_name(disk, old)?;
    let copied = write_whole(disk, &damaged, bytes);
    copied.inspect_err(|_| drop(disk.remove(&damaged)))?;
    Ok(damaged)
}

fn free_name(disk: &dyn Disk, old: &str) -> io::Result<String> {
    let names = disk.names()?;
    let mut damaged = format!("{old}{DAMAGED}");
    while names.contains(&damaged) {
        damaged.push('+');
    }
    Ok(damaged)
}

fn write_whole(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<Arc<dyn File>> {
    let file = disk.create(name)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    Ok(file)
}
