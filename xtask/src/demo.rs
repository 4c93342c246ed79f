//! `cargo xtask demo`: an example application on a real engine, from nothing.

use crate::docker_api;
use crate::engines::Engine;
use crate::interrupt::Interrupt;
use crate::shell::{self, say};
use crate::{images, packages};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

const FILE: &str = "examples/3-replicas/compose.yaml";
const PORT: u16 = 8080;

/// Where the demonstration runs.
struct Place {
    /// What the program must be told, as environment variables.
    environment: Vec<(&'static str, String)>,
    /// Where published ports answer.
    ports: String,
    /// For a person: which engine this is.
    what: String,
    /// Started by this tool.
    private: Option<Engine>,
    /// The socket of an engine that was there before, and is somebody's own.
    foreign: Option<PathBuf>,
}

struct Options {
    containerd: bool,
    yes: bool,
    down: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { containerd: false, yes: false, down: false };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--yes" | "-y" => options.yes = true,
                "--down" => options.down = true,
                "--runtime" => match rest.next().map(String::as_str) {
                    Some("docker") => options.containerd = false,
                    Some("containerd") => options.containerd = true,
                    _ => bail!("--runtime wants docker or containerd"),
                },
                other => bail!("demo does not know `{other}`; it takes --runtime docker|containerd, --yes, --down"),
            }
        }
        Ok(options)
    }

    fn private_engine(&self) -> Engine {
        if self.containerd { Engine::DemoContainerd } else { Engine::Demo }
    }
}

/// `cargo xtask demo [--runtime docker|containerd] [--yes] [--down]`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let options = Options::parse(arguments)?;
    let interrupt = Interrupt::catch()?;
    if options.down {
        return stop(&options);
    }
    say("1. what the build needs");
    packages::ensure_build_tools()?;
    say("2. building the program (the first time takes a few minutes)");
    shell::run(shell::cargo().args(["build", "--quiet", "--package", "compose-cli"]))?;
    say("3. an engine");
    let place = match running(&options) {
        Some(place) => place,
        None => start(&options)?,
    };
    say(&format!("   {}", place.what));
    if let Some(socket) = &place.foreign {
        lend_images(socket)?;
    }
    show(&place, &options, &interrupt).context("`cargo xtask demo --down` removes what was started")?;
    Ok(ExitCode::SUCCESS)
}

/// The program to demonstrate: the one just built, or another one that was asked for.
fn program() -> PathBuf {
    shell::other_program().unwrap_or_else(|| shell::target().join("debug/compose"))
}

/// The application, from its plan to its answers.
fn show(place: &Place, options: &Options, interrupt: &Interrupt) -> Result<()> {
    if interrupt.came() {
        bail!("interrupted");
    }
    say("4. the application: what would happen");
    product(place, options, &["plan"])?;
    say("5. bringing it up");
    product(place, options, &["up", "-d", "--wait"])?;
    product(place, options, &["ps"])?;
    say(&format!("6. calling http://{}:{PORT}/ until three replicas have answered", place.ports));
    let answered = call(place, interrupt)?;
    let file = shell::root().join(FILE);
    let told = place.environment.iter().map(|(name, value)| format!("{name}={value} ")).collect::<String>();
    let runtime = if options.containerd { " --runtime containerd" } else { "" };
    println!(
        "\n{answered} replicas answered. The application goes on running at http://{}:{PORT}/\n\
         Look further:\n\
         \x20 {told}{program}{runtime} -f {file} logs -f\n\
         \x20 {told}{program}{runtime} -f {file} up -d --scale app=1\n\
         \x20 {told}{program}{runtime} -f {file} plan\n\
         Remove everything:\n\
         \x20 cargo xtask demo --down{runtime}",
        place.ports,
        program = program().display(),
        file = file.display(),
    );
    Ok(())
}

/// An engine that runs already: the private one of an earlier demonstration, or the system's.
fn running(options: &Options) -> Option<Place> {
    let private = options.private_engine();
    if private.is_up() {
        return Some(private_place(options));
    }
    if options.containerd {
        // The system's containerd may belong to Kubernetes; a demonstration has no business there.
        return None;
    }
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let Some(socket) = host.strip_prefix("unix://").map(PathBuf::from) else {
        say(&format!("   DOCKER_HOST is {host}: this demonstration uses unix sockets only"));
        return None;
    };
    let version = docker_api::Engine::at(&socket).version().ok()?;
    Some(Place {
        environment: vec![("DOCKER_HOST", host.clone())],
        // A test engine of this tool is reached elsewhere.
        ports: crate::engines::ALL
            .into_iter()
            .find(|engine| engine.socket() == socket)
            .map_or_else(|| "localhost".to_owned(), Engine::ports),
        what: format!("the Docker Engine {version} that runs at {host}"),
        private: None,
        foreign: Some(socket),
    })
}

/// The images that this tool gave to somebody's own engine, one a line: they are taken back at the end.
fn lent() -> PathBuf {
    shell::target().join("demonstration-images")
}

/// Gives the images of the demonstration to an engine that was there before.
fn lend_images(socket: &Path) -> Result<()> {
    let api = docker_api::Engine::at(socket);
    let missing: Vec<&str> = images::DEMONSTRATION.into_iter().filter(|name| !api.has_image(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("   giving it {}", missing.join(" and ")));
    let archive = images::demonstration()?;
    std::fs::write(lent(), missing.join("\n"))?;
    api.load(&archive)
}

/// Takes back what [`lend_images`] gave.
fn take_images_back(socket: &Path) -> Result<()> {
    let Ok(list) = std::fs::read_to_string(lent()) else { return Ok(()) };
    let api = docker_api::Engine::at(socket);
    for name in list.lines().filter(|name| api.has_image(name)) {
        api.remove_image(name).with_context(|| format!("cannot remove the image {name}"))?;
    }
    std::fs::remove_file(lent()).map_err(Into::into)
}

fn private_place(options: &Options) -> Place {
    let engine = options.private_engine();
    let socket = engine.socket().display().to_string();
    let (environment, what) = if options.containerd {
        (vec![("CONTAINERD_ADDRESS", socket.clone())], format!("a private containerd at {socket}"))
    } else {
        let host = format!("unix://{socket}");
        (vec![("DOCKER_HOST", host.clone())], format!("a private Docker Engine at {host}"))
    };
    Place { environment, ports: engine.ports(), what, private: Some(engine), foreign: None }
}

/// Starts a private engine, after saying what that means.
fn start(options: &Options) -> Result<Place> {
    let distribution = packages::Distribution::read();
    let missing = packages::missing_for_engines();
    if !missing.is_empty() && !distribution.is_known() {
        bail!(
            "no engine answers, and only Debian and Ubuntu can be set up here. Start a Docker Engine, or install: {}",
            missing.join(" ")
        );
    }
    let kind = if options.containerd { "containerd" } else { "Docker Engine" };
    say(&format!("   no {kind} answers. This would:"));
    if !missing.is_empty() {
        say(&format!("   - install {} (no service is started)", missing.join(" ")));
    }
    say(&format!("   - start a private {kind} in a place of its own, beside all that runs on this machine"));
    say("   - build the example images from this repository and the distribution's packages");
    say("   `cargo xtask demo --down` removes it again; installed packages stay");
    if !options.yes && std::io::stdin().is_terminal() {
        eprint!("Go on? [y/N] ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            bail!("nothing was done");
        }
    }
    elevated("up", options.private_engine())?;
    Ok(private_place(options))
}

/// Starts or stops an engine, through sudo when this is no root.
fn elevated(verb: &str, engine: Engine) -> Result<()> {
    if shell::is_root() {
        return if verb == "up" { engine.up().map(drop) } else { engine.down() };
    }
    let sudo = shell::which("sudo").context("an engine is started by root, and there is no sudo")?;
    // Built by the user, so that nothing in the repository belongs to root.
    images::ensure()?;
    let this = std::env::current_exe()?;
    let mut command = Command::new(sudo);
    command.arg("--preserve-env=PATH,HOME,CARGO_HOME,RUSTUP_HOME,CARGO_TARGET_DIR");
    command.arg(this).args(["engines", verb, engine.name()]).stdout(std::process::Stdio::null());
    shell::run(&mut command)
}

/// Runs the product's own binary on the example.
fn product(place: &Place, options: &Options, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program());
    command.current_dir(shell::root());
    if options.containerd {
        command.args(["--runtime", "containerd"]);
    }
    command.args(["-f", FILE]).args(arguments);
    command.envs(place.environment.iter().map(|(name, value)| (name, value)));
    say(&format!("   $ compose {}", shell::shown(&command).split_once(' ').map_or("", |(_, rest)| rest)));
    shell::run(&mut command)
}

/// Calls the published port until three different replicas answered; how many did.
fn call(place: &Place, interrupt: &Interrupt) -> Result<usize> {
    let end = Instant::now() + Duration::from_secs(60);
    let mut seen = BTreeSet::new();
    let mut last = anyhow::anyhow!("nothing was asked");
    while seen.len() < 3 {
        if interrupt.came() {
            bail!("interrupted");
        }
        if Instant::now() > end {
            return Err(last.context(format!("only {} replicas answered within a minute", seen.len())));
        }
        match get(&place.ports) {
            Ok(answer) => {
                let name = answer.split(" from ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
                if seen.insert(name.to_owned()) {
                    println!("   {}", answer.trim());
                }
                last = anyhow::anyhow!("the same replicas answered again and again");
            }
            Err(error) => last = error,
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(seen.len())
}

fn get(host: &str) -> Result<String> {
    let limit = Duration::from_secs(5);
    let address = (host, PORT).to_socket_addrs()?.find(std::net::SocketAddr::is_ipv4).context("no address")?;
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    write!(stream, "GET / HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is cut off")?;
    if !head.contains(" 200 ") {
        bail!("{}", body.trim());
    }
    Ok(body.to_owned())
}

/// `cargo xtask demo --down`.
fn stop(options: &Options) -> Result<ExitCode> {
    let Some(place) = running(options) else {
        say("nothing runs");
        return Ok(ExitCode::SUCCESS);
    };
    if program().exists() {
        let stopped = product(&place, options, &["down", "--volumes"]);
        // A private engine goes with all that is in it.
        if place.private.is_none() {
            stopped?;
        }
    }
    if let Some(engine) = place.private {
        elevated("down", engine)?;
    }
    if let Some(socket) = &place.foreign {
        take_images_back(socket)?;
    }
    say("everything is removed, except installed packages and the cache");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn an_unknown_runtime_is_refused() {
        let parse = |words: &[&str]| Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert!(parse(&["--runtime", "podman"]).is_err());
        assert!(parse(&["--runtime", "containerd", "--yes"]).unwrap().containerd);
    }
}
