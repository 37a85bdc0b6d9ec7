//! `[listeners]`: where clients connect.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf, time::Duration};

use avocet_config::{Bind, Check, Size, choice, settings};
use avocet_net::{
    ClientCertificate, Keepalive, Place, TcpOptions, TlsOptions, TlsServer, UnixOptions,
    WebSocketOptions,
};

use super::MountpointText;
use crate::ListenerOptions;

/// What fits into `sockaddr_un` with the zero at its end.
const UNIX_PATH_BYTES_MAX: usize = 107;

settings! {
    /// Where clients connect, by kind and name.
    pub struct ListenersConfig {
        /// Plain TCP. `default` is there unless its `enable` is false.
        pub tcp: BTreeMap<String, TcpListenerConfig> =
            BTreeMap::from([("default".to_owned(), TcpListenerConfig::default())]),
        /// TLS.
        pub tls: BTreeMap<String, TlsListenerConfig> = BTreeMap::new(),
        /// WebSocket.
        pub ws: BTreeMap<String, WsListenerConfig> = BTreeMap::new(),
        /// WebSocket over TLS.
        pub wss: BTreeMap<String, WssListenerConfig> = BTreeMap::new(),
        /// Unix sockets: files that processes of this machine connect to.
        pub unix: BTreeMap<String, UnixListenerConfig> = BTreeMap::new(),
        /// QUIC: MQTT in the one stream that a client opens.
        #[cfg(feature = "quic")]
        pub quic: BTreeMap<String, QuicListenerConfig> = BTreeMap::new(),
    }
}

settings! {
    /// A TCP listener.
    pub struct TcpListenerConfig {
        pub socket: SocketConfig = SocketConfig::at("127.0.0.1", 1883), flatten,
        pub admission: AdmissionConfig = AdmissionConfig::default(), flatten,
    }
}

settings! {
    /// A TLS listener.
    pub struct TlsListenerConfig {
        pub socket: SocketConfig = SocketConfig::at("0.0.0.0", 8883), flatten,
        pub tls: TlsConfig = TlsConfig::default(), flatten,
        pub admission: AdmissionConfig = AdmissionConfig::default(), flatten,
    }
    validate = |it: &Self, check: &mut Check<'_>| it.tls.check(it.admission.enable, check);
}

settings! {
    /// A WebSocket listener.
    pub struct WsListenerConfig {
        pub socket: SocketConfig = SocketConfig::at("0.0.0.0", 8083), flatten,
        pub websocket: WebSocketConfig = WebSocketConfig::default(), flatten,
        pub admission: AdmissionConfig = AdmissionConfig::default(), flatten,
    }
}

settings! {
    /// A listener for WebSocket over TLS.
    pub struct WssListenerConfig {
        pub socket: SocketConfig = SocketConfig::at("0.0.0.0", 8084), flatten,
        pub tls: TlsConfig = TlsConfig::default(), flatten,
        pub websocket: WebSocketConfig = WebSocketConfig::default(), flatten,
        pub admission: AdmissionConfig = AdmissionConfig::default(), flatten,
    }
    validate = |it: &Self, check: &mut Check<'_>| it.tls.check(it.admission.enable, check);
}

settings! {
    /// A listener at a Unix socket.
    pub struct UnixListenerConfig {
        /// The file. One that a broker left behind is replaced; it goes when the broker stops.
        pub path: PathBuf = PathBuf::new(), required,
        /// Who may connect: the file's permission bits, in octal.
        pub mode: String = "0660".to_owned(),
        /// Connections that the system keeps until they are accepted.
        pub backlog: u16 = 1024, in 1..=32767,
        pub admission: AdmissionConfig = AdmissionConfig::default(), flatten,
    }
    validate = UnixListenerConfig::check;
}

#[cfg(feature = "quic")]
settings! {
    /// A QUIC listener. TLS is part of QUIC, in version 1.3; what is agreed with the client (ALPN)
    /// is `mqtt`.
    pub struct QuicListenerConfig {
        /// Address and port of UDP; port 0 lets the system choose.
        pub bind: Bind = Bind::new("0.0.0.0", 14567),
        pub tls: TlsConfig = TlsConfig::default(), flatten,
        pub admission: AdmissionConfig = AdmissionConfig::default(), flatten,
    }
    validate = |it: &Self, check: &mut Check<'_>| it.tls.check(it.admission.enable, check);
}

settings! {
    /// Whom a listener lets in, and how many.
    pub struct AdmissionConfig {
        /// Whether to open it.
        pub enable: bool = true,
        /// Whether clients without credentials are let in. Unset: only if no other machine can
        /// reach the listener, directly or through a proxy. A client that has shown a good
        /// certificate has credentials.
        pub allow_anonymous: Option<bool> = None,
        /// Connections at once. More are closed as soon as they come.
        pub max_connections: u32 = 1_024_000,
        /// Connections accepted in a second. More wait until it is their turn, as many as
        /// `backlog` says (of QUIC 1024). Unset: no bound.
        pub max_conn_rate: Option<u32> = None, in 1..,
        /// How long a client may take until its CONNECT has come, all handshakes before it
        /// included.
        pub connect_timeout: Duration = Duration::from_secs(10),
            in Duration::from_millis(500)..=Duration::from_secs(600),
        /// What is put before every topic that a client of this listener names, and taken off
        /// again from every topic it is told: `"sensors/${clientid}/"`. It ends with `/` and may
        /// have the variables `${clientid}` and `${username}` (or `%c` and `%u`), one in a level.
        /// A client is refused if what it calls itself does not make one level.
        pub mountpoint: Option<MountpointText> = None,
    }
}

settings! {
    /// The socket of a listener.
    pub struct SocketConfig {
        /// Address and port; port 0 lets the system choose.
        pub bind: Bind = Bind::new("127.0.0.1", 1883),
        /// Whether each connection begins with a PROXY header (version 1 or 2), which says where
        /// the client is. Only for a listener that nothing but such a proxy can reach: whoever
        /// connects is believed, and a connection without the header is closed.
        pub proxy_protocol: bool = false,
        /// Connections that the system keeps until they are accepted.
        pub backlog: u16 = 1024, in 1..=32767,
        /// Whether small packets go out at once (`TCP_NODELAY`).
        pub nodelay: bool = true,
        /// Bytes of the system's buffer towards a client. Unset: as the system thinks fit.
        pub sndbuf: Option<Size> = None, in Size::kibibytes(1)..=Size::mebibytes(256),
        /// Bytes of the system's buffer from a client. Unset: as the system thinks fit.
        pub recbuf: Option<Size> = None, in Size::kibibytes(1)..=Size::mebibytes(256),
        /// How long a connection may be silent before the system asks whether the other side is
        /// still there. Unset: it does not ask; the clients' keep alive does.
        pub tcp_keepalive_idle: Option<Duration> = None,
            in Duration::from_secs(1)..=Duration::from_secs(32767),
        /// How long the system waits between two such questions.
        pub tcp_keepalive_interval: Duration = Duration::from_secs(30),
            in Duration::from_secs(1)..=Duration::from_secs(32767),
        /// How many of them may go without an answer.
        pub tcp_keepalive_count: u32 = 3, in 1..=127,
    }
}

choice! {
    /// Whether clients show a certificate.
    pub enum ClientCertificateChoice {
        /// They are not asked for one.
        None = "none",
        /// They are asked; one that is shown has to be good.
        Optional = "optional",
        /// Without a good one they do not come in.
        Required = "required",
    }
}

choice! {
    /// The oldest version of TLS that is spoken.
    pub enum TlsVersionChoice {
        /// 1.2 and 1.3.
        V1_2 = "1.2",
        /// 1.3 alone.
        V1_3 = "1.3",
    }
}

settings! {
    /// TLS.
    pub struct TlsConfig {
        /// The certificate chain in PEM, the server's own first. This and all files of TLS are
        /// read again on SIGHUP; a path that is not absolute begins where the broker was started.
        pub certificate: PathBuf = PathBuf::new(), required,
        /// Its private key in PEM.
        pub key: PathBuf = PathBuf::new(), required,
        /// Certificates for clients that name another server (SNI). Each is shown for the names
        /// that stand in it; `certificate` is for all others.
        pub more_certificates: Vec<CertificateConfig> = Vec::new(),
        /// Whether clients show a certificate.
        pub client_certificate: ClientCertificateChoice = ClientCertificateChoice::None,
        /// The authorities that sign the clients' certificates, in PEM.
        pub client_ca: Option<PathBuf> = None,
        /// Lists of revoked client certificates, in PEM. A list that is out of date refuses all
        /// that its authority has signed; an authority without a list has revoked nothing.
        pub crls: Vec<PathBuf> = Vec::new(),
        /// The oldest version that is spoken.
        pub min_version: TlsVersionChoice = TlsVersionChoice::V1_2,
    }
}

settings! {
    /// One more certificate of a listener.
    pub struct CertificateConfig {
        /// The certificate chain in PEM, the server's own first.
        pub certificate: PathBuf = PathBuf::new(), required,
        /// Its private key in PEM.
        pub key: PathBuf = PathBuf::new(), required,
    }
}

settings! {
    /// WebSocket: MQTT in binary frames.
    pub struct WebSocketConfig {
        /// The path of the request that opens one.
        pub path: String = "/mqtt".to_owned(),
        /// The subprotocols that are spoken; a client gets the first of these that it offers.
        pub supported_subprotocols: Vec<String> = vec!["mqtt".to_owned(), "mqttv3.1".to_owned()],
        /// Whether a client that offers none of them is turned away.
        // [MQTT3-6.0.0-3] [MQTT5-6.0.0-3]
        pub fail_if_no_subprotocol: bool = true,
        /// The origins whose pages may connect, such as `"https://example.org"`, or `"*"` for any.
        /// Empty: pages of the host that the request is for. Clients that are no browsers name no
        /// origin and are let in either way.
        pub check_origins: Vec<String> = Vec::new(),
        /// The header in which a proxy says where the client is, such as `"X-Forwarded-For"`: of
        /// its addresses the last. Only for a listener that nothing but such a proxy can reach.
        pub proxy_address_header: Option<String> = None,
        /// Bytes of one frame. Frames are not kept until they are whole; packets have a bound of
        /// their own.
        pub max_frame_size: Size = Size::mebibytes(256), in Size::bytes(128)..,
    }
    validate = WebSocketConfig::check;
}

impl SocketConfig {
    fn at(host: &str, port: u16) -> Self {
        Self { bind: Bind::new(host, port), ..Self::default() }
    }

    fn place(&self) -> Place {
        let bytes = |size: Size| size.as_usize();
        Place::Tcp(TcpOptions {
            bind: self.bind.to_string(),
            backlog: self.backlog,
            no_delay: self.nodelay,
            send_buffer: self.sndbuf.map(bytes),
            receive_buffer: self.recbuf.map(bytes),
            keepalive: self.tcp_keepalive_idle.map(|idle| Keepalive {
                idle,
                interval: self.tcp_keepalive_interval,
                count: self.tcp_keepalive_count,
            }),
        })
    }
}

impl UnixListenerConfig {
    fn check(&self, check: &mut Check<'_>) {
        if self.mode().is_none() {
            check.mistake("mode", "must be three or four octal digits, such as \"0660\"");
        }
        if self.path.as_os_str().len() > UNIX_PATH_BYTES_MAX {
            check.mistake("path", "must have at most 107 bytes: the system takes no longer one");
        }
    }

    fn mode(&self) -> Option<u32> {
        let is_octal = matches!(self.mode.len(), 3 | 4)
            && self.mode.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        u32::from_str_radix(&self.mode, 8).ok().filter(|mode| is_octal && *mode <= 0o777)
    }
}

impl WebSocketConfig {
    fn check(&self, check: &mut Check<'_>) {
        if !self.path.starts_with('/') || self.path.contains(['?', '#', ' ']) {
            check.mistake("path", "must begin with '/' and have no '?', '#' or space in it");
        }
        let is_token =
            |text: &String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        if self.supported_subprotocols.is_empty()
            || !self.supported_subprotocols.iter().all(is_token)
        {
            check.mistake("supported_subprotocols", "must be names without spaces, at least one");
        }
    }

    fn options(&self) -> WebSocketOptions {
        WebSocketOptions {
            path: self.path.clone(),
            subprotocols: self.supported_subprotocols.clone(),
            subprotocol_required: self.fail_if_no_subprotocol,
            origins: self.check_origins.clone(),
            proxy_address_header: self.proxy_address_header.clone(),
            frame_bytes_max: self.max_frame_size.as_u64(),
        }
    }
}

impl TlsConfig {
    /// Reads the files, if the listener is to be opened.
    fn check(&self, is_enabled: bool, check: &mut Check<'_>) {
        let asked = self.client_certificate != ClientCertificateChoice::None;
        if asked && self.client_ca.is_none() {
            check.mistake("client_ca", "is needed to tell good client certificates from others");
        }
        if !asked && (self.client_ca.is_some() || !self.crls.is_empty()) {
            check.mistake(
                "client_certificate",
                "must be \"optional\" or \"required\", or client_ca and crls mean nothing",
            );
        }
        if is_enabled
            && check.is_set("certificate")
            && check.is_set("key")
            && let Err(error) = TlsServer::new(self.options())
        {
            check.mistake(error.setting, error.detail);
        }
    }

    fn options(&self) -> TlsOptions {
        let more = self.more_certificates.iter();
        TlsOptions {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            more_certificates: more.map(|it| (it.certificate.clone(), it.key.clone())).collect(),
            client_ca: self.client_ca.clone(),
            client_certificate: match self.client_certificate {
                ClientCertificateChoice::None => ClientCertificate::None,
                ClientCertificateChoice::Optional => ClientCertificate::Optional,
                ClientCertificateChoice::Required => ClientCertificate::Required,
            },
            crls: self.crls.clone(),
            only_1_3: self.min_version == TlsVersionChoice::V1_3,
            protocols: Vec::new(),
        }
    }
}

impl AdmissionConfig {
    /// A listener without layers.
    fn listener(&self, name: String, place: Place) -> ListenerOptions {
        ListenerOptions {
            name,
            place,
            proxy_protocol: false,
            tls: None,
            websocket: None,
            allow_anonymous: self.allow_anonymous,
            connections_max: self.max_connections as usize,
            connections_per_second: self.max_conn_rate.and_then(NonZeroU32::new),
            connect_timeout: self.connect_timeout,
            mountpoint: self.mountpoint.as_ref().map(|text| text.0.clone()),
        }
    }
}

/// The listeners that are to be opened, kind by kind.
pub(super) fn listeners(config: &ListenersConfig) -> Vec<ListenerOptions> {
    let mut all = Vec::new();
    let mut add = |name: String,
                   socket: &SocketConfig,
                   tls: Option<&TlsConfig>,
                   websocket: Option<&WebSocketConfig>,
                   admission: &AdmissionConfig| {
        if admission.enable {
            all.push(ListenerOptions {
                proxy_protocol: socket.proxy_protocol,
                tls: tls.map(TlsConfig::options),
                websocket: websocket.map(WebSocketConfig::options),
                ..admission.listener(name, socket.place())
            });
        }
    };
    for (name, it) in &config.tcp {
        add(format!("tcp.{name}"), &it.socket, None, None, &it.admission);
    }
    for (name, it) in &config.tls {
        add(format!("tls.{name}"), &it.socket, Some(&it.tls), None, &it.admission);
    }
    for (name, it) in &config.ws {
        add(format!("ws.{name}"), &it.socket, None, Some(&it.websocket), &it.admission);
    }
    for (name, it) in &config.wss {
        add(format!("wss.{name}"), &it.socket, Some(&it.tls), Some(&it.websocket), &it.admission);
    }
    for (name, it) in config.unix.iter().filter(|(_, it)| it.admission.enable) {
        let place = Place::Unix(UnixOptions {
            path: it.path.clone(),
            mode: it.mode().unwrap_or(0),
            backlog: it.backlog,
        });
        all.push(it.admission.listener(format!("unix.{name}"), place));
    }
    #[cfg(feature = "quic")]
    for (name, it) in config.quic.iter().filter(|(_, it)| it.admission.enable) {
        let place = Place::Quic(avocet_net::QuicOptions {
            bind: it.bind.to_string(),
            open_timeout: it.admission.connect_timeout,
        });
        let tls = TlsOptions { protocols: vec![b"mqtt".to_vec()], ..it.tls.options() };
        all.push(ListenerOptions {
            tls: Some(tls),
            ..it.admission.listener(format!("quic.{name}"), place)
        });
    }
    all
}
