//! `cargo xtask leaks`: what rounds of `up` and `down` on containerd leave on the machine.
//!
//! All of it happens in a network namespace of its own, so that devices, rules and addresses of
//! others are not counted, on a containerd of its own. What is there is listed by name before the
//! first and after the last round, and every difference is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::engines::{Engine, private::Private};
use crate::interrupt::Interrupt;
use crate::shell::{self, say};
use crate::{images, packages};

/// Marks the process inside the network namespace.
const INSIDE: &str = "--inside";
const PROJECT: &str = "leaks";

const TEXT: &str = "name: leaks
services:
  db:
    image: busybox
    command: sh -c 'touch /ready; exec sleep 1000'
    stop_signal: SIGKILL
    restart: always
    ipc: shareable
    volumes: ['data:/data', /scratch]
    healthcheck: {test: test -e /ready, interval: 100ms, retries: 100}
    secrets: [{source: word, mode: 0400}]
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    init: true
    networks: [default, back]
    ports: ['80', '127.0.0.1::81']
    depends_on: {db: {condition: service_healthy}}
    volumes: [{type: image, source: busybox, target: /image}]
  talk:
    image: busybox
    command: cat
    stop_signal: SIGKILL
    stdin_open: true
    ipc: service:db
    pid: service:db
networks:
  back: {}
volumes:
  data: {}
secrets:
  word: {file: ./word}
";

/// `cargo xtask leaks [--engine containerd1|containerd2] [--rounds N]`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let (mut engine, mut rounds, mut inside) = (Engine::Containerd2, 20_usize, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--engine" => engine = Engine::parse(rest.next().context("--engine wants a name")?)?,
            "--rounds" => rounds = rest.next().context("--rounds wants a number")?.parse().context("--rounds")?,
            INSIDE => inside = true,
            other => bail!("leaks does not know `{other}`; it takes --engine NAME, --rounds N"),
        }
    }
    if !matches!(engine, Engine::Containerd1 | Engine::Containerd2) {
        bail!("leaks are looked for on containerd1 or containerd2");
    }
    if !inside {
        if !shell::is_root() {
            bail!("containers are run by root: use sudo");
        }
        packages::ensure_engines()?;
        images::ensure()?;
        if shell::other_program().is_none() {
            packages::ensure_build_tools()?;
            say("building");
            shell::run(shell::cargo().args(["build", "--quiet", "--package", "compose-cli"]))?;
        }
        let mut again = Command::new("unshare");
        again.arg("--net").arg(std::env::current_exe()?).arg("leaks").arg(INSIDE);
        again.args(["--engine", engine.name(), "--rounds", &rounds.to_string()]);
        let status = again.status().context("unshare")?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    rounds_inside(engine, rounds)
}

fn rounds_inside(engine: Engine, rounds: usize) -> Result<ExitCode> {
    let interrupt = Interrupt::catch()?;
    shell::run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    let private = Private::start(engine)?;
    let folder = private.folder().join("project");
    fs::create_dir(&folder)?;
    fs::write(folder.join("compose.yaml"), TEXT)?;
    fs::write(folder.join("word"), "hush")?;
    let program = shell::other_program().unwrap_or_else(|| shell::target().join("debug/compose"));
    let compose = |arguments: &[&str]| -> Result<()> {
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(&folder).envs(private.environment());
        shell::output(&mut command).map(drop)
    };
    let round = || -> Result<()> {
        compose(&["up", "--detach", "--wait"])?;
        compose(&["down", "--volumes", "--timeout", "1"])
    };
    // Chains and the like that are made once and meant to stay.
    round()?;
    let settled = || -> Result<Inventory> {
        compose(&["supervisor", "stop"])?;
        // A shim may be about to end.
        let end = Instant::now() + Duration::from_secs(20);
        while private.processes().iter().any(|line| line.contains("shim")) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(100));
        }
        inventory(&private)
    };
    let before = settled()?;
    let begin = Instant::now();
    let mut done = 0;
    while done < rounds && !interrupt.came() {
        round().with_context(|| format!("round {}", done + 1))?;
        done += 1;
        if done % 50 == 0 {
            say(&format!("{done} of {rounds} rounds"));
        }
    }
    let elapsed = begin.elapsed();
    let after = settled()?;
    let mut left = 0;
    for (kind, names) in &after {
        let known = before.get(kind).cloned().unwrap_or_default();
        let new: Vec<&String> = names.difference(&known).collect();
        println!("{kind:<22} before {:>4}   after {:>4}   left {:>4}", known.len(), names.len(), new.len());
        for name in new.iter().take(5) {
            println!("    {name}");
        }
        left += new.len();
    }
    println!("{done} rounds in {:.1} s: {left} things left", elapsed.as_secs_f64());
    Ok(if left == 0 && done == rounds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

type Inventory = BTreeMap<&'static str, BTreeSet<String>>;

/// Everything that a project could leave, by kind and name.
fn inventory(private: &Private) -> Result<Inventory> {
    let lines =
        |text: String| text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    let ctr = |arguments: &[&str]| -> Result<BTreeSet<String>> { Ok(lines(private.ctr(arguments)?)) };
    let ip = |arguments: &[&str]| -> Result<BTreeSet<String>> {
        Ok(lines(shell::output(Command::new("ip").arg("-o").args(arguments))?))
    };
    let mut all = Inventory::new();
    all.insert("containers", ctr(&["containers", "ls", "-q"])?);
    all.insert("tasks", ctr(&["tasks", "ls", "-q"])?);
    all.insert("snapshots", ctr(&["snapshots", "ls"])?);
    all.insert("leases", ctr(&["leases", "ls", "-q"])?);
    all.insert("images", ctr(&["images", "ls", "-q"])?);
    all.insert("content", ctr(&["content", "ls", "-q"])?);
    // Without counters and the number that a device gets.
    let name = |line: &String| line.split_whitespace().nth(1).unwrap_or_default().to_owned();
    all.insert("network devices", ip(&["link"])?.iter().map(name).collect());
    all.insert("routes", ip(&["route"])?);
    let rules = shell::output(&mut Command::new("iptables-save"))?;
    all.insert("firewall rules", rules.lines().filter(|line| line.starts_with("-A")).map(str::to_owned).collect());
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mine = |line: &&str| line.contains(&private.hash()) || line.contains(&private.folder().display().to_string());
    let point = |line: &str| line.split(' ').nth(1).unwrap_or_default().to_owned();
    all.insert("mounts", mounts.lines().filter(mine).map(point).collect());
    all.insert("processes", private.processes().into_iter().collect());
    let mut files = BTreeSet::new();
    for root in private.places() {
        walk(&root, &mut files);
    }
    all.insert("files", files);
    let mut addresses = BTreeSet::new();
    for entry in fs::read_dir("/var/lib/cni/networks").into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().contains(PROJECT) {
            walk(&entry.path(), &mut addresses);
        }
    }
    all.insert("leased addresses", addresses);
    Ok(all)
}

/// Everything below a folder, by path.
fn walk(folder: &Path, found: &mut BTreeSet<String>) {
    let device = fs::metadata(folder).map(|metadata| metadata.dev()).ok();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        found.insert(path.display().to_string());
        let inside = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir() && Some(metadata.dev()) == device);
        if inside {
            walk(&path, found);
        }
    }
}
