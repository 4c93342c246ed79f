//! The client's side of TLS: whom to trust, and as whom to present oneself. The rules are used for
//! registries here, and by the Docker backend for engines behind `tcp://`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::error::{RegistryError, Result};

/// Where systems keep the authorities that everybody trusts.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// How to secure connections to one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsRules {
    /// PEM files of authorities to trust, beside the system's.
    pub authorities: Vec<PathBuf>,
    /// Trust no authority of the system's.
    pub only_these: bool,
    /// Certificate and key to present, as PEM files; the key may be in the same file.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Any certificate will do; signatures are still checked.
    pub skip_verification: bool,
}

impl TlsRules {
    /// Reads the files and puts together what a connection needs.
    ///
    /// # Errors
    /// [`RegistryError::Local`], if a file cannot be read or its certificates cannot be used.
    pub fn configuration(&self) -> Result<Arc<ClientConfig>> {
        let provider = Arc::new(ring::default_provider());
        let refused = |cause: Error| RegistryError::local(format!("the TLS certificates cannot be used: {cause}"));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(refused)?;
        let builder = if self.skip_verification {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAll(provider)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let configuration = match &self.client {
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|cause| unreadable(key, &cause))?;
                builder.with_client_auth_cert(chain, key).map_err(refused)?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(configuration))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut store = RootCertStore::empty();
        let system = SYSTEM_AUTHORITIES.map(Path::new).into_iter().find(|path| path.is_file());
        if let Some(path) = system.filter(|_| !self.only_these) {
            store.add_parsable_certificates(certificates(path)?);
        }
        for path in &self.authorities {
            for certificate in certificates(path)? {
                store.add(certificate).map_err(|cause| unreadable(path, &cause))?;
            }
        }
        Ok(store)
    }
}

fn unreadable(path: &Path, cause: &dyn std::fmt::Display) -> RegistryError {
    RegistryError::local(format!("cannot read the TLS file {}: {cause}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|cause| unreadable(path, &cause))
}

/// Accepts every certificate, as the user asked for it; signatures are still checked.
#[derive(Debug)]
struct AcceptAll(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
