//! The examples of the documentation: every block of commands of a page, run in order.

use std::process::{Command, Stdio};

use compose_tests::engine::{SEARCH_PATH, setting};
use compose_tests::project::repository;
use compose_tests::{CaseResult, Engine, Project, ensure};

crate::cases! { Builds: the_guides_commands_run }

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

fn the_guides_commands_run(engine: &Engine) -> CaseResult {
    let page = std::fs::read_to_string(repository("docs/guide.md")).map_err(|error| error.to_string())?;
    let project = Project::new(engine)?;
    let programs = project.folder().join("programs");
    std::fs::create_dir(&programs).map_err(|error| error.to_string())?;
    let binary = setting("BINARY").ok_or("COMPOSE_TEST_BINARY is not set")?;
    std::os::unix::fs::symlink(binary, programs.join("compose")).map_err(|error| error.to_string())?;
    let environment = engine.environment();
    let further = environment.iter().rfind(|(name, _)| name == "PATH").map_or(SEARCH_PATH, |(_, path)| path);
    let path = format!("{}:{further}", programs.display());
    let mut ran = 0;
    for block in blocks(&page) {
        match block {
            // The name of the page's project is its own here, so that runs do not meet.
            Block::File { name, text } => {
                project.write(&name, &text.replace("name: guide", &format!("name: {}", project.name)))?;
            }
            Block::Commands(text) => {
                let output = Command::new("sh")
                    .args(["-e", "-c", &text])
                    .current_dir(project.folder())
                    .env_clear()
                    .envs(environment.iter().cloned())
                    .env("PATH", &path)
                    .env("HOME", project.folder())
                    .stdin(Stdio::null())
                    .output()
                    .map_err(|error| error.to_string())?;
                ensure!(
                    output.status.success(),
                    "{text}\n{}{}",
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                );
                ran += 1;
            }
        }
    }
    ensure!(ran >= 5, "only {ran} blocks of commands were found");
    Ok(())
}
