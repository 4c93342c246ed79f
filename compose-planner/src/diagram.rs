//! Plans as graphs, for drawing: Graphviz and Mermaid.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::op::OpId;
use crate::plan::Plan;
use crate::text;

/// The plan as a Graphviz digraph, edges from what comes first.
#[must_use]
pub fn dot(plan: &Plan) -> String {
    let mut out = format!("digraph \"{}\" {{\n  rankdir=LR\n  node [shape=box]\n", escape(plan.project.as_str()));
    for step in &plan.steps {
        let what = text::what(&step.op);
        let label = [step.id.0.as_str(), &what, &step.because.to_string()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(escape)
            .collect::<Vec<_>>()
            .join("\\n");
        let _ = writeln!(out, "  \"{}\" [label=\"{label}\"]", escape(&step.id.0));
    }
    for step in &plan.steps {
        for before in &step.after {
            let _ = writeln!(out, "  \"{}\" -> \"{}\"", escape(&before.0), escape(&step.id.0));
        }
    }
    out.push_str("}\n");
    out
}

/// The plan as a Mermaid flow chart.
#[must_use]
pub fn mermaid(plan: &Plan) -> String {
    let numbers: BTreeMap<&OpId, usize> =
        plan.steps.iter().enumerate().map(|(number, step)| (&step.id, number)).collect();
    let mut out = "flowchart LR\n".to_owned();
    for step in &plan.steps {
        let label = format!("{}<br/>{}", step.id, step.because).replace('"', "#quot;");
        let _ = writeln!(out, "  s{}[\"{label}\"]", numbers.get(&step.id).copied().unwrap_or_default());
    }
    for step in &plan.steps {
        for before in &step.after {
            if let (Some(before), Some(step)) = (numbers.get(before), numbers.get(&step.id)) {
                let _ = writeln!(out, "  s{before} --> s{step}");
            }
        }
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
