//! `cargo xtask kill-test`: every command is killed after each of its changes, and the next one
//! has to put things right; and the supervisor of containerd is killed at random moments under
//! traffic. The test itself is in `tests/tests/kill`.

use crate::engines::{Engine, StopAtEnd};
use crate::shell::{self, say};
use crate::{images, packages};
use anyhow::{Context, Result, bail};
use std::process::ExitCode;

/// Kills of the supervisor where the number is not told.
const SUPERVISOR: usize = 100;

/// `cargo xtask kill-test [--supervisor] [--engine NAME]... [--rounds N] [-- FILTER...]`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let (mut engines, mut rounds, mut filters) = (Vec::new(), None, Vec::new());
    let mut supervisor = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--engine" => engines.push(Engine::parse(rest.next().context("--engine wants a name")?)?),
            "--rounds" => {
                let number = rest.next().context("--rounds wants a number")?;
                rounds = Some(number.parse::<usize>().context("--rounds")?);
            }
            "--supervisor" => supervisor = true,
            "--" => filters.extend(rest.by_ref().cloned()),
            other => bail!(
                "kill-test does not know `{other}`; it takes --supervisor, --engine NAME, --rounds N, -- FILTER..."
            ),
        }
    }
    if engines.is_empty() {
        engines.push(if supervisor { Engine::Containerd2 } else { Engine::Docker28 });
    }
    let program = match shell::other_program() {
        Some(program) => program,
        None => {
            packages::ensure_build_tools()?;
            say("building");
            shell::run(shell::cargo().args(["build", "--quiet", "--package", "compose-cli"]))?;
            shell::target().join("debug/compose")
        }
    };
    let mut started = StopAtEnd(Vec::new());
    let mut test = shell::cargo();
    test.args(["test", "--quiet", "--package", "compose-tests", "--test", "kill", "--", "--test-threads", "4"]);
    test.args(&filters);
    match (supervisor, filters.is_empty()) {
        (true, _) => _ = test.arg("::supervisor"),
        // With a filter of the caller's own the two may come together.
        (false, true) => _ = test.args(["--skip", "::supervisor"]),
        (false, false) => {}
    }
    for name in ["DOCKER20", "DOCKER28", "CONTAINERD1", "CONTAINERD2"] {
        test.env_remove(format!("COMPOSE_TEST_{name}"));
    }
    for engine in engines {
        if engine.up()? {
            started.0.push(engine);
        }
        test.envs(engine.environment());
    }
    test.env("COMPOSE_TEST_BINARY", program)
        .env("COMPOSE_TEST_IMAGES", images::folder())
        .env("COMPOSE_TEST_KILLS", "all")
        .env("COMPOSE_TEST_RANDOM_KILLS", rounds.unwrap_or(3).to_string())
        .env("COMPOSE_TEST_SUPERVISOR_KILLS", rounds.unwrap_or(SUPERVISOR).to_string());
    let good = test.status().context("cannot run the kill test")?.success();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
