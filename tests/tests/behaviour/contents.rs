//! Changed contents of configs and secrets, completed jobs, and two directories of one name.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    changed_files_of_configs_and_secrets_reach_their_containers,
    a_changed_file_restarts_or_signals_where_that_is_enough,
    containers_without_recorded_contents_are_left_alone,
    what_only_a_swarm_has_is_refused_before_anything_is_made,
    completed_jobs_are_kept_when_asked,
    a_second_directory_with_the_name_of_another_project_is_refused,
}

const SLEEP: &str = "image: busybox:1\n    command: sleep 1000\n    stop_grace_period: 0s\n";

fn changed_files_of_configs_and_secrets_reach_their_containers(engine: &Engine) -> CaseResult {
    let file = format!(
        "services:\n  web:\n    {SLEEP}    configs: [app]\n    secrets: [pin]\n  other:\n    {SLEEP}    secrets: [{{source: \
         pin, x-on-change: ignore}}]\nconfigs: {{app: {{file: ./app}}}}\nsecrets: {{pin: {{file: ./pin}}}}\n"
    );
    let mut project = Project::with(engine, &file)?;
    project.write("app", "1")?;
    project.write("pin", "1234")?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["plan", "--exit-code"])?.exits(0)?;
    let (first, other) = (project.only("web")?, project.only("other")?.id);
    project.write("app", "2")?;
    project.set("COMPOSE_CONTENT_CHANGES", "ignore");
    project.compose(&["plan", "--exit-code"])?.exits(0)?;
    project.set("COMPOSE_CONTENT_CHANGES", "");
    project.compose(&["plan", "--exit-code"])?.exits(2)?.says("content changed: config app (")?;
    project.compose(&["up", "-d"])?.ok()?;
    let second = project.only("web")?;
    ensure!(second.id != first.id, "a changed config does not reach the container");
    project.write("pin", "4321")?;
    let run = project.compose(&["plan"])?.ok()?.says("content changed: secret pin (")?;
    ensure!(!run.stdout.contains("4321"), "the secret is shown: {run}");
    project.compose(&["up", "-d"])?.ok()?;
    ensure!(project.only("web")?.id != second.id, "a changed secret does not reach the container");
    ensure_eq!(project.only("other")?.id, other, "the service that ignores it");
    project.compose(&["plan", "--exit-code"])?.exits(0)?;
    Ok(())
}

fn a_changed_file_restarts_or_signals_where_that_is_enough(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  restarted:\n    image: busybox:1\n    command: sh -c 'cat /app; exec sleep 1000'\n    \
         stop_grace_period: 0s\n    configs: [restarting]\n  signalled:\n    image: busybox:1\n    command: sh -c \"trap \
         'cat /app; exit 7' HUP; while true; do sleep 0.1; done\"\n    stop_grace_period: 0s\n    configs: \
         [signalling]\nconfigs:\n  restarting: {file: ./app, x-on-change: restart, name: r}\n  signalling: {file: ./app, \
         x-on-change: 'signal:HUP', name: s}\n"
            .replace("configs: [restarting]", "configs: [{source: restarting, target: /app}]")
            .replace("configs: [signalling]", "configs: [{source: signalling, target: /app}]")
            .as_str(),
    )?;
    project.write("app", "first\n")?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = (project.only("restarted")?.id, project.only("signalled")?.id);
    project.write("app", "second\n")?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["wait", "signalled"])?.exits(7)?;
    ensure_eq!((project.only("restarted")?.id, project.only("signalled")?.id), before, "containers");
    let run = project.compose(&["logs", "--no-log-prefix", "signalled"])?.ok()?;
    ensure_eq!(run.stdout, "second\n", "what the signalled process read");
    let run = project.compose(&["exec", "-T", "restarted", "cat", "/app"])?.ok()?;
    ensure_eq!(run.stdout, "second\n", "what the restarted process has");
    // It was delivered: the label of the container cannot tell, the container itself does.
    project.compose(&["plan", "--exit-code", "restarted"])?.exits(0)?;
    Ok(())
}

fn containers_without_recorded_contents_are_left_alone(engine: &Engine) -> CaseResult {
    let file = format!("services:\n  web:\n    {SLEEP}    configs: [app]\nconfigs: {{app: {{file: ./app}}}}\n");
    let mut project = Project::with(engine, &file)?;
    project.write("app", "1")?;
    project.set("COMPOSE_CONTENT_CHANGES", "ignore");
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(project.only("web")?.label("dev.compose.contents"), "", "the label");
    project.set("COMPOSE_CONTENT_CHANGES", "");
    project.write("app", "2")?;
    project.compose(&["plan", "--exit-code"])?.exits(0)?;
    Ok(())
}

fn what_only_a_swarm_has_is_refused_before_anything_is_made(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    for (kind, attributes, words) in [
        ("secrets", "external: true", "unsupported external secret it"),
        ("configs", "external: true", "unsupported external config it"),
        ("secrets", "file: ./it, driver: far", "Docker Compose does not support secrets.*.driver"),
        ("secrets", "file: ./it, template_driver: far", "Docker Compose does not support secrets.*.template_driver"),
        ("configs", "file: ./it, template_driver: far", "Docker Compose does not support configs.*.template_driver"),
    ] {
        project.write("it", "content")?;
        let file = format!("services:\n  web:\n    {SLEEP}    {kind}: [it]\n{kind}: {{it: {{{attributes}}}}}\n");
        project.write("compose.yaml", &file)?;
        project.compose(&["up", "-d"])?.exits(1)?.says(words)?;
        ensure_eq!((project.states()?, engine.networks(&project.name)?), (vec![], vec![]), "what was made");
    }
    Ok(())
}

fn completed_jobs_are_kept_when_asked(engine: &Engine) -> CaseResult {
    let job = |text: &str| {
        format!(
            "services:\n  job:\n    image: busybox:1\n    command: echo {text}\n  web:\n    {SLEEP}    depends_on: {{job: \
             {{condition: service_completed_successfully}}}}\n"
        )
    };
    let project = Project::with(engine, &job("one"))?;
    project.compose(&["up", "--wait"])?.ok()?;
    let started = |project: &Project| -> Result<String, String> {
        Ok(project.only("job")?.inspect["State"]["StartedAt"].as_str().unwrap_or_default().to_owned())
    };
    let first = started(&project)?;
    project.compose(&["up", "-d", "--keep-jobs"])?.ok()?;
    ensure_eq!(started(&project)?, first, "the job's start");
    project.compose(&["up", "-d", "--keep-jobs", "--rerun-jobs"])?.ok()?;
    let second = started(&project)?;
    ensure!(second != first, "the job did not run although it was asked for");
    project.compose(&["up", "-d"])?.ok()?;
    ensure!(started(&project)? != second, "the job does not run on a plain up");
    project.write("compose.yaml", &job("two"))?;
    project.compose(&["up", "-d", "--keep-jobs"])?.ok()?;
    project.compose(&["logs", "job"])?.ok()?.says("two")?;
    Ok(())
}

fn a_second_directory_with_the_name_of_another_project_is_refused(engine: &Engine) -> CaseResult {
    let mut project = Project::new(engine)?;
    let name = project.name.clone();
    let (one, two) = (format!("one/{name}"), format!("two/{name}"));
    project.write(&format!("{one}/compose.yaml"), &format!("services:\n  web:\n    {SLEEP}"))?;
    let file = "services:\n  web:\n    image: example/app:1\n    command: [sleep, '1000']\n";
    project.write(&format!("{two}/compose.yaml"), file)?;
    project.compose_in(&one, &["up", "-d"])?.ok()?;
    let before = project.only("web")?.id;
    for command in [&["up", "-d"][..], &["down"], &["stop"]] {
        let run = project.compose_in(&two, command)?.exits(1)?;
        for text in ["/one/", "/two/", "-p NAME", "`name:`", "--adopt", "nothing was done"] {
            ensure!(run.stderr.contains(text), "lacks {text:?}: {run}");
        }
    }
    ensure_eq!(project.only("web")?.id, before, "the first project's container");
    // A copy of the same project may be meant: it is told, and refused only by the switch.
    project.write(&format!("{two}/compose.yaml"), &format!("services:\n  web:\n    {SLEEP}    labels: {{a: b}}\n"))?;
    project.set("COMPOSE_SAME_NAME", "refuse");
    project.compose_in(&two, &["up", "-d"])?.exits(1)?.says("nothing was done")?;
    project.compose_in(&two, &["up", "-d", "--adopt"])?.ok()?;
    ensure!(project.only("web")?.id != before, "the container was not taken over");
    Ok(())
}
