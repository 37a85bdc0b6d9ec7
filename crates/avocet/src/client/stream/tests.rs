use std::{
    env, fs,
    net::TcpListener,
    path::Path,
    thread::{self, JoinHandle},
};

use avocet_net::{TlsOptions, TlsServer, WebSocketOptions, Wrapping};

use super::*;
use crate::client::transport::TransportArgs;

const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

#[test]
fn bytes_go_both_ways_through_any_layers() {
    let files = Files::new("both-ways");
    for (tls, ws) in [(false, false), (false, true), (true, false), (true, true)] {
        let (port, server) = serve(wrapping(&files, tls, ws));
        let args = TransportArgs { ws, cafile: tls.then(|| files.path("a.pem")), ..default() };
        let (mut stream, mut plain) = open(&args, port).unwrap();
        stream.write_all(b"ping").unwrap();
        while plain.len() < 4 {
            assert_eq!(stream.read(&mut plain, PATIENCE).unwrap(), Incoming::More, "{tls} {ws}");
        }
        assert_eq!(plain, b"pong", "what comes with the end is given out before it");
        assert_eq!(stream.read(&mut plain, PATIENCE).unwrap(), Incoming::End, "{tls} {ws}");
        stream.close();
        server.join().unwrap();
    }
}

#[test]
fn broker_that_is_not_accepted_is_told_why() {
    let files = Files::new("refused");
    let trusting = |file: &str| TransportArgs { cafile: Some(files.path(file)), ..default() };
    let other_name = TransportArgs { servername: Some("other".to_owned()), ..trusting("a.pem") };
    for (args, why) in [
        (trusting("b.pem"), "b.pem has its issuer's name, but another key"),
        (other_name, "not valid for name \"other\""),
    ] {
        let (port, server) = serve(wrapping(&files, true, false));
        let complaint = format!("{:#}", open(&args, port).unwrap_err());
        assert!(complaint.contains("the broker's certificate is not accepted"), "{complaint}");
        assert!(complaint.contains(why), "{complaint}");
        server.join().unwrap();
    }
    let (port, server) = serve(wrapping(&files, true, false));
    let any_name =
        TransportArgs { insecure: true, servername: Some("other".to_owned()), ..trusting("a.pem") };
    assert!(open(&any_name, port).is_ok());
    server.join().unwrap();
    let (port, server) = serve(wrapping(&files, true, false));
    let not_anyone = TransportArgs { insecure: true, ..trusting("b.pem") };
    assert!(open(&not_anyone, port).is_err(), "--insecure leaves out the name only");
    server.join().unwrap();
}

#[test]
fn refused_request_of_a_websocket_is_told() {
    let files = Files::new("request");
    let (port, server) = serve(wrapping(&files, false, true));
    let args = TransportArgs { ws: true, ws_path: Some("/other".to_owned()), ..default() };
    let complaint = format!("{:#}", open(&args, port).unwrap_err());
    assert!(complaint.ends_with("WebSocket: the server answers 404 Not Found"), "{complaint}");
    server.join().unwrap();
}

#[test]
fn reading_ends_when_another_thread_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut stream, mut plain) = open(&default(), port).unwrap();
    let socket = stream.try_clone_socket().unwrap();
    let ender = thread::spawn(move || socket.end_reading());
    assert_eq!(stream.read(&mut plain, PATIENCE).unwrap(), Incoming::End);
    ender.join().unwrap().unwrap();
}

fn default() -> TransportArgs {
    TransportArgs::default()
}

fn open(args: &TransportArgs, port: u16) -> anyhow::Result<(Stream, Vec<u8>)> {
    let target = args.target("localhost", Some(port)).unwrap();
    let mut plain = Vec::new();
    Ok((Stream::open(&target, &mut plain)?, plain))
}

/// Takes one stream, waits for four bytes, and answers them with four and the end.
fn serve(wrapping: Wrapping) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut layers = Layers::accept(&wrapping);
        let (mut plain, mut bytes) = (Vec::new(), [0; 4096]);
        while plain.len() < 4 {
            // A client that does not accept us may reset the stream.
            let count = socket.read(&mut bytes).unwrap_or(0);
            let mut raw = Vec::new();
            let received = match &mut layers {
                _ if count == 0 => return,
                Some(layers) => layers.receive(&mut bytes[..count], &mut plain, &mut raw),
                None => {
                    plain.extend_from_slice(&bytes[..count]);
                    Ok(Incoming::More)
                }
            };
            socket.write_all(&raw).ok();
            if received.is_err() {
                return;
            }
        }
        assert_eq!(plain, b"ping");
        let mut raw = b"pong".to_vec();
        if let Some(layers) = &mut layers {
            raw.clear();
            layers.seal(b"pong", &mut raw).unwrap();
            layers.close(&mut raw);
        }
        socket.write_all(&raw).unwrap();
    });
    (port, serving)
}

fn wrapping(files: &Files, tls: bool, ws: bool) -> Wrapping {
    let tls = tls.then(|| {
        let (certificate, key) = (files.path("a.pem"), files.path("a.key"));
        TlsServer::new(TlsOptions { certificate, key, ..TlsOptions::default() }).unwrap()
    });
    let websocket = ws.then(|| {
        Arc::new(WebSocketOptions {
            path: "/mqtt".to_owned(),
            subprotocols: vec!["mqtt".to_owned()],
            subprotocol_required: true,
            origins: Vec::new(),
            proxy_address_header: None,
            frame_bytes_max: 1000,
        })
    });
    Wrapping { proxy_protocol: false, tls, websocket }
}

/// Two certificates for localhost, each its own authority.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("avocet-stream-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in ["a", "b"] {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).unwrap();
            fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem())
                .unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.0).join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
