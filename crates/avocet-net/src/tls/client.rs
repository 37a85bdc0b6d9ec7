//! The client's side of TLS, for our own tools.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};

use super::{TlsError, certificates, provider};

/// What a client needs for TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsClientOptions {
    /// The name, or the address, that the server's certificate has to be for.
    pub server_name: String,
    /// Authorities that the server's certificate has to be signed by, PEM.
    pub ca: Option<PathBuf>,
    /// Further authorities, DER.
    pub roots: Vec<Vec<u8>>,
    /// The client's own certificate chain and key, PEM, for a server that asks.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Any certificate is taken, whoever it is of: for trying things out.
    pub insecure: bool,
    /// A certificate may be for any name, but the authorities count.
    pub any_name: bool,
    /// Nothing newer than 1.2.
    pub only_1_2: bool,
    /// Nothing older than 1.3.
    pub only_1_3: bool,
    /// Sessions are resumed among the streams that share this.
    pub resumption: bool,
    /// What is spoken (ALPN), the preferred one first; empty: not told.
    pub protocols: Vec<Vec<u8>>,
}

/// The client's side of TLS, for any number of streams to one server.
#[derive(Clone, Debug)]
pub struct TlsClient {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server_name: ServerName<'static>,
}

impl TlsClient {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or does not hold what it should; a name that cannot be one.
    pub fn new(options: &TlsClientOptions) -> Result<Self, TlsError> {
        let server_name = ServerName::try_from(options.server_name.clone()).map_err(|_| {
            let detail = format!("\"{}\" is neither a name nor an address", options.server_name);
            TlsError::new("server_name", detail)
        })?;
        let provider = provider();
        let versions = match (options.only_1_2, options.only_1_3) {
            (true, _) => &[&TLS12][..],
            (false, true) => &[&TLS13],
            (false, false) => &[&TLS13, &TLS12],
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| TlsError::new("only_1_2", error.to_string()))?;
        let builder = if options.insecure {
            let verifier = AnyServer(Arc::clone(&provider));
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        } else {
            let roots = Arc::new(roots(options)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|error| TlsError::new("ca", error.to_string()))?;
            if options.any_name {
                let verifier = Arc::new(AnyName(verifier));
                builder.dangerous().with_custom_certificate_verifier(verifier)
            } else {
                builder.with_webpki_verifier(verifier)
            }
        };
        let mut config = match &options.certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certified = certificates::certified_key(
                    ("certificate", certificate),
                    ("key", key),
                    &provider,
                )?;
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
                    certified,
                )))
            }
        };
        config.alpn_protocols.clone_from(&options.protocols);
        if !options.resumption {
            config.resumption = Resumption::disabled();
        }
        Ok(Self { config: Arc::new(config), server_name })
    }
}

fn roots(options: &TlsClientOptions) -> Result<RootCertStore, TlsError> {
    let mut roots = match &options.ca {
        Some(ca) => certificates::authorities("ca", ca)?,
        None => RootCertStore::empty(),
    };
    for root in &options.roots {
        roots
            .add(CertificateDer::from(root.clone()))
            .map_err(|error| TlsError::new("roots", error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(TlsError::new("ca", "no authority is given that the server could be known by"));
    }
    Ok(roots)
}

/// Takes a server whose certificate is good but for another name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is looked at when all else is found to be good.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Takes any server.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
