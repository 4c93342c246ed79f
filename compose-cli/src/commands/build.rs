//! `build`: build images.

use anyhow::bail;
use clap::Args;
use compose_planner::intent::Build;
use compose_planner::{Intent, Op};

use crate::change::{Manner, Nobody, carry_out};
use crate::context::{Context, Scene, Wanted, names};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose build                   build every service that has a build section\n  compose build --no-cache web    build one service from scratch"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Set a build argument; a name alone takes the value from here
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) build_arg: Vec<String>,
    /// Use this builder instance
    #[arg(long, value_name = "NAME")]
    pub(crate) builder: Option<String>,
    /// Check the build definition and build nothing
    #[arg(long)]
    pub(crate) check: bool,
    /// Memory limit of the build (classic builder)
    #[arg(short = 'm', long, value_name = "BYTES")]
    pub(crate) memory: Option<String>,
    /// Build without the cache
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Print the build definition as JSON and build nothing
    #[arg(long)]
    pub(crate) print: bool,
    /// Add a provenance attestation
    #[arg(long, value_name = "VALUE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) provenance: Option<String>,
    /// Pull newer base images
    #[arg(long)]
    pub(crate) pull: bool,
    /// Push the images when they are built
    #[arg(long)]
    pub(crate) push: bool,
    /// Print nothing
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Add a bill of materials
    #[arg(long, value_name = "VALUE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) sbom: Option<String>,
    /// Use these SSH keys: default, or NAME=PATH
    #[arg(long, value_name = "KEYS")]
    pub(crate) ssh: Option<String>,
    /// Also build what the services depend on
    #[arg(long)]
    pub(crate) with_dependencies: bool,
    /// Deprecated, no effect
    #[arg(long, hide = true)]
    pub(crate) parallel: bool,
    /// Deprecated, no effect
    #[arg(long, hide = true)]
    pub(crate) compress: bool,
    /// Deprecated, no effect
    #[arg(long, hide = true)]
    pub(crate) force_rm: bool,
    /// Deprecated, no effect
    #[arg(long, hide = true)]
    pub(crate) no_rm: bool,
    /// Deprecated, use `compose --progress`
    #[arg(long, hide = true)]
    pub(crate) progress: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let mut interrupts = Interrupts::listen()?;
    let wanted = Wanted { images: true, change: "build", ..Wanted::CONTAINERS };
    let mut scene = context.scene_of_files(&arguments.services, wanted).await?;
    let environment = scene.project.environment.clone();
    let intent = Intent::Build(Build {
        services: names(&arguments.services),
        with_dependencies: arguments.with_dependencies,
        no_cache: arguments.no_cache,
        pull: arguments.pull,
        push: arguments.push,
        quiet: arguments.quiet,
        arguments: crate::flags::assignments(&arguments.build_arg, &environment),
        ssh: arguments.ssh.iter().cloned().collect(),
        memory: arguments.memory.as_deref().map_or(Ok(0), crate::flags::bytes)?,
        builder: arguments.builder.clone().or_else(|| environment.get("BUILDX_BUILDER").cloned()).unwrap_or_default(),
        check: arguments.check,
        provenance: arguments.provenance.clone().unwrap_or_default(),
        sbom: arguments.sbom.clone().unwrap_or_default(),
    });
    if arguments.print {
        return print(context, &mut scene, &intent).await;
    }
    let manner = Manner { build_is_data: true, quiet_build: arguments.quiet, ..Manner::default() };
    let changed = carry_out(context, &mut scene, intent, &manner, &mut interrupts, &mut Nobody).await?;
    Ok(changed.interrupted.unwrap_or_default())
}

/// Prints what would be built.
async fn print(context: &Context<'_>, scene: &mut Scene, intent: &Intent) -> anyhow::Result<ExitStatus> {
    let plan = crate::change::plan(context, scene, intent).await?;
    let specs: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.op {
            Op::Build { spec } => Some(spec.as_ref().clone()),
            _ => None,
        })
        .collect();
    if specs.is_empty() {
        crate::change::print_notes(context, &plan);
        return Ok(ExitStatus::SUCCESS);
    }
    let Some(builder) = scene.runtime.builder() else {
        bail!("the engine cannot build images: there is no builder");
    };
    context.output.line(builder.definition(&specs)?)?;
    Ok(ExitStatus::SUCCESS)
}
