//! From text to nodes.

use serde_json::Value;

use super::functions::FUNCTIONS;
use super::{Call, Node, Pipeline, TemplateError, Word, fail};

/// A stretch of text, or what stands between braces.
pub(super) enum Piece {
    Text(String),
    Action(String),
}

/// Cuts at `{{` and `}}`, honouring quotes and the trim markers.
pub(super) fn split(text: &str) -> Result<Vec<Piece>, TemplateError> {
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

/// Reads pieces one after the other.
pub(super) struct Parser {
    pub(super) pieces: Vec<Piece>,
    pub(super) position: usize,
}

impl Parser {
    /// Nodes up to `else` or `end`, which is returned.
    pub(super) fn nodes(&mut self) -> Result<(Vec<Node>, Option<String>), TemplateError> {
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
                    let (names, over) = declared(rest)?;
                    let over = pipeline(over)?;
                    let (body, otherwise) = self.block()?;
                    nodes.push(Node::Range { names, over, body, otherwise });
                }
                "with" => {
                    let (body, otherwise) = self.block()?;
                    nodes.push(Node::With { over: pipeline(rest)?, body, otherwise });
                }
                _ => nodes.push(match assignment(&action) {
                    Some((name, declared, value)) => {
                        Node::Assign { name: name.to_owned(), declared, value: pipeline(value)? }
                    }
                    None => Node::Print(pipeline(&action)?),
                }),
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

/// The variables before `:=` in a `range`, and the rest.
fn declared(text: &str) -> Result<(Vec<String>, &str), TemplateError> {
    let Some((names, over)) = text.split_once(":=") else { return Ok((Vec::new(), text)) };
    if !names.trim_start().starts_with('$') {
        return Ok((Vec::new(), text));
    }
    let names: Vec<String> = names.split(',').map(|name| name.trim().trim_start_matches('$').to_owned()).collect();
    if names.len() > 2 { fail("too many declarations in range") } else { Ok((names, over)) }
}

/// Name, whether it is new, and value of `$name := value` or `$name = value`.
fn assignment(action: &str) -> Option<(&str, bool, &str)> {
    let rest = action.strip_prefix('$')?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    let (name, rest) = rest.split_at(end);
    let rest = rest.trim_start();
    match rest.strip_prefix(":=") {
        Some(value) => Some((name, true, value)),
        None => Some((name, false, rest.strip_prefix('=')?)),
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
        let (name, rest) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
        return Ok(Word::Variable(name.to_owned(), path(rest)));
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
