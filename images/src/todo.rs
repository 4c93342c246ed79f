//! The to-do list. `Database:Provider=Postgres` keeps it in a PostgreSQL server, else it is in memory.
//! The connection comes from the secret file CONFIG (/app/config/secrets.json) or from TODO_DATABASE.

use crate::gallery::text_field;
use crate::http::{self, Answer, Request, html_text};
use crate::postgres::{Connection, Target};
use crate::{hostname, setting};
use std::sync::Mutex;

/// Serves the page and `/list` (plain text); a POST to `/` adds an item.
pub(crate) fn serve() -> Result<(), String> {
    let memory = Mutex::new(Vec::new());
    let in_database = setting("Database:Provider", "Memory").eq_ignore_ascii_case("postgres");
    println!("items are kept {}", if in_database { "in PostgreSQL" } else { "in memory" });
    http::serve("todo", move |request: &Request| {
        let items = || if in_database { stored() } else { Ok(memory.lock().map(|m| m.clone()).unwrap_or_default()) };
        match (request.method.as_str(), request.path.as_str()) {
            (_, "/healthz") => Answer::text("healthy"),
            (_, "/ready") => {
                items().map_or_else(|e| Answer::error(503, e), |list| Answer::text(list.len().to_string()))
            }
            ("POST", "/" | "/new") => {
                let item = item_of(&request.body);
                let added = if in_database {
                    store(&item)
                } else {
                    memory.lock().map(|mut list| list.push(item.clone())).map_err(|error| error.to_string())
                };
                added.map_or_else(|error| Answer::error(503, error), |()| Answer::text(format!("added {item}")))
            }
            (_, "/list") => items().map_or_else(|e| Answer::error(503, e), |list| Answer::text(list.join("\n"))),
            (_, "/") => items().map_or_else(|e| Answer::error(503, e), |list| Answer::html(page(&list))),
            _ => Answer::error(404, "not here"),
        }
    })
}

fn page(items: &[String]) -> String {
    let rows: String = items.iter().map(|item| format!("<li>{}</li>", html_text(item))).collect();
    format!(
        "<!doctype html><title>To do</title><h1>To do</h1><ul>{rows}</ul>\
         <form method=\"post\" action=\"/\"><input name=\"item\"><button>Add</button></form><p>{}</p>",
        hostname()
    )
}

/// The item of a form's body, or the whole body.
fn item_of(body: &str) -> String {
    let Some(encoded) = body.trim().strip_prefix("item=") else { return body.trim().to_owned() };
    let mut bytes = Vec::new();
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let pair = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let digits = std::str::from_utf8(&pair).unwrap_or("3f");
                bytes.push(u8::from_str_radix(digits, 16).unwrap_or(b'?'));
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn connect() -> Result<Connection, String> {
    let file = setting("CONFIG", "/app/config/secrets.json");
    let text = match std::fs::read_to_string(&file) {
        Ok(json) => text_field(&json, "ToDoDb").to_owned(),
        Err(error) => match std::env::var("TODO_DATABASE") {
            Ok(text) => text,
            Err(_) => return Err(format!("no database is configured: {file}: {error}")),
        },
    };
    let mut connection = Connection::open(&Target::parse(&text)?)?;
    connection.query("CREATE TABLE IF NOT EXISTS todo (id serial PRIMARY KEY, item text NOT NULL)")?;
    Ok(connection)
}

fn stored() -> Result<Vec<String>, String> {
    connect()?.query("SELECT item FROM todo ORDER BY id")
}

fn store(item: &str) -> Result<(), String> {
    let quoted = item.replace('\0', "").replace('\'', "''");
    connect()?.query(&format!("INSERT INTO todo (item) VALUES ('{quoted}')")).map(drop)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_item_comes_from_a_form_or_as_it_is() {
        assert_eq!(super::item_of("item=buy+milk%21"), "buy milk!");
        assert_eq!(super::item_of("buy milk\n"), "buy milk");
    }
}
