//! How long planning takes: `cargo run --release -p compose-planner --example ten_thousand`.
//! Prints the best of several times for 1,000 to 20,000 services, for a fresh `up`, a repeated one and
//! a changed one, and the time for each service, so that growth which is not linear shows.

#![allow(clippy::print_stdout)] // A bench program talks to the one who runs it.

use std::time::Instant;

use compose_model::project::{Condition, Dependency, Network, Project, Service};
use compose_planner::intent::Up;
use compose_planner::observed::{Image, Observed};
use compose_planner::{Capabilities, Intent, Plan, plan, simulate};

fn project(services: usize, value: &str) -> Project {
    let mut project = Project { name: "bench".into(), working_directory: "/bench".to_owned(), ..Project::default() };
    project.networks.insert("default".into(), Network { name: "bench_default".to_owned(), ..Network::default() });
    for index in 0..services {
        let mut service =
            Service { name: format!("s{index:05}").into(), image: "app:1".to_owned(), ..Service::default() };
        for variable in 0..5 {
            service.environment.insert(format!("VARIABLE_{variable}"), Some(value.to_owned()));
        }
        service.networks.insert("default".into(), None);
        if index >= 10 {
            let needed = format!("s{:05}", index - 10);
            let terms = Dependency { condition: Condition::ServiceHealthy, ..Dependency::default() };
            service.depends_on.insert(needed.as_str().into(), terms);
        }
        project.services.insert(service.name.clone(), service);
    }
    project
}

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Times that each plan is made.
const RUNS: usize = 5;

/// Milliseconds that this thread has run so far, where the system tells.
fn processor_time() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1_000_000.0)
}

fn timed(what: &str, project: &Project, observed: &Observed) -> Result<Plan, compose_planner::PlanError> {
    let capabilities = Capabilities::everything("docker");
    let intent = Intent::Up(Up::default());
    let (mut best, mut best_own, mut made) = (f64::MAX, f64::MAX, None);
    for _ in 0..RUNS {
        // The plan before is no part of the work.
        drop(made.take());
        let (start, on_processor) = (Instant::now(), processor_time());
        made = Some(plan(project, observed, &intent, &capabilities)?);
        best = best.min(start.elapsed().as_secs_f64() * 1000.0);
        if let (Some(before), Some(after)) = (on_processor, processor_time()) {
            best_own = best_own.min(after - before);
        }
    }
    let made = made.unwrap_or_default();
    // On a machine that is busy otherwise, only the time on the processor says something.
    let own = if best_own < f64::MAX { format!(" ({best_own:.1} ms on the processor)") } else { String::new() };
    let each = best.min(best_own) * 1000.0 / project.services.len().max(1) as f64;
    println!("{what:24} {best:>8.1} ms{own}  {each:.1} us a service, {} steps", made.steps.len());
    Ok(made)
}

fn main() -> Result<(), compose_planner::PlanError> {
    for services in [1_000, 2_000, 5_000, 10_000, 20_000] {
        println!("{services} services");
        let first = project(services, "one");
        let mut observed = Observed::default();
        observed.images.insert("app:1".into(), Image { id: "sha256:1".into(), ..Image::default() });
        let fresh = timed("  fresh", &first, &observed)?;
        // Identities made by the simulation grow with what is there; a bench of 10,000 would wait.
        if services <= 1_000 {
            let observed = simulate(&observed, &fresh.steps);
            timed("  nothing to do", &first, &observed)?;
            timed("  everything changed", &project(services, "two"), &observed)?;
        }
    }
    Ok(())
}
