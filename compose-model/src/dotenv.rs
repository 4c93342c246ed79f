//! The grammar of `.env`, `env_file`, `label_file` and of `format: raw`.
//!
//! Pure text to variables. Odd corners are those of the reference, because containers and
//! config hashes depend on them: text that ends without `=` becomes a value without name, and
//! text after a closing quote begins the next statement.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::source::{SourceId, Span};
use crate::template::{self, Event, Lookup, TemplateError, Variable};

/// The variables of env files, in the order first named.
pub type Variables = IndexMap<Arc<str>, Variable>;

/// A mistake in an env file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EnvFileError {
    /// What is wrong, with the line where the reference names it.
    pub message: String,
    /// Where.
    pub span: Span,
}

/// Reads the statements of an env file and adds them to `variables`, later ones winning.
///
/// `$NAME` is taken from `lookup`, else from the variables read so far. `on_unset` hears of
/// variables that neither has.
///
/// # Errors
/// The first mistake; what was read before it stays added.
pub fn parse(
    source: SourceId,
    text: &str,
    lookup: &Lookup<'_>,
    variables: &mut Variables,
    on_unset: &mut dyn FnMut(&str, Span),
) -> Result<(), EnvFileError> {
    let mut parser = Parser { source, text, position: 0, line: 1, lookup, variables, on_unset };
    parser.run()
}

/// Reads an env file as `docker run --env-file` does: `KEY=VALUE` lines, everything literal; a
/// bare `KEY` is taken from `lookup`.
///
/// # Errors
/// The first mistake; what was read before it stays added.
pub fn parse_raw(
    source: SourceId,
    text: &str,
    lookup: &Lookup<'_>,
    variables: &mut Variables,
) -> Result<(), EnvFileError> {
    let mut start = 0;
    for whole in text.split_inclusive('\n') {
        let line_start = start;
        start += whole.len();
        let line = whole.strip_suffix('\n').unwrap_or(whole);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let at = line_start + line.len() - trimmed.len();
        let span = Span::new(source, at, at + trimmed.len());
        let (key, value) = trimmed.split_once('=').map_or((trimmed, None), |(key, value)| (key, Some(value)));
        if key.is_empty() {
            return Err(EnvFileError { message: format!("no variable name on line '{trimmed}'"), span });
        }
        if key.contains(char::is_whitespace) {
            let span = Span::new(source, at, at + key.len());
            return Err(EnvFileError { message: format!("variable '{key}' contains whitespaces"), span });
        }
        let value = match value {
            Some(value) => Variable { text: Arc::from(value), span: Some(span) },
            None => match lookup(key) {
                Some(value) => value,
                None => continue,
            },
        };
        variables.insert(Arc::from(key), value);
    }
    Ok(())
}

struct Parser<'a> {
    source: SourceId,
    text: &'a str,
    position: usize,
    line: usize,
    lookup: &'a Lookup<'a>,
    variables: &'a mut Variables,
    on_unset: &'a mut dyn FnMut(&str, Span),
}

/// Blank, but no line break.
fn is_blank(letter: char) -> bool {
    matches!(letter, '\t' | '\u{B}' | '\u{C}' | '\r' | ' ' | '\u{85}' | '\u{A0}')
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or("")
    }

    fn error(&self, message: String, start: usize, end: usize) -> EnvFileError {
        EnvFileError { message: format!("line {}: {message}", self.line), span: Span::new(self.source, start, end) }
    }

    fn run(&mut self) -> Result<(), EnvFileError> {
        while self.skip_to_statement() {
            let start = self.position;
            let (key, inherited) = self.key()?;
            if key.contains(' ') {
                return Err(self.error("key cannot contain a space".to_owned(), start, start + key.len()));
            }
            if inherited {
                if let Some(value) = (self.lookup)(key) {
                    self.variables.insert(Arc::from(key), value);
                }
                continue;
            }
            let value = self.value()?;
            let end = start + self.text[start..self.position].trim_end().len();
            let span = Some(Span::new(self.source, start, end.max(start)));
            self.variables.insert(Arc::from(key), Variable { text: Arc::from(value), span });
        }
        Ok(())
    }

    /// Moves over blanks, empty lines and comments; false at the end of the text.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let rest = self.rest();
            let blank = rest.find(|letter: char| !letter.is_whitespace()).unwrap_or(rest.len());
            self.line += rest[..blank].matches('\n').count();
            self.position += blank;
            let rest = self.rest();
            if !rest.starts_with('#') {
                return !rest.is_empty();
            }
            self.position += rest.find('\n').unwrap_or(rest.len());
        }
    }

    /// A name up to `=`, `:` or the end of the line, and whether the line ended.
    fn key(&mut self) -> Result<(&'a str, bool), EnvFileError> {
        if let Some(rest) = self.rest().strip_prefix("export")
            && rest.starts_with(['\t', '\n', '\u{C}', '\r', ' '])
        {
            let name = rest.trim_start_matches(is_blank);
            self.position = self.text.len() - name.len();
        }
        let rest = self.rest();
        let mut end = None;
        for (index, letter) in rest.char_indices() {
            match letter {
                '=' | ':' | '\n' => {
                    end = Some((index, letter == '\n'));
                    break;
                }
                '_' | '.' | '-' | '[' | ']' => {}
                letter if is_blank(letter) || letter.is_alphanumeric() => {}
                letter => {
                    let line = rest.split('\n').next().unwrap_or("");
                    let message = format!(
                        "unexpected character {} in variable name {}",
                        quoted(letter.encode_utf8(&mut [0; 4])),
                        quoted(line)
                    );
                    let at = self.position + index;
                    return Err(self.error(message, at, at + letter.len_utf8()));
                }
            }
        }
        // Without any end the whole text is the value of a variable without name.
        let Some((end, inherited)) = end else { return Ok(("", false)) };
        let key = &rest[..end];
        if inherited && !key.contains(' ') {
            self.line += 1;
        }
        let after = &rest[end + 1..];
        self.position = self.text.len() - after.trim_start_matches(is_blank).len();
        Ok((key.trim_end(), inherited))
    }

    fn value(&mut self) -> Result<String, EnvFileError> {
        let rest = self.rest();
        let start = self.position;
        let quote = match rest.as_bytes().first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            _ => {
                let line = rest.split('\n').next().unwrap_or("");
                self.position = (start + line.len() + 1).min(self.text.len());
                self.line += 1;
                let value = line.split(" #").next().unwrap_or("").trim_end();
                return self.expand(value, start, start + value.len());
            }
        };
        let mut value: Vec<u8> = Vec::new();
        let mut escaped = false;
        for (index, byte) in rest.bytes().enumerate().skip(1) {
            if byte == b'\n' {
                self.line += 1;
            }
            if byte == b'\\' && !escaped {
                escaped = true;
                continue;
            }
            if byte == quote && !escaped {
                self.position = start + index + 1;
                let value = String::from_utf8_lossy(&value).into_owned();
                return match quote {
                    b'"' => self.expand(&unescape(&value), start, start + index + 1),
                    _ => Ok(value),
                };
            }
            if escaped && byte != quote {
                value.push(b'\\');
            }
            escaped = false;
            value.push(byte);
        }
        let line = rest.split('\n').next().unwrap_or("");
        // The line to name is the one where the quote opens.
        self.line -= rest.matches('\n').count();
        Err(self.error(format!("unterminated quoted value {line}"), start, start + line.len()))
    }

    fn expand(&mut self, value: &str, start: usize, end: usize) -> Result<String, EnvFileError> {
        if !value.contains('$') {
            return Ok(value.to_owned());
        }
        let span = Span::new(self.source, start, end);
        let variables = &*self.variables;
        let lookup = |name: &str| (self.lookup)(name).or_else(|| variables.get(name).cloned());
        let result = template::substitute(value, &lookup, &mut |event| {
            if let Event::Unset(name) = event {
                (self.on_unset)(name, span);
            }
        });
        result.map_err(|error| {
            let message = match error {
                TemplateError::Invalid { template, .. } => format!("Invalid template: {}", quoted(&template)),
                error => error.to_string(),
            };
            EnvFileError { message, span }
        })
    }
}

/// The escapes of a double-quoted value. `\$` becomes `$$`, which the substitution turns into `$`.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(letter) = rest.chars().next() else {
            out.push('\\');
            break;
        };
        let plain = match letter {
            'a' => "\u{7}",
            'b' => "\u{8}",
            'f' => "\u{C}",
            'n' => "\n",
            'r' => "\r",
            't' => "\t",
            'v' => "\u{B}",
            '\\' => "\\",
            '"' => "\"",
            '$' => "$$",
            '0' => {
                let digits = rest[1..].bytes().take(3).take_while(u8::is_ascii_digit).count();
                let octal = &rest[1..=digits];
                rest = &rest[digits + 1..];
                match u8::from_str_radix(octal, 8) {
                    Ok(value) if digits == 3 => out.push(char::from(value)),
                    _ => {
                        out.push('\\');
                        out.push_str(octal);
                    }
                }
                continue;
            }
            _ => {
                out.push('\\');
                continue;
            }
        };
        out.push_str(plain);
        rest = &rest[1..];
    }
    out.push_str(rest);
    out
}

/// Text in double quotes as the reference prints it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::SourceMap;

    fn lookup(name: &str) -> Option<Variable> {
        (name == "S").then(|| Variable { text: Arc::from("val"), span: None })
    }

    fn run(text: &str, raw: bool) -> String {
        let id = SourceMap::new().add("e", text);
        let mut variables = Variables::new();
        let mut unset = String::new();
        let result = if raw {
            parse_raw(id, text, &lookup, &mut variables)
        } else {
            parse(id, text, &lookup, &mut variables, &mut |name, _| unset = format!(" !{name}"))
        };
        match result {
            Err(error) => error.message,
            Ok(()) => {
                let shown: Vec<String> = variables.iter().map(|(key, value)| format!("{key}={}", value.text)).collect();
                shown.join("|") + &unset
            }
        }
    }

    #[test]
    fn env_files_are_read_as_the_reference_reads_them() {
        let cases = [
            ("A=1\nB: 2\n", "A=1|B=2"),
            ("export A=1", "A=1"),
            ("export\tA=1", "A=1"),
            ("exportA=1", "exportA=1"),
            ("A = 1 # c", "A=1"),
            ("A=a#b", "A=a#b"),
            ("A= #c", "A=#c"),
            ("A='x\ny'", "A=x\ny"),
            ("A=\"x\\ny\\t\\\"q\\\" \\$S $S\"", "A=x\ny\t\"q\" $S val"),
            ("A=${S:-d}${Q:-d}", "A=vald"),
            ("A=$$S", "A=$S"),
            ("A=\"$$S\"", "A=$S"),
            ("A='$S'", "A=$S"),
            ("A", "=A"),
            ("S\n", "S=val"),
            ("A\nB=2", "B=2"),
            ("A=1\nB=$A", "A=1|B=1"),
            ("A=\"x\" y", "A=x|=y"),
            ("A='it\\'s'", "A=it's"),
            ("A B=1", "line 1: key cannot contain a space"),
            ("A%=1", "line 1: unexpected character \"%\" in variable name \"A%=1\""),
            ("1A=x\nA.b-c=1\nA[0]=1", "1A=x|A.b-c=1|A[0]=1"),
            ("=x", "=x"),
            ("A=\"x", "line 1: unterminated quoted value \"x"),
            ("A=1\nB='x\ny", "line 2: unterminated quoted value 'x"),
            ("A=a\\nb", "A=a\\nb"),
            ("A=\"x\" # c\nB=1", "A=x|B=1"),
            ("A=\"x\" B=2", "A=x|B=2"),
            ("A:", "A="),
            ("A:  =1", "A==1"),
            ("A=${S", "Invalid template: \"${S\""),
            ("A=${Q?e}", "required variable Q is missing a value: e"),
            ("A=\"\\0101\\01\\x41\\c\"", "A=A\\1\\x41\\c"),
            ("A=\"a\\\nb\"", "A=a\\\nb"),
            ("A=$\nB=$1", "A=$|B=$1"),
            ("A=\"${S} ${Q}\"", "A=val  !Q"),
            ("A=\\$S", "A=\\val"),
            ("A=\"\\\\\\$S\"", "A=\\$S"),
            ("A=\"multi\nline\" \nB=2", "A=multi\nline|B=2"),
            ("A=\"1\"\\n", "line 1: unexpected character \"\\\\\" in variable name \"\\\\n\""),
            ("A='a' 'b'", "line 1: unexpected character \"'\" in variable name \"'b'\""),
            ("A='\\'", "line 1: unterminated quoted value '\\'"),
            ("A='x\\\\'", "A=x\\\\"),
            ("A=x\\\ny", "A=x\\|=y"),
            ("#c\n\nA=1", "A=1"),
            ("A=\"x\r\ny\"\r\nB= 1\r\nS\r\n\r\n", "A=x\r\ny|B=1|S=val"),
        ];
        for (text, expected) in cases {
            assert_eq!(run(text, false), expected, "{text:?}");
        }
    }

    #[test]
    fn raw_files_take_everything_literally() {
        let cases = [
            ("A=\"x\" # c\r\nB='y'", "A=\"x\" # c|B='y'"),
            ("B: 2", "variable 'B: 2' contains whitespaces"),
            ("S\nQ\nA= $S", "S=val|A= $S"),
            ("=x", "no variable name on line '=x'"),
            (" #c\n A%=1", "A%=1"),
        ];
        for (text, expected) in cases {
            assert_eq!(run(text, true), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_every_span_lies_inside(text in "[ABS=:#\"'\\\\$${}0-9é \n\t-]{0,40}") {
            let id = SourceMap::new().add("e", text.as_str());
            for raw in [false, true] {
                let mut variables = Variables::new();
                let result = if raw {
                    parse_raw(id, &text, &lookup, &mut variables)
                } else {
                    parse(id, &text, &lookup, &mut variables, &mut |_, _| {})
                };
                let spans = variables.values().filter_map(|value| value.span).chain(result.err().map(|error| error.span));
                for span in spans {
                    prop_assert!(text.get(span.range()).is_some());
                }
            }
        }
    }
}
