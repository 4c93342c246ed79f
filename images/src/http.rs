//! Enough of HTTP/1.1: one request a connection, bodies with a length.

use crate::dns;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

const LIMIT: usize = 1 << 20;

/// What a client asks.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) client: String,
}

/// What is answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn text(body: impl Into<String>) -> Self {
        Self::new(200, "text/plain; charset=utf-8", body)
    }

    pub(crate) fn json(body: impl Into<String>) -> Self {
        Self::new(200, "application/json", body)
    }

    pub(crate) fn html(body: impl Into<String>) -> Self {
        Self::new(200, "text/html; charset=utf-8", body)
    }

    pub(crate) fn error(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    fn new(status: u16, kind: &'static str, body: impl Into<String>) -> Self {
        let mut body = body.into();
        if !body.ends_with('\n') {
            body.push('\n');
        }
        Self { status, kind, headers: BTreeMap::new(), body }
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.insert(name.to_owned(), value.into());
        self
    }
}

/// Answers on PORT (80) for ever; one line on stdout for each request.
pub(crate) fn serve(name: &str, handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Result<(), String> {
    let port = crate::setting("PORT", "80");
    let port: u16 = port.parse().map_err(|_| format!("PORT is no port: {port}"))?;
    let listener = TcpListener::bind(("0.0.0.0", port)).map_err(|error| format!("cannot listen on {port}: {error}"))?;
    println!("{name} {} listens on port {port}", crate::hostname());
    let handler = Arc::new(handler);
    for stream in listener.incoming().flatten() {
        let handler = Arc::clone(&handler);
        std::thread::spawn(move || {
            // A client that goes away in the middle is its own affair.
            let _ = answer_one(&stream, handler.as_ref());
        });
    }
    Ok(())
}

fn answer_one(stream: &TcpStream, handler: &dyn Fn(&Request) -> Answer) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let client = stream.peer_addr()?.ip().to_string();
    let mut reader = BufReader::new(stream.take(LIMIT as u64));
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let (method, path) = (method.to_owned(), path.to_owned());
    let headers = read_headers(&mut reader)?;
    let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length.min(LIMIT)];
    reader.read_exact(&mut body)?;
    let request = Request { method, path, body: String::from_utf8_lossy(&body).into_owned(), client };
    let answer = handler(&request);
    if request.path != "/healthz" {
        println!("{} {} {} {}", request.client, request.method, request.path, answer.status);
    }
    let mut head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n",
        answer.status,
        if answer.status < 400 { "OK" } else { "Error" },
        answer.kind,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {}\r\n", value.replace(['\r', '\n'], " ")));
    }
    let mut writer = stream;
    writer.write_all(head.as_bytes())?;
    writer.write_all(b"\r\n")?;
    if request.method != "HEAD" {
        writer.write_all(answer.body.as_bytes())?;
    }
    writer.flush()
}

fn read_headers(reader: &mut impl BufRead) -> std::io::Result<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(headers);
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.trim().to_lowercase(), value.trim().to_owned());
        }
    }
}

/// What another server answered.
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// GET of an `http://` address.
pub(crate) fn get(url: &str) -> Result<Received, String> {
    send("GET", url, "")
}

/// POST of a text to an `http://` address.
pub(crate) fn post(url: &str, body: &str) -> Result<Received, String> {
    send("POST", url, body)
}

fn send(method: &str, url: &str, body: &str) -> Result<Received, String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("not an http:// address: {url}"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    let port: u16 = port.parse().map_err(|_| format!("not a port: {port}"))?;
    // As any client does: the first address, and the next one when it does not answer.
    let mut last = format!("{name} has no address");
    for address in dns::look_up(name)? {
        match send_to(address, port, host, method, path, body) {
            Ok(received) => return Ok(received),
            Err(error) => last = format!("{name} ({address}): {error}"),
        }
    }
    Err(last)
}

fn send_to(address: IpAddr, port: u16, host: &str, method: &str, path: &str, body: &str) -> std::io::Result<Received> {
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, port), limit)?;
    stream.set_read_timeout(Some(limit))?;
    write!(
        stream,
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.take(LIMIT as u64).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(Received { status, body: body.to_owned() })
}

/// A text as the content of a JSON string.
pub(crate) fn json_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text as content of an HTML element.
pub(crate) fn html_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
