//! `schema`: print the JSON Schema of Compose files.

use clap::Args;

use crate::invocation::ExitStatus;
use crate::output::Output;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose schema > compose.schema.json\n\nEditors with a YAML language server use it through the first line of a file:\n  # yaml-language-server: $schema=./compose.schema.json"
)]
pub(crate) struct Arguments {}

/// Prints the schema.
pub(crate) fn run(_: &Arguments, output: &Output) -> anyhow::Result<ExitStatus> {
    output.line(serde_json::to_string_pretty(&compose_model::schema::json_schema())?)?;
    Ok(ExitStatus::SUCCESS)
}
