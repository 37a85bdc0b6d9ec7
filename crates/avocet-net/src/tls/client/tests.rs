use super::*;
use crate::{
    Wrapping,
    testing::{End, World, exchange},
};

#[test]
fn sessions_are_resumed_if_that_is_asked_for() {
    let mut world = World::new();
    let wrapping = Wrapping { tls: Some(world.server()), ..Wrapping::default() };
    for resumption in [false, true] {
        world.client.resumption = resumption;
        let shared = world.client();
        let mut flights = Vec::new();
        for _ in 0..2 {
            let mut server = End::server(&wrapping);
            let mut client = End::client(&shared);
            server.receive(&client.take_raw(), 10_000);
            flights.push(server.raw.len());
            exchange(&mut client, &mut server, 10_000);
            assert!(client.layers.is_open());
        }
        // A server that resumes a session does not show its certificate again.
        assert_eq!(flights[1] + 300 < flights[0], resumption, "{flights:?}");
    }
}

#[test]
fn roots_may_be_given_without_a_file() {
    let mut world = World::new();
    world.client.ca = None;
    world.client.roots = vec![world.authority.certificate.der().to_vec()];
    let mut server = End::server(&Wrapping { tls: Some(world.server()), ..Wrapping::default() });
    let mut client = End::client(&world.client());
    exchange(&mut client, &mut server, 10_000);
    assert!(client.layers.is_open());
}

#[test]
fn errors_name_the_setting() {
    let world = World::new();
    let good = &world.client;
    let no_name = TlsClientOptions { server_name: "a b".to_owned(), ..good.clone() };
    let no_ca = TlsClientOptions { ca: None, ..good.clone() };
    let bad_ca = TlsClientOptions { ca: Some(world.server.key.clone()), ..good.clone() };
    let bad_root = TlsClientOptions { roots: vec![vec![1]], ..good.clone() };
    let swapped = (world.server.key.clone(), world.server.certificate.clone());
    let bad_key = TlsClientOptions { certificate: Some(swapped), ..good.clone() };
    for (options, setting, detail) in [
        (no_name, "server_name", "\"a b\" is neither a name nor an address"),
        (no_ca, "ca", "no authority is given"),
        (bad_ca, "ca", "it holds a private key"),
        (bad_root, "roots", ""),
        (bad_key, "certificate", "it holds a private key"),
    ] {
        let error = TlsClient::new(&options).unwrap_err();
        assert_eq!(error.setting, setting);
        assert!(error.detail.contains(detail), "{error}");
    }
}
