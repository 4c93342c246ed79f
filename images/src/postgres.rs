//! A client for a PostgreSQL server: simple queries, text results, trust, clear or SCRAM passwords.

use crate::crypto::{base64, from_base64, hmac, pbkdf2, sha256};
use crate::dns;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Where the server is, and who asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    host: String,
    port: u16,
    database: String,
    user: String,
    password: String,
}

impl Target {
    /// Reads `Server=db;Port=5432;Database=todo;User Id=me;Password=...`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut target = Self {
            host: String::new(),
            port: 5432,
            database: String::new(),
            user: "postgres".to_owned(),
            password: String::new(),
        };
        for (name, value) in text.split(';').filter_map(|pair| pair.split_once('=')) {
            let value = value.trim().to_owned();
            match name.trim().to_lowercase().as_str() {
                "server" | "host" => target.host = value,
                "port" => target.port = value.parse().map_err(|_| format!("not a port: {value}"))?,
                "database" | "dbname" => target.database = value,
                "user id" | "user" | "username" => target.user = value,
                "password" => target.password = value,
                other => return Err(format!("the connection text has an unknown part `{other}`")),
            }
        }
        if target.host.is_empty() {
            return Err("the connection text names no server".to_owned());
        }
        if target.database.is_empty() {
            target.database.clone_from(&target.user);
        }
        Ok(target)
    }
}

/// One session with a server.
pub(crate) struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Connects and proves who we are.
    pub(crate) fn open(target: &Target) -> Result<Self, String> {
        let mut last = format!("{} has no address", target.host);
        for address in dns::look_up(&target.host)? {
            match TcpStream::connect_timeout(&SocketAddr::new(address, target.port), Duration::from_secs(5)) {
                Ok(stream) => {
                    let limit = Some(Duration::from_secs(10));
                    stream.set_read_timeout(limit).map_err(|error| error.to_string())?;
                    let mut connection = Self { stream };
                    connection.log_in(target)?;
                    return Ok(connection);
                }
                Err(error) => last = format!("{} ({address}): {error}", target.host),
            }
        }
        Err(format!("the database does not answer: {last}"))
    }

    /// Runs statements; the first column of every row.
    pub(crate) fn query(&mut self, sql: &str) -> Result<Vec<String>, String> {
        self.send(b'Q', &[sql.as_bytes(), &[0]].concat())?;
        let (mut rows, mut failed) = (Vec::new(), None);
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                b'D' => rows.push(first_column(&body).unwrap_or_default()),
                b'E' => failed = Some(error_text(&body)),
                b'Z' => return failed.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    fn log_in(&mut self, target: &Target) -> Result<(), String> {
        let mut start = 196_608_u32.to_be_bytes().to_vec();
        for text in ["user", &target.user, "database", &target.database, "client_encoding", "UTF8"] {
            start.extend(text.as_bytes());
            start.push(0);
        }
        start.push(0);
        let length = u32::try_from(start.len() + 4).map_err(|error| error.to_string())?;
        self.write(&[&length.to_be_bytes(), start.as_slice()].concat())?;
        let mut scram = None;
        loop {
            let (kind, body) = self.receive()?;
            match (kind, body.get(..4)) {
                (b'E', _) => return Err(error_text(&body)),
                (b'Z', _) => return Ok(()),
                (b'R', Some([0, 0, 0, 3])) => self.send(b'p', &[target.password.as_bytes(), &[0]].concat())?,
                (b'R', Some([0, 0, 0, 10])) => {
                    let (exchange, first) = Scram::begin()?;
                    let length = u32::try_from(first.len()).map_err(|error| error.to_string())?;
                    self.send(b'p', &[b"SCRAM-SHA-256\0", &length.to_be_bytes()[..], first.as_bytes()].concat())?;
                    scram = Some(exchange);
                }
                (b'R', Some([0, 0, 0, 11])) => {
                    let Some(exchange) = &scram else { return Err("an answer that nobody asked for".to_owned()) };
                    let server = String::from_utf8_lossy(body.get(4..).unwrap_or_default()).into_owned();
                    let last = exchange.answer(&server, &target.password)?;
                    self.send(b'p', last.as_bytes())?;
                }
                (b'R', Some([0, 0, 0, 0 | 12])) => {}
                (b'R', _) => {
                    return Err("the server wants a kind of password that is not spoken here (SCRAM is)".to_owned());
                }
                _ => {}
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).map_err(|error| format!("the database went away: {error}"))
    }

    fn send(&mut self, kind: u8, body: &[u8]) -> Result<(), String> {
        let length = u32::try_from(body.len() + 4).map_err(|error| error.to_string())?;
        self.write(&[&[kind], &length.to_be_bytes()[..], body].concat())
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>), String> {
        let gone = |error: std::io::Error| format!("the database went away: {error}");
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).map_err(gone)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]).saturating_sub(4);
        if length > 1 << 24 {
            return Err("the database sent nonsense".to_owned());
        }
        let mut body = vec![0; length as usize];
        self.stream.read_exact(&mut body).map_err(gone)?;
        Ok((head[0], body))
    }
}

fn first_column(body: &[u8]) -> Option<String> {
    let length = u32::from_be_bytes(body.get(2..6)?.try_into().ok()?);
    let text = body.get(6..6 + usize::try_from(length).ok()?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn error_text(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0).filter(|field| field.first() == Some(&b'M'));
    let texts: Vec<String> = fields.map(|field| String::from_utf8_lossy(&field[1..]).into_owned()).collect();
    format!("the database says: {}", texts.join("; "))
}

/// SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677).
struct Scram {
    nonce: String,
}

impl Scram {
    fn begin() -> Result<(Self, String), String> {
        let mut random = [0_u8; 18];
        let mut source = std::fs::File::open("/dev/urandom").map_err(|error| format!("/dev/urandom: {error}"))?;
        source.read_exact(&mut random).map_err(|error| error.to_string())?;
        let nonce = base64(&random);
        let first = format!("n,,n=,r={nonce}");
        Ok((Self { nonce }, first))
    }

    fn answer(&self, server: &str, password: &str) -> Result<String, String> {
        let field = |name: &str| server.split(',').find_map(|part| part.strip_prefix(name));
        let broken = || "the server's answer to the password is broken".to_owned();
        let (nonce, salt) = (field("r=").ok_or_else(broken)?, field("s=").ok_or_else(broken)?);
        let rounds: u32 = field("i=").and_then(|text| text.parse().ok()).ok_or_else(broken)?;
        if !nonce.starts_with(&self.nonce) {
            return Err(broken());
        }
        let salted = pbkdf2(password.as_bytes(), &from_base64(salt).ok_or_else(broken)?, rounds);
        let client = hmac(&salted, b"Client Key");
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("n=,r={},{server},{without_proof}", self.nonce);
        let signature = hmac(&sha256(&client), message.as_bytes());
        let proof: Vec<u8> = client.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        Ok(format!("{without_proof},p={}", base64(&proof)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_text_names_its_parts() {
        let target = Target::parse("Server=db;Database=todo;User Id=me;Password=a b").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.user.as_str()), ("db", 5432, "me"));
        assert_eq!(Target::parse("Server=db;User=me").unwrap().database, "me");
        assert!(Target::parse("Database=x").is_err());
        assert!(Target::parse("Server=db;Colour=red").is_err());
    }
}
