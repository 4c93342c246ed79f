//! `port`: show the host address of a published port.

use anyhow::bail;
use clap::Args;
use compose_planner::observed::PublishedPort;

use crate::context::{Context, Wanted};
use crate::invocation::ExitStatus;
use crate::session;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose port web 80", override_usage = "compose port [OPTIONS] SERVICE [PORT]")]
pub(crate) struct Arguments {
    /// Service, and the port in the container (all ports without it)
    #[arg(value_name = "SERVICE [PORT]")]
    pub(crate) words: Vec<String>,
    /// Number of the replica, from 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = crate::args::integer)]
    pub(crate) index: i64,
    /// tcp or udp
    #[arg(long, value_name = "PROTOCOL", default_value = "tcp")]
    pub(crate) protocol: String,
}

/// Shows the address.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    crate::flags::at_least(&arguments.words, 1)?;
    crate::flags::between(&arguments.words, 1, 2)?;
    let Some(service) = arguments.words.first() else { return Ok(ExitStatus::FAILURE) };
    let wanted: Option<u16> = match arguments.words.get(1) {
        Some(text) => match text.parse() {
            Ok(port) => Some(port),
            Err(_) => bail!("invalid port {text:?}: use a number from 1 to 65535"),
        },
        None => None,
    };
    let scene = context.scene(&[], Wanted::CONTAINERS).await?;
    let container = session::running(&scene, service, arguments.index)?;
    let protocol = arguments.protocol.to_ascii_lowercase();
    let mut ports: Vec<&PublishedPort> = container.ports.iter().collect();
    // Addresses of the fourth version first.
    ports.sort_by_key(|port| (port.target, port.host_ip.contains(':'), port.host_ip.clone(), port.published));
    let host = |port: &PublishedPort| {
        let ip = if port.host_ip.contains(':') { format!("[{}]", port.host_ip) } else { port.host_ip.clone() };
        format!("{ip}:{}", port.published)
    };
    let Some(wanted) = wanted else {
        for port in ports.iter().filter(|port| port.published > 0) {
            context.output.line(format!("{}/{} -> {}", port.target, port.protocol, host(port)))?;
        }
        return Ok(ExitStatus::SUCCESS);
    };
    let found = ports.iter().find(|port| port.target == wanted && port.protocol == protocol && port.published > 0);
    if let Some(port) = found {
        context.output.line(host(port))?;
        return Ok(ExitStatus::SUCCESS);
    }
    let mut known: Vec<String> = ports.iter().map(|port| format!("{}/{}", port.target, port.protocol)).collect();
    known.dedup();
    bail!("no port {wanted}/{protocol} for container {}: {}", container.name, known.join(", "))
}
