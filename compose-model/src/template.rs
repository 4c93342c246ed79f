//! The expression language of variables: `$NAME`, `${NAME:-default}` and their kin.
//!
//! Pure text to text; trees are walked in `interpolate`, env files in `dotenv`. The grammar is
//! that of the reference, odd corners included: an expression may not span lines, and braces
//! inside one are counted (a character after `{` is not looked at).

use std::ops::Range;
use std::sync::Arc;

use crate::source::Span;

/// The value of a variable and the place that set it, if that is a text of this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its value.
    pub text: Arc<str>,
    /// The line of the env file that set it.
    pub span: Option<Span>,
}

/// Finds a variable; `None` if it is not set.
pub type Lookup<'a> = dyn Fn(&str) -> Option<Variable> + 'a;

/// What a substitution met on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The variable is not set and has no default; it became empty text.
    Unset(&'a str),
    /// The variable's value was used.
    Used(&'a str, Variable),
}

/// Why a text could not be substituted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No expression of the grammar.
    #[error("invalid interpolation format for {template:?}, you may need to escape any $ with another $")]
    Invalid {
        /// The text that holds it: the whole, or the default that was being expanded.
        template: String,
        /// Where it begins in the outermost text.
        range: Range<usize>,
    },
    /// `${NAME:?message}` of a variable that is not set.
    #[error("required variable {name} is missing a value{}", if message.is_empty() { String::new() } else { format!(": {message}") })]
    Required {
        /// The variable.
        name: String,
        /// The message given, substituted itself.
        message: String,
        /// The expression in the outermost text.
        range: Range<usize>,
    },
    /// Defaults inside defaults beyond any sense.
    #[error("variable defaults are nested more than {NESTING_LIMIT} levels deep")]
    TooDeep {
        /// The expression in the outermost text.
        range: Range<usize>,
    },
}

impl TemplateError {
    /// The bytes of the outermost text that are at fault.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        match self {
            Self::Invalid { range, .. } | Self::Required { range, .. } | Self::TooDeep { range } => range.clone(),
        }
    }
}

/// Deepest nesting of defaults.
pub const NESTING_LIMIT: usize = 64;

/// What follows a name in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Default,
    Replacement,
    Required,
}

/// One expression as found in a text.
enum Found<'a> {
    Escaped,
    Invalid,
    Variable { name: &'a str, operation: Option<(Operator, bool, &'a str)> },
}

/// A cursor over the expressions of a text.
struct Scanner<'a> {
    text: &'a str,
    position: usize,
    /// End of the line that the position is in, once known.
    line_end: usize,
}

fn name_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_') {
        return 0;
    }
    bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, position: 0, line_end: 0 }
    }

    /// The next expression and its range; text between expressions is left to the caller.
    fn next(&mut self) -> Option<(Range<usize>, Found<'a>)> {
        loop {
            let start = self.position + self.text.get(self.position..)?.find('$')?;
            let rest = &self.text[start + 1..];
            let (length, found) = match rest.as_bytes().first() {
                Some(b'$') => (2, Found::Escaped),
                Some(b'{') => self.braced(start),
                _ => match name_length(rest) {
                    0 => {
                        self.position = start + 1;
                        continue;
                    }
                    length => (length + 1, Found::Variable { name: &rest[..length], operation: None }),
                },
            };
            self.position = start + length;
            return Some((start..start + length, found));
        }
    }

    /// An expression in braces that begins at `start`, and its length.
    fn braced(&mut self, start: usize) -> (usize, Found<'a>) {
        let inside = &self.text[start + 2..];
        let length = name_length(inside);
        let (name, after) = inside.split_at(length);
        if length == 0 {
            return (2, Found::Invalid);
        }
        if after.starts_with('}') {
            return (length + 3, Found::Variable { name, operation: None });
        }
        let (colon, sign) = match after.strip_prefix(':') {
            Some(rest) => (true, rest),
            None => (false, after),
        };
        let operator = match sign.as_bytes().first() {
            Some(b'-') => Operator::Default,
            Some(b'+') => Operator::Replacement,
            Some(b'?') => Operator::Required,
            _ => return (2, Found::Invalid),
        };
        let argument = start + 2 + length + usize::from(colon) + 1;
        if self.line_end <= start {
            self.line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        }
        let Some(last) = self.text[argument..self.line_end.max(argument)].rfind('}') else {
            return (2, Found::Invalid);
        };
        let last = argument + last;
        let end = closing_brace(&self.text.as_bytes()[start..=last]).map_or(last, |at| start + at);
        // The counting may close before the argument begins (`${A` followed by nothing): then the
        // expression has no end of its own.
        let end = if end < argument { last } else { end };
        let operation = Some((operator, colon, &self.text[argument..end]));
        (end + 1 - start, Found::Variable { name, operation })
    }
}

/// The index of the brace that closes the first one, by the reference's way of counting.
fn closing_brace(text: &[u8]) -> Option<usize> {
    let mut open = 0usize;
    let mut index = 0;
    while let Some(byte) = text.get(index) {
        match byte {
            b'}' => {
                open = open.saturating_sub(1);
                if open == 0 {
                    return Some(index);
                }
            }
            b'{' => {
                open += 1;
                index += 1;
            }
            _ => {}
        }
        index += 1;
    }
    None
}

/// Fills in all expressions of a text.
///
/// # Errors
/// For text after `$` that is no expression, and for a required variable that is not set.
pub fn substitute(text: &str, lookup: &Lookup<'_>, on: &mut dyn FnMut(Event<'_>)) -> Result<String, TemplateError> {
    substitute_nested(text, lookup, on, None, 0)
}

fn substitute_nested(
    text: &str,
    lookup: &Lookup<'_>,
    on: &mut dyn FnMut(Event<'_>),
    outer: Option<&Range<usize>>,
    depth: usize,
) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(text.len());
    let mut scanner = Scanner::new(text);
    let mut copied = 0;
    while let Some((range, found)) = scanner.next() {
        out.push_str(&text[copied..range.start]);
        copied = range.end;
        let shown = outer.unwrap_or(&range);
        match found {
            Found::Escaped => out.push('$'),
            Found::Invalid => {
                let range = if outer.is_some() { shown.clone() } else { range.clone() };
                return Err(TemplateError::Invalid { template: text.to_owned(), range });
            }
            Found::Variable { name, operation } => {
                if depth > NESTING_LIMIT {
                    return Err(TemplateError::TooDeep { range: shown.clone() });
                }
                let value = lookup(name);
                let mut nested = |text| substitute_nested(text, lookup, on, Some(shown), depth + 1);
                let Some((operator, colon, argument)) = operation else {
                    match value {
                        None => on(Event::Unset(name)),
                        Some(value) => {
                            out.push_str(&value.text);
                            on(Event::Used(name, value));
                        }
                    }
                    continue;
                };
                // With a colon an empty value counts as none.
                let value = value.filter(|value| !colon || !value.text.is_empty());
                match (operator, value) {
                    (Operator::Default, None) | (Operator::Replacement, Some(_)) => out.push_str(&nested(argument)?),
                    (Operator::Replacement, None) => {}
                    (Operator::Required, None) => {
                        let message = nested(argument)?;
                        return Err(TemplateError::Required { name: name.to_owned(), message, range: shown.clone() });
                    }
                    (Operator::Default | Operator::Required, Some(value)) => {
                        out.push_str(&value.text);
                        on(Event::Used(name, value));
                    }
                }
            }
        }
    }
    out.push_str(&text[copied..]);
    Ok(out)
}

/// What a text says about one variable that it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mention {
    /// The variable; empty for an expression that is none.
    pub name: String,
    /// The default given.
    pub default: String,
    /// The text that replaces it when it is set.
    pub presence: String,
    /// Whether the text refuses to go without it.
    pub required: bool,
}

impl Mention {
    /// Adds what a later mention of the same variable says; what is there already stays.
    pub fn combine(&mut self, other: Self) {
        self.required |= other.required;
        if self.default.is_empty() {
            self.default = other.default;
        }
        if self.presence.is_empty() {
            self.presence = other.presence;
        }
    }
}

/// The variables that a text uses, those inside defaults and replacements included.
#[must_use]
pub fn mentions(text: &str) -> Vec<Mention> {
    let mut found = Vec::new();
    collect_mentions(text, &mut found, 0);
    found
}

/// The order is that of the reference, which shows when one name is used several times: what
/// follows an expression on its line comes before it, what is inside it after it.
fn collect_mentions(text: &str, mentions: &mut Vec<Mention>, depth: usize) {
    if depth > NESTING_LIMIT {
        return;
    }
    let mut scanner = Scanner::new(text);
    while let Some((range, found)) = scanner.next() {
        match found {
            Found::Escaped => {}
            Found::Invalid => mentions.push(Mention::default()),
            Found::Variable { name, operation: None } => {
                mentions.push(Mention { name: name.to_owned(), ..Mention::default() });
            }
            Found::Variable { name, operation: Some((operator, _, argument)) } => {
                let line_end = scanner.line_end.max(range.end);
                if depth < NESTING_LIMIT
                    && let Some(last) = text[range.end..line_end].rfind('}')
                {
                    let rest_end = range.end + last + 1;
                    collect_mentions(&text[range.end..rest_end], mentions, depth + 1);
                    scanner.position = rest_end;
                }
                let mut mention = Mention { name: name.to_owned(), ..Mention::default() };
                match operator {
                    Operator::Required => mention.required = true,
                    Operator::Default => argument.clone_into(&mut mention.default),
                    Operator::Replacement => argument.clone_into(&mut mention.presence),
                }
                mentions.push(mention);
                if operator != Operator::Required {
                    collect_mentions(argument, mentions, depth + 1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<Variable> {
        let text = match name {
            "S" => "val",
            "E" => "",
            _ => return None,
        };
        Some(Variable { text: Arc::from(text), span: None })
    }

    /// The result, then the names found unset; or the error.
    fn run(text: &str) -> String {
        let mut unset = String::new();
        let result = substitute(text, &lookup, &mut |event| {
            if let Event::Unset(name) = event {
                unset.push_str(" !");
                unset.push_str(name);
            }
        });
        match result {
            Ok(text) => text + &unset,
            Err(TemplateError::Invalid { template, .. }) => format!("invalid: {template}{unset}"),
            Err(error) => format!("{error}{unset}"),
        }
    }

    #[test]
    fn expressions_give_what_the_reference_gives() {
        let cases = [
            ("${A:-{}} ${B}", "invalid: {}} ${B"),
            ("${A:-{}}", "{}"),
            ("${A:-x} mid ${B}", "x mid  !B"),
            ("${A:-x} m } ${B:-y}", "x m } y"),
            ("${S:-{\"a\": 1}} }", "val }"),
            ("${S:-{}} x", "val x"),
            ("$$", "$"),
            ("$$$S", "$val"),
            ("$1", "$1"),
            ("a $ b", "a $ b"),
            ("x$", "x$"),
            ("${}", "invalid: ${}"),
            ("${ S}", "invalid: ${ S}"),
            ("${S }", "invalid: ${S }"),
            ("${S-}", "val"),
            ("${S:=x}", "invalid: ${S:=x}"),
            ("${A:-${B:-$C}}", " !C"),
            ("${A:-${B:-c}}d", "cd"),
            ("${A:+x}${S:+y}", "y"),
            ("${S:+${S}}", "val"),
            ("${A-a}b}", "ab}"),
            ("${A:-a\\}b}", "a\\b}"),
            ("$S$S", "valval"),
            ("$s", " !s"),
            ("${S:?msg}", "val"),
            ("${S:+a:-b}", "a:-b"),
            ("${A-a:?b}", "a:?b"),
            ("${A:-$$}", "$"),
            ("${A:-$${S}}", "${S}"),
            ("$${S}", "${S}"),
            ("${A:-x}\n${A:-y}", "x\ny"),
            ("${A:-x\ny}", "invalid: ${A:-x\ny}"),
            ("${A:-x} ${", "invalid: ${A:-x} ${"),
            ("$S{", "val{"),
            ("${S}}", "val}"),
            ("$é", "$é"),
            ("${A:-{{.X}}}", "{{.X}}"),
            ("${A:-{{.X}} y} z ${S}", "{{.X} y} z val"),
            ("${S:-{}", "val"),
            ("${S:-{{}}}", "val}"),
            ("${A:-}}", "}"),
            ("${A:?}", "required variable A is missing a value"),
            ("${A:?m ${S}}", "required variable A is missing a value: m val"),
            ("${A?$B}", "required variable A is missing a value !B"),
            ("${S:?$B}", "val"),
            ("${E:-x}|${E-x}|${E:+x}|${E+x}|${E}", "x|||x|"),
            ("${E:?no}", "required variable E is missing a value: no"),
            ("${E?no}", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(run(text), expected, "{text:?}");
        }
    }

    #[test]
    fn variables_are_listed_with_defaults_inside_defaults() {
        let list = |text: &str| {
            let mentions = mentions(text);
            let shown: Vec<String> = mentions
                .iter()
                .map(|m| format!("{}|{}|{}|{}", m.name, m.default, m.presence, if m.required { "!" } else { "" }))
                .collect();
            shown.join(" ; ")
        };
        assert_eq!(list("${A:-x} mid ${B} $$C"), "B||| ; A|x||");
        assert_eq!(list("${A:-${B:-$C}}${D:?m}${E+p}"), "E||p| ; D|||! ; A|${B:-$C}|| ; B|$C|| ; C|||");
        assert_eq!(list("${"), "|||");
        assert_eq!(list("${A:+${B:-b}-$A}"), "A||${B:-b}-$A| ; B|b|| ; A|||");
    }

    #[test]
    fn a_long_or_deep_text_is_no_burden() {
        let long = "${A:-x}".repeat(50_000);
        assert_eq!(run(&long).len(), 50_000);
        let deep = "${A:-".repeat(10_000) + &"}".repeat(10_000);
        assert!(run(&deep).contains("nested"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ABS$${}:?+\\-\n é]{0,40}") {
            let _ = substitute(&text, &lookup, &mut |_| {});
            let _ = mentions(&text);
        }
    }
}
