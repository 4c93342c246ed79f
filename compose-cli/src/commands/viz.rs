//! `alpha viz`: the graph of services.

use std::fmt::Write as _;

use anyhow::bail;
use clap::Args;
use compose_model::Project;

use crate::context::Context;
use crate::invocation::ExitStatus;
use crate::loading::Scope;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose alpha viz | dot -Tsvg > shop.svg")]
pub(crate) struct Arguments {
    /// Show images
    #[arg(long)]
    pub(crate) image: bool,
    /// Show networks
    #[arg(long)]
    pub(crate) networks: bool,
    /// Show ports
    #[arg(long)]
    pub(crate) ports: bool,
    /// Indent by spaces instead of tabs
    #[arg(long)]
    pub(crate) spaces: bool,
    /// Width of the indentation
    #[arg(long, value_name = "N", default_value = "1", value_parser = crate::args::integer)]
    pub(crate) indentation_size: i64,
    /// dot or mermaid
    #[arg(long, value_name = "FORMAT", default_value = "dot")]
    pub(crate) format: String,
}

/// Prints the graph.
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    context.output.message("viz command is EXPERIMENTAL\n");
    let project = context.load(Scope::Selected(&[]))?;
    let text = match arguments.format.as_str() {
        "dot" | "" => dot(&project, arguments),
        "mermaid" => mermaid(&project),
        other => bail!("unsupported format {other:?}: use dot or mermaid"),
    };
    context.output.data(text)?;
    Ok(ExitStatus::SUCCESS)
}

fn dot(project: &Project, arguments: &Arguments) -> String {
    let width = usize::try_from(arguments.indentation_size).unwrap_or(1);
    let indent = if arguments.spaces { " " } else { "\t" }.repeat(width);
    let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut out = String::new();
    let _ = writeln!(out, "digraph \"{}\" {{", escape(project.name.as_str()));
    let _ = writeln!(out, "{indent}layout=dot;");
    for (name, service) in &project.services {
        let mut label = format!("<b>{name}</b>");
        if arguments.networks {
            let networks: Vec<&str> = service.networks.keys().map(|key| key.as_str()).collect();
            let _ = write!(label, "<br/><br/><i>Networks:</i><br/>{}", networks.join("<br/>"));
        }
        if arguments.ports {
            let ports: Vec<String> = service
                .ports
                .iter()
                .map(|port| format!("{}:{}/{}", port.published, port.target, port.protocol))
                .collect();
            let _ = write!(label, "<br/><br/><i>Ports:</i><br/>{}", ports.join("<br/>"));
        }
        if arguments.image {
            let _ = write!(label, "<br/><br/><i>Image:</i><br/>{}", service.image_reference(&project.name));
        }
        let _ = writeln!(out, "{indent}\"{}\" [style=\"filled\" label=<{label}>];", escape(name.as_str()));
    }
    for (name, service) in &project.services {
        for dependency in service.depends_on.keys() {
            let _ = writeln!(out, "{indent}\"{}\" -> \"{}\";", escape(name.as_str()), escape(dependency.as_str()));
        }
    }
    out.push_str("}\n");
    out
}

fn mermaid(project: &Project) -> String {
    let mut out = String::from("graph LR\n");
    for (name, service) in &project.services {
        let _ = writeln!(out, "  {name}");
        for (dependency, how) in &service.depends_on {
            let condition = how.condition.as_str().trim_start_matches("service_");
            let _ = writeln!(out, "  {name} -->|{condition}| {dependency}");
        }
    }
    out
}
