//! The functions of Go's templates and of the Docker CLI.

use serde_json::Value;

use super::{TemplateError, fail};

pub(super) const FUNCTIONS: [&str; 27] = [
    "json", "split", "join", "title", "lower", "upper", "pad", "truncate", "println", "print", "printf", "len",
    "index", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "slice", "contains", "html", "js", "urlquery",
];

/// Whether a condition holds.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// As Go prints a value.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(text_of).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            if let Some(port) = publisher(map) {
                return port;
            }
            let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", text_of(value))).collect();
            format!("map[{}]", entries.join(" "))
        }
        other => other.to_string(),
    }
}

/// A published port, which prints itself in words of its own.
fn publisher(map: &serde_json::Map<String, Value>) -> Option<String> {
    let target = map.get("TargetPort")?.as_u64()?;
    let published = map.get("PublishedPort")?.as_u64()?;
    let (address, protocol) = (map.get("URL")?.as_str()?, map.get("Protocol")?.as_str()?);
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    Some(format!("{target}/{protocol} -> {address}:{published}"))
}

/// Calls a function.
pub(super) fn function(name: &str, arguments: &[Value]) -> Result<Value, TemplateError> {
    let argument = |index: usize| {
        arguments
            .get(index)
            .ok_or_else(|| TemplateError(format!("wrong number of args for {name}: want more than {index}")))
    };
    let text = |index: usize| argument(index).map(text_of);
    let number = |index: usize| argument(index).map(|value| usize::try_from(value.as_i64().unwrap_or(0)).unwrap_or(0));
    Ok(match name {
        "json" => Value::String(serde_json::to_string(argument(0)?).unwrap_or_default()),
        "split" => Value::Array(text(0)?.split(&text(1)?).map(Into::into).collect()),
        "join" => {
            let items = argument(0)?.as_array().cloned().unwrap_or_default();
            items.iter().map(text_of).collect::<Vec<_>>().join(&text(1)?).into()
        }
        "title" => {
            let text = text(0)?;
            // Each word, as Go has it: letters, digits, underscores and apostrophes belong to one.
            let mut inside = false;
            let mut titled = String::with_capacity(text.len());
            for character in text.chars() {
                match inside {
                    true => titled.push(character),
                    false => titled.extend(character.to_uppercase()),
                }
                inside = character.is_alphanumeric() || matches!(character, '_' | '\'');
            }
            titled.into()
        }
        "lower" => text(0)?.to_lowercase().into(),
        "upper" => text(0)?.to_uppercase().into(),
        "pad" => format!("{}{}{}", " ".repeat(number(1)?), text(0)?, " ".repeat(number(2)?)).into(),
        "truncate" => text(0)?.chars().take(number(1)?).collect::<String>().into(),
        "println" => format!("{}\n", arguments.iter().map(text_of).collect::<Vec<_>>().join(" ")).into(),
        "print" => arguments.iter().map(text_of).collect::<String>().into(),
        "printf" => printf(&text(0)?, arguments.get(1..).unwrap_or_default()).into(),
        "len" => match argument(0)? {
            Value::String(text) => text.len().into(),
            Value::Array(items) => items.len().into(),
            Value::Object(map) => map.len().into(),
            _ => return fail("len of a value without length"),
        },
        "index" => match (argument(0)?, argument(1)?) {
            (Value::Array(items), key) => {
                match items.get(usize::try_from(key.as_i64().unwrap_or(-1)).unwrap_or(usize::MAX)) {
                    Some(item) => item.clone(),
                    None => return fail("index out of range"),
                }
            }
            (value, key) => value.get(text_of(key)).cloned().unwrap_or(Value::String(String::new())),
        },
        "eq" => {
            let first = argument(0)?;
            arguments.iter().skip(1).any(|other| other == first).into()
        }
        "ne" => (argument(0)? != argument(1)?).into(),
        "lt" => (argument(0)?.as_f64() < argument(1)?.as_f64()).into(),
        "le" => (argument(0)?.as_f64() <= argument(1)?.as_f64()).into(),
        "gt" => (argument(0)?.as_f64() > argument(1)?.as_f64()).into(),
        "ge" => (argument(0)?.as_f64() >= argument(1)?.as_f64()).into(),
        "html" => {
            escaped(&text(0)?, &[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&#34;"), ('\'', "&#39;")]).into()
        }
        "js" => {
            let pairs =
                [('\\', "\\\\"), ('\'', "\\'"), ('"', "\\\""), ('<', "\\u003C"), ('>', "\\u003E"), ('&', "\\u0026")];
            escaped(&text(0)?, &pairs).into()
        }
        "urlquery" => text(0)?
            .bytes()
            .map(|byte| match byte {
                b' ' => "+".to_owned(),
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect::<String>()
            .into(),
        "and" => arguments.iter().find(|value| !truth(value)).or(arguments.last()).cloned().unwrap_or(Value::Null),
        "or" => arguments.iter().find(|value| truth(value)).or(arguments.last()).cloned().unwrap_or(Value::Null),
        "not" => (!truth(argument(0)?)).into(),
        "slice" => {
            let (text, from) = (text(0)?, number(1)?);
            let to = if arguments.len() > 2 { number(2)? } else { text.len() };
            text.get(from..to).unwrap_or_default().to_owned().into()
        }
        "contains" => text(0)?.contains(&text(1)?).into(),
        _ => return fail(format!("function {name:?} not defined")),
    })
}

fn escaped(text: &str, pairs: &[(char, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match pairs.iter().find(|(from, _)| *from == character) {
            Some((_, to)) => out.push_str(to),
            None => out.push(character),
        }
    }
    out
}

/// `%s`, `%v`, `%d`, `%q` with width.
fn printf(format: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut flags = String::new();
        while let Some(next) = characters.next_if(|next| next.is_ascii_digit() || matches!(next, '-' | '.' | '+')) {
            flags.push(next);
        }
        let Some(kind) = characters.next() else { break };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = arguments.next().map(text_of).unwrap_or_default();
        let value = if kind == 'q' { format!("{value:?}") } else { value };
        let left = flags.starts_with('-');
        let width = flags.trim_start_matches('-').split('.').next().and_then(|width| width.parse().ok()).unwrap_or(0);
        out.push_str(&if left { format!("{value:<width$}") } else { format!("{value:>width$}") });
    }
    out
}
