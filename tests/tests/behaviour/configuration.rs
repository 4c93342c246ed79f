//! Finding files, variables, several files, profiles: what `config` and the names tell of it.
//! None of this touches an engine, so each case runs once.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Once:
    project_name_is_taken_in_order,
    files_are_found_upwards_with_their_overrides,
    file_variable_lists_files_and_the_flag_beats_it,
    standard_input_is_a_file,
    project_directory_moves_relative_paths,
    variables_are_filled_in,
    dotenv_files_are_read_as_the_reference_reads_them,
    several_files_are_merged,
    services_are_extended_and_files_included,
    profiles_choose_services,
    config_lists_what_the_file_has,
    obsolete_version_is_warned_of_and_dropped,
}

const ONE: &str = "services:\n  a:\n    image: busybox\n";

/// `config --format json`, read.
fn config(project: &Project, arguments: &[&str]) -> Result<serde_json::Value, String> {
    let mut all = arguments.to_vec();
    all.extend(["config", "--format", "json"]);
    let run = project.compose(&all)?.ok()?;
    serde_json::from_str(&run.stdout).map_err(|error| format!("{error}: {run}"))
}

fn project_name_is_taken_in_order(engine: &Engine) -> CaseResult {
    let mut project = Project::with(engine, ONE)?;
    let name = |project: &Project, arguments: &[&str]| -> Result<String, String> {
        Ok(config(project, arguments)?["name"].as_str().unwrap_or_default().to_owned())
    };
    ensure_eq!(name(&project, &[])?, project.name, "the folder's name");
    project.write("_My.Proj Dir-1/compose.yaml", ONE)?;
    ensure_eq!(name(&project, &["-f", "_My.Proj Dir-1/compose.yaml"])?, "myprojdir-1", "a folder's name, made fit");
    project.write("compose.yaml", &format!("name: in-file\n{ONE}"))?;
    ensure_eq!(name(&project, &[])?, "in-file", "the file's name");
    project.write(".env", "COMPOSE_PROJECT_NAME=in-dotenv\n")?;
    ensure_eq!(name(&project, &[])?, "in-dotenv", "the name of `.env`");
    project.set("COMPOSE_PROJECT_NAME", "in-shell");
    ensure_eq!(name(&project, &[])?, "in-shell", "the environment's name");
    ensure_eq!(name(&project, &["-p", "by-flag"])?, "by-flag", "the flag's name");
    project.compose(&["-p", "Not.Fit", "config"])?.exits(1)?.says("invalid project name")?;
    Ok(())
}

fn files_are_found_upwards_with_their_overrides(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, ONE)?;
    project.write("compose.override.yaml", "services:\n  a:\n    environment: {FROM: override}\n")?;
    ensure_eq!(config(&project, &[])?["services"]["a"]["environment"]["FROM"], "override", "the override");
    let alone = config(&project, &["-f", "compose.yaml"])?;
    ensure!(alone["services"]["a"]["environment"].is_null(), "`-f` adds the override: {alone}");
    project.write("docker-compose.yml", "services:\n  b:\n    image: busybox\n")?;
    project.write("deep/er/file", "")?;
    let run = project.compose_in("deep/er", &["config", "--services"])?.ok()?;
    ensure_eq!(run.stdout, "a\n", "services seen from a folder below");
    ensure!(run.stderr.contains("Found multiple config files"), "the warning: {run}");
    Ok(())
}

fn file_variable_lists_files_and_the_flag_beats_it(engine: &Engine) -> CaseResult {
    let mut project = Project::new(engine)?;
    project.write("one.yaml", ONE)?;
    project.write("two.yaml", "services:\n  b:\n    image: busybox\n")?;
    project.write(".env", "COMPOSE_FILE=one.yaml\n")?;
    ensure_eq!(project.compose(&["config", "--services"])?.ok()?.stdout, "a\n", "from `.env`");
    project.set("COMPOSE_FILE", "one.yaml:two.yaml");
    let mut services: Vec<String> =
        project.compose(&["config", "--services"])?.ok()?.stdout.lines().map(str::to_owned).collect();
    services.sort();
    ensure_eq!(services, ["a", "b"], "from the environment");
    ensure_eq!(project.compose(&["-f", "two.yaml", "config", "--services"])?.ok()?.stdout, "b\n", "by the flag");
    Ok(())
}

fn standard_input_is_a_file(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    let run = project.compose_with(project.program(), &["-f", "-", "config", "--services"], ONE)?.ok()?;
    ensure_eq!(run.stdout, "a\n", "services");
    Ok(())
}

fn project_directory_moves_relative_paths(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, "services:\n  a:\n    image: busybox:${TAG}\n    volumes: ['./data:/data']\n")?;
    project.write("other/.env", "TAG=of-other\n")?;
    let read = config(&project, &["--project-directory", "other", "-f", "compose.yaml"])?;
    let service = &read["services"]["a"];
    ensure_eq!(read["name"], "other", "name");
    ensure_eq!(service["image"], "busybox:of-other", "image");
    let source = service["volumes"][0]["source"].as_str().unwrap_or_default();
    ensure!(source.ends_with("/other/data"), "source: {source}");
    Ok(())
}

fn variables_are_filled_in(engine: &Engine) -> CaseResult {
    let mut project = Project::new(engine)?;
    project.set("SET", "set");
    project.set("EMPTY", "");
    let table = [
        ("$SET-${SET}", "set-set"),
        ("${UNSET:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${UNSET-default}", "default"),
        ("${SET:+other}", "other"),
        ("${EMPTY:+other}", ""),
        ("${EMPTY+other}", "other"),
        ("${UNSET:-${SET}-x}", "set-x"),
        ("${EMPTY?must be there}", ""),
        ("$$SET", "$$SET"),
        ("${COMPOSE_PROJECT_NAME}", "PROJECT"),
    ];
    let mut text = String::from("services:\n  a:\n    image: busybox\n    environment:\n");
    for (index, (written, _)) in table.iter().enumerate() {
        text.push_str(&format!("      V{index}: '{written}'\n"));
    }
    project.write("compose.yaml", &text)?;
    let read = config(&project, &[])?;
    for (index, (written, expected)) in table.iter().enumerate() {
        let expected = expected.replace("PROJECT", &project.name);
        ensure_eq!(read["services"]["a"]["environment"][format!("V{index}")], expected, "{written}");
    }
    project.write("compose.yaml", "services:\n  a:\n    image: busybox:${NEVER_SET}\n")?;
    project
        .compose(&["config"])?
        .ok()?
        .says("The \\\"NEVER_SET\\\" variable is not set. Defaulting to a blank string.")?;
    project.write("compose.yaml", "services:\n  a:\n    image: busybox:${EMPTY:?must not be empty}\n")?;
    project.compose(&["config"])?.exits(1)?.says("must not be empty")?.says("EMPTY")?;
    project.write("compose.yaml", "services:\n  a:\n    image: 'busybox:${x:'\n")?;
    project.compose(&["config"])?.exits(1)?.says("invalid interpolation format")?;
    Ok(())
}

fn dotenv_files_are_read_as_the_reference_reads_them(engine: &Engine) -> CaseResult {
    let mut project = Project::new(engine)?;
    project.set("SHELL_WORD", "shell");
    project.set("BOTH", "shell");
    project.write(
        ".env",
        "PLAIN=plain\nHASH=a#b\nCOMMENT=a #b\nSINGLE='$PLAIN x'\nDOUBLE=\"$PLAIN\\nx\"\nexport EXPORTED=yes\n\
         COLON: yes\nNOTHING=\nBOTH=file\nLATER=pre-${SHELL_WORD}-${PLAIN}\n",
    )?;
    let expected = [
        ("PLAIN", "plain"),
        ("HASH", "a#b"),
        ("COMMENT", "a"),
        ("SINGLE", "$$PLAIN x"),
        ("DOUBLE", "plain\nx"),
        ("EXPORTED", "yes"),
        ("COLON", "yes"),
        ("NOTHING", ""),
        ("BOTH", "shell"),
        ("LATER", "pre-shell-plain"),
    ];
    let mut text = String::from("services:\n  a:\n    image: busybox\n    environment:\n");
    for (name, _) in expected {
        text.push_str(&format!("      {name}: ${{{name}}}\n"));
    }
    project.write("compose.yaml", &text)?;
    let read = config(&project, &[])?;
    for (name, value) in expected {
        ensure_eq!(read["services"]["a"]["environment"][name], value, "{name}");
    }
    project.write("first.env", "PLAIN=first\nHASH=first\n")?;
    project.write("second.env", "PLAIN=second\n")?;
    let read = config(&project, &["--env-file", "first.env", "--env-file", "second.env"])?;
    let environment = &read["services"]["a"]["environment"];
    ensure_eq!(environment["PLAIN"], "second", "the later file");
    ensure_eq!(environment["HASH"], "first", "the earlier file");
    ensure_eq!(environment["EXPORTED"], "", "`.env` beside a named file");
    project.compose(&["--env-file", "missing.env", "config"])?.exits(1)?.says("missing.env")?;
    project.set("COMPOSE_DISABLE_ENV_FILE", "1");
    ensure_eq!(config(&project, &[])?["services"]["a"]["environment"]["PLAIN"], "", "`.env` when disabled");
    Ok(())
}

fn several_files_are_merged(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    project.write(
        "one.yaml",
        "services:\n  a:\n    image: busybox\n    command: one\n    environment: [A=1, B=1]\n    ports: ['1000']\n    \
         volumes: ['/x:/data']\n    labels: {keep: me, drop: me}\n  gone:\n    image: busybox\n",
    )?;
    project.write(
        "two.yaml",
        "services:\n  a:\n    command: two\n    environment: {B: '2', C: '2'}\n    ports: ['2000']\n    \
         volumes: ['/y:/data']\n    labels: !override {only: this}\n  gone: !reset null\n",
    )?;
    let read = config(&project, &["-f", "one.yaml", "-f", "two.yaml"])?;
    let service = &read["services"]["a"];
    ensure_eq!(service["command"], serde_json::json!(["two"]), "command");
    ensure_eq!(service["environment"], serde_json::json!({"A": "1", "B": "2", "C": "2"}), "environment");
    let targets: Vec<_> =
        service["ports"].as_array().into_iter().flatten().map(|port| port["target"].clone()).collect();
    ensure_eq!(targets, [1000, 2000], "ports");
    ensure_eq!(service["volumes"].as_array().map(Vec::len), Some(1), "volumes");
    ensure_eq!(service["volumes"][0]["source"], "/y", "the later volume");
    ensure_eq!(service["labels"], serde_json::json!({"only": "this"}), "labels");
    ensure!(read["services"]["gone"].is_null(), "a service that was reset is there");
    Ok(())
}

fn services_are_extended_and_files_included(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "include: [inside/compose.yaml]\nservices:\n  a:\n    extends: {file: base/compose.yaml, service: base}\n    \
         environment: {OWN: '1'}\n    depends_on: [included]\n",
    )?;
    project.write(
        "base/compose.yaml",
        "services:\n  base:\n    image: busybox\n    env_file: [base.env]\n    volumes: ['./here:/there']\n",
    )?;
    project.write("base/base.env", "FROM_BASE=1\n")?;
    project.write("inside/compose.yaml", "services:\n  included:\n    image: busybox:${TAG}\n")?;
    project.write("inside/.env", "TAG=inside\n")?;
    let read = config(&project, &[])?;
    let service = &read["services"]["a"];
    ensure_eq!(service["environment"], serde_json::json!({"FROM_BASE": "1", "OWN": "1"}), "environment");
    let source = service["volumes"][0]["source"].as_str().unwrap_or_default();
    ensure!(source.ends_with("/base/here"), "source: {source}");
    ensure_eq!(read["services"]["included"]["image"], "busybox:inside", "the included image");
    project.write("compose.yaml", "services:\n  a:\n    extends: {file: base/compose.yaml, service: none}\n")?;
    project.compose(&["config"])?.exits(1)?.says("none")?;
    Ok(())
}

fn profiles_choose_services(engine: &Engine) -> CaseResult {
    let mut project = Project::with(
        engine,
        "services:\n  always:\n    image: busybox\n  debug:\n    image: busybox\n    profiles: [debug]\n  test:\n    \
         image: busybox\n    profiles: [test]\n",
    )?;
    let services = |project: &Project, arguments: &[&str]| -> Result<Vec<String>, String> {
        let mut all = arguments.to_vec();
        all.extend(["config", "--services"]);
        let mut found: Vec<String> = project.compose(&all)?.ok()?.stdout.lines().map(str::to_owned).collect();
        found.sort();
        Ok(found)
    };
    ensure_eq!(services(&project, &[])?, ["always"], "without a profile");
    ensure_eq!(services(&project, &["--profile", "debug"])?, ["always", "debug"], "with one");
    ensure_eq!(services(&project, &["--profile", "*"])?, ["always", "debug", "test"], "with all");
    project.set("COMPOSE_PROFILES", "debug,test");
    ensure_eq!(services(&project, &[])?, ["always", "debug", "test"], "by the environment");
    let mut profiles: Vec<String> =
        project.compose(&["config", "--profiles"])?.ok()?.stdout.lines().map(str::to_owned).collect();
    profiles.sort();
    ensure_eq!(profiles, ["debug", "test"], "the list of profiles");
    project.set("COMPOSE_PROFILES", "");
    project.write(
        "compose.yaml",
        "services:\n  a:\n    image: busybox\n    depends_on: [b]\n  b:\n    image: busybox\n    profiles: [x]\n",
    )?;
    project.compose(&["config"])?.exits(1)?.says("b")?;
    Ok(())
}

fn config_lists_what_the_file_has(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  b:\n    image: busybox\n    volumes: ['data:/data']\n    networks: [front]\n  a:\n    \
         image: busybox:1\nvolumes:\n  data: {}\nnetworks:\n  front: {}\n",
    )?;
    let list = |flag: &str| -> Result<Vec<String>, String> {
        let mut lines: Vec<String> =
            project.compose(&["config", flag])?.ok()?.stdout.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    };
    ensure_eq!(list("--services")?, ["a", "b"], "services");
    ensure_eq!(list("--volumes")?, ["data"], "volumes");
    ensure_eq!(list("--images")?, ["busybox", "busybox:1"], "images");
    ensure_eq!(project.compose(&["config", "-q"])?.ok()?.stdout, "", "`-q`");
    project.compose(&["config", "-o", "out.yaml"])?.ok()?;
    let text = std::fs::read_to_string(project.folder().join("out.yaml")).map_err(|error| error.to_string())?;
    ensure!(text.starts_with(&format!("name: {}\n", project.name)), "`-o`: {text}");
    let hashes = project.compose(&["config", "--hash", "*"])?.ok()?;
    let names: Vec<&str> = hashes.stdout.lines().filter_map(|line| line.split(' ').next()).collect();
    ensure_eq!(names, ["a", "b"], "`--hash`");
    Ok(())
}

fn obsolete_version_is_warned_of_and_dropped(engine: &Engine) -> CaseResult {
    for version in ["'3.7'", "'3.8'"] {
        let project = Project::with(engine, &format!("version: {version}\n{ONE}"))?;
        let run = project.compose(&["config"])?.ok()?;
        ensure!(run.stderr.contains("the attribute `version` is obsolete"), "the warning: {run}");
        ensure!(!run.stdout.contains("version"), "`version` is printed: {run}");
    }
    Ok(())
}
