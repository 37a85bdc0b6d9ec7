//! TLS: who trusts whom, the choice among certificates, and files that change while it serves.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use avocet_tests::{
    Authority, Broker, Connect, Publish, Version, Will,
    authority::{BOTH, Identity},
    deadline, packet,
    process::{Ended, Folder, run},
    stream::{self, Tls},
};
use rustls::{
    ClientConfig, ProtocolVersion,
    version::{TLS12, TLS13},
};

use super::{NAME, V5, enter, expect_metric, secure, start, tls, try_enter};

const READ_AGAIN: &str = "Read certificates again.";
const NOT_USED: &str = "Cannot use the certificates as they are now";

/// A broker with a TLS listener, and what signed its certificate.
struct Secure {
    broker: Broker,
    authority: Authority,
    server: Identity,
}

impl Secure {
    /// `settings` are those of the listener, without its name.
    fn start(settings: &[&str]) -> Self {
        Self::start_for(Authority::new(), settings)
    }

    fn start_for(authority: Authority, settings: &[&str]) -> Self {
        let server = authority.server("server", &[NAME]);
        let mut all = secure("tls.a", &server).to_vec();
        all.extend(settings.iter().map(|setting| format!("listeners.tls.a.{setting}")));
        Self { broker: start(&all), authority, server }
    }

    /// A listener that asks for certificates: what it is told to do with them, and the list of
    /// those that are taken back.
    fn asking(choice: &str, revoked: &[u8], settings: &[&str]) -> Self {
        let authority = Authority::new();
        let asked = [
            format!("client_certificate={choice}"),
            format!("client_ca={}", authority.file),
            format!("crls=[\"{}\"]", authority.revoke(revoked)),
        ];
        let asked = asked.iter().map(String::as_str).chain(settings.iter().copied());
        let asked: Vec<String> = asked.map(str::to_owned).collect();
        Self::start_for(authority, &asked.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Comes with TLS and a CONNECT of 3.1.1: the code in CONNACK, or what keeps it from one.
    fn attempt(&self, config: &Arc<ClientConfig>) -> Result<u8, String> {
        let socket = stream::tcp(self.broker.listener("tls.a"));
        let mut tls = Tls::open(socket, config, NAME).map_err(|error| error.to_string())?;
        // A broker that has closed meanwhile is seen when reading.
        drop(tls.write_all(&Connect::new(Version::V311, "attempt").bytes()));
        let mut connack = [0; 4];
        tls.read_exact(&mut connack).map_err(|error| error.to_string())?;
        assert_eq!(connack[..2], [0x20, 2], "{connack:x?}");
        Ok(connack[3])
    }

    /// As [`Self::attempt`] with each version of TLS and this certificate.
    #[track_caller]
    fn expect(&self, shown: Option<&Identity>, expected: Result<u8, &str>) {
        for version in [&TLS12, &TLS13] {
            let seen = self.attempt(&self.authority.trust(&[version], shown));
            let is_good = match (&seen, expected) {
                (Ok(code), Ok(expected)) => *code == expected,
                (Err(text), Err(word)) => text.contains(word),
                (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
            };
            assert!(is_good, "{seen:?} in place of {expected:?} with {:?}", version.version);
        }
    }

    /// What a client is shown that asks for this name.
    fn shown(&self, name: &str) -> Result<Vec<u8>, String> {
        let socket = stream::tcp(self.broker.listener("tls.a"));
        let opened = Tls::open(socket, &self.authority.trust(&BOTH, None), name);
        opened.map(|tls| tls.certificate().to_vec()).map_err(|error| error.to_string())
    }
}

#[test]
fn both_versions_are_spoken_and_only_the_newer_if_the_listener_says_so() {
    let both = Secure::start(&[]);
    let newer = Secure::start(&["min_version=1.3"]);
    let open = |secure: &Secure, version| {
        let socket = stream::tcp(secure.broker.listener("tls.a"));
        let opened = Tls::open(socket, &secure.authority.trust(&[version], None), NAME);
        opened.map(|tls| tls.version()).map_err(|error| error.to_string())
    };
    assert_eq!(open(&both, &TLS12), Ok(ProtocolVersion::TLSv1_2));
    assert_eq!(open(&both, &TLS13), Ok(ProtocolVersion::TLSv1_3));
    assert_eq!(open(&newer, &TLS13), Ok(ProtocolVersion::TLSv1_3));
    let refused = open(&newer, &TLS12).expect_err("it is too old");
    assert!(refused.contains("ProtocolVersion"), "{refused}");
    expect_ended(&newer.broker, 1);
}

#[track_caller]
fn expect_ended(broker: &Broker, count: u64) {
    expect_metric(broker, "avocet_connections_ended_total{reason=\"TLS failed\"}", count);
}

#[test]
fn client_that_does_not_know_the_authority_refuses_the_broker() {
    let secure = Secure::start(&[]);
    for (authority, word) in
        [(Authority::new(), "BadSignature"), (Authority::named("other"), "UnknownIssuer")]
    {
        let refused = secure.attempt(&authority.trust(&BOTH, None));
        let refused = refused.expect_err("an authority that did not sign it");
        assert!(refused.contains(word), "{refused}");
    }
    expect_ended(&secure.broker, 2);
    assert_eq!(secure.attempt(&secure.authority.trust(&BOTH, None)), Ok(0));
}

#[test]
fn required_certificate_has_to_be_shown_and_good() {
    let secure = Secure::asking("required", &[13], &[]);
    let authority = &secure.authority;
    secure.expect(Some(&authority.client("good", 12)), Ok(0));
    secure.expect(Some(&authority.client("revoked", 13)), Err("CertificateRevoked"));
    // Of an authority that has but the name of the right one, and of one with another.
    secure.expect(Some(&Authority::new().client("wrong", 12)), Err("DecryptError"));
    secure.expect(Some(&Authority::named("other").client("wrong", 12)), Err("UnknownCA"));
    secure.expect(None, Err("CertificateRequired"));
    // One that is for a server.
    secure.expect(Some(&secure.server), Err("UnsupportedCertificate"));
    expect_ended(&secure.broker, 10);
}

#[test]
fn optional_certificate_may_be_missing_but_has_to_be_good() {
    let secure = Secure::asking("optional", &[13], &[]);
    secure.expect(None, Ok(0));
    secure.expect(Some(&secure.authority.client("good", 12)), Ok(0));
    secure.expect(Some(&secure.authority.client("revoked", 13)), Err("CertificateRevoked"));
    secure.expect(Some(&Authority::new().client("wrong", 12)), Err("DecryptError"));
}

#[test]
fn certificate_that_nobody_asks_for_is_no_credential() {
    let secure = Secure::start(&["allow_anonymous=false"]);
    secure.expect(None, Ok(5));
    secure.expect(Some(&secure.authority.client("good", 12)), Ok(5));
}

#[test]
fn good_certificate_is_a_credential_where_anonymous_clients_are_not_let_in() {
    let required = Secure::asking("required", &[], &["allow_anonymous=false"]);
    required.expect(Some(&required.authority.client("good", 12)), Ok(0));
    let optional = Secure::asking("optional", &[], &["allow_anonymous=false"]);
    optional.expect(Some(&optional.authority.client("good", 12)), Ok(0));
    optional.expect(None, Ok(5));
    let anonymous = tls(&optional.broker, "tls.a", &optional.authority, None);
    let (mut raw, connack) = try_enter(Box::new(anonymous), &Connect::new(V5, "alice"));
    assert_eq!(connack.code, 0x87);
    raw.expect_close();
}

#[test]
fn name_that_a_client_asks_for_picks_among_the_certificates() {
    let authority = Authority::new();
    let first = authority.server("server", &[NAME, "127.0.0.1"]);
    let other = authority.server("other", &["other.test", "second.test"]);
    let wild = authority.server("wild", &["*.wild.test"]);
    let text = format!(
        "[listeners.tls.a]\nbind = \"127.0.0.1:0\"\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [[listeners.tls.a.more_certificates]]\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [[listeners.tls.a.more_certificates]]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        first.certificate, first.key, other.certificate, other.key, wild.certificate, wild.key,
    );
    let broker = Broker::start_with_file(&authority.write("avocet.toml", &text));
    let secure = Secure { broker, authority, server: first };
    let shown = |name| secure.shown(name);
    assert_eq!(shown(NAME), Ok(secure.server.chain.to_vec()));
    // A client that goes to an address names no server.
    assert_eq!(shown("127.0.0.1"), Ok(secure.server.chain.to_vec()));
    assert_eq!(shown("other.test"), Ok(other.chain.to_vec()));
    assert_eq!(shown("SECOND.test"), Ok(other.chain.to_vec()));
    assert_eq!(shown("any.wild.test"), Ok(wild.chain.to_vec()));
    // Shown the first, which is not for these.
    for name in ["nobody.test", "two.levels.wild.test", "wild.test"] {
        let refused = shown(name).expect_err("no certificate is for this name");
        assert!(refused.contains(NAME), "{refused}");
    }
}

#[test]
fn new_certificate_is_shown_after_sighup_and_the_connections_of_before_go_on() {
    let secure = Secure::start(&[]);
    let Secure { broker, authority, server } = &secure;
    let mut old = enter(Box::new(tls(broker, "tls.a", authority, None)), &Connect::new(V5, "old"));
    old.subscribe("to/old", 1);
    let new_server = authority.server("server", &[NAME]);
    // It has to be told.
    assert_eq!(secure.shown(NAME), Ok(server.chain.to_vec()));
    broker.reload(READ_AGAIN);
    assert_eq!(secure.shown(NAME), Ok(new_server.chain.to_vec()));
    let mut new = enter(Box::new(tls(broker, "tls.a", authority, None)), &Connect::new(V5, "new"));
    new.subscribe("to/new", 1);
    old.publish(&Publish::new("to/new", "from old").qos(1, 1));
    new.expect_message("to/new", "from old", 1);
    new.publish(&Publish::new("to/old", "from new").qos(1, 1));
    old.expect_message("to/old", "from new", 1);
}

#[test]
fn broken_file_at_sighup_leaves_everything_as_it_was() {
    let secure = Secure::start(&[]);
    let Secure { broker, authority, server } = &secure;
    let mut old = enter(Box::new(tls(broker, "tls.a", authority, None)), &Connect::new(V5, "old"));
    let whole = std::fs::read_to_string(&server.certificate).expect("it was written");
    let other = authority.client("other", 9);
    for (file, text) in [
        ("server.pem", ""),
        ("server.pem", "no certificate"),
        ("server.pem", &whole[..whole.len() / 2]),
        // The key is another's.
        ("server.pem", &std::fs::read_to_string(&other.certificate).expect("it was written")),
    ] {
        authority.write(file, text);
        broker.reload(NOT_USED);
        assert_eq!(secure.shown(NAME), Ok(server.chain.to_vec()), "after {text:?}");
    }
    authority.remove("server.pem");
    broker.reload(NOT_USED);
    let log = broker.log();
    let last = log.lines().rfind(|line| line.contains(NOT_USED)).expect("it was just there");
    for word in ["ERROR", "tls.a", "certificate", "server.pem", "going on with those of before"] {
        assert!(last.contains(word), "no {word:?} in {last}");
    }
    assert_eq!(secure.shown(NAME), Ok(server.chain.to_vec()));
    old.expect_nothing_before_pong();
    let mended = authority.server("server", &[NAME]);
    broker.reload(READ_AGAIN);
    assert_eq!(secure.shown(NAME), Ok(mended.chain.to_vec()));
    old.expect_nothing_before_pong();
}

#[test]
fn client_whose_certificate_is_taken_back_is_refused_after_sighup() {
    let secure = Secure::asking("required", &[], &[]);
    let Secure { broker, authority, .. } = &secure;
    let (good, lost) = (authority.client("good", 12), authority.client("lost", 13));
    secure.expect(Some(&lost), Ok(0));
    let stream = tls(broker, "tls.a", authority, Some(&lost));
    let mut connected = enter(Box::new(stream), &Connect::new(V5, "connected"));
    authority.revoke(&[13]);
    secure.expect(Some(&lost), Ok(0));
    broker.reload(READ_AGAIN);
    secure.expect(Some(&lost), Err("CertificateRevoked"));
    secure.expect(Some(&good), Ok(0));
    // Who is there stays.
    connected.expect_nothing_before_pong();
}

#[test]
fn authority_that_is_replaced_at_sighup_is_believed_from_then_on() {
    let secure = Secure::asking("required", &[], &[]);
    let (old, later) = (secure.authority.client("old", 12), Authority::new());
    let new = later.client("new", 12);
    let text = std::fs::read_to_string(&later.file).expect("it was written");
    secure.authority.write("authority.pem", &text);
    secure.authority.write("revoked.pem", &pem_of_revoked(&later));
    secure.broker.reload(READ_AGAIN);
    secure.expect(Some(&new), Ok(0));
    secure.expect(Some(&old), Err("DecryptError"));
}

fn pem_of_revoked(authority: &Authority) -> String {
    std::fs::read_to_string(authority.revoke(&[])).expect("it was written")
}

#[test]
fn what_is_no_tls_is_closed_and_harms_nobody() {
    let secure = Secure::start(&[]);
    let broker = &secure.broker;
    let stream = tls(broker, "tls.a", &secure.authority, None);
    let mut alice = enter(Box::new(stream), &Connect::new(V5, "alice"));
    let connect = Connect::new(V5, "bob").bytes();
    let garbage: [&[u8]; 5] =
        [&connect, b"GET / HTTP/1.1\r\n\r\n", &[0xff; 3000], &[0x16, 3, 1, 0xff, 0xff], &[0; 64]];
    for bytes in garbage {
        let mut socket = stream::tcp(broker.listener("tls.a"));
        socket.write_all(bytes).expect("the listener is open");
        let mut answer = Vec::new();
        // What comes before the end is an alert at most; it may be cut off by what was not read.
        drop(socket.read_to_end(&mut answer));
        let is_alert = answer.is_empty() || answer[0] == 0x15 && answer.len() == 7;
        assert!(is_alert, "{answer:x?} to {:x?}", &bytes[..bytes.len().min(16)]);
    }
    expect_ended(broker, 5);
    alice.expect_nothing_before_pong();
}

#[test]
fn files_that_do_not_fit_are_told_with_their_line_by_check_and_start() {
    let authority = Authority::new();
    let server = authority.server("server", &[NAME]);
    let other = authority.server("other", &[NAME]);
    let empty = authority.write("empty.pem", "");
    let (file, key) = (server.certificate.as_str(), server.key.as_str());
    let ca = authority.file.as_str();
    let revoked = authority.revoke(&[]);
    let asking = "client_certificate = \"required\"\n";
    let cases: [(&str, &str, String, &[&str]); 10] = [
        ("/nowhere.pem", key, String::new(), &["toml:3", "a.certificate", "/nowhere.pem"]),
        (file, "/nowhere.key", String::new(), &["toml:4", "a.key", "/nowhere.key"]),
        (file, &other.key, String::new(), &["toml:4", "a.key", "other.key", "server.pem"]),
        (key, file, String::new(), &["toml:3", "a.certificate", "server.key", "private key"]),
        (&empty, key, String::new(), &["toml:3", "a.certificate", "empty.pem", "empty"]),
        (file, file, String::new(), &["toml:4", "a.key", "server.pem", "certificate"]),
        (file, key, asking.to_owned(), &["toml", "a.client_ca", "is needed"]),
        (
            file,
            key,
            format!("{asking}client_ca = \"/nowhere.pem\"\n"),
            &["toml:6", "a.client_ca", "/nowhere.pem"],
        ),
        (
            file,
            key,
            format!("{asking}client_ca = \"{ca}\"\ncrls = [\"{revoked}\", \"{ca}\"]\n"),
            &["toml:7", "a.crls", "authority.pem"],
        ),
        (
            file,
            key,
            format!(
                "[[listeners.tls.a.more_certificates]]\ncertificate=\"{file}\"\nkey=\"{empty}\"\n"
            ),
            &["toml", "a.more_certificates", "empty.pem"],
        ),
    ];
    let folder = Folder::new();
    for (certificate, key, more, words) in cases {
        let text = format!(
            "[listeners.tls.a]\nbind = \"127.0.0.1:0\"\ncertificate = \"{certificate}\"\n\
             key = \"{key}\"\n{more}"
        );
        let file = folder.write("avocet.toml", &text);
        for command in ["check", "start"] {
            let ended = run(&folder, &[], &[command, "-c", &file]);
            expect_mistake(&ended, words);
        }
    }
}

#[track_caller]
fn expect_mistake(ended: &Ended, words: &[&str]) {
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    let is_there = |word: &&str| ended.stderr.contains(*word);
    assert!(words.iter().all(is_there), "no {words:?} in {}", ended.stderr);
}

#[test]
fn files_of_a_listener_that_is_not_opened_need_not_be_there() {
    let folder = Folder::new();
    let settings = ["enable=false", "certificate=/nowhere", "key=/nowhere"];
    let settings = settings.map(|setting| format!("listeners.tls.a.{setting}"));
    let set = settings.iter().flat_map(|setting| ["--set", setting]);
    let ended = run(&folder, &[], &["check"].into_iter().chain(set).collect::<Vec<_>>());
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// Without a DISCONNECT before, it is the end of a connection that was lost.
#[test]
fn end_of_tls_ends_the_connection_and_publishes_the_will() {
    let secure = Secure::start(&[]);
    let mut watcher = secure.broker.client(V5, "watcher");
    watcher.subscribe("gone", 0);
    let connect = Connect::new(Version::V311, "alice").will(Will::new("gone", "lost"));
    let mut stream = tls(&secure.broker, "tls.a", &secure.authority, None);
    stream.write_all(&connect.bytes()).expect("the listener is open");
    stream.read_exact(&mut [0; 4]).expect("a CONNACK");
    stream.end();
    watcher.expect_message("gone", "lost", 0);
    // The broker ends it from its side as well.
    assert_eq!(stream.read(&mut [0]).expect("the end, as it should be"), 0);
}

#[test]
fn keys_may_change_while_messages_go_both_ways() {
    let secure = Secure::start(&[]);
    let mut alice = secure.broker.client(V5, "alice");
    alice.subscribe("a", 0);
    let mut stream = tls(&secure.broker, "tls.a", &secure.authority, None);
    stream.write_all(&Connect::new(Version::V311, "bob").bytes()).expect("it is open");
    stream.read_exact(&mut [0; 4]).expect("a CONNACK");
    for number in 0..20 {
        stream.refresh_keys();
        let publish = Publish::new("a", number.to_string()).bytes(Version::V311);
        let packets = [publish, packet::pingreq()].concat();
        stream.write_all(&packets).expect("the connection stands");
        alice.expect_message("a", &number.to_string(), 0);
        let mut pong = [0; 2];
        stream.read_exact(&mut pong).expect("a PINGRESP");
        assert_eq!(pong, [0xd0, 0]);
    }
}

/// The whole way to CONNECT has one deadline.
#[test]
fn half_a_handshake_ends_at_the_deadline_of_connect() {
    let secure = Secure::start(&["connect_timeout=500ms"]);
    let address = secure.broker.listener("tls.a");
    let begun = std::time::Instant::now();
    let mut silent = stream::tcp(address);
    let mut half = stream::tcp(address);
    half.write_all(&[0x16, 3, 1, 2, 0, 1, 0]).expect("the listener is open");
    let done = tls(&secure.broker, "tls.a", &secure.authority, None);
    for socket in [&mut silent, &mut half] {
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).expect("it ends within a deadline");
        assert_eq!(answer, []);
    }
    let mut last = avocet_tests::Raw::over(Box::new(done), V5);
    last.expect_close();
    assert!(begun.elapsed() >= std::time::Duration::from_millis(450), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < deadline::ANSWER, "{:?}", begun.elapsed());
    let ended = "avocet_connections_ended_total{reason=\"no CONNECT in time\"}";
    expect_metric(&secure.broker, ended, 3);
}
