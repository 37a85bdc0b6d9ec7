use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Disk, Fault, Folder, SimulatedDisk};

/// A folder that is gone when the test is over.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("avocet-disk-{}-{number}", process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The seed that is asked for, as many as are asked for, or else so many; of a test whose seeds
/// take long one in `part`.
#[expect(clippy::print_stdout, reason = "how many were tried is what a long run has to say")]
pub(crate) fn seeds(what: &str, count: u64, part: u64) -> Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("AVOCET_SEED") {
        return seed..seed + 1;
    }
    let count = number("AVOCET_SEEDS").unwrap_or(count).div_ceil(part);
    println!("{what}: {count} seeds");
    0..count
}

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

/// What a log relies on, of every disk.
fn check(disk: &dyn Disk) -> io::Result<()> {
    assert_eq!(disk.names()?, Vec::<String>::new());
    assert_eq!(kind(disk.open("a")), Some(io::ErrorKind::NotFound));
    let file = disk.create("a")?;
    assert_eq!(kind(disk.create("a")), Some(io::ErrorKind::AlreadyExists));
    assert_eq!(file.size()?, 0);
    file.write_at(b"hello", 3)?;
    file.sync()?;
    assert_eq!(file.size()?, 8);
    let mut buffer = [9; 6];
    assert_eq!(disk.open("a")?.read_at(&mut buffer, 2)?, 6);
    assert_eq!(&buffer, b"\0hello");
    assert_eq!(file.read_at(&mut buffer, 6)?, 2);
    assert_eq!(file.read_at(&mut buffer, 100)?, 0);
    file.truncate(100)?;
    assert_eq!(file.size()?, 8);
    file.write_at(b"later", 8)?;
    file.truncate(8)?;
    assert_eq!(file.size()?, 8);
    disk.create("b")?.write_at(b"b", 0)?;
    disk.rename("a", "b")?;
    disk.sync()?;
    assert_eq!(disk.names()?, ["b"]);
    assert_eq!(disk.open("b")?.size()?, 8);
    assert_eq!(kind(disk.rename("a", "c")), Some(io::ErrorKind::NotFound));
    disk.remove("b")?;
    assert_eq!(kind(disk.remove("b")), Some(io::ErrorKind::NotFound));
    // Who has it open still reads it.
    assert_eq!(file.read_at(&mut buffer, 3)?, 5);
    Ok(())
}

#[test]
fn folder_is_a_disk() {
    let scratch = Scratch::new();
    check(&Folder::open(&scratch.0).expect("a folder can be made")).expect("the disk is well");
}

/// Each folder that is made stands in another one, which has to know it for good: the data of a
/// first start would be gone with it.
#[test]
fn folders_that_are_made_are_synced_where_they_stand() {
    let scratch = Scratch::new();
    fs::create_dir(&scratch.0).expect("a folder can be made");
    let path = scratch.0.join("data/node/store");
    let mut synced = Vec::new();
    let mut note = |parent: &Path| {
        assert!(path.is_dir(), "it is made before");
        synced.push(parent.to_owned());
        Ok(())
    };
    Folder::make(&path, &mut note).expect("it can be made");
    Folder::make(&path, &mut note).expect("it is there");
    synced.sort();
    let parents = ["", "data", "data/node"].map(|it| scratch.0.join(it));
    assert_eq!(synced, parents);
    let other = scratch.0.join("other");
    let failed = Folder::make(&other, &mut |_| Err(io::ErrorKind::Other.into()));
    assert_eq!(kind(failed), Some(io::ErrorKind::Other));
}

#[test]
fn room_that_is_allocated_is_there_and_what_is_written_stays() {
    let scratch = Scratch::new();
    let folder = Folder::open(&scratch.0).expect("a folder can be made");
    let simulated = SimulatedDisk::default();
    simulated.limit(20_000);
    for disk in [&folder as &dyn Disk, &simulated] {
        let file = disk.create("a").expect("the disk is well");
        file.write_at(b"a", 0).expect("the disk is well");
        let free = disk.free_bytes().expect("it is known");
        file.allocate(10_000).expect("there is room");
        file.allocate(5000).expect("there is room");
        assert_eq!(file.size().expect("the disk is well"), 10_000);
        let mut byte = [0];
        file.read_at(&mut byte, 0).expect("the disk is well");
        assert_eq!(&byte, b"a");
        let failed = file.allocate(free + (1 << 40));
        assert!(failed.is_err());
        assert_eq!(file.size().expect("the disk is well"), 10_000);
    }
    assert_eq!(simulated.free_bytes(), Some(10_000));
    let file = simulated.create("b").expect("the disk is well");
    assert_eq!(kind(file.write_at(&[1; 10_001], 0)), Some(io::ErrorKind::StorageFull));
    assert_eq!(simulated.used(), 20_000);
    file.truncate(0).expect("the disk is well");
    file.write_at(&[1; 10_000], 0).expect("there is room");
}

#[test]
fn simulated_disk_is_a_disk() {
    check(&SimulatedDisk::default()).expect("the disk is well");
}

/// Else the tests with it would prove nothing.
#[test]
fn simulated_disk_loses_and_tears_what_was_not_synced() {
    let disk = SimulatedDisk::default();
    let file = disk.create("a").expect("the disk is well");
    disk.sync().expect("the disk is well");
    file.write_at(&[1; 2000], 0).expect("the disk is well");
    file.sync().expect("the disk is well");
    file.write_at(&[2; 2000], 2000).expect("the disk is well");
    disk.create("b").expect("the disk is well");
    let (mut whole, mut lost, mut torn, mut nameless) = (0, 0, 0, 0);
    for seed in 0..200 {
        let disk = disk.after_power_cut(seed);
        let mut bytes = [0; 4000];
        let file = disk.open("a").expect("its name was synced");
        file.read_at(&mut bytes, 0).expect("the disk is well");
        assert_eq!(bytes[..2000], [1; 2000]);
        match bytes[2000..].iter().filter(|byte| **byte == 2).count() {
            0 => lost += 1,
            2000 => whole += 1,
            _ => torn += 1,
        }
        nameless += u32::from(disk.open("b").is_err());
    }
    assert!(whole > 20 && lost > 20 && torn > 20, "{whole}, {lost}, {torn}");
    assert!((20..180).contains(&nameless), "{nameless}");
}

#[test]
fn failed_sync_may_lose_what_it_should_have_kept() {
    let lost = (0..50).filter(|seed| {
        let disk = SimulatedDisk::default();
        let file = disk.create("a").expect("the disk is well");
        disk.sync().expect("the disk is well");
        file.write_at(&vec![1; 512 * (*seed as usize % 7 + 1)], 0).expect("the disk is well");
        disk.fail(0..1, Fault::Broken);
        assert!(file.sync().is_err());
        file.sync().expect("it fails once");
        let found = disk.after_power_cut(*seed).open("a").expect("its name was synced");
        found.size().expect("the disk is well") < file.size().expect("the disk is well")
    });
    assert!(lost.count() > 5);
}

/// To give back the space of a large file takes the system long: who lets go of it last is not kept
/// waiting for that.
#[test]
fn large_file_that_was_removed_is_closed_by_another_thread() {
    let scratch = Scratch::new();
    let folder = Folder::open(&scratch.0).expect("a folder can be made");
    let file = folder.create("a").expect("the disk is well");
    file.allocate(16 << 20).expect("there is room");
    folder.remove("a").expect("it is there");
    let closers = || {
        let threads = fs::read_dir("/proc/self/task").expect("the system tells them");
        let name = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm")).ok();
        threads.flatten().filter_map(name).filter(|name| name == "close\n").count()
    };
    drop(file);
    let wait_until = |what: &str, is_so: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
            thread::yield_now();
        }
    };
    wait_until("there is no thread for it", &|| closers() > 0);
    let is_open = || {
        let files = fs::read_dir("/proc/self/fd").expect("the system tells them");
        let named = |file: fs::DirEntry| fs::read_link(file.path()).ok();
        files.flatten().filter_map(named).any(|name| name.starts_with(&scratch.0))
    };
    // The folder itself is open.
    drop(folder);
    wait_until("it stays open", &|| !is_open());
    wait_until("its thread goes on", &|| closers() == 0);
}
