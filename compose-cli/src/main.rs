//! `compose`: defines and runs applications of several containers.
//!
//! This crate is the only one that prints, prompts, and reads the environment, the home directory
//! and the clock. [`invocation`] reads the command line; each command has its file in `commands`.

mod args;
mod change;
mod commands;
mod container_view;
mod content;
mod context;
mod copying;
mod dispatch;
mod engine;
mod environment;
mod failures;
mod flags;
mod follow;
mod footer;
mod invocation;
mod loading;
mod lock;
mod log_view;
mod menu;
mod output;
mod ownership;
#[cfg(test)]
mod pages;
mod progress;
#[cfg(test)]
mod reference_flags;
mod registries;
mod remote;
mod saved_plan;
mod service_unit;
mod session;
mod signals;
mod size_format;
mod table;
mod template;
mod terminal;
mod time_format;
mod unfinished;
mod watching;
mod words;

use std::process::ExitCode;

/// Loading and planning make millions of small values beside some large ones, which is what the C
/// library's allocator is slow at: planning 10,000 services takes twice the time with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    // Processes of the containerd backend are this program under another first word.
    if let Some((word, rest)) = words.get(1..).and_then(<[String]>::split_first) {
        if word == runtime_containerd::LOGGER_ARGUMENT {
            return ExitCode::from(u8::try_from(runtime_containerd::logger_main(rest)).unwrap_or(1));
        }
        if word == runtime_containerd::SUPERVISOR_ARGUMENT {
            return commands::supervisor::started_on_demand(rest);
        }
    }
    terminal::restore_on_panic();
    let invocation::ExitStatus(code) = invocation::run(words);
    // What does not fit into eight bits (128 + signal does) is a failure all the same.
    ExitCode::from(u8::try_from(code).unwrap_or(255))
}
