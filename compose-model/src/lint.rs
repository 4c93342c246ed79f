//! What loads but hurts: `compose check`.
//!
//! Works on the merged tree before anything implied is filled in, so that every finding is about
//! something that somebody wrote. The rules are in `rules`; this module has their table, their
//! silencing (`x-lint-ignore` at the top level and in a service or resource) and their order.

mod references;
mod rules;

use std::collections::BTreeSet;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::load::LoadedModel;
use crate::source::SourceMap;
use crate::tree::{Node, Value};

/// One kind of finding. Codes never change meaning and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `C001`
    pub code: &'static str,
    /// The code as words. For warnings of the loader it is their code.
    pub name: &'static str,
    /// What is found, and why it hurts, in one sentence.
    pub about: &'static str,
}

const fn rule(code: &'static str, name: &'static str, about: &'static str) -> Rule {
    Rule { code, name, about }
}

/// All rules, by code.
pub static RULES: [Rule; 23] = [
    rule("C000", "unknown-code", "`x-lint-ignore` names a code that does not exist."),
    rule(
        "C001",
        "ambiguous-port",
        "A port such as `22:22` without quotes is a number of base 60 for many YAML readers.",
    ),
    rule(
        "C002",
        "unknown-restart-policy",
        "The engine refuses a `restart` word that it does not know, but only when the container is made.",
    ),
    rule(
        "C003",
        "published-database",
        "The port of a database is published on all addresses of the host, past most firewalls.",
    ),
    rule("C004", "unpinned-image", "An image without tag, or with `latest`, changes without a change of the file."),
    rule(
        "C005",
        "secret-in-environment",
        "A secret stands in the file in plain text, and in the environment of the container.",
    ),
    rule(
        "C006",
        "one-letter-volume",
        "A one-letter volume name is read as a Windows drive: the volume becomes an anonymous one.",
    ),
    rule("C007", "obsolete-version", "`version` has no effect."),
    rule("C008", "external-name", "`external: {name: ...}` is the former spelling of `external: true` with `name:`."),
    rule(
        "C009",
        "no-healthcheck",
        "A service waits for the health of another one that has no health check in the file.",
    ),
    rule("C010", "privileged", "A privileged container can do whatever root of the host can do."),
    rule("C011", "engine-socket", "Who reaches the engine's socket is root of the host."),
    rule("C012", "unused-resource", "A network, volume, secret or config is declared and nothing uses it."),
    rule("C013", "host-port-conflict", "Two services publish the same host port; the second one cannot start."),
    rule(
        "C014",
        "changed-value",
        "A value without quotes reaches the container as another text than the one written (`010` as `8`).",
    ),
    rule(
        "C015",
        "unset-variable",
        "A variable is not set and becomes empty text; perhaps a `$` is meant literally (`$$`).",
    ),
    rule("C016", "links", "`links` is a relic: services of one network find each other by name."),
    rule("C017", "ports-without-network", "`ports` has no effect without a network of the container's own."),
    rule("C018", "fixed-port-of-replicas", "Several replicas cannot publish one and the same host port."),
    rule(
        "C019",
        "endless-dependency",
        "A service waits for the end of another one that is restarted whenever it ends.",
    ),
    rule("C020", "swarm-only", "An attribute is honoured in Swarm mode only."),
    rule("C021", "several-files", "The folder has several files with names that are searched for; only one is read."),
    rule("C022", "yaml-boolean", "`yes`, `on` and the like are no booleans of YAML 1.2."),
];

/// The rule with a code or name.
#[must_use]
pub fn find_rule(code_or_name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.code.eq_ignore_ascii_case(code_or_name) || rule.name == code_or_name)
}

/// One thing that was found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The kind.
    pub rule: &'static Rule,
    /// Message, place, help. Its code is the rule's.
    pub diagnostic: Diagnostic,
    /// The line holds a secret and is not to be shown.
    pub hides_line: bool,
    /// Section and name of the service or resource that it is about.
    scope: Option<(&'static str, String)>,
}

impl Finding {
    /// The finding as people read it, without trailing line break.
    #[must_use]
    pub fn render(&self, sources: &SourceMap, colour: bool) -> String {
        let Some(span) = self.diagnostic.span.filter(|_| self.hides_line) else {
            return self.diagnostic.render(sources, colour);
        };
        let bare = Diagnostic { span: None, labels: Vec::new(), ..self.diagnostic.clone() };
        let text = bare.render(sources, colour);
        let (title, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let place = format!("{title}\n --> {} (line not shown: it holds a secret)", sources.describe(span));
        if rest.is_empty() { place } else { format!("{place}\n{rest}") }
    }
}

/// Checks a model that was loaded without normalisation. `ignored` holds codes or names.
#[must_use]
pub fn lint(model: &LoadedModel, ignored: &[String]) -> Vec<Finding> {
    let mut collector = Collector { sources: &model.sources, findings: Vec::new() };
    rules::run(&model.tree, &mut collector);
    references::run(&model.tree, &mut collector);
    let mut findings = collector.findings;
    findings.extend(unknown_codes(&model.tree));
    findings.extend(of_loader(&model.diagnostics, &[]));
    let everywhere = codes(model.tree.get("x-lint-ignore"));
    findings.retain(|finding| {
        let within = finding.scope.as_ref().and_then(|(section, name)| model.tree.get(section)?.get(name));
        let silenced = codes(within.and_then(|node| node.get("x-lint-ignore")));
        ![&everywhere[..], &silenced[..]].concat().iter().chain(ignored).any(|code| names(code, finding.rule))
    });
    // One line that anchors or `extends` bring to several services is one finding.
    let mut seen = BTreeSet::new();
    findings.retain(|finding| {
        let message =
            if finding.diagnostic.span.is_some() { String::new() } else { finding.diagnostic.message.clone() };
        seen.insert((finding.rule.code, finding.diagnostic.span, message))
    });
    let line = |finding: &Finding| {
        let span = finding.diagnostic.span?;
        Some((span.source, model.sources.get(span.source)?.line_of(span.start as usize)))
    };
    let secret: BTreeSet<_> = findings.iter().filter(|finding| finding.hides_line).filter_map(line).collect();
    for finding in &mut findings {
        finding.hides_line |= line(finding).is_some_and(|line| secret.contains(&line));
    }
    findings.sort_by_cached_key(|finding| {
        let place = finding.diagnostic.span.map(|span| (span.source, span.start));
        (place, finding.rule.code)
    });
    findings
}

/// The codes and names that the top level silences.
#[must_use]
pub fn ignored_everywhere(model: &LoadedModel) -> Vec<String> {
    codes(model.tree.get("x-lint-ignore"))
}

/// The loader's own warnings as findings.
#[must_use]
pub fn of_loader(diagnostics: &Diagnostics, ignored: &[String]) -> Vec<Finding> {
    let known = diagnostics.warnings().filter_map(|warning| find_rule(warning.code).map(|rule| (rule, warning)));
    known
        .filter(|(rule, _)| !ignored.iter().any(|code| names(code, rule)))
        .map(|(rule, warning)| Finding {
            rule,
            diagnostic: Diagnostic { code: rule.code, ..warning.clone() },
            hides_line: false,
            scope: None,
        })
        .collect()
}

fn names(code: &str, rule: &Rule) -> bool {
    rule.code.eq_ignore_ascii_case(code) || rule.name == code
}

/// The texts of an `x-lint-ignore`: a list, or one code.
fn codes(node: Option<&Node>) -> Vec<String> {
    let nodes = match node.map(|node| &node.value) {
        Some(Value::Sequence(items)) => items.iter().collect(),
        Some(Value::Scalar(_)) => node.into_iter().collect(),
        _ => Vec::new(),
    };
    nodes.into_iter().filter_map(|node| node.as_str().map(str::to_owned)).collect()
}

/// Codes in `x-lint-ignore` that no rule has, lest a spelling mistake silence nothing unnoticed.
fn unknown_codes(tree: &Node) -> Vec<Finding> {
    let sections = ["services", "jobs", "networks", "volumes", "secrets", "configs"];
    let below = sections.iter().filter_map(|section| tree.get(section)?.as_mapping()).flatten();
    let holders = std::iter::once(tree).chain(below.map(|(_, entry)| &entry.value));
    let mut findings = Vec::new();
    for list in holders.filter_map(|holder| holder.get("x-lint-ignore")) {
        let items: Vec<&Node> = list.as_sequence().map_or_else(|| vec![list], |items| items.iter().collect());
        for item in items {
            let Some(code) = item.as_scalar().map(|scalar| scalar.to_text()) else { continue };
            if find_rule(&code).is_none() {
                let diagnostic =
                    Diagnostic::warning(RULES[0].code, format!("there is no finding with the code `{code}`"))
                        .at_origin(&item.origin)
                        .did_you_mean(&code, RULES.iter().map(|rule| rule.name));
                findings.push(Finding { rule: &RULES[0], diagnostic, hides_line: false, scope: None });
            }
        }
    }
    findings
}

/// Where rules put what they find.
struct Collector<'a> {
    sources: &'a SourceMap,
    findings: Vec<Finding>,
}

impl Collector<'_> {
    /// Adds a finding about a node of a service or resource.
    fn add(
        &mut self,
        name: &str,
        scope: (&'static str, &str),
        node: &Node,
        message: String,
        help: &str,
    ) -> &mut Finding {
        // Every name is in the table, which a test sees to.
        let rule = find_rule(name).unwrap_or(&RULES[0]);
        let diagnostic = Diagnostic::warning(rule.code, message).at_origin(&node.origin).help(help);
        self.findings.push(Finding { rule, diagnostic, hides_line: false, scope: Some((scope.0, scope.1.to_owned())) });
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }
}

#[cfg(test)]
mod tests;
