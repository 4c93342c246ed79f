//! The image gallery: a page that asks one service for a picture and tells another of each visit.

use crate::http::{self, Answer, Request, html_text, json_text};
use crate::{hostname, setting};
use std::sync::atomic::{AtomicU64, Ordering};

const PICTURES: [(&str, &str); 3] = [
    ("Morning over the harbour", "#f6b26b"),
    ("Noon over the containers", "#6fa8dc"),
    ("Night over the yard", "#351c75"),
];

/// The picture of the day, as data and as a drawing.
pub(crate) fn picture() -> Result<(), String> {
    http::serve("picture", |request: &Request| {
        let day =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs() / 86_400);
        let (caption, colour) = PICTURES[usize::try_from(day).unwrap_or(0) % PICTURES.len()];
        match request.path.as_str() {
            "/image" | "/" => Answer::json(format!(
                "{{\"url\":\"/picture.svg\",\"caption\":{},\"copyright\":\"none\",\"servedBy\":{}}}",
                json_text(caption),
                json_text(&hostname())
            )),
            "/picture.svg" => Answer::html(format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"320\" height=\"200\"><rect width=\"320\" height=\"200\" fill=\"{colour}\"/></svg>"
            )),
            "/healthz" => Answer::text("healthy"),
            _ => Answer::error(404, "not here"),
        }
    })
}

/// Counts visits.
pub(crate) fn access_log() -> Result<(), String> {
    let count = AtomicU64::new(0);
    http::serve("access-log", move |request: &Request| match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/access-log") => {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            println!("visit {number}: {}", request.body.trim());
            Answer::text("noted")
        }
        (_, "/stats" | "/") => Answer::json(format!("{{\"logs\":{}}}", count.load(Ordering::Relaxed))),
        (_, "/healthz") => Answer::text("healthy"),
        _ => Answer::error(404, "not here"),
    })
}

/// The page. IMAGE_API and ACCESS_API say where the two services are.
pub(crate) fn gallery() -> Result<(), String> {
    let picture = setting("IMAGE_API", "http://iotd/image");
    let log = setting("ACCESS_API", "http://accesslog/access-log");
    http::serve("gallery", move |request: &Request| match request.path.as_str() {
        "/" => {
            let received = match http::get(&picture) {
                Ok(received) => received,
                Err(error) => return Answer::error(502, format!("no picture: {error}")),
            };
            // The page is worth more than the note about it.
            if let Err(error) = http::post(&log, &format!("{{\"ip\":{}}}", json_text(&request.client))) {
                println!("the visit was not noted: {error}");
            }
            Answer::html(format!(
                "<!doctype html><title>Image gallery</title><h1>Image of the day</h1><p>{}</p><p>{}</p>",
                html_text(text_field(&received.body, "caption")),
                html_text(text_field(&received.body, "servedBy")),
            ))
        }
        "/healthz" => Answer::text("healthy"),
        _ => Answer::error(404, "not here"),
    })
}

/// A text field of a flat JSON object, good enough for our own answers.
pub(crate) fn text_field<'a>(json: &'a str, name: &str) -> &'a str {
    let Some((_, rest)) = json.split_once(&format!("\"{name}\"")) else { return "" };
    let rest = rest.trim_start().trim_start_matches(':').trim_start();
    rest.strip_prefix('"').and_then(|rest| rest.split('"').next()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_field_is_found_with_and_without_spaces() {
        assert_eq!(super::text_field("{\"a\":\"1\",\"ToDoDb\" : \"Server=db\"}", "ToDoDb"), "Server=db");
        assert_eq!(super::text_field("{}", "a"), "");
    }
}
