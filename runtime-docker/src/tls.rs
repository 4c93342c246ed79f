//! The client's side of TLS for `tcp://` and `https://` engines. Whom to trust is decided as for
//! registries, only that an authority of the user's own replaces those of the system.

use std::io;

use compose_registry::TlsRules;
use compose_runtime::RuntimeError;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::endpoint::TlsFiles;
use crate::error;
use crate::wire::Wire;

/// Certificates and rules of a client.
pub(crate) struct Client {
    connector: TlsConnector,
}

impl Client {
    /// Reads the certificates.
    pub(crate) fn new(files: &TlsFiles) -> Result<Self, RuntimeError> {
        let rules = TlsRules {
            authorities: files.authority.iter().cloned().collect(),
            only_these: files.authority.is_some(),
            client: files.certificate.clone().zip(files.key.clone()),
            skip_verification: files.skip_verification,
        };
        let configuration = rules.configuration().map_err(|cause| error::local(cause.to_string()))?;
        Ok(Self { connector: TlsConnector::from(configuration) })
    }

    /// Does the handshake.
    pub(crate) async fn wrap(&self, name: &str, stream: TcpStream) -> io::Result<Box<dyn Wire>> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(self.connector.connect(name, stream).await?))
    }
}
