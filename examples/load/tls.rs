//! TLS as the user asked for it: whom to trust, what to show, what to agree on.

use std::path::PathBuf;
use std::sync::Arc;

use wheelhouse_tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use wheelhouse_tls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use wheelhouse_tls::rustls::pki_types::UnixTime;
use wheelhouse_tls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use wheelhouse_tls::{
    CertificateDer, ServerName, certs_from_pem, client_config, key_from_pem, roots_from_pem,
    system_roots,
};

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Take any certificate, whoever shows it
    #[arg(long)]
    insecure: bool,
    /// Trust the certificates of this PEM file, instead of those that the system trusts
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca_file: Option<PathBuf>,
    /// The name to ask for and to check [default: the host of the target]
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// A certificate to show to the server, as a PEM file
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// What a connector needs for one host.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

impl TlsArgs {
    /// The first of these options that the user wrote.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let all = [
            (self.insecure, "--insecure"),
            (self.ca_file.is_some(), "--ca-file"),
            (self.sni.is_some(), "--sni"),
            (self.cert.is_some(), "--cert"),
        ];
        all.into_iter().find_map(|(is_given, name)| is_given.then_some(name))
    }

    /// For a host. The error is for the user's eyes.
    pub(crate) fn tls(&self, host: &str, protocols: &[&[u8]]) -> Result<Tls, String> {
        let roots = match &self.ca_file {
            _ if self.insecure => wheelhouse_tls::rustls::RootCertStore::empty(),
            Some(path) => roots_from_pem(path).map_err(|error| format!("`--ca-file`: {error}"))?,
            None => system_roots().map_err(|error| {
                format!("{error}; name those to trust by `--ca-file`, or none by `--insecure`")
            })?,
        };
        let mut config = client_config(roots);
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            let chain = certs_from_pem(cert).map_err(|error| format!("`--cert`: {error}"))?;
            let key = key_from_pem(key).map_err(|error| format!("`--key`: {error}"))?;
            let provider = ring::default_provider();
            let signer =
                wheelhouse_tls::rustls::sign::CertifiedKey::from_der(chain, key, &provider)
                    .map_err(|error| format!("`--cert` and `--key` do not fit: {error}"))?;
            let resolver = wheelhouse_tls::rustls::sign::SingleCertAndKey::from(signer);
            config.client_auth_cert_resolver = Arc::new(resolver);
        }
        if self.insecure {
            let verifier = Arc::new(AnyCertificate(ring::default_provider()));
            config.dangerous().set_certificate_verifier(verifier);
        }
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let host = self.sni.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(host.clone())
            .map_err(|_| format!("`{host}` is no name for TLS; give one by `--sni`"))?;
        Ok(Tls { config: Arc::new(config), name })
    }
}

/// Takes any certificate. That whoever shows it has its key is still checked.
#[derive(Debug)]
struct AnyCertificate(CryptoProvider);

impl ServerCertVerifier for AnyCertificate {
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
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
