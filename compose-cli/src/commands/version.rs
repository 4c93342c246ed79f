//! `version`: show the version.

use clap::Args;

use crate::invocation::ExitStatus;
use crate::output::Output;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose version --short")]
pub(crate) struct Arguments {
    /// pretty or json
    #[arg(short = 'f', long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Only the number
    #[arg(long)]
    pub(crate) short: bool,
    /// Also ask the engine for its version
    #[arg(long)]
    pub(crate) engine: bool,
}

/// Prints the version. The first line and the short form name the release of Docker Compose whose
/// behaviour is followed, since programs that drive Compose read them.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> anyhow::Result<ExitStatus> {
    let version = compose_planner::labels::COMPOSE_VERSION;
    if arguments.short {
        output.line(version)?;
    } else if arguments.format.as_deref() == Some("json") {
        output.line(format!("{{\"version\":\"v{version}\"}}"))?;
    } else {
        output.line(format!("Docker Compose version v{version}"))?;
        output.line(format!("compose {} (a program of its own that follows it)", env!("CARGO_PKG_VERSION")))?;
    }
    Ok(ExitStatus::SUCCESS)
}
