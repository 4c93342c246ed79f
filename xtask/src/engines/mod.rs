//! The engines that tests and the demonstration run on: private ones, beside whatever is there.
//!
//! Each has its own state, data, socket and pid files. A Docker engine rewrites the
//! firewall of the network namespace it runs in, so each gets a namespace of its own;
//! its published ports then answer at the far end of a veth pair.

mod buildkit;
mod containerd;
mod docker;
mod network;
mod podman;
pub(crate) mod private;

pub(crate) use buildkit::relay;
pub(crate) use podman::timers;

use crate::process::{Daemon, naming};
use crate::shell::{self, say};
use crate::{images, packages};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Sockets, pid files and logs.
const STATE: &str = "/run/compose-xtask";
/// Images, layers and volumes; removed when the engine is stopped.
const DATA: &str = "/var/lib/compose-xtask";

/// One of the engines that this tool can start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Engine {
    /// The distribution's own docker.io (20.10 on Debian 12).
    Docker20,
    /// docker.io of the newest suite (28).
    Docker28,
    /// The distribution's own containerd (1.6 on Debian 12).
    Containerd1,
    /// containerd of the newest suite (2.x).
    Containerd2,
    /// The distribution's docker.io once more, for the demonstration.
    Demo,
    /// The distribution's containerd once more, for the demonstration.
    DemoContainerd,
    /// BuildKit, beside the containerd engines.
    BuildKit,
    /// The distribution's own podman (4.3 on Debian 12), by its Docker-compatible socket.
    Podman,
}

/// The engines of the tests.
pub(crate) const ALL: [Engine; 4] = [Engine::Docker20, Engine::Docker28, Engine::Containerd1, Engine::Containerd2];
/// The engines beside them.
const OTHERS: [Engine; 4] = [Engine::BuildKit, Engine::Demo, Engine::DemoContainerd, Engine::Podman];

impl Engine {
    /// Its name on the command line and in file names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Docker20 => "docker20",
            Self::Docker28 => "docker28",
            Self::Containerd1 => "containerd1",
            Self::Containerd2 => "containerd2",
            Self::Demo => "demo",
            Self::DemoContainerd => "containerd-demo",
            Self::BuildKit => "buildkit",
            Self::Podman => "podman",
        }
    }

    /// The engine of that name.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let found = ALL.into_iter().chain(OTHERS).find(|engine| engine.name() == name);
        found.with_context(|| {
            format!("there is no engine `{name}`: docker20, docker28, containerd1, containerd2, buildkit, podman")
        })
    }

    /// Whether clients speak Docker's API to it.
    fn is_docker(self) -> bool {
        matches!(self, Self::Docker20 | Self::Docker28 | Self::Demo | Self::BuildKit | Self::Podman)
    }

    fn is_newest(self) -> bool {
        matches!(self, Self::Docker28 | Self::Containerd2 | Self::BuildKit)
    }

    /// The socket that clients connect to.
    pub(crate) fn socket(self) -> PathBuf {
        Path::new(STATE).join(format!("{}.sock", self.name()))
    }

    fn state(self) -> PathBuf {
        Path::new(STATE).join(self.name())
    }

    fn data(self) -> PathBuf {
        Path::new(DATA).join(self.name())
    }

    fn daemon(self) -> Daemon {
        Daemon::new(Path::new(STATE), self.name())
    }

    /// Where its programs are looked for first.
    fn programs(self) -> Result<PathBuf> {
        Ok(if self.is_newest() { packages::newest_engines()?.join("usr") } else { PathBuf::from("/usr") })
    }

    /// The PATH that the engine gets. runc is always the system's: a newer one wants a newer C library.
    fn search_path(self) -> Result<String> {
        let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        if !self.is_newest() {
            return Ok(system.to_owned());
        }
        let own = self.programs()?;
        Ok(format!("{0}/sbin:{0}/bin:{system}", own.display()))
    }

    /// A program of this engine.
    pub(crate) fn program(self, name: &str) -> Result<PathBuf> {
        if !self.is_newest() {
            return shell::which(name).with_context(|| format!("{name} is not installed"));
        }
        let own = self.programs()?;
        let found = ["sbin", "bin"].iter().map(|folder| own.join(folder).join(name)).find(|path| path.is_file());
        found.with_context(|| format!("the packages of the newest suite hold no {name}"))
    }

    /// Whether it runs.
    pub(crate) fn is_up(self) -> bool {
        self.daemon().pid().is_some()
    }

    /// Starts it, unless it runs, and gives it the example images. True when it was started now.
    pub(crate) fn up(self) -> Result<bool> {
        if !shell::is_root() {
            bail!("engines are started by root: use sudo");
        }
        packages::ensure_engines()?;
        if self == Self::Podman {
            packages::ensure_podman()?;
        }
        // What is built on comes from the containerd engines.
        let archives = if self == Self::BuildKit { Vec::new() } else { images::ensure()? };
        let _lock = lock()?;
        let was_up = self.is_up();
        if was_up && (self == Self::BuildKit || self.has_images()) {
            return Ok(false);
        }
        let ready = if was_up { Ok(()) } else { self.start() };
        let loaded = ready.and_then(|()| match self {
            Self::Podman => podman::load(self, &archives),
            _ if self.is_docker() => docker::load(self, &archives),
            _ => containerd::load(self, &archives),
        });
        if let Err(error) = loaded {
            // The first error is the one to tell.
            let _ = self.clean();
            return Err(error.context(format!("cannot start {}", self.name())));
        }
        if self != Self::BuildKit {
            fs::copy(images::stamp(), self.state().join("images"))?;
        }
        Ok(!was_up)
    }

    fn start(self) -> Result<()> {
        // What a crash left behind.
        self.clean()?;
        fs::create_dir_all(self.state())?;
        fs::create_dir_all(self.data())?;
        say(&format!("starting {}", self.name()));
        match self {
            Self::BuildKit => docker::start(self).and_then(|()| buildkit::start()),
            Self::Podman => podman::start(self),
            _ if self.is_docker() => docker::start(self),
            _ => containerd::start(self),
        }
    }

    /// Whether it was given the images as they are now.
    fn has_images(self) -> bool {
        let (now, given) = (fs::read(images::stamp()), fs::read(self.state().join("images")));
        matches!((now, given), (Ok(now), Ok(given)) if now == given)
    }

    /// Stops it and removes all that it had: containers, images, mounts, namespaces, files.
    pub(crate) fn down(self) -> Result<()> {
        let _lock = lock()?;
        if self.is_up() {
            say(&format!("stopping {}", self.name()));
        }
        self.clean()
    }

    fn clean(self) -> Result<()> {
        if self == Self::BuildKit {
            buildkit::stop();
        }
        match self {
            Self::Podman => podman::stop(self),
            _ if self.is_docker() => docker::stop(self),
            _ => containerd::stop(self),
        }
        for pid in naming(&self.state(), &["containerd-shim", "docker-proxy"]) {
            crate::process::kill(pid);
        }
        for pid in naming(&self.socket(), &["containerd-shim", "compose", "docker-compose"]) {
            crate::process::kill(pid);
        }
        for folder in [self.data(), self.state()] {
            unmount_below(&folder);
            if folder.exists() {
                fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        for name in ["sock", "sock.ttrpc", "toml", "json", "log"] {
            let file = Path::new(STATE).join(format!("{}.{name}", self.name()));
            if file.exists() {
                fs::remove_file(file)?;
            }
        }
        Ok(())
    }

    /// What a test needs to know, as environment variables.
    pub(crate) fn environment(self) -> Vec<(String, String)> {
        let socket = self.socket().display().to_string();
        let name = format!("COMPOSE_TEST_{}", self.name().to_uppercase());
        if self == Self::BuildKit {
            let plugin = self.programs().map(|own| own.join("libexec/docker/cli-plugins").display().to_string());
            vec![
                (name.clone(), format!("unix://{}", buildkit::socket().display())),
                (format!("{name}_PROGRAMS"), plugin.unwrap_or_default()),
            ]
        } else if self.is_docker() {
            let net = network::Net::of(self);
            vec![
                (name.clone(), format!("unix://{socket}")),
                (format!("{name}_PORTS"), net.ports()),
                (format!("{name}_NETNS"), net.path().display().to_string()),
            ]
        } else {
            vec![(name, socket)]
        }
    }

    /// Where its published ports answer.
    pub(crate) fn ports(self) -> String {
        if self.is_docker() { network::Net::of(self).ports() } else { "127.0.0.1".to_owned() }
    }
}

/// Held while engines are started or stopped, so that two runs do not do it at once.
fn lock() -> Result<File> {
    fs::create_dir_all(STATE).with_context(|| format!("cannot write {STATE}: engines are started by root"))?;
    let file = File::create(Path::new(STATE).join("lock"))?;
    file.lock().context("cannot lock the engines' folder")?;
    Ok(file)
}

/// Removes what is left of the engines' folders when no engine has anything there.
fn remove_empty() {
    for folder in [STATE, DATA] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        if entries.flatten().all(|entry| entry.file_name() == "lock") {
            // An empty folder that stays is no harm.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn unmount_below(folder: &Path) {
    let prefix = format!("{}/", folder.display());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut below: Vec<&str> = points.filter(|point| point.starts_with(&prefix)).collect();
    below.sort_unstable();
    for point in below.into_iter().rev() {
        shell::succeeds(Command::new("umount").args(["-l", point]));
    }
}

/// `cargo xtask engines up|down|env|status [NAME...]`.
pub(crate) fn command(arguments: &[String]) -> Result<ExitCode> {
    let (verb, names) = arguments.split_first().context("engines: say up, down, env or status")?;
    let named: Vec<Engine> = names.iter().map(|name| Engine::parse(name)).collect::<Result<_>>()?;
    match verb.as_str() {
        "up" => {
            let engines = if named.is_empty() { ALL.into_iter().chain([Engine::BuildKit]).collect() } else { named };
            for engine in &engines {
                engine.up()?;
            }
            print_environment(&engines);
        }
        "down" => {
            let everything = ALL.into_iter().chain(OTHERS).collect();
            for engine in if named.is_empty() { everything } else { named } {
                engine.down()?;
            }
            remove_empty();
        }
        "env" => {
            let engines = if named.is_empty() { ALL.into_iter().chain([Engine::BuildKit]).collect() } else { named };
            let running: Vec<Engine> = engines.into_iter().filter(|engine| engine.is_up()).collect();
            print_environment(&running);
        }
        "status" => {
            for engine in if named.is_empty() { ALL.into_iter().chain(OTHERS).collect() } else { named } {
                let state = if engine.is_up() { "up" } else { "down" };
                println!("{:<12} {state:<5} {}", engine.name(), engine.socket().display());
            }
        }
        other => bail!("engines: there is no `{other}`: up, down, env, status"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints lines for a shell's `eval`.
fn print_environment(engines: &[Engine]) {
    for engine in engines {
        for (name, value) in engine.environment() {
            println!("export {name}={value}");
        }
        if *engine == Engine::BuildKit {
            println!("export BUILDKIT_HOST=unix://{}", buildkit::socket().display());
        } else if engine.is_docker() {
            println!("export DOCKER_HOST=unix://{}", engine.socket().display());
        } else {
            println!("export CONTAINERD_ADDRESS={}", engine.socket().display());
        }
    }
    println!("export COMPOSE_TEST_IMAGES={}", images::folder().display());
}

/// Stops the engines it was told of when it goes out of scope.
pub(crate) struct StopAtEnd(pub(crate) Vec<Engine>);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        for engine in &self.0 {
            if let Err(error) = engine.down() {
                say(&format!("cannot stop {}: {error:#}", engine.name()));
            }
        }
        if !self.0.is_empty() {
            remove_empty();
        }
    }
}
