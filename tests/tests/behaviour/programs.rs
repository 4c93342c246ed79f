//! Programs that serve a project beside the engine: providers, and the Docker Model plugin.

use std::os::unix::fs::PermissionsExt as _;

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    models_are_fetched_and_configured_and_their_services_told,
    a_model_that_cannot_be_had_keeps_its_services_from_starting,
    a_provider_is_asked_up_and_down_and_tells_its_dependents,
    ; Reference:
    the_reference_takes_over_services_with_models,
}

const MODELS: &str = "
services:
  chat: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, network_mode: none, models: [my-llm]}
  named:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: none
    models: {my-llm: {endpoint_var: AT, model_var: WHICH}}
  plain: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, network_mode: none}
models:
  my-llm: {model: 'ai/small:1', context_size: 4096, runtime_flags: [--temp, '0.1']}
  unused: {model: 'ai/large:1'}
";

/// Remembers what it was asked; has the models that were fetched before.
const PLUGIN: &str = r#"#!/bin/sh
here=$(dirname "$0")
case "$1" in
docker-cli-plugin-metadata) echo '{"SchemaVersion":"0.1.0","Vendor":"nobody","Version":"v1.0.7"}'; exit;;
ls) echo "[{\"tags\":[$(cat "$here/has" 2>/dev/null)]}]"; exit;;
status) echo '{"endpoint":"http://models.local/v1/"}'; exit;;
esac
echo "$@" >> "$here/asked"
if [ "$1" = pull ]; then
  [ "$2" != ai/broken:1 ] || { echo no such model >&2; exit 3; }
  printf '"%s"' "$2" > "$here/has"
fi
"#;

/// A project with a plugin directory of its own that holds this program.
fn with_plugin(engine: &Engine, compose: &str, name: &str, program: &str) -> Result<Project, String> {
    let mut project = Project::with(engine, compose)?;
    let file = format!("client/cli-plugins/{name}");
    project.write(&file, program)?;
    let path = project.folder().join(file);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
    let client = project.folder().join("client");
    project.set("DOCKER_CONFIG", &client.to_string_lossy());
    Ok(project)
}

/// What the program was asked since the last time.
fn asked(project: &Project) -> String {
    let path = project.folder().join("client/cli-plugins/asked");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let _ = std::fs::remove_file(path);
    text
}

fn variables(project: &Project, service: &str) -> Result<Vec<String>, String> {
    let run = project.compose(&["exec", "-T", service, "env"])?.ok()?;
    let ours = |line: &&str| ["MY_LLM_", "AT=", "WHICH=", "CLOUD_", "RAW="].iter().any(|start| line.starts_with(start));
    let mut lines: Vec<String> = run.stdout.lines().filter(ours).map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

fn models_are_fetched_and_configured_and_their_services_told(engine: &Engine) -> CaseResult {
    let project = with_plugin(engine, MODELS, "docker-model", PLUGIN)?;
    let plan = project.compose(&["plan"])?.ok()?;
    ensure!(plan.stdout.contains("pull-model:my-llm"), "the plan: {plan}");
    ensure_eq!(asked(&project), "", "asked by a plan");
    let run = project.compose(&["up", "-d"])?.ok()?;
    ensure!(run.stderr.contains("my-llm Pulled") && run.stderr.contains("my-llm Configured"), "progress: {run}");
    let configure = "configure --context-size 4096 ai/small:1 -- --temp 0.1\n";
    ensure_eq!(asked(&project), format!("pull ai/small:1\n{configure}"), "asked by the first `up`");
    ensure_eq!(
        variables(&project, "chat")?,
        ["MY_LLM_MODEL=ai/small:1", "MY_LLM_URL=http://models.local/v1/"],
        "variables of `chat`"
    );
    ensure_eq!(variables(&project, "named")?, ["AT=http://models.local/v1/", "WHICH=ai/small:1"], "of `named`");
    ensure_eq!(variables(&project, "plain")?, Vec::<String>::new(), "of `plain`");
    let before = project.only("chat")?.id;
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(asked(&project), configure, "asked by the second `up`");
    ensure_eq!(project.only("chat")?.id, before, "the container");
    let once = project.compose(&["run", "--rm", "-T", "named", "sh", "-c", "echo $WHICH"])?.ok()?;
    ensure_eq!(once.stdout, "ai/small:1\n", "a one-off");
    asked(&project);
    project.compose(&["up", "-d", "plain"])?.ok()?;
    ensure_eq!(asked(&project), "", "asked for a service without models");
    Ok(())
}

fn a_model_that_cannot_be_had_keeps_its_services_from_starting(engine: &Engine) -> CaseResult {
    let mut project = with_plugin(engine, &MODELS.replace("small", "broken"), "docker-model", PLUGIN)?;
    let run = project.compose(&["up", "-d"])?.exits(1)?;
    ensure!(run.stderr.contains("exit status 3: no such model"), "the plugin's words: {run}");
    ensure_eq!(project.states()?, [("plain-1".to_owned(), "running".to_owned())], "what needs no model");
    project.set("DOCKER_CONFIG", "/nonexistent");
    let run = project.compose(&["up", "-d"])?.exits(1)?;
    ensure!(run.stderr.contains("'models' support requires Docker Model plugin"), "without the plugin: {run}");
    ensure!(run.stderr.contains("compose.yaml:3"), "the place: {run}");
    project.compose(&["up", "-d", "plain"])?.ok()?;
    project.compose(&["down"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "after `down`");
    Ok(())
}

const PROVIDED: &str = "
services:
  cloud: {provider: {type: cloud, options: {size: big, unknown: x}}}
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: none
    depends_on: [cloud]
";

const PROVIDER: &str = r#"#!/bin/sh
[ "$2" != metadata ] || { cat "$(dirname "$0")/metadata"; exit; }
echo "$@" >> "$(dirname "$0")/asked"
echo '{"type":"info","message":"working"}'
case "$*" in *" up "*)
  echo '{"type":"setenv","message":"URL=https://cloud.local"}'
  echo '{"type":"rawsetenv","message":"RAW=yes"}';;
esac
"#;

fn a_provider_is_asked_up_and_down_and_tells_its_dependents(engine: &Engine) -> CaseResult {
    let project = with_plugin(engine, PROVIDED, "docker-cloud", PROVIDER)?;
    let parameters = r#"{"parameters":[{"name":"size","required":true}]}"#;
    let metadata = |verbs: &str| project.write("client/cli-plugins/metadata", verbs);
    metadata(&format!(r#"{{"up":{parameters}}}"#))?;
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(asked(&project), format!("compose --project-name={} up --size=big cloud\n", project.name), "by `up`");
    ensure_eq!(variables(&project, "web")?, ["CLOUD_URL=https://cloud.local", "RAW=yes"], "variables of `web`");
    project.compose(&["stop"])?.ok()?;
    ensure_eq!(asked(&project), "", "by `stop` of a program that does not know it");
    metadata(&format!(r#"{{"up":{parameters},"stop":{parameters}}}"#))?;
    project.compose(&["stop"])?.ok()?;
    ensure_eq!(
        asked(&project),
        format!("compose --project-name={} stop --size=big cloud\n", project.name),
        "by `stop`"
    );
    project.compose(&["down"])?.ok()?;
    let said = asked(&project);
    ensure!(said.starts_with(&format!("compose --project-name={} down", project.name)), "by `down`: {said}");
    project.write("compose.yaml", &PROVIDED.replace("size: big, ", ""))?;
    let run = project.compose(&["up", "-d"])?.exits(1)?;
    ensure!(run.stderr.contains("required parameter \"size\" is missing from provider \"cloud\""), "{run}");
    Ok(())
}

fn the_reference_takes_over_services_with_models(engine: &Engine) -> CaseResult {
    let project = with_plugin(engine, MODELS, "docker-model", PLUGIN)?;
    let ids = || project.containers().map(|all| all.into_iter().map(|one| one.id).collect::<Vec<_>>());
    project.compose(&["up", "-d"])?.ok()?;
    let made = ids()?;
    project.reference(&["up", "-d"])?.ok()?;
    ensure_eq!(ids()?, made, "after the reference's `up`");
    project.reference(&["up", "-d", "--force-recreate"])?.ok()?;
    let made = ids()?;
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(ids()?, made, "after our `up`");
    Ok(())
}
