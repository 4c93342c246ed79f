//! `plan`: what `up` will do, before it does it.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    plan_shows_steps_and_changes_nothing,
    plan_after_up_is_empty,
    plan_is_data_with_format_json,
}

fn plan_shows_steps_and_changes_nothing(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, crate::up::TWO)?;
    let run = project.compose(&["plan", "--exit-code"])?.exits(2)?;
    for step in ["create:web.1", "create:db.1", "start:web.1", "start:db.1", "missing"] {
        ensure!(run.stdout.contains(step), "lacks {step:?}: {run}");
    }
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn plan_after_up_is_empty(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, crate::up::TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["plan", "--exit-code"])?.exits(0)?.says("left alone")?;
    Ok(())
}

fn plan_is_data_with_format_json(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, crate::up::TWO)?;
    let run = project.compose(&["plan", "--format", "json"])?.ok()?;
    let plan: serde_json::Value = serde_json::from_str(&run.stdout).map_err(|error| format!("{error}: {run}"))?;
    ensure_eq!(plan["project"], project.name, "the project");
    ensure!(plan["steps"].as_array().is_some_and(|steps| steps.len() >= 4), "steps: {plan}");
    Ok(())
}
