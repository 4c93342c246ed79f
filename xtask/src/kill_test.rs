//! `cargo xtask kill-test`: every command is killed after each of its changes, and the next one
//! has to put things right. The test itself is in `tests/tests/kill`.

use crate::engines::{Engine, StopAtEnd};
use crate::shell::{self, say};
use crate::{images, packages};
use anyhow::{Context, Result, bail};
use std::process::ExitCode;

/// `cargo xtask kill-test [--engine NAME]... [--rounds N] [-- FILTER...]`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let (mut engines, mut rounds, mut filters) = (Vec::new(), 3_usize, Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--engine" => engines.push(Engine::parse(rest.next().context("--engine wants a name")?)?),
            "--rounds" => rounds = rest.next().context("--rounds wants a number")?.parse().context("--rounds")?,
            "--" => filters.extend(rest.by_ref().cloned()),
            other => bail!("kill-test does not know `{other}`; it takes --engine NAME, --rounds N, -- FILTER..."),
        }
    }
    if engines.is_empty() {
        engines.push(Engine::Docker28);
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
    for name in ["COMPOSE_TEST_DOCKER20", "COMPOSE_TEST_DOCKER28"] {
        test.env_remove(name);
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
        .env("COMPOSE_TEST_RANDOM_KILLS", rounds.to_string());
    let good = test.status().context("cannot run the kill test")?.success();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
