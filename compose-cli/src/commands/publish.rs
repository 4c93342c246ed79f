//! `publish`: store the project in a registry as an artifact that `-f oci://...` runs.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use compose_model::Project;
use compose_planner::Intent;
use compose_planner::intent::Push;
use compose_registry::{Artifact, Part, Reference, Registry};

use super::{image_digests, publish_checks, publish_copy, publish_files};
use crate::change::{Manner, Nobody, carry_out};
use crate::context::{Context, Wanted, block_on};
use crate::invocation::ExitStatus;
use crate::remote::kinds;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose publish registry.example/shop:1        the files of the project\n  compose publish --app registry.example/shop:1  and its images, pinned to digests\n  compose -f oci://registry.example/shop:1 up    run what was published"
)]
pub(crate) struct Arguments {
    /// Where to publish
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub(crate) words: Vec<String>,
    /// Also publish the images
    #[arg(long)]
    pub(crate) app: bool,
    /// OCI version of the artifact: 1.0 or 1.1
    #[arg(long, value_name = "VERSION")]
    pub(crate) oci_version: Option<String>,
    /// Pin images to digests
    #[arg(long)]
    pub(crate) resolve_image_digests: bool,
    /// Include env files
    #[arg(long)]
    pub(crate) with_env: bool,
    /// Allow a registry without TLS
    #[arg(long, hide = true)]
    pub(crate) insecure_registry: bool,
    /// Answer every question with "yes"
    #[arg(short = 'y', long, alias = "y")]
    pub(crate) yes: bool,
}

/// Publishes the project.
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let [name] = arguments.words.as_slice() else {
        bail!(
            "docker: 'docker compose publish' requires 1 argument\n\nUsage:  docker compose publish [OPTIONS] \
             REPOSITORY[:TAG]\n\nRun 'docker compose publish --help' for more information"
        );
    };
    let older = match arguments.oci_version.as_deref() {
        None | Some("" | "1.1") => false,
        Some("1.0") => true,
        Some(other) => bail!("unsupported OCI version: {other}"),
    };
    let reference = Reference::parse(name).with_context(|| format!("cannot publish to {name:?}"))?;
    let every = crate::args::RootOptions { profiles: vec!["*".to_owned()], ..context.options.clone() };
    let context = &Context { options: &every, ..*context };
    let mut options = crate::loading::options(context)?;
    options.no_env_resolution = !arguments.with_env;
    let mut project = crate::loading::load_with(context, &options)?;
    let files = publish_files::collect(&project)?;
    if !publish_checks::may_be_published(context, &project, &files, arguments)? {
        return Ok(ExitStatus::INTERRUPTED);
    }
    if let Some(status) = block_on(push_images(context))?? {
        return Ok(status);
    }
    let mut parts: Vec<Part> = files
        .iter()
        .filter(|file| file.kind != kinds::ENV_FILE || arguments.with_env)
        .map(publish_files::File::part)
        .collect();
    if arguments.resolve_image_digests || arguments.app {
        parts.push(digests(context, &mut project)?);
    }
    context.output.message(format!(" {name} publishing \n"));
    if !context.options.dry_run {
        let mut insecure = context.options.insecure_registry.clone();
        if arguments.insecure_registry {
            insecure.push(reference.registry.clone());
        }
        let registry = crate::registries::registry(context.environment, &insecure);
        let artifact = artifact(parts, older);
        block_on(send(&registry, &reference, &artifact, arguments.app.then_some(&project)))??;
    }
    context.output.message(format!(" {name} published \n"));
    Ok(ExitStatus::SUCCESS)
}

/// Pushes what is built here, as `push` does; a status where that was broken off.
async fn push_images(context: &Context<'_>) -> anyhow::Result<Option<ExitStatus>> {
    let mut interrupts = Interrupts::listen()?;
    let wanted = Wanted { images: true, change: "publish", ..Wanted::CONTAINERS };
    let mut scene = context.scene_of_files(&[], wanted).await?;
    let intent = Intent::Push(Push { services: Vec::new(), include_dependencies: false, ignore_failures: true });
    let changed = carry_out(context, &mut scene, intent, &Manner::default(), &mut interrupts, &mut Nobody).await?;
    Ok(changed.interrupted)
}

/// A further Compose file that lays digests over the images.
fn digests(context: &Context<'_>, project: &mut Project) -> anyhow::Result<Part> {
    image_digests::pin(project, context)?;
    let text = compose_model::canonical::yaml(&image_digests::only_images(project));
    let text = text.strip_prefix("name: \"\"\n").unwrap_or(&text).to_owned();
    let file = publish_files::File {
        kind: kinds::COMPOSE_FILE,
        name: "image-digests.yaml".to_owned(),
        extends: false,
        bytes: text.into_bytes(),
        places: Vec::new(),
    };
    Ok(file.part())
}

fn artifact(parts: Vec<Part>, older: bool) -> Artifact {
    // Registries before OCI 1.1 know the kind of an artifact by that of its configuration.
    let config_kind = if older { kinds::EMPTY_CONFIG } else { compose_registry::media::EMPTY };
    let created = crate::time_format::now_rfc3339();
    Artifact {
        artifact_type: (!older).then(|| kinds::PROJECT.to_owned()),
        config: Part { media_type: config_kind.to_owned(), bytes: Bytes::from_static(b"{}"), ..Part::default() },
        parts,
        annotations: [("org.opencontainers.image.created".to_owned(), created)].into(),
        subject: None,
    }
}

async fn send(
    registry: &Registry,
    reference: &Reference,
    artifact: &Artifact,
    with_images: Option<&Project>,
) -> anyhow::Result<()> {
    let mut descriptor = registry.push_artifact(reference, artifact).await?;
    if let Some(project) = with_images {
        descriptor.artifact_type = Some(kinds::PROJECT.to_owned());
        publish_copy::images(registry, reference, project, descriptor).await?;
    }
    Ok(())
}
