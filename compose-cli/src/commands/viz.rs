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
#[command(
    after_help = "Examples:\n  compose alpha viz --format svg > shop.svg\n  compose alpha viz --image --ports | dot -Tpng > shop.png"
)]
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
    /// dot, mermaid or svg
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
        "svg" => super::viz_svg::picture(&project),
        other => bail!("unsupported format {other:?}: use dot, mermaid or svg"),
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
        let mut label = format!("<font point-size=\"15\">{}</font>", markup(name.as_str()));
        let mut section = |title: &str, lines: &[String]| {
            let lines: Vec<String> = lines.iter().map(|line| markup(line)).collect();
            let lines = lines.join("<br/>");
            let _ = write!(label, "<font point-size=\"10\"><br/><br/><b>{title}:</b><br/>{lines}</font>");
        };
        if arguments.networks && !service.networks.is_empty() {
            let mut networks: Vec<String> = service.networks.keys().map(ToString::to_string).collect();
            networks.sort();
            section("Networks", &networks);
        }
        if arguments.ports && !service.ports.is_empty() {
            let ports: Vec<String> = service
                .ports
                .iter()
                .map(|port| {
                    let host = if port.host_ip.is_empty() { String::new() } else { format!("{}:", port.host_ip) };
                    format!("{host}{}:{} ({}, {})", port.published, port.target, port.protocol, port.mode)
                })
                .collect();
            section("Ports", &ports);
        }
        if arguments.image {
            section("Image", &[service.image_reference(&project.name)]);
        }
        let _ = writeln!(out, "{indent}\"{}\" [style=\"filled\" label=<{label}>];", escape(name.as_str()));
    }
    out.push('\n');
    for (name, service) in &project.services {
        for dependency in service.depends_on.keys() {
            let _ = writeln!(out, "{indent}\"{}\" -> \"{}\";", escape(name.as_str()), escape(dependency.as_str()));
        }
    }
    out.push_str("}\n\n");
    out
}

/// Text between tags.
pub(super) fn markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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
