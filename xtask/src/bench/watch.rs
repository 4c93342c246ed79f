//! From the write of a file to its copy in a container, by `watch`.

use super::Bench;
use super::sample::Sample;
use super::table::{Aim, Row};
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// Files that each run of `watch` is given.
const FILES: usize = 5;
/// So long may anything take on any machine that gets on at all.
const LIMIT: Duration = Duration::from_secs(60);
const PROJECT: &str = "bench-watch";

/// One row. The folder in the container is one of this machine, so that the copy is seen at once.
pub(super) fn rows(bench: &Bench) -> Result<()> {
    let folder = bench.folder.join("watch");
    fs::create_dir_all(folder.join("source"))?;
    fs::create_dir_all(folder.join("copy"))?;
    let file = folder.join("compose.yaml");
    let text = "services:\n  web:\n    image: busybox\n    command: [sleep, \"1000\"]\n    stop_signal: SIGKILL\n\
                \x20   volumes: [./copy:/copy]\n    develop:\n      watch:\n\
                \x20       - {path: ./source, action: sync, target: /copy}\n";
    fs::write(&file, text)?;
    bench.sample(&bench.ours, PROJECT, Some(&file), &["up", "-d"])?;
    let mut row = Row::new("watch, one file", &[Aim::OfReference(0.5)]);
    let measured = (0..bench.turns).try_for_each(|turn| -> Result<()> {
        for ours in [turn % 2 == 0, turn % 2 != 0] {
            let program = if ours { &bench.ours } else { &bench.reference };
            let samples = latencies(&mut bench.command(program, PROJECT, Some(&file), &["watch", "--no-up"]), &folder)?;
            if ours { row.ours.extend(samples) } else { row.reference.extend(samples) }
        }
        Ok(())
    });
    let removed = bench.sample(&bench.ours, PROJECT, Some(&file), &["down", "-t", "0"]);
    measured?;
    removed?;
    row.print();
    Ok(())
}

fn latencies(command: &mut Command, folder: &Path) -> Result<Vec<Sample>> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot start `watch`")?;
    let result = enabled(&mut child).and_then(|()| (0..FILES).map(|number| latency(folder, number)).collect());
    // It is gone with its last file; whether it ends well is not what is measured.
    let _ = child.kill();
    child.wait().context("cannot wait for `watch`")?;
    result
}

/// Waits until it says that it watches.
fn enabled(child: &mut Child) -> Result<()> {
    let (sender, said) = channel();
    let streams: [Option<Box<dyn std::io::Read + Send>>; 2] =
        [child.stdout.take().map(|out| Box::new(out) as _), child.stderr.take().map(|out| Box::new(out) as _)];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                // Read on when nobody listens any more, so that it never waits for us.
                let _ = sender.send(line);
            }
        });
    }
    drop(sender);
    let start = Instant::now();
    loop {
        let line = said.recv_timeout(LIMIT.saturating_sub(start.elapsed())).context("`watch` does not begin")?;
        if line.contains("Watch enabled") {
            return Ok(());
        }
    }
}

fn latency(folder: &Path, number: usize) -> Result<Sample> {
    let name = format!("file{number}");
    let (source, copy) = (folder.join("source").join(&name), folder.join("copy").join(&name));
    let text = format!("{:?}", std::time::SystemTime::now());
    let start = Instant::now();
    fs::write(source, &text)?;
    while fs::read(&copy).ok().as_deref() != Some(text.as_bytes()) {
        if start.elapsed() > LIMIT {
            bail!("a file was not copied within {} s", LIMIT.as_secs());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(Sample { time: start.elapsed(), ..Sample::default() })
}
