//! TLS, by rustls with the provider ring: what a listener or a client of ours needs to speak it.
//! The streams themselves are in `stream.rs`.

mod certificates;
mod client;
mod server;
mod stream;

use std::{fmt, path::PathBuf, sync::Arc};

use rustls::crypto::CryptoProvider;

pub use client::{TlsClient, TlsClientOptions};
pub use server::TlsServer;
pub(crate) use stream::TlsStream;

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// They are not asked for one.
    #[default]
    None,
    /// They are asked; one that is shown has to be good.
    Optional,
    /// Without a good one they do not come in.
    Required,
}

/// What a listener needs for TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// The certificate chain that is shown to clients that name no server, or one that none of
    /// `more_certificates` is for. PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Chains and keys for clients that name (SNI) a server that they are for.
    pub more_certificates: Vec<(PathBuf, PathBuf)>,
    /// Authorities that client certificates have to be signed by, PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether clients show a certificate.
    pub client_certificate: ClientCertificate,
    /// Lists of revoked client certificates, PEM. A certificate whose issuer has no list among them
    /// is let in; one whose issuer's list has expired is not, since it might be on the next.
    pub crls: Vec<PathBuf>,
    /// Nothing older than 1.3.
    pub only_1_3: bool,
    /// What is agreed with clients that ask what is spoken (ALPN); empty: nothing.
    pub protocols: Vec<Vec<u8>>,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// The setting that names it: `certificate`, `key`, `more_certificates`, `client_ca`, `crls`;
    /// with a client also `ca` and `server_name`.
    pub setting: &'static str,
    /// Which file, and what is wrong.
    pub detail: String,
}

impl TlsError {
    fn new(setting: &'static str, detail: impl Into<String>) -> Self {
        Self { setting, detail: detail.into() }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.detail)
    }
}

impl std::error::Error for TlsError {}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
