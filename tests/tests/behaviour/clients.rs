//! Programs that drive Compose over its command line and parse what it prints:
//! `tests/clients/drive.py` runs them and checks what they understood.

use std::os::unix::fs::symlink;

use compose_tests::engine::setting;
use compose_tests::{CaseResult, Engine, Project, project};

crate::cases! { Clients:
    testcontainers_drives_the_plugin,
    testcontainers_drives_the_standalone_program,
    python_on_whales_drives_the_plugin,
}

/// Runs a client against the program under test: as `docker compose`, and as `docker-compose`.
fn drive(engine: &Engine, client: &str) -> CaseResult {
    let mut project = Project::new(engine)?;
    let python = setting("CLIENTS").ok_or("COMPOSE_TEST_CLIENTS is not set")?;
    let program = project.program().path().ok_or("the environment does not name the program")?;
    let compose = project::repository("tests/clients/compose.yaml");
    let text = std::fs::read_to_string(&compose).map_err(|error| format!("{}: {error}", compose.display()))?;
    project.write("compose.yaml", &text)?;
    let plugins = project.folder().join("docker/cli-plugins");
    std::fs::create_dir_all(&plugins).map_err(|error| error.to_string())?;
    let link = plugins.join("docker-compose");
    symlink(program, &link).map_err(|error| error.to_string())?;
    project.set("DOCKER_CONFIG", &project.folder().join("docker").display().to_string());
    project.set("STANDALONE", &link.display().to_string());
    let script = project::repository("tests/clients/drive.py").display().to_string();
    let folder = project.folder().display().to_string();
    project.other(&python, &[&script, client, &folder])?.ok()?.says("ok").map(drop)
}

fn testcontainers_drives_the_plugin(engine: &Engine) -> CaseResult {
    drive(engine, "testcontainers")
}

fn testcontainers_drives_the_standalone_program(engine: &Engine) -> CaseResult {
    drive(engine, "standalone")
}

fn python_on_whales_drives_the_plugin(engine: &Engine) -> CaseResult {
    drive(engine, "whales")
}
