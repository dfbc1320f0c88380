//! Configurations from files: what is read, and what is said of files that are unfit.

mod support;

use std::fs;
use std::io;
use std::path::PathBuf;

use support::Identity;
use wheelhouse_tls::{certs_from_pem, key_from_pem, roots_from_pem, server_config};

/// A file that is gone when the test is over.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let path = std::env::temp_dir().join(format!("wheelhouse-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn certificates_and_keys_are_read_from_pem() {
    let (first, second) = (Identity::new(), Identity::new());
    let pem = |identity: &Identity| identity.signed.cert.pem();
    let chain = File::new("chain.pem", &(pem(&first) + &pem(&second)));
    let key = File::new("key.pem", &first.signed.signing_key.serialize_pem());

    let certs = certs_from_pem(&chain.0).unwrap();
    assert_eq!(certs, [first.cert(), second.cert()]);
    assert_eq!(roots_from_pem(&chain.0).unwrap().len(), 2);
    let config = server_config(certs, key_from_pem(&key.0).unwrap());
    assert!(config.is_ok());
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_path() {
    let missing = std::env::temp_dir().join("wheelhouse-there-is-no-such.pem");
    let error = certs_from_pem(&missing).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("wheelhouse-there-is-no-such.pem"), "{error}");

    let empty = File::new("empty.pem", "just some text\n");
    let error = certs_from_pem(&empty.0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().ends_with("empty.pem: it holds no certificate"), "{error}");
    let error = key_from_pem(&empty.0).unwrap_err().to_string();
    assert!(error.ends_with("it holds no private key that is not encrypted"), "{error}");

    let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    let broken = File::new("broken.pem", broken);
    let error = roots_from_pem(&broken.0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");

    let no_cert = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_cert = File::new("no-cert.pem", no_cert);
    let error = roots_from_pem(&no_cert.0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
}

#[test]
fn a_key_must_fit_its_certificate() {
    let key = File::new("other-key.pem", &Identity::new().signed.signing_key.serialize_pem());
    let key = key_from_pem(&key.0).unwrap();
    let error = server_config(vec![Identity::new().cert()], key).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
}
