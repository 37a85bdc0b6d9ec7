//! What tests of several layers need: certificates, and two ends that talk to each other.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType,
    IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};

use crate::{
    ClientWrapping, Incoming, LayerError, Layers, TlsClient, TlsClientOptions, TlsOptions,
    TlsServer, Wrapping,
};

/// A folder that is gone with the test.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("avocet-net-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}

/// An authority that signs certificates.
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names and its key, PEM.
    pub(crate) fn issue(&self, names: &[&str], serial: u64) -> (String, String) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        self.sign(&params)
    }

    pub(crate) fn sign(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A list of revoked certificates that is to be followed by another in this year, PEM.
    pub(crate) fn revoke(&self, serial: u64, next_year: i32) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(next_year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// An authority, and a server `localhost` that it has signed.
pub(crate) struct World {
    pub(crate) folder: Folder,
    pub(crate) authority: Authority,
    pub(crate) server: TlsOptions,
    pub(crate) client: TlsClientOptions,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = Folder::new();
        let authority = Authority::new("our authority");
        let (certificate, key) = authority.issue(&["localhost"], 1);
        let server = TlsOptions {
            certificate: folder.write("server.pem", certificate),
            key: folder.write("server.key", key),
            ..TlsOptions::default()
        };
        let client = TlsClientOptions {
            server_name: "localhost".to_owned(),
            ca: Some(folder.write("ca.pem", authority.certificate.pem())),
            ..TlsClientOptions::default()
        };
        Self { folder, authority, server, client }
    }

    pub(crate) fn server(&self) -> Arc<TlsServer> {
        TlsServer::new(self.server.clone()).unwrap()
    }

    /// The files of a client's certificate.
    pub(crate) fn client_certificate(
        &self,
        authority: &Authority,
        serial: u64,
    ) -> (PathBuf, PathBuf) {
        let (certificate, key) = authority.issue(&["a client"], serial);
        let name = format!("client-{serial}");
        (
            self.folder.write(&format!("{name}.pem"), certificate),
            self.folder.write(&format!("{name}.key"), key),
        )
    }

    pub(crate) fn client(&self) -> ClientWrapping {
        let tls = Some(TlsClient::new(&self.client).unwrap());
        ClientWrapping { tls, websocket: None }
    }
}

/// One end of a stream.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) layers: Box<Layers>,
    pub(crate) plain: Vec<u8>,
    pub(crate) raw: Vec<u8>,
    pub(crate) incoming: Incoming,
    pub(crate) error: Option<LayerError>,
}

impl End {
    pub(crate) fn server(wrapping: &Wrapping) -> Self {
        Self::new(Layers::accept(wrapping).unwrap(), Vec::new())
    }

    pub(crate) fn client(wrapping: &ClientWrapping) -> Self {
        let mut raw = Vec::new();
        let layers = Layers::connect(wrapping, &mut raw).unwrap().unwrap();
        Self::new(layers, raw)
    }

    fn new(layers: Box<Layers>, raw: Vec<u8>) -> Self {
        Self { layers, plain: Vec::new(), raw, incoming: Incoming::More, error: None }
    }

    /// Takes bytes in pieces of this size.
    pub(crate) fn receive(&mut self, bytes: &[u8], size: usize) {
        for piece in bytes.chunks(size) {
            let mut piece = piece.to_vec();
            match self.layers.receive(&mut piece, &mut self.plain, &mut self.raw) {
                Ok(incoming) => self.incoming = incoming,
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
    }

    #[track_caller]
    pub(crate) fn seal(&mut self, plain: &[u8]) {
        self.layers.seal(plain, &mut self.raw).unwrap();
    }

    pub(crate) fn close(&mut self) {
        self.layers.close(&mut self.raw);
    }

    /// What has come until now.
    pub(crate) fn take_plain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.plain)
    }

    pub(crate) fn take_raw(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.raw)
    }
}

/// Carries what two ends say to each other, in pieces of this size, until they are silent.
pub(crate) fn exchange(one: &mut End, other: &mut End, size: usize) {
    while !one.raw.is_empty() || !other.raw.is_empty() {
        other.receive(&one.take_raw(), size);
        one.receive(&other.take_raw(), size);
    }
}

/// Bytes that are not all alike.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}
