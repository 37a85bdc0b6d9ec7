//! How a broker is reached, on the command line: mosquitto's letters, and `--ws`.

use std::{path::PathBuf, sync::Arc};

use avocet_net::{ClientWrapping, WebSocketRequest};
use clap::Args;

use super::{
    Failure,
    stream::{Place, Target},
    tls::{self, Trust},
};

const WEBSOCKET_PATH: &str = "/mqtt";

/// Stands last among the arguments of a command, since its heading does not end.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Transport")]
pub(crate) struct TransportArgs {
    /// Speak TLS. The broker has to show a certificate that is for its host name, and that an
    /// authority of this system has signed. The other options of TLS imply this one.
    #[arg(long)]
    pub(super) tls: bool,
    /// A PEM file of the authorities to trust, instead of this system's.
    #[arg(long, value_name = "FILE")]
    pub(super) cafile: Option<PathBuf>,
    /// A directory of such files, all of which are read.
    #[arg(long, value_name = "DIR")]
    pub(super) capath: Option<PathBuf>,
    /// Our certificate, for a broker that asks; PEM.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(super) cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(super) key: Option<PathBuf>,
    /// Do not check that the broker's certificate is for its host name, only that it is valid and
    /// who has signed it: whoever has another certificate of those can pretend to be the broker.
    #[arg(long)]
    pub(super) insecure: bool,
    /// Speak this version only, instead of the newest that both sides know.
    #[arg(long, value_name = "VERSION", value_parser = ["tlsv1.2", "tlsv1.3"])]
    pub(super) tls_version: Option<String>,
    /// The name that the broker's certificate has to be for, if it is not the host's.
    #[arg(long, value_name = "NAME")]
    pub(super) servername: Option<String>,
    /// The protocol to agree on while TLS is opened (ALPN).
    #[arg(long, value_name = "NAME", value_parser = alpn)]
    pub(super) tls_alpn: Option<String>,
    /// Speak WebSocket.
    #[arg(long)]
    pub(super) ws: bool,
    /// Its path, if it is not /mqtt.
    #[arg(long, value_name = "PATH", value_parser = websocket_path)]
    pub(super) ws_path: Option<String>,
    /// Connect to this socket of the machine, instead of a host and port.
    #[arg(long, value_name = "PATH", conflicts_with_all = [
        "host", "port", "tls", "cafile", "capath", "cert", "key", "insecure", "tls_version",
        "servername", "tls_alpn", "ws", "ws_path"
    ])]
    pub(super) unix: Option<PathBuf>,
}

impl TransportArgs {
    /// Where the broker is, and what is spoken there.
    pub(crate) fn target(&self, host: &str, port: Option<u16>) -> Result<Target, Failure> {
        if let Some(path) = &self.unix {
            let place = Place::Unix(path.clone());
            return Ok(Target {
                place,
                wrapping: ClientWrapping::default(),
                source: None,
                trust: None,
            });
        }
        if self.ws_path.is_some() && !self.ws {
            return Err(Failure::Usage("--ws-path needs --ws".to_owned()));
        }
        let is_tls = self.is_tls();
        let port = port.unwrap_or_else(|| default_port(is_tls, self.ws));
        let place = Place::Tcp { host: host.to_owned(), port };
        let mut target =
            Target { place, wrapping: ClientWrapping::default(), source: None, trust: None };
        if is_tls {
            target.wrapping.tls = Some(tls::client(self, host)?);
            target.trust = Some(Arc::new(Trust::new(self)));
        }
        target.wrapping.websocket = self.ws.then(|| WebSocketRequest {
            host: host_header(host, port, is_tls),
            path: self.ws_path.clone().unwrap_or_else(|| WEBSOCKET_PATH.to_owned()),
            // [MQTT3-6.0.0-3] [MQTT5-6.0.0-3]
            subprotocol: "mqtt".to_owned(),
            // Of a frame nothing is kept, so it may be of any length.
            frame_bytes_max: u64::MAX,
        });
        Ok(target)
    }

    /// Whether it is a socket of this machine.
    pub(crate) fn is_unix(&self) -> bool {
        self.unix.is_some()
    }

    /// Whether any option of TLS was given.
    fn is_tls(&self) -> bool {
        let Self { tls, insecure, cafile, capath, cert, key, .. } = self;
        let Self { tls_version, servername, tls_alpn, .. } = self;
        let has_file = [cafile, capath, cert, key].into_iter().any(Option::is_some);
        let has_word = [tls_version, servername, tls_alpn].into_iter().any(Option::is_some);
        *tls || *insecure || has_file || has_word
    }
}

fn default_port(is_tls: bool, is_websocket: bool) -> u16 {
    match (is_tls, is_websocket) {
        (false, false) => 1883,
        (true, false) => 8883,
        (false, true) => 8083,
        (true, true) => 8084,
    }
}

/// The header `Host` of a request: with the port, unless it is HTTP's own.
fn host_header(host: &str, port: u16, is_tls: bool) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let usual = if is_tls { 443 } else { 80 };
    if port == usual { host } else { format!("{host}:{port}") }
}

fn websocket_path(text: &str) -> Result<String, String> {
    let is_good = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    let complaint = || "a path begins with / and has no spaces, like /mqtt".to_owned();
    is_good.then(|| text.to_owned()).ok_or_else(complaint)
}

fn alpn(text: &str) -> Result<String, String> {
    let is_good = (1..=255).contains(&text.len());
    is_good.then(|| text.to_owned()).ok_or_else(|| "1 to 255 bytes are needed".to_owned())
}

#[cfg(test)]
pub(crate) mod tests;
