//! A registry of a case's own: Debian's `docker-registry`, where the engine can reach it.
//!
//! A test engine lives in a network namespace of its own, so the registry runs in that namespace:
//! the engine finds it at `127.0.0.1`, which engines trust without TLS, and the case looks into it
//! from outside, at the host where the engine's published ports answer.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::engine::{Engine, setting};
use crate::http;

/// Longest time for the registry to listen.
const LIMIT: Duration = Duration::from_secs(30);

/// The user that [`Access::Login`] lets in.
pub const USER: &str = "compose";
/// The user's password.
pub const PASSWORD: &str = "correct horse";
/// Its bcrypt digest, of the lowest cost: the only form that the registry reads.
const DIGEST: &str = "$2b$04$yGE.nFdBNKkIcTF4QC3tl.6o6MYrqXVxtuDEWlWbx9WuoqknWi92.";

/// Who may use the registry, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without TLS.
    Open,
    /// [`USER`] with [`PASSWORD`], without TLS.
    Login,
    /// Anybody, with TLS and the certificate of an authority of the registry's own, at an address
    /// that engines do not trust by themselves.
    Tls,
}

/// A running registry. Dropping it stops it and removes what it holds.
pub struct Registry {
    child: Child,
    folder: tempfile::TempDir,
    /// Where certificates for the engine were put.
    trusted: Option<PathBuf>,
    access: Access,
    host: String,
    outside: String,
    port: u16,
}

impl Registry {
    /// Whether one can be started here.
    #[must_use]
    pub fn is_possible() -> bool {
        program().is_some()
    }

    /// Starts one where the engine reaches it.
    ///
    /// # Errors
    /// When the program is missing or does not listen in time.
    pub fn start(engine: &Engine, access: Access) -> Result<Self, String> {
        let space = setting(&format!("{}_NETNS", engine.name.to_uppercase()));
        // On loopback no certificate is asked for.
        let outside = if access == Access::Tls && space.is_none() { own_address()? } else { engine.ports_host.clone() };
        Self::start_in(space.as_deref(), &outside, access)
    }

    /// Starts one on the host itself, for programs that speak to a registry without an engine.
    ///
    /// # Errors
    /// When the program is missing or does not listen in time.
    pub fn start_on_host(access: Access) -> Result<Self, String> {
        Self::start_in(None, "127.0.0.1", access)
    }

    fn start_in(space: Option<&str>, outside: &str, access: Access) -> Result<Self, String> {
        let program = program().ok_or("`docker-registry` is not installed")?;
        let folder =
            tempfile::Builder::new().prefix("compose-registry-").tempdir().map_err(|error| error.to_string())?;
        let text = |name: &str| folder.path().join(name).display().to_string();
        // Loopback is where engines do not insist on a certificate that they can verify.
        let host = if access == Access::Tls { outside } else { "127.0.0.1" };
        let rest = match access {
            Access::Open => String::new(),
            Access::Login => {
                write(&text("users"), &format!("{USER}:{DIGEST}\n"))?;
                format!("auth: {{htpasswd: {{realm: tests, path: {}}}}}\n", text("users"))
            }
            Access::Tls => {
                certificate(folder.path(), host)?;
                String::new()
            }
        };
        let tls = match access {
            Access::Tls => format!(", tls: {{certificate: {}, key: {}}}", text("server.pem"), text("server.key")),
            _ => String::new(),
        };
        write(
            &text("config.yml"),
            &format!(
                "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: '0.0.0.0:0', secret: tests{tls}}}\n{rest}",
                text("data")
            ),
        )?;
        let mut command = match space {
            Some(space) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={space}")).arg(program);
                command
            }
            None => Command::new(program),
        };
        let mut child = command
            .arg("serve")
            .arg(text("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("docker-registry: {error}"))?;
        let port = child.stderr.take().ok_or("no standard error".to_owned()).and_then(listening);
        let mut registry =
            Self { child, folder, trusted: None, access, host: host.to_owned(), outside: outside.to_owned(), port: 0 };
        registry.port = port?;
        Ok(registry)
    }

    /// Its name in image references: `HOST:PORT`, as the engine reaches it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// A reference of an image in it.
    #[must_use]
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address())
    }

    /// The certificate of its authority ([`Access::Tls`]).
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Makes engines of this machine trust its authority, until it is dropped.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn trust(&mut self) -> Result<(), String> {
        // Engines read the folder at each request.
        let folder = Path::new("/etc/docker/certs.d").join(self.address());
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        std::fs::copy(self.authority(), folder.join("ca.crt")).map_err(|error| error.to_string())?;
        self.trusted = Some(folder);
        Ok(())
    }

    /// Puts an image that the engine has into the registry, past the program under test.
    ///
    /// # Errors
    /// When the Docker CLI fails.
    pub fn seed(&self, engine: &Engine, image: &str, name: &str) -> Result<String, String> {
        let reference = self.image(name);
        let settings = self.folder.path().join("client");
        std::fs::create_dir_all(&settings).map_err(|error| error.to_string())?;
        write(&settings.join("config.json").display().to_string(), &self.client_settings(PASSWORD))?;
        engine.docker(&["tag", image, &reference])?;
        let pushed = engine.docker(&["--config", &settings.display().to_string(), "push", "--quiet", &reference]);
        engine.docker(&["image", "rm", &reference])?;
        pushed.map(|_| reference)
    }

    /// A client's `config.json` that logs in with the password.
    #[must_use]
    pub fn client_settings(&self, password: &str) -> String {
        serde_json::json!({"auths": {self.address(): {"auth": base64(&format!("{USER}:{password}"))}}}).to_string()
    }

    /// The tags of a repository, sorted; none if it is not there. Not for [`Access::Tls`].
    ///
    /// # Errors
    /// When the registry does not answer.
    pub fn tags(&self, name: &str) -> Result<Vec<String>, String> {
        let answer = self.get(&format!("/v2/{name}/tags/list"))?;
        let body: Value = serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))?;
        let list = body["tags"].as_array().into_iter().flatten();
        let mut tags: Vec<String> = list.filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
        tags.sort();
        Ok(tags)
    }

    /// What it says at a path. Not for [`Access::Tls`].
    ///
    /// # Errors
    /// When the registry does not answer.
    pub fn get(&self, path: &str) -> Result<String, String> {
        let login = match self.access {
            Access::Login => format!("Authorization: Basic {}\r\n", base64(&format!("{USER}:{PASSWORD}"))),
            _ => String::new(),
        };
        http::get_with(&self.outside, self.port, path, &login).map(|answer| answer.body)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = &self.trusted {
            let _ = std::fs::remove_dir_all(folder);
            // Only where nothing else is in them.
            let _ = std::fs::remove_dir("/etc/docker/certs.d");
        }
    }
}

/// A port of this machine at which nobody listens.
///
/// # Errors
/// When there is none.
pub fn silent_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// An address of this machine beside loopback.
fn own_address() -> Result<String, String> {
    let output = Command::new("ip").args(["-4", "-o", "addr", "show", "scope", "global"]).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let address =
        text.split_whitespace().skip_while(|word| *word != "inet").nth(1).and_then(|word| word.split('/').next());
    address.map(str::to_owned).ok_or_else(|| "this machine has no address".to_owned())
}

fn program() -> Option<&'static str> {
    ["/usr/bin/docker-registry", "/usr/local/bin/docker-registry"].into_iter().find(|path| Path::new(path).exists())
}

fn write(path: &str, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{path}: {error}"))
}

/// Reads the port in the registry's log, and goes on reading so that the pipe never fills.
fn listening(log: impl Read + Send + 'static) -> Result<u16, String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let mut read = String::new();
    while let Ok(line) = receiver.recv_timeout(LIMIT) {
        // msg="listening on [::]:34797, tls"
        let port = line.split_once("listening on ").and_then(|(_, rest)| {
            let address = rest.split(['"', ',']).next()?;
            address.rsplit(':').next()?.parse().ok()
        });
        if let Some(port) = port {
            return Ok(port);
        }
        read.push_str(&line);
        read.push('\n');
    }
    Err(format!("the registry does not listen:\n{read}"))
}

/// An authority, and a certificate of it for the host.
fn certificate(folder: &Path, host: &str) -> Result<(), String> {
    write(&folder.join("extension").display().to_string(), &format!("subjectAltName=IP:{host}"))?;
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for arguments in [
        format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=compose-tests -days 2"),
        format!("req {key} -keyout server.key -out request.pem -subj /CN={host}"),
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extension -out server.pem"
            .to_owned(),
    ] {
        let log = folder.join("openssl.log");
        let status = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).map_err(|error| error.to_string())?)
            .status()
            .map_err(|error| format!("openssl: {error}"))?;
        if !status.success() {
            return Err(format!("openssl {arguments}: {}", std::fs::read_to_string(&log).unwrap_or_default()));
        }
    }
    Ok(())
}

/// Standard Base64 with padding.
#[must_use]
pub fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for group in text.as_bytes().chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) & 63;
            let letter = ALPHABET.get(index as usize).copied().unwrap_or(b'=');
            encoded.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_padded() {
        for (text, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(text), encoded);
        }
    }
}
