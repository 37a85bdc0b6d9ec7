use std::{
    future::{Future, poll_fn},
    io::ErrorKind,
    net::SocketAddr,
    pin::pin,
    task::Poll,
};

use super::*;
use crate::{Listener, Place, Socket, TlsOptions};
use quinn::{ClientConfig, crypto::rustls::QuicClientConfig};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::task::yield_now;

const NAME: &str = "broker.test";

/// A listener with a certificate of its own, and an endpoint of a client that trusts it.
fn both_ends(protocol: &[u8]) -> (Listener, Endpoint) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.into()]).unwrap();
    let folder = std::env::temp_dir().join(format!("quic-{}-{}", std::process::id(), line!()));
    std::fs::create_dir_all(&folder).unwrap();
    let unique = format!("{:p}", &raw const cert);
    let [certificate, key] = ["pem", "key"].map(|end| folder.join(format!("{unique}.{end}")));
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let tls = TlsServer::new(TlsOptions {
        certificate,
        key,
        protocols: vec![b"mqtt".to_vec()],
        ..TlsOptions::default()
    })
    .unwrap();
    let options =
        QuicOptions { bind: "127.0.0.1:0".to_owned(), open_timeout: Duration::from_secs(10) };
    let listener = Listener::bind(&Place::Quic(options), Some(&tls)).unwrap();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
    let mut client = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    client.set_default_client_config(config);
    (listener, client)
}

fn address(listener: &Listener) -> SocketAddr {
    listener.address().ip().unwrap()
}

async fn read(socket: &Socket, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; count];
    while bytes.len() < count {
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => bytes.extend(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    bytes
}

#[tokio::test]
async fn stream_of_a_client_is_served_both_ways() {
    let (mut listener, client) = both_ends(b"mqtt");
    let connection = client.connect(address(&listener), NAME).unwrap().await.unwrap();
    let (mut to_broker, mut from_broker) = connection.open_bi().await.unwrap();
    // More than windows and pipe hold.
    let sent: Vec<u8> = (0..=250).cycle().take(2_000_000).collect();
    let expected = sent.clone();
    let sending = tokio::spawn(async move { to_broker.write_all(&sent).await.map(|()| to_broker) });
    let socket = listener.accept().await.unwrap().stream().unwrap().into_socket();
    assert_eq!(socket.peer(), Peer::Ip(client.local_addr().unwrap()));
    assert!(!socket.is_verified());
    assert!(read(&socket, expected.len()).await == expected, "the stream differs");
    let mut to_broker = sending.await.unwrap().unwrap();

    let mut written = 0;
    let receiving = tokio::spawn(async move {
        let mut bytes = vec![0; 500_000];
        from_broker.read_exact(&mut bytes).await.unwrap();
        (bytes, from_broker)
    });
    while written < 500_000 {
        written += socket.write(&expected[written..500_000]).unwrap_or(0);
        yield_now().await;
    }
    let (bytes, mut from_broker) = receiving.await.unwrap();
    assert!(bytes == expected[..500_000], "the stream differs");

    to_broker.finish().unwrap();
    assert_eq!(read(&socket, 1).await, [], "the client has finished");
    socket.write(b"last").unwrap();
    socket.shutdown();
    assert_eq!(from_broker.read_to_end(100).await.unwrap(), b"last");
    connection.closed().await;
}

#[tokio::test]
async fn connection_that_breaks_is_the_end_of_the_stream() {
    let (mut listener, client) = both_ends(b"mqtt");
    let connection = client.connect(address(&listener), NAME).unwrap().await.unwrap();
    let (mut to_broker, _from_broker) = connection.open_bi().await.unwrap();
    to_broker.write_all(b"first").await.unwrap();
    let socket = listener.accept().await.unwrap().stream().unwrap().into_socket();
    assert_eq!(read(&socket, 5).await, b"first");
    connection.close(VarInt::from_u32(7), b"gone");
    assert_eq!(read(&socket, 1).await, []);
}

#[tokio::test]
async fn client_that_speaks_something_else_is_not_let_in() {
    let (listener, client) = both_ends(b"h3");
    let refused = client.connect(address(&listener), NAME).unwrap().await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn second_stream_of_a_connection_is_not_granted() {
    let (mut listener, client) = both_ends(b"mqtt");
    let connection = client.connect(address(&listener), NAME).unwrap().await.unwrap();
    let (mut first, _from_broker) = connection.open_bi().await.unwrap();
    first.write_all(b"x").await.unwrap();
    let socket = listener.accept().await.unwrap().stream().unwrap().into_socket();
    assert_eq!(read(&socket, 1).await, b"x");
    let mut second = pin!(connection.open_bi());
    let granted = poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx).is_ready())).await;
    assert!(!granted, "one stream is all there is");
}
