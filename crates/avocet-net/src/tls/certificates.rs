//! Certificates, keys and lists of revoked certificates: read from PEM files, and the choice among
//! several certificates by the name of the server that a client asks for.

use std::{collections::HashMap, fs, path::Path, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime,
        pem::{PemObject, SectionKind},
    },
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use webpki::{EndEntityCert, KeyUsage, OwnedCertRevocationList};

use super::TlsError;

/// The certificates of a server.
#[derive(Debug)]
pub(super) struct Certificates {
    default: Arc<CertifiedKey>,
    /// By names in small letters; a wildcard `*.example.org` stands as it is.
    named: HashMap<String, Arc<CertifiedKey>>,
}

impl Certificates {
    /// One for those that name no server that we know. Of `more` the first that is for a name
    /// counts, and a full name more than a wildcard.
    pub(super) fn new(default: CertifiedKey, more: Vec<CertifiedKey>) -> Self {
        let mut named = HashMap::new();
        for certificate in more.into_iter().map(Arc::new) {
            for name in names(&certificate) {
                named.entry(name).or_insert_with(|| Arc::clone(&certificate));
            }
        }
        Self { default: Arc::new(default), named }
    }

    /// The name is in small letters: rustls sees to it.
    fn choose(&self, server_name: Option<&str>) -> &Arc<CertifiedKey> {
        let found = server_name.and_then(|name| {
            self.named.get(name).or_else(|| {
                let (_, parent) = name.split_once('.')?;
                self.named.get(&format!("*.{parent}"))
            })
        });
        found.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.choose(hello.server_name())))
    }
}

/// The DNS names that a certificate is for, in small letters.
pub(super) fn names(certificate: &CertifiedKey) -> Vec<String> {
    let parsed = certificate.cert.first().and_then(|der| EndEntityCert::try_from(der).ok());
    parsed.map_or_else(Vec::new, |end_entity| {
        end_entity.valid_dns_names().map(str::to_ascii_lowercase).collect()
    })
}

/// Reads a certificate chain and its key, and sees that they belong together. The settings are
/// those that name the two files.
pub(super) fn certified_key(
    (certificate_setting, certificate): (&'static str, &Path),
    (key_setting, key): (&'static str, &Path),
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(certificate_setting, certificate)?;
    if let Err(error) = EndEntityCert::try_from(&chain[0]) {
        let detail =
            format!("the first certificate in {} is broken: {error}", certificate.display());
        return Err(TlsError::new(certificate_setting, detail));
    }
    let private_key = private_key(key_setting, key)?;
    CertifiedKey::from_der(chain, private_key, provider).map_err(|error| {
        let detail = if matches!(error, rustls::Error::InconsistentKeys(_)) {
            format!(
                "{} is not the key of the first certificate in {}",
                key.display(),
                certificate.display()
            )
        } else {
            format!("{} cannot be used: {error}", key.display())
        };
        TlsError::new(key_setting, detail)
    })
}

/// What an operator has to know about the first certificate of a file: that it is not valid today.
pub(super) fn validity_warning(path: &Path, certificate: &CertifiedKey) -> Option<String> {
    let end_entity = EndEntityCert::try_from(certificate.cert.first()?).ok()?;
    // Without any authority there is no way to a good answer; but whether the certificate is valid
    // today is looked at before one is searched.
    let usage = KeyUsage::server_auth();
    let now = UnixTime::now();
    let verdict = end_entity.verify_for_usage(&[], &[], &[], now, usage, None, None);
    let days = |from: UnixTime, to: UnixTime| to.as_secs().saturating_sub(from.as_secs()) / 86_400;
    #[expect(clippy::wildcard_enum_match_arm, reason = "not our enum; no authority is the rule")]
    match verdict.err()? {
        webpki::Error::CertExpired { time, not_after } => Some(format!(
            "the certificate in {} has expired, {} days ago; clients will refuse it",
            path.display(),
            days(not_after, time)
        )),
        webpki::Error::CertNotValidYet { time, not_before } => Some(format!(
            "the certificate in {} is not valid yet, but in {} days; clients will refuse it",
            path.display(),
            days(time, not_before)
        )),
        _ => None,
    }
}

/// Reads the certificates of authorities.
pub(super) fn authorities(setting: &'static str, path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, path)? {
        roots.add(certificate).map_err(|error| {
            let detail = format!("a certificate in {} is broken: {error}", path.display());
            TlsError::new(setting, detail)
        })?;
    }
    Ok(roots)
}

/// Reads lists of revoked certificates.
pub(super) fn crls(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let file = File::read(setting, path)?;
    let lists: Vec<CertificateRevocationListDer<'static>> =
        file.sections(SectionKind::Crl).map(Into::into).collect();
    if lists.is_empty() {
        return Err(file.holds_no("X509 CRL", "list of revoked certificates"));
    }
    for list in &lists {
        if let Err(error) = OwnedCertRevocationList::from_der(list) {
            let detail = format!("a list in {} is broken: {error}", path.display());
            return Err(TlsError::new(setting, detail));
        }
    }
    Ok(lists)
}

/// Reads certificates, at least one.
fn certificates(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = File::read(setting, path)?;
    let certificates: Vec<_> = file.sections(SectionKind::Certificate).map(Into::into).collect();
    if certificates.is_empty() {
        return Err(file.holds_no("CERTIFICATE", "certificate"));
    }
    Ok(certificates)
}

/// Reads the first private key of a file: PKCS#8, PKCS#1 or SEC1.
fn private_key(setting: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let file = File::read(setting, path)?;
    let keys = [SectionKind::PrivateKey, SectionKind::RsaPrivateKey, SectionKind::EcPrivateKey];
    let key = keys.into_iter().find_map(|kind| {
        let der = file.sections(kind).next()?;
        PrivateKeyDer::from_pem(kind, der)
    });
    key.ok_or_else(|| file.holds_no("PRIVATE KEY", "private key"))
}

/// A PEM file.
struct File<'a> {
    setting: &'static str,
    path: &'a Path,
    sections: Vec<(SectionKind, Vec<u8>)>,
    is_empty: bool,
}

impl<'a> File<'a> {
    fn read(setting: &'static str, path: &'a Path) -> Result<Self, TlsError> {
        let error = |detail: String| Err(TlsError::new(setting, detail));
        let name = path.display();
        if path.as_os_str().is_empty() {
            return error("no file is named".to_owned());
        }
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(cause) => return error(format!("cannot read {name}: {cause}")),
        };
        // A DER file begins with the tag of a sequence, which PEM does not hold.
        if bytes.starts_with(&[0x30, 0x82]) {
            return error(format!("{name} is DER; `openssl x509 -inform der` writes PEM"));
        }
        let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
        if has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED") {
            return error(format!(
                "the key in {name} is locked with a passphrase; \
                 `openssl pkey -in {name} -out NEW` writes one that is not"
            ));
        }
        match PemObject::pem_slice_iter(&bytes).collect() {
            Ok(sections) => Ok(Self { setting, path, sections, is_empty: bytes.is_empty() }),
            Err(cause) => error(format!("{name} is not whole: {cause}")),
        }
    }

    fn sections(&self, kind: SectionKind) -> impl Iterator<Item = Vec<u8>> {
        self.sections.iter().filter(move |section| section.0 == kind).map(|(_, der)| der.clone())
    }

    /// The error that the file holds something else than `what`, which has this label.
    fn holds_no(&self, label: &str, what: &str) -> TlsError {
        let found = match self.sections.first() {
            _ if self.is_empty => "it is empty",
            None => "it is not a PEM file",
            Some((SectionKind::Certificate, _)) => "it holds a certificate",
            Some((SectionKind::Crl, _)) => "it holds a list of revoked certificates",
            Some((SectionKind::Csr, _)) => "it holds a request for a certificate, not signed yet",
            Some((SectionKind::PublicKey, _)) => "it holds a public key",
            Some((
                SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey,
                _,
            )) => "it holds a private key",
            Some(_) => "it holds something else",
        };
        let name = self.path.display();
        TlsError::new(
            self.setting,
            format!("no {what} (\"-----BEGIN {label}-----\") in {name}: {found}"),
        )
    }
}

#[cfg(test)]
mod tests;
