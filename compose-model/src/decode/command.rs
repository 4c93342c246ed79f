//! Splitting a command string into words.

/// Splits a command as the reference does, which is not quite a shell: an unquoted `;`, `&`, `|`,
/// `<` or `>` ends the command and the rest is dropped; a backslash makes a line break of `n` and a
/// tab of `t`; nothing is expanded. `None` where quotes, parentheses or a backslash are left open.
#[must_use]
pub fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut has_word = false;
    let (mut escaped, mut double, mut single, mut back, mut dollar) = (false, false, false, false, false);
    for character in line.chars() {
        if escaped {
            word.push(match character {
                't' => '\t',
                'n' => '\n',
                other => other,
            });
            escaped = false;
            has_word = true;
            continue;
        }
        let quoted = double || single || back || dollar;
        match character {
            '\\' => {
                if single {
                    word.push(character);
                } else {
                    escaped = true;
                }
                continue;
            }
            ' ' | '\t' | '\r' | '\n' => {
                if quoted {
                    word.push(character);
                } else if has_word {
                    words.push(std::mem::take(&mut word));
                    has_word = false;
                }
                continue;
            }
            '`' if !single && !double && !dollar => back = !back,
            ')' if !single && !double && !back => dollar = !dollar,
            '(' if !single && !double && !back => {
                if dollar || !word.ends_with('$') {
                    return None;
                }
                dollar = true;
                word.push('(');
                continue;
            }
            '"' if !single && !dollar => {
                has_word |= double;
                double = !double;
                continue;
            }
            '\'' if !double && !dollar => {
                has_word |= single;
                single = !single;
                continue;
            }
            ';' | '&' | '|' | '<' | '>' if !quoted => {
                // `2>` is a redirection as a whole.
                if character == '>' && word.starts_with(|first: char| first.is_ascii_digit()) {
                    has_word = false;
                }
                break;
            }
            _ => {}
        }
        has_word = true;
        word.push(character);
    }
    if has_word {
        words.push(word);
    }
    if escaped || double || single || back || dollar { None } else { Some(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_the_reference_splits_it() {
        for (line, expected) in [
            ("sh -c \"a b\"", Some(vec!["sh", "-c", "a b"])),
            ("a '' b", Some(vec!["a", "", "b"])),
            ("a;b", Some(vec!["a"])),
            ("a 2>x", Some(vec!["a"])),
            ("a #b", Some(vec!["a", "#b"])),
            ("a\\nb \"c\\td\"", Some(vec!["a\nb", "c\td"])),
            ("echo $(a b) c", Some(vec!["echo", "$(a b)", "c"])),
            ("", Some(vec![])),
            ("(a)", None),
            ("a \"b", None),
            ("a\\", None),
        ] {
            let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(split(line), expected, "{line}");
        }
    }
}
