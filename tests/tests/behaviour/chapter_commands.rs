//! The list of commands that the book chapter gives, line by line and in its words, on the
//! chapter's application of three replicas behind one name; and the README's list of everyday commands.

use std::collections::BTreeSet;
use std::time::Duration;

use compose_tests::{Access, CaseResult, Engine, Project, Registry, ensure, ensure_eq, eventually, http};

crate::cases! { Registry:
    every_line_of_the_chapters_list_works,
    every_everyday_command_of_the_readme_works,
}

/// The example with images that are built here and live in a registry.
struct Application {
    project: Project,
    registry: Registry,
}

impl Application {
    fn new(engine: &Engine) -> Result<Self, String> {
        let registry = Registry::start(engine, Access::Open)?;
        let project = Project::copy_of(engine, "examples/3-replicas")?;
        let application = Self { project, registry };
        let (app, web) = (application.image("app"), application.image("web"));
        application.project.write(
            "compose.override.yaml",
            &format!("services:\n  app: {{image: '{app}', build: app}}\n  web: {{image: '{web}', build: web}}\n"),
        )?;
        application.project.write("app/Dockerfile", "FROM example/app:1\nRUN date +%s%N > /built\n")?;
        application.project.write("web/Dockerfile", "FROM example/front:1\nRUN date +%s%N > /built\n")?;
        Ok(application)
    }

    fn image(&self, service: &str) -> String {
        self.registry.image(&format!("{}/{service}:1", self.project.name))
    }

    /// Runs one line of the list, as it stands there.
    fn line(&self, line: &str) -> Result<compose_tests::Run, String> {
        self.project.compose(&words(line))?.ok().map_err(|error| format!("{line}: {error}"))
    }

    /// Runs a line that stays attached, ends it as a person does, and gives its output.
    fn attached(&self, line: &str, ready: impl Fn() -> CaseResult) -> Result<compose_tests::Run, String> {
        let running = self.project.spawn(&words(line))?;
        let state = eventually(Duration::from_secs(90), ready);
        running.signal("INT")?;
        let run = running.finish(Duration::from_secs(60))?;
        state.map_err(|error| format!("{line}: {error}: {run}"))?;
        run.exits(130).map_err(|error| format!("{line}: {error}"))
    }

    /// Containers of a service that run.
    fn running(&self, service: &str) -> Result<BTreeSet<String>, String> {
        let containers = self.project.service(service)?.into_iter();
        Ok(containers.filter(|container| container.state == "running").map(|container| container.id).collect())
    }

    fn counts(&self, app: usize, web: usize) -> CaseResult {
        let (apps, webs) = (self.running("app")?.len(), self.running("web")?.len());
        ensure!((apps, webs) == (app, web), "{apps} app and {webs} web run instead of {app} and {web}");
        Ok(())
    }

    /// What the published port answers.
    fn page(&self, path: &str) -> Result<String, String> {
        eventually(Duration::from_secs(60), || {
            let response = http::get(&self.project.engine.ports_host, 8080, path)?;
            if response.status == 200 { Ok(response.body) } else { Err(format!("{path}: {response:?}")) }
        })
    }

    fn id_of(&self, image: &str) -> Result<String, String> {
        self.project.engine.docker(&["image", "inspect", "--format", "{{.Id}}", image])
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // Containers first: they hold the images.
        self.project.engine.wipe(&self.project.name);
        for service in ["app", "web"] {
            let _ = self.project.engine.docker(&["image", "rm", "-f", &self.image(service)]);
        }
    }
}

/// The words after the program's name.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().skip(1).collect()
}

fn every_line_of_the_chapters_list_works(engine: &Engine) -> CaseResult {
    let _alone = engine.alone_at_a_port(8080)?;
    let application = Application::new(engine)?;
    images(&application)?;
    looks(&application)?;
    service_by_service(&application)?;
    files(&application)?;
    ends(&application)
}

/// `build`, `build --no-cache`, `push`, `pull`.
fn images(application: &Application) -> CaseResult {
    let app = application.image("app");
    application.line("docker-compose build")?;
    let built = application.id_of(&app)?;
    application.line("docker-compose build")?;
    ensure_eq!(application.id_of(&app)?, built, "the image after a second build");
    application.line("docker-compose build --no-cache")?;
    let anew = application.id_of(&app)?;
    ensure!(anew != built, "`build --no-cache` took the image from the cache");
    application.line("docker-compose push")?;
    for service in ["app", "web"] {
        application.project.engine.docker(&["image", "rm", "-f", &application.image(service)])?;
    }
    application.line("docker-compose pull")?;
    ensure_eq!(application.id_of(&app)?, anew, "the image that came back from the registry");
    Ok(())
}

/// `up`, `up -d`, `ps`, `logs`, `logs -f`, `logs SERVICE`, `start`, `stop`, `restart`, `kill`.
fn looks(application: &Application) -> CaseResult {
    let run = application.attached("docker-compose up", || application.counts(3, 1))?;
    ensure!(run.stdout.contains("app-3") && run.stdout.contains("web-1"), "the output of `up`: {run}");
    application.counts(0, 0)?;
    application.line("docker-compose up -d")?;
    application.counts(3, 1)?;
    ensure!(application.page("/")?.contains("hello from"), "the page");
    let listed = application.line("docker-compose ps")?.stdout;
    ensure!(["app-1", "app-2", "app-3", "web-1"].iter().all(|name| listed.contains(name)), "`ps`: {listed}");
    ensure!(listed.contains("0.0.0.0:8080->80/tcp"), "`ps`: {listed}");
    let all = application.line("docker-compose logs")?.stdout;
    ensure!(all.contains("app-2") && all.contains("web-1"), "`logs`: {all}");
    let one = application.line("docker-compose logs app")?.stdout;
    ensure!(one.contains("app-2") && !one.contains("web-1"), "`logs app`: {one}");
    // It ends with the last container, and has shown what came meanwhile.
    let following = application.project.spawn(&words("docker-compose logs -f"))?;
    application.line("docker-compose stop")?;
    application.counts(0, 0)?;
    let followed = following.finish(Duration::from_secs(60))?;
    ensure!(followed.stdout.contains("app-1"), "`logs -f`: {followed}");
    application.line("docker-compose start")?;
    application.counts(3, 1)?;
    let before = application.project.only("web")?.started_at;
    application.line("docker-compose restart")?;
    application.counts(3, 1)?;
    ensure!(application.project.only("web")?.started_at > before, "`restart` did not restart web");
    application.line("docker-compose kill")?;
    application.counts(0, 0)
}

/// `up SERVICE`, `up -d SERVICE`, `exec`, `run`, `up --no-deps SERVICE`, `up --force-recreate`.
fn service_by_service(application: &Application) -> CaseResult {
    let run = application.attached("docker-compose up app", || application.counts(3, 0))?;
    ensure!(run.stdout.contains("app-1") && !run.stdout.contains("web-1"), "the output of `up app`: {run}");
    application.line("docker-compose up -d app")?;
    application.counts(3, 0)?;
    application.line("docker-compose up -d web")?;
    application.counts(3, 1)?;
    for line in ["docker-compose exec -T app env", "docker-compose run -T app env"] {
        let variables = application.line(line)?;
        ensure!(variables.stdout.lines().any(|variable| variable == "GREETING=hello"), "{line}: {variables}");
    }
    let (apps, web) = (application.running("app")?, application.running("web")?);
    application.attached("docker-compose up --force-recreate", || {
        ensure!(application.running("web")?.is_disjoint(&web), "web is not replaced");
        ensure!(application.running("app")?.is_disjoint(&apps), "app is not replaced");
        application.counts(3, 1)
    })?;
    application.counts(0, 0)?;
    application.attached("docker-compose up --no-deps web", || application.counts(0, 1))?;
    application.counts(0, 0)
}

/// `--env-file FILE up`, `-f FILE up`.
fn files(application: &Application) -> CaseResult {
    let project = &application.project;
    let text = std::fs::read_to_string(project.folder().join("compose.yaml")).map_err(|error| error.to_string())?;
    project.write("compose.yaml", &text.replace("GREETING: hello", "GREETING: ${WORD:-hello}"))?;
    project.write("other.env", "WORD=annyeong\n")?;
    application.attached("docker-compose --env-file other.env up", || {
        application.counts(3, 1)?;
        ensure!(application.page("/")?.contains("annyeong"), "the env file is not heard");
        Ok(())
    })?;
    project.write("other.yaml", &text.replace("replicas: 3", "replicas: 1"))?;
    application.attached("docker-compose -f other.yaml up", || application.counts(1, 1))?;
    Ok(())
}

/// `down`, `down --volumes`, `down --remove-orphans`.
fn ends(application: &Application) -> CaseResult {
    application.line("docker-compose up -d")?;
    application.line("docker-compose down")?;
    // The one-off of `run` is an orphan, and stays with the plain `down`.
    application.line("docker-compose up -d")?;
    application.line("docker-compose down --volumes")?;
    application.line("docker-compose up -d")?;
    application.line("docker-compose down --remove-orphans")?;
    ensure_eq!(application.project.states()?, vec![], "containers at the end");
    Ok(())
}

/// The commands below "Everyday commands", one by one: `compose stop | start` are two.
fn everyday_commands(readme: &str) -> Vec<String> {
    let list =
        readme.split("## Everyday commands").nth(1).and_then(|rest| rest.split("```").nth(1)).unwrap_or_default();
    let mut all = Vec::new();
    for line in list.lines().filter(|line| !line.is_empty()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        for (index, command) in line.split(" | ").enumerate() {
            let program = if index == 0 { "" } else { "compose " };
            all.push(format!("{program}{command}").replace("COMMAND", "true"));
        }
    }
    all
}

fn every_everyday_command_of_the_readme_works(engine: &Engine) -> CaseResult {
    let _alone = engine.alone_at_a_port(8080)?;
    let path = compose_tests::project::repository("README.md");
    let readme = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let application = Application::new(engine)?;
    // What is pulled has to be in the registry.
    application.line("compose build")?;
    application.line("compose push")?;
    let commands = everyday_commands(&readme);
    ensure!(commands.len() >= 15, "only these were found: {commands:?}");
    for line in &commands {
        match line.as_str() {
            // These stay until they are ended.
            "compose up" | "compose logs -f web" => {
                let following = application.project.spawn(&words(line))?;
                following.says("web-1", Duration::from_secs(60))?;
                following.signal("INT")?;
                following.finish(Duration::from_secs(60))?;
            }
            // What is looked at and entered runs.
            "compose plan" => {
                application.line(line)?;
                application.line("compose up -d")?;
                application.counts(3, 1)?;
            }
            line => drop(application.line(line)?),
        }
    }
    ensure_eq!(application.project.states()?, vec![], "containers at the end");
    Ok(())
}
