//! Opening byte streams to an engine: Unix socket, TCP, TLS, and ssh with the engine's
//! `docker system dial-stdio` at the far end.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};

use compose_runtime::RuntimeError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::endpoint::{DEFAULT_HOST, Endpoint};
use crate::error;
use crate::tls;

/// A byte stream in both directions.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Where the engine is.
#[derive(Clone)]
pub(crate) enum Address {
    /// Path of a Unix socket.
    Unix(PathBuf),
    /// Host and port.
    Tcp(String, u16),
    /// Host and port, and the client's side of TLS.
    Tls(String, u16, Arc<tls::Client>),
    /// The `ssh` program, its arguments, and the socket at the far end where one is named.
    Ssh(PathBuf, Vec<String>, Option<String>),
}

impl Address {
    /// Reads an endpoint's host.
    pub(crate) fn of(endpoint: &Endpoint) -> Result<Self, RuntimeError> {
        let host = if endpoint.host.is_empty() { DEFAULT_HOST } else { endpoint.host.as_str() };
        let invalid =
            |why: &str| RuntimeError::Invalid { message: format!("unable to parse docker host `{host}`: {why}") };
        let Some((scheme, rest)) = host.split_once("://") else {
            return Err(invalid("write it with its scheme, as in unix:///var/run/docker.sock or tcp://host:2375"));
        };
        match scheme {
            "unix" if rest.is_empty() => Ok(Self::Unix(PathBuf::from("/var/run/docker.sock"))),
            "unix" => Ok(Self::Unix(PathBuf::from(rest))),
            "tcp" | "http" | "https" => {
                let tls = endpoint.tls.is_some() || scheme == "https";
                let authority = rest.split('/').next().unwrap_or_default();
                let default = if tls { 2376 } else { 2375 };
                let (name, port) = host_and_port(authority, default).ok_or_else(|| invalid("the port is no number"))?;
                if name.is_empty() {
                    return Err(invalid("the host is missing"));
                }
                if tls {
                    let files = endpoint.tls.clone().unwrap_or_default();
                    Ok(Self::Tls(name, port, Arc::new(tls::Client::new(&files)?)))
                } else {
                    Ok(Self::Tcp(name, port))
                }
            }
            "ssh" => {
                let (authority, socket) = match rest.split_once('/') {
                    Some((authority, path)) if !path.is_empty() => (authority, Some(format!("unix:///{path}"))),
                    Some((authority, _)) => (authority, None),
                    None => (rest, None),
                };
                let (user, place) = match authority.rsplit_once('@') {
                    Some((user, place)) => (Some(user), place),
                    None => (None, authority),
                };
                if user.is_some_and(|user| user.contains(':')) {
                    return Err(invalid("a password in the address is not supported: use keys"));
                }
                let (name, port) = host_and_port(place, 0).ok_or_else(|| invalid("the port is no number"))?;
                if name.is_empty() || name.starts_with('-') {
                    return Err(invalid("the host is missing"));
                }
                let mut arguments = vec!["-o".to_owned(), "ConnectTimeout=30".to_owned(), "-T".to_owned()];
                if let Some(user) = user {
                    arguments.extend(["-l".to_owned(), user.to_owned()]);
                }
                if port != 0 {
                    arguments.extend(["-p".to_owned(), port.to_string()]);
                }
                arguments.extend(["--".to_owned(), name]);
                let program = endpoint.ssh_program.clone().unwrap_or_else(|| PathBuf::from("ssh"));
                Ok(Self::Ssh(program, arguments, socket))
            }
            _ => Err(invalid("the scheme must be unix, tcp, http, https or ssh")),
        }
    }

    /// The value of the `Host` header.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Unix(_) | Self::Ssh(..) => "docker.example.com".to_owned(),
            Self::Tcp(name, port) | Self::Tls(name, port, _) if name.contains(':') => format!("[{name}]:{port}"),
            Self::Tcp(name, port) | Self::Tls(name, port, _) => format!("{name}:{port}"),
        }
    }

    /// How many connections unary calls may use at once.
    pub(crate) const fn connections(&self) -> usize {
        if matches!(self, Self::Ssh(..)) { 4 } else { 8 }
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> io::Result<Box<dyn Wire>> {
        match self {
            Self::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Self::Tcp(name, port) => Ok(Box::new(tcp(name, *port).await?)),
            Self::Tls(name, port, client) => client.wrap(name, tcp(name, *port).await?).await,
            Self::Ssh(program, arguments, socket) => Ok(Box::new(Dialled::new(program, arguments, socket.as_deref())?)),
        }
    }
}

async fn tcp(name: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((name, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Splits `host[:port]` with brackets around an IPv6 address.
fn host_and_port(text: &str, default: u16) -> Option<(String, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (name, rest) = rest.split_once(']')?;
        let port = match rest.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None => default,
        };
        return Some((name.to_owned(), port));
    }
    match text.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => Some((name.to_owned(), port.parse().ok()?)),
        _ => Some((text.to_owned(), default)),
    }
}

/// A program whose standard streams are the connection.
struct Dialled {
    // Killed when the connection is dropped.
    _child: Child,
    // A pipe is closed by dropping it: that is how its reader sees the end.
    input: Option<ChildStdin>,
    output: ChildStdout,
    /// What the program says of its failure; `None` once it has answered.
    complaint: Option<JoinHandle<String>>,
}

impl Dialled {
    fn new(program: &Path, arguments: &[String], socket: Option<&str>) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).arg("docker");
        if let Some(socket) = socket {
            command.args(["--host", socket]);
        }
        command.args(["system", "dial-stdio"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|cause| io::Error::new(cause.kind(), format!("cannot run `{}`: {cause}", program.display())))?;
        let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("`ssh` was started without streams"));
        };
        let complaint = tokio::spawn(async move {
            let mut text = Vec::new();
            // More than this tells nobody more; the rest is drained so that the program is not held up.
            let mut errors = errors.take(4096);
            if let Err(cause) = errors.read_to_end(&mut text).await {
                return cause.to_string();
            }
            let mut rest = errors.into_inner();
            if let Err(cause) = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await {
                tracing::debug!(%cause, "the error output of ssh ended early");
            }
            String::from_utf8_lossy(&text).trim().to_owned()
        });
        Ok(Self { _child: child, input: Some(input), output, complaint: Some(complaint) })
    }

    /// What the program has said instead of an answer, once it has ended; ready with `None` where it answered.
    fn poll_complaint(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Error>> {
        let Some(complaint) = self.complaint.as_mut() else { return Poll::Ready(None) };
        let text = std::task::ready!(Pin::new(complaint).poll(context)).unwrap_or_default();
        self.complaint = None;
        let text = if text.is_empty() { "ssh ended without a word".to_owned() } else { text };
        Poll::Ready(Some(io::Error::other(text)))
    }
}

impl AsyncRead for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.output).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.complaint = None;
            return Poll::Ready(Ok(()));
        }
        // Nothing came: what the program has said instead is the error.
        self.poll_complaint(context).map(|complaint| complaint.map_or(Ok(()), Err))
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(input) = self.input.as_mut() else {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::BrokenPipe)));
        };
        match std::task::ready!(Pin::new(input).poll_write(context, bytes)) {
            // It ended before it was asked: its words say why.
            Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => {
                self.poll_complaint(context).map(|complaint| Err(complaint.unwrap_or(cause)))
            }
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.as_mut().map_or(Poll::Ready(Ok(())), |input| Pin::new(input).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.as_mut().poll_flush(context))?;
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

/// The address as people write it.
pub(crate) fn display(endpoint: &Endpoint) -> String {
    if endpoint.host.is_empty() { DEFAULT_HOST.to_owned() } else { endpoint.host.clone() }
}

/// Turns a failure to open into the error that says what to do.
pub(crate) fn failed_to_open(address: &str, cause: &io::Error) -> RuntimeError {
    error::unreachable(address, cause)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn hosts_are_read_with_their_default_ports() {
        let of = |text: &str| match Address::of(&Endpoint::at(text)) {
            Ok(Address::Unix(path)) => format!("unix {}", path.display()),
            Ok(Address::Tcp(name, port)) => format!("tcp {name} {port}"),
            Ok(Address::Tls(name, port, _)) => format!("tls {name} {port}"),
            Ok(Address::Ssh(_, arguments, socket)) => format!("ssh {} {socket:?}", arguments.join(" ")),
            Err(error) => error.to_string(),
        };
        assert_eq!(of(""), "unix /var/run/docker.sock");
        assert_eq!(of("unix:///run/x.sock"), "unix /run/x.sock");
        assert_eq!(of("tcp://h"), "tcp h 2375");
        assert_eq!(of("tcp://h:1/"), "tcp h 1");
        assert_eq!(of("http://[::1]:99"), "tcp ::1 99");
        assert_eq!(of("ssh://me@h:22"), "ssh -o ConnectTimeout=30 -T -l me -p 22 -- h None");
        assert_eq!(of("ssh://h/run/d.sock"), "ssh -o ConnectTimeout=30 -T -- h Some(\"unix:///run/d.sock\")");
        assert!(of("ssh://-oProxyCommand=x").contains("host is missing"));
        assert!(of("localhost:2375").contains("scheme"));
        assert!(of("npipe:////./pipe/x").contains("scheme must be"));
        assert!(of("tcp://h:x").contains("port is no number"));
    }

    #[tokio::test]
    async fn a_program_that_ends_before_it_is_asked_says_why() {
        let script = ["-c", "exec 0<&-; echo 'Host key verification failed.' >&2; exit 255"].map(str::to_owned);
        let mut dialled = Dialled::new(Path::new("sh"), &script, None).expect("started");
        // More than a pipe takes.
        let error = dialled.write_all(&[0; 1 << 20]).await.expect_err("nobody reads");
        assert_eq!(error.to_string(), "Host key verification failed.");
    }
}
