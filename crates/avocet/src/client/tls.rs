//! What a client needs for TLS, out of the command line; and sentences for when it fails.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use avocet_net::{Layer, LayerError, TlsClient, TlsClientOptions, TlsError};
use rustls_native_certs::{load_certs_from_paths, load_native_certs};

use super::{Failure, transport::TransportArgs};

/// Reads what the arguments name, for streams to `host`.
pub(super) fn client(args: &TransportArgs, host: &str) -> Result<TlsClient, Failure> {
    let server_name = args.servername.as_deref().unwrap_or(host);
    let options = TlsClientOptions {
        server_name: server_name.to_owned(),
        ca: args.cafile.clone(),
        roots: roots(args)?,
        certificate: args.cert.clone().zip(args.key.clone()),
        insecure: false,
        any_name: args.insecure,
        only_1_2: args.tls_version.as_deref() == Some("tlsv1.2"),
        only_1_3: args.tls_version.as_deref() == Some("tlsv1.3"),
        resumption: false,
        protocols: args.tls_alpn.iter().map(|name| name.clone().into_bytes()).collect(),
    };
    TlsClient::new(&options).map_err(|error| refused(&error))
}

/// The authorities that do not stand in `--cafile`.
fn roots(args: &TransportArgs) -> anyhow::Result<Vec<Vec<u8>>> {
    let loaded = match (&args.capath, &args.cafile) {
        (Some(directory), _) => load_certs_from_paths(None, Some(directory)),
        (None, Some(_)) => return Ok(Vec::new()),
        (None, None) => load_native_certs(),
    };
    // A system's store may hold what is no authority to us; one that is not used does no harm.
    let good = loaded.certs.iter().filter(|der| webpki::anchor_from_trusted_cert(der).is_ok());
    let roots: Vec<Vec<u8>> = good.map(|der| der.to_vec()).collect();
    if !roots.is_empty() {
        return Ok(roots);
    }
    let cause = loaded.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
    Err(match &args.capath {
        Some(directory) => anyhow!("--capath: no authority in {}{cause}", directory.display()),
        None => {
            anyhow!("this system has no authorities to trust{cause}: --cafile names a file of them")
        }
    })
}

/// The same with the names of our options.
fn refused(error: &TlsError) -> Failure {
    let option = match error.setting {
        "server_name" => {
            return Failure::Usage(format!("--servername or --host: {}", error.detail));
        }
        "ca" => "--cafile",
        "certificate" => "--cert",
        "key" => "--key",
        other => other,
    };
    Failure::Other(anyhow!("{option}: {}", error.detail))
}

/// What TLS was told to rely on.
#[derive(Debug)]
pub(crate) struct Trust {
    /// Where the authorities stand.
    authorities: String,
    certificate: Option<PathBuf>,
}

impl Trust {
    pub(super) fn new(args: &TransportArgs) -> Self {
        let paths = [&args.cafile, &args.capath].into_iter().flatten();
        let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
        let system = || "this system".to_owned();
        let authorities = if paths.is_empty() { system() } else { paths.join(" or ") };
        Self { authorities, certificate: args.cert.clone() }
    }

    /// Which certificate is not accepted, and why; whatever else is wrong.
    pub(super) fn explain(&self, error: &LayerError) -> String {
        if error.layer != Layer::Tls {
            return error.to_string();
        }
        // The words are rustls's.
        if let Some(why) = error.detail.strip_prefix("invalid peer certificate: ") {
            return self.broker_refused(why);
        }
        if let Some(alert) = error.detail.strip_prefix("received fatal alert: ") {
            return self.alerted(alert);
        }
        if error.detail.starts_with("received corrupt message") {
            return format!("TLS: what answers does not speak it ({})", error.detail);
        }
        error.to_string()
    }

    fn broker_refused(&self, why: &str) -> String {
        let authorities = &self.authorities;
        let why = match why {
            "UnknownIssuer" => format!("no authority of {authorities} has signed it"),
            "BadSignature" => {
                format!("an authority of {authorities} has its issuer's name, but another key")
            }
            "CaUsedAsEndEntity" => "it is that of an authority, not of a server".to_owned(),
            why => why.to_owned(),
        };
        format!("the broker's certificate is not accepted: {why}")
    }

    fn alerted(&self, alert: &str) -> String {
        let shown = self.certificate.as_deref().map(Path::display);
        let is_of_certificate = alert.contains("Certificate")
            || matches!(alert, "UnknownCA" | "AccessDenied" | "DecryptError");
        match (alert, shown) {
            ("CertificateRequired", _) | ("BadCertificate", None) => {
                "the broker wants a certificate of ours: --cert and --key".to_owned()
            }
            (_, Some(shown)) if is_of_certificate => {
                format!("the broker does not accept the certificate in {shown}: {alert}")
            }
            ("NoApplicationProtocol", _) => "the broker does not speak that --tls-alpn".to_owned(),
            ("ProtocolVersion", _) => "the broker speaks no version of TLS that we may".to_owned(),
            ("HandshakeFailure", None) => {
                "the broker wants other ciphers, or a certificate of ours: --cert and --key"
                    .to_owned()
            }
            (alert, _) => format!("the broker ends TLS: {alert}"),
        }
    }
}

#[cfg(test)]
mod tests;
