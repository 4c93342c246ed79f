//! `cargo xtask fuzz`: coverage-guided fuzzing of the readers of untrusted text.
//!
//! libFuzzer with LLVM's coverage pass, which the stable compiler has too. What is found is kept
//! in `target/fuzz/TARGET`; a finding is written to `target/fuzz/TARGET-*` and ends the run.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::shell;

/// The targets, each a program in `fuzz/targets` with seeds in `fuzz/corpus`.
const TARGETS: [&str; 3] = ["loader", "interpolation", "dotenv"];

/// What the compiler is told, so that libFuzzer sees which code an input reaches.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// `cargo xtask fuzz [TARGET]... [--seconds N]`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let mut targets = Vec::new();
    let mut seconds: u32 = 60;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                let number = words.next().context("--seconds needs a number")?;
                seconds = number.parse().with_context(|| format!("not a number of seconds: {number}"))?;
            }
            target if TARGETS.contains(&target) => targets.push(target.to_owned()),
            other => bail!("there is no fuzz target `{other}`; there are {}", TARGETS.join(", ")),
        }
    }
    if targets.is_empty() {
        targets = TARGETS.map(str::to_owned).to_vec();
    }
    let folder = shell::root().join("fuzz");
    let built = shell::target().join("fuzz-build");
    // A target triple keeps the flags away from build scripts and macros.
    let host = host_triple()?;
    shell::run(
        shell::cargo()
            .args(["build", "--release", "--bins", "--target", &host, "--manifest-path"])
            .arg(folder.join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", &built)
            .env("RUSTFLAGS", COVERAGE),
    )?;
    for target in &targets {
        let found = shell::target().join("fuzz").join(target);
        std::fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
        shell::say(&format!("fuzzing {target} for {seconds} s"));
        let program = built.join(&host).join("release").join(target);
        let artifacts = shell::target().join("fuzz").join(format!("{target}-"));
        shell::run(
            std::process::Command::new(program)
                .arg(&found)
                .arg(folder.join("corpus").join(target))
                .arg(format!("-artifact_prefix={}", artifacts.display()))
                .args(["-timeout=5", "-rss_limit_mb=1024", "-max_len=4096", "-print_final_stats=1", "-verbosity=0"])
                .args(dictionary(&folder, target))
                .arg(format!("-max_total_time={seconds}")),
        )
        .with_context(|| format!("{target}: a finding, see {}*", artifacts.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn dictionary(folder: &Path, target: &str) -> Option<String> {
    let path = folder.join(format!("{target}.dict"));
    path.is_file().then(|| format!("-dict={}", path.display()))
}

fn host_triple() -> Result<String> {
    let about = shell::output(std::process::Command::new("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}
