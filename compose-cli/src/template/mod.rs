//! The part of Go's template language that `--format` strings use: fields, `json`, the Docker
//! CLI's string functions, pipes, `if`, `range`, `with` and variables.

mod functions;
mod parse;

use functions::{function, text_of, truth};
use parse::{Parser, split};
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
    /// `$name := ...` and `$name = ...`.
    Assign {
        name: String,
        declared: bool,
        value: Pipeline,
    },
    If {
        branches: Vec<(Pipeline, Vec<Self>)>,
        otherwise: Vec<Self>,
    },
    /// `names` are the variables of the item, or of its index and the item.
    Range {
        names: Vec<String>,
        over: Pipeline,
        body: Vec<Self>,
        otherwise: Vec<Self>,
    },
    With {
        over: Pipeline,
        body: Vec<Self>,
        otherwise: Vec<Self>,
    },
}

type Pipeline = Vec<Call>;

#[derive(Clone, Debug, PartialEq)]
struct Call {
    words: Vec<Word>,
}

#[derive(Clone, Debug, PartialEq)]
enum Word {
    Field(Vec<String>),
    /// A variable and a path below it; the empty name is `$`, the object itself.
    Variable(String, Vec<String>),
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
        let mut variables = vec![(String::new(), value.clone())];
        run(&self.nodes, value, &mut variables, &mut out)?;
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

/// Names and values, the innermost last.
type Variables = Vec<(String, Value)>;

/// Runs the nodes of a block; its variables end with it.
fn run(nodes: &[Node], here: &Value, root: &mut Variables, out: &mut String) -> Result<(), TemplateError> {
    let outer = root.len();
    let done = run_block(nodes, here, root, out);
    root.truncate(outer);
    done
}

fn run_block(nodes: &[Node], here: &Value, root: &mut Variables, out: &mut String) -> Result<(), TemplateError> {
    for node in nodes {
        match node {
            Node::Assign { name, declared, value } => {
                let value = evaluate(value, here, root)?;
                match root.iter_mut().rev().find(|(known, _)| known == name) {
                    _ if *declared => root.push((name.clone(), value)),
                    Some((_, old)) => *old = value,
                    None => return fail(format!("undefined variable \"${name}\"")),
                }
            }
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
            Node::Range { names, over, body, otherwise } => {
                let items: Vec<(Value, Value)> = match evaluate(over, here, root)? {
                    Value::Array(items) => {
                        items.into_iter().enumerate().map(|(index, item)| (index.into(), item)).collect()
                    }
                    Value::Object(map) => map.into_iter().map(|(key, value)| (key.into(), value)).collect(),
                    _ => Vec::new(),
                };
                if items.is_empty() {
                    run(otherwise, here, root, out)?;
                }
                for (key, item) in items {
                    let outer = root.len();
                    match names.as_slice() {
                        [name] => root.push((name.clone(), item.clone())),
                        [index, name] => root.extend([(index.clone(), key), (name.clone(), item.clone())]),
                        _ => {}
                    }
                    let done = run(body, &item, root, out);
                    root.truncate(outer);
                    done?;
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

fn evaluate(pipeline: &Pipeline, here: &Value, root: &Variables) -> Result<Value, TemplateError> {
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

fn value_of(word: &Word, here: &Value, root: &Variables) -> Result<Value, TemplateError> {
    Ok(match word {
        Word::Field(path) => follow(here, path)?,
        Word::Variable(name, path) => match root.iter().rev().find(|(known, _)| known == name) {
            Some((_, value)) => follow(value, path)?,
            None => return fail(format!("undefined variable \"${name}\"")),
        },
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
            ("{{$n := .Name}}{{$n}} {{$.State}}", "shop-web-1 running"),
            ("{{range $i, $p := .Publishers}}{{$i}}={{$p.URL}} {{end}}", "0=0.0.0.0 1=:: "),
            ("{{$n := 1}}{{range .Publishers}}{{$n = .PublishedPort}}{{end}}{{$n}}", "0"),
            ("{{$x}}", "template parsing error: undefined variable \"$x\""),
            ("{{html \"<a>\"}} {{js \"'a\"}} {{urlquery \"a b&\"}}", "&lt;a&gt; \\'a a+b%26"),
            ("{{ge .ExitCode 0}} {{le 2 1}}", "true false"),
            ("{{title .Name}} {{title \"it's a_b\"}}", "Shop-Web-1 It's A_b"),
        ];
        for (format, expected) in cases {
            assert_eq!(shown(format), expected, "{format}");
        }
    }

    #[test]
    fn published_ports_print_themselves() {
        let value = json!({"Publishers": [
            {"URL": "0.0.0.0", "TargetPort": 80, "PublishedPort": 8080, "Protocol": "tcp"},
            {"URL": "::", "TargetPort": 80, "PublishedPort": 8080, "Protocol": "tcp"},
            {"URL": "", "TargetPort": 77, "PublishedPort": 0, "Protocol": "udp"},
        ]});
        let shown = Template::parse("{{.Publishers}}").and_then(|template| template.render(&value)).unwrap();
        assert_eq!(shown, "[80/tcp -> 0.0.0.0:8080 80/tcp -> [::]:8080 77/udp -> :0]");
    }

    #[test]
    fn a_table_has_titles() {
        let template = Template::parse("table {{.Name}}\\t{{.State}}").unwrap();
        let rows = [json!({"Name": "a-long-name", "State": "exited"})];
        let shown = template.render_all(&rows, &[("Name", "NAME"), ("State", "STATE")]).unwrap();
        assert_eq!(shown, "NAME          STATE\na-long-name   exited\n");
    }
}
