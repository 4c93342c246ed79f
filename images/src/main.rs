//! The program inside the example images: one static binary that plays every part.
//!
//! The first argument names the part. There is nothing else in it than what the
//! examples show: replicas behind one name, services that call each other, a to-do
//! list with a PostgreSQL server behind it.
#![allow(
    clippy::disallowed_methods,
    reason = "a program of its own inside a container: its environment and clock are its input"
)]

mod crypto;
mod database;
mod dns;
mod gallery;
mod http;
mod postgres;
mod replica;
mod signals;
mod todo;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (part, rest) = match arguments.split_first() {
        Some((part, rest)) => (part.as_str(), rest),
        None => ("", &[][..]),
    };
    // The database server handles its own signals.
    if part != "database" {
        signals::end_on_request();
    }
    let outcome = match part {
        "replica" => replica::serve(),
        "front" => replica::front(),
        "picture" => gallery::picture(),
        "access-log" => gallery::access_log(),
        "gallery" => gallery::gallery(),
        "todo" => todo::serve(),
        "database" => database::run(rest),
        "check" => check(rest),
        "resolve" => resolve(rest),
        other => Err(format!(
            "there is no part `{other}`: replica, front, picture, access-log, gallery, todo, database, check URL, resolve NAME"
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("example: {error}");
            ExitCode::FAILURE
        }
    }
}

/// For health checks: succeeds when the address answers with a status below 400.
fn check(arguments: &[String]) -> Result<(), String> {
    let url = arguments.first().map_or("http://127.0.0.1/healthz", String::as_str);
    let answer = http::get(url)?;
    if answer.status < 400 { Ok(()) } else { Err(format!("{url} answered {}", answer.status)) }
}

/// Prints the addresses of a name in the order of the answer.
fn resolve(arguments: &[String]) -> Result<(), String> {
    let name = arguments.first().ok_or("resolve wants a name")?;
    for address in dns::look_up(name)? {
        println!("{address}");
    }
    Ok(())
}

/// A setting from the environment.
pub(crate) fn setting(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}

/// The name of the container this runs in, as it sees it.
pub(crate) fn hostname() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    text.trim().to_owned()
}
