//! `check`: warn about what loads but hurts.

use anyhow::bail;
use clap::Args;
use compose_model::diagnostic::{Diagnostic, Severity, closest};
use compose_model::files::DiskFiles;
use compose_model::lint::{self, Finding, RULES};
use compose_model::load::{load_model, load_with_remote};
use compose_model::source::SourceMap;
use serde_json::{Value, json};

use crate::context::Context;
use crate::invocation::ExitStatus;
use crate::loading;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose check                          everything, with line and caret\n  compose check --ignore C004 --strict    fail on any other finding\n  compose check --format sarif > out.sarif\n\nIn a file, `x-lint-ignore: [C003]` at the top level or in a service silences a finding."
)]
pub(crate) struct Arguments {
    /// text, json or sarif
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: String,
    /// Do not report these codes or names, comma-separated
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
    /// Return 1 when anything is found
    #[arg(long)]
    pub(crate) strict: bool,
}

/// One line of the report.
struct Entry {
    diagnostic: Diagnostic,
    name: &'static str,
    hides_line: bool,
    text: String,
    place: Option<Place>,
}

struct Place {
    file: String,
    start: (usize, usize),
    end: (usize, usize),
}

/// Runs the command.
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    if !matches!(arguments.format.as_str(), "text" | "json" | "sarif") {
        bail!("unsupported format \"{}\": use text, json or sarif", arguments.format);
    }
    for code in &arguments.ignore {
        if lint::find_rule(code).is_none() {
            let meant = closest(code, RULES.iter().map(|rule| rule.name));
            let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            bail!("there is no finding with the code \"{code}\"{meant}");
        }
    }
    let entries = entries(context, arguments)?;
    let errors = entries.iter().filter(|entry| entry.diagnostic.severity == Severity::Error).count();
    match arguments.format.as_str() {
        "json" => context.output.line(serde_json::to_string_pretty(&as_json(&entries))?)?,
        "sarif" => {
            let directory = &context.environment.current_directory;
            context.output.line(serde_json::to_string_pretty(&as_sarif(&entries, directory))?)?;
        }
        _ => {
            for entry in &entries {
                context.output.data(format!("{}\n\n", entry.text))?;
            }
            let warnings = entries.len() - errors;
            context.output.message(match (errors, warnings) {
                (0, 0) => "nothing found\n".to_owned(),
                (0, _) => format!("{}\n", count(warnings, "finding")),
                (_, 0) => format!("{}\n", count(errors, "error")),
                _ => format!("{}, {}\n", count(errors, "error"), count(warnings, "finding")),
            });
        }
    }
    let fails = errors > 0 || (arguments.strict && !entries.is_empty());
    Ok(if fails { ExitStatus::FAILURE } else { ExitStatus::SUCCESS })
}

fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

fn entries(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<Vec<Entry>> {
    let colour = arguments.format == "text" && context.output.colour_on_stdout();
    let mut options = loading::options(context)?;
    let remote = crate::remote::Remotes::new(context);
    let loaded = match load_with_remote(&options, &DiskFiles, &remote) {
        Ok(loaded) => loaded,
        Err(error) => {
            return Ok(error
                .diagnostics
                .errors()
                .map(|mistake| Entry {
                    text: mistake.render(&error.sources, colour),
                    place: place(mistake, &error.sources),
                    diagnostic: mistake.clone(),
                    name: mistake.code,
                    hides_line: false,
                })
                .collect());
        }
    };
    let entry = |finding: Finding, sources: &SourceMap| Entry {
        text: finding.render(sources, colour),
        place: place(&finding.diagnostic, sources),
        diagnostic: finding.diagnostic,
        name: finding.rule.name,
        hides_line: finding.hides_line,
    };
    options.no_normalise = true;
    let model = match load_model(&options, &DiskFiles, &remote) {
        Ok(model) => model,
        Err(error) => bail!("{}", error.render(colour)),
    };
    let findings = lint::lint(&model, &arguments.ignore);
    let mut entries: Vec<Entry> = findings.into_iter().map(|finding| entry(finding, &model.sources)).collect();
    // What only the whole load says, for example about attributes for a Swarm.
    let silenced: Vec<String> = lint::ignored_everywhere(&model);
    for finding in lint::of_loader(&loaded.diagnostics, &arguments.ignore) {
        let is_silenced = silenced.iter().any(|code| lint::find_rule(code) == Some(finding.rule));
        let finding = entry(finding, &loaded.sources);
        if !is_silenced && !entries.iter().any(|other| other.text == finding.text) {
            entries.push(finding);
        }
    }
    Ok(entries)
}

fn place(diagnostic: &Diagnostic, sources: &SourceMap) -> Option<Place> {
    let span = diagnostic.span?;
    let source = sources.get(span.source)?;
    Some(Place {
        file: source.name().to_owned(),
        start: source.position(span.start as usize),
        end: source.position(span.end as usize),
    })
}

fn severity(entry: &Entry) -> &'static str {
    match entry.diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn as_json(entries: &[Entry]) -> Value {
    let object = |entry: &Entry| {
        let place = entry.place.as_ref();
        json!({
            "code": entry.diagnostic.code,
            "name": entry.name,
            "severity": severity(entry),
            "message": entry.diagnostic.message,
            "file": place.map(|place| &place.file),
            "line": place.map(|place| place.start.0),
            "column": place.map(|place| place.start.1),
            "endLine": place.map(|place| place.end.0),
            "endColumn": place.map(|place| place.end.1),
            "help": entry.diagnostic.help,
        })
    };
    entries.iter().map(object).collect()
}

/// SARIF 2.1.0, as code hosts and editors read it.
fn as_sarif(entries: &[Entry], directory: &str) -> Value {
    let rules: Value = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.code,
                "name": rule.name,
                "shortDescription": { "text": rule.about },
                "defaultConfiguration": { "level": "warning" },
            })
        })
        .collect();
    let results: Value = entries
        .iter()
        .map(|entry| {
            let mut text = entry.diagnostic.message.clone();
            if let Some(help) = &entry.diagnostic.help {
                text.push_str(&format!("\n{help}"));
            }
            let mut result = json!({
                "ruleId": entry.diagnostic.code,
                "level": severity(entry),
                "message": { "text": text },
            });
            if let Some(index) = RULES.iter().position(|rule| rule.code == entry.diagnostic.code) {
                result["ruleIndex"] = json!(index);
            }
            if let Some(place) = &entry.place {
                let mut region = json!({ "startLine": place.start.0, "startColumn": place.start.1 });
                if !entry.hides_line {
                    region["endLine"] = json!(place.end.0);
                    region["endColumn"] = json!(place.end.1);
                }
                result["locations"] = json!([{
                    "physicalLocation": { "artifactLocation": location(&place.file, directory), "region": region },
                }]);
            }
            result
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "compose check", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A path relative to the working directory, where code hosts look; else a `file:` address.
fn location(file: &str, directory: &str) -> Value {
    let encode = |path: &str| {
        let mut out = String::new();
        for byte in path.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'~') {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
        out
    };
    match file.strip_prefix(directory.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/')) {
        Some(relative) => json!({ "uri": encode(relative), "uriBaseId": "%SRCROOT%" }),
        None => json!({ "uri": format!("file://{}", encode(file)) }),
    }
}
