//! Attributes and messages that no other file has a case for, each in few lines.

use compose_tests::project::Program;
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! {
    Any:
        a_missing_env_file_of_another_service_is_no_matter,
        files_are_copied_to_the_root,
        other_spellings_of_flags_of_run_are_taken,
        a_container_name_is_shown_whole,
        a_container_name_of_two_services_is_no_matter_to_down,
        every_made_container_is_told_before_its_logs,
        removal_says_what_goes_and_asks,
        one_change_at_a_time_is_enough,
        secrets_of_an_included_project_come_from_its_env_file,
        labels_come_from_files,
        the_engine_gets_what_few_ask_for,
        foreign_containers_are_reached_and_shared,
        resources_of_others_are_named,
        a_start_interval_needs_a_start_period,
        the_format_of_the_configuration_is_taken;
    (Docker("`network_mode: bridge` is the Docker engine's own network; containerd has none")):
        links_on_the_own_network_of_the_engine_find_their_container;
}

const WEB: &str = "services:\n  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}\n";

fn a_missing_env_file_of_another_service_is_no_matter(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &format!("{WEB}  other: {{image: busybox, env_file: [none.env]}}\n"))?;
    for line in ["up -d web", "scale web=2", "run --rm -T web true", "ps", "logs", "exec -T web true", "stop web"] {
        project.compose(&line.split(' ').collect::<Vec<_>>())?.ok()?;
    }
    for line in ["up -d", "create", "config", "up -d other"] {
        let run = project.compose(&line.split(' ').collect::<Vec<_>>())?.exits(1)?;
        ensure!(run.stderr.contains("none.env not found"), "the cause: {run}");
    }
    ensure!(project.service("other")?.is_empty(), "nothing is made of it");
    project.compose(&["down"])?.ok()?;
    Ok(())
}

fn files_are_copied_to_the_root(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, WEB)?;
    project.write("a.txt", "hello")?;
    project.compose(&["up", "-d"])?.ok()?;
    for target in ["web:/", "web:"] {
        project.compose(&["cp", "a.txt", target])?.ok()?;
        let run = project.compose(&["exec", "-T", "web", "cat", "/a.txt"])?.ok()?;
        ensure_eq!(run.stdout, "hello", "{target}");
        project.compose(&["exec", "-T", "web", "rm", "/a.txt"])?.ok()?;
    }
    Ok(())
}

fn other_spellings_of_flags_of_run_are_taken(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, WEB)?;
    let folder = format!("{}:/here", project.folder().display());
    let words = ["run", "--rm", "-T", "--volumes", &folder, "--labels", "a=b", "web", "ls", "/here"];
    project.compose(&words)?.ok()?.says("compose.yaml")?;
    Ok(())
}

fn a_container_name_is_shown_whole(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    let name = format!("{}-own", project.name);
    let text = format!("services:\n  web: {{image: busybox, command: echo hello, container_name: {name}}}\n");
    project.write("compose.yaml", &text)?;
    let run = project.compose(&["up"])?.ok()?;
    for line in [format!("Attaching to {name}"), format!("{name}  | hello"), format!("{name} exited with code 0")] {
        ensure!(run.stdout.contains(&line), "{line:?}: {run}");
    }
    Ok(())
}

fn a_container_name_of_two_services_is_no_matter_to_down(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    let name = format!("{}-both", project.name);
    let service = |service: &str| format!("  {service}: {{image: busybox, command: 'true', container_name: {name}}}\n");
    project.write("compose.yaml", &format!("services:\n{}{}", service("one"), service("two")))?;
    let message = format!("container name \"{name}\" is already in use");
    project.compose(&["up", "-d"])?.exits(1)?.says(&message)?;
    for service in ["one", "two"] {
        project.compose(&["up", "-d", service])?.ok()?;
        project.compose(&["down"])?.ok()?;
        ensure!(project.containers()?.is_empty(), "after the end of {service}");
    }
    Ok(())
}

fn every_made_container_is_told_before_its_logs(engine: &Engine) -> CaseResult {
    let text =
        "services:\n  a: {image: busybox, command: echo a}\n  b: {image: busybox, command: echo b, depends_on: [a]}\n";
    let project = Project::with(engine, text)?;
    let run = project.compose(&["up"])?.ok()?;
    for service in ["a", "b"] {
        let name = format!("Container {}-{service}-1", project.name);
        for word in ["Creating", "Created", "Starting", "Started"] {
            ensure!(run.stderr.contains(&format!("{name} {word}")), "{name} {word}: {run}");
        }
    }
    Ok(())
}

fn removal_says_what_goes_and_asks(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, WEB)?;
    project.compose(&["create"])?.ok()?;
    let says = format!("Going to remove {}-web-1", project.name);
    project.compose_with(Program::Ours, &["rm"], "n\n")?.says(&says)?;
    ensure_eq!(project.service("web")?.len(), 1, "after a no");
    project.compose_with(Program::Ours, &["rm"], "y\n")?.ok()?.says(&says)?;
    ensure_eq!(project.service("web")?.len(), 0, "after a yes");
    project.compose(&["rm"])?.ok()?.says("No stopped containers")?;
    Ok(())
}

fn one_change_at_a_time_is_enough(engine: &Engine) -> CaseResult {
    let mut project = Project::with(engine, &WEB.replace("stop_signal", "scale: 3, stop_signal"))?;
    project.set("COMPOSE_PARALLEL_LIMIT", "1");
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(project.service("web")?.len(), 3, "containers");
    project.compose(&["--parallel", "1", "down"])?.ok()?;
    project.set("COMPOSE_PARALLEL_LIMIT", "some");
    project.compose(&["up", "-d"])?.exits(1)?.says("COMPOSE_PARALLEL_LIMIT must be an integer")?;
    Ok(())
}

fn labels_come_from_files(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        &WEB.replace("stop_signal", "label_file: [a.labels, b.labels], labels: {C: model}, stop_signal"),
    )?;
    project.write("a.labels", "A=1\nC=file\n")?;
    project.write("b.labels", "A=2\nB=3\n")?;
    project.compose(&["up", "-d"])?.ok()?;
    let web = project.only("web")?;
    for (label, value) in [("A", "2"), ("B", "3"), ("C", "model")] {
        ensure_eq!(web.label(label), value, "{label}");
    }
    project.write("b.labels", "A=4\n")?;
    project.compose(&["up", "-d"])?.ok()?.says("web-1 Recreated")?;
    Ok(())
}

const MAC: &str =
    "services:\n  mac: {image: busybox, mac_address: '02:42:ac:11:65:43', command: cat /sys/class/net/eth0/address}\n";

fn the_engine_gets_what_few_ask_for(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  mac: {image: busybox, mac_address: '02:42:ac:11:65:43'}
  local: {image: busybox, networks: {default: {link_local_ips: [169.254.8.8]}}}
  gpu: {image: busybox, gpus: all}
  reserved: {image: busybox, deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 2, capabilities: [gpu]}]}}}}
",
    )?;
    if !engine.is_docker() {
        // What it cannot give is named before anything is made.
        project.compose(&["create"])?.exits(1)?.says("\"gpus\"")?.says("compose.yaml:5")?;
        ensure_eq!((project.states()?, engine.networks(&project.name)?), (vec![], vec![]), "what was made");
        project.compose(&["create", "local"])?.exits(1)?.says("link_local_ips")?;
        for (attribute, named) in [
            ("devices: ['acme.org/sensor=nine']", "acme.org/sensor=nine"),
            ("logging: {driver: syslog}", "logging.driver"),
            ("ports: [53/sctp]", "sctp"),
            ("network_mode: bridge", "network_mode"),
        ] {
            project.write("compose.yaml", &format!("services:\n  web: {{image: busybox, {attribute}}}\n"))?;
            project.compose(&["create"])?.exits(1)?.says(named)?.says("compose.yaml:2")?;
            ensure_eq!((project.states()?, engine.networks(&project.name)?), (vec![], vec![]), "what {named} made");
        }
        project.write("compose.yaml", MAC)?;
        project.compose(&["up"])?.ok()?.says("02:42:ac:11:65:43")?;
        return Ok(());
    }
    project.compose(&["create"])?.ok()?;
    let network = format!("{}_default", project.name);
    let endpoint = |service: &str| -> Result<_, String> {
        Ok(project.only(service)?.inspect["NetworkSettings"]["Networks"][&network].clone())
    };
    // Engines before 25 have no address of a network's endpoint: left out, as the reference does.
    let mac = if engine.name == "docker20" { "" } else { "02:42:ac:11:65:43" };
    ensure_eq!(endpoint("mac")?["MacAddress"].as_str().unwrap_or_default(), mac, "the address");
    ensure_eq!(endpoint("local")?["IPAMConfig"]["LinkLocalIPs"][0], "169.254.8.8", "link-local");
    let request = project.only("gpu")?.inspect["HostConfig"]["DeviceRequests"][0].clone();
    ensure!(request["Count"] == -1 && request["Capabilities"][0][0] == "gpu", "gpus: {request}");
    let request = project.only("reserved")?.inspect["HostConfig"]["DeviceRequests"][0].clone();
    ensure!(request["Count"] == 2 && request["Driver"] == "nvidia", "devices: {request}");
    Ok(())
}

fn links_on_the_own_network_of_the_engine_find_their_container(engine: &Engine) -> CaseResult {
    let text = "
services:
  a: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, network_mode: bridge, links: ['b:other']}
  b: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, network_mode: bridge}
";
    let project = Project::with(engine, text)?;
    for flags in ["up -d", "up -d --force-recreate"] {
        project.compose(&flags.split(' ').collect::<Vec<_>>())?.ok()?;
        project.compose(&["exec", "-T", "a", "ping", "-c", "1", "-w", "5", "other"])?.ok()?;
    }
    Ok(())
}

fn foreign_containers_are_reached_and_shared(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    let foreign = format!("{}-foreign", project.name);
    let services = |name: &str| {
        format!(
            "
services:
  linked: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, external_links: ['{name}:outside']}}
  net: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, network_mode: 'container:{name}'}}
  ipc: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, ipc: 'container:{name}'}}
  pid: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, pid: 'container:{name}'}}
  files: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, volumes_from: ['container:{name}']}}
"
        )
    };
    project.write("compose.yaml", &services(&foreign))?;
    project.compose(&["create", "linked"])?.ok()?;
    let network = format!("{}_default", project.name);
    let label = format!("com.docker.compose.project={}", project.name);
    let words = ["run", "-d", "--label", &label, "--name", &foreign, "--network", &network, "--ipc", "shareable"];
    engine.docker(&[&words[..], &["-v", "/shared", "busybox", "sleep", "1000"]].concat())?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["exec", "-T", "linked", "ping", "-c", "1", "-w", "5", "outside"])?.ok()?;
    project.compose(&["exec", "-T", "files", "test", "-d", "/shared"])?.ok()?;
    let id = engine.docker(&["inspect", "-f", "{{.Id}}", &foreign])?;
    for (service, key) in [("net", "NetworkMode"), ("ipc", "IpcMode"), ("pid", "PidMode")] {
        let mode = project.only(service)?.inspect["HostConfig"][key].clone();
        ensure_eq!(mode, format!("container:{}", id.trim()), "{service}");
    }
    project.compose(&["up", "-d"])?.ok()?.says("net-1 Running")?;
    engine.docker(&["rm", "-f", "-v", &foreign])?;
    project.write("compose.yaml", &services("nobody-of-this-name"))?;
    for service in ["net", "ipc", "pid", "files"] {
        project.compose(&["up", "-d", service])?.exits(1)?.says("nobody-of-this-name")?;
    }
    Ok(())
}

fn resources_of_others_are_named(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    let name = format!("{}-foreign", project.name);
    let text = format!(
        "
services:
  web: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, volumes: ['data:/data']}}
networks: {{default: {{name: {name}}}}}
volumes: {{data: {{name: {name}}}}}
"
    );
    project.write("compose.yaml", &text)?;
    let labels = |kind: &str| {
        ["--label=com.docker.compose.project=other".to_owned(), format!("--label=com.docker.compose.{kind}=x")]
    };
    let rounds: [(bool, &str, &str); 2] = [
        (false, "exists but was not created by compose", "already exists but was not created by Docker Compose"),
        (true, "exists but was not created for project", "already exists but was created for project \\\"other\\\""),
    ];
    for (labelled, network, volume) in rounds {
        for kind in ["network", "volume"] {
            let labels = labels(kind);
            let given: Vec<&str> = if labelled { labels.iter().map(String::as_str).collect() } else { Vec::new() };
            engine.docker(&[&[kind, "create"], given.as_slice(), &[&name]].concat())?;
        }
        let outcome = project.compose(&["up", "-d"]).and_then(|run| run.ok()?.says(network)?.says(volume));
        let down = project.compose(&["down"]);
        let kept = engine.docker(&["network", "inspect", &name]);
        for kind in ["network", "volume"] {
            let _ = engine.docker(&[kind, "rm", &name]);
        }
        outcome?;
        down?.ok()?;
        kept?;
    }
    Ok(())
}

fn a_start_interval_needs_a_start_period(engine: &Engine) -> CaseResult {
    let text =
        WEB.replace("stop_signal", "healthcheck: {test: 'true', interval: 30s, start_interval: 1s}, stop_signal");
    let project = Project::with(engine, &text)?;
    let message = "healthcheck.start_interval requires healthcheck.start_period to be set";
    project.compose(&["up", "-d"])?.exits(1)?.says(message)?;
    // Engines before 25 do not know it, and check at the interval from the start.
    project.write("compose.yaml", &text.replace("interval: 30s", "interval: 1s, start_period: 20s"))?;
    project.compose(&["up", "-d", "--wait"])?.ok()?.says("web-1 Healthy")?;
    Ok(())
}

fn secrets_of_an_included_project_come_from_its_env_file(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, "include: [{path: part/compose.yaml, env_file: [part/own.env]}]\n")?;
    let text = "services:\n  web: {image: busybox, command: cat /run/secrets/word, secrets: [word]}\n\
                secrets: {word: {environment: A_WORD}}\n";
    project.write("part/compose.yaml", text)?;
    project.write("part/own.env", "A_WORD=from-the-part\n")?;
    let run = project.compose(&["run", "--rm", "-T", "web"])?.ok()?;
    ensure_eq!(run.stdout, "from-the-part", "the secret");
    Ok(())
}

fn the_format_of_the_configuration_is_taken(engine: &Engine) -> CaseResult {
    let mut project = Project::with(engine, WEB)?;
    project.write("config/config.json", r#"{"psFormat": "table {{.Name}}"}"#)?;
    project.compose(&["up", "-d"])?.ok()?;
    let folder = project.folder().join("config").display().to_string();
    project.set("DOCKER_CONFIG", &folder);
    let run = project.compose(&["ps"])?.ok()?;
    ensure!(run.stdout.starts_with("NAME") && !run.stdout.contains("IMAGE"), "the columns: {run}");
    let run = project.compose(&["ps", "--format", "table"])?.ok()?;
    ensure!(run.stdout.contains("IMAGE"), "a format that is given: {run}");
    Ok(())
}
