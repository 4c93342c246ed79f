//! `pull` and `push` with a real registry: credentials, policies, failures that may pass, TLS.

use std::cell::RefCell;

use compose_tests::registry::{PASSWORD, USER, silent_port};
use compose_tests::{Access, CaseResult, Engine, Project, Registry, ensure, ensure_eq};

crate::cases! { Registry:
    pull_and_up_bring_images_as_their_policies_say,
    push_takes_what_is_built_to_the_registry,
    failures_are_told_and_may_be_ignored,
    credentials_come_from_the_configuration,
    credentials_come_from_helpers,
    a_certificate_is_verified,
}

/// A project with a registry beside it; images of the registry are taken off the engine at the end.
struct Shop {
    project: Project,
    registry: Registry,
    images: RefCell<Vec<String>>,
}

impl Shop {
    fn new(engine: &Engine, access: Access) -> Result<Self, String> {
        let registry = Registry::start(engine, access)?;
        Ok(Self { project: Project::new(engine)?, registry, images: RefCell::default() })
    }

    /// The reference of an image of this project in the registry, whether there is one or not.
    fn image(&self, name: &str) -> String {
        let image = self.registry.image(&self.repository(name));
        self.images.borrow_mut().push(image.clone());
        image
    }

    fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.project.name)
    }

    /// Puts an image into the registry.
    fn seed(&self, name: &str) -> Result<String, String> {
        self.registry.seed(&self.project.engine, "busybox:latest", &self.repository(name))?;
        Ok(self.image(name))
    }

    fn has(&self, image: &str) -> bool {
        self.project.engine.docker(&["image", "inspect", image]).is_ok()
    }

    fn forget(&self, image: &str) {
        let _ = self.project.engine.docker(&["image", "rm", "-f", image]);
    }

    /// Makes the program read this `config.json`.
    fn configure(&mut self, text: &str) -> CaseResult {
        self.project.write("docker/config.json", text)?;
        let folder = self.project.folder().join("docker").display().to_string();
        self.project.set("DOCKER_CONFIG", &folder);
        Ok(())
    }

    /// Puts a credential helper in the path.
    fn helper(&mut self, name: &str, script: &str) -> CaseResult {
        use std::os::unix::fs::PermissionsExt;
        let path = format!("programs/docker-credential-{name}");
        self.project.write(&path, &format!("#!/bin/sh\n{script}"))?;
        let file = self.project.folder().join(path);
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
        let programs = self.project.folder().join("programs").display().to_string();
        self.project.set("PATH", &format!("{programs}:/usr/sbin:/usr/bin:/sbin:/bin"));
        Ok(())
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // Containers first: they hold the images.
        self.project.engine.wipe(&self.project.name);
        for image in self.images.borrow().iter() {
            self.forget(image);
        }
    }
}

const SLEEP: &str = "    command: sleep 1000\n    stop_signal: SIGKILL\n";

fn pull_and_up_bring_images_as_their_policies_say(engine: &Engine) -> CaseResult {
    let shop = Shop::new(engine, Access::Open)?;
    let (web, db) = (shop.seed("web:1")?, shop.seed("db:1")?);
    let file = |policy: &str| {
        format!(
            "services:\n  web:\n    image: {web}\n{policy}{SLEEP}    depends_on: [db]\n  db:\n    image: {db}\n{SLEEP}"
        )
    };
    let project = &shop.project;
    project.write("compose.yaml", &file(""))?;
    // A named service alone, then with what it depends on.
    project.compose(&["pull", "web"])?.ok()?.says(&format!("Image {web} Pulled"))?;
    ensure!(shop.has(&web) && !shop.has(&db), "`pull web` did not pull exactly web");
    project.compose(&["pull", "--include-deps", "web"])?.ok()?.says(&format!("Image {db} Pulled"))?;
    ensure!(shop.has(&db), "--include-deps did not pull db");
    // What is there is pulled again, unless the policy is `missing`.
    project.compose(&["pull"])?.ok()?.says(&format!("Image {web} Pulled"))?;
    project.compose(&["pull", "--policy", "missing"])?.ok()?.says("Skipped")?;
    shop.forget(&web);
    let run = project.compose(&["pull", "-q", "--policy", "always", "web"])?.ok()?;
    ensure_eq!(run.stdout, "", "what -q prints");
    ensure!(shop.has(&web), "pull -q did not pull");
    project.compose(&["pull", "--policy", "sometimes"])?.exits(1)?.says("sometimes")?;
    // `up` pulls what is missing, and nothing twice.
    shop.forget(&web);
    project.compose(&["up", "-d"])?.ok()?.says(&format!("Image {web} Pulled"))?;
    let run = project.compose(&["up", "-d"])?.ok()?;
    ensure!(!run.stderr.contains("Pull"), "a second `up` pulls: {run}");
    let first = project.only("web")?.id;
    let run = project.compose(&["up", "-d", "--pull", "always"])?.ok()?.says(&format!("Image {web} Pulled"))?;
    ensure_eq!(project.only("web")?.id, first, "the container after a pull that brought nothing new: {run}");
    let run = project.compose(&["up", "-d", "--pull", "always", "--quiet-pull"])?.ok()?;
    ensure!(!run.stderr.contains("Pulling"), "--quiet-pull: {run}");
    for (policy, pulls) in [("always", true), ("missing", false), ("if_not_present", false)] {
        project.write("compose.yaml", &file(&format!("    pull_policy: {policy}\n")))?;
        let run = project.compose(&["up", "-d"])?.ok()?;
        ensure_eq!(run.stderr.contains("Pulled"), pulls, "pull_policy {policy}: {run}");
    }
    project.compose(&["down"])?.ok()?;
    shop.forget(&web);
    project.write("compose.yaml", &file("    pull_policy: never\n"))?;
    project.compose(&["pull", "web"])?.ok()?.says("Skipped")?;
    project.compose(&["up", "-d", "web"])?.exits(1)?.says(&web)?;
    project.compose(&["up", "-d", "--pull", "never", "web"])?.exits(1)?.says(&web)?;
    ensure!(!shop.has(&web), "pull_policy never pulled");
    project.compose(&["up", "-d", "--pull", "missing", "web"])?.ok()?;
    project.compose(&["run", "--rm", "--pull", "always", "web", "true"])?.ok()?.says("Pulled")?;
    project.compose(&["create", "--pull", "always", "--quiet-pull", "web"])?.ok()?;
    project.compose(&["up", "--pull", "whenever"])?.exits(1)?.says("whenever")?;
    Ok(())
}

fn push_takes_what_is_built_to_the_registry(engine: &Engine) -> CaseResult {
    let shop = Shop::new(engine, Access::Open)?;
    let (web, tagged, db) = (shop.image("web:1"), shop.image("web:other"), shop.image("db:1"));
    let build = "build: {context: ., dockerfile_inline: 'FROM busybox'";
    let project = &shop.project;
    project.write(
        "compose.yaml",
        &format!(
            "services:\n  web:\n    image: {web}\n    {build}, tags: ['{tagged}']}}\n    depends_on: [db]\n  db:\n    \
             image: {db}\n    {build}}}\n  nameless:\n    {build}}}\n  foreign:\n    image: busybox\n"
        ),
    )?;
    project.compose(&["build", "web", "db"])?.ok()?;
    ensure_eq!(shop.registry.tags(&shop.repository("web"))?, Vec::<String>::new(), "before the push");
    project.compose(&["push", "web"])?.ok()?.says(&format!("{web} Pushed"))?.says(&format!("{tagged} Pushed"))?;
    ensure_eq!(shop.registry.tags(&shop.repository("web"))?, ["1", "other"], "tags of web");
    ensure_eq!(shop.registry.tags(&shop.repository("db"))?, Vec::<String>::new(), "tags of db");
    project.compose(&["push", "--include-deps", "-q", "web"])?.ok()?;
    ensure_eq!(shop.registry.tags(&shop.repository("db"))?, ["1"], "tags of db with --include-deps");
    project.compose(&["push"])?.ok()?.says("nameless Skipped")?.says("foreign Skipped")?;
    // The road of a team: built here, pushed, gone, run from the registry.
    shop.forget(&web);
    shop.forget(&db);
    project.compose(&["up", "-d", "--no-build", "web"])?;
    project.compose(&["pull", "web"])?.ok()?.says(&format!("Image {web} Pulled"))?;
    ensure!(shop.has(&web), "the image did not come back");
    // In one step.
    shop.forget(&db);
    project
        .write("compose.yaml", &format!("services:\n  late:\n    image: {}\n    {build}}}\n", shop.image("late:1")))?;
    project.compose(&["build", "--push"])?.ok()?;
    ensure_eq!(shop.registry.tags(&shop.repository("late"))?, ["1"], "tags after `build --push`");
    Ok(())
}

fn failures_are_told_and_may_be_ignored(engine: &Engine) -> CaseResult {
    let shop = Shop::new(engine, Access::Open)?;
    let there = shop.seed("there:1")?;
    let (missing, built) = (shop.image("missing:1"), shop.image("built:1"));
    let silent = format!("127.0.0.1:{}/{}:1", silent_port()?, shop.project.name);
    let build = "build: {context: ., dockerfile_inline: 'FROM busybox'}";
    let project = &shop.project;
    let file = format!(
        "services:\n  there:\n    image: {there}\n  missing:\n    image: {missing}\n  built:\n    image: {built}\n    {build}\n"
    );
    project.write("compose.yaml", &file)?;
    // The message names the image and its line; the other pull is finished.
    project.compose(&["pull"])?.exits(1)?.says(&missing)?.says("compose.yaml:5")?;
    ensure!(shop.has(&there), "a failed pull kept the other one from ending");
    project.compose(&["pull", "built"])?.exits(1)?.says("must be built")?.says("build built")?;
    project.compose(&["pull", "--ignore-buildable", "there", "built"])?.ok()?.says("Image can be built")?;
    project.compose(&["pull", "--ignore-pull-failures"])?.ok()?.says("not found")?;
    project.compose(&["pull", "nobody"])?.exits(1)?.says("no such service: nobody")?;
    // `up` builds what no registry has.
    project.compose(&["create", "built"])?.ok()?;
    ensure!(shop.has(&built), "the image was not built");
    // Nobody listens there.
    project.write(
        "compose.yaml",
        &format!("services:\n  built:\n    image: {built}\n    {build}\n  silent:\n    image: {silent}\n    {build}\n"),
    )?;
    engine.docker(&["tag", "busybox:latest", &silent])?;
    let pushed = (|| {
        project.compose(&["push"])?.exits(1)?.says("onnection refused")?;
        project.compose(&["push", "--ignore-push-failures"])?.ok()?.says("onnection refused")
    })();
    shop.forget(&silent);
    pushed?;
    ensure_eq!(shop.registry.tags(&shop.repository("built"))?, ["1"], "what could be pushed");
    project.compose(&["push", "silent"])?.exits(1)?.says(&format!("127.0.0.1:{}", silent_port_of(&silent)))?;
    Ok(())
}

fn silent_port_of(image: &str) -> &str {
    image.split([':', '/']).nth(1).unwrap_or_default()
}

fn credentials_come_from_the_configuration(engine: &Engine) -> CaseResult {
    let mut shop = Shop::new(engine, Access::Login)?;
    let image = shop.seed("web:1")?;
    shop.project.write("compose.yaml", &format!("services:\n  web:\n    image: {image}\n    build: .\n"))?;
    shop.project.write("Dockerfile", "FROM busybox\n")?;
    let pull: &[&str] = &["pull", "--policy", "always"];
    for (what, text) in [
        ("no credentials", "{}".to_owned()),
        ("a wrong password", shop.registry.client_settings("wrong")),
        ("another registry's", shop.registry.client_settings(PASSWORD).replace("127.0.0.1", "elsewhere")),
    ] {
        shop.configure(&text)?;
        let run = shop.project.compose(pull)?.exits(1)?;
        ensure!(run.stderr.contains("unauthorized") || run.stderr.contains("no basic auth"), "{what}: {run}");
        ensure!(!run.stderr.contains("wrong"), "the password is told: {run}");
    }
    shop.configure(&shop.registry.client_settings(PASSWORD))?;
    shop.project.compose(pull)?.ok()?.says("Pulled")?;
    shop.project.compose(&["push"])?.ok()?.says("Pushed")?;
    // A key as the Docker CLI of old wrote it.
    shop.configure(&shop.registry.client_settings(PASSWORD).replace("127.0.0.1", "http://127.0.0.1"))?;
    shop.project.compose(pull)?.ok()?;
    // The text of a file in a variable, for machines that have no file.
    shop.configure("{}")?;
    let settings = shop.registry.client_settings(PASSWORD);
    shop.project.set("DOCKER_AUTH_CONFIG", &settings);
    shop.project.compose(pull)?.ok()?;
    shop.project.set("DOCKER_AUTH_CONFIG", "");
    shop.configure("{\"auths\": 5}")?;
    shop.project.compose(pull)?.exits(1)?.says("config.json")?;
    Ok(())
}

fn credentials_come_from_helpers(engine: &Engine) -> CaseResult {
    let mut shop = Shop::new(engine, Access::Login)?;
    let image = shop.seed("web:1")?;
    let address = shop.registry.address();
    shop.project.write("compose.yaml", &format!("services:\n  web:\n    image: {image}\n"))?;
    shop.helper(
        "case",
        &format!(
            "read -r server\n[ \"$1\" = get ] && [ \"$server\" = {address} ] || {{ echo credentials not found in native keychain; exit 1; }}\n\
             printf '{{\"ServerURL\": \"%s\", \"Username\": \"{USER}\", \"Secret\": \"{PASSWORD}\"}}' \"$server\"\n"
        ),
    )?;
    for text in [format!("{{\"credHelpers\": {{\"{address}\": \"case\"}}}}"), "{\"credsStore\": \"case\"}".to_owned()] {
        shop.configure(&text)?;
        shop.forget(&image);
        shop.project.compose(&["pull"])?.ok()?;
        ensure!(shop.has(&image), "the image did not come");
    }
    shop.helper("case", "echo 'the keyring is locked' >&2\nexit 1\n")?;
    shop.project.compose(&["pull"])?.exits(1)?.says("docker-credential-case")?.says("the keyring is locked")?;
    shop.configure("{\"credsStore\": \"nowhere\"}")?;
    shop.project.compose(&["pull"])?.exits(1)?.says("docker-credential-nowhere")?;
    Ok(())
}

fn a_certificate_is_verified(engine: &Engine) -> CaseResult {
    let mut shop = Shop::new(engine, Access::Tls)?;
    let image = shop.image("web:1");
    shop.project.write(
        "compose.yaml",
        &format!(
            "services:\n  web:\n    image: {image}\n    build: {{context: ., dockerfile_inline: 'FROM busybox'}}\n{SLEEP}"
        ),
    )?;
    shop.project.compose(&["build"])?.ok()?;
    shop.project.compose(&["push"])?.exits(1)?.says("certificate")?;
    shop.registry.trust()?;
    shop.project.compose(&["push"])?.ok()?.says("Pushed")?;
    shop.forget(&image);
    shop.project.compose(&["pull"])?.ok()?.says("Pulled")?;
    shop.project.compose(&["up", "-d", "--no-build"])?.ok()?;
    ensure_eq!(shop.project.only("web")?.state, "running", "the container from the registry's image");
    Ok(())
}
