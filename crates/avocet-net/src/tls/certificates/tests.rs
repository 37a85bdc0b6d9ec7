use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::testing::{Authority, Folder};

#[test]
fn keys_of_all_three_formats_are_read() {
    let folder = Folder::new();
    let read = |label: &str| {
        let body = STANDARD.encode("not looked at");
        let before = "text\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let text = format!("{before}-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        private_key("key", &folder.write("key", text))
    };
    assert!(matches!(read("PRIVATE KEY"), Ok(PrivateKeyDer::Pkcs8(_))));
    assert!(matches!(read("RSA PRIVATE KEY"), Ok(PrivateKeyDer::Pkcs1(_))));
    assert!(matches!(read("EC PRIVATE KEY"), Ok(PrivateKeyDer::Sec1(_))));
    assert!(read("PUBLIC KEY").is_err());
}

#[test]
fn all_certificates_of_a_file_are_read() {
    let folder = Folder::new();
    let one = Authority::new("one").certificate.pem();
    let other = Authority::new("other").certificate.pem();
    let path = folder.write("ca.pem", format!("# one\n{one}\n# other\r\n{other}"));
    assert_eq!(authorities("ca", &path).unwrap().len(), 2);
}
