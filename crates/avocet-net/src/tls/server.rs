//! The server's side of TLS: what its files say, read again on demand.

use std::{path::Path, sync::Arc};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring::Ticketer},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use super::{ClientCertificate, TlsError, TlsOptions, certificates, provider};

/// The server's side of TLS as a listener has it: its files can be read again while it serves.
#[derive(Debug)]
pub struct TlsServer {
    options: TlsOptions,
    loaded: RwLock<Loaded>,
}

/// What the files said when they were last read.
#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    warnings: Vec<String>,
}

impl TlsServer {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or does not hold what it should.
    pub fn new(options: TlsOptions) -> Result<Arc<Self>, TlsError> {
        let loaded = RwLock::new(load(&options)?);
        Ok(Arc::new(Self { options, loaded }))
    }

    /// Reads the files again, for streams that come from now on. No session of before is resumed.
    ///
    /// # Errors
    ///
    /// As of [`new`](Self::new); then nothing has changed.
    pub fn reload(&self) -> Result<(), TlsError> {
        let loaded = load(&self.options)?;
        *self.loaded.write() = loaded;
        Ok(())
    }

    /// What is odd about the files as they were last read, though it can be served with: sentences
    /// without capital and full stop, for the log.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.loaded.read().warnings.clone()
    }

    /// What rustls is told for a stream that comes now.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.loaded.read().config)
    }
}

fn load(options: &TlsOptions) -> Result<Loaded, TlsError> {
    let provider = provider();
    let mut warnings = Vec::new();
    let mut read = |settings: (_, _), certificate: &Path, key: &Path| {
        let read = certificates::certified_key(
            (settings.0, certificate),
            (settings.1, key),
            provider.as_ref(),
        )?;
        warnings.extend(certificates::validity_warning(certificate, &read));
        Ok(read)
    };
    let default = read(("certificate", "key"), &options.certificate, &options.key)?;
    let mut more = Vec::with_capacity(options.more_certificates.len());
    for (certificate, key) in &options.more_certificates {
        let one = read(("more_certificates", "more_certificates"), certificate, key)?;
        if certificates::names(&one).is_empty() {
            let detail = format!(
                "the certificate in {} is for no DNS name, so no client can ask for it",
                certificate.display()
            );
            return Err(TlsError::new("more_certificates", detail));
        }
        more.push(one);
    }
    let is_for_clients = options.client_ca.is_some() || !options.crls.is_empty();
    if options.client_certificate == ClientCertificate::None && is_for_clients {
        let warning = "client_ca or crls are set, but clients are not asked for a certificate";
        warnings.push(warning.to_owned());
    }

    let versions = if options.only_1_3 { &[&TLS13][..] } else { &[&TLS13, &TLS12] };
    let verifier = client_verifier(options, &provider)?;
    let asks_clients = verifier.is_some();
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| TlsError::new("only_1_3", error.to_string()))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let resolver = certificates::Certificates::new(default, more);
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols.clone_from(&options.protocols);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if asks_clients {
        // A session that is resumed would not be held against the list of revoked certificates.
        config.send_tls13_tickets = 0;
    } else {
        config.ticketer = Ticketer::new()
            .map_err(|error| TlsError::new("key", format!("no keys for tickets: {error}")))?;
        // A client that comes back takes the newest; with it, it gets another.
        config.send_tls13_tickets = 1;
    }
    Ok(Loaded { config: Arc::new(config), warnings })
}

fn client_verifier(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let is_optional = match options.client_certificate {
        ClientCertificate::None => return Ok(None),
        ClientCertificate::Optional => true,
        ClientCertificate::Required => false,
    };
    let Some(client_ca) = &options.client_ca else {
        let detail = "is needed to tell which client certificates are good";
        return Err(TlsError::new("client_ca", detail));
    };
    let authorities = certificates::authorities("client_ca", client_ca)?;
    let mut crls = Vec::new();
    for path in &options.crls {
        crls.extend(certificates::crls("crls", path)?);
    }
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(provider))
            .with_crls(crls)
            .allow_unknown_revocation_status()
            .enforce_revocation_expiration();
    if is_optional {
        builder = builder.allow_unauthenticated();
    }
    match builder.build() {
        Ok(verifier) => Ok(Some(verifier)),
        Err(error) => Err(TlsError::new("client_ca", format!("cannot be used: {error}"))),
    }
}

#[cfg(test)]
mod tests;
