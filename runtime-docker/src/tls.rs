//! The client's side of TLS for `tcp://` and `https://` engines.

use std::io;
use std::path::Path;
use std::sync::Arc;

use compose_runtime::RuntimeError;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::endpoint::TlsFiles;
use crate::error;
use crate::wire::Wire;

/// Where systems keep the authorities that everybody trusts.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Certificates and rules of a client.
pub(crate) struct Client {
    connector: TlsConnector,
}

impl Client {
    /// Reads the certificates.
    pub(crate) fn new(files: &TlsFiles) -> Result<Self, RuntimeError> {
        let provider = Arc::new(ring::default_provider());
        let refused = |cause: Error| error::local(format!("the TLS certificates cannot be used: {cause}"));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(refused)?;
        let builder = if files.skip_verification {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAll(provider)))
        } else {
            builder.with_root_certificates(authorities(files)?)
        };
        let config = match (&files.certificate, &files.key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|cause| unreadable(key, &cause))?;
                builder.with_client_auth_cert(chain, key).map_err(refused)?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Does the handshake.
    pub(crate) async fn wrap(&self, name: &str, stream: TcpStream) -> io::Result<Box<dyn Wire>> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(self.connector.connect(name, stream).await?))
    }
}

fn unreadable(path: &Path, cause: &dyn std::fmt::Display) -> RuntimeError {
    error::local(format!("cannot read the TLS file {}: {cause}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RuntimeError> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|cause| unreadable(path, &cause))
}

fn authorities(files: &TlsFiles) -> Result<RootCertStore, RuntimeError> {
    let mut store = RootCertStore::empty();
    if let Some(path) = &files.authority {
        for certificate in certificates(path)? {
            store.add(certificate).map_err(|cause| unreadable(path, &cause))?;
        }
        return Ok(store);
    }
    let system = SYSTEM_AUTHORITIES.map(Path::new).into_iter().find(|path| path.is_file());
    if let Some(path) = system {
        store.add_parsable_certificates(certificates(path)?);
    }
    Ok(store)
}

/// Accepts every certificate, as `DOCKER_TLS` without `DOCKER_TLS_VERIFY` asks; signatures are
/// still checked.
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
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
