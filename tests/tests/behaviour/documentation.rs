//! The examples of the documentation: every block of commands of a page, run in order.

use std::process::{Command, Stdio};

use compose_tests::engine::{SEARCH_PATH, setting};
use compose_tests::project::repository;
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! {
    Builds: the_guides_commands_run, the_command_references_examples_run;
    Any: the_plans_that_are_shown_are_those_that_are_made;
}

/// What a page holds: files, and commands.
enum Block {
    File { name: String, text: String },
    Commands(String),
}

/// Blocks that begin with ` ```yaml NAME ` and ` ```sh `.
fn blocks(page: &str) -> Vec<Block> {
    let mut all = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let text: String =
            lines.by_ref().take_while(|line| *line != "```").fold(String::new(), |text, line| text + line + "\n");
        match kind.split_once(' ') {
            Some(("yaml", name)) => all.push(Block::File { name: name.to_owned(), text }),
            None if kind == "sh" => all.push(Block::Commands(text)),
            _ => {}
        }
    }
    all
}

/// A shell in a project's folder that finds the program as `compose`.
struct Shell {
    environment: Vec<(String, String)>,
    path: String,
}

impl Shell {
    fn new(project: &Project) -> Result<Self, String> {
        let programs = project.folder().join("programs");
        std::fs::create_dir(&programs).map_err(|error| error.to_string())?;
        let binary = setting("BINARY").ok_or("COMPOSE_TEST_BINARY is not set")?;
        std::os::unix::fs::symlink(binary, programs.join("compose")).map_err(|error| error.to_string())?;
        let environment = project.engine.environment();
        let further = environment.iter().rfind(|(name, _)| name == "PATH").map_or(SEARCH_PATH, |(_, path)| path);
        let path = format!("{}:{further}", programs.display());
        Ok(Self { environment, path })
    }

    fn run(&self, project: &Project, text: &str) -> CaseResult {
        let output = Command::new("sh")
            .args(["-e", "-c", text])
            .current_dir(project.folder())
            .env_clear()
            .envs(self.environment.iter().cloned())
            .env("PATH", &self.path)
            .env("HOME", project.folder())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{text}\n{out}{err}");
        Ok(())
    }
}

fn the_guides_commands_run(engine: &Engine) -> CaseResult {
    let page = std::fs::read_to_string(repository("docs/guide.md")).map_err(|error| error.to_string())?;
    let project = Project::new(engine)?;
    let shell = Shell::new(&project)?;
    let mut ran = 0;
    for block in blocks(&page) {
        match block {
            // The name of the page's project is its own here, so that runs do not meet.
            Block::File { name, text } => {
                project.write(&name, &text.replace("name: guide", &format!("name: {}", project.name)))?;
            }
            Block::Commands(text) => {
                shell.run(&project, &text)?;
                ran += 1;
            }
        }
    }
    ensure!(ran >= 5, "only {ran} blocks of commands were found");
    Ok(())
}

/// Examples that stay until they are ended, or need more than an engine: other cases run these.
const ELSEWHERE: &[&str] = &[
    "compose up",
    "compose logs -f",
    "compose events --json",
    "compose attach web",
    "compose watch",
    "compose pull",
    "compose push",
    "compose publish",
    "compose -f oci:",
    "compose bridge",
    "compose alpha generate",
    "compose alpha viz --image",
];

/// What the command reference shows below each command.
fn the_command_references_examples_run(engine: &Engine) -> CaseResult {
    let page = std::fs::read_to_string(repository("docs/commands.md")).map_err(|error| error.to_string())?;
    let mut project = Project::new(engine)?;
    let own = project.name.clone();
    project.write(
        "compose.yaml",
        &format!(
            r#"name: {own}
services:
  web:
    image: {own}/web:1
    build: &tools
      dockerfile_inline: |
        FROM busybox:1
        RUN printf '#!/bin/sh\n' > /bin/npm && cp /bin/npm /bin/pg_dump && chmod +x /bin/npm /bin/pg_dump
        RUN mkdir /srv && echo {own}
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    ports: ["80"]
  db: {{image: "{own}/db:1", build: *tools, command: [sleep, "1000"], stop_signal: SIGKILL}}
  worker:
    image: busybox:1
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    depends_on: {{job: {{condition: service_completed_successfully}}}}
  job: {{image: "busybox:1", command: ["true"]}}
"#
        ),
    )?;
    project.write("index.html", "page")?;
    project.set("COMPOSE_PROJECT_NAME", &own);
    let shell = Shell::new(&project)?;
    let mut ran = 0;
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```text";
            continue;
        }
        // Two spaces part a command from what it is for.
        let line = line.split("  ").next().unwrap_or_default();
        let stays = |prefix: &&str| {
            line.starts_with(*prefix)
                && (**prefix != *"compose up" || !line.contains(" -d") && !line.contains("--wait"))
        };
        if !inside || !line.starts_with("compose ") || ELSEWHERE.iter().any(stays) {
            continue;
        }
        let line = line
            .replace("/etc/bash_completion.d/", "")
            .replace("/usr/local/share/man/man1", "man")
            .replace("-p shop", &format!("-p {own}-shop"))
            .replace("shop/web:tried", &format!("{own}/web:tried"));
        // It tells by 2 that there is something to do: the job would run again.
        let line = if line.contains("--exit-code") { format!("{line} || test $? -eq 2") } else { line };
        // Nothing is frozen before and after.
        let line = match line.as_str() {
            "compose pause" | "compose unpause" => "compose pause; compose unpause".to_owned(),
            _ => line,
        };
        // What most of them look at runs, whatever the last one did.
        shell.run(&project, &format!("compose up -d; {line}"))?;
        ran += 1;
    }
    ensure!(ran >= 50, "only {ran} examples were found");
    project.compose(&["down", "--rmi", "local"])?.ok()?;
    for image in ["web:1", "web:tried", "db:1"] {
        // One may have gone with the project.
        let _ = engine.docker(&["image", "rm", "-f", &format!("{own}/{image}")]);
    }
    Ok(())
}

/// The plans that a page shows: what stands below `up PROJECT`, in blocks without a language.
fn plans(page: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if !line.starts_with("```") {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let plan = block.into_iter().skip_while(|line| !line.starts_with("up "));
        let block: Vec<&str> = plan.take_while(|line| !line.starts_with("$ ")).collect();
        if line == "```" && !block.is_empty() {
            all.push(block.join("\n"));
        }
    }
    all
}

/// A plan without what is another one in each run: the project's name, widths, identities.
fn told(plan: &str, project: &str, engine: &str) -> Vec<String> {
    let plan = plan.replace(project, "3-replicas").replace(&format!("\u{b7} {engine} \u{b7}"), "\u{b7} docker \u{b7}");
    let word = |word: &str| match word.split_once('_') {
        Some((id, name)) if id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => format!("ID_{name}"),
        _ => word.to_owned(),
    };
    let lines = plan.lines().map(|line| line.split_whitespace().map(word).collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect()
}

/// README and the page about plans show the same application: its first plan, and the one after a change.
fn the_plans_that_are_shown_are_those_that_are_made(engine: &Engine) -> CaseResult {
    let read = |path: &str| std::fs::read_to_string(repository(path)).map_err(|error| format!("{path}: {error}"));
    let (readme, page) = (plans(&read("README.md")?), plans(&read("docs/plan-format.md")?));
    let ([first, second], [third]) = (readme.as_slice(), page.as_slice()) else {
        return Err(format!("the pages show other plans than expected: {readme:?} {page:?}"));
    };
    ensure_eq!(second, third, "the same plan in README.md and docs/plan-format.md");
    // A port of its own, so that runs do not meet.
    let file = read("examples/3-replicas/compose.yaml")?.replace("8080:80", "80");
    let project = Project::with(engine, &file)?;
    let kind = if engine.is_docker() { "docker" } else { "containerd" };
    let plan = project.compose(&["plan"])?.ok()?;
    ensure_eq!(told(&plan.stdout, &project.name, kind), told(first, "3-replicas", kind), "the first plan of README.md");
    project.compose(&["up", "-d"])?.ok()?;
    let changed = file.replace("LOG: info", "LOG: debug").replace("replicas: 3", "replicas: 1");
    project.write("compose.yaml", &changed)?;
    let plan = project.compose(&["plan"])?.ok()?;
    ensure_eq!(
        told(&plan.stdout, &project.name, kind),
        told(second, "3-replicas", kind),
        "the second plan of README.md"
    );
    Ok(())
}
