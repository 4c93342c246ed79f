//! Builds: BuildKit does them, spoken to by `buildctl` or the `docker-buildx` plugin; what it makes
//! is loaded from an archive. Images that are here already are its base images, as they are
//! dockerd's, whatever store the daemon has.

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use async_trait::async_trait;
use compose_planner::spec::BuildSpec;
use compose_runtime::RuntimeError;
use compose_runtime::bake::{self, Connection};
use compose_runtime::error::Result;
use compose_runtime::port::{BuildFailure, Builder, Builds, Images, ProgressSink};

use crate::client::{Client, local, random_hex};
use crate::core::Core;

/// Without a look for one.
pub(crate) const NO_BUILDER: &str = "there is no builder";
/// The plugin's name for the daemon, in a configuration of our own.
const BUILDER: &str = "compose";

/// Calls of `buildctl` at the same time. BuildKit shares steps and has a limit of its own; what each costs here is
/// an archive that is loaded.
const CALLS: usize = 4;

/// Where a builder may be; plain data from the command line's environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildSettings {
    /// Address of BuildKit (`BUILDKIT_HOST`); empty: the usual sockets are tried.
    pub host: String,
    /// Docker's configuration directory, which may have the plugin.
    pub config_directory: PathBuf,
    /// `PATH`, which may have `buildctl`.
    pub search_path: String,
    /// `DOCKER_DEFAULT_PLATFORM`.
    pub default_platform: String,
}

/// The program that speaks to BuildKit.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tool {
    Buildctl(PathBuf),
    Buildx(PathBuf),
}

/// Builds on BuildKit.
pub(crate) struct ImageBuilder {
    core: Core,
    address: String,
    tool: Tool,
    settings: BuildSettings,
}

/// A directory of one build, removed with it.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("compose-build-{}", random_hex(12)?));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| local(path.display(), error))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(directory = %self.0.display(), %error, "removing a build's directory");
        }
    }
}

/// The sockets at which BuildKit may answer, the ones of nerdctl's manual among them.
fn sockets(namespace: &str) -> Vec<String> {
    let mut all = vec![format!("/run/buildkit-{namespace}/buildkitd.sock")];
    all.extend(["/run/buildkit-default/buildkitd.sock", "/run/buildkit/buildkitd.sock"].map(str::to_owned));
    all.dedup();
    all
}

impl ImageBuilder {
    /// The builder of this machine, or why there is none and how to get one.
    pub(crate) fn find(core: &Core, settings: &BuildSettings) -> std::result::Result<Self, String> {
        let answers = |path: &str| UnixStream::connect(path).is_ok();
        let namespace = core.client.namespace();
        let elsewhere = format!(
            "or build elsewhere and push, or bring an archive (docker save, OCI layout): \
             `ctr --namespace {namespace} images import FILE`"
        );
        let address = if settings.host.is_empty() {
            let tried = sockets(namespace);
            let found = tried.iter().find(|path| answers(path)).map(|path| format!("unix://{path}"));
            found.ok_or_else(|| {
                format!(
                    "containerd does not build, BuildKit does, and it does not answer at {}; start buildkitd or set \
                     BUILDKIT_HOST, {elsewhere}",
                    tried.join(", ")
                )
            })?
        } else {
            match settings.host.strip_prefix("unix://") {
                Some(path) if !answers(path) => {
                    return Err(format!(
                        "BuildKit does not answer at {} (BUILDKIT_HOST); start buildkitd, {elsewhere}",
                        settings.host
                    ));
                }
                _ => settings.host.clone(),
            }
        };
        let on_path = |name: &str| {
            let mut found = std::env::split_paths(&settings.search_path).map(|directory| directory.join(name));
            found.find(|path| path.is_file())
        };
        let tool = on_path("buildctl").map(Tool::Buildctl).or_else(|| {
            bake::plugin(&settings.config_directory).or_else(|| on_path("docker-buildx")).map(Tool::Buildx)
        });
        let Some(tool) = tool else {
            return Err(format!(
                "BuildKit answers at {address}, and the program that speaks to it is missing: install `buildctl` (it comes \
                 with BuildKit) or the plugin `docker-buildx`, {elsewhere}"
            ));
        };
        Ok(Self { core: core.clone(), address, tool, settings: settings.clone() })
    }

    /// How many calls of the program may be under way. `buildctl` builds one image a call; the plugin gets all in
    /// one.
    pub(crate) fn at_once(&self) -> usize {
        match self.tool {
            Tool::Buildctl(_) => CALLS,
            Tool::Buildx(_) => 1,
        }
    }

    /// Makes the daemon known to the plugin, in a configuration of this build's own.
    async fn connect(&self, plugin: &Path, scratch: &Path) -> Result<Connection> {
        let mut environment: Vec<(String, Option<OsString>)> = vec![
            ("BUILDX_CONFIG".to_owned(), Some(scratch.join("buildx").into())),
            ("BUILDX_BUILDER".to_owned(), None),
            // An attestation would make an index of every image.
            ("BUILDX_NO_DEFAULT_ATTESTATIONS".to_owned(), Some("1".into())),
            ("DOCKER_HOST".to_owned(), None),
            ("DOCKER_CONTEXT".to_owned(), None),
        ];
        if !self.settings.config_directory.as_os_str().is_empty() {
            let directory = self.settings.config_directory.clone().into();
            environment.push(("DOCKER_CONFIG".to_owned(), Some(directory)));
        }
        let mut command = tokio::process::Command::new(plugin);
        command.args(["create", "--name", BUILDER, "--driver", "remote", &self.address]).stdin(Stdio::null());
        for (name, value) in &environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let output = command.output().await.map_err(|error| local(plugin.display(), error))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(RuntimeError::Failed { message: format!("BuildKit at {}: {text}", self.address) });
        }
        Ok(Connection {
            environment,
            builder: BUILDER.to_owned(),
            default_platform: self.settings.default_platform.clone(),
            outputs: Vec::new(),
            writable: Some(scratch.to_owned()),
        })
    }
}

/// One of several builds.
struct Job {
    spec: BuildSpec,
    /// The exporter: `docker` or `oci`.
    kind: &'static str,
    /// What it writes.
    archive: PathBuf,
}

impl ImageBuilder {
    /// The builds, with the images that are here already offered to them.
    async fn jobs(&self, lease: &Client, specs: &[&BuildSpec], scratch: &Path) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for (position, spec) in specs.iter().enumerate() {
            let mut spec = (*spec).clone();
            let directory = scratch.join(position.to_string());
            let made = std::fs::DirBuilder::new().mode(0o700).create(&directory);
            made.map_err(|error| local(directory.display(), error))?;
            let attested = [&spec.build.provenance, &spec.build.sbom, &spec.provenance, &spec.sbom];
            let attested = attested.into_iter().any(|value| !matches!(value.as_str(), "" | "false"));
            let kind = if attested || spec.build.platforms.len() > 1 { "oci" } else { "docker" };
            self.core.offer_base_images(lease, &mut spec, &directory).await?;
            jobs.push(Job { spec, kind, archive: directory.join("image.tar") });
        }
        Ok(jobs)
    }

    async fn run(&self, jobs: &[Job], builds: &Builds<'_>, scratch: &Path) -> std::result::Result<(), BuildFailure> {
        let program = match &self.tool {
            Tool::Buildx(plugin) => {
                let mut connection = self.connect(plugin, scratch).await?;
                let output = |job: &Job| format!("type={},dest={}", job.kind, job.archive.display());
                connection.outputs = jobs.iter().map(output).collect();
                let specs: Vec<&BuildSpec> = jobs.iter().map(|job| &job.spec).collect();
                return bake::build(plugin, &connection, &Builds { specs: &specs, ..*builds }).await.map(drop);
            }
            Tool::Buildctl(program) => program,
        };
        for (position, job) in jobs.iter().enumerate() {
            let scratch = job.archive.parent().unwrap_or(scratch);
            let target = crate::buildctl::Target { kind: job.kind, archive: &job.archive, scratch };
            let platform = job.spec.single_platform(&self.settings.default_platform);
            let built =
                crate::buildctl::build(program, &self.address, &job.spec, platform, &target, position, builds).await;
            built.map_err(|error| BuildFailure { position, error })?;
        }
        Ok(())
    }

    /// Takes an image out of its archive, and tells its identity.
    async fn load(&self, job: &Job, output: ProgressSink<'_, String>) -> Result<String> {
        let spec = &job.spec;
        if spec.check {
            return Ok(String::new());
        }
        let file = tokio::fs::File::open(&job.archive).await.map_err(|error| local(job.archive.display(), error))?;
        self.core.load_archive(Box::pin(file)).await?;
        if spec.push {
            self.core.push(&spec.image, &|progress| output(progress.status)).await?;
        }
        match self.core.find_image(spec.image.as_str()).await? {
            Some((_, resolved)) => Ok(resolved.id),
            None => Err(RuntimeError::Failed { message: format!("the build made no image {}", spec.image) }),
        }
    }
}

#[async_trait]
impl Builder for ImageBuilder {
    fn builds_together(&self) -> bool {
        matches!(self.tool, Tool::Buildx(_))
    }

    async fn build(&self, builds: &Builds<'_>) -> std::result::Result<Vec<String>, BuildFailure> {
        let scratch = Scratch::new()?;
        let lease = self.core.client.lease().await?;
        let jobs = self.jobs(&lease.client, builds.specs, &scratch.0).await;
        let built = match &jobs {
            Ok(jobs) => self.run(jobs, builds, &scratch.0).await,
            Err(_) => Ok(()),
        };
        lease.end().await;
        built?;
        let mut identities = Vec::new();
        for (position, job) in jobs?.iter().enumerate() {
            let loaded = self.load(job, &|line| (builds.output)((position, line))).await;
            identities.push(loaded.map_err(|error| BuildFailure { position, error })?);
        }
        Ok(identities)
    }

    fn definition(&self, specs: &[BuildSpec]) -> Result<String> {
        bake::definition(specs, &self.settings.default_platform)
    }
}
