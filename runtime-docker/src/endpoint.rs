//! Where an engine is and how to talk to it, as plain data. Reading the environment is the
//! CLI's job; contexts are resolved in [`crate::context`].

use std::path::PathBuf;
use std::time::Duration;

/// The socket that is used where nothing else is said.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// An engine's address with everything needed to talk to it.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// As in `DOCKER_HOST`: `unix://`, `tcp://`, `http://`, `https://` or `ssh://`; empty:
    /// [`DEFAULT_HOST`].
    pub host: String,
    /// Certificates; a `tcp://` host with these speaks TLS.
    pub tls: Option<TlsFiles>,
    /// API version to use instead of a negotiated one (`DOCKER_API_VERSION`), `1.44`.
    pub api_version: Option<String>,
    /// Docker's configuration directory (`DOCKER_CONFIG`, else `~/.docker`).
    pub config_directory: PathBuf,
    /// Registry credentials as JSON that take precedence over the directory's
    /// (`DOCKER_AUTH_CONFIG`).
    pub auth_config: Option<String>,
    /// Platform of containers and builds that name none (`DOCKER_DEFAULT_PLATFORM`).
    pub default_platform: String,
    /// Further request headers (`DOCKER_CUSTOM_HEADERS`, `HttpHeaders` of the configuration).
    pub headers: Vec<(String, String)>,
    /// Why this engine was chosen, for people (`DOCKER_HOST`, `context "x"`, ...).
    pub why: String,
    /// The Docker context that named it, for programs that are run for us.
    pub context: Option<String>,
    /// Builds use the classic builder even where BuildKit is there (`DOCKER_BUILDKIT=0`).
    pub classic_builds: bool,
    /// The program for `ssh://` hosts; `None`: `ssh`.
    pub ssh_program: Option<PathBuf>,
    /// How long calls may take.
    pub deadlines: Deadlines,
}

impl Endpoint {
    /// The default socket of this machine.
    #[must_use]
    pub fn at(host: &str) -> Self {
        Self { host: host.to_owned(), ..Self::default() }
    }
}

/// Files of a TLS identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate authority (`ca.pem`); `None`: the endpoint's own certificate is not verified
    /// against any private authority.
    pub authority: Option<PathBuf>,
    /// Client certificate (`cert.pem`).
    pub certificate: Option<PathBuf>,
    /// Client key (`key.pem`).
    pub key: Option<PathBuf>,
    /// Accept whatever certificate the engine shows.
    pub skip_verification: bool,
}

impl TlsFiles {
    /// The usual file names in a directory, as far as they are there.
    #[must_use]
    pub fn in_directory(directory: &std::path::Path, skip_verification: bool) -> Self {
        let there = |name: &str| Some(directory.join(name)).filter(|path| path.is_file());
        Self { authority: there("ca.pem"), certificate: there("cert.pem"), key: there("key.pem"), skip_verification }
    }
}

/// How long calls may take before the engine counts as stalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Opening a connection.
    pub connect: Duration,
    /// Looking: lists, inspections, ping.
    pub look: Duration,
    /// Doing: create, start, connect, remove; beyond the wait that a stop itself asks for.
    pub work: Duration,
    /// A long call that is silent for so long is accompanied by a ping.
    pub watchdog: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            look: Duration::from_secs(60),
            work: Duration::from_secs(180),
            watchdog: Duration::from_secs(60),
        }
    }
}
