//! What went wrong, in words: the cause, where the file asks for it, the evidence, what to do.

use compose_runtime::RuntimeError;
use compose_runtime::event::Evidence;
use compose_runtime::executor::{Failure, Report};

/// An engine's error with what the user can do about it.
pub(crate) fn engine_error(error: &RuntimeError) -> String {
    match error {
        RuntimeError::Unreachable { help, .. } if !help.is_empty() => format!("{error}\n{help}"),
        other => other.to_string(),
    }
}

/// Every failure of a run, the first one first, each once.
pub(crate) fn of_report(report: &Report) -> String {
    let mut texts: Vec<String> = Vec::new();
    for failure in &report.failed {
        let text = of_failure(failure);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join("\n")
}

fn of_failure(failure: &Failure) -> String {
    let mut text = engine_error(&failure.error);
    if let Some(place) = &failure.place {
        text.push_str(&format!("\n  at {place}"));
    }
    if let Some(evidence) = &failure.evidence {
        text.push_str(&of_evidence(evidence));
    }
    text
}

/// The evidence, indented below the message.
fn of_evidence(evidence: &Evidence) -> String {
    let mut text = String::new();
    if let Some(code) = evidence.exit_code {
        text.push_str(&format!("\n  {} ended with exit code {code}", evidence.container));
    }
    if !evidence.error.is_empty() {
        text.push_str(&format!("\n  the engine says: {}", evidence.error));
    }
    if let Some((code, output)) = &evidence.probe {
        let silent = if output.trim().is_empty() { " no output" } else { "" };
        text.push_str(&format!("\n  last health check of {} (exit code {code}):{silent}", evidence.container));
        for line in output.trim_end().lines() {
            text.push_str(&format!("\n    {line}"));
        }
    }
    if !evidence.log.is_empty() {
        text.push_str(&format!("\n  last output of {}:", evidence.container));
        for line in &evidence.log {
            text.push_str(&format!("\n    {}", line.trim_end()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use compose_model::project::Place;
    use compose_planner::OpId;

    use super::*;

    #[test]
    fn a_failure_shows_its_place_and_its_evidence() {
        let report = Report {
            failed: vec![Failure {
                id: OpId::new("await", "db.1"),
                error: RuntimeError::Failed { message: "container shop-db-1 is unhealthy".to_owned() },
                evidence: Some(Evidence {
                    container: "shop-db-1".to_owned(),
                    probe: Some((1, "no answer\n".to_owned())),
                    log: vec!["starting".to_owned(), "out of disk".to_owned()],
                    ..Evidence::default()
                }),
                place: Some(Place { file: "compose.yaml".to_owned(), line: 7, column: 3 }),
            }],
            ..Report::default()
        };
        insta::assert_snapshot!(of_report(&report));
    }
}
