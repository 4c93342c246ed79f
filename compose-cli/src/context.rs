//! What every command begins with: options, environment, output; then the project, the engine,
//! and what the engine has of the project.

use std::sync::Arc;

use anyhow::Context as _;
use compose_model::Project;
use compose_model::names::{ProjectName, ServiceName};
use compose_model::project::Service;
use compose_planner::Observed;
use compose_runtime::Runtime;
use compose_runtime::port::ObserveQuery;

use crate::args::RootOptions;
use crate::environment::Environment;
use crate::invocation::{CommandError, ExitStatus};
use crate::loading::Scope;
use crate::lock::ProjectLock;
use crate::output::Output;

/// What a command works with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// Options before the command.
    pub(crate) options: &'a RootOptions,
    /// The process's environment.
    pub(crate) environment: &'a Environment,
    /// Where output goes.
    pub(crate) output: &'a Output,
}

/// A project, the engine, and what it has.
pub(crate) struct Scene {
    /// The project, from files or from labels.
    pub(crate) project: Project,
    /// The engine.
    pub(crate) runtime: Arc<dyn Runtime>,
    /// What it has.
    pub(crate) observed: Observed,
    /// Whether the project comes from files.
    pub(crate) from_files: bool,
    /// Keeps other changes of the project away until it is dropped.
    pub(crate) lock: Option<ProjectLock>,
}

/// Which objects a command wants to see.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// Networks.
    pub(crate) networks: bool,
    /// Volumes.
    pub(crate) volumes: bool,
    /// Images.
    pub(crate) images: bool,
    /// What serves models, where a service uses one.
    pub(crate) models: bool,
    /// A job may be named as a service is.
    pub(crate) jobs: bool,
    /// The verb of a change, for the lock; empty for a look.
    pub(crate) change: &'static str,
    /// Where the project was named by `-p` or `COMPOSE_PROJECT_NAME`, a service that is not there is
    /// told and taken for one without containers, as the reference does silently.
    pub(crate) forgives: bool,
}

impl Wanted {
    /// Containers only.
    pub(crate) const CONTAINERS: Self = Self {
        networks: false,
        volumes: false,
        images: false,
        models: false,
        jobs: false,
        change: "",
        forgives: false,
    };
    /// Everything.
    pub(crate) const ALL: Self =
        Self { networks: true, volumes: true, images: true, models: true, jobs: false, change: "", forgives: false };

    /// The same, for a change.
    pub(crate) const fn to(self, verb: &'static str) -> Self {
        Self { change: verb, ..self }
    }

    /// The same, where a service that is not there is no error for a project that was named.
    pub(crate) const fn forgiving(self) -> Self {
        Self { forgives: true, ..self }
    }
}

impl Scene {
    /// Observes anew, for a look.
    pub(crate) async fn look_again(&mut self, wanted: Wanted) -> anyhow::Result<()> {
        self.observed = self.runtime.observe(&query(&self.project, wanted)).await?;
        Ok(())
    }

    /// Takes the lock again and observes anew, for a further change.
    pub(crate) async fn take_again(&mut self, context: &Context<'_>, wanted: Wanted) -> anyhow::Result<()> {
        if self.lock.is_none() {
            self.lock = context.lock(&self.project.name, wanted.change).await;
        }
        self.look_again(wanted).await
    }
}

impl<'a> Context<'a> {
    /// An option or variable that both the command line and the environment may set.
    pub(crate) fn setting(&self, option: Option<&'a str>, variable: &str) -> Option<&'a str> {
        option.filter(|text| !text.is_empty()).or_else(|| self.environment.get(variable))
    }

    /// Whether the project is given by its name alone.
    fn name_alone(&self) -> Option<ProjectName> {
        let given = self.options.project_name.as_deref().filter(|name| !name.is_empty())?;
        (self.options.files.is_empty() && self.environment.get("COMPOSE_FILE").is_none()).then(|| given.into())
    }

    /// The project from its files. Warnings are printed.
    ///
    /// # Errors
    /// The project does not load; every mistake is in the message.
    pub(crate) fn load(&self, scope: Scope<'_>) -> anyhow::Result<Project> {
        crate::loading::load(self, scope)
    }

    /// The project as far as it is known, the engine, and what it has of the project. For
    /// commands that work on what is there, with or without a file.
    pub(crate) async fn scene(&self, services: &[String], wanted: Wanted) -> anyhow::Result<Scene> {
        let loaded = match self.name_alone() {
            Some(name) => {
                check_name(&name)?;
                Err(name)
            }
            None => match self.load(Scope::Existing(services)) {
                Ok(project) => Ok(project),
                // Without a readable file the variable names the project as `-p` does.
                Err(error) => match self.environment.get("COMPOSE_PROJECT_NAME") {
                    Some(name) if self.options.files.is_empty() => Err(name.into()),
                    _ => return Err(error),
                },
            },
        };
        let name = loaded.as_ref().map_or_else(Clone::clone, |project| project.name.clone());
        let lock = self.lock(&name, wanted.change).await;
        let runtime = self.engine_of(&name, lock.as_ref()).await?;
        let mut query = ObserveQuery {
            project: name.clone(),
            networks: wanted.networks,
            volumes: wanted.volumes,
            images: wanted.images,
            ..ObserveQuery::default()
        };
        if let Ok(project) = &loaded {
            query.container_names = container_names(project);
        }
        let observed = runtime.observe(&query).await?;
        let from_files = loaded.is_ok();
        let mut project = loaded.unwrap_or_else(|name| compose_planner::project_from_observed(&observed, &name));
        let named = !from_files || self.environment.get("COMPOSE_PROJECT_NAME").is_some();
        if named && wanted.forgives {
            for name in services {
                if check_services(&project, std::slice::from_ref(name)).is_err() {
                    self.output.warning(&format!("no such service: {name}"));
                    let service = Service { name: name.as_str().into(), ..Service::default() };
                    project.services.insert(service.name.clone(), service);
                }
            }
        }
        if !from_files {
            check_services(&project, services)?;
        }
        Ok(Scene { project, runtime, observed, from_files, lock })
    }

    /// The project from its files, the engine, and what it has.
    pub(crate) async fn scene_of_files(&self, services: &[String], wanted: Wanted) -> anyhow::Result<Scene> {
        let scope = if wanted.jobs { Scope::Once(services) } else { Scope::Selected(services) };
        let project = self.load(scope)?;
        let lock = self.lock(&project.name, wanted.change).await;
        let runtime = self.engine_of(&project.name, lock.as_ref()).await?;
        let query = query(&project, wanted);
        let mut observed = runtime.observe(&query).await?;
        observed.contents = crate::content::digests(self, &project);
        if wanted.models && project.services.values().any(|service| !service.models.is_empty()) {
            observed.models = compose_runtime::model::runner(&crate::change::providers(self, &project)).await?;
        }
        Ok(Scene { project, runtime, observed, from_files: true, lock })
    }

    /// Looks at everything again, after a round that changed it.
    pub(crate) async fn look_again(&self, scene: &mut Scene) -> anyhow::Result<()> {
        let contents = std::mem::take(&mut scene.observed.contents);
        let models = scene.observed.models.take();
        let observed = scene.runtime.observe(&query(&scene.project, Wanted::ALL)).await?;
        scene.observed = Observed { contents, models, ..observed };
        Ok(())
    }

    /// Taken before anything is observed, so that what is observed stands while it is held.
    async fn lock(&self, project: &ProjectName, verb: &str) -> Option<ProjectLock> {
        if verb.is_empty() || self.options.dry_run {
            return None;
        }
        let engine = crate::engine::address(self);
        Some(crate::lock::lock(self.environment, &engine, project, verb, self.output).await)
    }

    /// The engine, once it has finished with what a run had asked for that is gone.
    async fn engine_of(&self, project: &ProjectName, lock: Option<&ProjectLock>) -> anyhow::Result<Arc<dyn Runtime>> {
        let Some(lock) = lock.filter(|lock| !lock.unfinished.is_empty()) else {
            return self.connect(Some(project)).await;
        };
        // A list that is fetched on connecting would be older than what is waited for.
        let runtime = self.connect(None).await?;
        if runtime.capabilities().outlives_clients {
            crate::unfinished::let_finish(runtime.as_ref(), project, lock, self.output).await;
        }
        Ok(runtime)
    }

    /// Connects to the engine that options and environment name. With a project the first call
    /// is one that is needed anyway.
    pub(crate) async fn connect(&self, project: Option<&ProjectName>) -> anyhow::Result<Arc<dyn Runtime>> {
        crate::engine::connect(self, project).await
    }
}

/// The query for a project.
pub(crate) fn query(project: &Project, wanted: Wanted) -> ObserveQuery {
    ObserveQuery {
        project: project.name.clone(),
        container_names: container_names(project),
        networks: wanted.networks,
        volumes: wanted.volumes,
        images: wanted.images,
        detail: Vec::new(),
    }
}

fn container_names(project: &Project) -> Vec<compose_model::names::ContainerName> {
    project
        .services
        .values()
        .filter(|service| !service.container_name.is_empty())
        .map(|service| service.container_name.as_str().into())
        .collect()
}

impl Scene {
    /// An error about a service, which also tells where the file has no such service.
    pub(crate) fn with_unknown(&self, error: anyhow::Error, service: &str) -> anyhow::Error {
        if self.from_files && check_services(&self.project, &[service.to_owned()]).is_err() {
            return anyhow::anyhow!("{error}: no such service: {service}");
        }
        error
    }
}

/// `no such service: x`.
pub(crate) fn no_such_service(name: &str) -> anyhow::Error {
    CommandError { status: ExitStatus::FAILURE, message: format!("no such service: {name}") }.into()
}

/// Refuses services that the project does not have.
pub(crate) fn check_services(project: &Project, services: &[String]) -> anyhow::Result<()> {
    let known = |service: &&String| {
        project.services.contains_key(service.as_str()) || project.disabled_services.contains_key(service.as_str())
    };
    match services.iter().find(|service| !known(service)) {
        Some(unknown) => Err(no_such_service(unknown)),
        None => Ok(()),
    }
}

/// Service names of a command line.
pub(crate) fn names(services: &[String]) -> Vec<ServiceName> {
    services.iter().map(|service| service.as_str().into()).collect()
}

/// Refuses a name that no project can have.
pub(crate) fn check_name(name: &ProjectName) -> anyhow::Result<()> {
    let text = name.as_str();
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if first && text.bytes().all(good) {
        return Ok(());
    }
    anyhow::bail!(
        "invalid project name {text:?}: must consist only of lowercase alphanumeric characters, hyphens, and underscores \
         as well as start with a letter or number"
    )
}

/// The async runtime: one thread, made only by commands that talk to an engine.
pub(crate) fn block_on<F: Future>(future: F) -> anyhow::Result<F::Output> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the event loop")?;
    let result = runtime.block_on(future);
    // A thread that waits for standard input must not keep the program from ending.
    runtime.shutdown_background();
    Ok(result)
}
