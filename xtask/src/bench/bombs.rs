//! Input made to exhaust the machine: every piece is to be refused within a second and 100 MB.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Bench, sample};

/// Longest time of a refusal.
const TIME: Duration = Duration::from_secs(1);
/// Most resident memory of a refusal, in KiB.
const MEMORY: u64 = 100_000_000 / 1024;
/// What a file of the size in the target has.
const LARGE: usize = 16_000_000;

/// Makes the files of a bomb in an empty folder.
type Make = fn(&Path) -> Result<()>;

const BOMBS: [(&str, Make); 9] = [
    ("billion laughs, lists", |folder| laughs(folder, |before| vec![format!("*a{before}"); 9].join(", "), '[', ']')),
    ("billion laughs, mappings", |folder| {
        let entries = |before| (0..9).map(|key| format!("k{key}: *a{before}")).collect::<Vec<_>>().join(", ");
        laughs(folder, entries, '{', '}')
    }),
    ("100,000 [", |folder| file(folder, "compose.yaml", &format!("x-a: {}", "[".repeat(100_000)))),
    ("16 MB of values", |folder| {
        let values = "- value\n".repeat(LARGE / 8);
        file(folder, "compose.yaml", &format!("services: {{a: {{image: x}}}}\nx-a:\n{values}"))
    }),
    ("16 MB of one text", |folder| {
        file(folder, "compose.yaml", &format!("services: {{a: {{image: x, hostname: {}}}}}", "a".repeat(LARGE)))
    }),
    ("include cycle", |folder| {
        file(folder, "compose.yaml", "include: [b.yaml]\n")?;
        file(folder, "b.yaml", "include: [compose.yaml]\n")
    }),
    ("1 GB env file", |folder| {
        with_env_file(folder)?;
        Ok(fs::File::create(folder.join("a.env"))?.set_len(1_000_000_000)?)
    }),
    ("symbolic link loop", |folder| {
        with_env_file(folder)?;
        std::os::unix::fs::symlink("b.env", folder.join("a.env"))?;
        Ok(std::os::unix::fs::symlink("a.env", folder.join("b.env"))?)
    }),
    ("FIFO as env file", |folder| {
        with_env_file(folder)?;
        let status = Command::new("mkfifo").arg(folder.join("a.env")).status().context("cannot run mkfifo")?;
        if status.success() { Ok(()) } else { bail!("mkfifo failed") }
    }),
];

pub(super) fn rows(bench: &Bench) -> Result<()> {
    for (name, make) in BOMBS {
        let folder = bench.folder.join("bomb");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        make(&folder)?;
        let mut taken = Vec::new();
        for _ in 0..bench.turns {
            let mut command = Command::new(&bench.ours);
            command.args(["config", "--quiet"]).current_dir(&folder);
            let (refused, sample) = sample::take_either(&command, &bench.folder)?;
            if !refused {
                bail!("{name}: it was accepted");
            }
            taken.push(sample);
        }
        fs::remove_dir_all(&folder)?;
        let time = sample::median(taken.iter().map(|sample| sample.time));
        let memory = taken.iter().map(|sample| sample.memory).max().unwrap_or_default();
        let holds = if time <= TIME && memory <= MEMORY { "holds" } else { "MISSED" };
        let (time, memory) = (time.as_secs_f64() * 1e3, memory as f64 / 1024.0);
        println!("{name:<28} {time:>8.1} ms {memory:>8.1} MiB  refused, <= 1 s and 100 MB {holds}");
    }
    Ok(())
}

fn file(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn with_env_file(folder: &Path) -> Result<()> {
    file(folder, "compose.yaml", "services: {a: {image: x, env_file: [a.env]}}\n")
}

/// Twelve levels, each nine times the one before.
fn laughs(folder: &Path, level: impl Fn(usize) -> String, open: char, close: char) -> Result<()> {
    let first = if open == '{' { "k: l" } else { "l" };
    let mut text = format!("x-0: &a0 {open}{first}{close}\n");
    for number in 1..12 {
        text.push_str(&format!("x-{number}: &a{number} {open}{}{close}\n", level(number - 1)));
    }
    file(folder, "compose.yaml", &format!("{text}services: {{a: {{image: x}}}}\n"))
}
