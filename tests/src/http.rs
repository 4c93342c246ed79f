//! The few HTTP requests that the suite makes itself: to an engine's socket, and to published ports.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

/// A response: status and body.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Sends a request without a body to a Unix socket.
///
/// # Errors
/// When the socket does not answer.
pub fn over_socket(socket: &str, method: &str, path: &str) -> Result<Response, String> {
    let stream = UnixStream::connect(socket).map_err(|error| format!("{socket}: {error}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(|error| error.to_string())?;
    exchange(stream, "engine", method, path, "", "")
}

/// Reads `http://HOST:PORT/PATH`.
///
/// # Errors
/// When nobody answers within five seconds.
pub fn get(host: &str, port: u16, path: &str) -> Result<Response, String> {
    request(host, port, "GET", path, "")
}

/// Sends text to `http://HOST:PORT/PATH`.
///
/// # Errors
/// When nobody answers within five seconds.
pub fn post(host: &str, port: u16, path: &str, body: &str) -> Result<Response, String> {
    request(host, port, "POST", path, body)
}

/// Reads `http://HOST:PORT/PATH` with further header lines, each ended by CR and LF.
///
/// # Errors
/// When nobody answers within five seconds.
pub fn get_with(host: &str, port: u16, path: &str, headers: &str) -> Result<Response, String> {
    request_with(host, port, "GET", path, headers, "")
}

fn request(host: &str, port: u16, method: &str, path: &str, body: &str) -> Result<Response, String> {
    request_with(host, port, method, path, "", body)
}

fn request_with(
    host: &str,
    port: u16,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Result<Response, String> {
    let address = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("{host}:{port}: {error}"))?
        .next()
        .ok_or_else(|| format!("{host}: no address"))?;
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
        .map_err(|error| format!("{host}:{port}: {error}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|error| error.to_string())?;
    exchange(stream, host, method, path, headers, body)
}

fn exchange(
    mut stream: impl Read + Write,
    host: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Result<Response, String> {
    // HTTP/1.0: the answer comes whole and ends with the connection.
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| format!("no HTTP answer: {text:?}"))?;
    let status = head
        .split_whitespace()
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| format!("no HTTP status: {head:?}"))?;
    Ok(Response { status, body: body.to_owned() })
}

/// Percent-encodes what may stand in a query value.
#[must_use]
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Reads a JSON document from an engine.
///
/// # Errors
/// When the engine does not answer with JSON and a status below 400.
pub fn json(socket: &str, path: &str) -> Result<Value, String> {
    let response = over_socket(socket, "GET", path)?;
    if response.status >= 400 {
        return Err(format!("GET {path}: {} {}", response.status, response.body));
    }
    serde_json::from_str(&response.body).map_err(|error| format!("GET {path}: {error}"))
}
