use std::{
    io::{ErrorKind, Read, Write},
    sync::Arc,
};

use proptest::{prelude::*, test_runner::Config};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, HandshakeKind, RootCertStore,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};

use crate::{
    ClientCertificate, Incoming, Layer, Wrapping,
    testing::{Authority, End, World, exchange, pattern},
};

/// Every version, in pieces of every kind.
const WAYS: [(bool, usize); 6] =
    [(false, 1), (false, 7), (false, 100_000), (true, 1), (true, 7), (true, 100_000)];

#[test]
fn ordinary_client_of_rustls_talks_with_us() {
    let world = World::new();
    for (only_1_2, size) in WAYS {
        let (mut server, mut client) = open(&world, only_1_2, size);
        let expected = if only_1_2 { "TLSv1_2" } else { "TLSv1_3" };
        assert_eq!(format!("{:?}", client.protocol_version().unwrap()), expected);
        let question = pattern(70_000);
        for part in question.chunks(20_000) {
            client.writer().write_all(part).unwrap();
            talk(&mut client, &mut server, size);
        }
        assert_eq!(server.take_plain(), question);

        let answer = pattern(50_000);
        server.seal(&answer);
        server.seal(b"more");
        assert_eq!(talk(&mut client, &mut server, 4096), [&answer[..], b"more"].concat());

        client.send_close_notify();
        talk(&mut client, &mut server, size);
        assert_eq!(server.incoming, Incoming::End);
        server.seal(b"the last word");
        server.close();
        assert_eq!(talk(&mut client, &mut server, size), b"the last word");
        assert!(server.layers.seal(b"x", &mut Vec::new()).is_err());
        assert!(server.error.is_none());
    }
}

#[test]
fn our_client_and_server_talk() {
    let mut world = World::new();
    for (only_1_2, size) in WAYS {
        world.client.only_1_2 = only_1_2;
        let (mut server, mut client) = ours(&world, size);
        assert!(server.layers.is_open() && client.layers.is_open());
        let bytes = pattern(40_000);
        client.seal(&bytes);
        server.seal(&bytes[..30_000]);
        exchange(&mut client, &mut server, size);
        assert_eq!(server.plain, bytes);
        assert_eq!(client.plain, bytes[..30_000]);
        server.close();
        exchange(&mut client, &mut server, size);
        assert_eq!((client.incoming, server.incoming), (Incoming::End, Incoming::More));
        client.close();
        exchange(&mut client, &mut server, size);
        assert_eq!(server.incoming, Incoming::End);
    }
}

#[test]
fn what_comes_with_the_last_of_the_handshake_is_taken() {
    let mut world = World::new();
    for only_1_2 in [false, true] {
        world.client.only_1_2 = only_1_2;
        let mut server = End::server(&wrapping(&world));
        let mut client = End::client(&world.client());
        while !client.layers.is_open() {
            server.receive(&client.take_raw(), 100_000);
            client.receive(&server.take_raw(), 100_000);
        }
        client.seal(b"at once");
        exchange(&mut client, &mut server, 100_000);
        assert_eq!(server.plain, b"at once");
    }
}

#[test]
fn nothing_is_sealed_before_the_handshake_and_nothing_closed() {
    let world = World::new();
    let mut server = End::server(&wrapping(&world));
    let mut client = End::client(&world.client());
    assert!(!server.layers.is_open() && !client.layers.is_open());
    let mut raw = Vec::new();
    assert_eq!(server.layers.seal(b"x", &mut raw).unwrap_err().layer, Layer::Tls);
    assert!(client.layers.seal(b"x", &mut raw).is_err());
    server.layers.close(&mut raw);
    assert!(raw.is_empty());
    exchange(&mut client, &mut server, 100);
    server.seal(b"open");
    exchange(&mut client, &mut server, 100);
    assert_eq!(client.plain, b"open");
}

#[test]
fn what_is_no_tls_is_answered_by_an_alert_once() {
    let world = World::new();
    let mut server = End::server(&wrapping(&world));
    server.receive(b"GET / HTTP/1.1\r\n\r\n", 100);
    assert_eq!(server.error.as_ref().unwrap().layer, Layer::Tls);
    // A fatal alert: decode_error or the like.
    assert_eq!(server.take_raw()[..2], [21, 3]);
    server.receive(b"more", 1);
    assert!(server.raw.is_empty() && server.error.is_some() && !server.layers.is_open());
}

#[test]
fn changed_record_is_answered_by_an_alert_that_the_client_understands() {
    let world = World::new();
    for only_1_2 in [false, true] {
        let (mut server, mut client) = open(&world, only_1_2, 1000);
        let mut record = Vec::new();
        client.writer().write_all(b"hello").unwrap();
        client.write_tls(&mut record).unwrap();
        *record.last_mut().unwrap() ^= 1;
        server.receive(&record, 1000);
        assert_eq!(server.error.as_ref().unwrap().layer, Layer::Tls);
        assert!(server.plain.is_empty());
        let raw = server.take_raw();
        let mut rest = &raw[..];
        client.read_tls(&mut rest).unwrap();
        let error = client.process_new_packets().unwrap_err();
        assert_eq!(error.to_string(), "received fatal alert: BadRecordMac");
    }
}

#[test]
fn client_that_does_not_trust_us_says_so() {
    let mut world = World::new();
    let stranger = Authority::new("a stranger");
    world.client.ca = Some(world.folder.write("stranger.pem", stranger.certificate.pem()));
    let (server, client) = ours(&world, 1000);
    assert!(client.error.is_some());
    let error = server.error.unwrap().to_string();
    assert!(error.contains("alert") && error.contains("UnknownCA"), "{error}");
    world.client.insecure = true;
    assert!(ours(&world, 1000).1.layers.is_open());
}

#[test]
fn only_1_3_refuses_clients_of_1_2() {
    let mut world = World::new();
    world.server.only_1_3 = true;
    assert!(ours(&world, 1000).0.layers.is_open());
    world.client.only_1_2 = true;
    let (server, client) = ours(&world, 1000);
    assert!(server.error.is_some());
    assert!(client.error.unwrap().to_string().contains("ProtocolVersion"));
}

#[test]
fn sessions_are_resumed_unless_clients_show_certificates() {
    let mut world = World::new();
    world.client.resumption = true;
    world.client.certificate = Some(world.client_certificate(&world.authority, 5));
    for only_1_2 in [false, true] {
        world.client.only_1_2 = only_1_2;
        for (asked, expected) in [
            (ClientCertificate::None, HandshakeKind::Resumed),
            (ClientCertificate::Optional, HandshakeKind::Full),
            (ClientCertificate::Required, HandshakeKind::Full),
        ] {
            world.server.client_ca = world.client.ca.clone();
            world.server.client_certificate = asked;
            let server = world.server();
            let wrapping = Wrapping { tls: Some(server.clone()), ..Wrapping::default() };
            let config = client_config(&world, only_1_2);
            let mut kinds = Vec::new();
            for _ in 0..2 {
                let mut end = End::server(&wrapping);
                let mut client = connection(&config);
                talk(&mut client, &mut end, 1000);
                kinds.push(client.handshake_kind().unwrap());
            }
            assert_eq!(kinds, [HandshakeKind::Full, expected], "{asked:?}, 1.2: {only_1_2}");

            server.reload().unwrap();
            let mut end = End::server(&wrapping);
            let mut client = connection(&config);
            talk(&mut client, &mut end, 1000);
            assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full), "after a reload");
        }
    }
}

#[test]
fn client_that_updates_its_keys_is_understood() {
    let world = World::new();
    let (mut server, mut client) = open(&world, false, 1);
    client.refresh_traffic_keys().unwrap();
    client.writer().write_all(b"with new keys").unwrap();
    talk(&mut client, &mut server, 1);
    assert_eq!(server.plain, b"with new keys");
    server.seal(b"answer");
    assert_eq!(talk(&mut client, &mut server, 1), b"answer");
}

/// A message of the handshake that comes in two records, with an answer of ours between them. The
/// second record asks for new keys.
#[test]
fn half_a_message_of_the_handshake_does_not_keep_us_from_sealing() {
    let world = World::new();
    let mut config = Arc::unwrap_or_clone(client_config(&world, false));
    config.enable_secret_extraction = true;
    let mut server = End::server(&wrapping(&world));
    let mut client = connection(&Arc::new(config));
    talk(&mut client, &mut server, 1000);
    let mut sealer = Sealer::new(client);

    server.receive(&sealer.handshake(&[24, 0, 0]), 1000);
    assert!(server.layers.tls().held.capacity() > 0);
    server.seal(b"one");
    assert_eq!(server.take_raw().len(), 5 + 3 + 17);
    server.receive(&sealer.handshake(&[1, 1]), 1000);
    assert!(server.error.is_none(), "{:?}", server.error);
    server.seal(b"two");
    // A message of the handshake of five bytes, and the record itself.
    assert_eq!(server.take_raw().len(), 5 + 5 + 17 + 5 + 3 + 17);
    server.seal(b"three");
    assert_eq!(server.take_raw().len(), 5 + 5 + 17);
}

#[test]
fn what_comes_behind_the_end_is_not_held() {
    let world = World::new();
    for size in [1, 1000] {
        let (mut server, mut client) = ours(&world, 1000);
        client.seal(b"the last word");
        client.close();
        server.receive(&[client.take_raw(), pattern(500)].concat(), size);
        assert_eq!(
            (server.incoming, server.take_plain()),
            (Incoming::End, b"the last word".to_vec())
        );
        server.receive(&pattern(500), size);
        assert_eq!((server.incoming, server.layers.tls().held.capacity()), (Incoming::End, 0));
        assert!(server.error.is_none());
        server.seal(b"answer");
        client.receive(&server.take_raw(), size);
        assert_eq!(client.plain, b"answer");
    }
}

/// Half a record is held, and given back as soon as it is whole.
#[test]
fn only_what_is_not_whole_is_held() {
    let world = World::new();
    let (mut server, mut client) = ours(&world, 1000);
    let held = |end: &End| end.layers.tls().held.capacity();
    assert_eq!(held(&server), 0);
    client.seal(&pattern(10_000));
    client.seal(&pattern(10_000));
    let bytes = client.take_raw();
    server.receive(&bytes[..10_500], 20_000);
    assert!((1..1000).contains(&held(&server)), "{}", held(&server));
    server.seal(b"meanwhile");
    server.receive(&bytes[10_500..], 20_000);
    assert_eq!((held(&server), server.plain.len()), (0, 20_000));
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, cases: 24, ..Config::default() })]

    #[test]
    fn pieces_do_not_matter(
        sizes in prop::collection::vec(1..3000_usize, 1..12),
        messages in prop::collection::vec(1..40_000_usize, 1..6),
        only_1_2: bool,
    ) {
        let mut world = World::new();
        world.client.only_1_2 = only_1_2;
        let (mut server, mut client) = ours(&world, sizes[0]);
        for len in &messages {
            client.seal(&pattern(*len));
        }
        let mut bytes = &client.take_raw()[..];
        for size in sizes.iter().cycle() {
            let (now, later) = bytes.split_at((*size).min(bytes.len()));
            if now.is_empty() {
                break;
            }
            server.receive(now, now.len());
            bytes = later;
        }
        let expected: Vec<_> = messages.iter().flat_map(|len| pattern(*len)).collect();
        prop_assert_eq!(&server.plain, &expected);
    }

    #[test]
    fn changed_streams_end_without_panic(
        at in 0..4000_usize,
        to: u8,
        size in 1..600_usize,
        only_1_2: bool,
        junk in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut world = World::new();
        world.client.only_1_2 = only_1_2;
        let mut server = End::server(&wrapping(&world));
        let mut client = End::client(&world.client());
        let mut sent = 0;
        for _ in 0..4 {
            let mut bytes = client.take_raw();
            if (sent..sent + bytes.len()).contains(&at) {
                bytes[at - sent] = to;
                bytes.splice(at - sent..at - sent, junk.clone());
            }
            sent += bytes.len();
            server.receive(&bytes, size);
            if server.layers.is_open() {
                server.seal(b"word");
            }
            client.receive(&server.take_raw(), size);
            if client.layers.is_open() {
                client.seal(&pattern(700));
            }
        }
        server.receive(&junk, size);
        server.receive(&junk, size);
        let mut fresh = End::server(&wrapping(&world));
        fresh.receive(&junk, size);
        fresh.receive(&[22, 3, 1, 0, 20], 2);
        fresh.receive(&junk, size);
    }
}

/// Seals records of a kind that an ordinary client does not send.
struct Sealer {
    key: LessSafeKey,
    iv: Vec<u8>,
    next: u64,
}

impl Sealer {
    fn new(client: ClientConnection) -> Self {
        let (next, secrets) = client.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
            panic!("another cipher than the preferred one");
        };
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap());
        Self { key, iv: iv.as_ref().to_vec(), next }
    }

    /// A record of TLS 1.3 with a part of a message of the handshake (RFC 8446, section 5.2).
    fn handshake(&mut self, part: &[u8]) -> Vec<u8> {
        let length = u8::try_from(part.len() + 17).unwrap();
        let head = [23, 3, 3, 0, length];
        let mut nonce: [u8; 12] = self.iv.as_slice().try_into().unwrap();
        for (byte, count) in nonce[4..].iter_mut().zip(self.next.to_be_bytes()) {
            *byte ^= count;
        }
        self.next += 1;
        let mut body = [part, &[22]].concat();
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, Aad::from(head), &mut body).unwrap();
        [&head[..], &body].concat()
    }
}

fn wrapping(world: &World) -> Wrapping {
    Wrapping { tls: Some(world.server()), ..Wrapping::default() }
}

/// Both ends of a stream, after the handshake.
fn ours(world: &World, size: usize) -> (End, End) {
    let mut server = End::server(&wrapping(world));
    let mut client = End::client(&world.client());
    exchange(&mut client, &mut server, size);
    (server, client)
}

/// Our server and a client of rustls that keeps its bytes itself.
fn open(world: &World, only_1_2: bool, size: usize) -> (End, ClientConnection) {
    let mut server = End::server(&wrapping(world));
    let mut client = connection(&client_config(world, only_1_2));
    talk(&mut client, &mut server, size);
    assert!(server.layers.is_open() && !client.is_handshaking());
    (server, client)
}

fn client_config(world: &World, only_1_2: bool) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(world.authority.certificate.der().clone()).unwrap();
    let versions = if only_1_2 { &[&TLS12] } else { &[&TLS13] };
    let builder = ClientConfig::builder_with_provider(super::super::provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let config = match &world.client.certificate {
        None => builder.with_no_client_auth(),
        Some(_) => {
            let ours = crate::TlsClient::new(&world.client).unwrap();
            builder.with_client_cert_resolver(ours.config.client_auth_cert_resolver.clone())
        }
    };
    Arc::new(config)
}

fn connection(config: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(config.clone(), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// Carries bytes until both are silent: what has come to the client.
fn talk(client: &mut ClientConnection, server: &mut End, size: usize) -> Vec<u8> {
    let mut plain = Vec::new();
    loop {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        if bytes.is_empty() && server.raw.is_empty() {
            return plain;
        }
        server.receive(&bytes, size);
        for mut piece in server.take_raw().chunks(size) {
            while !piece.is_empty() {
                client.read_tls(&mut piece).unwrap();
                client.process_new_packets().unwrap();
                match client.reader().read_to_end(&mut plain) {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
        }
    }
}
