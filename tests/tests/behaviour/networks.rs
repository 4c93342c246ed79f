//! Networks, names, ports.

use std::time::Duration;

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq, eventually, http};

crate::cases! { Any:
    services_reach_each_other_by_name,
    replicas_share_one_name_with_all_addresses,
    aliases_and_static_addresses_are_given,
    published_ports_answer,
    ephemeral_ports_are_chosen_and_shown,
    port_already_allocated_points_to_the_line,
    missing_external_network_is_named,
    external_network_is_used_and_left,
    changed_network_is_replaced_and_containers_stay,
    network_mode_of_a_service_is_shared,
    internal_and_second_networks_are_connected,
}

const NAMES: &str = "
services:
  app:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    scale: 3
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
";

fn services_reach_each_other_by_name(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &NAMES.replace("scale: 3", "scale: 1"))?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["exec", "-T", "web", "ping", "-c", "1", "-w", "5", "app"])?.ok()?;
    Ok(())
}

/// The addresses that a look-up in `web` gives, in the order of the answer.
fn addresses(project: &Project, name: &str) -> Result<Vec<String>, String> {
    // Docker's name server and ours; Podman has one at each network's gateway, which it names itself.
    let server = if project.engine.name == "podman" { None } else { Some("127.0.0.11") };
    let words = ["exec", "-T", "web", "nslookup", name].into_iter().chain(server);
    let run = project.compose(&words.collect::<Vec<_>>())?;
    Ok(run
        .stdout
        .lines()
        .skip_while(|line| !line.starts_with("Name:"))
        .filter_map(|line| line.strip_prefix("Address"))
        .filter_map(|rest| rest.split_whitespace().last())
        .filter(|address| address.contains('.'))
        .map(ToOwned::to_owned)
        .collect())
}

fn replicas_share_one_name_with_all_addresses(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, NAMES)?;
    project.compose(&["up", "-d"])?.ok()?;
    let mut orders = std::collections::BTreeSet::new();
    eventually(Duration::from_secs(20), || {
        let order = addresses(&project, "app")?;
        let distinct: std::collections::BTreeSet<_> = order.iter().collect();
        if distinct.len() != 3 {
            return Err(format!("addresses: {order:?}"));
        }
        orders.insert(order);
        if orders.len() > 1 { Ok(()) } else { Err(format!("always in the order {orders:?}")) }
    })
}

fn aliases_and_static_addresses_are_given(engine: &Engine) -> CaseResult {
    let subnet = if engine.name == "docker20" { "10.77.20" } else { "10.77.28" };
    let project = Project::with(
        engine,
        &format!(
            "
services:
  app:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    networks:
      front:
        ipv4_address: {subnet}.17
        aliases: [other-name]
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    networks: [front]
networks:
  front:
    ipam:
      config:
        - subnet: {subnet}.0/24
"
        ),
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    for name in ["other-name", "app"] {
        ensure_eq!(addresses(&project, name)?, [format!("{subnet}.17")], "address of {name}");
    }
    Ok(())
}

const SERVER: &str = "
services:
  web:
    image: busybox
    command: sh -c \"mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 80 -h /www\"
    stop_signal: SIGKILL
    ports:
      - \"80\"
";

fn published_ports_answer(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, SERVER)?;
    project.compose(&["up", "-d"])?.ok()?;
    let web = project.only("web")?;
    let port = web.published("80/tcp").ok_or("no port is published")?;
    let answer = eventually(Duration::from_secs(20), || http::get(&engine.ports_host, port, "/"))?;
    ensure_eq!(answer.body.trim(), &web.id[..12], "the answer");
    Ok(())
}

fn ephemeral_ports_are_chosen_and_shown(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, SERVER)?;
    project.compose(&["up", "-d"])?.ok()?;
    let port = project.only("web")?.published("80/tcp").ok_or("no port is published")?;
    let run = project.compose(&["port", "web", "80"])?.ok()?;
    ensure_eq!(run.stdout.trim(), format!("0.0.0.0:{port}"), "`port`");
    project.compose(&["ps"])?.ok()?.says(&format!("0.0.0.0:{port}->80/tcp"))?;
    project.compose(&["port", "web", "81"])?.exits(1)?;
    Ok(())
}

fn port_already_allocated_points_to_the_line(engine: &Engine) -> CaseResult {
    let first = Project::with(engine, SERVER)?;
    first.compose(&["up", "-d"])?.ok()?;
    let port = first.only("web")?.published("80/tcp").ok_or("no port is published")?;
    let second = Project::with(engine, &SERVER.replace("\"80\"", &format!("\"{port}:80\"")))?;
    let run = second.compose(&["up", "-d"])?.exits(1)?.says("port is already allocated")?;
    ensure!(run.stderr.contains("compose.yaml:8"), "the line that asks for the port: {run}");
    ensure_eq!(second.only("web")?.state, "created", "the container");
    Ok(())
}

fn missing_external_network_is_named(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  web:
    image: busybox
    networks: [app-net]
networks:
  app-net:
    external:
      name: surely-not-there
",
    )?;
    let run = project.compose(&["up", "-d"])?.exits(1)?;
    ensure!(
        run.stderr.contains("network surely-not-there declared as external, but could not be found"),
        "the message: {run}"
    );
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn external_network_is_used_and_left(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    let network = format!("{}-outer", project.name);
    project.write(
        "compose.yaml",
        &format!(
            "
version: '3.7'
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    networks: [app-net]
networks:
  app-net:
    external:
      name: {network}
"
        ),
    )?;
    engine.docker(&["network", "create", &network])?;
    let outcome = (|| {
        let run = project.compose(&["up", "-d"])?.ok()?;
        ensure!(run.stderr.contains("the attribute `version` is obsolete"), "the warning: {run}");
        let web = project.only("web")?;
        ensure!(web.inspect["NetworkSettings"]["Networks"][&network].is_object(), "web is not in {network}");
        project.compose(&["down"])?.ok()?;
        engine.docker(&["network", "inspect", &network])?;
        Ok(())
    })();
    project.engine.wipe(&project.name);
    engine.docker(&["network", "rm", &network])?;
    outcome
}

fn changed_network_is_replaced_and_containers_stay(engine: &Engine) -> CaseResult {
    let text = "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    networks: [front]
networks:
  front:
    labels: {state: old}
";
    let project = Project::with(engine, text)?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = project.only("web")?;
    let network = |container: &compose_tests::ContainerState| {
        container.inspect["NetworkSettings"]["Networks"][format!("{}_front", project.name)]["NetworkID"].clone()
    };
    project.write("compose.yaml", &text.replace("old", "new"))?;
    project.compose(&["up", "-d"])?.ok()?;
    let after = project.only("web")?;
    ensure_eq!(after.id, before.id, "the container");
    ensure_eq!(after.state, "running", "its state");
    ensure!(network(&after) != network(&before) && !network(&after).is_null(), "the network was not replaced");
    Ok(())
}

fn network_mode_of_a_service_is_shared(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  main:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
  side:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: service:main
",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    let main = project.only("main")?;
    let mode = |project: &Project| -> Result<String, String> {
        Ok(project.only("side")?.inspect["HostConfig"]["NetworkMode"].as_str().unwrap_or_default().to_owned())
    };
    ensure_eq!(mode(&project)?, format!("container:{}", main.id), "network mode");
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(project.only("main")?.id, main.id, "main after a second `up`");
    project.compose(&["up", "-d", "--force-recreate", "main"])?.ok()?;
    let main = project.only("main")?;
    ensure_eq!(mode(&project)?, format!("container:{}", main.id), "network mode after main was replaced");
    ensure_eq!(project.only("side")?.state, "running", "side");
    Ok(())
}

fn internal_and_second_networks_are_connected(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    networks:
      back: {}
      front: {priority: 10}
networks:
  back: {internal: true}
  front: {}
",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    let web = project.only("web")?;
    ensure_eq!(web.inspect["HostConfig"]["NetworkMode"], format!("{}_front", project.name), "the primary network");
    for network in ["front", "back"] {
        let name = format!("{}_{network}", project.name);
        ensure!(web.inspect["NetworkSettings"]["Networks"][&name].is_object(), "web is not in {name}");
    }
    Ok(())
}
