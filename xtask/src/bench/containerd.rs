//! On containerd: `up` and `down` against the reference on a Docker engine, and what the supervisor
//! costs and gives.

use super::sample::median;
use super::table::{Aim, Row};
use super::{Bench, projects, sample};
use crate::engines::Engine;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const PROJECT: &str = "bench-containerd";
/// Containers of the large project, for the supervisor's memory.
const MANY: usize = 100;
/// How long names are asked for.
const ASKING: Duration = Duration::from_secs(3);
/// Questions under way at the same time.
const WINDOW: usize = 64;
/// Longest wait for an event.
const LIMIT: Duration = Duration::from_secs(30);
/// `USER_HZ`, which Linux shows to programs on every machine.
const TICKS: f64 = 100.0;

/// Rows: `up` and `down` of 20 and 50 containers, here and by the reference on Docker.
pub(super) fn lifecycle(bench: &Bench) -> Result<()> {
    let engine = bench.containerd.context("no containerd")?;
    for count in [20, 50] {
        let file = bench.folder.join(format!("up-{count}.yaml"));
        fs::write(&file, projects::running(count))?;
        let aims = [Aim::OfReference(0.5)];
        let mut rows = [
            Row::new(format!("up on containerd, {count}"), &aims),
            Row::new(format!("down on containerd, {count}"), &aims),
        ];
        let steps: [&[&str]; 2] = [&["up", "-d"], &["down", "-t", "0"]];
        for turn in 0..bench.turns {
            for ours in [turn % 2 == 0, turn % 2 != 0] {
                for (arguments, row) in steps.iter().zip(&mut rows) {
                    if ours {
                        row.ours.push(here(bench, engine, &file, arguments)?);
                    } else {
                        row.reference.push(bench.sample(&bench.reference, PROJECT, Some(&file), arguments)?);
                    }
                }
            }
        }
        rows.iter().for_each(Row::print);
    }
    Ok(())
}

/// Rows: from a crash to the next run, answers of the name server, memory with many containers.
pub(super) fn supervisor(bench: &Bench) -> Result<()> {
    let engine = bench.containerd.context("no containerd")?;
    let file = bench.folder.join("supervised.yaml");
    let service = "image: busybox, command: sleep 100000, stop_signal: SIGKILL, restart: always";
    fs::write(&file, format!("services:\n  one: {{{service}}}\n  many: {{{service}, scale: 2}}\n"))?;
    let done = (|| {
        here(bench, engine, &file, &["up", "-d"])?;
        crashes(bench, engine)?;
        answers(bench, engine, &file)?;
        fs::write(&file, format!("services:\n  many: {{{service}, scale: {MANY}}}\n"))?;
        here(bench, engine, &file, &["up", "-d", "--remove-orphans"])?;
        memory(bench, engine, &file)
    })();
    here(bench, engine, &file, &["down", "-t", "0", "--remove-orphans"])?;
    done
}

/// One run of our program on containerd.
fn here(bench: &Bench, engine: Engine, file: &Path, arguments: &[&str]) -> Result<sample::Sample> {
    sample::take(&command(bench, engine, file, arguments), &bench.folder)
}

fn command(bench: &Bench, engine: Engine, file: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(&bench.ours);
    command.args(["--runtime", "containerd", "-p", PROJECT, "-f"]).arg(file).args(arguments);
    command.env("CONTAINERD_ADDRESS", engine.socket()).env_remove("CONTAINERD_NAMESPACE");
    command.current_dir(&bench.folder).stdin(Stdio::null());
    command
}

fn ctr(engine: Engine) -> Result<Command> {
    let mut command = Command::new(engine.program("ctr")?);
    command.arg("--address").arg(engine.socket()).args(["--namespace", "default"]);
    Ok(command)
}

/// Processes of the project's containers, by container.
fn tasks(engine: Engine) -> Result<BTreeMap<String, String>> {
    let filter = format!("labels.\"com.docker.compose.project\"=={PROJECT}");
    let own = shell::output(ctr(engine)?.args(["containers", "ls", "-q", &filter]))?;
    let all = shell::output(ctr(engine)?.args(["tasks", "ls"]))?;
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (id, pid) = (words.next()?, words.next()?);
        own.lines().any(|one| one == id).then(|| (id.to_owned(), pid.to_owned()))
    };
    Ok(all.lines().filter_map(line).collect())
}

fn crashes(bench: &Bench, engine: Engine) -> Result<()> {
    let mut events = ctr(engine)?.arg("events").stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let output = events.stdout.take().context("no output of `ctr events`")?;
    let (sender, starts) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line.contains("/tasks/start") && sender.send((Instant::now(), line)).is_err() {
                return;
            }
        }
    });
    let measured = (|| {
        let mut times = Vec::new();
        // Each container once: the second crash in a row would wait longer.
        for (id, pid) in tasks(engine)?.into_iter().take(bench.turns) {
            while starts.try_recv().is_ok() {}
            let crashed = Instant::now();
            shell::run(Command::new("kill").args(["-9", &pid]))?;
            loop {
                let (moment, line) = starts.recv_timeout(LIMIT).context("a crashed container was not started again")?;
                if line.contains(&id) {
                    times.push(moment - crashed);
                    break;
                }
            }
        }
        Ok(times)
    })();
    let _ = events.kill();
    let _ = events.wait();
    let time = median::<Duration>(
        measured.and_then(|times: Vec<_>| if times.is_empty() { bail!("no container runs") } else { Ok(times) })?,
    );
    let (time, wait) = (time.as_secs_f64() * 1e3, 100.0);
    verdict("crash to running again", &format!("{time:.1} ms, {wait} of them by policy"), time <= 300.0, "<= 300 ms");
    Ok(())
}

/// The supervisor's process.
fn supervisor_pid(bench: &Bench, engine: Engine, file: &Path) -> Result<String> {
    let status = shell::output(&mut command(bench, engine, file, &["supervisor", "status"]))?;
    let mut words = status.split_whitespace().skip_while(|word| *word != "pid");
    words.nth(1).map(str::to_owned).with_context(|| format!("no process in {status:?}"))
}

/// Seconds of processor that a process has had.
fn processor(pid: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| -> Option<f64> { fields.get(index)?.parse().ok() };
    Ok((ticks(11).context("no times")? + ticks(12).context("no times")?) / TICKS)
}

fn answers(bench: &Bench, engine: Engine, file: &Path) -> Result<()> {
    let supervisor = supervisor_pid(bench, engine, file)?;
    let all = tasks(engine)?;
    let pid = all.values().next().context("no container runs")?;
    let before = processor(&supervisor)?;
    let mut load = Command::new("nsenter");
    load.arg(format!("--net=/proc/{pid}/ns/net")).arg(std::env::current_exe()?).args(["ask-names", "many"]);
    let count: f64 = shell::output(&mut load)?.trim().parse().context("no number of answers")?;
    let used = (processor(&supervisor)? - before).max(1.0 / TICKS);
    let rate = count / used;
    let text = format!("{rate:.0}/s of one core ({count} in {} s, {used:.2} s of processor)", ASKING.as_secs());
    verdict("answers of the name server", &text, rate >= 20_000.0, ">= 20000/s");
    Ok(())
}

/// `xtask ask-names NAME`: asks the name server of this network namespace as fast as it answers, and
/// prints how many answers had an address.
pub(crate) fn ask_names(arguments: &[String]) -> Result<ExitCode> {
    let [name] = arguments else { bail!("ask-names wants a name") };
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.connect(("127.0.0.11", 53))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    // Identity, recursion desired, one question; the name; type A, class IN.
    let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, u8::try_from(name.len())?];
    query.extend_from_slice(name.as_bytes());
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    let (mut count, mut number, mut answer) = (0_u64, 0_u16, [0; 512]);
    let mut ask = || -> std::io::Result<()> {
        number = number.wrapping_add(1);
        query[..2].copy_from_slice(&number.to_be_bytes());
        socket.send(&query).map(drop)
    };
    for _ in 0..WINDOW {
        ask()?;
    }
    let end = Instant::now() + ASKING;
    while Instant::now() < end {
        match socket.recv(&mut answer) {
            // A success with at least one address.
            Ok(length) if length > 12 && answer[3] & 0x0f == 0 && answer[7] > 0 => count += 1,
            Ok(_) => bail!("the name server does not know {name}"),
            // Lost: asked anew.
            Err(_) => {}
        }
        ask()?;
    }
    println!("{count}");
    Ok(ExitCode::SUCCESS)
}

fn memory(bench: &Bench, engine: Engine, file: &Path) -> Result<()> {
    let pid = supervisor_pid(bench, engine, file)?;
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let sum = |keys: &[&str]| -> f64 {
        let value = |line: &str| {
            let (key, rest) = line.split_once(':')?;
            keys.contains(&key).then(|| rest.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0))
        };
        text.lines().filter_map(value).sum::<f64>() / 1024.0
    };
    let (resident, private) = (sum(&["Rss"]), sum(&["Private_Clean", "Private_Dirty"]));
    let text = format!("{resident:.1} MiB resident, {private:.1} MiB of them its own, {MANY} containers");
    verdict("memory of the supervisor", &text, resident <= 15.0, "<= 15 MiB");
    Ok(())
}

fn verdict(what: &str, value: &str, holds: bool, aim: &str) {
    println!("{what:<28} {value}  {aim} {}", if holds { "holds" } else { "MISSED" });
}
