//! The broker starts whatever the disk does: what it cannot read is passed by, what it cannot write
//! to is read, and of what it cannot open it changes nothing.

use std::{
    collections::BTreeMap,
    fs,
    net::{TcpListener, UdpSocket},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use avocet_tests::{
    Authority, Broker, Connect, Kind, Properties, Publish, Raw, Version,
    process::{Folder, SmallDisk, run},
};

use super::{End, Node, errors, is_ready, wait_until};
use crate::listener::{Bridge, NAME, enter, has_quic, secure};

const V5: Version = Version::V5;
const NO_ROOM: u8 = 0x97;
const UNAVAILABLE: u8 = 0x88;
const SHUTTING_DOWN: u8 = 0x8B;

/// What the broker has said at the level of an error about what it stores.
fn store_errors(broker: &Broker) -> Vec<String> {
    let mut errors = errors(broker);
    errors.retain(|line| line.to_lowercase().contains("store"));
    errors
}

fn code_of(raw: &mut Raw, publish: &Publish) -> u8 {
    raw.send(&publish.bytes(V5));
    raw.expect_puback(1).code
}

/// Sessions that end with their connections are served at QoS 0. Who may have a session that nobody
/// knows now, or is to have one that is stored, is not let in; what such a session may have a right
/// to is not acknowledged; whoever asks is told.
#[track_caller]
fn check_stores_nothing(broker: &Broker) {
    let errors = store_errors(broker);
    let [error] = &*errors else { panic!("{errors:?}") };
    let shown = broker.data_dir().display().to_string();
    for part in ["Nothing is stored until it can be opened", "node.data_dir", &shown] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!is_ready(broker));
    let mut memory = broker.client(V5, "memory");
    memory.subscribe("a", 1);
    let mut bob = broker.client(V5, "bob");
    for qos in [1, 2] {
        bob.send(&Publish::new("a", "refused").qos(qos, 1).bytes(V5));
        let answer = bob.receive().kind;
        let (Kind::Puback(ack) | Kind::Pubrec(ack)) = answer else { panic!("{answer:?}") };
        assert_eq!(ack.code, NO_ROOM);
    }
    assert_eq!(code_of(&mut bob, &Publish::new("a", "x").qos(1, 1).retain()), NO_ROOM);
    bob.publish(&Publish::new("a", "x"));
    memory.expect_message("a", "x", 0);
    let mut old = broker.client(Version::V311, "old");
    old.send(&Publish::new("a", "refused").qos(1, 1).bytes(Version::V311));
    old.expect_close();
    let stored = Connect::resume(V5, "alice");
    assert_eq!(broker.refusal(V5, &stored.bytes()), Some(UNAVAILABLE));
    let known = Connect::resume(V5, "alice").properties(Properties::new());
    assert_eq!(broker.refusal(V5, &known.bytes()), Some(UNAVAILABLE));
}

/// A broker that has stopped, with a message for alice.
fn stopped() -> Node {
    let mut node = Node::start(&[]);
    node.leave_subscribed(V5, "alice", "a");
    node.client(V5, "bob").publish(&Publish::new("a", "x").qos(1, 1));
    node.end(End::Stop);
    node
}

#[test]
fn file_that_cannot_be_opened_is_put_aside_and_said_once() {
    type Replace = fn(&Path);
    let replacements: [Replace; 2] = [
        |file| symlink("nowhere", file).expect("a link can be made"),
        |file| fs::create_dir(file).expect("a folder can be made"),
    ];
    for replace in replacements {
        let mut node = stopped();
        let file = node.files().pop().expect("something was stored");
        fs::rename(&file, node.folder.path().join("elsewhere")).expect("it can be moved");
        replace(&file);
        node.begin();
        let said = store_errors(&node);
        let [error] = &*said else { panic!("{said:?}") };
        assert!(error.contains(".log.damaged: none of its records can be read"), "{error}");
        let aside = file.with_extension("log.damaged");
        assert!(fs::symlink_metadata(&aside).is_ok(), "{}", aside.display());
        // What comes is stored, and is there again.
        node.leave_subscribed(V5, "carol", "a");
        node.client(V5, "bob").publish(&Publish::new("a", "y").qos(1, 1));
        node.restart(End::Kill);
        assert_eq!(store_errors(&node), [""; 0]);
        assert_eq!(node.take_texts(&mut node.resume(V5, "carol")), ["y"]);
    }
}

/// A broker that has stopped, with a message for alice, is started while a file is where its store
/// was.
fn blocked(settings: &[String]) -> Node {
    let mut node = stopped();
    node.settings.extend_from_slice(settings);
    let store = node.folder.path().join("data/store");
    fs::rename(&store, node.folder.path().join("elsewhere")).expect("it can be moved");
    fs::write(&store, "in the way").expect("the folder is writable");
    node.begin();
    node
}

fn unblock(node: &Node) {
    let store = node.folder.path().join("data/store");
    fs::remove_file(&store).expect("it is there");
    fs::rename(node.folder.path().join("elsewhere"), &store).expect("it can be moved");
}

#[test]
fn store_that_cannot_be_opened_at_all_is_left_as_it_is() {
    // Known from the start, so that it has to get the same ones again.
    let [tcp, http] = [(); 2].map(|()| {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        free.expect("there is a free port")
    });
    let mut node =
        blocked(&[format!("listeners.tcp.default.bind={tcp}"), format!("http.bind={http}")]);
    let store = node.folder.path().join("data/store");
    check_stores_nothing(&node);
    let mut memory = node.client(V5, "memory");
    assert_eq!(fs::read_to_string(&store).expect("it is there"), "in the way");
    // That it can be opened is seen without another start: clients come again, and it is there.
    unblock(&node);
    node.broker.wait_until_ready();
    assert_eq!((node.address(), node.listener("http")), (tcp, http));
    assert_eq!(memory.expect_ending(), Some(SHUTTING_DOWN));
    assert!(is_ready(&node));
    assert_eq!(node.take_texts(&mut node.resume(V5, "alice")), ["x"]);
    node.client(V5, "bob").publish(&Publish::new("a", "y").qos(1, 1));
    node.restart(End::Kill);
    assert_eq!(node.take_texts(&mut node.resume(V5, "alice")), ["y"]);
}

/// Meanwhile something else has come in its way.
#[test]
fn broker_that_cannot_serve_anew_at_once_goes_on_when_it_can() {
    let authority = Authority::new();
    let server = authority.server("server", &[NAME]);
    let certificate = fs::read_to_string(&server.certificate).expect("it was written");
    let mut node = blocked(&secure("tls.a", &server));
    fs::remove_file(&server.certificate).expect("it was written");
    unblock(&node);
    wait_until("it does not say that it cannot serve", || {
        let log = node.log();
        log.contains("Nobody is served until this is mended: cannot listen (listeners.tls.a.")
    });
    fs::write(&server.certificate, certificate).expect("the folder is writable");
    node.broker.wait_until_ready();
    assert_eq!(node.take_texts(&mut node.resume(V5, "alice")), ["x"]);
}

/// The same, with a signal.
#[test]
fn broker_that_cannot_serve_anew_can_be_stopped() {
    let authority = Authority::new();
    let server = authority.server("server", &[NAME]);
    let mut node = blocked(&secure("tls.a", &server));
    fs::remove_file(&server.certificate).expect("it was written");
    unblock(&node);
    wait_until("it does not say that it cannot serve", || {
        node.log().contains("Nobody is served until this is mended")
    });
    node.broker.terminate();
    assert_eq!(node.broker.exit_code(), Some(0));
}

/// QUIC lets go of its port some time after its listener is gone.
#[test]
fn listener_for_quic_is_there_again_at_its_port() {
    if !has_quic() {
        return;
    }
    let authority = Authority::new();
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let free = free.expect("there is a free port");
    let mut settings = secure("quic.a", &authority.server("server", &[NAME]));
    settings[0] = format!("listeners.quic.a.bind={free}");
    let mut node = blocked(&settings);
    let bridge = || Bridge::start(&node, "quic.a", &authority, &[]);
    let Some(before) = bridge() else { return };
    let mut memory = enter(before.stream(), &Connect::new(V5, "memory"));
    unblock(&node);
    assert_eq!(memory.expect_ending(), Some(SHUTTING_DOWN));
    node.broker.wait_until_ready();
    assert_eq!(node.listener("quic.a"), free);
    let after = Bridge::start(&node, "quic.a", &authority, &[]).expect("it was there before");
    let mut alice = enter(after.stream(), &Connect::resume(V5, "alice"));
    assert_eq!(node.take_texts(&mut alice), ["x"]);
}

#[test]
fn data_directory_that_cannot_be_made_is_no_reason_to_end() {
    let folder = Folder::new();
    let file = folder.write("file", "in the way");
    for path in [file.clone(), format!("{file}/below")] {
        let mut broker = Broker::start_in(Path::new(&path), &[]);
        check_stores_nothing(&broker);
        broker.terminate();
        assert_eq!(broker.exit_code(), Some(0));
    }
    assert_eq!(fs::read_to_string(file).expect("it is there"), "in the way");
}

#[test]
fn store_on_a_disk_that_is_read_only_is_read() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let data = disk.path().join("data");
    let mut broker = Broker::start_in(&data, &[]);
    let mut alice = broker.connect(&Connect::resume(V5, "alice"));
    alice.subscribe("a", 1);
    alice.disconnect();
    broker.client(V5, "bob").publish(&Publish::new("a", "x").qos(1, 1));
    broker.terminate();
    assert_eq!(broker.exit_code(), Some(0));
    for is_lock_there in [true, false] {
        if !is_lock_there {
            fs::remove_file(data.join("lock")).expect("it is there");
        }
        disk.remount("ro");
        let mut broker = Broker::start_in(&data, &[]);
        let errors = store_errors(&broker);
        assert!(matches!(&*errors, [one] if one.contains("can be written to")), "{errors:?}");
        wait_until("it does not see that it cannot write", || !is_ready(&broker));
        let second = format!("node.data_dir={}", data.display());
        let ended = run(&Folder::new(), &[], &["start", "--set", &second]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("is in use by another process"), "{ended:?}");
        let (mut alice, connack) = broker.connect_with(&Connect::resume(V5, "alice"));
        assert!(connack.session_present);
        assert_eq!(alice.take_message().text(), "x");
        let mut bob = broker.client(V5, "bob");
        assert_eq!(code_of(&mut bob, &Publish::new("a", "y").qos(1, 1)), NO_ROOM);
        disk.remount("rw");
        wait_until("it does not see that it can write", || is_ready(&broker));
        // What was taken is released by now; the next one waits.
        alice.disconnect();
        bob.publish(&Publish::new("a", "x").qos(1, 2));
        broker.kill();
    }
}

/// Every file of a folder, and what it has.
type Image = BTreeMap<String, Vec<u8>>;

fn image(folder: &Path) -> Image {
    let entries = fs::read_dir(folder).expect("the folder is readable");
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("it is text");
        (name, fs::read(entry.path()).expect("the file is readable"))
    };
    entries.map(|entry| read(entry.expect("the folder is readable"))).collect()
}

/// The bytes of a CRC-32, as the store has it.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let bit = |sum: u32, _| if sum & 1 == 0 { sum >> 1 } else { (sum >> 1) ^ 0xEDB8_8320 };
    let byte = |sum: u32, byte: &u8| (0..8).fold(sum ^ u32::from(*byte), bit);
    (!bytes.iter().fold(u32::MAX, byte)).to_le_bytes()
}

#[test]
fn store_of_a_later_version_is_left_as_it_is_and_no_start_is_tried_again() {
    let node = stopped();
    let file: PathBuf = node.files().pop().expect("something was stored");
    let mut bytes = fs::read(&file).expect("the file is readable");
    for head in [0, 512] {
        bytes[head + 8] = 2;
        let sum = checksum(&bytes[head..head + 32]);
        bytes[head + 32..head + 36].copy_from_slice(&sum);
    }
    fs::write(&file, &bytes).expect("the file is writable");
    let before = image(&node.folder.path().join("data/store"));
    assert!(before.contains_key("closed"), "it was stopped in order");
    let data_dir = format!("node.data_dir={}", node.folder.path().join("data").display());
    let ended = run(&node.folder, &[], &["start", "--set", &data_dir]);
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{ended:?}");
    assert!(ended.stderr.contains("is of format 2, which this version does not know"), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    let found = image(&node.folder.path().join("data/store"));
    let names = |image: &Image| image.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&before));
    assert!(found == before, "something was changed");
}
