//! Nothing is lost: signals, `kill -9`, and what the next `up` does.

use std::time::Duration;

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq, eventually};

use crate::up::TWO;

crate::cases! { Any:
    interrupted_attached_up_stops_its_containers,
    second_interrupt_kills_at_once,
    up_converges_after_kill_at_random_moments,
    up_converges_after_kill_in_a_replacement,
}

fn running(project: &Project, count: usize) -> CaseResult {
    eventually(Duration::from_secs(30), || {
        let states = project.states()?;
        let up = states.iter().filter(|(_, state)| state == "running").count();
        if up == count { Ok(()) } else { Err(format!("states: {states:?}")) }
    })
}

fn interrupted_attached_up_stops_its_containers(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    let up = project.spawn(&["up"])?;
    running(&project, 2)?;
    up.signal("INT")?;
    up.finish(Duration::from_secs(30))?.exits(130)?.says("Gracefully Stopping")?;
    let states = project.states()?;
    ensure!(states.len() == 2 && states.iter().all(|(_, state)| state == "exited"), "states: {states:?}");
    Ok(())
}

fn second_interrupt_kills_at_once(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  one:\n    image: busybox\n    command: [sh, -c, \"trap '' TERM; while :; do sleep 1; done\"]\n    stop_grace_period: 60s\n",
    )?;
    let up = project.spawn(&["up"])?;
    running(&project, 1)?;
    up.signal("INT")?;
    let (_keep, pace) = std::sync::mpsc::channel::<()>();
    let _ = pace.recv_timeout(Duration::from_millis(500));
    up.signal("INT")?;
    up.finish(Duration::from_secs(20))?.exits(130)?;
    running(&project, 0)
}

/// Waits until the engine has carried through what the killed command had asked for last.
fn settled(project: &Project) -> CaseResult {
    let mut before = None;
    let mut looks = 0;
    eventually(Duration::from_secs(20), || {
        let now = project.states()?;
        looks = if before.as_ref() == Some(&now) { looks + 1 } else { 0 };
        before = Some(now);
        if looks >= 10 { Ok(()) } else { Err("the project does not come to rest".to_owned()) }
    })
}

/// Kills the command after each of these times, then lets an undisturbed `up` converge.
fn converges(project: &Project, arguments: &[&str], step: Duration, rounds: u32) -> CaseResult {
    for round in 1..=rounds {
        let up = project.spawn(arguments)?;
        let (_keep, pace) = std::sync::mpsc::channel::<()>();
        let _ = pace.recv_timeout(step * round);
        up.signal("KILL").ok();
        up.finish(Duration::from_secs(10)).ok();
        settled(project)?;
        project.compose(&["up", "-d"])?.ok().map_err(|error| format!("after a kill at {:?}: {error}", step * round))?;
        let states = project.states()?;
        ensure_eq!(
            states,
            vec![("db-1".to_owned(), "running".to_owned()), ("web-1".to_owned(), "running".to_owned())],
            "after a kill at {:?}",
            step * round
        );
    }
    Ok(())
}

fn up_converges_after_kill_at_random_moments(engine: &Engine) -> CaseResult {
    for round in 1..=4 {
        let project = Project::with(engine, TWO)?;
        converges(&project, &["up", "-d"], Duration::from_millis(90 * round), 1)?;
    }
    Ok(())
}

fn up_converges_after_kill_in_a_replacement(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    converges(&project, &["up", "-d", "--force-recreate"], Duration::from_millis(110), 5)
}
