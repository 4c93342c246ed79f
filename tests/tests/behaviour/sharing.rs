//! What is not ours alone: foreign containers and networks, fixed names, two commands at once,
//! two projects.

use std::time::Duration;

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

use crate::up::TWO;

crate::cases! { Any:
    two_first_ups_at_once_end_in_one_project,
    a_foreign_container_with_the_name_is_left_alone,
    a_name_used_twice_in_the_file_is_refused,
    a_network_made_by_hand_is_used_and_kept,
    names_of_networks_and_volumes_are_honoured,
    orphans_are_ignored_or_removed_by_the_environment,
    one_service_is_taken_down_alone,
    external_volumes_stay,
    projects_do_not_touch_each_other,
    a_network_with_a_foreign_container_stays;
    (Docker("on containerd nerdctl's containers have the project's label and no hash, and belong to it")):
        a_container_that_only_has_the_projects_label_is_none_of_it,
}

/// Removes what a case made by hand.
struct ByHand<'a>(&'a Engine, Vec<Vec<String>>);

impl ByHand<'_> {
    fn afterwards(&mut self, arguments: &[&str]) {
        self.1.push(arguments.iter().map(|text| (*text).to_owned()).collect());
    }
}

impl Drop for ByHand<'_> {
    fn drop(&mut self) {
        for arguments in &self.1 {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let _ = self.0.docker(&arguments);
        }
    }
}

fn two_first_ups_at_once_end_in_one_project(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    let first = project.spawn(&["up", "-d"])?;
    let second = project.spawn(&["up", "-d"])?;
    // Either may lose the race for a name; what counts is that nothing is left double.
    first.finish(Duration::from_secs(60))?;
    second.finish(Duration::from_secs(60))?;
    project.compose(&["up", "-d"])?.ok()?;
    let expected = vec![("db-1".to_owned(), "running".to_owned()), ("web-1".to_owned(), "running".to_owned())];
    ensure_eq!(project.states()?, expected, "containers");
    ensure_eq!(engine.networks(&project.name)?, [format!("{}_default", project.name)], "networks");
    Ok(())
}

fn a_foreign_container_with_the_name_is_left_alone(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    let name = format!("{}-fixed", project.name);
    let mut by_hand = ByHand(engine, Vec::new());
    by_hand.afterwards(&["rm", "-f", &name]);
    let foreign = engine.docker(&["create", "--name", &name, "busybox", "true"])?;
    project.write(
        "compose.yaml",
        &format!("services:\n  a:\n    image: busybox\n    command: sleep 1000\n    container_name: {name}\n"),
    )?;
    project.compose(&["up", "-d"])?.exits(1)?.says("already in use")?;
    ensure_eq!(
        engine.docker(&["inspect", "-f", "{{.Id}} {{.State.Status}}", &name])?.trim(),
        format!("{} created", foreign.trim()),
        "the foreign container"
    );
    Ok(())
}

fn a_name_used_twice_in_the_file_is_refused(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    let name = format!("{}-fixed", project.name);
    let service = |key: &str| {
        format!(
            "  {key}:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    container_name: {name}\n"
        )
    };
    project.write("compose.yaml", &format!("services:\n{}{}", service("a"), service("b")))?;
    project.compose(&["up", "-d"])?.exits(1)?.says(&format!("container name \"{name}\" is already in use"))?;
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn a_network_with_a_foreign_container_stays(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let network = format!("{}_default", project.name);
    let guest = format!("{}-guest", project.name);
    let mut by_hand = ByHand(engine, Vec::new());
    by_hand.afterwards(&["rm", "-f", &guest]);
    engine.docker(&[
        "run",
        "-d",
        "--name",
        &guest,
        "--network",
        &network,
        "--stop-signal",
        "KILL",
        "busybox",
        "sleep",
        "1000",
    ])?;
    project.compose(&["down"])?.ok()?.says("Resource is still in use")?;
    ensure_eq!(engine.networks(&project.name)?, [network], "networks");
    Ok(())
}

fn a_network_made_by_hand_is_used_and_kept(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    let network = format!("{}_default", project.name);
    let mut by_hand = ByHand(engine, Vec::new());
    by_hand.afterwards(&["network", "rm", &network]);
    let id = engine.docker(&["network", "create", &network])?;
    project.compose(&["up", "-d"])?.ok()?.says("was not created by compose")?;
    ensure_eq!(
        project.only("web")?.inspect["NetworkSettings"]["Networks"][&network]["NetworkID"],
        id.trim(),
        "web's network"
    );
    project.compose(&["down"])?.ok()?;
    ensure_eq!(engine.docker(&["network", "inspect", "-f", "{{.Id}}", &network])?.trim(), id.trim(), "the network");
    Ok(())
}

fn names_of_networks_and_volumes_are_honoured(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    let own = format!("{}-own", project.name);
    project.write(
        "compose.yaml",
        &format!(
            "{TWO}    networks: [net]\n    volumes: ['data:/data']\nnetworks:\n  net: {{name: {own}-net}}\nvolumes:\n  data: {{name: {own}-data}}\n"
        ),
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    ensure!(
        engine.networks(&project.name)?.contains(&format!("{own}-net")),
        "networks: {:?}",
        engine.networks(&project.name)
    );
    ensure_eq!(engine.volumes(&project.name)?, [format!("{own}-data")], "volumes");
    let label = engine.docker(&[
        "volume",
        "inspect",
        "-f",
        "{{index .Labels \"com.docker.compose.volume\"}}",
        &format!("{own}-data"),
    ])?;
    ensure_eq!(label.trim(), "data", "the volume's label");
    project.compose(&["down", "-v"])?.ok()?;
    ensure_eq!(engine.volumes(&project.name)?, Vec::<String>::new(), "volumes after `down -v`");
    Ok(())
}

fn orphans_are_ignored_or_removed_by_the_environment(engine: &Engine) -> CaseResult {
    let mut project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.write(
        "compose.yaml",
        "services:\n  db:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n",
    )?;
    project.set("COMPOSE_IGNORE_ORPHANS", "1");
    let run = project.compose(&["up", "-d"])?.ok()?;
    ensure!(!run.stderr.contains("orphan"), "speaks of orphans: {run}");
    project
        .compose(&["up", "-d", "--remove-orphans"])?
        .exits(1)?
        .says("COMPOSE_IGNORE_ORPHANS")?
        .says("--remove-orphans")?;
    project.set("COMPOSE_IGNORE_ORPHANS", "");
    project.set("COMPOSE_REMOVE_ORPHANS", "true");
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(project.service("web")?.len(), 0, "orphans");
    Ok(())
}

fn one_service_is_taken_down_alone(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["down", "web"])?.ok()?;
    ensure_eq!(project.states()?, vec![("db-1".to_owned(), "running".to_owned())], "containers");
    ensure_eq!(engine.networks(&project.name)?, [format!("{}_default", project.name)], "networks");
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["down", "db"])?.ok()?;
    ensure_eq!(project.states()?, vec![("web-1".to_owned(), "running".to_owned())], "containers");
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["-p", &project.name, "down", "db"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "without the file what depends on it goes with it");
    Ok(())
}

fn external_volumes_stay(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    let volume = format!("{}-outside", project.name);
    let mut by_hand = ByHand(engine, Vec::new());
    by_hand.afterwards(&["volume", "rm", &volume]);
    engine.docker(&["volume", "create", &volume])?;
    project.write(
        "compose.yaml",
        &format!("{TWO}    volumes: ['data:/data']\nvolumes:\n  data: {{name: {volume}, external: true}}\n"),
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["down", "-v"])?.ok()?;
    engine.docker(&["volume", "inspect", &volume])?;
    drop(project);
    Ok(())
}

fn projects_do_not_touch_each_other(engine: &Engine) -> CaseResult {
    let one = Project::with(engine, TWO)?;
    let two = Project::with(engine, TWO)?;
    one.compose(&["up", "-d"])?.ok()?;
    two.compose(&["up", "-d"])?.ok()?;
    let before: Vec<String> = one.containers()?.into_iter().map(|container| container.id).collect();
    two.compose(&["down", "-v", "--remove-orphans"])?.ok()?;
    let after: Vec<String> = one.containers()?.into_iter().map(|container| container.id).collect();
    ensure_eq!(after, before, "the other project's containers");
    Ok(())
}

/// Whoever labels a container with the project's name, without a hash of a definition, is no Compose.
fn a_container_that_only_has_the_projects_label_is_none_of_it(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    let guest = format!("{}-guest", project.name);
    let mut by_hand = ByHand(engine, Vec::new());
    by_hand.afterwards(&["rm", "-f", &guest]);
    let labels =
        [format!("com.docker.compose.project={}", project.name), "com.docker.compose.service=elsewhere".to_owned()];
    engine.docker(&["create", "--name", &guest, "--label", &labels[0], "--label", &labels[1], "busybox", "true"])?;
    let run = project.compose(&["up", "-d"])?.ok()?;
    ensure!(!run.stderr.contains("orphan"), "no orphan: {run}");
    let run = project.compose(&["ps", "-a", "--format", "{{.Name}}"])?.ok()?;
    ensure!(!run.stdout.contains(&guest), "not listed: {run}");
    project.compose(&["up", "-d", "--remove-orphans"])?.ok()?;
    project.compose(&["down", "--remove-orphans"])?.ok()?;
    project.compose(&["-p", &project.name, "down"])?.ok()?;
    engine.docker(&["inspect", "-f", "{{.Id}}", &guest]).map(drop)
}
