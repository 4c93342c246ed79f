//! The part of Go's template language that `--format` strings use: fields, `json`, the Docker
//! CLI's string functions, pipes, `if`, `range` and `with`.

use serde_json::Value;

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateError(String);

impl std::fmt::Display for TemplateError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "template parsing error: {}", self.0)
    }
}

impl std::error::Error for TemplateError {}

fn fail<T>(text: impl Into<String>) -> Result<T, TemplateError> {
    Err(TemplateError(text.into()))
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    nodes: Vec<Node>,
    /// It began with `table`: the output is laid out below titles.
    pub(crate) table: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Print(Pipeline),
    If { branches: Vec<(Pipeline, Vec<Self>)>, otherwise: Vec<Self> },
    Range { over: Pipeline, body: Vec<Self>, otherwise: Vec<Self> },
    With { over: Pipeline, body: Vec<Self>, otherwise: Vec<Self> },
}

type Pipeline = Vec<Call>;

#[derive(Clone, Debug, PartialEq)]
struct Call {
    words: Vec<Word>,
}

#[derive(Clone, Debug, PartialEq)]
enum Word {
    Field(Vec<String>),
    Root(Vec<String>),
    Literal(Value),
    Name(String),
    Inner(Pipeline),
}

/// What a `table` template shows instead of fields in its first line.
pub(crate) type Titles<'a> = &'a [(&'a str, &'a str)];

impl Template {
    /// Reads a `--format` string.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let text = text.trim_matches(' ');
        let (table, text) = match text.strip_prefix("table") {
            Some(rest) if rest.is_empty() || rest.starts_with([' ', '{']) => (true, rest.trim_start()),
            _ => (false, text),
        };
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        let mut parser = Parser { pieces: split(&text)?, position: 0 };
        let (nodes, end) = parser.nodes()?;
        if let Some(end) = end {
            return fail(format!("unexpected {{{{{end}}}}}"));
        }
        Ok(Self { nodes, table })
    }

    /// Fills it in for one object.
    pub(crate) fn render(&self, value: &Value) -> Result<String, TemplateError> {
        let mut out = String::new();
        run(&self.nodes, value, value, &mut out)?;
        Ok(out)
    }

    /// Fills it in for many objects, one line each, below titles where it is a table.
    pub(crate) fn render_all(&self, values: &[Value], titles: Titles<'_>) -> Result<String, TemplateError> {
        let mut out = String::new();
        if self.table {
            let header: serde_json::Map<String, Value> =
                titles.iter().map(|(field, title)| ((*field).to_owned(), Value::String((*title).to_owned()))).collect();
            out.push_str(&self.render(&Value::Object(header))?);
            out.push('\n');
        }
        for value in values {
            out.push_str(&self.render(value)?);
            out.push('\n');
        }
        Ok(if self.table { crate::table::tabbed(&out) } else { out })
    }
}

enum Piece {
    Text(String),
    Action(String),
}

/// Cuts at `{{` and `}}`, honouring quotes and the trim markers.
fn split(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim_next = false;
    loop {
        let Some(start) = rest.find("{{") else {
            let tail = if trim_next { rest.trim_start() } else { rest };
            pieces.push(Piece::Text(tail.to_owned()));
            return Ok(pieces);
        };
        let mut before = &rest[..start];
        if trim_next {
            before = before.trim_start();
        }
        let after = &rest[start + 2..];
        let after = match after.strip_prefix("- ") {
            Some(after) => {
                before = before.trim_end();
                after
            }
            None => after,
        };
        pieces.push(Piece::Text(before.to_owned()));
        let mut quote = None;
        let mut escaped = false;
        let mut end = None;
        for (index, character) in after.char_indices() {
            match quote {
                Some(_) if escaped => escaped = false,
                Some('"') if character == '\\' => escaped = true,
                Some(open) if character == open => quote = None,
                Some(_) => {}
                None if matches!(character, '"' | '`') => quote = Some(character),
                None if after[index..].starts_with("}}") => {
                    end = Some(index);
                    break;
                }
                None => {}
            }
        }
        let Some(end) = end else { return fail("unclosed action") };
        let mut action = &after[..end];
        trim_next = action.ends_with(" -");
        if trim_next {
            action = &action[..action.len() - 2];
        }
        let action = action.trim();
        if !action.starts_with("/*") {
            pieces.push(Piece::Action(action.to_owned()));
        }
        rest = &after[end + 2..];
    }
}

struct Parser {
    pieces: Vec<Piece>,
    position: usize,
}

impl Parser {
    /// Nodes up to `else` or `end`, which is returned.
    fn nodes(&mut self) -> Result<(Vec<Node>, Option<String>), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get(self.position) {
            self.position += 1;
            let action = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    continue;
                }
                Piece::Action(action) => action.clone(),
            };
            let (word, rest) = action.split_once(' ').unwrap_or((action.as_str(), ""));
            match word {
                "end" | "else" => return Ok((nodes, Some(action))),
                "if" => nodes.push(self.conditional(rest)?),
                "range" => {
                    let (body, otherwise) = self.block()?;
                    nodes.push(Node::Range { over: pipeline(rest)?, body, otherwise });
                }
                "with" => {
                    let (body, otherwise) = self.block()?;
                    nodes.push(Node::With { over: pipeline(rest)?, body, otherwise });
                }
                _ => nodes.push(Node::Print(pipeline(&action)?)),
            }
        }
        Ok((nodes, None))
    }

    fn conditional(&mut self, condition: &str) -> Result<Node, TemplateError> {
        let mut branches = Vec::new();
        let mut condition = pipeline(condition)?;
        loop {
            let (body, end) = self.nodes()?;
            branches.push((condition, body));
            match end.as_deref() {
                Some("end") => return Ok(Node::If { branches, otherwise: Vec::new() }),
                Some("else") => {
                    let (otherwise, end) = self.nodes()?;
                    if end.as_deref() != Some("end") {
                        return fail("unclosed if");
                    }
                    return Ok(Node::If { branches, otherwise });
                }
                Some(next) => match next.strip_prefix("else if ") {
                    Some(next) => condition = pipeline(next)?,
                    None => return fail(format!("unexpected {{{{{next}}}}}")),
                },
                None => return fail("unclosed if"),
            }
        }
    }

    fn block(&mut self) -> Result<(Vec<Node>, Vec<Node>), TemplateError> {
        let (body, end) = self.nodes()?;
        match end.as_deref() {
            Some("end") => Ok((body, Vec::new())),
            Some("else") => {
                let (otherwise, end) = self.nodes()?;
                if end.as_deref() == Some("end") { Ok((body, otherwise)) } else { fail("unclosed block") }
            }
            _ => fail("unclosed block"),
        }
    }
}

fn pipeline(text: &str) -> Result<Pipeline, TemplateError> {
    let mut characters: Vec<char> = text.chars().collect();
    characters.push(' ');
    let mut position = 0;
    let calls = calls(&characters, &mut position, false)?;
    if calls.is_empty() { fail("missing value for command") } else { Ok(calls) }
}

fn calls(text: &[char], position: &mut usize, inner: bool) -> Result<Pipeline, TemplateError> {
    let mut all = Vec::new();
    let mut words = Vec::new();
    while let Some(&character) = text.get(*position) {
        match character {
            ' ' | '\t' | '\n' => *position += 1,
            '|' => {
                *position += 1;
                all.push(Call { words: std::mem::take(&mut words) });
            }
            '(' => {
                *position += 1;
                words.push(Word::Inner(calls(text, position, true)?));
            }
            ')' if inner => {
                *position += 1;
                if !words.is_empty() {
                    all.push(Call { words });
                }
                return Ok(all);
            }
            '"' | '`' => words.push(Word::Literal(Value::String(literal(text, position)?))),
            _ => {
                let start = *position;
                while text.get(*position).is_some_and(|&next| !matches!(next, ' ' | '\t' | '\n' | '|' | ')' | '(')) {
                    *position += 1;
                }
                if start == *position {
                    return fail(format!("unexpected {character:?} in command"));
                }
                words.push(word(&text[start..*position].iter().collect::<String>())?);
            }
        }
    }
    if inner {
        return fail("unclosed left paren");
    }
    if !words.is_empty() {
        all.push(Call { words });
    }
    Ok(all)
}

fn literal(text: &[char], position: &mut usize) -> Result<String, TemplateError> {
    let quote = text[*position];
    *position += 1;
    let mut out = String::new();
    while let Some(&character) = text.get(*position) {
        *position += 1;
        match character {
            _ if character == quote => return Ok(out),
            '\\' if quote == '"' => {
                let Some(&next) = text.get(*position) else { break };
                *position += 1;
                out.push(match next {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                });
            }
            _ => out.push(character),
        }
    }
    fail("unterminated quoted string")
}

fn word(text: &str) -> Result<Word, TemplateError> {
    let path = |text: &str| text.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    if let Some(rest) = text.strip_prefix('$') {
        if !rest.is_empty() && !rest.starts_with('.') {
            return fail(format!("undefined variable {text:?}"));
        }
        return Ok(Word::Root(path(rest)));
    }
    if text.starts_with('.') {
        return Ok(Word::Field(path(text)));
    }
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Word::Literal(number.into()));
    }
    match text {
        "true" => Ok(Word::Literal(true.into())),
        "false" => Ok(Word::Literal(false.into())),
        "nil" => Ok(Word::Literal(Value::Null)),
        _ if FUNCTIONS.contains(&text) => Ok(Word::Name(text.to_owned())),
        _ => fail(format!("function {text:?} not defined")),
    }
}

const FUNCTIONS: [&str; 22] = [
    "json", "split", "join", "title", "lower", "upper", "pad", "truncate", "println", "print", "printf", "len",
    "index", "eq", "ne", "lt", "gt", "and", "or", "not", "slice", "contains",
];

fn run(nodes: &[Node], here: &Value, root: &Value, out: &mut String) -> Result<(), TemplateError> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(pipeline) => out.push_str(&text_of(&evaluate(pipeline, here, root)?)),
            Node::If { branches, otherwise } => {
                let mut chosen = otherwise;
                for (condition, body) in branches {
                    if truth(&evaluate(condition, here, root)?) {
                        chosen = body;
                        break;
                    }
                }
                run(chosen, here, root, out)?;
            }
            Node::Range { over, body, otherwise } => {
                let items: Vec<Value> = match evaluate(over, here, root)? {
                    Value::Array(items) => items,
                    Value::Object(map) => map.into_iter().map(|(_, value)| value).collect(),
                    _ => Vec::new(),
                };
                if items.is_empty() {
                    run(otherwise, here, root, out)?;
                }
                for item in &items {
                    run(body, item, root, out)?;
                }
            }
            Node::With { over, body, otherwise } => {
                let value = evaluate(over, here, root)?;
                if truth(&value) {
                    run(body, &value, root, out)?;
                } else {
                    run(otherwise, here, root, out)?;
                }
            }
        }
    }
    Ok(())
}

fn evaluate(pipeline: &Pipeline, here: &Value, root: &Value) -> Result<Value, TemplateError> {
    let mut piped: Option<Value> = None;
    for call in pipeline {
        let Some((first, rest)) = call.words.split_first() else { return fail("missing value for command") };
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for word in rest {
            arguments.push(value_of(word, here, root)?);
        }
        arguments.extend(piped.take());
        piped = Some(match first {
            Word::Name(name) => function(name, &arguments)?,
            // `.Label "key"` is the one method that the Docker CLI's objects have.
            Word::Field(path) if path.as_slice() == ["Label"] && !arguments.is_empty() => {
                label(here, &text_of(&arguments[0]))
            }
            other if arguments.is_empty() => value_of(other, here, root)?,
            _ => return fail("can't give argument to non-function"),
        });
    }
    piped.map_or_else(|| fail("missing value for command"), Ok)
}

fn value_of(word: &Word, here: &Value, root: &Value) -> Result<Value, TemplateError> {
    Ok(match word {
        Word::Field(path) => follow(here, path)?,
        Word::Root(path) => follow(root, path)?,
        Word::Literal(value) => value.clone(),
        Word::Name(name) => function(name, &[])?,
        Word::Inner(pipeline) => evaluate(pipeline, here, root)?,
    })
}

fn follow(value: &Value, path: &[String]) -> Result<Value, TemplateError> {
    let mut value = value;
    for part in path {
        value = match value.get(part.as_str()) {
            Some(value) => value,
            None => return fail(format!("can't evaluate field {part}")),
        };
    }
    Ok(value.clone())
}

fn label(here: &Value, key: &str) -> Value {
    let labels = here.get("Labels").and_then(Value::as_str).unwrap_or_default();
    let found = labels.split(',').filter_map(|entry| entry.split_once('=')).find(|(name, _)| *name == key);
    Value::String(found.map(|(_, value)| value.to_owned()).unwrap_or_default())
}

fn truth(value: &Value) -> bool {
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
fn text_of(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(text_of).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", text_of(value))).collect();
            format!("map[{}]", entries.join(" "))
        }
        other => other.to_string(),
    }
}

fn function(name: &str, arguments: &[Value]) -> Result<Value, TemplateError> {
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
            let mut characters = text.chars();
            characters
                .next()
                .map(|first| first.to_uppercase().chain(characters).collect::<String>())
                .unwrap_or_default()
                .into()
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
        "gt" => (argument(0)?.as_f64() > argument(1)?.as_f64()).into(),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(format: &str) -> String {
        let value = json!({
            "Name": "shop-web-1", "State": "running", "ExitCode": 0, "Labels": "a=1,b=2",
            "Publishers": [{"URL": "0.0.0.0", "PublishedPort": 8080}, {"URL": "::", "PublishedPort": 0}],
        });
        match Template::parse(format).and_then(|template| template.render(&value)) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn templates_read_as_in_the_docker_cli() {
        let cases = [
            ("{{.Name}}", "shop-web-1"),
            ("{{ .Name }}\\t{{.State | upper}}", "shop-web-1\tRUNNING"),
            ("{{json .Name}} {{.ExitCode}}", "\"shop-web-1\" 0"),
            ("{{range .Publishers}}{{if .PublishedPort}}{{.URL}}:{{.PublishedPort}};{{end}}{{end}}", "0.0.0.0:8080;"),
            ("{{.Label \"b\"}}", "2"),
            ("{{if eq .State \"running\" \"paused\"}}up{{else}}down{{end}}", "up"),
            ("{{truncate .Name 4}}-{{len .Publishers}}", "shop-2"),
            ("{{printf \"%-12s|\" .Name}}", "shop-web-1  |"),
            ("a {{- .State -}} b", "arunningb"),
            ("{{.Nope}}", "template parsing error: can't evaluate field Nope"),
            ("{{nope}}", "template parsing error: function \"nope\" not defined"),
            ("{{.Name", "template parsing error: unclosed action"),
            ("bogus", "bogus"),
        ];
        for (format, expected) in cases {
            assert_eq!(shown(format), expected, "{format}");
        }
    }

    #[test]
    fn a_table_has_titles() {
        let template = Template::parse("table {{.Name}}\\t{{.State}}").unwrap();
        let rows = [json!({"Name": "a-long-name", "State": "exited"})];
        let shown = template.render_all(&rows, &[("Name", "NAME"), ("State", "STATE")]).unwrap();
        assert_eq!(shown, "NAME          STATE\na-long-name   exited\n");
    }
}
