//! Secrets and configs.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    secret_file_is_mounted_where_the_file_says,
    secrets_and_configs_come_from_variables_and_text,
    owner_and_mode_are_honoured,
    unset_variable_of_a_secret_is_named,
    secret_content_is_nowhere_in_labels_or_plan,
}

fn secret_file_is_mounted_where_the_file_says(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  one:
    image: busybox
    command: cat /app/config/secrets.json /run/secrets/plain
    secrets:
      - source: postgres-connection
        target: /app/config/secrets.json
      - plain
secrets:
  postgres-connection:
    file: ./config/secrets.json
  plain:
    file: ./config/plain
",
    )?;
    project.write("config/secrets.json", "{\"a\": 1}\n")?;
    project.write("config/plain", "plain\n")?;
    let run = project.compose(&["up", "--no-log-prefix"])?.ok()?;
    ensure!(run.stdout.contains("{\"a\": 1}\nplain\n"), "contents: {run}");
    Ok(())
}

fn secrets_and_configs_come_from_variables_and_text(engine: &Engine) -> CaseResult {
    let mut project = Project::with(
        engine,
        "
services:
  one:
    image: busybox
    command: cat /run/secrets/word /motd /etc/deep/conf
    secrets: [word]
    configs:
      - motd
      - {source: motd, target: /etc/deep/conf}
secrets:
  word:
    environment: WORD
configs:
  motd:
    content: |
      hello ${NAME}
",
    )?;
    project.set("WORD", "hidden\n");
    project.set("NAME", "you");
    let run = project.compose(&["up", "--no-log-prefix"])?.ok()?;
    ensure!(run.stdout.contains("hidden\nhello you\nhello you\n"), "contents: {run}");
    Ok(())
}

fn owner_and_mode_are_honoured(engine: &Engine) -> CaseResult {
    let mut project = Project::with(
        engine,
        "
services:
  one:
    image: busybox
    command: stat -c '%u %g %a' /run/secrets/word
    secrets:
      - {source: word, uid: '5', gid: '6', mode: 0400}
secrets:
  word:
    environment: WORD
",
    )?;
    project.set("WORD", "hidden");
    let run = project.compose(&["up", "--no-log-prefix"])?.ok()?;
    ensure!(run.stdout.lines().any(|line| line == "5 6 400"), "owner and mode: {run}");
    Ok(())
}

fn unset_variable_of_a_secret_is_named(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  one:\n    image: busybox\n    secrets: [word]\nsecrets:\n  word:\n    environment: NOT_SET_ANYWHERE\n",
    )?;
    project.compose(&["up", "-d"])?.exits(1)?.says("environment variable \"NOT_SET_ANYWHERE\" required by secret")?;
    Ok(())
}

fn secret_content_is_nowhere_in_labels_or_plan(engine: &Engine) -> CaseResult {
    let mut project = Project::with(
        engine,
        "services:\n  one:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    secrets: [word]\nsecrets:\n  word:\n    environment: WORD\n",
    )?;
    project.set("WORD", "x9-very-hidden");
    let plan = project.compose(&["plan", "--format", "json"])?.ok()?;
    ensure!(!plan.stdout.contains("x9-very-hidden"), "the plan holds the secret");
    let run = project.compose(&["up", "-d"])?.ok()?;
    ensure!(!run.stderr.contains("x9-very-hidden"), "the output holds the secret");
    let inspect = project.only("one")?.inspect.to_string();
    ensure!(!inspect.contains("x9-very-hidden"), "the container's description holds the secret");
    ensure_eq!(
        project.compose(&["exec", "-T", "one", "cat", "/run/secrets/word"])?.ok()?.stdout,
        "x9-very-hidden",
        "content"
    );
    Ok(())
}
