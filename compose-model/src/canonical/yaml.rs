//! YAML as the reference writes it, byte for byte: two blanks of indent, lists indented below
//! their key, lines folded after column 80, a quoting style for every kind of text, and keys of
//! mappings in an order where `A2` stands before `A10`.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt::Write;

use super::document::{Document, Key};

/// Lines are folded at the first blank after this column.
const WIDTH: usize = 80;
/// Longer keys are written with `?`.
const SIMPLE_KEY_LIMIT: usize = 128;

/// Writes a document with a final line break.
#[must_use]
pub fn write(document: &Document) -> String {
    let mut writer = Writer { out: String::new(), line_start: 0 };
    match document {
        Document::Structure(entries) | Document::Mapping(entries) if !entries.is_empty() => {
            writer.mapping(document, entries, 0, true);
        }
        Document::Sequence(items) if !items.is_empty() => writer.sequence(items, 0, true),
        scalar => {
            writer.scalar(scalar, 0);
            writer.line_break();
        }
    }
    writer.out
}

struct Writer {
    out: String,
    /// Byte where the current line begins.
    line_start: usize,
}

impl Writer {
    fn line_break(&mut self) {
        self.out.push('\n');
        self.line_start = self.out.len();
    }

    fn column(&self) -> usize {
        self.out[self.line_start..].chars().count()
    }

    fn indent(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    /// Entries at `indent`; with `inline` the first one continues the current line.
    fn mapping(&mut self, document: &Document, entries: &[(Key, Document)], indent: usize, inline: bool) {
        let mut order: Vec<&(Key, Document)> = entries.iter().collect();
        if matches!(document, Document::Mapping(_)) {
            order = sorted(order);
        }
        for (index, (key, value)) in order.into_iter().enumerate() {
            if index > 0 || !inline {
                self.indent(indent);
            }
            let kind = Text::analyse(key);
            if kind.multiline || key.len() > SIMPLE_KEY_LIMIT {
                self.out.push_str("? ");
                self.text(key, indent + 2);
                if !self.out.ends_with('\n') {
                    self.line_break();
                }
                self.indent(indent);
            } else {
                self.key(key, &kind);
            }
            self.out.push(':');
            self.value(value, indent);
        }
    }

    fn sequence(&mut self, items: &[Document], indent: usize, inline: bool) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 || !inline {
                self.indent(indent);
            }
            self.out.push('-');
            match item {
                Document::Structure(entries) | Document::Mapping(entries) if !entries.is_empty() => {
                    self.out.push(' ');
                    self.mapping(item, entries, indent + 2, true);
                }
                Document::Sequence(items) if !items.is_empty() => {
                    self.out.push(' ');
                    self.sequence(items, indent + 2, true);
                }
                scalar => {
                    self.out.push(' ');
                    self.scalar(scalar, indent + 2);
                    if !self.out.ends_with('\n') {
                        self.line_break();
                    }
                }
            }
        }
    }

    /// What follows the colon of an entry at `indent`.
    fn value(&mut self, value: &Document, indent: usize) {
        match value {
            Document::Structure(entries) | Document::Mapping(entries) if !entries.is_empty() => {
                self.line_break();
                self.mapping(value, entries, indent + 2, false);
            }
            Document::Sequence(items) if !items.is_empty() => {
                self.line_break();
                self.sequence(items, indent + 2, false);
            }
            scalar => {
                self.out.push(' ');
                self.scalar(scalar, indent + 2);
                if !self.out.ends_with('\n') {
                    self.line_break();
                }
            }
        }
    }

    fn scalar(&mut self, scalar: &Document, indent: usize) {
        match scalar {
            Document::Null => self.out.push_str("null"),
            Document::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Document::Int(value) => {
                let _ = write!(self.out, "{value}");
            }
            Document::Uint(value) => {
                let _ = write!(self.out, "{value}");
            }
            Document::Float(value) => self.out.push_str(&float(*value)),
            Document::Text(text) => self.text(text, indent),
            Document::Verbatim(text) => self.out.push_str(text),
            Document::Sequence(_) => self.out.push_str("[]"),
            Document::Structure(_) | Document::Mapping(_) => self.out.push_str("{}"),
        }
    }

    fn key(&mut self, key: &str, kind: &Text) {
        match style(key, kind) {
            Style::Plain if !key.is_empty() => self.out.push_str(key),
            Style::Plain | Style::Single => self.single_quoted(key, None),
            Style::Double | Style::Literal => self.double_quoted(key, None),
        }
    }

    fn text(&mut self, text: &str, indent: usize) {
        match style(text, &Text::analyse(text)) {
            Style::Plain => self.plain(text, indent),
            Style::Single => self.single_quoted(text, Some(indent)),
            Style::Double => self.double_quoted(text, Some(indent)),
            Style::Literal => self.literal(text, indent),
        }
    }

    fn fold(&mut self, indent: usize) {
        self.line_break();
        self.indent(indent);
    }

    fn plain(&mut self, text: &str, indent: usize) {
        // Lines are folded at blanks only, and not before the limit.
        if text.len() < WIDTH / 2 && self.out.len() - self.line_start <= WIDTH / 2 || !text.contains(' ') {
            self.out.push_str(text);
            return;
        }
        let mut column = self.column();
        let mut after_space = false;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let is_space = character == ' ';
            if is_space && !after_space && characters.peek() != Some(&' ') && column > WIDTH {
                self.fold(indent);
                column = indent;
            } else {
                self.out.push(character);
                column += 1;
            }
            after_space = is_space;
        }
    }

    fn single_quoted(&mut self, text: &str, fold_at: Option<usize>) {
        self.out.push('\'');
        let mut column = self.column();
        let mut after_space = false;
        let mut characters = text.char_indices().peekable();
        while let Some((index, character)) = characters.next() {
            let is_space = character == ' ';
            let inside = index > 0 && index + 1 < text.len();
            match fold_at {
                Some(indent)
                    if is_space
                        && !after_space
                        && inside
                        && characters.peek().is_none_or(|(_, next)| *next != ' ')
                        && column > WIDTH =>
                {
                    self.fold(indent);
                    column = indent;
                }
                _ => {
                    if character == '\'' {
                        self.out.push('\'');
                        column += 1;
                    }
                    self.out.push(character);
                    column += 1;
                }
            }
            after_space = is_space;
        }
        self.out.push('\'');
    }

    fn double_quoted(&mut self, text: &str, fold_at: Option<usize>) {
        self.out.push('"');
        let mut column = self.column();
        let mut after_space = false;
        let starts_with_mark = text.starts_with('\u{feff}');
        let mut characters = text.char_indices().peekable();
        while let Some((index, character)) = characters.next() {
            let inside = index > 0 && index + 1 < text.len();
            if character == ' ' {
                match fold_at {
                    Some(indent) if !after_space && inside && column > WIDTH => {
                        self.fold(indent);
                        column = indent;
                        if characters.peek().is_some_and(|(_, next)| *next == ' ') {
                            self.out.push('\\');
                        }
                    }
                    _ => {
                        self.out.push(' ');
                        column += 1;
                    }
                }
                after_space = true;
                continue;
            }
            after_space = false;
            let before = self.out.len();
            if starts_with_mark && is_printable(character) && !matches!(character, '"' | '\\') {
                // The reference looks for the mark at the wrong place and escapes everything.
                self.code_escape(character);
            } else {
                self.escaped(character);
            }
            column += self.out[before..].chars().count();
        }
        self.out.push('"');
    }

    fn escaped(&mut self, character: char) {
        let short = match character {
            '\0' => '0',
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            '\r' => 'r',
            '\u{1b}' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            character if is_printable(character) => {
                self.out.push(character);
                return;
            }
            character => {
                self.code_escape(character);
                return;
            }
        };
        self.out.push('\\');
        self.out.push(short);
    }

    fn code_escape(&mut self, character: char) {
        let code = u32::from(character);
        let _ = match code {
            0..=0xFF => write!(self.out, "\\x{code:02X}"),
            0x100..=0xFFFF => write!(self.out, "\\u{code:04X}"),
            _ => write!(self.out, "\\U{code:08X}"),
        };
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.out.push('|');
        // The reference forgets the digit where empty lines stand before the blank, and then reads
        // another text than it wrote.
        if text.trim_start_matches('\n').starts_with(' ') {
            self.out.push('2');
        }
        if !text.ends_with('\n') {
            self.out.push('-');
        } else if text == "\n" || text.ends_with("\n\n") {
            self.out.push('+');
        }
        self.line_break();
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            if !line.is_empty() {
                self.indent(indent);
                self.out.push_str(line);
            }
            self.line_break();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

fn style(text: &str, kind: &Text) -> Style {
    let wanted = if text.contains('\n') {
        // Nothing but line breaks is unreadable as a block.
        if text.bytes().all(|byte| byte == b'\n') { Style::Double } else { Style::Literal }
    } else if is_other_type(text) {
        Style::Double
    } else if is_old_boolean(text) || is_base_60(text) || text == "<<" {
        Style::Single
    } else {
        Style::Plain
    };
    match wanted {
        Style::Plain if kind.plain_allowed => Style::Plain,
        Style::Plain | Style::Single if kind.single_allowed => Style::Single,
        Style::Literal if kind.block_allowed => Style::Literal,
        _ => Style::Double,
    }
}

/// Which styles can hold a text.
#[derive(Clone, Copy, Debug)]
struct Text {
    multiline: bool,
    plain_allowed: bool,
    single_allowed: bool,
    block_allowed: bool,
}

impl Text {
    /// Reads a text once, as YAML emitters do since libyaml.
    fn analyse(text: &str) -> Self {
        if text.is_empty() {
            return Self { multiline: false, plain_allowed: true, single_allowed: true, block_allowed: false };
        }
        // Most texts are words and paths, which every style can hold.
        let is_simple = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'.' | b'-');
        let first = text.as_bytes()[0];
        if (first.is_ascii_alphanumeric() || matches!(first, b'_' | b'/')) && text.bytes().all(is_simple) {
            return Self { multiline: false, plain_allowed: true, single_allowed: true, block_allowed: true };
        }
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut line_breaks, mut special) = (false, false);
        let (mut leading, mut trailing_space, mut trailing_break) = (false, false, false);
        let (mut break_space, mut space_break) = (false, false);
        let (mut previous_space, mut previous_break, mut after_blank) = (false, false, true);
        let mut has_tabs = false;
        let mut characters = text.char_indices().peekable();
        while let Some((index, character)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            let before_blank = next.is_none_or(|next| matches!(next, ' ' | '\t') || is_break(next));
            let is_last = next.is_none();
            if index == 0 {
                indicators |= match character {
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => {
                        true
                    }
                    '?' | ':' | '-' => before_blank,
                    _ => false,
                };
            } else {
                indicators |= match character {
                    ':' => before_blank,
                    '#' => after_blank,
                    _ => false,
                };
            }
            if character == '\t' {
                has_tabs = true;
            } else if !is_printable(character) {
                special = true;
            }
            if character == ' ' {
                leading |= index == 0;
                trailing_space |= is_last;
                break_space |= previous_break;
                (previous_space, previous_break) = (true, false);
            } else if is_break(character) {
                line_breaks = true;
                leading |= index == 0;
                trailing_break |= is_last;
                space_break |= previous_space;
                (previous_space, previous_break) = (false, true);
            } else {
                (previous_space, previous_break) = (false, false);
            }
            after_blank = matches!(character, ' ' | '\t') || is_break(character);
        }
        let quoted_only = space_break || special || has_tabs;
        Self {
            multiline: line_breaks,
            plain_allowed: !(leading
                || trailing_space
                || trailing_break
                || break_space
                || quoted_only
                || line_breaks
                || indicators),
            single_allowed: !(break_space || quoted_only),
            block_allowed: !(trailing_space || space_break || special),
        }
    }
}

fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The reference's writer takes everything beyond the basic plane for unprintable.
fn is_printable(character: char) -> bool {
    matches!(character, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// Texts that YAML 1.1 read as booleans.
fn is_old_boolean(text: &str) -> bool {
    matches!(
        text,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF"
    )
}

/// Texts that YAML 1.1 read as numbers to the base 60, such as `22:22`.
fn is_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !text.starts_with(|digit: char| digit.is_ascii_digit()) {
        return false;
    }
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    if fraction.is_some_and(|fraction| !fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')) {
        return false;
    }
    let mut parts = whole.split(':');
    let is_first = parts.next().is_some_and(|first| first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_'));
    let mut count = 0;
    let all_small = parts.all(|part| {
        count += 1;
        match part.as_bytes() {
            [digit] => digit.is_ascii_digit(),
            [tens, digit] => matches!(tens, b'0'..=b'5') && digit.is_ascii_digit(),
            _ => false,
        }
    });
    is_first && all_small && count > 0
}

/// Whether the unquoted text would be read as something else than text.
fn is_other_type(text: &str) -> bool {
    use crate::yaml_types::resolve;
    !matches!(resolve(text), crate::tree::Typed::Text)
}

/// A number as Go's `%g` writes it.
fn float(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    crate::tree::go_float(value)
}

/// Sorts entries by [`key_order`]. That order is not transitive for odd keys, and the standard
/// library's sort may panic on such an order; merging by hand cannot.
pub(super) fn sorted<T: Borrow<(Key, Document)>>(entries: Vec<T>) -> Vec<T> {
    if entries.is_sorted_by(|a, b| key_order(&a.borrow().0, &b.borrow().0) != Ordering::Greater) {
        return entries;
    }
    let mut left = entries;
    let right = left.split_off(left.len() / 2);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let mut left = sorted(left).into_iter().peekable();
    let mut right = sorted(right).into_iter().peekable();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if key_order(&b.borrow().0, &a.borrow().0) == Ordering::Less { right.next() } else { left.next() };
        merged.extend(next);
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

/// The reference's order of keys: by character, but letters after everything else and runs of
/// digits by their number.
fn key_order(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() {
        return order_of_letters(a.as_bytes(), b.as_bytes());
    }
    let letters = |text: &str| text.chars().collect::<Vec<char>>();
    order_of_letters(&letters(a), &letters(b))
}

fn order_of_letters<L: Copy + Into<char>>(a: &[L], b: &[L]) -> Ordering {
    let mut digits = false;
    for index in 0..a.len().min(b.len()) {
        let (x, y): (char, char) = (a[index].into(), b[index].into());
        if x == y {
            digits = x.is_numeric();
            continue;
        }
        let less = match (x.is_alphabetic(), y.is_alphabetic()) {
            (true, true) => x < y,
            (x_letter, y_letter) if x_letter || y_letter => {
                if digits {
                    x_letter
                } else {
                    y_letter
                }
            }
            _ => {
                let mut start = (0_i64, 0_i64);
                if x == '0' || y == '0' {
                    let nonzero = a[..index]
                        .iter()
                        .rev()
                        .map(|digit| (*digit).into())
                        .take_while(|digit: &char| digit.is_numeric())
                        .any(|digit| digit != '0');
                    if nonzero {
                        start = (1, 1);
                    }
                }
                let (x_number, x_end) = number(a, index, start.0);
                let (y_number, y_end) = number(b, index, start.1);
                if x_number != y_number {
                    x_number < y_number
                } else if x_end != y_end {
                    x_end < y_end
                } else {
                    x < y
                }
            }
        };
        return if less { Ordering::Less } else { Ordering::Greater };
    }
    a.len().cmp(&b.len())
}

fn number<L: Copy + Into<char>>(text: &[L], from: usize, start: i64) -> (i64, usize) {
    let mut number = start;
    let mut index = from;
    while let Some(digit) = text.get(index).map(|digit| (*digit).into()).filter(|digit: &char| digit.is_numeric()) {
        let value = i64::from(u32::from(digit)) - i64::from(u32::from('0'));
        number = number.wrapping_mul(10).wrapping_add(value);
        index += 1;
    }
    (number, index)
}
