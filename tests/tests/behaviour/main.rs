//! The behaviour suite: every case on every engine that the environment names.
//!
//! A case that an engine cannot do is listed as ignored with the reason, never silently passed.

mod attached;
mod attributes;
mod bad_input;
mod bridge;
mod building;
mod by_hand;
mod chapter;
mod chapter_commands;
mod clients;
mod configuration;
mod confinement;
mod containerd_machine;
mod containerd_restart;
mod contents;
mod dependencies;
mod documentation;
mod down;
mod economy;
mod engine_restart;
mod exec_and_run;
mod files;
mod flags;
mod images;
mod interoperability;
mod interruption;
mod lifecycle;
mod logs;
mod networks;
mod one_offs;
mod parity;
mod plan;
mod plugin;
mod podman;
mod programs;
mod publishing;
mod queries;
mod reaching;
mod recreate;
mod registry;
mod robustness;
mod scale;
mod seeing;
mod sharing;
mod shells;
mod terminal;
mod up;
mod volumes;
mod waits;
mod watch;

use std::fmt::Write as _;

use compose_tests::engine::setting;
use compose_tests::private_engine::PrivateEngine;
use compose_tests::project::repository;
use compose_tests::{CaseResult, Engine, Registry};
use libtest_mimic::{Arguments, Failed, Trial};

/// A case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// A sentence.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&Engine) -> CaseResult,
    /// Which engines it applies to.
    pub needs: Needs,
}

/// What a case needs of an engine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing special.
    Any,
    /// An engine of its own, which it stops.
    Private,
    /// A containerd of its own, which it stops.
    PrivateContainerd,
    /// A containerd: what is done here that dockerd does elsewhere.
    Containerd,
    /// None: what happens before an engine is spoken to. Runs once.
    Once,
    /// What only a Docker engine has: why it makes no sense on containerd.
    Docker(&'static str),
    /// Builds: on containerd BuildKit beside it.
    Builds,
    /// A registry of its own beside the engine, and builds.
    Registry,
    /// The reference beside a Docker engine, which is all that it drives.
    Reference,
    /// The reference, which speaks to no engine.
    ReferenceAlone,
    /// Python programs that drive Compose, beside a Docker engine.
    Clients,
}

/// The cases of one file: a name that is a sentence, and a function; in groups by what they need,
/// in parentheses where a reason is told with it: `(Docker("why"))`.
#[macro_export]
macro_rules! cases {
    ($($needs:tt: $($name:ident),* $(,)?);+ $(;)?) => {
        pub(crate) const CASES: &[$crate::Case] = &[
            $($($crate::Case { name: concat!(module_path!(), "::", stringify!($name)), run: $name, needs: $crate::needs!($needs) },)*)*
        ];
    };
}

/// What stands before a group of cases.
#[macro_export]
macro_rules! needs {
    (($needs:ident($why:literal))) => {
        $crate::Needs::$needs($why)
    };
    ($needs:ident) => {
        $crate::Needs::$needs
    };
}

impl Needs {
    /// Why it makes no sense on a containerd, if it does not.
    const fn senseless_on_containerd(self) -> Option<&'static str> {
        match self {
            Self::Docker(why) => Some(why),
            Self::Reference => Some("the reference drives Docker engines only"),
            Self::Clients => Some("the clients look at a Docker engine themselves"),
            _ => None,
        }
    }

    /// Whether it is run on every engine that speaks Docker's API.
    const fn is_for_docker_engines(self) -> bool {
        !matches!(self, Self::Private | Self::PrivateContainerd | Self::Containerd | Self::Once | Self::ReferenceAlone)
    }

    /// Why it does not apply to the engine, if it does not.
    fn refusal(self, engine: &Engine, first: bool) -> Option<&'static str> {
        match self {
            Self::Private if engine.name == "podman" => Some("stops a private engine of Docker's"),
            _ if !engine.is_docker() && self.senseless_on_containerd().is_some() => self.senseless_on_containerd(),
            Self::Once if !first => Some("touches no engine, and runs with the first one"),
            Self::Private if engine.is_docker() && engine.name != "docker20" => {
                Some("stops a private engine of the system's own version, with the first Docker engine")
            }
            Self::Private if engine.is_docker() && !PrivateEngine::is_possible() => Some("needs the program `dockerd`"),
            Self::Builds | Self::Registry if !engine.is_docker() && setting("BUILDKIT").is_none() => {
                Some("COMPOSE_TEST_BUILDKIT is not set")
            }
            Self::Registry if !Registry::is_possible() => Some("needs the program `docker-registry`"),
            Self::Containerd if engine.is_docker() => Some("is about what dockerd does by itself"),
            Self::PrivateContainerd if engine.is_docker() => Some("stops a private containerd"),
            Self::Reference | Self::ReferenceAlone if setting("REFERENCE").is_none() => {
                Some("COMPOSE_TEST_REFERENCE is not set")
            }
            Self::Clients if setting("CLIENTS").is_none() => Some("COMPOSE_TEST_CLIENTS is not set"),
            _ => None,
        }
    }
}

/// All cases, by file.
const GROUPS: &[&[Case]] = &[
    attached::CASES,
    attributes::CASES,
    bad_input::CASES,
    bridge::CASES,
    building::CASES,
    by_hand::CASES,
    chapter::CASES,
    chapter_commands::CASES,
    clients::CASES,
    confinement::CASES,
    configuration::CASES,
    containerd_machine::CASES,
    containerd_restart::CASES,
    contents::CASES,
    dependencies::CASES,
    documentation::CASES,
    down::CASES,
    economy::CASES,
    engine_restart::CASES,
    exec_and_run::CASES,
    files::CASES,
    flags::CASES,
    images::CASES,
    interoperability::CASES,
    interruption::CASES,
    lifecycle::CASES,
    logs::CASES,
    networks::CASES,
    one_offs::CASES,
    parity::CASES,
    plan::CASES,
    plugin::CASES,
    programs::CASES,
    publishing::CASES,
    queries::CASES,
    reaching::CASES,
    recreate::CASES,
    registry::CASES,
    robustness::CASES,
    scale::CASES,
    seeing::CASES,
    sharing::CASES,
    shells::CASES,
    terminal::CASES,
    up::CASES,
    volumes::CASES,
    waits::CASES,
    watch::CASES,
];

/// A case's name without the name of the suite.
fn short(case: &Case) -> &'static str {
    case.name.trim_start_matches("behaviour::")
}

/// The list of the cases that make no sense on containerd, with the reason of each.
fn senseless_on_containerd() -> String {
    let all: Vec<&Case> = GROUPS.iter().flat_map(|group| group.iter()).collect();
    let mut rows = String::new();
    let mut without = 0;
    for (case, why) in all.iter().filter_map(|case| Some((case, case.needs.senseless_on_containerd()?))) {
        without += 1;
        let _ = writeln!(rows, "| `{}` | {why} |", short(case));
    }
    let with = all.len() - without;
    format!(
        "# The behaviour suite on containerd\n\nMade from the suite by `cargo xtask cases`; a test compares.\n\nOf {} \
         cases {with} run on containerd: {:.1} %. These make no sense there:\n\n| case | why |\n|---|---|\n{rows}",
        all.len(),
        100.0 * with as f64 / all.len() as f64,
    )
}

/// The list of the cases that do not pass on Podman, with the reason of each.
fn different_on_podman() -> Result<String, String> {
    let all: Vec<&Case> = GROUPS.iter().flat_map(|group| group.iter()).collect();
    if let Some((name, _)) = podman::DIFFERENT.iter().find(|(name, _)| !all.iter().any(|case| short(case) == *name)) {
        return Err(format!("there is no case `{name}`"));
    }
    let here: Vec<&&Case> = all.iter().filter(|case| case.needs.is_for_docker_engines()).collect();
    let mut rows = String::new();
    for (name, why) in podman::DIFFERENT {
        let _ = writeln!(rows, "| `{name}` | {why} |");
    }
    let with = here.len() - podman::DIFFERENT.len();
    Ok(format!(
        "# The behaviour suite on Podman\n\nMade from the suite by `cargo xtask cases`; a test compares. `cargo xtask \
         test --engine podman` runs it on Podman 4.3.\n\nOf {} cases for Docker engines {with} pass there: {:.1} %. \
         These do not, for what Podman's Docker-compatible service does otherwise:\n\n| case | why |\n|---|---|\n{rows}",
        here.len(),
        100.0 * with as f64 / here.len() as f64,
    ))
}

/// Compares the lists with those that are kept in `docs`, or writes them when told to.
fn the_list_of_cases_is_kept() -> Result<(), Failed> {
    let lists = [
        ("docs/cases-on-containerd.md", senseless_on_containerd()),
        ("docs/cases-on-podman.md", different_on_podman()?),
    ];
    for (path, now) in lists {
        let file = repository(path);
        if setting("RECORD").is_some() {
            std::fs::write(&file, now).map_err(|error| format!("{path}: {error}"))?;
        } else if std::fs::read_to_string(&file).unwrap_or_default() != now {
            return Err(format!("`cargo xtask cases` makes another {path}:\n{now}").into());
        }
    }
    Ok(())
}

/// The test of [`the_list_of_cases_is_kept`].
const LIST: &str = "the_list_of_cases_is_kept";

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let engines = Engine::all();
    // Each case may run in a process of its own: this one asks no engine.
    let asks = arguments.filter.as_deref() != Some(LIST);
    if !arguments.list && asks {
        for engine in &engines {
            // Without its images every case would fail for the same wrong reason.
            if let Err(message) = engine.prepare() {
                let name = engine.name.clone();
                let trial = Trial::test(format!("{name}::images"), move || Err(Failed::from(message)));
                return libtest_mimic::run(&Arguments::default(), vec![trial]).exit_code();
            }
        }
    }
    let mut trials = vec![Trial::test(LIST, the_list_of_cases_is_kept)];
    for case in GROUPS.iter().flat_map(|group| group.iter()) {
        let name = short(case);
        if engines.is_empty() {
            let trial = Trial::test(format!("no engine::{name}"), || Ok(())).with_ignored_flag(true);
            trials.push(trial.with_kind("no engine is named by COMPOSE_TEST_..."));
        }
        for (index, engine) in engines.iter().enumerate() {
            let (case, engine) = (*case, engine.clone());
            let different = if engine.name == "podman" { podman::difference(name) } else { None };
            let refusal = different.or_else(|| case.needs.refusal(&engine, index == 0));
            let mut trial =
                Trial::test(format!("{}::{name}", engine.name), move || (case.run)(&engine).map_err(Failed::from));
            if let Some(reason) = refusal {
                trial = trial.with_ignored_flag(true).with_kind(reason);
            }
            trials.push(trial);
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
