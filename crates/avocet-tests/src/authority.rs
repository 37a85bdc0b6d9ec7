//! Certificates for one test: an authority of its own, what it signs, and what it takes back. All
//! lie as PEM in a folder that goes with the test.

use std::{fs, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    version::{TLS12, TLS13},
};

use crate::process::Folder;

/// Signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: Folder,
    /// The file of its own certificate.
    pub file: String,
}

/// A certificate and its key, and the files they are in.
#[derive(Debug)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
    pub chain: CertificateDer<'static>,
    pub secret: Vec<u8>,
}

/// Both versions of TLS.
pub const BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

impl Authority {
    /// All of these have the same name, and each a key of its own.
    #[expect(clippy::new_without_default, reason = "it makes something on the disk")]
    pub fn new() -> Self {
        Self::named("authority of a test")
    }

    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("there is randomness");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it may sign");
        let folder = Folder::new();
        let file = folder.write("authority.pem", &issuer.pem());
        Self { issuer, folder, file }
    }

    /// A certificate for a server of these names, in files called after `file`; they are replaced
    /// if they are there.
    pub fn server(&self, file: &str, names: &[&str]) -> Identity {
        self.sign(file, names, 1, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for a client, likewise.
    pub fn client(&self, file: &str, serial: u8) -> Identity {
        self.sign(file, &[], serial, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        file: &str,
        names: &[&str],
        serial: u8,
        usage: ExtendedKeyUsagePurpose,
    ) -> Identity {
        let names: Vec<String> = names.iter().map(|name| String::from(*name)).collect();
        let mut params = CertificateParams::new(names).expect("names that may stand there");
        params.distinguished_name.push(DnType::CommonName, file);
        params.serial_number = Some(SerialNumber::from(vec![serial]));
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("there is randomness");
        let signed = params.signed_by(&key, &self.issuer).expect("the authority may sign");
        Identity {
            certificate: self.folder.write(&format!("{file}.pem"), &signed.pem()),
            key: self.folder.write(&format!("{file}.key"), &key.serialize_pem()),
            chain: signed.der().clone(),
            secret: key.serialize_der(),
        }
    }

    /// Writes the list of what it has taken back, and returns where it is.
    pub fn revoke(&self, serials: &[u8]) -> String {
        let revoked = |serial: &u8| RevokedCertParams {
            serial_number: SerialNumber::from(vec![*serial]),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(vec![1]),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let signed = list.signed_by(&self.issuer).and_then(|list| list.pem());
        self.folder.write("revoked.pem", &signed.expect("the authority may sign"))
    }

    /// Any other file beside the certificates.
    pub fn write(&self, name: &str, text: &str) -> String {
        self.folder.write(name, text)
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).expect("the file is there");
    }

    /// What a client needs that trusts this authority, and shows a certificate if it has one.
    pub fn trust(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        shown: Option<&Identity>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a certificate of an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .expect("versions that there are")
            .with_root_certificates(roots);
        let Some(identity) = shown else { return Arc::new(config.with_no_client_auth()) };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.secret.clone()));
        let config = config.with_client_auth_cert(vec![identity.chain.clone()], key);
        Arc::new(config.expect("a certificate and its key"))
    }
}
