//! `__complete`: what may come next on the command line, for the shells' completion scripts.
//!
//! The protocol is the reference's, so that the Docker CLI can ask for `docker compose` too: one
//! candidate a line, with a tab before its description, then `:` and a directive for the shell.

use std::process::{Command as Process, Stdio};

use clap::{Arg, Command};

use crate::output::Output;

/// The word by which the program is asked, and the one that leaves the descriptions out.
pub(crate) const WORDS: [&str; 2] = ["__complete", "__completeNoDesc"];

/// The shell offers files.
const FILES: u8 = 0;
/// It does not.
const NO_FILES: u8 = 4;

/// Prints the candidates for the last of `words`.
pub(crate) fn run(words: &[String], described: bool, output: &Output) -> std::io::Result<()> {
    let words = words.strip_prefix(&["compose".to_owned()]).unwrap_or(words);
    let (current, before) = words.split_last().map_or(("", words), |(last, rest)| (last.as_str(), rest));
    let (candidates, directive) = candidates(&crate::args::readable_command(), before, current, &services);
    let mut text = String::new();
    for (word, about) in candidates {
        text.push_str(&word);
        if described && !about.is_empty() {
            text.push('\t');
            text.push_str(&about);
        }
        text.push('\n');
    }
    text.push_str(&format!(":{directive}\n"));
    output.data(text)
}

type Candidates = Vec<(String, String)>;

/// What may stand for `current` after `before`; `services` gives names, told the words before the
/// command.
fn candidates(
    root: &Command,
    before: &[String],
    current: &str,
    services: &dyn Fn(&[String]) -> Vec<String>,
) -> (Candidates, u8) {
    let (mut command, mut options) = (root, before.len());
    let mut value_of: Option<&Arg> = None;
    let mut positionals = 0;
    for (index, word) in before.iter().enumerate() {
        if value_of.take().is_some() {
            continue;
        }
        if word.starts_with('-') && word.len() > 1 {
            value_of = option(command, word).filter(|option| option.get_action().takes_values());
        } else if let Some(inner) = command.find_subcommand(word) {
            options = options.min(index);
            command = inner;
        } else {
            positionals += 1;
        }
    }
    if value_of.is_some() {
        return (Vec::new(), FILES);
    }
    let mut found: Candidates = Vec::new();
    if current.starts_with('-') {
        for option in command.get_arguments().filter(|option| !option.is_hide_set()) {
            let about = option.get_help().map(ToString::to_string).unwrap_or_default();
            found.extend(option.get_long().map(|long| (format!("--{long}"), about)));
        }
    } else if command.has_subcommands() {
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
            found.push((inner.get_name().to_owned(), about));
        }
    } else {
        let mut names = command.get_positionals();
        let takes = names.nth(positionals).or_else(|| command.get_positionals().last());
        let is_service = takes.is_some_and(|argument| {
            let name = argument.get_value_names().and_then(<[_]>::first).map(ToString::to_string).unwrap_or_default();
            // `SERVICE COMMAND` is a service and then something else.
            name == "SERVICE" || (name.starts_with("SERVICE ") && positionals == 0)
        });
        if !is_service {
            return (Vec::new(), FILES);
        }
        let given = &before[options..];
        let names = services(&before[..options]).into_iter().filter(|name| !given.contains(name));
        found.extend(names.map(|name| (name, String::new())));
    }
    found.retain(|(word, _)| word.starts_with(current));
    found.sort();
    (found, NO_FILES)
}

/// The option that a word spells and that awaits a value.
fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let long = word.strip_prefix("--");
    let short = word.chars().next_back();
    command.get_arguments().find(|option| match long {
        Some(long) => option.get_long() == Some(long),
        None => option.get_short().is_some() && option.get_short() == short,
    })
}

/// The project's services, from its files, else from its containers.
fn services(before_command: &[String]) -> Vec<String> {
    let ask = |words: &[&str]| -> Vec<String> {
        let Ok(program) = std::env::current_exe() else { return Vec::new() };
        let mut process = Process::new(program);
        process.args(before_command).args(words).stdin(Stdio::null()).stderr(Stdio::null());
        let Ok(done) = process.output() else { return Vec::new() };
        String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect()
    };
    let of_files = ask(&["--profile", "*", "config", "--services", "--no-consistency"]);
    if of_files.is_empty() { ask(&["ps", "-a", "--services"]) } else { of_files }
}

/// The script of a shell that asks this program; `None` for a shell that has no such script.
pub(crate) fn script(shell: &str) -> Option<&'static str> {
    Some(match shell {
        "bash" => BASH,
        "zsh" => ZSH,
        "fish" => FISH,
        _ => return None,
    })
}

const BASH: &str = r#"# Completion of compose and docker-compose for bash.
_compose() {
    local IFS=$'\n' line directive=0
    local -a words=("${COMP_WORDS[@]:1:COMP_CWORD}") candidates=()
    while IFS= read -r line; do
        case "$line" in
            :*) directive="${line#:}" ;;
            *) candidates+=("$line") ;;
        esac
    done < <("${COMP_WORDS[0]}" __completeNoDesc "${words[@]}" 2>/dev/null)
    COMPREPLY=("${candidates[@]}")
    if [ "$directive" = 0 ] && [ "${#COMPREPLY[@]}" = 0 ]; then
        compopt -o default 2>/dev/null
    fi
}
complete -F _compose compose docker-compose
"#;

const ZSH: &str = r#"#compdef compose docker-compose
# Completion of compose and docker-compose for zsh.
_compose() {
    local line directive=0
    local -a candidates
    for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case "$line" in
            :*) directive="${line#:}" ;;
            *) candidates+=("${${line//:/\\:}/$'\t'/:}") ;;
        esac
    done
    if (( ${#candidates} )); then
        _describe compose candidates
    elif [[ "$directive" == 0 ]]; then
        _files
    fi
}
if [ "$funcstack[1]" = "_compose" ]; then _compose "$@"; else compdef _compose compose docker-compose; fi
"#;

const FISH: &str = r#"# Completion of compose and docker-compose for fish.
function __compose_complete
    set -l words (commandline -opc)
    set -l program $words[1]
    set -e words[1]
    set -l answer ($program __complete $words (commandline -ct) 2>/dev/null)
    test "$answer[-1]" = :0; and __fish_complete_path (commandline -ct)
    string match -v -r '^:' -- $answer
end
complete -c compose -f -a '(__compose_complete)'
complete -c docker-compose -f -a '(__compose_complete)'
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn next(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (current, before) = words.split_last().expect("a word");
        let names = |_: &[String]| vec!["db".to_owned(), "web".to_owned()];
        let (found, directive) = candidates(&crate::args::readable_command(), before, current, &names);
        let words: Vec<String> = found.into_iter().map(|(word, _)| word).collect();
        format!("{} :{directive}", words.join(" "))
    }

    #[test]
    fn commands_flags_and_services_are_offered_where_they_may_stand() {
        for (line, expected) in [
            ("re", "restart :4"),
            ("up ", "db web :4"),
            ("up -d w", "web :4"),
            ("up web ", "db :4"),
            ("-f other.yaml logs ", "db web :4"),
            ("-f ", " :0"),
            ("up --det", "--detach :4"),
            ("exec ", "db web :4"),
            ("exec web ", " :0"),
            ("logs --tail ", " :0"),
            ("alpha v", "viz :4"),
        ] {
            assert_eq!(next(line), expected, "{line}");
        }
    }
}
