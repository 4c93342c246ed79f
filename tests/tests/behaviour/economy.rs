//! How much is asked of an engine: requests and connections, counted at its socket.

use std::fmt::Write as _;

use compose_tests::private_containerd::PrivateContainerd;
use compose_tests::{CaseResult, Engine, Project, Proxy, ensure};

crate::cases! { Any:
    up_ps_and_down_make_few_requests_on_few_connections,
}

/// Services of the project.
const COUNT: usize = 12;
/// What an engine bears.
const CONNECTIONS: usize = 8;

#[allow(clippy::print_stdout)] // The figures are shown with `--no-capture`.
fn counted(project: &Project, proxy: &Proxy, arguments: &[&str], most: usize) -> CaseResult {
    proxy.reset(None);
    project.compose(arguments)?.ok()?;
    let (requests, connections) = (proxy.requests(), proxy.most_connections());
    let list: Vec<String> = requests.iter().map(ToString::to_string).collect();
    println!("{}: {} requests (at most {most}), {connections} connections", arguments.join(" "), requests.len());
    ensure!(
        requests.len() <= most,
        "`compose {}` made {} requests instead of at most {most}:\n{}",
        arguments.join(" "),
        requests.len(),
        list.join("\n")
    );
    ensure!(connections <= CONNECTIONS, "`compose {}` opened {connections} connections", arguments.join(" "));
    Ok(())
}

fn up_ps_and_down_make_few_requests_on_few_connections(engine: &Engine) -> CaseResult {
    let mut text = "services:\n".to_owned();
    for index in 0..COUNT {
        let _ = writeln!(text, "  s{index}:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL");
    }
    if !engine.is_docker() {
        // A proxy makes another address, and what the program keeps goes by the address.
        let private = PrivateContainerd::start_behind_a_proxy(engine)?;
        let project = Project::with(&private.engine, &text)?;
        // What all images are is read once for each command. A container is made, attached, started and noted; stopped,
        // taken away and removed.
        counted(&project, private.proxy(), &["up", "-d"], 14 * COUNT + 40)?;
        counted(&project, private.proxy(), &["up", "-d"], 40)?;
        counted(&project, private.proxy(), &["ps"], 6)?;
        return counted(&project, private.proxy(), &["down"], 10 * COUNT + 12);
    }
    let proxy = Proxy::before(engine)?;
    let mut project = Project::with(engine, &text)?;
    project.set("DOCKER_HOST", &proxy.host());
    counted(&project, &proxy, &["up", "-d"], 2 * COUNT + 6)?;
    counted(&project, &proxy, &["up", "-d"], 4)?;
    counted(&project, &proxy, &["ps"], 2)?;
    // Each container is stopped and removed, and so is the network.
    counted(&project, &proxy, &["down"], 2 * COUNT + 1 + 3)
}
