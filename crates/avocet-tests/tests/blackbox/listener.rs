//! Listeners of every kind: what a client does over one it does over all, and what each has of its
//! own.
//!
//! - [`table`]: the same scenario over every transport, and between them;
//! - [`tls`], [`websocket`], [`quic`], [`unix`], [`proxy`]: what each has of its own;
//! - [`limit`]: bounds and options of a listener; [`default`]: who is let in unless told otherwise;
//! - [`slow`]: subscribers that do not read;
//! - [`foreign`]: clients that nobody here wrote; [`bench`]: the load generator.

mod bench;
mod default;
mod foreign;
mod limit;
mod proxy;
mod quic;
mod slow;
mod table;
mod tls;
mod unix;
mod websocket;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use avocet_tests::{
    Authority, Broker, Connect, Raw, Stream, Version,
    authority::{BOTH, Identity},
    deadline,
    foreign::{Running, missing, python},
    process::{Folder, run},
    received::Connack,
    stream::{self, Tls, Web},
};
use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

const V5: Version = Version::V5;

/// The name that stands in the server's certificate.
pub(crate) const NAME: &str = "broker.test";

/// What clients speak MQTT over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Tls12,
    Tls13,
    Ws,
    Wss,
    Unix,
    Quic,
}

impl Transport {
    const ALL: [Self; 7] =
        [Self::Tcp, Self::Tls12, Self::Tls13, Self::Ws, Self::Wss, Self::Unix, Self::Quic];
}

/// A broker with a listener of every kind.
struct Everywhere {
    broker: Broker,
    authority: Authority,
    _folder: Folder,
    quic: Option<Bridge>,
}

impl Everywhere {
    fn start(settings: &[&str]) -> Self {
        let authority = Authority::new();
        let server = authority.server("server", &[NAME, "localhost", "127.0.0.1"]);
        let folder = Folder::new();
        let has_quic = has_quic();
        let mut own = vec![
            "listeners.ws.a.bind=127.0.0.1:0".to_owned(),
            format!("listeners.unix.a.path={}/broker.sock", folder.path().display()),
        ];
        own.extend(secure("tls.a", &server));
        own.extend(secure("wss.a", &server));
        if has_quic {
            own.extend(secure("quic.a", &server));
        }
        let own: Vec<&str> =
            own.iter().map(String::as_str).chain(settings.iter().copied()).collect();
        let broker = Broker::start(&own);
        let quic = has_quic.then(|| Bridge::start(&broker, "quic.a", &authority, &[])).flatten();
        Self { broker, authority, _folder: folder, quic }
    }

    /// Those that this machine has.
    fn transports(&self) -> Vec<Transport> {
        let there = |it: &Transport| *it != Transport::Quic || self.quic.is_some();
        Transport::ALL.into_iter().filter(there).collect()
    }

    fn stream(&self, transport: Transport) -> Box<dyn Stream> {
        let tls = |listener: &str, version: &'static SupportedProtocolVersion| {
            let config = self.authority.trust(&[version], None);
            let opened = Tls::open(self.socket(listener), &config, NAME);
            Box::new(opened.unwrap_or_else(|error| panic!("no TLS: {error}")))
        };
        match transport {
            Transport::Tcp => Box::new(self.socket("tcp.default")),
            Transport::Tls12 => tls("tls.a", &TLS12),
            Transport::Tls13 => tls("tls.a", &TLS13),
            Transport::Ws => Box::new(Web::open(Box::new(self.socket("ws.a")))),
            Transport::Wss => Box::new(Web::open(tls("wss.a", &TLS13))),
            Transport::Unix => Box::new(stream::unix(&self.broker.file("unix.a"))),
            Transport::Quic => {
                let bridge = self.quic.as_ref().expect("asked for only where it is");
                Box::new(stream::tcp(bridge.address))
            }
        }
    }

    fn socket(&self, listener: &str) -> TcpStream {
        stream::tcp(self.broker.listener(listener))
    }

    #[track_caller]
    fn client(&self, transport: Transport, connect: &Connect) -> Raw {
        enter(self.stream(transport), connect)
    }
}

/// The settings of a listener with TLS, at a free port.
pub(crate) fn secure(listener: &str, server: &Identity) -> [String; 3] {
    [
        format!("listeners.{listener}.bind=127.0.0.1:0"),
        format!("listeners.{listener}.certificate={}", server.certificate),
        format!("listeners.{listener}.key={}", server.key),
    ]
}

/// A broker with these settings.
fn start(settings: &[impl AsRef<str>]) -> Broker {
    Broker::start(&settings.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

/// Connects over a stream; it has to succeed.
#[track_caller]
pub(crate) fn enter(stream: Box<dyn Stream>, connect: &Connect) -> Raw {
    let (raw, connack) = try_enter(stream, connect);
    assert_eq!(connack.code, 0, "CONNECT is refused: {connack:?}");
    raw
}

#[track_caller]
fn try_enter(stream: Box<dyn Stream>, connect: &Connect) -> (Raw, Connack) {
    let mut raw = Raw::over(stream, connect.version);
    raw.send(&connect.bytes());
    let connack = raw.expect_connack();
    (raw, connack)
}

/// TLS with a server whose certificate is for [`NAME`]; a handshake that has to succeed.
#[track_caller]
fn tls(broker: &Broker, listener: &str, authority: &Authority, shown: Option<&Identity>) -> Tls {
    let config = authority.trust(&BOTH, shown);
    let opened = Tls::open(stream::tcp(broker.listener(listener)), &config, NAME);
    opened.unwrap_or_else(|error| panic!("no TLS: {error}"))
}

/// Whether the executable was built with QUIC; if not, that is noted.
pub(crate) fn has_quic() -> bool {
    let folder = Folder::new();
    let words = ["enable=false", "certificate=x", "key=x"];
    let settings = words.map(|word| format!("listeners.quic.a.{word}"));
    let set = settings.iter().flat_map(|setting| ["--set", setting]);
    let checked = run(&folder, &[], &["check"].into_iter().chain(set).collect::<Vec<_>>());
    if checked.code != Some(0) {
        assert!(checked.stderr.contains("no feature \"quic\""), "{checked:?}");
        missing("MQTT over QUIC: the executable is without it", "`--features full` has it");
    }
    checked.code == Some(0)
}

/// A process that carries TCP connections over QUIC: its QUIC is aioquic.
pub(crate) struct Bridge {
    address: SocketAddr,
    _process: Running,
}

impl Bridge {
    /// Nothing when aioquic is not installed, which is noted as not run.
    pub(crate) fn start(
        broker: &Broker,
        listener: &str,
        authority: &Authority,
        more: &[&str],
    ) -> Option<Self> {
        let mut command = python("with_aioquic.py")?;
        let address = broker.listener(listener);
        // Of every address of this machine it takes the nearest.
        let is_any = address.ip().is_unspecified();
        let host = if is_any { Ipv4Addr::LOCALHOST.to_string() } else { address.ip().to_string() };
        command.args([&host, &address.port().to_string()]);
        command.args([&authority.file, NAME]).args(more);
        let mut process = Running::start(&mut command);
        let port: u16 = process.first_line().parse().expect("it prints its port");
        Some(Self { address: (Ipv4Addr::LOCALHOST, port).into(), _process: process })
    }

    pub(crate) fn stream(&self) -> Box<dyn Stream> {
        Box::new(stream::tcp(self.address))
    }
}

/// The numbers of `/metrics`, as text.
pub(crate) fn metrics(broker: &Broker) -> String {
    let mut socket = stream::tcp(broker.listener("http"));
    let request = b"GET /metrics HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n";
    socket.write_all(request).expect("the listener is open");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("an answer within a deadline");
    text
}

/// A number of `/metrics`, as it is now.
#[track_caller]
pub(crate) fn metric(broker: &Broker, name: &str) -> u64 {
    let text = metrics(broker);
    let told = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let number = told.and_then(|it| it.parse().ok());
    number.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// Waits until a number of `/metrics` is this one.
#[track_caller]
fn expect_metric(broker: &Broker, name: &str, number: u64) {
    let line = format!("{name} {number}");
    let is_there = || metrics(broker).lines().any(|it| it == line).then_some(());
    let found = deadline::poll(deadline::ANSWER, is_there);
    assert!(found.is_some(), "no {line:?} in\n{}", metrics(broker));
}
