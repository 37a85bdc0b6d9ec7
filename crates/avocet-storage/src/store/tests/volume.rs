//! A store on a volume of the system that is small, or cannot be written to.
//!
//! Each of these tests runs once more in a process of its own, in which a tmpfs is mounted that
//! nobody else sees and that goes with the process.

use std::{
    env,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use super::{
    batch,
    full::{begin, check_what_is_kept, fill_and_release, places_of, release_all},
    publish,
};
use crate::{
    conformance::{submit, told},
    disk::{Disk, Folder, Scratch},
    store::{Contents, EmbeddedStore, Options, Refusal, Store},
};

/// Where the volume is, in the process that has one.
const VOLUME: &str = "AVOCET_TEST_VOLUME";

/// The volume, if this process has it. Else it starts one that has, for this test alone.
fn volume(test: &str, bytes: u64) -> Option<PathBuf> {
    if let Some(path) = env::var_os(VOLUME) {
        return Some(path.into());
    }
    let scratch = Scratch::new();
    fs::create_dir(&scratch.0).expect("a folder can be made");
    let mounted = |rights: &str, then: &str| {
        let mount = format!("mount -t tmpfs -o size={bytes} tmpfs \"${VOLUME}\" && {then}");
        let mut command = Command::new("unshare");
        command.args([rights, "sh", "-c", &mount]).env(VOLUME, &scratch.0);
        command
    };
    let can = |rights: &&str| mounted(rights, "true").output().is_ok_and(|it| it.status.success());
    let Some(rights) = ["-m", "-rm"].into_iter().find(can) else {
        not_run(&format!("{test}, since no tmpfs can be mounted"));
        return None;
    };
    let name = format!("{}::{test}", module_path!().split_once("::").expect("it is in a crate").1);
    let then = "exec \"$TEST\" --exact \"$NAME\" --nocapture";
    let mut command = mounted(rights, then);
    command.env("TEST", env::current_exe().expect("it is known")).env("NAME", name);
    let output = command.output().expect("it was started before");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{complained}");
    None
}

/// Notes that a test was not run.
#[expect(clippy::print_stderr, reason = "what was not run is said aloud")]
fn not_run(line: &str) {
    eprintln!("!! not run: {line}");
    if let Some(file) = env::var_os("AVOCET_NOT_RUN") {
        let opened = OpenOptions::new().create(true).append(true).open(file);
        let written = opened.and_then(|mut file| writeln!(file, "{line}"));
        written.expect("the file of AVOCET_NOT_RUN is writable");
    }
}

fn open(path: &Path) -> EmbeddedStore {
    let options = Options { retry_after: Duration::from_millis(1), ..Options::default() };
    let folder = Folder::open(path).expect("it is there");
    let (store, losses) = EmbeddedStore::open(Arc::new(folder), options).expect("it opens");
    assert_eq!(losses, []);
    store
}

fn log_bytes(path: &Path) -> u64 {
    let folder = Folder::existing(path).expect("it is there");
    let names = folder.names().expect("it can be read");
    let logs = names.iter().filter(|name| name.ends_with(".log"));
    logs.filter_map(|name| folder.open(name).and_then(|file| file.size()).ok()).sum()
}

#[test]
fn small_volume_gives_its_room_back() {
    let Some(path) = volume("small_volume_gives_its_room_back", 16 << 20) else { return };
    for packet in [20_000, 1000] {
        let store = open(&path);
        begin(&store);
        fill_and_release(&store, 3, packet, &|| log_bytes(&path));
        check_what_is_kept(&store);
        drop(store);
        let store = open(&path);
        check_what_is_kept(&store);
        // What has filled it goes before the next.
        release_all(&store, &places_of(&told(&store)));
    }
}

/// It is opened and read; what would have to be stored is refused, with the reason.
#[test]
fn store_that_cannot_be_written_to_is_read() {
    let Some(path) = volume("store_that_cannot_be_written_to_is_read", 16 << 20) else { return };
    let remount = |how: &str| {
        let status = Command::new("mount").args(["-o", how]).arg(&path).status();
        assert!(status.expect("it was started before").success());
    };
    let store = open(&path);
    begin(&store);
    submit(&store, batch(&[publish(b"x", &[1])])).expect("there is room");
    let before = told(&store);
    drop(store);
    remount("remount,ro");
    let store = open(&path);
    assert_eq!(told(&store), before);
    let refused = submit(&store, batch(&[publish(b"x", &[1])]));
    let Err(Refusal::Failed(why)) = refused else { panic!("it was stored: {refused:?}") };
    assert!(why.contains("Read-only"), "{why}");
    assert_eq!(store.failure(), Some(why));
    assert_eq!(told(&store), before);
    remount("remount,rw");
    let begin = std::time::Instant::now();
    while submit(&store, batch(&[publish(b"x", &[1])])).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(30), "it does not go on");
    }
    assert_eq!(store.failure(), None);
    let count = |contents: &Contents| places_of(contents).len();
    assert_eq!(count(&told(&store)), count(&before) + 1);
}
