use std::{fs, path::PathBuf};

use rcgen::{CertificateParams, date_time_ymd};
use rustls::pki_types::CertificateDer;

use super::*;
use crate::{
    TlsClientOptions, Wrapping,
    testing::{Authority, End, World, exchange},
};

#[test]
fn certificate_is_chosen_by_the_name_the_client_asks_for() {
    let mut world = World::new();
    let mut more = |name: &str, names: &[&str]| {
        let (certificate, key) = world.authority.issue(names, 9);
        let files = (world.folder.write(name, certificate), world.folder.write("key", key.clone()));
        let key = world.folder.write(&format!("{name}.key"), key);
        world.server.more_certificates.push((files.0.clone(), key));
        certificate_in(&files.0)
    };
    let wild = more("wild", &["*.example.org", "*.other.org"]);
    let full = more("full", &["a.example.org", "Broker.test"]);
    let late = more("late", &["a.example.org", "*.example.org", "late.test"]);
    let default = certificate_in(&world.server.certificate);
    for (name, expected) in [
        ("localhost", &default),
        ("a.example.org", &full),
        ("A.Example.ORG", &full),
        ("broker.test", &full),
        ("b.example.org", &wild),
        ("x.other.org", &wild),
        ("a.b.example.org", &default),
        ("example.org", &default),
        ("late.test", &late),
        ("192.0.2.1", &default),
    ] {
        world.client = TlsClientOptions {
            server_name: name.to_owned(),
            insecure: true,
            ..TlsClientOptions::default()
        };
        let (_, client) = connected(&world);
        assert_eq!(client.layers.tls().peer_certificate(), Some(expected.as_ref()), "{name}");
    }
}

#[test]
fn client_certificates_are_asked_for_as_the_setting_says() {
    use ClientCertificate::{None as No, Optional, Required};
    let mut world = World::new();
    let stranger = Authority::new("a stranger");
    let good = world.client_certificate(&world.authority, 5);
    let bad = world.client_certificate(&stranger, 6);
    world.server.client_ca = world.client.ca.clone();
    for only_1_2 in [false, true] {
        world.client.only_1_2 = only_1_2;
        for (setting, shown, expected) in [
            (No, None, Some(false)),
            (No, Some(&good), Some(false)),
            (No, Some(&bad), Some(false)),
            (Optional, None, Some(false)),
            (Optional, Some(&good), Some(true)),
            (Optional, Some(&bad), None),
            (Required, None, None),
            (Required, Some(&good), Some(true)),
            (Required, Some(&bad), None),
        ] {
            world.server.client_certificate = setting;
            world.client.certificate = shown.cloned();
            let (server, client) = connected(&world);
            let name = format!("{setting:?}, {shown:?}, {only_1_2}");
            let verified = server.layers.is_open().then(|| server.layers.is_verified());
            assert_eq!(verified, expected, "{name}");
            assert_eq!(server.error.is_none(), expected.is_some(), "{name}");
            // The alert says why.
            assert_eq!(client.error.is_none(), expected.is_some(), "{name}");
            assert!(!server.layers.is_verified() || server.layers.is_open());
        }
    }
}

#[test]
fn revoked_certificates_are_refused() {
    let mut world = World::new();
    let other = Authority::new("another authority");
    let list = world.folder.write("good.crl", world.authority.revoke(5, 4000));
    let old = world.folder.write("old.crl", world.authority.revoke(5, 2021));
    let others = world.folder.write("others.crl", other.revoke(6, 4000));
    let revoked = world.client_certificate(&world.authority, 5);
    let good = world.client_certificate(&world.authority, 6);
    world.server.client_ca = world.client.ca.clone();
    world.server.client_certificate = ClientCertificate::Required;
    for (name, crls, shown, error) in [
        ("no list", vec![], &revoked, None),
        ("on the list", vec![&list], &revoked, Some("Revoked")),
        ("not on the list", vec![&list], &good, None),
        ("a list of others", vec![&others], &good, None),
        ("both lists, on one", vec![&others, &list], &revoked, Some("Revoked")),
        ("both lists, on that of others", vec![&others, &list], &good, None),
        ("an old list", vec![&old], &good, Some("expired")),
    ] {
        world.server.crls = crls.into_iter().cloned().collect();
        world.client.certificate = Some(shown.clone());
        let (server, _) = connected(&world);
        let found = server.error.map(|error| error.to_string());
        match (&found, error) {
            (None, None) => {}
            (Some(found), Some(expected)) => {
                assert!(found.to_lowercase().contains(&expected.to_lowercase()), "{name}: {found}");
            }
            _ => panic!("{name}: {found:?}"),
        }
    }
}

#[test]
fn reload_takes_new_files_for_new_streams_or_changes_nothing() {
    let world = World::new();
    let server = world.server();
    let wrapping = Wrapping { tls: Some(server.clone()), ..Wrapping::default() };
    let shown = || {
        let (mut end, mut client) = (End::server(&wrapping), End::client(&world.client()));
        exchange(&mut client, &mut end, 1000);
        client.layers.tls().peer_certificate().map(<[u8]>::to_vec)
    };
    let first = certificate_in(&world.server.certificate);
    let mut old = (End::server(&wrapping), End::client(&world.client()));
    assert_eq!(shown().as_deref(), Some(first.as_ref()));

    let (certificate, key) = world.authority.issue(&["localhost"], 2);
    fs::write(&world.server.certificate, certificate).unwrap();
    let error = server.reload().unwrap_err();
    assert_eq!(error.setting, "key");
    assert!(error.detail.contains("is not the key of"), "{error}");
    assert_eq!(shown().as_deref(), Some(first.as_ref()), "nothing has changed");

    fs::write(&world.server.key, key).unwrap();
    server.reload().unwrap();
    let second = certificate_in(&world.server.certificate);
    assert_eq!(shown().as_deref(), Some(second.as_ref()));
    assert_ne!(first, second);
    exchange(&mut old.1, &mut old.0, 1000);
    assert_eq!(old.1.layers.tls().peer_certificate(), Some(first.as_ref()), "came before");
}

#[test]
fn protocol_is_agreed_on() {
    let mut world = World::new();
    world.server.protocols = vec![b"mqtt".to_vec(), b"other".to_vec()];
    world.client.protocols = vec![b"other".to_vec(), b"mqtt".to_vec()];
    assert!(connected(&world).0.layers.is_open());
    world.client.protocols = vec![b"h2".to_vec()];
    let (server, client) = connected(&world);
    assert!(server.error.is_some());
    assert!(client.error.unwrap().to_string().contains("NoApplicationProtocol"));
    world.client.protocols = vec![];
    assert!(connected(&world).0.layers.is_open());
}

/// What is changed about good options, and the error: its setting, and a part of its detail.
type Row = (&'static str, fn(&mut TlsOptions, &World), &'static str, &'static str);

const BAD_FILES: &[Row] = &[
    ("none", |o, _| o.certificate = PathBuf::new(), "certificate", "no file is named"),
    (
        "missing",
        |o, _| o.certificate = "/no/such/file".into(),
        "certificate",
        "cannot read /no/such/file: No such file",
    ),
    ("empty", |o, w| o.certificate = w.folder.write("x", ""), "certificate", "it is empty"),
    (
        "text",
        |o, w| o.key = w.folder.write("x", "hello"),
        "key",
        "no private key (\"-----BEGIN PRIVATE KEY-----\")",
    ),
    (
        "exchanged",
        |o, _| std::mem::swap(&mut o.certificate, &mut o.key),
        "certificate",
        "it holds a private key",
    ),
    ("a chain as key", |o, _| o.key = o.certificate.clone(), "key", "it holds a certificate"),
    (
        "cut off",
        |o, w| {
            let whole = fs::read(&o.certificate).unwrap();
            o.certificate = w.folder.write("x", &whole[..100]);
        },
        "certificate",
        "is not whole",
    ),
    (
        "DER",
        |o, w| o.certificate = w.folder.write("x", w.authority.certificate.der()),
        "certificate",
        "is DER; `openssl x509 -inform der",
    ),
    (
        "locked",
        |o, w| {
            let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n\
                            -----END ENCRYPTED PRIVATE KEY-----\n";
            o.key = w.folder.write("x", text);
        },
        "key",
        "is locked with a passphrase",
    ),
    (
        "rubbish in PEM",
        |o, w| {
            let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
            o.certificate = w.folder.write("x", text);
        },
        "certificate",
        "is broken",
    ),
    (
        "a key of another",
        |o, w| o.key = w.folder.write("x", w.authority.issue(&["x"], 3).1),
        "key",
        "is not the key of the first certificate in",
    ),
    (
        "another for no name",
        |o, w| {
            let (certificate, key) = w.authority.issue(&[], 3);
            let files = (w.folder.write("x", certificate), w.folder.write("y", key));
            o.more_certificates = vec![files];
        },
        "more_certificates",
        "is for no DNS name",
    ),
    (
        "no authorities",
        |o, _| o.client_certificate = ClientCertificate::Optional,
        "client_ca",
        "is needed",
    ),
    (
        "authorities that are none",
        |o, _| {
            o.client_certificate = ClientCertificate::Optional;
            o.client_ca = Some(o.key.clone());
        },
        "client_ca",
        "no certificate (\"-----BEGIN CERTIFICATE-----\")",
    ),
    (
        "a list that is none",
        |o, w| {
            o.client_certificate = ClientCertificate::Optional;
            o.client_ca = w.client.ca.clone();
            o.crls = vec![o.certificate.clone()];
        },
        "crls",
        "no list of revoked certificates",
    ),
];

#[test]
fn errors_name_the_setting_the_file_and_what_to_do() {
    for (name, change, setting, detail) in BAD_FILES {
        let world = World::new();
        let mut options = world.server.clone();
        change(&mut options, &world);
        let error = TlsServer::new(options).map(drop).expect_err(name);
        assert_eq!(error.setting, *setting, "{name}: {error}");
        assert!(error.detail.contains(detail), "{name}: {error}");
    }
}

#[test]
fn what_is_odd_is_warned_of() {
    let mut world = World::new();
    assert_eq!(world.server().warnings(), Vec::<String>::new());
    world.server.client_ca = world.client.ca.clone();
    assert!(world.server().warnings()[0].contains("clients are not asked"));
    world.server.client_ca = None;
    for (from, to, expected) in [(2020, 2021, "has expired"), (4000, 4001, "is not valid yet")] {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let (certificate, key) = world.authority.sign(&params);
        world.server.certificate = world.folder.write("dated.pem", certificate);
        world.server.key = world.folder.write("dated.key", key);
        let warnings = world.server().warnings();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains(expected), "{warnings:?}");
    }
}

fn connected(world: &World) -> (End, End) {
    let wrapping = Wrapping { tls: Some(world.server()), ..Wrapping::default() };
    let mut server = End::server(&wrapping);
    let mut client = End::client(&world.client());
    exchange(&mut client, &mut server, 1000);
    (server, client)
}

fn certificate_in(path: &Path) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_file(path).unwrap()
}
