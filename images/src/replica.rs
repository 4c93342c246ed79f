//! A service with several replicas, and the one in front of it.

use crate::http::{self, Answer, Request, json_text};
use crate::{dns, hostname, setting};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Tells who answered. GREETING, LOG and VERSION are shown; SECRET_FILE is read at `/secret`.
pub(crate) fn serve() -> Result<(), String> {
    let count = AtomicU64::new(0);
    let broken = AtomicBool::new(false);
    http::serve("replica", move |request: &Request| match request.path.as_str() {
        "/" => {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            Answer::text(format!(
                "{} from {} (request {number}, log {}, version {})",
                setting("GREETING", "hello"),
                hostname(),
                setting("LOG", "info"),
                setting("VERSION", "1"),
            ))
            .with("X-Served-By", hostname())
        }
        "/hostname" => Answer::text(hostname()),
        "/count" => Answer::text(count.load(Ordering::Relaxed).to_string()),
        "/healthz" if broken.load(Ordering::Relaxed) => Answer::error(503, "broken"),
        "/healthz" => Answer::text("healthy"),
        "/break" => {
            broken.store(true, Ordering::Relaxed);
            Answer::text("will answer as unhealthy")
        }
        "/exit" => std::process::exit(3),
        path => common(path),
    })
}

/// Passes every request on to UPSTREAM (`http://app`): a new look-up each time, the first address is taken.
pub(crate) fn front() -> Result<(), String> {
    let upstream = setting("UPSTREAM", "http://app");
    let name = upstream.trim_start_matches("http://").split([':', '/']).next().unwrap_or_default().to_owned();
    http::serve("front", move |request: &Request| match request.path.as_str() {
        "/addresses" => match dns::look_up(&name) {
            Ok(list) => Answer::text(list.iter().map(|address| format!("{address}\n")).collect::<String>()),
            Err(error) => Answer::error(502, error),
        },
        "/healthz" => Answer::text("healthy"),
        path if path.starts_with("/env/") || path == "/secret" => common(path),
        path => match http::get(&format!("{upstream}{path}")) {
            Ok(received) if received.status < 400 => Answer::text(received.body).with("X-Passed-By", hostname()),
            Ok(received) => Answer::error(received.status, received.body),
            Err(error) => Answer::error(502, error),
        },
    })
}

/// What every part can tell: a variable of its environment, its secret.
fn common(path: &str) -> Answer {
    if let Some(name) = path.strip_prefix("/env/") {
        return std::env::var(name).map_or_else(|_| Answer::error(404, "not set"), Answer::text);
    }
    if path == "/secret" {
        let file = setting("SECRET_FILE", "/run/secrets/secret");
        return match fs::read_to_string(&file) {
            Ok(text) => Answer::json(format!("{{\"file\":{},\"bytes\":{}}}", json_text(&file), text.len())),
            Err(error) => Answer::error(404, format!("{file}: {error}")),
        };
    }
    Answer::error(404, "not here")
}
